"""Doing the same for many things, a few at a time."""

import anyio
import pytest

from encord_async.engine.crew import each
from encord_async.errors import NotFoundError


async def test_each_thing_once_and_a_few_at_a_time() -> None:
    """Every thing is worked on once, in order, and never more than asked for at once."""
    begun: list[int] = []
    under_way = most = 0

    async def work(thing: int) -> None:
        nonlocal under_way, most
        begun.append(thing)
        under_way += 1
        most = max(most, under_way)
        await anyio.lowlevel.checkpoint()
        under_way -= 1

    await each(iter(range(20)), work, at_once=3)
    assert begun == list(range(20))
    assert most == 3


async def test_the_first_error_ends_it_as_it_is() -> None:
    """An error of ours comes out in no group; what is under way is cancelled, and nothing else begins."""
    begun: list[int] = []
    ended: list[int] = []

    async def work(thing: int) -> None:
        begun.append(thing)
        if thing == 1:
            raise NotFoundError("gone")
        await anyio.lowlevel.checkpoint()
        ended.append(thing)

    with pytest.raises(NotFoundError, match="gone"):
        await each(range(20), work, at_once=3)
    assert begun == [0, 1, 2]
    assert ended == []
