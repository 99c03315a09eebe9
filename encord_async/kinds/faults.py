"""What can be wrong within an entry whose fields are right each by itself. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from encord_async.kinds.fields import shown
from encord_async.protocol.catalogue import ProjectUserRole

__all__ = ["Fault", "half", "in_both", "twice"]


class Fault(NamedTuple):
    """What is wrong: the path of the field, why, and what was probably meant."""

    field: str
    reason: str
    hint: str = ""


def in_both(field: str, added: Sequence[str], removed: Sequence[str]) -> list[Fault]:
    """A fault for each of *removed* that is among *added*, which stand in *field*."""
    if not removed:
        return []
    there = set(added)
    return [
        Fault(f"remove.{index}", f"{shown(item)} is in {field!r} too")
        for index, item in enumerate(removed)
        if item in there
    ]


def half(field: str, added: Sequence[str], role: ProjectUserRole | None, removed: Sequence[str]) -> list[Fault]:
    """What an entry lacks that adds in a role, removes, or both."""
    if not added and not removed:
        return [Fault(field, "must not be empty", f"give {field!r} and 'role', or 'remove'")]
    if added and role is None:
        return [Fault("role", "is missing")]
    if role is not None and not added:
        return [Fault("role", f"is for {field!r}, which is missing", "leave it out")]
    return []


def twice(field: str, values: Sequence[str]) -> list[Fault]:
    """A fault for each of *values* that stood before; *field* has a gap for the position."""
    if len(values) < 2 or len(set(values)) == len(values):
        return []
    first: dict[str, int] = {}
    found = []
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            found.append(
                Fault(field.format(index), f"{shown(str(value))} is listed twice", f"see {field.format(first[value])}")
            )
    return found
