"""Checks of what operations are made of, and the reader of what they are answered.

Nothing here knows a call of the service; bad values are refused before anything is sent, and answers are read without
repeating them in an error.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from encord_async.errors import RefusedError, ReplyShapeError, UsageError
from encord_async.redaction import quoted
from encord_async.secrecy import sealed

__all__ = [
    "Adapter",
    "Check",
    "OptionalText",
    "SomeTexts",
    "Text",
    "Texts",
    "assign",
    "filled",
    "member",
    "members_of",
    "one_of",
    "read_done",
    "some",
    "text",
    "texts",
]

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
S = TypeVar("S", bound=str)


@dataclass(frozen=True, slots=True)
class Check:
    """What an annotation says of a field of an operation, see `Operation`.

    *take* is given the value and the name of the field; what it gives back is kept. Raises `UsageError`.
    """

    take: Callable[[Any, str], object]


_WRONG: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "is no text",
    "string_too_short": "is empty",
    "too_short": "is empty",
    "too_long": "has more than {max_length} items",
    "int_type": "is no number",
    "tuple_type": "is no list",
    "dict_type": "is no object",
    "model_type": "is no object",
}
"""What is wrong with a part of an answer, by pydantic's name for it, which speaks of our types."""

_TYPES: Final = frozenset({"int", "str"})
"""By which pydantic names one of several types in a place."""


class Adapter(Generic[T]):
    """A pydantic adapter that is built when first used: most processes use few of them."""

    __slots__ = ("_adapter", "_type")

    def __init__(self, type_: object) -> None:
        self._type = type_
        self._adapter: TypeAdapter[T] | None = None

    def read(self, response: object, name: str) -> T:
        """*response* as a value of this type.

        Raises:
            ReplyShapeError: It is none; *name* is the call that it answers.
        """
        if self._adapter is None:
            self._adapter = TypeAdapter(cast("type[T]", self._type))
        try:
            return self._adapter.validate_python(response)
        except ValidationError as error:
            wrong = _what_is_wrong(error)
        # Raised out here and not above: pydantic's error holds the answer, which may hold API keys.
        raise ReplyShapeError(f"the service succeeded, but {wrong}", operation=name)

    def read_about(self, asked: str, member: str, response: object, name: str) -> T:
        """As `read`, of an answer that says in *member* what it is about, which has to be what was *asked* about."""
        found = self.read(response, name)
        several = found if isinstance(found, tuple) else (found,)
        if any(getattr(one, member).casefold() != asked.casefold() for one in several):
            raise ReplyShapeError("the service succeeded, but its answer is about something else", operation=name)
        return found


def _what_is_wrong(error: ValidationError) -> str:
    """Which part of an answer is not as expected, and why; of several the first one. What it holds is not said."""
    details = error.errors(include_input=False, include_url=False)
    places = [_place(detail["loc"]) for detail in details]
    # Of what may be one thing or another, the last has the fewest demands: any text beside those that are known.
    last = max(number for number, place in enumerate(places) if place == places[0])
    part = f"{places[0]} of its answer" if places[0] else "its answer"
    why = _WRONG.get(details[last]["type"], f"is not as expected: {details[last]['msg']}")
    return f"{part} {why.format_map(details[last].get('ctx', {}))}"


def _place(loc: tuple[int | str, ...]) -> str:
    # Beside names and numbers there are the types that it may be of.
    parts = [str(part) for part in loc if isinstance(part, int) or (part.isidentifier() and part not in _TYPES)]
    return f"item {'.'.join(parts)}" if loc and isinstance(loc[0], int) else ".".join(parts)


def read_done(content: object, name: str) -> None:
    """Take *content* for yes or no. Raises as `Adapter.read`.

    Raises:
        RefusedError: It is no.
    """
    if content is False:
        raise RefusedError("the service answered that it did not do this", operation=name)
    if content is not True:
        raise ReplyShapeError("the service succeeded, but its answer is not true or false", operation=name)


def text(value: str, what: str) -> str:
    """*value*, which has to be more than white space; *what* names it in the `UsageError`."""
    if not value.strip():
        raise UsageError(f"{what} is empty; give a text")
    return value


def texts(values: Iterable[S], what: str) -> tuple[S, ...]:
    """*values* as a tuple of texts, none of them blank."""
    if isinstance(values, str):
        raise UsageError(f"{what} is one text; give a list of texts")
    found = tuple(values)
    for value in found:
        text(value, f"a member of {what}")
    return found


@sealed
def one_of(kind: type[E], value: object, what: str) -> E:
    """*value* as a member of *kind*."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(m.value) if isinstance(m.value, str) else f"{m.value} {m.name.lower()}" for m in kind)
        raise UsageError(f"{quoted(value)} is no {what}; use one of {known}") from None


def filled(found: tuple[T, ...], what: str) -> tuple[T, ...]:
    """*found*, which is not empty."""
    if not found:
        raise UsageError(f"{what} is empty; there would be nothing to do")
    return found


def some(values: Iterable[str], what: str) -> tuple[str, ...]:
    """*values* as a tuple of at least one text, none of them blank."""
    return filled(texts(values, what), what)


def member(kind: type[Enum], what: str) -> Check:
    """Takes a member of *kind*, or its value; *what* names it in the error."""
    return Check(lambda value, _: one_of(kind, value, what))


def members_of(kind: type[Enum], what: str) -> Check:
    """Takes a list of what `member` takes."""
    return Check(lambda values, name: tuple(one_of(kind, one, what) for one in texts(values, name)))


Text: TypeAlias = Annotated[str, Check(text)]
"""More than white space."""
OptionalText: TypeAlias = Annotated[str | None, Check(lambda value, name: None if value is None else text(value, name))]
Texts: TypeAlias = Annotated[tuple[str, ...], Check(texts)]
"""Texts, none of them blank."""
SomeTexts: TypeAlias = Annotated[tuple[str, ...], Check(some)]
"""At least one text, none of them blank."""


def assign(instance: object, name: str, value: object) -> None:
    """Normalise a field of a frozen dataclass while it is being made."""
    object.__setattr__(instance, name, value)
