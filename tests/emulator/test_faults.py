"""Fault rules: which request is struck, and which rules are refused."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.emulator.faults import Fault, FaultPlan, FaultRule, FaultRuleError, read_fault_rules
from encord_async.emulator.rules import NAMES as CALLS

NAMES = st.lists(st.sampled_from(sorted(CALLS)), max_size=60)
RULES = st.lists(
    st.builds(
        FaultRule,
        query=st.sampled_from(["*", "project.POST", "projectusers.POST"]),
        fault=st.sampled_from(Fault),
        probability=st.floats(0, 1),
        times=st.none() | st.integers(0, 5),
        after=st.integers(0, 5),
        seed=st.integers(0, 100),
    ),
    max_size=4,
)


@given(RULES, NAMES)
def test_the_same_rules_and_requests_give_the_same_faults(rules: list[FaultRule], names: list[str]) -> None:
    """A failing run can be repeated exactly."""
    first, second = FaultPlan(rules), FaultPlan(rules)
    assert [first.decide(name) for name in names] == [second.decide(name) for name in names]


@given(RULES, NAMES)
def test_a_rule_strikes_what_it_names_and_no_more_often_than_it_says(rules: list[FaultRule], names: list[str]) -> None:
    """Requests with other names are left alone; *times* is a ceiling."""
    plan = FaultPlan(rules)
    for name in names:
        rule = plan.decide(name)
        assert rule is None or rule.query in ("*", name)
    for rule, count in zip(rules, plan.counts(), strict=True):
        assert isinstance(count["fired"], int)
        assert rule.times is None or count["fired"] <= rule.times


def test_after_lets_the_first_ones_by() -> None:
    """With after 2 and times 1 the third request is struck, and no other."""
    plan = FaultPlan([FaultRule(query="project.POST", fault=Fault.DROP_BEFORE, after=2, times=1)])
    assert [plan.decide("project.POST") is not None for _ in range(5)] == [False, False, True, False, False]


def test_probability_is_about_kept() -> None:
    """A tenth means about a tenth, and other seeds strike other requests."""

    def struck(seed: int) -> list[int]:
        plan = FaultPlan([FaultRule(query="*", fault=Fault.HANG, probability=0.1, seed=seed)])
        return [number for number in range(2000) if plan.decide("project.POST")]

    assert 150 < len(struck(7)) < 250
    assert struck(7) != struck(8)


def test_the_first_rule_that_strikes_wins() -> None:
    """Rules are tried in order; one that is used up lets the next have its turn."""
    plan = FaultPlan(
        [FaultRule(query="*", fault=Fault.HANG, times=1), FaultRule(query="*", fault=Fault.DROP_BEFORE, times=1)]
    )
    struck = [plan.decide("project.GET") for _ in range(3)]
    assert [rule and rule.fault for rule in struck] == [Fault.HANG, Fault.DROP_BEFORE, None]


def test_stale_reads_strike_listings_only() -> None:
    """A rule for any request is not used up by requests that have no past to show."""
    plan = FaultPlan([FaultRule(query="*", fault=Fault.STALE_READ, seconds=1, times=1)])
    assert plan.decide("project.POST") is None
    assert plan.decide("projectwithuserrole.GET") is not None


def test_rules_are_read_as_the_contract_spells_them() -> None:
    """Every field of a rule arrives, and the rest has the documented defaults."""
    raw = {
        "query": "project.POST",
        "fault": "rate_limited",
        "probability": 0.1,
        "times": 5,
        "seed": 7,
        "retry_after": 3,
    }
    assert read_fault_rules([raw]) == (
        FaultRule(query="project.POST", fault=Fault.RATE_LIMITED, probability=0.1, times=5, seed=7, retry_after="3"),
    )
    assert read_fault_rules([{"query": "*", "fault": "hang"}])[0].probability == 1
    assert read_fault_rules([{"fault": "delay", "seconds": 0.5}])[0].query == "*"
    assert read_fault_rules(None) == ()


def test_a_query_may_be_a_pattern_over_the_names_that_are_counted() -> None:
    """A star stands for anything, in either API; nothing else has a meaning of its own."""
    (rule,) = read_fault_rules([{"query": "v2/*.GET", "fault": "hang"}])
    names = ["v2/projects/{project}/users.GET", "v2/datasets.POST", "project.GET", "v2/projects_GET", "unknown"]
    assert [rule.matches(name) for name in names] == [True, False, False, False, False]
    (users,) = read_fault_rules([{"query": "p*users.POST", "fault": "hang"}])
    assert [name for name in sorted(CALLS) if users.matches(name)] == ["projectusers.POST"]


@pytest.mark.parametrize("query", ["projekt*", "project?POST", "*.HEAD"])
def test_a_pattern_that_fits_nothing_is_refused(query: str) -> None:
    """A rule that could never strike is a slip."""
    with pytest.raises(FaultRuleError, match=r"^rules\[0\]\.query: has to be '\*', one of .*, or a pattern"):
        read_fault_rules([{"query": query, "fault": "hang"}])


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"fault": "explode"}, "fault"),
        ({}, "fault"),
        ({"fault": "hang", "query": "projekt.POST"}, "query"),
        ({"fault": "hang", "query": ""}, "query"),
        ({"fault": "stale_read", "query": "project.POST", "seconds": 1}, "query"),
        ({"fault": "stale_read", "query": "*.POST", "seconds": 1}, "query"),
        ({"fault": "hang", "probability": 1.5}, "probability"),
        ({"fault": "hang", "probability": True}, "probability"),
        ({"fault": "hang", "times": -1}, "times"),
        ({"fault": "hang", "times": 1.5}, "times"),
        ({"fault": "hang", "seed": "x"}, "seed"),
        ({"fault": "hang", "seconds": 1}, "seconds"),
        ({"fault": "delay"}, "seconds"),
        ({"fault": "delay", "seconds": -1}, "seconds"),
        ({"fault": "status", "status": 700}, "status"),
        ({"fault": "status", "status": 199}, "status"),
        ({"fault": "rate_limited", "retry_after": "1\r\nX: y"}, "retry_after"),
        ({"fault": "rate_limited", "retry_after": -1}, "retry_after"),
        ({"fault": "error", "code": "not a code"}, "code"),
        ({"fault": "hang", "colour": "red"}, "colour"),
    ],
)
def test_a_bad_rule_is_named_with_its_field(raw: Mapping[str, object], where: str) -> None:
    """The message leads to the very field."""
    with pytest.raises(FaultRuleError, match=rf"^rules\[1\]\.{where}: "):
        read_fault_rules([{"fault": "hang"}, dict(raw)])


@pytest.mark.parametrize("raw", [{}, "hang", 3])
def test_rules_that_are_no_list_are_refused(raw: object) -> None:
    """A single rule outside a list is a mistake worth telling."""
    with pytest.raises(FaultRuleError, match="list"):
        read_fault_rules(raw)
    with pytest.raises(FaultRuleError, match=r"rules\[0\]"):
        read_fault_rules(["hang"])
