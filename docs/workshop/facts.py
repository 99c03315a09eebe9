"""Tables and diagrams that concepts show, worked out by asking the code itself. Pure text.

A page has ``<!-- code: NAME -->`` where such a table goes. Diagrams are Mermaid; `pictures.py` draws them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from docs.workshop.code_reference import emulator_options, fault_table, member_docs
from encord_async.engine.doubt import AdoptIt, LeaveIt, SendAgain, WaitLonger, decide
from encord_async.engine.outcome import Status
from encord_async.errors import (
    AuthenticationError,
    EncordError,
    InvalidArgumentsError,
    NoReplyError,
    NotSentError,
    ServiceFaultError,
    ThrottledError,
)
from encord_async.journal.record import Doubt, Record, State
from encord_async.kinds.registry import things
from encord_async.plan import Verb
from encord_async.protocol.catalogue import Effect
from encord_async.session.retrying import Again, History, next_step
from encord_async.session.settings import RetryPolicy

ROOT = Path(__file__).resolve().parents[2]

HAPPENED: Mapping[str, EncordError] = {
    "not sent: no connection": NotSentError("x"),
    "refused for load (HTTP 429)": ThrottledError("x", retry_after_s=1.0),
    "no answer: time-out, or the connection was lost": NoReplyError("x"),
    "the service, or a proxy, broke down (5xx)": ServiceFaultError("x"),
    "refused for another reason": InvalidArgumentsError("x"),
    "the key is not accepted": AuthenticationError("x"),
}
COLUMNS: Mapping[Effect, str] = {
    Effect.READ: "read",
    Effect.SET: "set (attach, detach, add users)",
    Effect.CREATE: "create",
}


def retry_answer(error: EncordError, effect: Effect) -> str:
    """What `next_step` does about *error*, in words."""
    policy = RetryPolicy()
    step = next_step(error, effect, History(faults=1), policy, chance=0.5)
    if isinstance(step, Again):
        return "sent again, when told" if isinstance(error, ThrottledError) else "sent again"
    if error.applied == "unknown":
        return "**in doubt**: looked up first"
    return "stops the run" if isinstance(error, AuthenticationError) else "fails"


def retry_table() -> str:
    """The retry table, asked of `encord_async.session.retrying.next_step`."""
    lines = [f"| what happened | {' | '.join(COLUMNS.values())} |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {happened} | {' | '.join(retry_answer(error, effect) for effect in COLUMNS)} |"
        for happened, error in HAPPENED.items()
    ]
    return "\n".join(lines)


def doubt_answers() -> Iterator[tuple[str, str]]:
    """What `decide` does about a create in doubt, asked of it for each case."""
    kind = things()[0]
    cases = {
        "one thing is there that it may have made": (["a"], 100.0, True, True, []),
        "two are there, and nobody can say which": (["a", "b"], 100.0, True, True, []),
        "nothing is there yet, and the settling time runs": ([], 1.0, True, True, []),
        "nothing is there, the time is over, and the service had answered": ([], 100.0, True, True, []),
        "nothing is there, the time is over, and nobody had answered": ([], 100.0, False, True, []),
        "nothing is there, but the listing is older than the doubt": ([], 100.0, True, False, []),
        "something of that title is there, but not as it was sent": ([], 100.0, True, True, ["c"]),
    }
    for case, (candidates, now_s, over, fresh, unlike) in cases.items():
        record = Record(identity=b"1", entry=b"1", kind=kind, title="Cats", state=State.IN_DOUBT)
        verdict = decide(
            Doubt(record=record, since_s=0.0, over=over),
            candidates,
            rivals=1,
            now_s=now_s,
            settle_s=60.0,
            unlike=unlike,
            listing_is_fresh=fresh,
        )
        match verdict:
            case AdoptIt():
                yield case, "adopted: it is taken as ours"
            case WaitLonger():
                yield case, "looked for again"
            case SendAgain():
                yield case, "sent again: it surely did not happen"
            case LeaveIt():
                yield case, "left in doubt, for the next run or for you (`settle`)"


def doubt_table() -> str:
    """The table of creates in doubt."""
    return "\n".join(
        [
            "| what the look-up shows | what follows |",
            "| --- | --- |",
            *(f"| {case} | {said} |" for case, said in doubt_answers()),
        ]
    )


def members(kind: type, head: str) -> Callable[[], str]:
    """A table of an enumeration, from the docstrings of its members."""

    def table() -> str:
        rows = (f"| `{member.value}` | {said} |" for member, said in member_docs(kind).items())
        return "\n".join([f"| {head} | means |", "| --- | --- |", *rows])

    return table


def glossary() -> str:
    """The table of words in CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(r"^\| word \| means \|\n.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    assert found, "CONTRIBUTING.md has no glossary"
    return found[0]


def install() -> str:
    """What README says of installing: it is said there and nowhere else, so that a release changes one place."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## Install\n+(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert found, "README.md has no section Install"
    return found[1].strip().replace("](docs/install.md)", "](install.md)")


def benchmark_summary() -> str:
    """What all benchmarks found against what was asked of them."""
    return (ROOT / "benchmarks" / "results" / "summary.md").read_text(encoding="utf-8").strip()


TABLES: Mapping[str, Callable[[], str]] = {
    "retry-table": retry_table,
    "doubt-table": doubt_table,
    "journal-states": members(State, "state"),
    "outcomes": members(Status, "status"),
    "actions": members(Verb, "action"),
    "emulator-options": emulator_options,
    "faults": fault_table,
    "glossary": glossary,
    "install": install,
    "benchmarks": benchmark_summary,
}


# --- diagrams --------------------------------------------------------------------------------------------------------


def never_twice() -> str:
    """What becomes of a create whose answer does not come, by the answers of `decide`."""
    lines = ["flowchart LR", '  lost(["a create got no answer"]) --> look{{"look it up"}}']
    ends = list(dict.fromkeys(said for _, said in doubt_answers()))
    for number, (case, said) in enumerate(doubt_answers()):
        lines.append(f'  look --> c{number}["{case}"] --> e{ends.index(said)}(["{said.replace("`", "")}"])')
    return "\n".join(lines)


def retries() -> str:
    """The retry table as a picture: what is sent again, and what is not. Rows of equal answers are one."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for happened, error in HAPPENED.items():
        rows.setdefault(tuple(retry_answer(error, effect).replace("**", "") for effect in COLUMNS), []).append(happened)
    ends = list(dict.fromkeys(said for answers in rows for said in answers))
    lines = ["flowchart LR", '  attempt(["an attempt failed"])']
    for number, (answers, cases) in enumerate(rows.items()):
        lines.append(f'  attempt --> h{number}["{"<br>or ".join(cases)}"]')
        for said in dict.fromkeys(answers):
            effects = [effect.value for effect, one in zip(COLUMNS, answers, strict=True) if one == said]
            label = "" if len(effects) == len(COLUMNS) else f'|"{", ".join(effects)}"|'
            lines.append(f'  h{number} -->{label} e{ends.index(said)}(["{said}"])')
    return "\n".join(lines)


def states() -> str:
    """How a step goes through the journal's states."""
    ways = {
        ("", State.INTENDED): "the intent is on disk before the first byte is sent",
        (State.INTENDED, State.DONE): "answered",
        (State.INTENDED, State.FAILED): "refused",
        (State.INTENDED, State.IN_DOUBT): "no answer, or a crash",
        (State.IN_DOUBT, State.DONE): "found and adopted",
        (State.IN_DOUBT, State.INTENDED): "surely not there",
        (State.FAILED, State.INTENDED): "the next run",
    }
    assert {state for way in ways for state in way if state} == set(State), "a state has no way to or from it"
    lines = ["flowchart LR", "  start(( ))"]
    lines += [f'  {state.value}["{state.value}"]' for state in State]
    lines += [f'  {before or "start"} -->|"{said}"| {after}' for (before, after), said in ways.items()]
    return "\n".join(lines)


def deciding() -> str:
    """What an action is decided from."""
    lines = [
        "flowchart LR",
        '  wanted["wanted: the entry"] --> decide{{"decide"}}',
        '  held["held: what the account shows"] --> decide',
        '  remembered["remembered: the journal"] --> decide',
        '  policy["options: --existing, --stamp, ..."] --> decide',
    ]
    lines += [f'  decide --> {verb.value}["{verb.value}"]' for verb in Verb]
    return "\n".join(lines)


def way() -> str:
    """From manifest to outcome."""
    return """\
flowchart LR
  manifest["manifest<br>what you wish for"] --> validate["validate<br>every mistake, no network"]
  validate --> plan["plan<br>what would be done, only reads"]
  plan --> apply["apply<br>paced, parallel"]
  apply <--> journal[("journal<br>intents and results")]
  apply <--> encord["Encord"]
  apply --> outcome["one outcome an entry"]
  outcome --> verify["verify<br>read back and compared"]"""


def pacing() -> str:
    """The three bounds that every request passes."""
    return """\
flowchart LR
  waiting["requests that wait"] --> gate{{"may one leave?"}}
  one["--concurrency: requests in flight"] -.-> gate
  two["--max-rate: requests a second"] -.-> gate
  three["what the service shows: found, not guessed"] -.-> gate
  gate --> service["the service"]
  service -->|"answered: the rate may rise"| three
  service -->|"refused for load: the rate steps back"| three
  service -->|"down for everybody: single probes"| three"""


DIAGRAMS: Mapping[str, Callable[[], str]] = {
    "way": way,
    "deciding": deciding,
    "never-twice": never_twice,
    "retries": retries,
    "journal-states": states,
    "pacing": pacing,
}
"""By the names of their files in ``docs/images``."""
