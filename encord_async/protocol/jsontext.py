"""JSON as the official SDK writes it: the bytes that get signed. Never reads what the service sends.

Source: SDK 0.1.211 ``http/request.py``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from encord_async.errors import UnencodableError

__all__ = ["JSON", "json_bytes"]

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"
"""What a JSON document can hold."""

_ENCODE: Final = json.JSONEncoder(allow_nan=False).encode
"""``json.dumps`` with this option; that would make an encoder for each call."""

_HALF_PAIR: Final = re.compile(r"[\ud800-\udfff]")


def json_bytes(document: JSON, what: str, operation: str) -> bytes:
    """*document* as the official SDK writes it: ``json.dumps`` with its default separators and ASCII escapes.

    Raises:
        UnencodableError: It is not JSON; the message calls it *what*.
    """
    try:
        text = _ENCODE(document)
        if "\\ud" in text and _HALF_PAIR.search(json.dumps(json.loads(text), ensure_ascii=False)):
            # Legal in JSON's grammar, and in no service's string type.
            raise ValueError("a text holds half of a surrogate pair")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnencodableError(
            f"the {what} cannot be written as JSON: {error}; use text, numbers, lists and objects only",
            operation=operation,
        ) from None
    return text.encode("ascii")
