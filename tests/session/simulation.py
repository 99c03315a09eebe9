"""A rate-limited service in virtual time, and real sessions at work before it.

The session, its pacer and its retries are the real ones; only the network is played, and the event loop's time jumps
from one thing that is due to the next. A run of minutes takes as long as its arithmetic.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Final, Literal, TypeAlias, TypeVar, get_args

import anyio

from encord_async import operations as ops
from encord_async.errors import EncordError
from encord_async.protocol.reply import RawReply
from encord_async.protocol.signing import BearerToken
from encord_async.session.session import Session
from encord_async.session.settings import Settings
from tests.virtual import WALL_S, LoopClock, run

T = TypeVar("T")

Hint: TypeAlias = Literal["none", "seconds", "date"]
Schedule: TypeAlias = Literal["flat", "halved", "tripled", "down", "rival"]

IN_FLIGHT: Final = (16, 64, 256, 1024)
LIMITS_PER_S: Final = (5.0, 20.0, 100.0, 500.0)
HINTS: Final[tuple[Hint, ...]] = get_args(Hint)
SCHEDULES: Final[tuple[Schedule, ...]] = get_args(Schedule)

GOODPUT: Final[Mapping[Schedule, float]] = {"flat": 0.97, "halved": 0.95, "tripled": 0.93}
"""What is to be accepted at least, in terms of what a client who knows everything would get."""
MAX_OUTAGE_LOAD: Final = 1.1
MAX_BACK_S: Final = 10.0
MAX_WAIT_RATIO: Final = 2.0
DEEP_S: Final[Mapping[Hint, float]] = {"none": 2.0, "seconds": 5.0, "date": 5.0}
"""A queue that takes so long to pass is one in which waiting times can be compared: a hint alone is 1 to 2 s."""

LATENCY_MEDIAN_S: Final = 0.08
LATENCY_SIGMA: Final = 0.4
LATENCY_SPREAD: Final = math.exp(LATENCY_SIGMA**2 / 2)
"""Mean in terms of the median."""
LATENCY_MEAN_S: Final = LATENCY_MEDIAN_S * LATENCY_SPREAD
CHANGE_FOR_S: Final = 60.0

_DONE: Final = RawReply(200, {}, b'{"status": 200, "response": null}')
_DOWN: Final = RawReply(503, {}, b"<html>Service Unavailable</html>")
_BODY: Final = b"<html>Too Many Requests</html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of the grid."""

    in_flight: int
    limit_per_s: float
    long_burst: bool
    hint: Hint = "none"
    schedule: Schedule = "flat"
    noise: float = 0.0
    """Share of requests that is refused at random, before the bucket is asked."""
    latency_s: float = LATENCY_MEDIAN_S
    jitter: float = LATENCY_SIGMA
    """Standard deviation of the logarithm of each way through the network."""
    single: bool = False
    """Whether the bucket holds one token: then whoever arrives too soon behind another is refused."""
    clients: int = 1
    """Sessions that share the limit, and what may be in flight, and know nothing of each other."""
    seed: int = 0

    @property
    def burst(self) -> float:
        """Two seconds' worth or a fifth of one, but no less than 2; or one."""
        if self.single:
            return 1.0
        return 2 * self.limit_per_s if self.long_burst else max(2.0, self.limit_per_s / 5)

    @property
    def duration_s(self) -> float:
        """Long enough for the start not to weigh too much."""
        if self.limit_per_s == math.inf:
            return 60.0
        return 120.0 if self.limit_per_s >= 100 else 400.0

    @property
    def change_s(self) -> float:
        """When the change begins that the schedule names."""
        return 30.0 if self.limit_per_s >= 100 else 100.0

    def changed(self, now_s: float) -> bool:
        """Whether the change is on."""
        return self.change_s <= now_s < self.change_s + CHANGE_FOR_S

    def limit_at(self, now_s: float) -> float:
        """Tokens per second at that time."""
        factor = {"halved": 0.5, "tripled": 3.0}.get(self.schedule, 1.0) if self.changed(now_s) else 1.0
        return self.limit_per_s * factor

    def is_down(self, now_s: float) -> bool:
        """Whether the service answers 503."""
        return self.schedule == "down" and self.changed(now_s)

    def ideal(self) -> float:
        """Requests that a client who knows everything would have had accepted."""
        ceiling_per_s, step_s = self.unpaced_per_s, 0.01
        level, total = self.burst, 0.0
        for number in range(round(self.duration_s / step_s)):
            now_s = number * step_s
            level = min(self.burst, level + self._offered_at(now_s) * step_s)
            used = 0.0 if self.is_down(now_s) else min(level, ceiling_per_s * step_s)
            level, total = level - used, total + used
        return total

    @property
    def unpaced_per_s(self) -> float:
        """What would be accepted of the same workers without a limit and without pacing, with waits before retries."""
        waits_s = (1.05 if self.hint == "seconds" else min(8.0, 0.5 * 2**tries) / 2 for tries in range(60))
        waited_s = sum(self.noise ** (tries + 1) * wait_s for tries, wait_s in enumerate(waits_s))
        return self.in_flight / (self.latency_s * LATENCY_SPREAD / (1 - self.noise) + waited_s)

    def _offered_at(self, now_s: float) -> float:
        taken = self.limit_per_s / 2 if self.schedule == "rival" and self.changed(now_s) else 0.0
        return self.limit_at(now_s) - taken

    def __str__(self) -> str:
        service = f"{self.limit_per_s:g}/s, burst {self.burst:g}, hint {self.hint}, {self.schedule}"
        others = "".join(
            (
                f", {self.noise:g} at random" if self.noise else "",
                f", {self.latency_s:g} s" if self.latency_s != LATENCY_MEDIAN_S else "",
                f", jitter {self.jitter:g}" if self.jitter != LATENCY_SIGMA else "",
                f", {self.clients} clients" if self.clients > 1 else "",
            )
        )
        return f"{self.in_flight} in flight, {service}{others}"


def without_seed(cell: Cell) -> Cell:
    """What all runs of a cell have in common."""
    return replace(cell, seed=0)


@dataclass
class Service:
    """A token bucket behind a network with a log-normal round trip."""

    cell: Cell
    chance: random.Random
    sent_s: list[float] = field(default_factory=list)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    _level: float = 0.0
    _last_s: float = 0.0

    def __post_init__(self) -> None:
        self._level = self.cell.burst

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """Half of the round trip there, the bucket, and half of it back."""
        loop = asyncio.get_running_loop()
        half_s = self.way_s()
        reply: asyncio.Future[RawReply] = loop.create_future()
        self.sent_s.append(loop.time())
        loop.call_later(half_s, self._arrive, loop, reply, half_s)
        return await reply

    def way_s(self) -> float:
        """How long the next one takes through the network, one way."""
        return self.cell.latency_s * math.exp(self.chance.gauss(0.0, self.cell.jitter)) / 2

    async def aclose(self) -> None:
        """Nothing is held."""

    def take(self, now_s: float) -> bool:
        """Whether there is a token."""
        if self.cell.limit_per_s == math.inf:
            return True
        self._level = min(
            self.cell.burst, self._level + (now_s - self._last_s) * self.cell.limit_at((now_s + self._last_s) / 2)
        )
        self._last_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def _arrive(self, loop: asyncio.AbstractEventLoop, reply: "asyncio.Future[RawReply]", half_s: float) -> None:
        loop.call_later(half_s, _resolve, reply, self._answer(loop.time()))

    def _answer(self, now_s: float) -> RawReply:
        if self.cell.is_down(now_s):
            return _DOWN
        by_chance = self.cell.noise > 0 and self.chance.random() < self.cell.noise
        if not by_chance and self.take(now_s):
            self.accepted_s.append(now_s)
            return _DONE
        self.refused_s.append(now_s)
        wait_s = max(0.0, 1 - self._level) / self.cell.limit_at(now_s)
        if self.cell.hint == "seconds":
            return RawReply(429, {"Retry-After": str(max(1, math.ceil(wait_s)))}, _BODY)
        if self.cell.hint == "date":
            return RawReply(429, {"Retry-After": formatdate(math.ceil(WALL_S + now_s + wait_s), usegmt=True)}, _BODY)
        return RawReply(429, {}, _BODY)


def _resolve(reply: "asyncio.Future[RawReply]", value: RawReply) -> None:
    if not reply.done():
        reply.set_result(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run came to."""

    cell: Cell
    goodput: float
    """Accepted, in terms of the ideal."""
    refused: float
    """Share of the requests."""
    refused_late: float
    """The same after the first 20 s."""
    outage_load: float
    """Requests while the service was down, in terms of as many seconds before."""
    back_s: float
    """Seconds from the end of the outage to the first whole second at 90 % of the limit."""
    failed: int
    wait_ratio: float
    """Longest operation in terms of the median one."""
    cpu_s: float


def margins(result: Result) -> dict[str, float]:
    """The goals of a run, and by how much each was missed; what is not above 0 is met."""
    cell = result.cell
    fast = cell.limit_per_s >= 100
    found = {
        f"refused, {'flat' if cell.schedule == 'flat' else 'the limit changes'}": (
            result.refused - 0.01 if fast else result.refused_late - 0.02
        ),
        "load in the outage": result.outage_load - MAX_OUTAGE_LOAD,
        "back after the outage": result.back_s - MAX_BACK_S,
        "failed": float(result.failed),
    }
    if cell.schedule in GOODPUT:
        found[f"goodput, {cell.schedule}"] = GOODPUT[cell.schedule] - result.goodput
    if cell.schedule == "flat" and cell.in_flight / cell.limit_per_s >= DEEP_S[cell.hint]:
        found["longest wait"] = result.wait_ratio - MAX_WAIT_RATIO
    return found


def missed(result: Result) -> dict[str, float]:
    """The goals that a run missed, and by how much."""
    return {goal: by for goal, by in margins(result).items() if by > 0}


def simulate(cell: Cell) -> Result:
    """Keep as many workers busy as may be in flight, for the cell's duration."""
    chance = random.Random(f"network {cell} {cell.seed}")
    service = Service(cell, chance)
    durations: list[float] = []
    failed = 0
    began_s = time.process_time()
    envelope = ops.ListProjects().request()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        settings = Settings(concurrency=cell.in_flight // cell.clients)

        async def work(session: Session) -> None:
            nonlocal failed
            while True:
                asked_s = loop.time()
                try:
                    await session.send(envelope)
                except EncordError:
                    failed += 1
                durations.append(loop.time() - asked_s)

        async with contextlib.AsyncExitStack() as stack:
            sessions = [
                await stack.enter_async_context(
                    Session(
                        BearerToken("t"),
                        settings,
                        transport=lambda _: service,
                        clock=LoopClock(),
                        chance=random.Random(f"client {cell} {cell.seed}" + f" {number}" * (number > 0)),
                    )
                )
                for number in range(cell.clients)
            ]
            if cell.schedule == "rival":
                _rival(loop, service, cell, random.Random(f"rival {cell} {cell.seed}"))
            async with anyio.create_task_group() as workers:
                for number in range(cell.in_flight):
                    workers.start_soon(work, sessions[number % cell.clients])
                await asyncio.sleep(cell.duration_s)
                workers.cancel_scope.cancel()

    run(main)
    return _result(cell, service, durations, failed, time.process_time() - began_s)


def _rival(loop: asyncio.AbstractEventLoop, service: Service, cell: Cell, chance: random.Random) -> None:
    """Somebody else who takes half of the limit while the change is on."""

    def strike() -> None:
        if cell.changed(loop.time()):
            service.take(loop.time())
            loop.call_later(chance.expovariate(cell.limit_per_s / 2), strike)

    loop.call_at(cell.change_s, strike)


def _result(cell: Cell, service: Service, durations: list[float], failed: int, cpu_s: float) -> Result:
    late_sent = sum(sent_s >= 20 for sent_s in service.sent_s)
    late_refused = sum(refused_s >= 20 for refused_s in service.refused_s)
    ordered = sorted(durations)
    return Result(
        cell=cell,
        goodput=len(service.accepted_s) / cell.ideal(),
        refused=len(service.refused_s) / len(service.sent_s),
        refused_late=late_refused / max(1, late_sent),
        outage_load=_outage_load(cell, service),
        back_s=_back_s(cell, service) if cell.schedule == "down" else 0.0,
        failed=failed,
        wait_ratio=ordered[-1] / ordered[len(ordered) // 2] if ordered else 1.0,
        cpu_s=cpu_s,
    )


def _outage_load(cell: Cell, service: Service) -> float:
    normal = min(cell.limit_per_s, cell.in_flight / LATENCY_MEAN_S) * CHANGE_FOR_S
    return sum(cell.is_down(sent_s) for sent_s in service.sent_s) / normal


def _back_s(cell: Cell, service: Service) -> float:
    """When 90 % of the limit is reached again, over windows of a second, or of ten requests where those are longer."""
    end_s = cell.change_s + CHANGE_FOR_S
    window_s = max(1.0, 10 / cell.limit_per_s)
    goal = 0.9 * min(cell.limit_per_s, cell.in_flight / LATENCY_MEAN_S) * window_s
    accepted = [accepted_s for accepted_s in service.accepted_s if accepted_s >= end_s]
    return next(
        (
            start_s - end_s
            for start_s in accepted
            if sum(start_s <= accepted_s < start_s + window_s for accepted_s in accepted) >= goal
        ),
        math.inf,
    )
