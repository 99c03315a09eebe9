"""The data rows of a dataset, in one answer, or where that has no room for them by parts of time. Sends only reads.

The listing has no pages. It can be narrowed down by when rows were made, so what is too large is asked for again in
parts that overlap a little: whether the service counts the very moment does not matter, nor whose clock is right.
"""

import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from encord_async.errors import UnreadableReplyError
from encord_async.kinds.reading import Reads
from encord_async.protocol.models import DataRow
from encord_async.protocol.operations.datasets import ListDataRows

__all__ = ["parts_of_rows"]

_AGES_S: Final = (60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)
"""What was made longer ago than each of these is asked for apart from the rest: most is made within an hour."""
_OLDEST: Final = datetime(2015, 1, 1, tzinfo=UTC)
_OVERLAP: Final = timedelta(seconds=1)
_LEAST: Final = 4 * _OVERLAP
"""A shorter time is not parted."""


class _Span(NamedTuple):
    """From when to when; None where there is no end."""

    after: datetime | None
    before: datetime | None


async def parts_of_rows(reads: Reads, dataset_hash: str) -> AsyncIterator[Sequence[DataRow]]:
    """All rows of a dataset, each once, in no particular order.

    Raises:
        EncordError: They cannot be listed; REPLY_TOO_LARGE is its code if what was made within a few seconds is.
    """
    try:
        yield await reads.execute(ListDataRows(dataset_hash=dataset_hash))
    except UnreadableReplyError as error:
        if error.code != "REPLY_TOO_LARGE":
            raise
    else:
        return
    now = datetime.fromtimestamp(reads.clock.wall_s(), UTC)
    left, edges, shown = _ages(now), set[datetime](), set[str]()
    edges.update(span.before for span in left if span.before is not None)
    while left:
        span = left.pop()
        try:
            rows = await reads.execute(_listing(dataset_hash, span))
        except UnreadableReplyError as error:
            middle = _middle(span, now)
            if error.code != "REPLY_TOO_LARGE" or middle is None:
                raise
            edges.add(middle)
            left += [_Span(span.after, middle), _Span(middle, span.before)]
            continue
        fresh = [row for row in rows if row.data_hash not in shown]
        # Only what was made near an edge comes twice.
        shown.update(row.data_hash for row in fresh if _is_near(row.created_at, edges))
        yield fresh


def _ages(now: datetime) -> list[_Span]:
    moments = [None, *(now - timedelta(seconds=age_s) for age_s in reversed(_AGES_S)), None]
    return [_Span(*pair) for pair in itertools.pairwise(moments)]


def _middle(span: _Span, now: datetime) -> datetime | None:
    """Where *span* is parted; None if it is too short for that."""
    after, before = span.after or _OLDEST, span.before or now + timedelta(hours=1)
    return after + (before - after) / 2 if before - after > _LEAST else None


def _listing(dataset_hash: str, span: _Span) -> ListDataRows:
    return ListDataRows(
        dataset_hash=dataset_hash,
        created_after=None if span.after is None else span.after - _OVERLAP,
        created_before=None if span.before is None else span.before + _OVERLAP,
    )


def _is_near(moment: datetime | None, edges: set[datetime]) -> bool:
    if moment is None:
        return True
    return any(abs(moment - edge) <= 2 * _OVERLAP for edge in edges)
