"""Faults to inject: what a rule says, and which rule strikes a request.

Pure: chance comes from each rule's own seed, so equal rules and an equal sequence of requests give equal faults.
Acting on a decision (waiting, cutting a connection) is the HTTP edge's part; nothing here does it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, TypeAlias

from encord_async.emulator.rest import REST_LISTINGS, REST_NAMES
from encord_async.emulator.service import LISTINGS as ENVELOPE_LISTINGS
from encord_async.emulator.service import QUERY_NAMES

__all__ = ["Fault", "FaultPlan", "FaultRule", "FaultRuleError", "read_fault_rules"]


class Fault(StrEnum):
    """What can go wrong."""

    DROP_BEFORE = "drop_before"
    """The connection is cut; nothing was applied."""
    DROP_AFTER_COMMIT = "drop_after_commit"
    """Applied, and the connection is cut before the reply."""
    TRUNCATE = "truncate"
    """Applied; half of the reply arrives, then the connection is cut."""
    DELAY = "delay"
    """Everything happens, ``seconds`` later."""
    LATE_COMMIT = "late_commit"
    """The connection is cut at once; the request is applied ``seconds`` later."""
    GAVE_UP = "gave_up"
    """An HTTP ``status`` with an HTML body at once, as a proxy that waits no longer; applied ``seconds`` later."""
    STALE_READ = "stale_read"
    """A listing shows nothing younger than ``seconds``."""
    HANG = "hang"
    """Accepted and never answered, nor applied."""
    STATUS = "status"
    """An HTTP ``status`` with an HTML body, as a proxy would send; nothing was applied."""
    RATE_LIMITED = "rate_limited"
    """HTTP 429, with ``retry_after`` if given; nothing was applied."""
    RATE_LIMITED_ENVELOPE = "rate_limited_envelope"
    """HTTP 200 with RATE_LIMIT_ERROR in the envelope, for REST HTTP 429; nothing was applied."""
    ERROR = "error"
    """An envelope with error ``code``, for REST the HTTP status that it means; nothing was applied."""


_EXTRA: Final[Mapping[Fault, tuple[str, ...]]] = {
    Fault.DELAY: ("seconds",),
    Fault.LATE_COMMIT: ("seconds",),
    Fault.GAVE_UP: ("seconds", "status"),
    Fault.STALE_READ: ("seconds",),
    Fault.STATUS: ("status", "seconds", "retry_after"),
    Fault.RATE_LIMITED: ("retry_after",),
    Fault.ERROR: ("code",),
}
LISTINGS: Final = ENVELOPE_LISTINGS | REST_LISTINGS
_COMMON: Final = ("query", "fault", "probability", "times", "after", "seed")
_NEEDS_SECONDS: Final = (Fault.DELAY, Fault.LATE_COMMIT, Fault.GAVE_UP, Fault.STALE_READ)
_CODE: Final = re.compile(r"[A-Z][A-Z_]*")
_HEADER_TEXT: Final = re.compile(r"[ -~]+")


class FaultRuleError(ValueError):
    """A rule that cannot be used; the message names the rule and the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One fault, and which requests it may strike.

    Of the requests named *query* (``*``: any) the first *after* are let by; each later one is struck with
    *probability*, *times* times at most (None: without end).
    """

    query: str
    fault: Fault
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    seed: int = 0
    seconds: float = 0.0
    status: int = 503
    retry_after: str | None = None
    code: str = "UNKNOWN_ERROR"

    def matches(self, name: str) -> bool:
        """Say whether the rule is about requests called *name*."""
        if self.fault is Fault.STALE_READ and name not in LISTINGS:
            return False
        return self.query in ("*", name)


class FaultPlan:
    """Rules, and how often each has seen and struck a request."""

    def __init__(self, rules: Sequence[FaultRule] = ()) -> None:
        """Start with fresh counts and each rule's seed."""
        self._entries = [_Entry(rule) for rule in rules]

    def decide(self, name: str) -> FaultRule | None:
        """Return the rule that strikes this request: the first in order that matches and whose chance comes up."""
        for entry in self._entries:
            if entry.rule.matches(name) and entry.strikes():
                return entry.rule
        return None

    def counts(self) -> list[dict[str, object]]:
        """Return, for each rule, what it says in short, and how often it matched and struck."""
        return [
            {
                "query": entry.rule.query,
                "fault": str(entry.rule.fault),
                "matched": entry.matched,
                "fired": entry.fired,
            }
            for entry in self._entries
        ]


class _Entry:
    __slots__ = ("_chance", "fired", "matched", "rule")

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.matched = 0
        self.fired = 0
        self._chance = Random(rule.seed)

    def strikes(self) -> bool:
        self.matched += 1
        if self.matched <= self.rule.after or (self.rule.times is not None and self.fired >= self.rule.times):
            return False
        if self._chance.random() >= self.rule.probability:
            return False
        self.fired += 1
        return True


RawRule: TypeAlias = Mapping[str, object]


def read_fault_rules(raw: object) -> tuple[FaultRule, ...]:
    """Return the rules of a decoded JSON or YAML list; null is none.

    Raises:
        FaultRuleError: Names the rule by its position from 0, the field and what it has to be.
    """
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise FaultRuleError("fault rules have to be a list")
    return tuple(_Reader(f"rules[{index}]", item).rule() for index, item in enumerate(raw))


class _Reader:
    """One raw rule, its fields taken and checked one by one."""

    def __init__(self, where: str, raw: object) -> None:
        self._where = where
        if not isinstance(raw, dict):
            raise FaultRuleError(f"{where}: has to be an object")
        self._raw: RawRule = raw

    def rule(self) -> FaultRule:
        fault = self._fault()
        known = _COMMON + _EXTRA.get(fault, ())
        for key in self._raw:
            if key not in known:
                raise self._error(str(key), f"is not a field of {fault}; known are {', '.join(known)}")
        if fault in _NEEDS_SECONDS and "seconds" not in self._raw:
            raise self._error("seconds", f"is missing; {fault} needs it")
        return FaultRule(
            query=self._query(fault),
            fault=fault,
            probability=self._number("probability", 1.0, 0, 1),
            times=self._integer("times", None, 0),
            after=self._integer("after", 0, 0) or 0,
            seed=self._integer("seed", 0, None) or 0,
            seconds=self._number("seconds", 0.0, 0, 86_400),
            status=self._status(),
            retry_after=self._retry_after(),
            code=self._code(),
        )

    def _error(self, field: str, text: str) -> FaultRuleError:
        return FaultRuleError(f"{self._where}.{field}: {text}")

    def _fault(self) -> Fault:
        value = self._raw.get("fault")
        try:
            return Fault(value)  # type: ignore[arg-type]  # other types raise ValueError
        except ValueError:
            raise self._error("fault", f"has to be one of {', '.join(Fault)}") from None

    def _query(self, fault: Fault) -> str:
        value = self._raw.get("query", "*")
        known = LISTINGS if fault is Fault.STALE_READ else QUERY_NAMES | REST_NAMES
        if not isinstance(value, str) or (value != "*" and value not in known):
            raise self._error("query", f"has to be '*' or one of {', '.join(sorted(known))}")
        return value

    def _number(self, field: str, default: float, low: float, high: float) -> float:
        value = self._raw.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._error(field, f"has to be a number from {low:g} to {high:g}")
        return float(value)

    def _integer(self, field: str, default: int | None, low: int | None) -> int | None:
        value = self._raw.get(field)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low):
            raise self._error(field, "has to be an integer" + ("" if low is None else f" from {low} on"))
        return value

    def _status(self) -> int:
        value = self._integer("status", 503, 0) or 0
        if not 200 <= value <= 599:
            raise self._error("status", "has to be an HTTP status from 200 to 599")
        return value

    def _retry_after(self) -> str | None:
        value = self._raw.get("retry_after")
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 86_400:
            return str(value)
        if isinstance(value, str) and _HEADER_TEXT.fullmatch(value):
            return value
        raise self._error("retry_after", "has to be seconds or an HTTP date")

    def _code(self) -> str:
        value = self._raw.get("code", "UNKNOWN_ERROR")
        if not isinstance(value, str) or not _CODE.fullmatch(value):
            raise self._error("code", "has to be an error code such as UNKNOWN_ERROR")
        return value
