"""Outcomes and summaries say in JSON what became of entries."""

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.engine.outcome import Outcome, RoleKept, Status, Summary, worst
from encord_async.errors import NotFoundError

SATISFIED = {Status.CREATED, Status.ADOPTED, Status.UPDATED, Status.UNCHANGED}


def test_satisfied() -> None:
    """Four statuses say that the account holds what was wished for, four that it does not."""
    assert {status for status in Status if status.satisfied} == SATISFIED


@given(st.sampled_from(Status), st.sampled_from(Status), st.sampled_from(Status))
def test_worst_is_an_order(one: Status, other: Status, third: Status) -> None:
    """Of several statuses one is the worst, in whatever order they come."""
    assert len({worst(worst(*order[:2]), order[2]) for order in permutations((one, other, third))}) == 1
    assert worst(one, one) is one
    assert not worst(one, other).satisfied or (one.satisfied and other.satisfied)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.IN_DOUBT}))
def test_doubt_weighs_most(status: Status) -> None:
    """An entry of which a part is in doubt is in doubt, whatever became of the rest."""
    assert worst(status, Status.IN_DOUBT) is worst(Status.IN_DOUBT, status) is Status.IN_DOUBT


def test_making_outweighs_finding() -> None:
    """A project that was made counts as created, also if its users were updated or there already."""
    assert worst(Status.UPDATED, Status.CREATED) is Status.CREATED
    assert worst(Status.UNCHANGED, Status.ADOPTED) is Status.ADOPTED


def test_outcome_in_json_says_what_there_is() -> None:
    """A plain success carries number, place, kind, key, status and hash, and no empty members."""
    outcome = Outcome(number=1, place="m.jsonl:1", kind="dataset", key="k", status=Status.CREATED, hash="h")
    assert outcome.as_json() == {
        "number": 1,
        "place": "m.jsonl:1",
        "kind": "dataset",
        "key": "k",
        "status": "created",
        "hash": "h",
    }


def test_outcome_in_json_with_everything() -> None:
    """An error comes with its code, HTTP status, trace id and whether the request may have taken effect."""
    outcome = Outcome(
        number=2,
        place="entry 2",
        kind="project_users",
        key=None,
        status=Status.FAILED,
        error=NotFoundError("no such project", code="RESOURCE_NOT_FOUND_ERROR", http_status=404, trace_id="t"),
        blocked_by="@p",
        role_kept=(RoleKept(email="a@example.com", wanted="reviewer", held="admin"),),
        candidates=("h1", "h2"),
    )
    shown = json.loads(json.dumps(outcome.as_json()))
    assert shown["error"] == {
        "type": "NotFoundError",
        "message": "no such project",
        "code": "RESOURCE_NOT_FOUND_ERROR",
        "http_status": 404,
        "trace_id": "t",
        "applied": "not_applied",
    }
    assert shown["blocked_by"] == "@p"
    assert shown["role_kept"] == [{"email": "a@example.com", "wanted": "reviewer", "held": "admin"}]
    assert shown["candidates"] == ["h1", "h2"]


@given(st.dictionaries(st.sampled_from(Status), st.integers(0, 1000)))
def test_summary_in_json_adds_up(by_status: dict[Status, int]) -> None:
    """``apply --json`` names all eight statuses, and they add up to the entries."""
    summary = Summary(entries=sum(by_status.values()), by_status=by_status, requests=3, elapsed_s=1.23456)
    shown = summary.as_json()
    assert list(shown) == [
        "entries",
        *("created", "adopted", "updated", "unchanged", "failed", "blocked", "in_doubt", "cancelled"),
        *("requests", "retries", "throttled", "elapsed_s"),
    ]
    assert sum(summary.count(status) for status in Status) == shown["entries"]
    assert all(shown[status.value] == by_status.get(status, 0) for status in Status)
    assert shown["elapsed_s"] == 1.235


def test_summary_says_why_a_run_was_stopped() -> None:
    """A run that ended before its manifest did says so."""
    assert Summary(stopped_by="fail_fast").as_json()["stopped_by"] == "fail_fast"
