"""Every verb that takes a journal takes one in PostgreSQL, and shows no password of it."""

from pathlib import Path
from typing import Any

from encord_async.cli.plan import shown_journal
from tests.postgres import PASSWORD, PostgresServer

Api = Any
Here = Any


def test_journal_in_postgresql(postgres: PostgresServer, api: Api, here: Here, tmp_path: Path) -> None:
    """Apply twice, status, settle, verify and report work on a journal in PostgreSQL."""
    url = postgres.url("verbs")
    shown = url.replace(f":{PASSWORD}", "")
    manifest = tmp_path / "programme.jsonl"
    manifest.write_text('{"kind": "project", "key": "p", "title": "In PostgreSQL"}\n')
    journal = ("--journal", url)
    page, table = tmp_path / "run.html", tmp_path / "run.csv"
    done = [
        here("apply", manifest, "--yes", *journal, env=api.env),
        here("apply", manifest, "--yes", *journal, env=api.env),
        here("status", url),
        here("status", url, "--json"),
        here("settle", url, env=api.env),
        here("verify", manifest, *journal, env=api.env),
        here("report", url, "-o", page, "--csv", table),
        here("report", url, "--json"),
    ]
    assert [one.code for one in done] == [0] * 8, [one.err for one in done]
    assert "created  1" in done[0].out
    assert "0 requests" in done[1].out
    assert done[2].out.startswith(f"{shown}: SHA256:")
    assert done[3].json["journal"] == done[7].json["journal"] == shown
    assert shown.replace("&", "&amp;") in page.read_text()
    said = [one.out + one.err for one in done] + [page.read_text(), table.read_text()]
    assert not any(PASSWORD in text for text in said)
    assert len(api.projects("In PostgreSQL")) == 1


def test_report_needs_a_place(postgres: PostgresServer, api: Api, here: Here) -> None:
    """There is no place beside a database for the page: it has to be given."""
    done = here("report", postgres.url("nowhere"))
    assert done.code == 2
    assert "give -o FILE" in done.err


def test_errors_without_the_password(postgres: PostgresServer, api: Api, here: Here, tmp_path: Path) -> None:
    """A journal that cannot be used is a bad usage: nothing is sent, and the password does not show."""
    manifest = tmp_path / "programme.jsonl"
    manifest.write_text('{"kind": "project", "title": "Never made"}\n')
    urls = [
        postgres.url("nothing"),
        postgres.url("bad job"),
        postgres.url("x").replace(f":{postgres.port}", ":1"),
        postgres.url("x", password=PASSWORD + "!"),
    ]
    done = [here("status", urls[0], "--verbose")]
    done += [here("apply", manifest, "--yes", "--verbose", "--journal", url, env=api.env) for url in urls[1:]]
    for one in done:
        assert one.code == 2
        assert one.err.startswith("error: ")
        assert PASSWORD not in one.out + one.err
    assert not api.projects("Never made")


def test_hint_about_doubt_names_no_password() -> None:
    """What a run says at its end of its journal can be pasted into a ticket."""
    assert "hunter2" not in (shown_journal("postgresql://me:hunter2@127.0.0.1/db?job=cats") or "")
    assert shown_journal("programme.jsonl.journal") == "programme.jsonl.journal"
