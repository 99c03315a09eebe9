"""How tasks are dealt: to who has the fewest, in a fixed order, and never away from who has one."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from encord_async.kinds.task_rules import Strategy, TaskRule, deal
from encord_async.protocol.catalogue import TaskStatus
from encord_async.protocol.rest_models import Task

PEOPLE = ("ann@example.com", "bob@example.com", "Eve@example.com")
OTHER = "other@example.com"
HOLDERS = st.sampled_from((None, *PEOPLE, OTHER))


def tasks(*holders: str | None, title: str = "{}", status: TaskStatus | None = None) -> list[Task]:
    """Tasks that these have."""
    return [
        Task(
            uuid=f"t{number:03}",
            data_hash=f"d{number:03}",
            data_title=title.format(f"{number:03}"),
            assignee=who,
            status=status or (TaskStatus.NEW if who is None else TaskStatus.ASSIGNED),
        )
        for number, who in enumerate(holders)
    ]


def after(some: Sequence[Task], given_: Sequence[tuple[str, str]]) -> list[Task]:
    """The tasks once these have been given."""
    owners = dict(given_)
    return [one.model_copy(update={"assignee": owners.get(one.uuid, one.assignee)}) for one in some]


RULES = st.sampled_from(
    [
        (TaskRule(emails=PEOPLE),),
        (TaskRule(emails=PEOPLE, strategy=Strategy.BY_DATASET),),
        (TaskRule(emails=PEOPLE[:1], titles=("*1", "*2")), TaskRule(emails=PEOPLE[1:])),
    ]
)


def by_last_digit(data_hash: str) -> str:
    """The dataset of data."""
    return data_hash[-1]


@given(st.lists(HOLDERS, max_size=40), RULES, st.integers(0, 40))
def test_a_part_of_it_changes_nothing(holders: list[str | None], rules: tuple[TaskRule, ...], sent: int) -> None:
    """Whatever has gone out before a run died, the next one deals the rest as the first would have."""
    some = tasks(*holders)
    whole = deal(some, rules, dataset_of=by_last_digit).given
    assert {one.uuid for one in some if one.assignee is None} == whole.keys()
    first = list(whole.items())[:sent]
    rest = deal(after(some, first), rules, dataset_of=by_last_digit).given
    assert {**dict(first), **rest} == dict(whole)
    assert not deal(after(some, list(whole.items())), rules, dataset_of=by_last_digit).given


@given(st.lists(HOLDERS, max_size=40))
def test_nobody_has_many_more(holders: list[str | None]) -> None:
    """Who gets any has at most one more than the others, counted with what they had; others' tasks count for nobody."""
    dealt = deal(tasks(*holders), (TaskRule(emails=PEOPLE),)).given
    had = Counter(one for one in holders if one in PEOPLE)
    total = had + Counter(dealt.values())
    for email in dealt.values():
        assert total[email] <= min(total[one] for one in PEOPLE) + 1


def test_a_dataset_stays_together() -> None:
    """All of a dataset goes to one; who has some of it gets the rest, and datasets are dealt evenly."""
    some = tasks(*[None] * 25, "bob@example.com", *[None] * 4)
    rule = TaskRule(emails=PEOPLE, strategy=Strategy.BY_DATASET)
    dealt = deal(some, (rule,), dataset_of=by_last_digit).given
    owners = {by_last_digit(uuid): {who for one, who in dealt.items() if one[-1] == uuid[-1]} for uuid in dealt}
    assert all(len(who) == 1 for who in owners.values())
    assert owners["5"] == {"bob@example.com"}
    assert sorted(Counter(who for whose in owners.values() for who in whose).values()) == [3, 3, 4]


def test_the_first_rule_that_suits() -> None:
    """Titles tell; what suits no rule is left, and so is what is over."""
    rules = (TaskRule(emails=PEOPLE[:1], titles=("north-*", "[ab]?")), TaskRule(emails=PEOPLE[1:2], titles=("*-9",)))
    titles = ("north-9", "south-9", "a1", "c1", "North-1")
    some = [Task(uuid=title, data_hash=title, data_title=title, status=TaskStatus.NEW) for title in titles]
    assert deal(some, rules).given == {"north-9": PEOPLE[0], "a1": PEOPLE[0], "south-9": PEOPLE[1]}
    for over in (TaskStatus.COMPLETED, TaskStatus.SKIPPED):
        assert not deal(tasks(None, status=over), (TaskRule(emails=PEOPLE),)).given


def test_who_shall_have_none() -> None:
    """Their tasks go to who a rule names, or to nobody; upper case makes no other person."""
    some = tasks("BOB@example.com", OTHER, "bob@example.com")
    assert deal(some, (), ("Bob@Example.com",)).released == ["t000", "t002"]
    dealt = deal(some, (TaskRule(emails=PEOPLE[:1], titles=("002",)),), ("bob@example.com",))
    assert (dict(dealt.given), dealt.released) == ({"t002": "ann@example.com"}, ["t000"])
