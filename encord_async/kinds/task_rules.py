"""To whom tasks of a stage are given: rules, and how they deal out what nobody has. Pure.

Who has a task keeps it, so the same tasks dealt once more are as they are. What is dealt of them after a part has gone
out is what would have been dealt at once: each is given to who has the fewest, in a fixed order.
"""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from encord_async.kinds.fields import Email, OneOf, Part, Title
from encord_async.kinds.patterns import Patterns
from encord_async.protocol.catalogue import TaskStatus
from encord_async.protocol.rest_models import Task

__all__ = ["Assign", "Dealt", "Strategy", "TaskRule", "Written", "deal", "written_rules"]


class Strategy(StrEnum):
    """How tasks are dealt to several people."""

    ROUND_ROBIN = "round_robin"
    """One after the other, to who has the fewest."""
    BY_DATASET = "by_dataset"
    """All of a dataset to one, and each dataset to who has the fewest."""


_STRATEGIES: Final[Mapping[str, Strategy]] = {one.value: one for one in Strategy}
StrategyWord: TypeAlias = Annotated[Strategy, OneOf("strategy", _STRATEGIES)]


class TaskRule(Part):
    """Who gets the tasks of data with certain titles, or of all if none are said.

    In *titles*, ``*`` is any text, ``?`` any character, and ``[ab]`` one of these.
    """

    noun = "a rule for tasks"
    form = "ann@x.org;bob@x.org"

    emails: Annotated[tuple[Email, ...], Field(min_length=1)]
    strategy: StrategyWord = Strategy.ROUND_ROBIN
    titles: tuple[Title, ...] = ()


def _rules(value: object) -> object:
    """One rule stands for itself, and addresses for a rule that gives each of them as many."""
    if isinstance(value, Mapping | TaskRule):
        return (value,)
    if isinstance(value, str):
        return ({"emails": (value,)},)
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
        return ({"emails": tuple(value)},)
    return value


_EMAILS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_RULE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "emails": _EMAILS,
        "strategy": {"enum": list(_STRATEGIES)},
        "titles": {"type": "array", "items": {"type": "string", "minLength": 1}},
    },
    "required": ["emails"],
    "additionalProperties": False,
}
Assign: TypeAlias = Annotated[
    tuple[TaskRule, ...],
    BeforeValidator(_rules),
    WithJsonSchema(
        {
            "description": "{emails, strategy, titles}, or a list of these of which the first that suits counts.",
            "anyOf": [_RULE, {"type": "array", "items": {"anyOf": [_RULE, {"type": "string"}]}}, {"type": "string"}],
        }
    ),
]


class Dealt(NamedTuple):
    """What is to change of tasks: *given*, each with an address, and *released*."""

    given: Mapping[str, str]
    released: Sequence[str]


_OVER: Final = (TaskStatus.COMPLETED, TaskStatus.SKIPPED)


def deal(
    tasks: Iterable[Task],
    rules: Sequence[TaskRule],
    release: Collection[str] = (),
    dataset_of: Callable[[str], str | None] = lambda _: None,
) -> Dealt:
    """Whom each task is to be given to that nobody has, or who is to have none.

    Args:
        tasks: All that are in the stage.
        rules: The first that suits a task counts.
        release: Addresses of those who are to have none.
        dataset_of: The dataset of data.
    """
    leavers = {email.casefold() for email in release}
    by_rule: defaultdict[int, list[Task]] = defaultdict(list)
    suiting = [Patterns(rule.titles or ("*",)) for rule in rules]
    released = list[str]()
    for task in sorted(tasks, key=lambda one: (one.data_title, one.data_hash, one.uuid)):
        number = next((index for index, titles in enumerate(suiting) if titles.suit(task.data_title)), None)
        if number is not None:
            by_rule[number].append(task)
        elif task.assignee is not None and task.assignee.casefold() in leavers and task.status not in _OVER:
            released.append(task.uuid)
    given: dict[str, str] = {}
    for number, some in sorted(by_rule.items()):
        rule = rules[number]
        shares = [(dataset_of(task.data_hash) if rule.strategy is Strategy.BY_DATASET else task.uuid) for task in some]
        given |= _dealt(some, shares, rule.emails, leavers)
    return Dealt(MappingProxyType(given), released)


def _dealt(
    tasks: Sequence[Task], shares: Sequence[str | None], emails: Sequence[str], leavers: Collection[str]
) -> Mapping[str, str]:
    """Give each of *shares* to one of *emails*: who has most of it, or else who has the fewest."""
    known = {email.casefold(): index for index, email in enumerate(emails)}
    holders: defaultdict[str | None, Counter[int]] = defaultdict(Counter)
    for task, share in zip(tasks, shares, strict=True):
        held = holders[share]
        who = None if task.assignee is None else task.assignee.casefold()
        if who in known and who not in leavers:
            held[known[who]] += 1
    owners = {share: max(held, key=lambda one: (held[one], -one)) for share, held in holders.items() if held}
    loads = Counter(owners.values())
    fewest = [(loads[index], index) for index in range(len(emails))]
    heapq.heapify(fewest)
    given: dict[str, str] = {}
    for task, share in zip(tasks, shares, strict=True):
        is_free = task.assignee is None or task.assignee.casefold() in leavers
        if not is_free or task.status in _OVER:
            continue
        if share not in owners:
            load, owners[share] = fewest[0]
            heapq.heapreplace(fewest, (load + 1, owners[share]))
        given[task.uuid] = emails[owners[share]]
    return given


class Written(NamedTuple):
    """Rules by which tasks would go to who has them, and how many there are of which they cannot say it."""

    rules: Sequence[TaskRule]
    unsaid: int


def written_rules(tasks: Iterable[Task]) -> Written:
    """Rules by which each of *tasks* would go to who has it.

    Several of one title go to all who have one of them, and to nobody if nobody has one of them.
    """
    owners: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for task in tasks:
        owners[task.data_title][task.assignee] += 1
    unsaid = sum(who.total() for who in owners.values() if len(who) > 1)
    titles: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for title, who in sorted(owners.items()):
        people = () if None in who else tuple(sorted(one for one in who if one is not None))
        titles[people].append(_ANY.sub(r"[\1]", title))
    whole = len(titles) == 1
    rules = [
        TaskRule.model_validate({"emails": people, "titles": () if whole else some})
        for people, some in sorted(titles.items())
        if people
    ]
    return Written(rules, unsaid)


_ANY: Final = re.compile(r"([*?\[])")
"""What means something else in a pattern than itself."""
