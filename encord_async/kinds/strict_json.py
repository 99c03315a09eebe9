"""JSON in which each member counts: read from files and cells that people write. Pure."""

import json
from collections import Counter
from typing import Any, Final, NoReturn

from encord_async.kinds.fields import shown

__all__ = ["NotStrictError", "strict_json"]


class NotStrictError(ValueError):
    """JSON that Python would read, or tries to, but not we.

    Attributes:
        name: The member that it is about; empty if it is about none.
        reason: What is wrong.
    """

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{shown(name)} {reason}" if name else reason)
        self.name = name
        self.reason = reason


def strict_json(text: str) -> Any:
    """The value in *text*.

    Raises:
        NotStrictError: A member is given twice, or a number is none or too long, or it is nested too deeply.
        json.JSONDecodeError: It is no JSON.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise NotStrictError("is nested too deeply") from None
    except (NotStrictError, json.JSONDecodeError):
        raise
    except ValueError:
        # The one that is left: Python reads no numbers of thousands of digits.
        raise NotStrictError("holds a number with too many digits") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # JSON does not say which of two equal members counts, so neither may.
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise NotStrictError("is given twice in one object", repeated)
    return members


def _no_constant(name: str) -> NoReturn:
    raise NotStrictError(f"holds {name}, which JSON does not have")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant)
