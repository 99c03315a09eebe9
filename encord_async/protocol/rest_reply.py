"""Judges a reply of REST v2: its HTTP status decides, and a value or one error of the tree comes out.

Pure, as `encord_async.protocol.reply` is, whose parts it uses. Whatever bytes arrive, the outcome is a value or an
`EncordError`, never another exception.

The rule (source: SDK 0.1.211 ``http/v2/api_client.py``, ``http/v2/error_utils.py``): 200 carries JSON, 204 carries
nothing, everything else is an error with a text in ``message`` or ``detail``.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from encord_async import errors
from encord_async.protocol.reply import (
    BY_NUMBER,
    NOTHING_SENT,
    RawReply,
    StatusTable,
    content_of,
    context_of,
    plain_error,
    unreadable,
    what_is_wrong,
)
from encord_async.secrecy import Secret

__all__ = ["judge_rest"]

_BY_NUMBER: Final[StatusTable] = {
    **BY_NUMBER,
    404: (errors.NotFoundError, "no such resource"),
    409: (errors.ExistsError, "it is there already"),
}


def judge_rest(
    reply: RawReply,
    *,
    operation: str,
    trace_id: str | None = None,
    now_s: float,
    sent: Secret[Mapping[str, str]] = NOTHING_SENT,
) -> object:
    """Return the JSON value of a successful reply, None for one without content.

    The arguments are those of `encord_async.protocol.reply.judge`.

    Raises:
        RefusedError: The service will not do it; `ThrottledError` and others by meaning.
        ServiceFaultError: The service broke down and may have acted.
        UnreadableReplyError: A success without readable content, or a status that means nothing here.
    """
    if reply.http_status == HTTPStatus.NO_CONTENT:
        return None
    try:
        document: object = content_of(reply.body)
        readable = True
    except ValueError:
        document, readable = None, False
    if reply.http_status == HTTPStatus.OK and readable:
        return document
    context = context_of(
        reply,
        operation=operation,
        trace_id=trace_id,
        now_s=now_s,
        sent=sent,
        is_readable=isinstance(document, dict) and not {"message", "detail"}.isdisjoint(document),
    )
    why = f"HTTP {reply.http_status} is not one of its answers"
    if reply.http_status == HTTPStatus.OK:
        why = what_is_wrong(reply.body, otherwise="it is not JSON")
    raise plain_error(document, context, _BY_NUMBER) or unreadable(why, context)
