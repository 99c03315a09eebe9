"""The types of fields that several kinds of entries have, and the words in which they refuse a value. Sends nothing."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Strict,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.redaction import quoted

__all__ = [
    "REFERENCE",
    "ROLES",
    "Email",
    "Flag",
    "FormerKey",
    "Hash",
    "Key",
    "OneOf",
    "Part",
    "Reference",
    "Role",
    "Roled",
    "Scopes",
    "Text",
    "Title",
    "email",
    "hash_or_reference",
    "meant",
    "one_hash",
    "referenced_key",
    "shown",
    "sort_of",
    "wrong",
]


def referenced_key(reference: str) -> str | None:
    """The key that *reference* names, or None if it is a hash of something on the server."""
    return reference[1:] if reference.startswith(REFERENCE) else None


def wrong(reason: str, hint: str = "") -> PydanticCustomError:
    """What a validator raises: pydantic keeps both halves, and the reading of manifests takes them up again."""
    context = {"reason": reason, "hint": hint}
    if hint:
        return PydanticCustomError("manifest", "{reason}; {hint}", context)
    return PydanticCustomError("manifest", "{reason}", context)


def shown(value: object) -> str:
    """A value for a message: short, and nothing in it that a terminal would obey."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, int):
        # Python refuses to write numbers of thousands of digits.
        return str(int(value)) if value.bit_length() <= 64 else "a number that large"
    return sort_of(value)


def sort_of(value: object) -> str:
    """What a value is, in the words of somebody who writes JSON."""
    words = ((bool, "true or false"), (int | float, "a number"), (str, "text"), (Mapping, "an object"))
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "a list"
    return next((word for sort, word in words if isinstance(value, sort)), f"a {type(value).__name__}")


def meant(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` if one of *known* is close to *word*, and nothing otherwise."""
    if len(word) > _GUESSED_CHARACTERS:
        return ""
    spelt = {one.lower(): one for one in known}
    close = difflib.get_close_matches(word.lower(), spelt, n=1)
    return f"did you mean {spelt[close[0]]!r}?" if close else ""


def _number_or_word(value: object, *, what: str, words: Mapping[str, IntEnum]) -> IntEnum:
    """Roles and storages are written as words or as the API's numbers; a number may stand in quotes, as CSV has it."""
    if isinstance(value, str):
        word = value.strip()
        known_word = words.get(word.lower())
        if known_word is not None:
            return known_word
        value = int(word) if _DIGITS.fullmatch(word) else value
    if isinstance(value, int) and not isinstance(value, bool):
        for member in words.values():
            if member == value:
                return member
    known = ", ".join(words)
    hint = meant(value, words) if isinstance(value, str) else ""
    raise wrong(f"{shown(value)} is no {what}; use one of {known}, or 0 to {max(words.values())}", hint)


def _flag(value: object) -> object:
    """CSV has only text."""
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    if not isinstance(value, bool):
        raise wrong(f"{shown(value)} is neither true nor false")
    return value


def _one_word(value: object, *, what: str, words: Mapping[str, StrEnum]) -> StrEnum:
    """One of *words*, however its letters and the blanks around it are."""
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    hint = meant(value, words) if isinstance(value, str) else ""
    raise wrong(f"{shown(value)} is no {what}; use one of {', '.join(words)}", hint)


@dataclass(frozen=True, eq=False)
class OneOf:
    """In the annotation of a field: it is one of *words*, read by `_one_word`, or by `_number_or_word` for numbers.

    *others* are what else a manifest may have: the API's own numbers, or spelling.
    """

    what: str
    words: Mapping[str, Any]
    others: Sequence[int | str] = ()

    def read(self, value: object) -> object:
        """The member that *value* stands for; raises as `wrong`."""
        if type(value) is str and value in self.words:
            return self.words[value]
        if isinstance(value, str) and value in self.others:
            return next(member for member in self.words.values() if member == value)
        numbers = isinstance(next(iter(self.words.values())), int)
        return (_number_or_word if numbers else _one_word)(value, what=self.what, words=self.words)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: object) -> dict[str, Any]:
        return {"enum": [*self.words, *self.others]}


def _scope(value: object) -> object:
    if not isinstance(value, str) or value not in _SCOPES:
        hint = meant(value, _SCOPES) if isinstance(value, str) else ""
        raise wrong(f"{shown(value)} is no scope; use one of {', '.join(_SCOPES)}", hint)
    return value


def email(value: str) -> str:
    """The cheap half of what an address must be; the service knows the other half."""
    if not _ADDRESS.fullmatch(value) or not value.isprintable() or ".." in value:
        raise wrong(f"{shown(value)} is no e-mail address")
    return value


def one_hash(value: str) -> str:
    """A hash, and no reference."""
    # A hash travels in an HTTP header, which takes no other characters and loses blanks at its ends.
    if not _HASH.fullmatch(value):
        if value.startswith(REFERENCE):
            raise wrong(f"{shown(value)} is a reference, which this field does not take", "give a hash")
        raise wrong(f"{shown(value)} is no hash")
    return value


def hash_or_reference(value: str) -> str:
    """What names something that is there, or is wished for by another entry."""
    if value.startswith(REFERENCE):
        if len(value) == 1 or not value.isprintable():
            raise wrong(f"{shown(value)} names no key", "give a hash, or '@' and the key of another entry")
    elif not _HASH.fullmatch(value):
        raise wrong(f"{shown(value)} is no hash", "give a hash, or '@' and the key of another entry")
    return value


def _key(value: str) -> str:
    _not_blank(value)
    if value.startswith(REFERENCE):
        raise wrong("must not begin with '@'", "only references to the key do")
    if not value.isprintable():
        raise wrong(f"{shown(value)} holds a character that cannot be printed")
    return value


def _encodable(value: str) -> str:
    # Most texts are such, and are told at once.
    if value.isprintable():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong("holds half of a character (a lone surrogate)") from None
    if "\0" in value:
        raise wrong("holds a null character, which not every database can store")
    return value


def _not_blank(value: str) -> str:
    bare = value.strip()
    if not bare:
        raise wrong("must not be empty")
    return bare


REFERENCE: Final = "@"
"""What a reference begins with."""

_GUESSED_CHARACTERS: Final = 100
_DIGITS: Final = re.compile("[0-9]{1,9}")
_ADDRESS: Final = re.compile(r"""[^\s@,;<>"]+@[^\s@,;<>".][^\s@,;<>"]*\.[^\s@,;<>".]+""")
_HASH: Final = re.compile("[!-?A-~][!-~]*")
ROLES: Final[Mapping[str, ProjectUserRole]] = {role.name.lower(): role for role in ProjectUserRole}
"""The words for roles in projects."""
_FLAGS: Final = {"true": True, "false": False}
_SCOPES: Final = tuple(scope.value for scope in APIKeyScope)

Text: TypeAlias = Annotated[str, Strict(), AfterValidator(_encodable)]
Title: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_not_blank),
    AfterValidator(_encodable),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""Without the blanks at its ends, which nobody sees: two that differ in them would be taken for one."""
Key: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_key),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "description": "The name that '@' references in other entries use."}
    ),
]
FormerKey: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_key),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "description": "The key that it had before: what that has made is its own."}
    ),
]
Hash: TypeAlias = Annotated[str, Strict(), AfterValidator(one_hash)]
Reference: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(hash_or_reference),
    WithJsonSchema({"type": "string", "minLength": 1, "description": "A hash, or '@' and the key of another entry."}),
]
Email: TypeAlias = Annotated[str, Strict(), AfterValidator(email)]
Role: TypeAlias = Annotated[ProjectUserRole, OneOf("role", ROLES, [*map(int, ProjectUserRole)])]
Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag)]
Scope: TypeAlias = Annotated[APIKeyScope, BeforeValidator(_scope), WithJsonSchema({"enum": list(_SCOPES)})]
Scopes: TypeAlias = Annotated[tuple[Scope, ...], Field(min_length=1)]


class Part(BaseModel):
    """An entry, or an object in one."""

    # What reads an entry is built when the first of its kind comes: few manifests have all kinds.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    noun: ClassVar[str]
    """What it is called when one of its fields is unknown: ``a user``."""
    other_names: ClassVar[Mapping[str, str]] = MappingProxyType({"name": "title"})
    """Names close in meaning to those of its fields, but not in spelling."""
    spelt: ClassVar[Mapping[str, Mapping[str, Enum]]] = MappingProxyType({})
    """Fields whose values have words in manifests, and are something else within."""
    form: ClassVar[str] = ""
    """How a cell of a table says several of these."""
    no_column: ClassVar[str] = ""
    """What to do instead of giving a list of these a column in a table; nothing if it can have one."""

    @classmethod
    def in_cell(cls, text: str) -> object:
        """What *text* says of one of a list of these that stands in the cell of a table."""
        return text

    def as_json(self) -> dict[str, object]:
        """As a manifest has it: words where there are some, and nothing that goes without saying."""
        shown = self.model_dump(mode="json", exclude_defaults=True)
        for name, words in self.spelt.items():
            if name in shown:
                value = getattr(self, name)
                shown[name] = next(word for word, one in words.items() if one == value)
        return shown


class Roled(Part):
    """Somebody with a role, in a cell with an equals sign between: the first field says who."""

    @classmethod
    def in_cell(cls, text: str) -> object:
        name, _ = cls.model_fields
        who, equals, role = text.rpartition("=")
        return {name: who.strip(), "role": role.strip()} if equals else {name: text}

    @property
    def said(self) -> tuple[str, IntEnum]:
        """Who, and in which role."""
        who, role = (getattr(self, name) for name in type(self).model_fields)
        return who, role
