"""Faults to inject: what a rule says, and which rule strikes a request.

Pure: chance comes from each rule's own seed, so equal rules and an equal sequence of requests give equal faults.
Acting on a decision (waiting, cutting a connection) is the HTTP edge's part; nothing here does it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from random import Random
from typing import Annotated, Final

from pydantic import Field, PlainValidator, TypeAdapter

from encord_async.emulator.checking import ENTRY, has_to_be, read, without
from encord_async.emulator.rules import LISTINGS, NAMES

__all__ = ["OWN_FIELDS", "Fault", "FaultPlan", "FaultRule", "FaultRuleError", "read_fault_rules"]


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


OWN_FIELDS: Final[Mapping[Fault, tuple[str, ...]]] = {
    Fault.DELAY: ("seconds",),
    Fault.LATE_COMMIT: ("seconds",),
    Fault.GAVE_UP: ("seconds", "status"),
    Fault.STALE_READ: ("seconds",),
    Fault.STATUS: ("status", "seconds", "retry_after"),
    Fault.RATE_LIMITED: ("retry_after",),
    Fault.ERROR: ("code",),
}
"""What a rule with such a fault may say besides what all rules may."""
_COMMON: Final = ("query", "fault", "probability", "times", "after", "seed")
_NEEDS_SECONDS: Final = (Fault.DELAY, Fault.LATE_COMMIT, Fault.GAVE_UP, Fault.STALE_READ)
_HEADER_TEXT: Final = re.compile(r"[ -~]+")


class FaultRuleError(ValueError):
    """A rule that cannot be used; the message names the rule and the field."""


def _retry_after(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 86_400:
        return str(value)
    if isinstance(value, str) and _HEADER_TEXT.fullmatch(value):
        return value
    raise ValueError("has to be seconds or an HTTP date")


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Count = Annotated[int, Field(strict=True, ge=0), has_to_be("an integer from 0 on")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One fault, and which requests it may strike; the model of a rule in a file, too.

    Of the requests that fit *query* (a name as statistics count by, in which ``*`` stands for anything) the first
    *after* are let by; each later one is struck with *probability*, *times* times at most (None: without end).
    """

    __pydantic_config__ = ENTRY
    query: Annotated[str, Field(strict=True), has_to_be("a string")] = "*"
    fault: Annotated[Fault, has_to_be(f"one of {', '.join(Fault)}")]
    probability: Annotated[_Number, Field(ge=0, le=1), has_to_be("a number from 0 to 1")] = 1.0
    times: _Count | None = None
    after: _Count = 0
    seed: Annotated[int, Field(strict=True), has_to_be("an integer")] = 0
    seconds: Annotated[_Number, Field(ge=0, le=86_400), has_to_be("a number from 0 to 86400")] = 0.0
    status: Annotated[int, Field(strict=True, ge=200, le=599), has_to_be("an HTTP status from 200 to 599")] = 503
    retry_after: Annotated[str | None, PlainValidator(_retry_after)] = None
    code: Annotated[
        str, Field(strict=True, pattern=r"^[A-Z][A-Z_]*\z"), has_to_be("an error code such as UNKNOWN_ERROR")
    ] = "UNKNOWN_ERROR"

    def matches(self, name: str) -> bool:
        """Say whether the rule is about requests called *name*."""
        if self.fault is Fault.STALE_READ and name not in LISTINGS:
            return False
        return self.query in ("*", name) or _pattern(self.query).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _pattern(query: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, query.split("*"))), re.DOTALL)


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


_RULES: Final = TypeAdapter(tuple[Annotated[FaultRule, without(None)], ...])


def read_fault_rules(raw: object) -> tuple[FaultRule, ...]:
    """Return the rules of a decoded JSON or YAML list; null is none.

    Raises:
        FaultRuleError: Names the rule by its position from 0, the field and what it has to be.
    """
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise FaultRuleError("fault rules have to be a list")
    for index, rule in enumerate(raw):
        _check_fields(f"rules[{index}]", rule)
    rules = read(_RULES, raw, lambda place, text: FaultRuleError(f"rules{place}: {text}"))
    for index, rule in enumerate(rules):
        known = LISTINGS if rule.fault is Fault.STALE_READ else NAMES
        if not any(map(rule.matches, known)):
            wanted = f"'*', one of {', '.join(sorted(known))}, or a pattern with * that fits one"
            raise FaultRuleError(f"rules[{index}].query: has to be {wanted}")
    return rules


def _check_fields(where: str, raw: object) -> None:
    """Refuse a field that says nothing of the rule's fault, and one that the fault needs and that is missing."""
    if not isinstance(raw, dict) or raw.get("fault") not in tuple(Fault):
        return
    fault = Fault(raw["fault"])
    known = _COMMON + OWN_FIELDS.get(fault, ())
    for key in raw:
        if key not in known:
            raise FaultRuleError(f"{where}.{key}: is not a field of {fault}; known are {', '.join(known)}")
    if fault in _NEEDS_SECONDS and raw.get("seconds") is None:
        raise FaultRuleError(f"{where}.seconds: is missing; {fault} needs it")
