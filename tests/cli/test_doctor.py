"""The verb `doctor`: what it prints, what it asks, and how it ends."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import Api, Here, Terminal

TITLE = "encord-async doctor 2"


def made(api: Api) -> list[str]:
    """The titles of the projects that it made."""
    return [one["title"] for one in api.control("GET", "state")["projects"] if one["title"].startswith(TITLE)]


@contextmanager
def fault(api: Api, **rule: object) -> Iterator[None]:
    """While this lasts the service does that."""
    api.control("PUT", "faults", [rule])
    try:
        yield
    finally:
        api.control("DELETE", "faults")


def test_doctor_reads_and_says_how_things_stand(here: Here, api: Api) -> None:
    """For people: where, as whom, with which versions, and a verdict for each check; nothing is made."""
    before = api.control("GET", "log")
    done = here("doctor", env=api.env)
    assert done.code == 0, done.err
    assert f"{api.url} (this machine)" in done.out
    assert "SHA256:" in done.out
    assert "OpenSSL" in done.out
    assert " 0 otherwise" in done.out
    assert api.control("GET", "log") == before


def test_doctors_json_can_be_sent_to_anybody(here: Here, api: Api) -> None:
    """One object, in which neither the address of the service or a person is, nor the key's fingerprint."""
    done = here("doctor", "--json", env=api.env)
    assert done.code == 0
    assert {check["verdict"] for check in done.json["checks"]} == {"as_assumed", "not_told"}
    assert done.json["versions"].keys() >= {"encord-async", "python", "aiohttp", "openssl"}
    assert not [word for word in (api.url, "@", "SHA256", "example.com") if word in done.out]


def test_doctor_says_what_is_otherwise(here: Here, api: Api) -> None:
    """What is otherwise ends in 1, with the service's words for people and without them for an issue."""
    with fault(api, query="v2/organisation/organisation-tags.GET", fault="error", code="INVALID_ARGUMENTS_ERROR"):
        done, shown = here("doctor", env=api.env), here("doctor", "--json", env=api.env)
    assert (done.code, shown.code) == (1, 1)
    assert "tags, v2: the service does not accept the request: injected" in done.out
    assert " 1 otherwise" in done.out
    assert "injected" not in shown.out


def test_doctor_with_a_key_that_is_not_accepted(here: Here, api: Api) -> None:
    """A key that the service does not accept ends in 4, and the rest is not claimed."""
    with fault(api, query="projectwithuserrole.GET", fault="error", code="AUTHENTICATION_ERROR"):
        done = here("doctor", "--json", env=api.env)
        told = here("doctor", env=api.env)
    assert (done.code, told.code) == (4, 4)
    assert "register the public half of this key with Encord" in told.out
    assert "this machine's clock right" in told.out
    assert [check["name"] for check in done.json["checks"] if check["verdict"] == "otherwise"] == ["key"]


def test_doctor_writes_when_told_to(here: Here, start_api: Callable[..., Api]) -> None:
    """`--write --yes` makes one project, says which, and tells all but the rate limit."""
    api = start_api()
    done = here("doctor", "--write", "--yes", env=api.env)
    assert done.code == 0, done.out
    (title,) = made(api)
    assert f"made and stays: the project '{title}'" in done.out
    assert " 0 otherwise" in done.out


def test_doctor_in_doubt(here: Here, start_api: Callable[..., Api]) -> None:
    """A project that may have been made and was not answered ends in 3."""
    api = start_api()
    with fault(api, query="project.POST", fault="drop_after_commit", times=1):
        done = here("doctor", "--write", "--yes", "--json", env=api.env)
    assert (done.code, len(made(api))) == (3, 1)


def test_doctor_makes_nothing_where_nobody_can_be_asked(here: Here, api: Api) -> None:
    """Without a terminal `--write` needs `--yes`, and nothing is sent; `--yes` without `--write` is a mistake."""
    before = api.by_query()
    done = here("doctor", "--write", "--json", env=api.env)
    assert done.code == 2
    assert "--yes" in json.loads(done.out)["error"]["message"]
    assert here("doctor", "--yes", env=api.env).code == 2
    assert api.by_query() == before


@pytest.mark.process
def test_doctor_asks_at_a_terminal(start_api: Callable[..., Api]) -> None:
    """On a terminal it names the account and asks; a no makes nothing, a yes one project."""
    api = start_api()
    with Terminal("doctor", "--write", env=api.env) as terminal:
        asked = terminal.read_until("[y/N]: ")
        terminal.type("n\n")
        assert terminal.end().code == 2
    assert "SHA256:" in asked
    assert api.url in asked
    assert made(api) == []
    with Terminal("doctor", "--write", env=api.env) as terminal:
        terminal.read_until("[y/N]: ")
        terminal.type("y\n")
        assert terminal.end().code == 0
    assert len(made(api)) == 1


def test_the_shell_completes_doctors_options(here: Here) -> None:
    """The verb and its options are offered by the shell."""
    env = {"_ENCORD_ASYNC_COMPLETE": "bash_complete"}
    assert "plain,doctor\n" in here(env=env | {"COMP_WORDS": "encord-async do", "COMP_CWORD": "1"}).out
    assert "plain,--write\n" in here(env=env | {"COMP_WORDS": "encord-async doctor --w", "COMP_CWORD": "2"}).out
