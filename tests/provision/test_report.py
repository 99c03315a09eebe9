"""A report counts each step once, lists what people have to look at, and shows the course over time as it was."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.engine.outcome import Status
from encord_async.errors import UsageError
from encord_async.journal.record import Record, State
from encord_async.journal.traffic import Traffic
from encord_async.kinds.dataset import DATASET
from encord_async.kinds.project import PROJECT
from encord_async.kinds.project_api_key import API_KEY
from encord_async.kinds.project_users import USERS
from encord_async.report.summary import (
    SHOWN_STATUSES,
    Links,
    Report,
    ReportBuilder,
    Row,
    Stretch,
    bin_width_s,
    links_for,
    status_of,
)

T0 = 1_760_000_000.0


def record(number: int = 1, **more: Any) -> Record:
    """A project that took a second to make, one each second."""
    plain: dict[str, Any] = {
        "identity": number.to_bytes(16),
        "entry": b"",
        "place": f"programme.jsonl:{number}",
        "kind": PROJECT,
        "title": f"Project {number}",
        "state": State.DONE,
        "status": "created",
        "hash": f"hash-{number}",
        "started_s": T0 + number,
        "ended_s": T0 + number + 1,
    }
    return Record(**(plain | more))


def user(number: int, **more: Any) -> Record:
    """A member that was added with many others: written down when it had ended."""
    at_s = T0 + number
    more = {"kind": USERS.give, "status": "updated", "hash": None, "started_s": at_s, "ended_s": at_s} | more
    return record(number, **more)


def failed(number: int, **more: Any) -> Record:
    """A project that the service refused."""
    return record(number, state=State.FAILED, status="failed", hash=None, code="UNKNOWN_ERROR", message="why", **more)


def intended(number: int, **more: Any) -> Record:
    """A project of which nothing is known but that it was to be made."""
    return record(number, state=State.INTENDED, status="", hash=None, ended_s=None, **more)


def report_of(records: Iterable[Record], *, max_rows: int = 1000) -> Report:
    """The report on *records*."""
    builder = ReportBuilder(max_rows=max_rows)
    for one in records:
        builder.add(one)
    return builder.finish(domain="https://api.encord.com", account="me")


def only_stretch(records: Iterable[Record]) -> Stretch:
    """The one stretch of a run without a pause."""
    (stretch,) = report_of(records).stretches
    return stretch


def test_steps_are_counted_by_kind_and_status() -> None:
    """The sums are those of the journal, by what the steps were and how they ended."""
    made = report_of([record(1), record(2), user(3), failed(4), intended(5), record(6, status="adopted")])
    assert made.steps == 6
    assert made.counts == {
        PROJECT: {Status.CREATED: 2, Status.FAILED: 1, Status.IN_DOUBT: 1, Status.ADOPTED: 1},
        USERS.give: {Status.UPDATED: 1},
    }
    assert made.count(Status.CREATED) == 2


@pytest.mark.parametrize(
    ("state", "status", "shown"),
    [
        (State.DONE, "created", Status.CREATED),
        (State.DONE, "unchanged", Status.UNCHANGED),
        (State.DONE, "a later version's", Status.UNCHANGED),
        (State.FAILED, "failed", Status.FAILED),
        (State.FAILED, "", Status.FAILED),
        (State.INTENDED, "", Status.IN_DOUBT),
        (State.IN_DOUBT, "in_doubt", Status.IN_DOUBT),
    ],
)
def test_an_open_step_is_in_doubt_whatever_its_status(state: State, status: str, shown: Status) -> None:
    """What may have happened is never shown as done or failed."""
    assert status_of(record(state=state, status=status)) is shown


def test_what_went_well_can_be_left_out_but_nothing_else() -> None:
    """With more steps than can be listed, those that need somebody's eyes are all there, and all are counted."""
    made = report_of([record(1), failed(2), record(3), record(4), intended(5)], max_rows=2)
    assert [row.title for row in made.rows] == ["Project 1", "Project 2", "Project 3", "Project 5"]
    assert (made.steps, made.left_out) == (5, 1)


def test_an_empty_journal_has_a_report() -> None:
    """A run that was stopped before it did anything has a report with zeros."""
    made = report_of([])
    assert (made.steps, made.began_s, made.ended_s, made.stretches) == (0, None, None, ())
    assert made.as_json(None)["sums"] == {status.value: 0 for status in SHOWN_STATUSES}


def test_only_creates_have_a_time_they_took() -> None:
    """Members are written down when they have ended, so nobody is told that they took no time."""
    made = report_of([record(1, ended_s=T0 + 3), user(2), record(3, status="adopted", ended_s=T0 + 3), intended(4)])
    assert [row.took_s for row in made.rows] == [2.0, None, None, None]
    assert (made.durations.number, made.durations.quantiles["p50"], made.durations.quantiles["max"]) == (1, 2.0, 2.0)


def test_quantiles_are_times_that_something_took() -> None:
    """Of a hundred creates that took 1 to 100 seconds, the median took 50 and one in a hundred longer than 99."""
    made = report_of(record(number, ended_s=T0 + 2 * number) for number in range(1, 101))
    assert made.durations.quantiles == {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert sum(made.durations.counts) == 100
    assert made.durations.first_decade == 0


def test_the_course_shows_when_things_ended() -> None:
    """Ends, failures and doubts stand in the bin of the moment at which they happened."""
    # In the middle of bins: on their edges, rounding decides.
    made = {"started_s": T0 + 0.05, "ended_s": T0 + 1.05}
    refused = failed(2, **(made | {"ended_s": T0 + 2.05}))
    late = user(4, started_s=T0 + 13.05, ended_s=T0 + 13.05)
    stretch = only_stretch([record(1, **made), refused, intended(3, started_s=T0 + 10.05), late])
    assert stretch.bin_s == 0.1
    assert stretch.began_s == pytest.approx(T0)
    assert [index for index, count in enumerate(stretch.ended) if count] == [10, 20, 130]
    assert [index for index, count in enumerate(stretch.failed) if count] == [20]
    assert [index for index, count in enumerate(stretch.in_doubt) if count] == [100]
    assert stretch.median_s[10] == pytest.approx(1.0)
    assert stretch.median_s[11] is None
    assert stretch.slow_s[20] == pytest.approx(2.0)


def test_the_course_shows_how_many_creates_were_under_way() -> None:
    """Three that overlap are three at once; one that begins as another ends takes its place."""
    overlapping = [record(number, started_s=T0, ended_s=T0 + 1 + number) for number in range(3)]
    stretch = only_stretch([*overlapping, record(9, started_s=T0 + 1, ended_s=T0 + 4), user(4)])
    assert max(stretch.under_way) == 3
    assert stretch.under_way[-2:] == (1, 0)


def test_creates_that_came_and_went_within_a_bin_are_seen() -> None:
    """Two at once are two, even if both came and went between two points of a chart; one after the other is one."""
    brief = [
        *(record(1, started_s=T0 + 0.01, ended_s=T0 + 0.05), record(2, started_s=T0 + 0.04, ended_s=T0 + 0.06)),
        *(record(3, started_s=T0 + 50.01, ended_s=T0 + 50.02), record(4, started_s=T0 + 50.02, ended_s=T0 + 50.03)),
        user(100),
    ]
    stretch = only_stretch(brief)
    assert (stretch.bin_s, stretch.under_way[0], stretch.under_way[100]) == (0.5, 2, 1)


def test_what_a_killed_run_left_open_is_not_under_way_in_the_next() -> None:
    """A step without an end is under way until the run stopped, not until its journal is taken up a day later."""
    first, second = report_of([record(1), intended(2), record(100_000)]).stretches
    assert first.under_way[-1] == 1
    assert max(second.under_way) == 1


def test_a_pause_begins_a_new_stretch() -> None:
    """A run that is taken up the next day is drawn as two, each with bins of its own, not as two needles."""
    first, second = report_of([record(1), record(2), record(90_000), record(91_000, ended_s=T0 + 91_001)]).stretches[:2]
    assert (first.steps, first.bin_s) == (2, 0.02)
    assert second.began_s == pytest.approx(T0 + 90_000)


def test_a_clock_that_was_set_back_does_no_harm() -> None:
    """An end before its beginning is drawn as an end at once, and a step without a time is only counted."""
    made = report_of([record(1, ended_s=T0 - 50), record(2, started_s=0.0, ended_s=None)])
    assert made.rows[0].took_s is None
    assert sum(stretch.steps for stretch in made.stretches) == 1
    assert made.steps == 2


times = st.floats(min_value=1.0, max_value=4e9)


@given(st.lists(st.tuples(times, st.floats(min_value=0, max_value=1e6), st.booleans()), max_size=40))
def test_nothing_gets_lost_in_the_bins(steps: list[tuple[float, float, bool]]) -> None:
    """Whatever the times: each end is in exactly one bin, and no chart gets more points than a screen has room for."""
    records = [
        record(number, started_s=began_s, ended_s=began_s + took_s, **({"state": State.FAILED} if fails else {}))
        for number, (began_s, took_s, fails) in enumerate(steps)
    ]
    made = report_of(records)
    assert sum(stretch.steps for stretch in made.stretches) == len(steps)
    assert sum(sum(stretch.failed) for stretch in made.stretches) == sum(fails for _, _, fails in steps)
    assert sum(made.durations.counts) == made.durations.number
    for stretch in made.stretches:
        columns = (stretch.failed, stretch.in_doubt, stretch.under_way, stretch.median_s, stretch.slow_s)
        assert {len(column) for column in columns} == {len(stretch.ended)}
        assert len(stretch.ended) <= 243


@given(st.floats(min_value=0, max_value=1e10))
def test_bins_are_few_and_of_round_width(span_s: float) -> None:
    """An axis has steps that people can read, however long the run was."""
    width_s = bin_width_s(span_s)
    assert span_s / width_s <= 240
    assert width_s < 86_400 or width_s % 86_400 == 0


def row(**more: Any) -> Row:
    """A row of a record."""
    return Row.of(record(**more))


def test_links_lead_to_what_was_made_or_to_its_project() -> None:
    """A project and a dataset link to themselves, a member and a key to their project, and hashes cannot break out."""
    links = links_for("https://api.encord.com")
    assert links == Links("https://app.encord.com")
    assert links is not None
    assert links.of(row()) == "https://app.encord.com/projects/view/hash-1/summary"
    assert links.of(row(kind=DATASET, hash="a/b?c")) == "https://app.encord.com/datasets/view/a%2Fb%3Fc"
    assert (
        links.of(row(kind=USERS.give, hash=None, parent_hash="p")) == "https://app.encord.com/projects/view/p/summary"
    )
    assert (
        links.of(row(kind=API_KEY, hash="fingerprint", parent_hash="p"))
        == "https://app.encord.com/projects/view/p/summary"
    )
    assert links.of(row(hash=None)) is None


@pytest.mark.parametrize(
    ("domain", "app_url", "expected"),
    [
        ("https://api.encord.com", None, "https://app.encord.com"),
        ("https://api.us.encord.com", None, "https://app.us.encord.com"),
        ("https://api.us.encord.com", "https://labels.example.com/", "https://labels.example.com"),
        ("http://127.0.0.1:8080", None, None),
        ("http://localhost:8080", None, None),
        ("http://[::1]:8080", None, None),
        ("https://proxy.example.com", None, None),
        ("https://api.encord.com.evil.example", None, None),
        ("nonsense://[", None, None),
    ],
)
def test_the_app_is_guessed_from_the_domain(domain: str, app_url: str | None, expected: str | None) -> None:
    """Links fit the account's region; an emulator has none, and neither has a domain that nobody knows an app for."""
    links = links_for(domain, app_url)
    assert (links.base if links else None) == expected


@pytest.mark.parametrize("app_url", ["app.encord.com", "javascript:alert(1)", "https://", "http://["])
def test_an_app_address_has_to_be_one(app_url: str) -> None:
    """A typing error in --app-url is told, not written into a thousand links."""
    with pytest.raises(UsageError, match="--app-url"):
        links_for("https://api.encord.com", app_url)


def test_the_json_lists_each_step_under_its_status() -> None:
    """A program finds sums, sums by kind, and each step once, with what the journal knows of it."""
    doubt = intended(3, details={"candidates": ["a", "b"]})
    found: Any = report_of([record(1, key="cats"), failed(2), doubt]).as_json(links_for("https://api.encord.com"))
    assert Counter({name: len(found[name]) for name in found["sums"] if found[name]}) == Counter(
        created=1, failed=1, in_doubt=1
    )
    assert found["by_kind"] == {"project": {"created": 1, "failed": 1, "in_doubt": 1}}
    assert found["created"][0] == {
        "id": "00" * 15 + "01",
        "place": "programme.jsonl:1",
        "key": "cats",
        "kind": "project",
        "title": "Project 1",
        "status": "created",
        "hash": "hash-1",
        "project_hash": None,
        "link": "https://app.encord.com/projects/view/hash-1/summary",
        "code": None,
        "message": None,
        "candidates": [],
        "began_s": T0 + 1,
        "took_s": 1.0,
    }
    assert found["in_doubt"][0]["candidates"] == ["a", "b"]


# --- what was sent ----------------------------------------------------------------------------------------------------


def sample(began_s: float, took_s: float, **more: int) -> Traffic:
    """What was sent in a while that began so many seconds after T0."""
    counts = {"requests": 0, "retries": 0, "throttled": 0, "in_flight": 0} | more
    return Traffic(began_s=T0 + began_s, ended_s=T0 + began_s + took_s, **counts)


def with_traffic(records: Iterable[Record], *samples: Traffic) -> Report:
    """The report on *records* and on what was sent."""
    builder = ReportBuilder(max_rows=10)
    for one in records:
        builder.add(one)
    builder.add_traffic(samples)
    return builder.finish(domain="https://api.encord.com", account="me")


def test_throttling_stands_where_it_was() -> None:
    """On the time axis of the steps one sees when the service turned requests away, and how many there were."""
    calm, stormy = sample(1, 1, requests=10, in_flight=4), sample(2, 1, requests=20, throttled=12, retries=2)
    (stretch,) = with_traffic([record(1), record(2)], calm, stormy).stretches
    bins = round(1 / stretch.bin_s)
    assert sum(stretch.throttled[:bins]) == 0
    assert sum(stretch.throttled[bins:]) == pytest.approx(12, abs=0.1)
    assert sum(stretch.requests[:bins]) == pytest.approx(10, abs=0.1)
    assert max(stretch.in_flight) == 4
    assert len(stretch.requests) == len(stretch.retries) == len(stretch.in_flight) == len(stretch.ended)


@given(
    samples=st.lists(
        st.tuples(st.floats(0, 5000), st.floats(0, 60), st.integers(0, 1000), st.integers(0, 9)), max_size=30
    ),
    steps=st.lists(st.integers(0, 5000), max_size=5),
)
def test_no_request_is_lost_between_bins_and_pauses(
    samples: list[tuple[float, float, int, int]], steps: list[int]
) -> None:
    """Whenever it was sent, and whatever pauses there were, what the bins hold adds up to what was sent."""
    sent = [sample(at_s, took_s, requests=count, in_flight=most) for at_s, took_s, count, most in samples]
    made = with_traffic([record(number) for number in steps], *sent)
    total = sum(sum(stretch.requests) for stretch in made.stretches)
    assert total == pytest.approx(made.sent()["requests"], abs=0.001 * 240 * max(1, len(made.stretches)))
    most = max((max(stretch.in_flight) for stretch in made.stretches), default=0)
    assert most == max((one.in_flight for one in sent), default=0)


def test_the_json_says_what_was_sent() -> None:
    """A program finds the sums and each while; of a journal that holds none, nothing is claimed."""
    found: Any = with_traffic([record()], sample(1, 1, requests=3, throttled=1), sample(2, 1, requests=1)).as_json(None)
    assert found["sent"] == {"requests": 4, "retries": 0, "throttled": 1}
    assert [one["requests"] for one in found["traffic"]] == [3, 1]
    assert report_of([record()]).as_json(None)["sent"] is None
