"""What a journal says of a run as figures and lists: sums, rows, the course over time, how long steps took.

Pure: takes records and samples of traffic, and gives values. It never reads a journal or a clock, and knows nothing of
pages. Requests are known as sums of short whiles only: no journal says which step a request or a retry was for.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import quote, urlsplit

from encord_async.engine.outcome import Status
from encord_async.errors import UsageError
from encord_async.journal.record import Record, State
from encord_async.journal.traffic import Traffic
from encord_async.kinds.registry import parent_of, step_kinds, things
from encord_async.kinds.step import StepKind
from encord_async.kinds.thing import Thing
from encord_async.redaction import quoted

__all__ = [
    "SHOWN_STATUSES",
    "Durations",
    "Links",
    "Report",
    "ReportBuilder",
    "Row",
    "Stretch",
    "bin_width_s",
    "links_for",
    "row_json",
    "status_of",
]

SHOWN_STATUSES: Final = (
    Status.CREATED,
    Status.UPDATED,
    Status.ADOPTED,
    Status.UNCHANGED,
    Status.FAILED,
    Status.IN_DOUBT,
    Status.CANCELLED,
)
"""How a step can stand in a journal, in the order in which people read it."""

_MAX_BINS: Final = 240
"""Points of a chart: about as many as a screen has room for."""

_PAUSE_S: Final = 300.0
"""With nothing begun or ended for so long, the run was not going on: a request is given up earlier."""

_WIDTHS_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)

_BINS_PER_DECADE: Final = 10

_LOOPBACK: Final = ("localhost", "127.", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step as it is listed.

    Attributes:
        id: The step's number, as ``status`` and ``settle`` have it.
        place: Where its entry stood.
        key: The entry's key, if it has one.
        kind: What the step does.
        title: Title, e-mail address or reference.
        status: How it ended; in doubt while it is open.
        hash: Hash of what it made or adopted.
        parent_hash: The thing that it is about, if it is about one.
        code: The service's error code.
        message: Why it failed or is in doubt.
        candidates: Hashes of what a step in doubt may have made.
        began_s: When it was first sent, in seconds since 1970; 0 if that is unknown.
        took_s: From the intent to the result; None if it has not ended or was written down only then.
    """

    id: str
    place: str
    key: str | None
    kind: StepKind
    title: str
    status: Status
    hash: str | None
    parent_hash: str | None
    code: str | None
    message: str | None
    candidates: tuple[str, ...]
    began_s: float
    took_s: float | None

    @classmethod
    def of(cls, record: Record) -> "Row":
        """*record* as it is listed."""
        candidates = record.details.get("candidates")
        return cls(
            id=record.identity.hex(),
            place=record.place,
            key=record.key,
            kind=record.kind,
            title=record.title,
            status=status_of(record),
            hash=record.hash,
            parent_hash=record.parent_hash,
            code=record.code,
            message=record.message,
            candidates=tuple(map(str, candidates)) if isinstance(candidates, Sequence) else (),
            began_s=record.started_s,
            took_s=_took_s(record),
        )


@dataclass(frozen=True, slots=True)
class Links:
    """Where people look at things in the web app, below its address *base*; see `Thing.page`."""

    base: str

    def forms(self) -> dict[str, str]:
        """By what makes such things, where one can be looked at, with ``{}`` for its hash."""
        return {kind.word: f"{self.base}{kind.page}" for kind in things() if kind.page}

    def of(self, row: Row) -> str | None:
        """Where *row* can be looked at: what it made, else the thing that it is about."""
        kind = row.kind if isinstance(row.kind, Thing) else parent_of(row.kind)
        found_hash = row.hash if isinstance(row.kind, Thing) else row.parent_hash
        if not (isinstance(kind, Thing) and kind.page and found_hash):
            return None
        return f"{self.base}{kind.page.format(quote(found_hash, safe=''))}"


def links_for(domain: str, app_url: str | None = None) -> Links | None:
    """The links for a service.

    Args:
        domain: Address of the API, which that of the app is guessed from: ``api.us.encord.com`` has ``app.us...``.
        app_url: Address of the app, if the guess is not wanted.

    Returns:
        None if there is no app to link to, as for an emulator, or if it cannot be guessed.

    Raises:
        UsageError: *app_url* is no address.
    """
    if app_url is None:
        host = _host(domain)
        if host.startswith(_LOOPBACK) or not (host.startswith("api.") and host.endswith(".encord.com")):
            return None
        app_url = f"https://app.{host.removeprefix('api.')}"
    elif not (app_url.startswith(("http://", "https://")) and _host(app_url)):
        raise UsageError(f"--app-url {quoted(app_url)} is no address; give one such as https://app.encord.com")
    return Links(app_url.rstrip("/").replace("{", "%7B").replace("}", "%7D"))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time in which something went on, cut into bins of equal width.

    Attributes:
        began_s: Where the first bin starts, in seconds since 1970.
        bin_s: Width of a bin.
        ended: Steps that ended in each bin.
        failed: Those of them that failed.
        in_doubt: Steps whose doubt arose in each bin.
        under_way: Most creates under way at once in each bin.
        median_s: Median of how long those took that ended in each bin; None where none did.
        slow_s: 95th percentile of the same.
        requests: Requests sent in each bin, retries included. A sample that lies across bins is shared out among them.
        retries: Those of them that were sent again after a fault.
        throttled: Requests that the service turned away for load.
        in_flight: Most requests under way in each bin, of the moments at which they were counted.
    """

    began_s: float
    bin_s: float
    ended: tuple[int, ...]
    failed: tuple[int, ...]
    in_doubt: tuple[int, ...]
    under_way: tuple[int, ...]
    median_s: tuple[float | None, ...]
    slow_s: tuple[float | None, ...]
    requests: tuple[float, ...]
    retries: tuple[float, ...]
    throttled: tuple[float, ...]
    in_flight: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Steps that ended in it."""
        return sum(self.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long creates took, from the intent on the disk to the result, retries and settling included.

    Attributes:
        number: How many are known.
        quantiles: By name: ``p50``, ``p90``, ``p95``, ``p99`` and ``max``; empty if none is known.
        first_decade: Power of ten (seconds) where the first of *counts* starts.
        counts: Histogram with ten bins to each power of ten.
    """

    number: int
    quantiles: Mapping[str, float]
    first_decade: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run.

    Attributes:
        domain: Address of the service.
        account: The account's name there.
        running_pid: Process that was still at it when the journal was read; what is in doubt may then be under way.
        steps: How many steps the journal knows.
        counts: How many, by kind and status.
        began_s: When the first began, in seconds since 1970; None if none has.
        ended_s: When the last known thing happened.
        rows: The steps in the order in which they began.
        left_out: Satisfied steps that are counted but have no row, because there would be too many.
        stretches: The course over time.
        durations: How long creates took.
        traffic: What was sent, sample by sample; empty if the journal holds none.
    """

    domain: str
    account: str
    running_pid: int | None
    steps: int
    counts: Mapping[StepKind, Mapping[Status, int]]
    began_s: float | None
    ended_s: float | None
    rows: tuple[Row, ...]
    left_out: int
    stretches: tuple[Stretch, ...]
    durations: Durations
    traffic: tuple[Traffic, ...]

    def sent(self) -> dict[str, int]:
        """Requests, and those of them that were sent again after a fault, or turned away for load."""
        return {
            "requests": sum(one.requests for one in self.traffic),
            "retries": sum(one.retries for one in self.traffic),
            "throttled": sum(one.throttled for one in self.traffic),
        }

    def count(self, status: Status) -> int:
        """Steps that ended in *status*."""
        return sum(by_status.get(status, 0) for by_status in self.counts.values())

    def as_json(self, links: Links | None) -> dict[str, object]:
        """One object: sums, sums by kind, and each step in the list of its status."""
        listed: dict[str, list[object]] = {status.value: [] for status in SHOWN_STATUSES}
        for row in self.rows:
            listed[row.status.value].append(row_json(row, links))
        return {
            "domain": self.domain,
            "account": self.account,
            "running_pid": self.running_pid,
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "steps": self.steps,
            "sums": {status.value: self.count(status) for status in SHOWN_STATUSES},
            "by_kind": {
                kind.word: {status.value: by_status[status] for status in SHOWN_STATUSES if by_status.get(status)}
                for kind, by_status in self.counts.items()
            },
            "took_s": {"number": self.durations.number, **self.durations.quantiles},
            "sent": self.sent() if self.traffic else None,
            "traffic": [one.as_json() for one in self.traffic],
            "left_out": self.left_out,
            **listed,
        }


def row_json(row: Row, links: Links | None) -> dict[str, object]:
    """*row* as a JSON object."""
    return {
        "id": row.id,
        "place": row.place,
        "key": row.key,
        "kind": row.kind.word,
        "title": row.title,
        "status": row.status.value,
        "hash": row.hash,
        "project_hash": row.parent_hash,
        "link": None if links is None else links.of(row),
        "code": row.code,
        "message": row.message,
        "candidates": list(row.candidates),
        "began_s": row.began_s or None,
        "took_s": None if row.took_s is None else round(row.took_s, 6),
    }


def status_of(record: Record) -> Status:
    """How *record* stands, as people are told: what is open is in doubt."""
    if record.is_open:
        return Status.IN_DOUBT
    if record.state is State.FAILED:
        return Status.CANCELLED if record.status == Status.CANCELLED else Status.FAILED
    if record.is_changed:
        return Status.FAILED
    status = Status(record.status) if record.status in _KNOWN_STATUSES else Status.UNCHANGED
    return status if status.satisfied else Status.UNCHANGED


_KNOWN_STATUSES: Final = frozenset(status.value for status in Status)


def _took_s(record: Record) -> float | None:
    """How long it took, if that is known: a create has its intent written down first, nothing else has."""
    if record.is_open or record.ended_s is None or not record.kind.creates:
        return None
    took_s = record.ended_s - record.started_s
    # Adopting and refusing without a request write both at once. A clock that was set back gives less than nothing.
    return took_s if took_s > 0 and record.started_s > 0 else None


class ReportBuilder:
    """Takes records one by one, each a single time and in the journal's order, and sums them up.

    Args:
        max_rows: Most satisfied steps to list; those that failed or are in doubt are always listed.
    """

    def __init__(self, *, max_rows: int) -> None:
        self._max_rows = max_rows
        self._counts: dict[StepKind, Counter[Status]] = {}
        self._rows: list[Row] = []
        self._satisfied_rows = 0
        self._left_out = 0
        self._times = _Times()

    def add(self, record: Record) -> Row:
        """Count *record*, list it if there is room, and give it as it is listed."""
        row = Row.of(record)
        self._counts.setdefault(row.kind, Counter())[row.status] += 1
        self._times.add(record, row)
        if not row.status.satisfied:
            self._rows.append(row)
        elif self._satisfied_rows < self._max_rows:
            self._satisfied_rows += 1
            self._rows.append(row)
        else:
            self._left_out += 1
        return row

    def add_traffic(self, samples: Iterable[Traffic]) -> None:
        """Take in what was sent."""
        self._times.traffic.extend(samples)

    def finish(self, *, domain: str, account: str, running_pid: int | None = None) -> Report:
        """The report on everything that was added."""
        times = self._times
        return Report(
            domain=domain,
            account=account,
            running_pid=running_pid,
            steps=sum(sum(counts.values()) for counts in self._counts.values()),
            counts={kind: dict(self._counts[kind]) for kind in step_kinds() if kind in self._counts},
            began_s=min(times.began_s, default=None),
            ended_s=times.last_s,
            rows=tuple(self._rows),
            left_out=self._left_out,
            stretches=times.stretches(),
            durations=_durations(times.took_s),
            traffic=tuple(times.traffic),
        )


class _Times:
    """When things happened, eight bytes each."""

    def __init__(self) -> None:
        self.began_s = array("d")
        self.took_s = array("d")
        self.last_s: float | None = None
        self.traffic: list[Traffic] = []
        self._ended_s = array("d")
        self._failed_s = array("d")
        self._doubted_s = array("d")
        self._timed: list[tuple[float, float]] = []
        self._under_way = (array("d"), array("d"))
        self._open_since_s = array("d")

    def add(self, record: Record, row: Row) -> None:
        began_s = record.started_s
        if began_s <= 0:
            return
        # A clock that was set back must not put an end before its beginning.
        ended_s = began_s if record.ended_s is None else max(began_s, record.ended_s)
        self.began_s.append(began_s)
        self.last_s = ended_s if self.last_s is None else max(self.last_s, ended_s)
        if row.status is Status.IN_DOUBT:
            self._doubted_s.append(ended_s)
        if record.ended_s is None:
            self._open_since_s.append(began_s)
            return
        self._ended_s.append(ended_s)
        if row.status is Status.FAILED:
            self._failed_s.append(ended_s)
        if ended_s > began_s and record.kind.creates:
            self._under_way[0].append(began_s)
            self._under_way[1].append(ended_s)
        if row.took_s is not None:
            self.took_s.append(row.took_s)
            self._timed.append((ended_s, row.took_s))

    def stretches(self) -> tuple[Stretch, ...]:
        """The times in which something began or ended, or was sent, without the pauses between runs."""
        sent_s = [moment_s for one in self.traffic for moment_s in (one.began_s, one.ended_s)]
        moments = sorted([*self.began_s, *self._ended_s, *sent_s])
        if not moments:
            return ()
        cuts = [0, *(i for i in range(1, len(moments)) if moments[i] - moments[i - 1] > _PAUSE_S), len(moments)]
        starts_s, stops_s = sorted(self._under_way[0]), sorted(self._under_way[1])
        for times in (self._ended_s, self._failed_s, self._doubted_s):
            times[:] = array("d", sorted(times))
        self._timed.sort()
        return tuple(
            self._stretch(moments[first], moments[behind - 1], starts_s, stops_s) for first, behind in pairwise(cuts)
        )

    def _stretch(self, first_s: float, last_s: float, starts_s: list[float], stops_s: list[float]) -> Stretch:
        bin_s = bin_width_s(last_s - first_s)
        # Rounding must not put the first moment before the first bin, nor the last behind the last.
        began_s = min(first_s, math.floor(first_s / bin_s) * bin_s)
        edges_s = [began_s + index * bin_s for index in range(math.floor((last_s - began_s) / bin_s) + 2)]
        edges_s[-1] = max(edges_s[-1], math.nextafter(last_s, math.inf))
        # Whoever left a step open is gone when the next run begins.
        left_open_s = [moment_s for moment_s in self._open_since_s if first_s <= moment_s <= last_s]
        if left_open_s:
            starts_s = sorted([*starts_s, *left_open_s])
        traffic = [one for one in self.traffic if first_s <= one.began_s and one.ended_s <= last_s]
        slow = [_middle_and_slow(self._between(low, high)) for low, high in pairwise(edges_s)]
        return Stretch(
            began_s=began_s,
            bin_s=bin_s,
            ended=_per_bin(self._ended_s, edges_s),
            failed=_per_bin(self._failed_s, edges_s),
            in_doubt=_per_bin(self._doubted_s, edges_s),
            under_way=tuple(_most_at_once(starts_s, stops_s, edges_s)),
            median_s=tuple(median for median, _ in slow),
            slow_s=tuple(late for _, late in slow),
            requests=_shared_out([(one, one.requests) for one in traffic], edges_s),
            retries=_shared_out([(one, one.retries) for one in traffic], edges_s),
            throttled=_shared_out([(one, one.throttled) for one in traffic], edges_s),
            in_flight=_most_counted(traffic, edges_s),
        )

    def _between(self, low_s: float, high_s: float) -> list[float]:
        first, behind = bisect_left(self._timed, (low_s, 0.0)), bisect_left(self._timed, (high_s, 0.0))
        return [took_s for _, took_s in self._timed[first:behind]]


def bin_width_s(span_s: float) -> float:
    """A width that people can read off an axis and that cuts *span_s* into few enough bins."""
    day_s = 86400.0
    return next(
        (width_s for width_s in _WIDTHS_S if span_s / width_s <= _MAX_BINS),
        max(1, math.ceil(span_s / _MAX_BINS / day_s)) * day_s,
    )


def _per_bin(moments_s: Sequence[float], edges_s: Sequence[float]) -> tuple[int, ...]:
    """How many of the sorted *moments_s* lie in each bin."""
    places = [bisect_left(moments_s, edge_s) for edge_s in edges_s]
    return tuple(behind - first for first, behind in pairwise(places))


def _shared_out(counts: Iterable[tuple[Traffic, int]], edges_s: Sequence[float]) -> tuple[float, ...]:
    """How many fall into each bin, if each sample's count is spread evenly over its while."""
    bins = [0.0] * (len(edges_s) - 1)
    for sample, count in counts:
        if count:
            for index, share in _shares(sample, edges_s):
                bins[index] += count * share
    return tuple(round(value, 3) for value in bins)


def _shares(sample: Traffic, edges_s: Sequence[float]) -> Iterator[tuple[int, float]]:
    """The bins that *sample* lies in, and what part of it lies in each."""
    first, last = (
        min(max(0, bisect_right(edges_s, moment_s) - 1), len(edges_s) - 2)
        for moment_s in (sample.began_s, sample.ended_s)
    )
    width_s = sample.ended_s - sample.began_s
    if first == last or width_s <= 0:
        yield first, 1.0
        return
    for index in range(first, last + 1):
        within_s = min(sample.ended_s, edges_s[index + 1]) - max(sample.began_s, edges_s[index])
        yield index, within_s / width_s


def _most_counted(traffic: Iterable[Traffic], edges_s: Sequence[float]) -> tuple[int, ...]:
    bins = [0] * (len(edges_s) - 1)
    for sample in traffic:
        for index, _ in _shares(sample, edges_s):
            bins[index] = max(bins[index], sample.in_flight)
    return tuple(bins)


def _most_at_once(starts_s: Sequence[float], stops_s: Sequence[float], edges_s: Sequence[float]) -> Iterator[int]:
    """The most that were open at once in each bin; both lists are sorted."""
    for low_s, high_s in pairwise(edges_s):
        start, stop = bisect_left(starts_s, low_s), bisect_right(stops_s, low_s)
        most = level = start - stop
        while start < len(starts_s) and starts_s[start] < high_s:
            # What ends as another begins has made room for it.
            if stop < len(stops_s) and stops_s[stop] <= starts_s[start]:
                stop, level = stop + 1, level - 1
            else:
                start, level = start + 1, level + 1
                most = max(most, level)
        yield most


def _middle_and_slow(durations_s: list[float]) -> tuple[float | None, float | None]:
    if not durations_s:
        return None, None
    durations_s.sort()
    return _quantile(durations_s, 0.5), _quantile(durations_s, 0.95)


def _quantile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that *part* of all do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _durations(took_s: Iterable[float]) -> Durations:
    ordered = sorted(took_s)
    if not ordered:
        return Durations(number=0, quantiles={}, first_decade=0, counts=())
    parts = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
    quantiles = {name: round(_quantile(ordered, part), 6) for name, part in parts.items()}
    first_decade = math.floor(math.log10(ordered[0]))
    bins = Counter(max(0, math.floor((math.log10(one) - first_decade) * _BINS_PER_DECADE)) for one in ordered)
    counts = tuple(bins[index] for index in range(max(bins) + 1))
    return Durations(number=len(ordered), quantiles=quantiles, first_decade=first_decade, counts=counts)
