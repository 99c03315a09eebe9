"""The gate lets no more pass than it should, in the order in which they came; time is the test's own."""

import asyncio
import logging
import random
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import anyio
import pytest
from anyio.lowlevel import checkpoint

from encord_async.session.clock import Clock, SystemClock
from encord_async.session.pacing import OutageError, Pacer, Verdict
from encord_async.session.rate import Permit
from tests.virtual import LoopClock, run

DONE, FAULT = Verdict.ANSWERED, Verdict.FAULT


def gate(
    *, concurrency: int = 64, max_rate_per_s: float | None = None, outage_s: float = 300.0, clock: Clock | None = None
) -> Pacer:
    """A gate on the loop's time, without chance."""
    return Pacer(
        concurrency=concurrency,
        max_rate_per_s=max_rate_per_s,
        outage_s=outage_s,
        clock=clock or LoopClock(),
        chance=lambda: 1.0,
    )


async def passes(pacer: Pacer, verdict: Verdict = DONE) -> None:
    """One request that comes back at once."""
    pacer.release(await pacer.acquire(), verdict)


async def break_down(pacer: Pacer) -> None:
    """Bring about an outage: the service answered once, and then no more."""
    await passes(pacer)
    for _ in range(10):
        await passes(pacer, FAULT)
    assert pacer.in_outage


# --- slots and order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_in_flight_reaches_the_limit_and_never_passes_it(concurrency: int) -> None:
    """Under load exactly *concurrency* requests fly at once."""
    pacer = gate(concurrency=concurrency)
    running, seen = 0, []

    async def worker() -> None:
        nonlocal running
        permit = await pacer.acquire()
        running += 1
        seen.append((running, pacer.in_flight))
        await checkpoint()
        running -= 1
        pacer.release(permit, DONE)

    async with anyio.create_task_group() as group:
        for _ in range(concurrency * 5):
            group.start_soon(worker)
    assert max(count for count, _ in seen) == concurrency
    assert max(count for _, count in seen) == concurrency
    assert (pacer.in_flight, pacer.waiting) == (0, 0)


async def test_free_slots_are_filled_at_once() -> None:
    """A service that answers a burst at once finds the next one on its way, and not one request a turn of the loop."""
    pacer = gate(concurrency=8)
    held = [await pacer.acquire() for _ in range(8)]
    left: list[int] = []

    async def worker(number: int) -> None:
        await pacer.acquire()
        left.append(number)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(worker, number)
        await checkpoint()
        await checkpoint()
        assert pacer.waiting == 20
        for permit in held:
            pacer.release(permit, DONE)
        for _ in range(4):
            await checkpoint()
        assert left == list(range(8))
        group.cancel_scope.cancel()


@pytest.mark.parametrize("max_rate_per_s", [None, 10.0])
def test_first_come_first_served(max_rate_per_s: float | None) -> None:
    """Whoever asked first goes first, and a newcomer does not pass those who wait."""

    async def main() -> list[int]:
        pacer, order = gate(concurrency=1, max_rate_per_s=max_rate_per_s), []
        first = await pacer.acquire()

        async def worker(number: int) -> None:
            permit = await pacer.acquire()
            order.append(number)
            await checkpoint()
            pacer.release(permit, DONE)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(worker, number)
            await asyncio.sleep(1)
            pacer.release(first, DONE)
            group.start_soon(worker, 8)
        return order

    assert run(main) == list(range(9))


def test_what_was_turned_away_goes_first() -> None:
    """A request that was refused and waited as it was told does not go to the end of the queue."""

    async def main() -> list[str]:
        pacer, order = gate(max_rate_per_s=1.0), []
        await passes(pacer)

        async def worker(name: str, *, returning: bool) -> None:
            permit = await pacer.acquire(returning=returning)
            order.append(name)
            pacer.release(permit, DONE)

        async with anyio.create_task_group() as group:
            for name in ("a", "b", "c"):
                group.start_soon(partial(worker, name, returning=False))
            await asyncio.sleep(1.5)
            group.start_soon(partial(worker, "refused before b and c", returning=True))
        return order

    assert run(main) == ["a", "refused before b and c", "b", "c"]


# --- the rate --------------------------------------------------------------------------------------------------------


def test_user_rate_is_kept() -> None:
    """With a rate of 10/s a hundred requests take ten seconds, evenly, however many could fly."""

    async def main() -> list[float]:
        pacer, left = gate(max_rate_per_s=10.0), list[float]()

        async def worker() -> None:
            permit = await pacer.acquire()
            left.append(permit.sent_s)
            await asyncio.sleep(0.3)
            pacer.release(permit, DONE)

        async with anyio.create_task_group() as group:
            for _ in range(101):
                group.start_soon(worker)
        return left

    left = run(main)
    assert left[-1] - left[0] == pytest.approx(10.0, abs=0.021)
    gaps = [later - sooner for sooner, later in pairwise(left)]
    assert gaps == pytest.approx([0.1] * 100, abs=0.021)


def test_refusal_slows_all_that_follow() -> None:
    """One refusal, and those who wait leave one at a time."""

    async def main() -> tuple[float | None, list[float]]:
        pacer, left = gate(), list[float]()
        first = await pacer.acquire()
        await asyncio.sleep(0.1)
        pacer.release(first, Verdict.THROTTLED)

        async def worker() -> None:
            permit = await pacer.acquire()
            left.append(permit.sent_s)
            pacer.release(permit, Verdict.UNKNOWN)

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(worker)
        return pacer.rate_per_s, left

    rate, left = run(main)
    assert rate is not None
    gaps = [later - sooner for sooner, later in pairwise(left)]
    assert gaps == pytest.approx([1 / rate] * 9)


def test_refusal_of_another_slows_this_one() -> None:
    """Told that another client under the same limit was turned away, this one has a rate from then on, and cuts it."""

    async def main() -> list[float | None]:
        pacer = gate()
        await passes(pacer)
        rates = [pacer.rate_per_s]
        for _ in range(2):
            await asyncio.sleep(1.0)
            pacer.throttled_elsewhere()
            rates.append(pacer.rate_per_s)
        return rates

    free, first, second = run(main)
    assert free is None
    assert first is not None
    assert second is not None
    assert second < first


def test_client_bound_by_its_slots_does_not_raise_the_rate() -> None:
    """Far below the rate nobody waits for it, though requests leave in bunches, and success proves nothing."""

    async def main() -> tuple[float | None, float | None]:
        pacer, chance = gate(concurrency=4), random.Random(1)
        for _ in range(3):
            permit = await pacer.acquire()
            await asyncio.sleep(0.001)
            pacer.release(permit, Verdict.THROTTLED)

        async def worker(count: int, takes_s: float) -> None:
            for _ in range(count):
                permit = await pacer.acquire()
                await asyncio.sleep(takes_s * chance.random())
                pacer.release(permit, DONE)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(worker, 100, 0.0)
        before = pacer.rate_per_s
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(worker, 100, 1.0)
        return before, pacer.rate_per_s

    before, after = run(main)
    assert before is not None
    assert before > 50
    assert after == pytest.approx(before, rel=0.05)


def test_late_event_loop_is_still_held_back_by_the_rate() -> None:
    """On a busy machine every timer is late; all who waited for the rate count all the same, also those who leave
    together to make up for it, and so the rate rises."""

    class Late(LoopClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds + 0.05)

    async def main() -> tuple[float | None, float | None, list[bool]]:
        pacer, held_back = gate(clock=Late()), list[bool]()
        permit = await pacer.acquire()
        await asyncio.sleep(0.01)
        pacer.release(permit, Verdict.THROTTLED)
        await passes(pacer)
        before = pacer.rate_per_s

        async def worker() -> None:
            for _ in range(100):
                permit = await pacer.acquire()
                held_back.append(permit.pressed)
                pacer.release(permit, DONE)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(worker)
        return before, pacer.rate_per_s, held_back

    before, after, held_back = run(main)
    assert before is not None
    assert after is not None
    assert after > 2 * before
    assert all(held_back[50:])


async def test_clock_that_lags_behind_its_own_sleep_is_believed() -> None:
    """A sleep that returns a hair early, as timers do, does not make the gate spin."""

    @dataclass
    class Lazy(SystemClock):
        waits: list[float] = field(default_factory=list)

        async def sleep(self, seconds: float) -> None:
            self.waits.append(seconds)
            await checkpoint()

    clock = Lazy()
    pacer = gate(max_rate_per_s=0.01, clock=clock)
    await passes(pacer)
    await passes(pacer)
    assert clock.waits == [pytest.approx(100, abs=1)]


# --- cancellation and closing ----------------------------------------------------------------------------------------


async def test_cancelled_wait_leaves_no_trace() -> None:
    """A waiter that is cancelled neither keeps a slot nor blocks those behind it."""
    pacer = gate(concurrency=1)
    permit = await pacer.acquire()
    with anyio.move_on_after(0) as scope:
        await pacer.acquire()
    assert scope.cancelled_caught
    pacer.release(permit, DONE)
    assert (pacer.in_flight, pacer.waiting) == (0, 0)
    await pacer.acquire()
    assert pacer.in_flight == 1


async def test_slot_given_to_a_waiter_that_is_being_cancelled_is_not_lost() -> None:
    """A slot freed in the very moment of the waiter's cancellation stays free."""
    pacer = gate(concurrency=1)
    permit = await pacer.acquire()
    waiter = asyncio.ensure_future(pacer.acquire())
    await anyio.wait_all_tasks_blocked()
    pacer.release(permit, DONE)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (pacer.in_flight, pacer.waiting) == (0, 0)


@pytest.mark.parametrize("cancelled", [0, 1, 3])
def test_cancelled_waiter_hands_on(cancelled: int) -> None:
    """Whichever of those who wait for the rate goes away, first or later, the others leave when they would have."""

    async def main() -> dict[int, float]:
        pacer, left = gate(max_rate_per_s=1.0), dict[int, float]()
        await passes(pacer)

        async def worker(number: int) -> None:
            permit = await pacer.acquire()
            left[number] = permit.sent_s
            pacer.release(permit, DONE)

        tasks = [asyncio.ensure_future(worker(number)) for number in range(4)]
        await asyncio.sleep(0.5)
        tasks[cancelled].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (pacer.in_flight, pacer.waiting) == (0, 0)
        return left

    left = run(main)
    assert list(left) == [number for number in range(4) if number != cancelled]
    assert list(left.values()) == pytest.approx([1.0, 2.0, 3.0], abs=0.021)


@pytest.mark.parametrize("held_up_by", ["slots", "rate", "outage"])
def test_close_lets_all_who_wait_pass_at_once(held_up_by: str) -> None:
    """Whatever they wait for: after a close they pass in no time, to find the session closed."""

    async def main() -> None:
        pacer = gate(
            concurrency=1 if held_up_by == "slots" else 10, max_rate_per_s=0.1 if held_up_by == "rate" else None
        )
        if held_up_by == "outage":
            await break_down(pacer)
        held = await pacer.acquire()
        began_s = asyncio.get_running_loop().time()
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(passes, pacer)
            await asyncio.sleep(0.01)
            assert pacer.waiting == 5
            pacer.close()
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(0.01)
        pacer.release(held, DONE)
        assert (pacer.in_flight, pacer.waiting) == (0, 0)

    run(main)


# --- outages ---------------------------------------------------------------------------------------------------------


def test_in_an_outage_one_probe_leaves_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    """Many wait, single requests leave further and further apart, the first answer frees all; two messages say so."""
    caplog.set_level(logging.INFO, logger="encord_async")

    async def main() -> list[float]:
        loop, left = asyncio.get_running_loop(), list[float]()
        pacer = gate()
        await break_down(pacer)
        began_s = loop.time()

        async def worker() -> None:
            while True:
                permit = await pacer.acquire()
                left.append(loop.time() - began_s)
                await asyncio.sleep(0.1)
                back = loop.time() - began_s > 20
                pacer.release(permit, DONE if back else FAULT)
                if back:
                    return

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(worker)
        return left

    left = run(main)
    probes = [left_s for left_s in left if left_s <= 20]
    gaps = [later - sooner for sooner, later in pairwise(probes)]
    assert gaps == pytest.approx([1.1, 2.1, 4.1, 5.1, 5.1])
    assert len(left) == len(probes) + 30
    assert max(left) < 24
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "300 s" in caplog.messages[0]


def test_outage_is_not_waited_for_without_end() -> None:
    """Those who wait give up when it has lasted for so long, those who come later at once, but probes still leave."""

    async def main() -> None:
        pacer = gate(outage_s=30.0)
        await break_down(pacer)
        loop = asyncio.get_running_loop()
        began_s, gave_up_s, probed_s = loop.time(), list[float](), list[float]()

        async def worker() -> None:
            while loop.time() - began_s < 60:
                try:
                    permit = await pacer.acquire()
                except OutageError:
                    gave_up_s.append(loop.time() - began_s)
                    await asyncio.sleep(1)
                    continue
                probed_s.append(loop.time() - began_s)
                pacer.release(permit, FAULT)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(worker)
        assert min(gave_up_s) == pytest.approx(30.0)
        assert sum(29.9 < at_s < 30.1 for at_s in gave_up_s) == 5
        assert any(at_s > 50 for at_s in probed_s)
        assert pacer.waiting == pacer.in_flight == 0

    run(main)


def test_without_patience_no_outage_is_seen() -> None:
    """With an outage time of 0 requests go on leaving, and the attempts of each are what ends it."""

    async def main() -> None:
        pacer = gate(outage_s=0.0)
        await passes(pacer)
        for _ in range(100):
            await passes(pacer, FAULT)
        assert not pacer.in_outage

    run(main)


def test_retries_are_rationed() -> None:
    """The first faults are retried as they like, then about one a second; in an outage nothing is charged."""

    async def main() -> None:
        pacer = gate()
        assert [pacer.retry_wait_s() for _ in range(100)] == [0.0] * 100
        assert pacer.retry_wait_s() is None
        await passes(pacer)
        waits = [pacer.retry_wait_s() for _ in range(3)]
        assert waits == pytest.approx([0.9, 1.9, 2.9])
        for _ in range(10):
            await passes(pacer, FAULT)
        assert [pacer.retry_wait_s() for _ in range(1000)] == [0.0] * 1000

    run(main)


def test_unknown_outcome_says_nothing() -> None:
    """A request that we gave up ourselves neither begins an outage nor teaches a rate."""

    async def main() -> None:
        pacer = gate()
        await passes(pacer)
        for _ in range(100):
            await passes(pacer, Verdict.UNKNOWN)
        assert not pacer.in_outage
        assert pacer.rate_per_s is None

    run(main)


def test_permit_is_to_be_had_at_once_when_nothing_stands_against_it() -> None:
    """The happy path waits for nothing, and never lets anybody past those who wait."""

    async def main() -> None:
        pacer = gate(concurrency=1)
        free = [pacer.is_free]
        permit = pacer.try_acquire()
        assert isinstance(permit, Permit)
        free.append(pacer.is_free)
        assert pacer.try_acquire() is None
        async with anyio.create_task_group() as group:
            group.start_soon(passes, pacer)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            pacer.release(permit, DONE)
            free.append(pacer.is_free)
            assert pacer.try_acquire() is None
        free.append(pacer.is_free)
        assert free == [True, False, False, True]

    run(main)


def test_gate_is_not_called_free_when_a_request_may_have_to_wait_for_time_to_pass() -> None:
    """Neither with a rate, nor in an outage, though a slot is there."""

    async def main() -> None:
        assert not gate(max_rate_per_s=100.0).is_free
        pacer = gate()
        await break_down(pacer)
        assert not pacer.is_free

    run(main)
