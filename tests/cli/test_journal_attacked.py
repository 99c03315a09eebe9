"""Changes of a journal by hand: cut off anywhere, two at once, of an older journal; in a file and in PostgreSQL.

A change is made whole or not at all, and nothing that is said of it is untrue.
"""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa

from tests.cli.conftest import Applied, Done, Terminal, write_manifest
from tests.cli.test_journal import backups, programme
from tests.postgres import PASSWORD, PostgresServer

Api = Any
Here = Any

SURGERY: Final = {
    "mv": ["mv", "JOURNAL", "cats", "lions", "--yes"],
    "rm": ["rm", "JOURNAL", "cats", "--yes"],
    "import": ["import", "JOURNAL", "dogs", "HASH", "--kind", "project", "--yes"],
}


@contextlib.contextmanager
def connected(where: str) -> "Iterator[sqlite3.Connection | psycopg.Connection[Any]]":
    """Somebody else's connection to a journal; what it does is there afterwards."""
    address, _, job = where.partition("?job=")
    if not job:
        with contextlib.closing(sqlite3.connect(where)) as file, file:
            yield file
        return
    with psycopg.connect(address) as server:
        server.execute(f'SET search_path = "encord_async_{job}"')
        yield server


def rows(where: str) -> dict[str, list[Any]]:
    """All that a journal says of itself and of steps, but for what a run measures."""
    with connected(where) as connection:
        meta = sorted(connection.execute("SELECT name, value FROM meta").fetchall())
        steps = sorted(connection.execute("SELECT identity, entry, key, title, details, state FROM steps").fetchall())
    return {"meta": meta, "steps": steps}


def grow_old(where: str, version: str) -> None:
    """Make a journal one of an older *version*, as its release left it."""
    with connected(where) as connection:
        said = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        kept = {name: said[name] for name in ("made_s", "domain", "account", "stamp_key")} | {"schema": version}
        kept["checksum"] = str(zlib.crc32(repr(sorted(map(repr, kept.items()))).encode()))
        connection.execute("DELETE FROM meta")
        for name, value in kept.items():
            connection.execute(f"INSERT INTO meta VALUES ('{name}', '{value}')")  # noqa: S608 - they are ours
        connection.execute("DROP INDEX steps_missing")
        connection.execute("DROP TABLE gone")
        if version == "1":
            connection.execute("DROP TABLE traffic")


def typed(surgery: str, journal: str, found: str) -> list[str]:
    """A command, without its first word."""
    return [{"JOURNAL": journal, "HASH": found}.get(word, word) for word in SURGERY[surgery]]


@contextlib.contextmanager
def broken_at(number: int, words: Collection[str] = ("INSERT", "UPDATE", "DELETE", "CREATE")) -> Iterator[list[str]]:
    """The database, whichever it is, fails at the statement with *number* of those that begin so; all of these."""
    seen: list[str] = []

    def meet(_: object, __: object, statement: str, *___: object) -> None:
        if statement.upper().startswith(tuple(words)):
            seen.append(statement)
            if len(seen) == number:
                raise sa.exc.OperationalError(statement, {}, OSError("the disk is gone"))

    sa.event.listen(sa.Engine, "before_cursor_execute", meet)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", meet)


def cut_off(act: Callable[[], Done]) -> Iterator[tuple[Done, bool]]:
    """What *act* ends with as the database fails at its first statement, at its second, and so on; at last at none."""
    number, is_cut = 0, True
    while is_cut:
        number += 1
        with broken_at(number) as seen:
            done = act()
        is_cut = len(seen) >= number
        yield done, is_cut


@pytest.mark.parametrize("surgery", list(SURGERY))
def test_cut_off_at_every_statement(
    api: Api, here: Here, applied: Applied, store: str, tmp_path: Path, surgery: str
) -> None:
    """Wherever the database fails, the journal says what it said before, and the same command then does it."""
    name = f"Cut {surgery} {store}"
    _, journal = applied(name, *programme(name))
    dogs = here("project", "create", f"{name} dogs", env=api.env).out.strip()
    before, number = rows(journal), 0
    for done, is_cut in cut_off(lambda: here("journal", *typed(surgery, journal, dogs), env=api.env)):
        number += 1
        if is_cut:
            assert done.code == 2, done.out + done.err
            assert "the disk is gone" in done.err
            assert rows(journal) == before
        else:
            assert done.code == 0, done.err
    assert number > 1
    assert rows(journal) != before
    assert here("journal", "list", journal).code == 0
    assert len(backups(tmp_path)) == number


def test_moved_keys_cut_off_at_every_statement(api: Api, here: Here, applied: Applied, store: str) -> None:
    """Where keys move with a run, all of them have moved afterwards or none has, and nothing is made again."""
    name = f"Cut moved {store}"
    manifest, journal = applied(name, *programme(name))
    first, number = api.control("GET", "state"), 0
    entries = programme(name, cats="lions", raw="rare")
    for entry in entries:
        was = {"lions": "cats", "rare": "raw"}.get(entry.get("key", ""))
        if was is not None:
            entry["moved"] = was
    write_manifest(manifest, *entries)
    command = ("apply", manifest, "--yes", "--journal", journal, "--json")
    for done, is_cut in cut_off(lambda: here(*command, env=api.env)):
        number += 1
        keys = {one["key"] for one in here("journal", "list", journal, "--json").json["entries"]}
        assert keys & {"cats", "raw", "lions", "rare"} in ({"cats", "raw"}, {"lions", "rare"})
        if not is_cut:
            assert (done.code, done.json["unchanged"]) == (0, 8), done.out
    assert api.control("GET", "state")["projects"] == first["projects"]
    assert number > 3


@pytest.mark.process
@pytest.mark.parametrize("surgery", list(SURGERY))
def test_another_one_meanwhile(
    api: Api, here: Here, applied: Applied, store: str, tmp_path: Path, surgery: str
) -> None:
    """Whoever was asked about a journal that another has changed since changes nothing, and is told so."""
    name = f"Two {surgery} {store}"
    _, journal = applied(name, *programme(name))
    dogs = here("project", "create", f"{name} dogs", env=api.env).out.strip()
    command = [word for word in typed(surgery, journal, dogs) if word != "--yes"]
    with Terminal("journal", *command, env=api.env) as terminal:
        terminal.read_until("Go on? [y/N]: ")
        assert here("journal", "mv", journal, "raw", "rare", "--yes").code == 0
        between = rows(journal)
        terminal.type("y\n")
        done = terminal.end()
    assert done.code == 2
    assert "has changed while you were asked; nothing was changed by this" in done.out
    assert PASSWORD not in done.out
    assert rows(journal) == between
    assert len(backups(tmp_path)) == 1


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_older_journal(api: Api, here: Here, applied: Applied, store: str, tmp_path: Path, version: str) -> None:
    """It is read as it is, and backed up as it was; the first change brings it up to date, and is made."""
    name = f"Old {version} {store}"
    manifest, journal = applied(name, *programme(name))
    grow_old(journal, version)
    old = rows(journal)
    for reader in (["status"], ["journal", "list"], ["journal", "show"], ["outputs"]):
        key = ["cats"] if reader[-1] == "show" else []
        assert here(*reader, journal, *key).code == 0
    assert rows(journal) == old
    done = here("journal", "mv", journal, "cats", "lions", "--yes")
    assert done.code == 0, done.err
    (backup,) = backups(tmp_path)
    if store == "file":
        assert rows(str(backup)) == old
    else:
        lines = [json.loads(line) for line in backup.read_text().splitlines()]
        assert [one["value"] for one in lines if one.get("name") == "schema"] == [version]
        assert len([one for one in lines if one["table"] == "steps"]) == len(old["steps"])
    write_manifest(manifest, *programme(name, cats="lions"))
    again = here("apply", manifest, "--yes", "--journal", journal, "--json", env=api.env)
    # What is done is said once more of memberships, of which older journals did not say enough.
    assert (again.code, again.json["created"], again.json["adopted"]) == (0, 0, 0), again.json
    assert here("verify", manifest, "--journal", journal, env=api.env).code == 0


@pytest.mark.parametrize("key", ['it\'s a "b";DROP TABLE steps;--', "back\\slash 100%s Größe 猫"])
def test_keys_of_any_letters(api: Api, here: Here, applied: Applied, store: str, key: str) -> None:
    """Quotes, backslashes, percent signs and letters of any script stay what they are, in every change."""
    name = f"Odd {ord(key[-1])} {store}"
    manifest, journal = applied(name, {"kind": "dataset", "key": "one", "title": name})
    done = here("journal", "mv", journal, "one", key, "--yes")
    assert done.code == 0, done.err
    assert here("journal", "show", journal, key, "--json").json["steps"][0]["key"] == key
    write_manifest(manifest, {"kind": "dataset", "key": key, "title": name})
    planned = here("plan", manifest, "--journal", journal, env=api.env)
    assert "No changes: 1 entry is as wished." in planned.out, planned.out + planned.err
    assert here("journal", "mv", journal, key, "one", "--yes").code == 0
    write_manifest(manifest, {"kind": "dataset", "key": key, "moved": "one", "title": name})
    again = here("apply", manifest, "--journal", journal, "--json", env=api.env)
    assert (again.code, again.json["unchanged"]) == (0, 1)
    assert here("journal", "rm", journal, key, "--yes").code == 0


def test_a_backup_that_cannot_be_written(
    here: Here, applied: Applied, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a backup nothing is changed, and it is said that it was the backup."""
    name = f"Unsaved {store}"
    _, journal = applied(name, {"kind": "dataset", "key": "one", "title": name})
    before = rows(journal)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with broken_at(1, {"PRAGMA JOURNAL_MODE=DELETE"}):
        done = here("journal", "rm", journal, "one", "--yes")
    assert done.code == 2
    assert "cannot write a backup of the journal" in done.err
    assert rows(journal) == before
    assert backups(tmp_path) == []


def test_nobody_elses_tables(
    postgres: PostgresServer, api: Api, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes by the names of a journal's tables in other schemas is never read or changed."""
    monkeypatch.chdir(tmp_path)
    journal, name = postgres.url("other-schema"), "Other schema"
    manifest = write_manifest(tmp_path / "m.jsonl", *programme(name))
    with postgres.connected() as connection:
        connection.execute("CREATE TABLE public.steps (identity bytea)")
        connection.execute("CREATE TABLE public.gone (entry bytea)")
        connection.execute("INSERT INTO public.gone VALUES ('x')")
        connection.execute("ALTER ROLE encord SET search_path = public")
        try:
            assert here("apply", manifest, "--yes", "--journal", journal, env=api.env).code == 0
            lions = f"{journal}&options=-csearch_path%3Dpublic"
            assert here("journal", "mv", lions, "cats", "lions", "--yes").code == 0
            assert here("journal", "show", journal, "lions").code == 0
            assert connection.execute("SELECT count(*) FROM public.gone").fetchone() == (1,)
            assert connection.execute("SELECT count(*) FROM public.steps").fetchone() == (0,)
        finally:
            connection.execute("DROP TABLE public.steps, public.gone")
            connection.execute("ALTER ROLE encord RESET search_path")


def test_a_backup_of_a_database_is_put_back(
    postgres: PostgresServer, api: Api, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says again what it said, or, where the database fails meanwhile, what it says; and goes on then."""
    monkeypatch.chdir(tmp_path)
    journal, name = postgres.url("put-back"), "Put\\back"
    manifest = write_manifest(tmp_path / "m.jsonl", *programme(name))
    assert here("apply", manifest, "--yes", "--journal", journal, env=api.env).code == 0
    before = rows(journal)
    assert here("journal", "rm", journal, "cats", "--yes").code == 0
    (backup,) = backups(tmp_path)
    between = rows(journal)
    assert between != before
    for done, is_cut in cut_off(lambda: here("journal", "restore", journal, backup, "--yes")):
        assert done.code == (2 if is_cut else 0), done.err
        assert rows(journal) == (between if is_cut else before)
    more = {"kind": "project", "key": "dogs", "title": f"{name} dogs"}
    write_manifest(manifest, *programme(name), more)
    again = here("apply", manifest, "--yes", "--journal", journal, "--json", env=api.env)
    assert (again.code, again.json["created"], again.json["unchanged"]) == (0, 1, 8), again.out + again.err


@pytest.mark.parametrize("text", ["", "{}\n", "no JSON\n", '{"table": "steps", "seq": 1}\n'])
def test_what_is_no_backup(
    postgres: PostgresServer, api: Api, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """What is no backup is not put back, and the journal stays as it is; a file's is copied."""
    monkeypatch.chdir(tmp_path)
    journal = postgres.url("no-backup")
    manifest = write_manifest(tmp_path / "m.jsonl", {"kind": "dataset", "key": "one", "title": "No backup"})
    assert here("apply", manifest, "--yes", "--journal", journal, env=api.env).code == 0
    before = rows(journal)
    other = tmp_path / "other"
    other.write_text(text)
    done = here("journal", "restore", journal, other, "--yes")
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert rows(journal) == before
    assert here("apply", manifest, "--yes", env=api.env).code == 0
    done = here("journal", "restore", f"{manifest}.journal", other, "--yes")
    assert (done.code, "copy" in done.err) == (2, True), done.err
