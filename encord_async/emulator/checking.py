"""How the models of seed and rule files check a field, and what they say of one that is wrong.

It never repairs a value, and reads no file; the models are their own modules' part.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WrapValidator
from pydantic_core import ErrorDetails

__all__ = ["ENTRY", "UNKNOWN", "Text", "Texts", "Title", "has_to_be", "read", "without"]

T = TypeVar("T")

UNKNOWN: Final = "is not known here"
"""What is said of a field that nobody knows."""


def has_to_be(wanted: str) -> WrapValidator:
    """Return what makes any mistake of a field's type into ``has to be`` *wanted*."""

    def check(value: object, handler: Callable[[object], object]) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(f"has to be {wanted}") from None

    return WrapValidator(check)


def without(*blank: object) -> BeforeValidator:
    """Return what makes a field of an entry that is one of *blank* as good as left out."""

    def given(raw: object) -> object:
        return {key: value for key, value in raw.items() if value not in blank} if isinstance(raw, dict) else raw

    return BeforeValidator(given)


ENTRY: Final = ConfigDict(extra="forbid")
"""An entry that refuses fields which are none of its own. The types of its fields are strict."""

Text = Annotated[str, Field(strict=True), has_to_be("a string")]
Title = Annotated[str, Field(strict=True, pattern=r"\S"), has_to_be("a string that is not empty")]
Texts = tuple[Text, ...]


def read(model: TypeAdapter[T], raw: object, mistake: Callable[[str, str], Exception]) -> T:
    """Return *raw* as what *model* says.

    Raises:
        Exception: What *mistake* makes of the path of the first mistake, such as ``users[0].email``, and its text.
    """
    try:
        return model.validate_python(raw)
    except ValidationError as error:
        # A name that is not known explains best why others are missing.
        details = error.errors(include_url=False, include_input=False)
        first = min(details, key=lambda one: one["type"] != "unexpected_keyword_argument")
    raise mistake(_path(first["loc"]), _text(first))


def _path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


_TEXTS: Final[dict[str, str]] = {
    "missing": "is missing",
    "unexpected_keyword_argument": UNKNOWN,
    "invalid_key": UNKNOWN,
    "tuple_type": "has to be a list",
    "dict_type": "has to be an object",
    "dataclass_type": "has to be an object",
}


def _text(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    return str(context["error"]) if "error" in context else _TEXTS.get(detail["type"], detail["msg"])
