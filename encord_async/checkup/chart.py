"""What a check-up is made of: checks, what they saw, and the chart on which they note what the next ones build on.

It asks the service for nothing by itself.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from encord_async.errors import EncordError, ForbiddenError, UncertainError
from encord_async.session.clock import Clock, SystemClock
from encord_async.session.observer import Attempt, Beginning
from encord_async.session.session import Session

__all__ = [
    "Chart",
    "Check",
    "Figures",
    "Finding",
    "Headers",
    "Made",
    "Read",
    "Seen",
    "UnreadError",
    "Verdict",
    "as_assumed",
    "examined",
    "not_told",
    "otherwise",
    "told_of",
]

Figures: TypeAlias = Mapping[str, int | float | bool | str]


class Verdict(StrEnum):
    """What became of an assumption."""

    AS_ASSUMED = "as_assumed"
    OTHERWISE = "otherwise"
    NOT_TOLD = "not_told"
    """It cannot be told: not by reading, not from this account, or not with this key."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw; *text* and *figures* hold no secret, no title and no address."""

    verdict: Verdict
    text: str
    figures: Figures = field(default_factory=dict)


def as_assumed(text: str, **figures: float | str) -> Seen:
    """It is as was assumed."""
    return Seen(Verdict.AS_ASSUMED, text, figures)


def otherwise(text: str, **figures: float | str) -> Seen:
    """It is otherwise."""
    return Seen(Verdict.OTHERWISE, text, figures)


def not_told(text: str, **figures: float | str) -> Seen:
    """Nothing was seen that tells."""
    return Seen(Verdict.NOT_TOLD, text, figures)


class UnreadError(Exception):
    """What a check builds on is not there; the message says what, and is fit to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check, and what it saw."""

    name: str
    assumed: str
    verdict: Verdict
    seen: str
    figures: Figures = field(default_factory=dict)
    aside: str = ""
    """Words of the service or of the system; they may name anything, and are for whoever runs the check-up alone."""

    def as_json(self) -> dict[str, object]:
        """All of it that may be shown to anybody."""
        shown: dict[str, object] = {"name": self.name, "assumed": self.assumed, "seen": self.seen}
        return shown | {"verdict": self.verdict.value, "figures": dict(self.figures)}


@dataclass(frozen=True, slots=True)
class Check:
    """One assumption, and how to look."""

    name: str
    assumes: str
    look: "Callable[[Chart], Awaitable[Seen]]"
    _: KW_ONLY
    writes: bool = False
    """Whether it is about the one project that is made for it."""
    asks: bool = True
    """Whether it asks the service for anything, and does not only judge what others got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """As much of a listing as was read."""

    items: tuple[object, ...]
    pages: int
    is_whole: bool
    twice: int = 0
    """Items that were shown on more than one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The project that was made."""

    hash: str
    title: str


class Headers:
    """The observer of a check-up: keeps what replies said of the service's clock and limits."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.dates: list[tuple[float, str]] = []
        """The time here, in seconds since 1970, when a reply was there, and the time that it named."""
        self.limits: dict[str, str] = {}

    def started(self, beginning: Beginning) -> None:
        """See `Observer`."""

    def attempted(self, _: None, attempt: Attempt) -> None:
        """See `Observer`."""
        headers = dict(attempt.reply_headers)
        date = headers.pop("date", None)
        if date is not None:
            self.dates.append((self._clock.wall_s(), date))
        self.limits |= headers

    def ended(self, _: None, error: BaseException | None) -> None:
        """See `Observer`."""

    def in_doubt(self, kind: str) -> None:
        """See `Observer`."""


@dataclass(slots=True, kw_only=True)
class Chart:
    """One check-up as it goes on."""

    session: Session
    headers: Headers
    writes: bool = False
    now: str = ""
    """The check under way."""
    closed: str = ""
    """Why nothing more is to be asked, if it is so."""
    key_refused: bool = False
    in_doubt: bool = False
    """Whether something that was to be made may be there, and it is not known."""
    account: str | None = None
    """The address of the user whose key it is."""
    made: Made | None = None
    listings: dict[str, Read | str] = field(default_factory=dict)
    """What was read, by the name of its check; a text says why it was not."""

    def listing(self, name: str) -> Read:
        """What the check *name* has read.

        Raises:
            UnreadError: It has not.
        """
        found = self.listings.get(name, "was not read")
        if isinstance(found, str):
            raise UnreadError(f"the listing '{name}' {found}")
        return found


_CODE: Final = re.compile(r"[A-Z_]{1,60}")
_NEEDS_WRITE: Final = "cannot be told by reading; --write tells"


async def examined(chart: Chart, checks: Iterable[Check]) -> list[Finding]:
    """Do *checks*, one after the other; whatever goes wrong with one is its finding."""
    return [await _examined(chart, check) for check in checks]


async def _examined(chart: Chart, check: Check) -> Finding:
    aside, chart.now = "", check.name
    if check.writes and not chart.writes:
        seen = not_told(_NEEDS_WRITE)
    elif check.asks and chart.closed:
        seen = not_told(chart.closed)
    else:
        try:
            seen = await check.look(chart)
        except UnreadError as error:
            seen = not_told(str(error))
        except EncordError as error:
            aside = error.message
            # What was made goes before all else; the rest concerns that alone, and does no harm twice.
            chart.in_doubt |= check.writes and chart.made is None and isinstance(error, UncertainError)
            seen = _of_error(error)
    return Finding(
        name=check.name, assumed=check.assumes, verdict=seen.verdict, seen=seen.text, figures=seen.figures, aside=aside
    )


def told_of(error: EncordError) -> str:
    """What sort of error it is; a code that does not look like one may be any text."""
    code = error.code if error.code and _CODE.fullmatch(error.code) else None
    facts = (type(error).__name__, code, f"HTTP {error.http_status}" if error.http_status else None)
    return ", ".join(fact for fact in facts if fact)


def _of_error(error: EncordError) -> Seen:
    """What *error* says, without any words of the service or the system."""
    told = told_of(error)
    return not_told(f"not for the user of this key ({told})") if isinstance(error, ForbiddenError) else otherwise(told)
