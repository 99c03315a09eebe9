"""Data rows that one answer has no room for are asked for by parts of time, and each comes once."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import UnreadableReplyError
from encord_async.kinds.data_rows import parts_of_rows
from encord_async.protocol.models import DataRow
from encord_async.protocol.operations.datasets import ListDataRows
from encord_async.session.clock import SystemClock

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Wall(SystemClock):
    """A clock that stands still."""

    def wall_s(self) -> float:
        """See `Clock`."""
        return NOW.timestamp()


class Rows:
    """A service whose answers have room for *most* rows; *excludes* the moments that it is asked about."""

    def __init__(self, rows: list[DataRow], most: int, *, excludes: bool) -> None:
        self.rows, self.most, self.excludes = rows, most, excludes
        self.clock = Wall()
        self.asked = 0

    async def execute(self, operation: Any, /) -> Any:
        """Answer, or have no room for it."""
        assert isinstance(operation, ListDataRows)
        self.asked += 1
        after, before = operation.created_after, operation.created_before
        found = [row for row in self.rows if self._is_in(row.created_at or NOW, after, before)]
        if len(found) > self.most:
            raise UnreadableReplyError("the reply is too large", code="REPLY_TOO_LARGE")
        return tuple(found)

    def _is_in(self, at: datetime, after: datetime | None, before: datetime | None) -> bool:
        is_edge = at in {after, before}
        inside = (after is None or at >= after) and (before is None or at <= before)
        return inside and not (is_edge and self.excludes)

    def pages(self, _listing: Any, /) -> AsyncIterator[Any]:
        """See `Reads`."""
        raise AssertionError("rows have no pages")

    async def collect(self, _listing: Any, /) -> tuple[Any, ...]:
        """See `Reads`."""
        raise AssertionError("rows have no pages")


def made(ages_s: list[float]) -> list[DataRow]:
    """Rows that were made so long ago."""
    return [
        DataRow(data_hash=f"row-{number}", created_at=NOW - timedelta(seconds=age_s))
        for number, age_s in enumerate(ages_s)
    ]


async def all_of(rows: Rows) -> Counter[str]:
    """How often each row comes."""
    return Counter([row.data_hash async for part in parts_of_rows(rows, "d") for row in part])


@given(
    st.lists(st.integers(-300, 30_000_000).map(lambda tens: tens * 10.0), max_size=40, unique=True),
    st.integers(2, 5),
    st.booleans(),
)
def test_each_row_comes_once(ages_s: list[float], most: int, excludes: bool) -> None:
    """Whenever rows were made, and whether the service counts the moments themselves: each comes once."""
    found = anyio.run(all_of, Rows(made(ages_s), most, excludes=excludes))
    assert found == Counter({f"row-{number}": 1 for number in range(len(ages_s))})


async def test_few_are_one_answer() -> None:
    """What one answer has room for costs one request."""
    rows = Rows(made([1.0, 2.0]), 2, excludes=True)
    assert (len(await all_of(rows)), rows.asked) == (2, 1)


async def test_a_large_dataset_costs_few_requests() -> None:
    """A dataset of five answers that was filled within half an hour costs some twenty requests."""
    rows = Rows(made([one / 5 for one in range(10_000)]), 4_000, excludes=True)
    assert len(await all_of(rows)) == 10_000
    assert rows.asked < 20


async def test_too_many_of_one_moment() -> None:
    """Rows of one moment that no answer has room for are told as the service's answer is."""
    with pytest.raises(UnreadableReplyError) as caught:
        await all_of(Rows(made([5.0] * 10), 5, excludes=True))
    assert caught.value.code == "REPLY_TOO_LARGE"
