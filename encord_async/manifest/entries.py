"""The manifest's entries as frozen models, and what is wrong with those that are none.

Pure: values in, entries or problems out. Files are read in ``manifest_files``; nothing is sent here.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from encord_async.errors import UnencodableError
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    MemberType,
    OrganisationRole,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.jsontext import json_bytes
from encord_async.redaction import quoted, redacted

__all__ = [
    "ENTRY_MODELS",
    "APIKeyWish",
    "Checker",
    "DatasetEntry",
    "Entry",
    "GroupEntry",
    "MakingEntry",
    "NamedEntry",
    "OntologyEntry",
    "OrganisationUserEntry",
    "Place",
    "PlacedEntry",
    "Problem",
    "ProjectAPIKeyEntry",
    "ProjectDatasetsEntry",
    "ProjectEntry",
    "ProjectGroupsEntry",
    "ProjectUsersEntry",
    "UserWish",
    "field_path",
    "manifest_schema",
    "meant",
    "needed_keys",
    "read_entry",
    "read_json_entry",
    "referenced_key",
    "shown",
]


def referenced_key(reference: str) -> str | None:
    """The key that *reference* names, or None if it is a hash of something on the server."""
    return reference[1:] if reference.startswith(REFERENCE) else None


def _wrong(reason: str, hint: str = "") -> PydanticCustomError:
    """What a validator raises: pydantic keeps both halves, and `_problem` takes them up again."""
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
    return _sort_of(value)


def _sort_of(value: object) -> str:
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
        if word.lower() in words:
            return words[word.lower()]
        value = int(word) if _DIGITS.fullmatch(word) else value
    if isinstance(value, int) and not isinstance(value, bool):
        for member in words.values():
            if member == value:
                return member
    known = ", ".join(words)
    hint = meant(value, words) if isinstance(value, str) else ""
    raise _wrong(f"{shown(value)} is no {what}; use one of {known}, or 0 to {max(words.values())}", hint)


def _role(value: object) -> object:
    return _number_or_word(value, what="role", words=_ROLES)


def _storage(value: object) -> object:
    return _number_or_word(value, what="storage", words=_STORAGES)


def _flag(value: object) -> object:
    """CSV has only text."""
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    if not isinstance(value, bool):
        raise _wrong(f"{shown(value)} is neither true nor false")
    return value


def _word(value: object, *, what: str, words: Mapping[str, StrEnum]) -> StrEnum:
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    hint = meant(value, words) if isinstance(value, str) else ""
    raise _wrong(f"{shown(value)} is no {what}; use one of {', '.join(words)}", hint)


def _organisation_role(value: object) -> object:
    return _word(value, what="role in an organisation", words=_ORGANISATION_ROLES)


def _member_type(value: object) -> object:
    return _word(value, what="type of member", words=_MEMBER_TYPES)


def _copy_option(value: object) -> object:
    return _word(value, what="part of a project that a copy can take along", words=_COPY_OPTIONS)


def _scope(value: object) -> object:
    if not isinstance(value, str) or value not in _SCOPES:
        hint = meant(value, _SCOPES) if isinstance(value, str) else ""
        raise _wrong(f"{shown(value)} is no scope; use one of {', '.join(_SCOPES)}", hint)
    return value


def _structure(value: object) -> object:
    if not isinstance(value, dict):
        raise _wrong(f"must be an object with objects and classifications, not {_sort_of(value)}")
    for part in ("objects", "classifications"):
        if not isinstance(value.get(part, []), list):
            raise _wrong(f"{part!r} in it must be a list, not {_sort_of(value[part])}")
    try:
        json_bytes(value, "structure", "")
    except UnencodableError as error:
        raise _wrong(error.message.removeprefix("the structure ")) from None
    return value


def _email_or_reference(value: str) -> str:
    return _hash_or_reference(value) if value.startswith(REFERENCE) else _email(value)


def _email(value: str) -> str:
    """The cheap half of what an address must be; the service knows the other half."""
    if not _ADDRESS.fullmatch(value) or not value.isprintable() or ".." in value:
        raise _wrong(f"{shown(value)} is no e-mail address")
    return value


def _hash(value: str) -> str:
    # A hash travels in an HTTP header, which takes no other characters and loses blanks at its ends.
    if not _HASH.fullmatch(value):
        if value.startswith(REFERENCE):
            raise _wrong(f"{shown(value)} is a reference, which this field does not take", "give a hash")
        raise _wrong(f"{shown(value)} is no hash")
    return value


def _ontology_hash(value: str) -> str:
    if value.startswith(REFERENCE):
        raise _wrong(f"{shown(value)} is a reference, which this field does not take", "call the field 'ontology'")
    return _hash(value)


def _hash_or_reference(value: str) -> str:
    if value.startswith(REFERENCE):
        if len(value) == 1 or not value.isprintable():
            raise _wrong(f"{shown(value)} names no key", "give a hash, or '@' and the key of another entry")
    elif not _HASH.fullmatch(value):
        raise _wrong(f"{shown(value)} is no hash", "give a hash, or '@' and the key of another entry")
    return value


def _key(value: str) -> str:
    if value.startswith(REFERENCE):
        raise _wrong("must not begin with '@'", "only references to the key do")
    if not value.isprintable():
        raise _wrong(f"{shown(value)} holds a character that cannot be printed")
    return value


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _wrong("holds half of a character (a lone surrogate)") from None
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise _wrong("must not be empty")
    return value


REFERENCE: Final = "@"
"""What a reference begins with."""

_GUESSED_CHARACTERS: Final = 100
_DIGITS: Final = re.compile("[0-9]{1,9}")
_ADDRESS: Final = re.compile(r"""[^\s@,;<>"]+@[^\s@,;<>".][^\s@,;<>"]*\.[^\s@,;<>".]+""")
_HASH: Final = re.compile("[!-?A-~][!-~]*")
_ROLES: Final[Mapping[str, ProjectUserRole]] = {role.name.lower(): role for role in ProjectUserRole}
_STORAGES: Final[Mapping[str, StorageLocation]] = {
    "cord": StorageLocation.CORD_STORAGE,
    "aws": StorageLocation.AWS_S3,
    "gcp": StorageLocation.GCP_STR,
    "azure": StorageLocation.AZURE_STR,
    "s3_compatible": StorageLocation.S3_COMPATIBLE_STR,
}
_ORGANISATION_ROLES: Final[Mapping[str, OrganisationRole]] = {role.name.lower(): role for role in OrganisationRole}
_MEMBER_TYPES: Final[Mapping[str, MemberType]] = {one.value: one for one in MemberType}
_COPY_OPTIONS: Final[Mapping[str, CopyOption]] = {option.value: option for option in CopyOption}
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
Key: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_not_blank),
    AfterValidator(_key),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "description": "The name that '@' references in other entries use."}
    ),
]
Hash: TypeAlias = Annotated[str, Strict(), AfterValidator(_hash)]
Reference: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_hash_or_reference),
    WithJsonSchema({"type": "string", "minLength": 1, "description": "A hash, or '@' and the key of another entry."}),
]
OntologyHash: TypeAlias = Annotated[str, Strict(), AfterValidator(_ontology_hash)]
Member: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_email_or_reference),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "description": "An e-mail address, or '@' and the key of an organisation_user.",
        }
    ),
]
Email: TypeAlias = Annotated[str, Strict(), AfterValidator(_email)]
Role: TypeAlias = Annotated[
    ProjectUserRole, BeforeValidator(_role), WithJsonSchema({"enum": [*_ROLES, *map(int, ProjectUserRole)]})
]
Storage: TypeAlias = Annotated[
    StorageLocation, BeforeValidator(_storage), WithJsonSchema({"enum": [*_STORAGES, *map(int, StorageLocation)]})
]
OrganisationRoleWord: TypeAlias = Annotated[
    OrganisationRole,
    BeforeValidator(_organisation_role),
    WithJsonSchema({"enum": [*_ORGANISATION_ROLES, *OrganisationRole]}),
]
MemberTypeWord: TypeAlias = Annotated[
    MemberType, BeforeValidator(_member_type), WithJsonSchema({"enum": list(_MEMBER_TYPES)})
]
CopyOptionWord: TypeAlias = Annotated[
    CopyOption, BeforeValidator(_copy_option), WithJsonSchema({"enum": list(_COPY_OPTIONS)})
]
Structure: TypeAlias = Annotated[
    dict[str, Any],
    BeforeValidator(_structure),
    WithJsonSchema({"type": "object", "description": "The ontology's structure as the service keeps it."}),
]
Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag)]
Scope: TypeAlias = Annotated[APIKeyScope, BeforeValidator(_scope), WithJsonSchema({"enum": list(_SCOPES)})]
Scopes: TypeAlias = Annotated[tuple[Scope, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UserWish(_Part):
    """A user and the role wanted in a project."""

    email: Email
    role: Role


class APIKeyWish(_Part):
    """An API key wanted in a project."""

    title: Title
    scopes: Scopes


class DatasetEntry(_Part):
    """A dataset that shall exist."""

    kind: Literal["dataset"] = "dataset"
    key: Key | None = None
    title: Title
    description: Text = ""
    storage: Storage = StorageLocation.CORD_STORAGE
    create_backing_folder: Flag = False


class ProjectEntry(_Part):
    """A project that shall exist, with its datasets, users and API keys.

    *ontology* is a hash or a reference; *ontology_hash* is an older word, for a hash alone. *copy_of* names the project
    that it is copied from, and *copy_options* what it takes along.
    """

    kind: Literal["project"] = "project"
    key: Key | None = None
    title: Title
    description: Text = ""
    ontology: Reference | None = None
    ontology_hash: OntologyHash | None = None
    workflow_template_id: Hash | None = None
    copy_of: Reference | None = None
    copy_options: tuple[CopyOptionWord, ...] = ()
    datasets: tuple[Reference, ...] = ()
    users: tuple[UserWish, ...] = ()
    api_keys: tuple[APIKeyWish, ...] = ()

    @property
    def wanted_ontology(self) -> str | None:
        """Hash or reference of the ontology, under whichever name it was given."""
        return self.ontology or self.ontology_hash


class ProjectDatasetsEntry(_Part):
    """Datasets to attach to and detach from a project."""

    kind: Literal["project_datasets"] = "project_datasets"
    key: Key | None = None
    project: Reference
    add: tuple[Reference, ...] = ()
    remove: tuple[Reference, ...] = ()


class ProjectUsersEntry(_Part):
    """Users to add to a project in one role, and users to remove from it."""

    kind: Literal["project_users"] = "project_users"
    key: Key | None = None
    project: Reference
    emails: tuple[Email, ...] = ()
    role: Role | None = None
    remove: tuple[Email, ...] = ()


class ProjectGroupsEntry(_Part):
    """Groups of the organisation to give access to a project in one role, and groups to take it from."""

    kind: Literal["project_groups"] = "project_groups"
    key: Key | None = None
    project: Reference
    add: tuple[Reference, ...] = ()
    role: Role | None = None
    remove: tuple[Reference, ...] = ()


class ProjectAPIKeyEntry(_Part):
    """An API key that a project shall have."""

    kind: Literal["project_api_key"] = "project_api_key"
    key: Key | None = None
    project: Reference
    title: Title
    scopes: Scopes


class OntologyEntry(_Part):
    """An ontology that shall exist; its structure may lie in a file beside the manifest."""

    kind: Literal["ontology"] = "ontology"
    key: Key | None = None
    title: Title
    description: Text = ""
    structure: Structure | None = None
    structure_file: Title | None = None


class GroupEntry(_Part):
    """A group of the organisation that shall exist, with members."""

    kind: Literal["group"] = "group"
    key: Key | None = None
    name: Title
    description: Text = ""
    members: tuple[Member, ...] = ()


class OrganisationUserEntry(_Part):
    """Somebody who shall be a member of the organisation; who has no account gets one, and a mail."""

    kind: Literal["organisation_user"] = "organisation_user"
    key: Key | None = None
    email: Email
    role: OrganisationRoleWord = OrganisationRole.MEMBER
    member_type: MemberTypeWord = MemberType.INTERNAL


Entry: TypeAlias = (
    DatasetEntry
    | ProjectEntry
    | ProjectDatasetsEntry
    | ProjectUsersEntry
    | ProjectAPIKeyEntry
    | ProjectGroupsEntry
    | OntologyEntry
    | GroupEntry
    | OrganisationUserEntry
)

MakingEntry: TypeAlias = DatasetEntry | ProjectEntry | OntologyEntry | GroupEntry
"""Entries that make a thing of their own."""

NamedEntry: TypeAlias = MakingEntry | OrganisationUserEntry
"""Entries whose key stands for something that others may refer to."""

ENTRY_MODELS: Final[Mapping[str, type[Entry]]] = MappingProxyType(
    {
        "dataset": DatasetEntry,
        "project": ProjectEntry,
        "project_datasets": ProjectDatasetsEntry,
        "project_users": ProjectUsersEntry,
        "project_api_key": ProjectAPIKeyEntry,
        "project_groups": ProjectGroupsEntry,
        "ontology": OntologyEntry,
        "group": GroupEntry,
        "organisation_user": OrganisationUserEntry,
    }
)
"""The model of each kind of entry."""

_MODELS: Final = tuple(ENTRY_MODELS.values())
_PARTS: Final[Mapping[str, tuple[str, type[_Part]]]] = {
    "users": ("a user", UserWish),
    "api_keys": ("an API key", APIKeyWish),
}
# Close in meaning, but not in spelling.
_OTHER_NAMES: Final = {"name": "title", "title": "name", "users": "members"}
_MAX_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands.

    *source* is the file as the user named it, ``<stdin>`` or ``<iterable>``; *line* counts from 1 and is None where
    there are no lines; *number* is the entry's position, from 1 (0 is the header of a table).
    """

    source: str
    line: int | None
    number: int

    def __str__(self) -> str:
        return f"entry {self.number}" if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an entry.

    *field* is the path of the field (``users.0.role``), empty if it is the entry as a whole. *hint* says what was
    probably meant. *key* is the key of the bad entry where it could be read, so that references to it can be judged.
    """

    place: Place
    field: str
    reason: str
    hint: str = ""
    key: str | None = None

    def __post_init__(self) -> None:
        for name in ("field", "reason", "hint"):
            object.__setattr__(self, name, redacted(getattr(self, name)))

    def __str__(self) -> str:
        where = f"{self.place}: {self.field}" if self.field else str(self.place)
        return f"{where}: {self.reason}; {self.hint}" if self.hint else f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry and where it stands; *file* is what it names for a part of it, if it does, and was read."""

    place: Place
    entry: Entry
    file: str | None = None


def read_entry(raw: object, place: Place) -> Entry | tuple[Problem, ...]:
    """Read an entry, or say everything that is wrong with it; raises nothing.

    Args:
        raw: An entry, which is given back as it is, or a mapping as JSON has it.
        place: Where it stands, for the problems.
    """
    if isinstance(raw, _MODELS):
        return raw
    if not isinstance(raw, Mapping):
        return (Problem(place, "", f"must be an object with a 'kind', not {_sort_of(raw)}"),)
    kind = raw.get("kind")
    model = ENTRY_MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return (_kind_problem(raw, place),)
    try:
        return model.model_validate(raw if type(raw) is dict else dict(raw))
    except ValidationError as error:
        return _problems(error, raw, model, place)


def read_json_entry(line: bytes, place: Place) -> Entry | tuple[Problem, ...]:
    """Read an entry from one line of JSONL, or say everything that is wrong with it; raises nothing."""
    try:
        return read_entry(_DECODER.decode(line.decode().rstrip("\r\n")), place)
    except UnicodeDecodeError as error:
        reason, hint = f"is not UTF-8 at byte {error.start + 1} of the line", "save the file as UTF-8"
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        reason, hint = f"is not JSON: {what} at column {error.colno}", _json_hint(line)
    except _NotAllowed as error:
        return (Problem(place, field_path((error.name,)) if error.name else "", error.reason),)
    except RecursionError:
        reason, hint = "is nested too deeply", ""
    except ValueError:
        # The one that is left: Python reads no numbers of thousands of digits.
        reason, hint = "holds a number with too many digits", ""
    return (Problem(place, "", reason, hint),)


class _NotAllowed(Exception):
    """JSON that Python would read, but not we."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # JSON does not say which of two equal members counts, so neither may.
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise _NotAllowed(repeated, "is given twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise _NotAllowed("", f"holds {name}, which JSON does not have")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant)


def _json_hint(line: bytes) -> str:
    text = line.strip()
    if text.startswith((b"#", b"//")):
        return "JSONL has no comments"
    if text.endswith((b"},", b"],")):
        return "no comma between the lines"
    if text in {b"{", b"[", b"]", b"}"} or (text.startswith(b"{") and not text.endswith(b"}")):
        return "write each entry on one line of its own"
    return ""


def _kind_problem(raw: Mapping[object, object], place: Place) -> Problem:
    key = _key_of(raw)
    if "kind" in raw:
        kind = raw["kind"]
        hint = meant(kind, ENTRY_MODELS) if isinstance(kind, str) else ""
        reason = f"{shown(kind)} is no kind of entry; use one of {', '.join(ENTRY_MODELS)}"
        return Problem(place, "kind", reason, hint, key)
    fits = [kind for kind, model in ENTRY_MODELS.items() if _has_the_fields_of(model, raw)]
    guess = f"its fields are those of {fits[0]!r}" if len(fits) == 1 else f"use one of {', '.join(ENTRY_MODELS)}"
    return Problem(place, "kind", "is missing", guess, key)


def _has_the_fields_of(model: type[_Part], raw: Mapping[object, object]) -> bool:
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    return needed <= raw.keys() <= set(model.model_fields)


def _key_of(raw: Mapping[object, object]) -> str | None:
    key = raw.get("key")
    return key if isinstance(key, str) and key else None


def _problems(
    error: ValidationError, raw: Mapping[object, object], model: type[_Part], place: Place
) -> tuple[Problem, ...]:
    key = _key_of(raw)
    # Pydantic calls a list too short if the items that it has are wrong.
    details = [one for one in error.errors(include_url=False) if one["type"] != "too_short" or not one["input"]]
    problems = [_problem(detail, model, place, key) for detail in details[:_MAX_PROBLEMS]]
    if len(details) > _MAX_PROBLEMS:
        problems.append(Problem(place, "", f"has {len(details) - _MAX_PROBLEMS} more problems", key=key))
    return tuple(problems)


def _problem(detail: ErrorDetails, model: type[_Part], place: Place, key: str | None) -> Problem:
    """One of pydantic's complaints in words for those who write manifests."""
    value, reason, hint = detail["input"], "", ""
    match detail["type"]:
        case "manifest":
            reason, hint = detail["ctx"]["reason"], detail["ctx"]["hint"]
        case "missing":
            reason = "is missing"
        case "extra_forbidden":
            reason, hint = _unknown_field(detail["loc"], model)
        case "string_type":
            reason = f"must be text, not {_sort_of(value)}"
            hint = "leave it out" if value is None else "put it in quotes" if not isinstance(value, list | dict) else ""
        case "tuple_type":
            reason = f"must be a list, not {_sort_of(value)}"
            hint = "leave it out" if value is None else "put it in [brackets]" if isinstance(value, str) else ""
        case "too_short":
            reason = "must not be empty"
        case "model_type":
            reason = f"must be an object with {' and '.join(_part(detail['loc'], model)[1].model_fields)}"
        case "invalid_key":
            reason = "names of fields must be text"
        case _:
            reason = detail["msg"][:1].lower() + detail["msg"][1:]
    return Problem(place, field_path(detail["loc"]), reason, hint, key)


def _part(location: Sequence[int | str], model: type[_Part]) -> tuple[str, type[_Part]]:
    """What *location* is in, and its model."""
    kind = model.model_fields["kind"].default
    return _PARTS.get(str(location[0]), (f"a {kind} entry", model)) if len(location) > 1 else (f"a {kind} entry", model)


def _unknown_field(location: Sequence[int | str], model: type[_Part]) -> tuple[str, str]:
    word, part = _part(location, model)
    name = str(location[-1])
    other = _OTHER_NAMES.get(name.lower())
    guess = f"did you mean {other!r}?" if other in part.model_fields else meant(name, part.model_fields)
    return f"is not a field of {word}", guess or f"it has {', '.join(part.model_fields)}"


def field_path(location: Sequence[int | str]) -> str:
    """The path of a field, as problems have it."""
    path = ".".join(map(str, location))
    path = path if len(path) <= _GUESSED_CHARACTERS else path[:_GUESSED_CHARACTERS] + "..."
    return path if path.isprintable() else ascii(path)


_Use: TypeAlias = tuple[Place, str, str]
"""Where a reference stands, in which field, and which kind it has to name."""

_BAD: Final = ""
"""The kind of an entry that could not be read."""

_MAX_GUESSES: Final = 50_000
"""How many keys are looked at, at most, to guess what references to nothing meant."""


class Checker:
    """What can be wrong between entries, told as they pass by.

    It remembers the keys, the references to keys that have not passed yet, and what is copied from what. Nothing else
    is kept, so it does not compare, for example, the users that two entries add to one project.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Place]] = {}
        self._unresolved: dict[str, list[_Use]] = {}
        self._late: list[Problem] = []
        self._copies: dict[str, str] = {}
        """Keys of projects and the keys of those that they are copied from."""
        self._templates: set[str] = set()

    def add(self, placed: PlacedEntry) -> tuple[Problem, ...]:
        """Take the next entry; what is wrong with this one, as far as it can be known by now."""
        entry, place = placed.entry, placed.place
        found = _within(entry)
        if entry.key is not None:
            earlier = self._known.get(entry.key)
            if earlier is None:
                self._learn(entry.key, entry.kind, place)
            else:
                found.append(("key", f"{shown(entry.key)} is the key of {earlier[1]} already", ""))
        if isinstance(entry, ProjectEntry) and entry.copy_of is not None and self._goes_in_circles(entry):
            found.append(("copy_of", f"{shown(entry.copy_of)} is itself copied from this entry, if not directly", ""))
        for field, reference, wanted in _references(entry):
            fault = self._refer(entry, (place, field, wanted), reference)
            if fault is not None:
                found.append((field, *fault))
        return tuple([Problem(place, field, reason, hint, entry.key) for field, reason, hint in found]) if found else ()

    def _goes_in_circles(self, entry: ProjectEntry) -> bool:
        """Whether *entry*, which is a copy, would have to be there before itself."""
        template = referenced_key(entry.copy_of or "")
        if template is None or entry.key is None or template == entry.key:
            return False
        # Only what is copied by an entry before can close a circle: long chains are not walked for each of their links.
        link: str | None = template if entry.key in self._templates else None
        while link is not None and link != entry.key:
            link = self._copies.get(link)
        if link is None:
            self._copies[entry.key] = template
            self._templates.add(template)
        return link is not None

    def refuse(self, problem: Problem) -> None:
        """Take an entry that could not be read, so that references to it are not called references to nothing."""
        if problem.key is not None and problem.key not in self._known:
            self._learn(problem.key, _BAD, problem.place)

    def take_late(self) -> tuple[Problem, ...]:
        """What turned out to be wrong, since the last call, with references of entries that have passed."""
        late, self._late = tuple(self._late), []
        return late

    def finish(self) -> tuple[Problem, ...]:
        """What is wrong with references to entries that came later, or never came, in the order of the entries."""
        problems = list(self._late)
        guesses = _MAX_GUESSES
        for key, uses in self._unresolved.items():
            hint = ""
            if len(self._known) <= guesses:
                guesses -= len(self._known)
                wanted = uses[0][2]
                hint = meant(
                    REFERENCE + key, (REFERENCE + one for one, (kind, _) in self._known.items() if kind == wanted)
                )
            reason = f"{shown(REFERENCE + key)} refers to nothing: no entry has this key"
            problems.extend(Problem(place, field, reason, hint) for place, field, _ in uses)
        return tuple(sorted(problems, key=lambda problem: problem.place.number))

    def _learn(self, key: str, kind: str, place: Place) -> None:
        self._known[key] = (kind, place)
        for use in self._unresolved.pop(key, ()):
            fault = _misfit(key, kind, place, use)
            if fault:
                self._late.append(Problem(use[0], use[1], fault))

    def _refer(self, entry: Entry, use: _Use, reference: str) -> tuple[str, str] | None:
        """Reason and hint, if *reference* is wrong as far as it can be known by now."""
        key = referenced_key(reference)
        known = self._known.get(reference if key is None else key)
        if key is None:
            if known is None:
                return None
            return f"{shown(reference)} is the key of {known[1]}", f"write {REFERENCE + reference!r}"
        if key == entry.key:
            return f"{shown(reference)} refers to this entry itself", ""
        if known is None:
            self._unresolved.setdefault(key, []).append(use)
            return None
        fault = _misfit(key, *known, use)
        return (fault, "") if fault else None


def _misfit(key: str, kind: str, place: Place, use: _Use) -> str:
    """What is wrong with using *key*, that of an entry of *kind* at *place*; nothing if it is right."""
    if kind == use[2]:
        return ""
    reference = shown(REFERENCE + key)
    if kind == _BAD:
        return f"{reference} names {place}, which is wrong itself"
    return f"{reference} is {_one(kind)}, and {use[1].partition('.')[0]!r} needs {_one(use[2])}"


def _one(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _references(entry: Entry) -> Iterable[tuple[str, str, str]]:
    """Field, hash or reference, and the kind that is wanted there."""
    match entry:
        # The most numerous first.
        case ProjectUsersEntry() | ProjectAPIKeyEntry():
            yield "project", entry.project, "project"
        case ProjectEntry():
            yield from _each("datasets", entry.datasets, "dataset")
            if entry.ontology is not None:
                yield "ontology", entry.ontology, "ontology"
            if entry.copy_of is not None:
                yield "copy_of", entry.copy_of, "project"
        case ProjectDatasetsEntry() | ProjectGroupsEntry():
            yield "project", entry.project, "project"
            wanted = "dataset" if isinstance(entry, ProjectDatasetsEntry) else "group"
            yield from _each("add", entry.add, wanted)
            yield from _each("remove", entry.remove, wanted)
        case GroupEntry():
            yield from _each("members", entry.members, "organisation_user")
        case DatasetEntry() | OntologyEntry() | OrganisationUserEntry():
            pass


def _each(field: str, references: Sequence[str], wanted: str) -> Iterator[tuple[str, str, str]]:
    for index, reference in enumerate(references):
        yield f"{field}.{index}", reference, wanted


def _within(entry: Entry) -> list[tuple[str, str, str]]:
    """Field, reason and hint of what stands twice in one entry, is missing, or does not go together."""
    match entry:
        case ProjectUsersEntry():
            found = []
            if len(entry.emails) + len(entry.remove) > 1:
                emails = [email.casefold() for email in entry.emails]
                removed = [email.casefold() for email in entry.remove]
                found += _twice("emails.{}", emails) + _twice("remove.{}", removed)
                found += _in_both("emails", emails, removed)
            return found + _half("emails", entry.emails, entry.role, entry.remove)
        case ProjectGroupsEntry():
            found = _twice("add.{}", entry.add) + _twice("remove.{}", entry.remove)
            found += _in_both("add", entry.add, entry.remove)
            return found + _half("add", entry.add, entry.role, entry.remove)
        case GroupEntry():
            return _twice("members.{}", [member.casefold() for member in entry.members])
        case OrganisationUserEntry():
            outside = entry.role is OrganisationRole.ADMIN and entry.member_type is not MemberType.INTERNAL
            reason = "only an internal member can be admin of an organisation"
            return [("member_type", reason, "use another role or type")] if outside else []
        case ProjectAPIKeyEntry():
            return _twice("scopes.{}", entry.scopes)
        case ProjectEntry():
            found = _twice("datasets.{}", entry.datasets)
            found += _users_twice(entry.users)
            found += _twice("api_keys.{}.title", [wish.title for wish in entry.api_keys])
            for index, wish in enumerate(entry.api_keys):
                found += _twice(f"api_keys.{index}.scopes.{{}}", wish.scopes)
            return found + _at_odds(entry)
        case ProjectDatasetsEntry():
            found = _twice("add.{}", entry.add) + _twice("remove.{}", entry.remove)
            return found + _in_both("add", entry.add, entry.remove)
        case DatasetEntry() | OntologyEntry():
            return []


def _in_both(field: str, added: Sequence[str], removed: Sequence[str]) -> list[tuple[str, str, str]]:
    if not removed:
        return []
    there = set(added)
    return [
        (f"remove.{index}", f"{shown(item)} is in {field!r} too", "")
        for index, item in enumerate(removed)
        if item in there
    ]


def _half(
    field: str, added: Sequence[str], role: ProjectUserRole | None, removed: Sequence[str]
) -> list[tuple[str, str, str]]:
    """What lacks of an entry that adds in a role, removes, or both."""
    if not added and not removed:
        return [(field, "must not be empty", f"give {field!r} and 'role', or 'remove'")]
    if added and role is None:
        return [("role", "is missing", "")]
    if role is not None and not added:
        return [("role", f"is for {field!r}, which is missing", "leave it out")]
    return []


def _at_odds(entry: ProjectEntry) -> list[tuple[str, str, str]]:
    """Fields of a project that do not go together."""
    found = []
    if entry.ontology is not None and entry.ontology_hash is not None:
        found.append(("ontology_hash", "is an older word for 'ontology', which is given too", "keep 'ontology'"))
    if entry.copy_of is None:
        if entry.copy_options:
            found.append(("copy_options", "says what a copy takes along, and 'copy_of' is missing", ""))
        return found
    reason = "cannot be chosen for a copy, which has that of 'copy_of'"
    chosen = ("ontology", "ontology_hash", "workflow_template_id")
    found += [(field, reason, "leave it out") for field in chosen if getattr(entry, field) is not None]
    if not entry.description:
        reason = "is missing: a copy without one may get that of 'copy_of', and could not be told apart from others"
        found.append(("description", reason, "describe the copy"))
    found += _twice("copy_options.{}", entry.copy_options)
    if CopyOption.COLLABORATORS in entry.copy_options and referenced_key(entry.copy_of) is not None:
        index = entry.copy_options.index(CopyOption.COLLABORATORS)
        reason = "the users of an entry of this manifest may not be there yet when it is copied"
        found.append((f"copy_options.{index}", reason, "give the copy 'users' of its own"))
    return found


def _twice(field: str, values: Sequence[str]) -> list[tuple[str, str, str]]:
    """A fault for each of *values* that stood before; *field* has a gap for the position."""
    if len(values) < 2 or len(set(values)) == len(values):
        return []
    first: dict[str, int] = {}
    found = []
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            found.append(
                (field.format(index), f"{shown(str(value))} is listed twice", f"see {field.format(first[value])}")
            )
    return found


def _users_twice(users: Sequence[UserWish]) -> list[tuple[str, str, str]]:
    first: dict[str, tuple[int, ProjectUserRole]] = {}
    found = []
    for index, user in enumerate(users):
        earlier, role = first.setdefault(user.email.casefold(), (index, user.role))
        if earlier != index:
            roles = f" as {role.name.lower()} and as {user.role.name.lower()}" if role != user.role else ""
            found.append(
                (f"users.{index}.email", f"{shown(user.email)} is listed twice{roles}", f"see users.{earlier}")
            )
    return found


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one entry, for editors: a line of JSONL, an item of the list in YAML."""
    adapter: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])
    schema: dict[str, Any] = adapter.json_schema()
    # A word of OpenAPI; editors go by the constant in each branch.
    del schema["discriminator"]
    for definition in schema["$defs"].values():
        fields = definition["properties"]
        if "kind" in fields:
            # Python fills it in; a file has to say it.
            del fields["kind"]["default"]
            definition["required"] = ["kind", *definition["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_untitled(schema)}


def _untitled(schema: Any) -> Any:
    """The schema without the titles that are made from the names of fields and classes."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A field called "title" has an object there.
    return {name: _untitled(item) for name, item in schema.items() if name != "title" or not isinstance(item, str)}


def needed_keys(entry: Entry) -> Iterator[str]:
    """The keys of other entries that *entry* refers to."""
    for _, reference, _ in _references(entry):
        key = referenced_key(reference)
        if key is not None:
            yield key
