"""A colleague's key goes on with a journal, once it has shown that it sees what the journal says is there."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from encord_async.emulator.signatures import make_key_pair
from tests.cli.conftest import STORES, started_api, write_manifest

Api = Any
Here = Callable[..., Any]
BOB = "bob@example.com"

pytestmark = pytest.mark.process


@dataclass(frozen=True)
class Shared:
    """An emulator that knows two keys."""

    api: Api
    theirs: dict[str, str]
    """The environment of the colleague."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """An emulator with the keys of two users."""
    folder = tmp_path_factory.mktemp("shared")
    seed, users = folder / "seed.yaml", {"ann@example.com": "key", BOB: "colleague"}
    with seed.open("w") as file:
        file.write("users:\n")
        for email, name in users.items():
            pair = make_key_pair()
            file.write(f"  - email: {email}\n    public_key: {pair.public_line}\n")
            (folder / name).write_text(pair.private_text)
            (folder / name).chmod(0o600)
    with started_api(folder, seed=seed) as api:
        yield Shared(api, api.env | {"ENCORD_SSH_KEY_FILE": str(folder / "colleague")})


def programme(name: str, *, users: bool = True) -> list[Any]:
    """A manifest of things that the colleague sees, or does not."""
    entries: list[Any] = [
        {"kind": "dataset", "key": "raw", "title": f"{name} raw"},
        *({"kind": "project", "key": f"p{number}", "title": f"{name} {number}"} for number in range(25)),
    ]
    if users:
        entries[0] |= {"users": [{"email": BOB, "role": "admin"}]}
        for entry in entries[1:]:
            entry["users"] = [{"email": BOB, "role": "admin"}]
    return entries


@pytest.mark.parametrize("store", STORES)
def test_a_colleague_goes_on(
    shared: Shared,
    here: Here,
    tmp_path: Path,
    store: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After rebind the other key finds all done, and the first one is refused; few things of each kind are read."""
    monkeypatch.chdir(tmp_path)
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme(f"Handed {store}"))
    journal = f"{manifest}.journal" if store == "file" else request.getfixturevalue("postgres").url("handed")
    apply = ("apply", manifest, "--yes", "--journal", journal)
    assert here(*apply, env=shared.api.env).code == 0
    assert here(*apply, env=shared.theirs).code == 2
    done = here("journal", "rebind", journal, "--yes", "--json", env=shared.theirs)
    assert (done.code, done.json.get("read")) == (0, 21), done.out + done.err
    assert done.json["before"] != done.json["account"] == here("status", journal, "--json").json["account"]
    (backup,) = [path for path in tmp_path.iterdir() if ".backup-" in path.name]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    again = here(*apply, "--json", env=shared.theirs)
    assert (again.code, again.json["unchanged"]) == (0, 26), again.out + again.err
    assert here(*apply, env=shared.api.env).code == 2


def test_who_does_not_see_it(shared: Shared, here: Here, tmp_path: Path) -> None:
    """A key that does not see what was made is refused, with what it does not see, and the journal stays as it is."""
    manifest = write_manifest(tmp_path / "programme.jsonl", *programme("Hidden", users=False))
    journal = Path(f"{manifest}.journal")
    assert here("apply", manifest, "--yes", env=shared.api.env).code == 0
    before = journal.read_bytes()
    done = here("journal", "rebind", journal, "--yes", env=shared.theirs)
    assert (done.code, "does not see 21 of 21 things" in done.err) == (2, True), done.err
    assert journal.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if ".backup-" in path.name]


def test_what_cannot_be_rebound(shared: Shared, api: Api, here: Here, tmp_path: Path) -> None:
    """Another service, a yes that nobody gave, what is in doubt: nothing changes; one's own journal needs nothing."""
    manifest = write_manifest(tmp_path / "one.jsonl", *programme("Kept")[:1])
    journal = Path(f"{manifest}.journal")
    assert here("apply", manifest, "--yes", env=shared.api.env).code == 0
    before = journal.read_bytes()
    elsewhere = here("journal", "rebind", journal, "--yes", env=api.env)
    assert (elsewhere.code, "give --domain" in elsewhere.err) == (2, True), elsewhere.err
    unasked = here("journal", "rebind", journal, env=shared.theirs)
    assert (unasked.code, "give --yes" in unasked.err) == (2, True), unasked.err
    own = here("journal", "rebind", journal, env=shared.api.env)
    assert (own.code, "already" in own.out) == (0, True), own.err
    assert journal.read_bytes() == before
    write_manifest(manifest, *programme("Kept")[:2])
    shared.api.control("PUT", "faults", [{"query": "project.POST", "fault": "drop_before", "times": 1}])
    try:
        assert here("apply", manifest, "--yes", "--settle-s", 0, env=shared.api.env).code == 3
    finally:
        shared.api.control("DELETE", "faults")
    doubtful = here("journal", "rebind", journal, "--yes", env=shared.theirs)
    assert (doubtful.code, "may have happened" in doubtful.err) == (2, True), doubtful.err


def test_a_journal_that_has_made_nothing(shared: Shared, here: Here, tmp_path: Path) -> None:
    """Nothing can be compared then, and that is said; a key that the service does not accept does not get it."""
    manifest = write_manifest(tmp_path / "one.jsonl", {"kind": "project", "key": "p", "title": "Refused"})
    journal, stranger = Path(f"{manifest}.journal"), tmp_path / "stranger"
    stranger.touch(mode=0o600)
    stranger.write_text(make_key_pair().private_text)
    shared.api.control("PUT", "faults", [{"query": "project.POST", "fault": "error", "code": "AUTHORISATION_ERROR"}])
    try:
        assert here("apply", manifest, "--yes", env=shared.api.env).code == 1
    finally:
        shared.api.control("DELETE", "faults")
    before = journal.read_bytes()
    unknown = here("journal", "rebind", journal, "--yes", env=shared.theirs | {"ENCORD_SSH_KEY_FILE": str(stranger)})
    assert (unknown.code, journal.read_bytes()) == (4, before), unknown.out + unknown.err
    unasked = here("journal", "rebind", journal, env=shared.theirs)
    assert (unasked.code, "nothing could be compared" in unasked.err) == (2, True), unasked.err
    done = here("journal", "rebind", journal, "--yes", "--json", env=shared.theirs)
    assert (done.code, done.json.get("read")) == (0, 0), done.out + done.err


def test_what_is_anothers_is_not_imported(shared: Shared, here: Here, tmp_path: Path) -> None:
    """Who sees a project and is no Admin of it cannot write it down as made by an entry of theirs."""
    theirs = {"kind": "project", "key": "cats", "title": "Not ours", "users": [{"email": BOB, "role": "annotator"}]}
    manifest = write_manifest(tmp_path / "one.jsonl", theirs)
    assert here("apply", manifest, "--yes", env=shared.api.env).code == 0
    found = here("outputs", f"{manifest}.journal").json["cats"]["hash"]
    own = write_manifest(tmp_path / "own.jsonl", {"kind": "dataset", "key": "own", "title": "Bob's own"})
    assert here("apply", own, "--yes", env=shared.theirs).code == 0
    arguments = ("journal", "import", f"{own}.journal", "cats", found, "--kind", "project", "--yes")
    done = here(*arguments, env=shared.theirs)
    assert (done.code, "the account is not Admin of the project" in done.err) == (2, True), done.err
    other = here(*arguments, env=shared.api.env)
    assert (other.code, "belongs to" in other.err) == (2, True), other.err
