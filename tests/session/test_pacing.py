"""The pacer lets no more than its number of requests fly, in the order in which they came."""

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from encord_async.session.pacing import Pacer


@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_in_flight_reaches_the_limit_and_never_passes_it(concurrency: int) -> None:
    """Under load exactly *concurrency* requests fly at once."""
    pacer = Pacer(concurrency=concurrency)
    running, seen = 0, []

    async def worker() -> None:
        nonlocal running
        await pacer.acquire()
        running += 1
        seen.append((running, pacer.in_flight))
        await checkpoint()
        running -= 1
        pacer.release()

    async with anyio.create_task_group() as group:
        for _ in range(concurrency * 5):
            group.start_soon(worker)
    assert max(count for count, _ in seen) == concurrency
    assert max(count for _, count in seen) == concurrency
    assert pacer.in_flight == 0


async def test_first_come_first_served() -> None:
    """Whoever asked first goes first, and a newcomer does not pass those who wait."""
    pacer, order = Pacer(concurrency=1), []
    await pacer.acquire()

    async def worker(number: int) -> None:
        await pacer.acquire()
        order.append(number)
        await checkpoint()
        pacer.release()

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(worker, number)
        await anyio.wait_all_tasks_blocked()
        pacer.release()
        group.start_soon(worker, 8)
    assert order == list(range(9))


async def test_cancelled_wait_leaves_no_trace() -> None:
    """A waiter that is cancelled neither keeps a slot nor blocks those behind it."""
    pacer = Pacer(concurrency=1)
    await pacer.acquire()
    with anyio.move_on_after(0) as scope:
        await pacer.acquire()
    assert scope.cancelled_caught
    pacer.release()
    assert pacer.in_flight == 0
    await pacer.acquire()
    assert pacer.in_flight == 1


async def test_slot_given_to_a_waiter_that_is_being_cancelled_is_not_lost() -> None:
    """A slot handed over in the very moment of the waiter's cancellation comes back."""
    pacer = Pacer(concurrency=1)
    await pacer.acquire()
    waiter = asyncio.ensure_future(pacer.acquire())
    await anyio.wait_all_tasks_blocked()
    pacer.release()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert pacer.in_flight == 0
