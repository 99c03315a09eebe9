"""What values are declared with of which there are several for each entry of a manifest. It holds none itself.

To make a frozen dataclass takes three times as long as to make another one, since each of its fields is set by a call
that gets around its own lock. That nobody changes a `value` is seen to by mypy, which all our code has to please.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(of: type[T]) -> type[T]:
    """A dataclass with slots whose fields are given by name and stay as they are."""
    return dataclass(slots=True, kw_only=True)(of)
