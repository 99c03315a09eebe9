"""The page of ``encord-async report``: a report's data, the charts, the table and all they need in one HTML file.

Pure but for reading the package's own files. Nothing of a journal gets into the page but as escaped text or inside
the packed data, whose alphabet has no character that HTML knows; and the page forbids itself every network and every
script that is not its own.
"""

import base64
import hashlib
import json
import re
import shlex
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from encord_async.report.summary import Links, Report, Row

__all__ = ["SCRIPTS", "STYLES", "asset", "packed", "rendered"]

SCRIPTS: Final = ("uplot.min.js", "tabulator.min.js", "page.js")
STYLES: Final = ("uplot.min.css", "tabulator.min.css", "page.css")


def asset(name: str) -> str:
    """A file of the page that the package brings."""
    return resources.files("encord_async.cli").joinpath("page", name).read_text(encoding="utf-8")


def rendered(report: "Report", *, journal: str, links: "Links | None", version: str) -> str:
    """The page.

    Args:
        report: What it shows.
        journal: The journal's path, as the user said it.
        links: Where things can be looked at; None for no links.
        version: Of encord-async.
    """
    style = "\n".join(asset(name) for name in STYLES)
    scripts = [asset(name) for name in SCRIPTS]
    parts = {
        "policy": _policy(style, scripts),
        "title": f"Run of {escape(journal)}",
        "notices": asset("THIRD_PARTY.txt").replace("--", "- -"),
        "style": style,
        "facts": _facts(report),
        "tiles": _tiles(report),
        "sent": _sent(report),
        "advice": _advice(report, journal),
        "kinds": _kinds(report),
        "left_out": _left_out(report),
        "footer": f"Made by encord-async {escape(version)} from {escape(journal)}. "
        "This page is complete in itself and loads nothing from anywhere. Times are those of this computer's zone.",
        "data": packed(page_data(report, links)),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    # In one go, so that what is put in is not looked through for more places.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], asset("page.html"))


def _policy(style: str, scripts: Iterable[str]) -> str:
    """What the page may do: run these very scripts, use this very style, nothing else."""
    allowed = " ".join(_source(script) for script in scripts)
    return f"default-src 'none'; script-src {allowed}; style-src {_source(style)}; base-uri 'none'; form-action 'none'"


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# ------------------------------------------------------------------ data


def packed(data: Mapping[str, object]) -> str:
    """*data* as JSON, deflated, in base64: as small as can be, and nothing in it can end a script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(zlib.compress(text, 6)).decode()


def page_data(report: "Report", links: "Links | None") -> dict[str, object]:
    """What the page's script gets."""
    from encord_async.kinds.registry import parent_of, step_kinds
    from encord_async.report.summary import SHOWN_STATUSES

    kinds, statuses = [kind.word for kind in step_kinds()], [status.value for status in SHOWN_STATUSES]
    return {
        "links": None if links is None else links.forms(),
        "kinds": kinds,
        "parents": {kind.word: parent.word for kind in step_kinds() if (parent := parent_of(kind)) is not None},
        "statuses": statuses,
        "stretches": [asdict(stretch) for stretch in report.stretches],
        "durations": asdict(report.durations),
        "rows": _columns(report.rows, kinds, statuses),
    }


_COLUMNS: Final = (
    *("id", "title", "place", "key", "kind", "status", "hash", "parent", "code", "message"),
    *("began_ms", "took_ms"),
)


def _columns(rows: "Iterable[Row]", kinds: list[str], statuses: list[str]) -> dict[str, object]:
    """The rows by column; texts that come again and again are numbers into a list, -1 stands for none."""
    hashes, texts = _Numbers(), _Numbers()
    lists: dict[str, list[object]] = {name: [] for name in _COLUMNS}
    candidates: dict[str, list[str]] = {}
    before_ms = 0
    for index, row in enumerate(rows):
        began_ms = round(row.began_s * 1000)
        values = {
            "id": row.id[:12],
            "title": row.title,
            "place": row.place,
            "key": row.key or "",
            "kind": kinds.index(row.kind.word),
            "status": statuses.index(row.status.value),
            "hash": hashes.of(row.hash),
            "parent": hashes.of(row.parent_hash),
            "code": texts.of(row.code),
            "message": texts.of(row.message),
            # Differences are small, and pack well.
            "began_ms": began_ms - before_ms,
            "took_ms": -1 if row.took_s is None else round(row.took_s * 1000, 1),
        }
        before_ms = began_ms
        for name, value in values.items():
            lists[name].append(value)
        if row.candidates:
            candidates[str(index)] = list(row.candidates)
    return {**lists, "hashes": hashes.all, "texts": texts.all, "candidates": candidates}


class _Numbers:
    """Gives each text a number."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, text: str | None) -> int:
        return -1 if not text else self._known.setdefault(text, len(self._known))

    @property
    def all(self) -> list[str]:
        return list(self._known)


# ------------------------------------------------------------------ what is there without a script


def _facts(report: "Report") -> str:
    facts = [f"{escape(report.account)} at {escape(report.domain)}"]
    if report.began_s is not None and report.ended_s is not None:
        facts.append(f"{_time(report.began_s)} to {_time(report.ended_s)}")
    facts.append(f"{report.steps:,} step{'' if report.steps == 1 else 's'}")
    return " &middot; ".join(facts)


def _time(moment_s: float) -> str:
    moment = datetime.fromtimestamp(moment_s, UTC)
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'


_WORDS: Final = {
    "created": "created",
    "updated": "updated: members changed",
    "adopted": "adopted: was there",
    "unchanged": "unchanged: left as it was",
    "failed": "failed",
    "in_doubt": "in doubt: may have happened",
    "cancelled": "cancelled: not finished",
}


def _tiles(report: "Report") -> str:
    from encord_async.report.summary import SHOWN_STATUSES

    tiles = []
    for status in SHOWN_STATUSES:
        count, name = report.count(status), status.value
        none = "" if count else " none"
        tiles.append(
            f'<button type="button" class="tile {name}{none}" data-status="{name}" aria-pressed="false">'
            f"<b>{count:,}</b><span>{_WORDS[name]}</span></button>"
        )
    return "\n".join(tiles)


def _sent(report: "Report") -> str:
    """The sums of what was sent; how many of all requests were turned away is what people look for first."""
    if not report.traffic:
        return "This journal holds no requests: it was written by an older release, or nothing was sent."
    sums = report.sent()
    requests, throttled = sums["requests"], sums["throttled"]
    share = f" ({throttled / requests:.1%})" if throttled and requests else ""
    return (
        f"{requests:,} request{'' if requests == 1 else 's'}: <b>{throttled:,}</b> turned away for load{share}, "
        f"<b>{sums['retries']:,}</b> sent again after a fault."
    )


def _advice(report: "Report", journal: str) -> str:
    from encord_async.engine.outcome import Status

    advice = []
    if report.running_pid is not None:
        advice.append(
            f"The run was still going on, in process {report.running_pid}: make this page again for the rest."
        )
    if failed := report.count(Status.FAILED):
        advice.append(f"{failed:,} failed: the next <code>apply</code> tries again.")
    if cancelled := report.count(Status.CANCELLED):
        advice.append(f"{cancelled:,} were cancelled: the next <code>apply</code> goes on with them.")
    if in_doubt := report.count(Status.IN_DOUBT):
        settle = f"<code>encord-async settle {escape(shlex.quote(journal))}</code> finds out, and so does the next"
        what = "may have happened" if report.running_pid is None else "may have happened or are under way"
        advice.append(f"{in_doubt:,} {what}: {settle} <code>apply</code>.")
    return f'<p class="advice">{"<br>".join(advice)}</p>' if advice else ""


def _kinds(report: "Report") -> str:
    from encord_async.engine.outcome import Status
    from encord_async.report.summary import SHOWN_STATUSES

    def cells(counts: Mapping[Status, int]) -> str:
        return "".join(
            f'<td class="{status.value}{"" if counts.get(status) else " none"}">{counts.get(status, 0):,}</td>'
            for status in SHOWN_STATUSES
        )

    head = "".join(f'<th scope="col">{status.value.replace("_", " ")}</th>' for status in SHOWN_STATUSES)
    rows = [f'<tr><th scope="row">{kind.said}</th>{cells(counts)}</tr>' for kind, counts in report.counts.items()]
    rows.append(
        f'<tr><th scope="row">all</th>{cells({status: report.count(status) for status in SHOWN_STATUSES})}</tr>'
    )
    table = f'<table><thead><tr><th scope="col">step</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _left_out(report: "Report") -> str:
    if not report.left_out:
        return ""
    return (
        f'<p class="hint">{report.left_out:,} more steps went well and are counted above, but not listed: '
        "see --max-rows; --csv writes them all.</p>"
    )
