"""One operation each."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from encord_async import ProjectUserRole
from tests.cli.conftest import DATASETS, Api, Here


def made(here: Here, api: Api, title: str, *options: str) -> str:
    """Hash of a new project."""
    done = here("project", "create", title, *options, env=api.env)
    assert done.code == 0, done.err
    return done.out.strip()


def test_create_prints_the_hash(here: Here, api: Api) -> None:
    """`project create` makes the project with its datasets, and prints nothing but the hash."""
    project_hash = made(
        here, api, "Made", "--description", "by hand", "--dataset", DATASETS[0], "--dataset", DATASETS[1]
    )
    (found,) = api.projects("Made")
    assert found["project_hash"] == project_hash
    assert found["description"] == "by hand"
    assert found["datasets"] == DATASETS[:2]


def test_create_as_json(here: Here, api: Api) -> None:
    """With --json the hash comes in an object."""
    done = here("project", "create", "Made as JSON", "--json", env=api.env)
    (found,) = api.projects("Made as JSON")
    assert done.json == {"project_hash": found["project_hash"]}
    assert done.err == ""


def test_read_it(here: Here, api: Api) -> None:
    """`project get` shows the project, `project ontology` its ontology as JSON."""
    project_hash = made(here, api, "To read", "--dataset", DATASETS[0])
    text = here("project", "get", project_hash, env=api.env).out
    assert "To read" in text
    assert f"{DATASETS[0]}  Dataset 001" in text
    found = here("project", "get", project_hash, "--json", env=api.env).json
    assert found["title"] == "To read"
    assert [dataset["dataset_hash"] for dataset in found["datasets"]] == DATASETS[:1]
    assert "objects" in here("project", "ontology", project_hash, env=api.env).json
    assert "objects" in here("project", "ontology", project_hash, "--json", env=api.env).json


def test_attach_and_detach(here: Here, api: Api) -> None:
    """Datasets are attached and detached, several at once."""
    project_hash = made(here, api, "To fill")
    assert here("project", "add-datasets", project_hash, *DATASETS[:3], env=api.env).out == "attached 3 datasets\n"
    done = here("project", "remove-datasets", project_hash, DATASETS[1], "--json", env=api.env)
    assert done.json == {"project_hash": project_hash, "detached": [DATASETS[1]]}
    assert api.projects("To fill")[0]["datasets"] == [DATASETS[0], DATASETS[2]]


def test_add_users_shows_the_role_held(here: Here, api: Api) -> None:
    """Who is a member already keeps the old role; that is said, and the exit code is 1."""
    project_hash = made(here, api, "To staff")
    done = here("project", "add-users", project_hash, "ann@example.com", "--role", "reviewer", env=api.env)
    assert done.code == 0
    assert "ann@example.com  reviewer" in done.out
    again = ["Ann@example.com", "bob@example.com", "--role", "annotator"]
    done = here("project", "add-users", project_hash, *again, "--json", env=api.env)
    assert done.code == 1
    assert {"email": "bob@example.com", "role": "annotator"} in done.json["users"]
    assert "ann@example.com is reviewer" in done.err


def test_api_keys(here: Here, api: Api) -> None:
    """A new API key is printed once; listing shows titles and scopes, and keys only on request."""
    project_hash = made(here, api, "With keys")
    scopes = ["--scope", "label.read", "--scope", "label.write"]
    first = here("project", "create-api-key", project_hash, "ci", *scopes, env=api.env)
    second = here("project", "create-api-key", project_hash, "cd", *scopes, "--json", env=api.env)
    keys = [first.out.strip(), second.json["api_key"]]
    listed = here("project", "list-api-keys", project_hash, env=api.env)
    assert "ci" in listed.out
    assert "label.read, label.write" in listed.out
    quiet = here("project", "list-api-keys", project_hash, "--json", "-v", env=api.env)
    assert not any(key in done.out + done.err for key in keys for done in (listed, quiet))
    shown = here("project", "list-api-keys", project_hash, "--show-keys", "--json", env=api.env).json
    assert [key["api_key"] for key in shown["api_keys"]] == keys
    assert keys[0] in here("project", "list-api-keys", project_hash, "--show-keys", env=api.env).out


@pytest.mark.parametrize("role", [role.name.lower() for role in ProjectUserRole])
def test_each_role_can_be_given(here: Here, api: Api, role: str) -> None:
    """`project add-users` knows every role that there is."""
    project_hash = made(here, api, f"Role {role}")
    done = here("project", "add-users", project_hash, "ann@example.com", "--role", role, "--json", env=api.env)
    assert {"email": "ann@example.com", "role": role} in done.json["users"]


def test_with_an_api_key(here: Here, api: Api) -> None:
    """With --use-api-key calls about a project need no SSH key."""
    project_hash = made(here, api, "By API key")
    key = here("project", "create-api-key", project_hash, "ci", "--scope", "label.read", env=api.env).out.strip()
    env = {"ENCORD_DOMAIN": api.url, "ENCORD_API_KEY": key}
    assert here("project", "add-datasets", project_hash, DATASETS[0], "--use-api-key", env=env).code == 0
    assert here("project", "get", project_hash, "--use-api-key", env=env).code == 0
    done = here("project", "get", project_hash, "--use-api-key", env={"ENCORD_DOMAIN": api.url})
    assert done.code == 2
    assert "ENCORD_API_KEY is not set" in done.err


def test_copy(here: Here, api: Api) -> None:
    """A copy takes along what is named."""
    project_hash = made(here, api, "Original", "--dataset", DATASETS[0])
    done = here("project", "copy", project_hash, "--title", "Copy", "--with", "datasets", env=api.env)
    (found,) = api.projects("Copy")
    assert done.out.strip() == found["project_hash"]
    assert found["datasets"] == DATASETS[:1]


def test_there_is_no_delete(here: Here, api: Api) -> None:
    """`project delete` explains why it cannot be done, sends nothing, and needs no key."""
    before = api.by_query()
    done = here("project", "delete", "some-hash")
    assert done.code == 2
    assert "cannot be deleted through the API or the SDK" in done.err
    assert "in Encord's app" in done.err
    assert here("project", "delete", "--json").json["error"]["applied"] == "not_applied"
    assert api.by_query() == before


def test_refused(here: Here, api: Api) -> None:
    """A refusal is one message with code and trace, a hint, and exit code 1."""
    done = here("project", "get", "no-such", env=api.env)
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert "RESOURCE_NOT_FOUND_ERROR" in done.err
    assert "trace " in done.err
    assert "\nhint: " in done.err


def test_no_answer_to_a_create(here: Here, api: Api) -> None:
    """A create whose answer is lost ends in 3: it may have happened, and it is not sent again."""
    api.control("PUT", "faults", [{"query": "project.POST", "fault": "drop_after_commit", "times": 1}])
    done = here("project", "create", "Lost", env=api.env)
    api.control("DELETE", "faults")
    assert done.code == 3
    assert "may have taken effect" in done.err
    assert len(api.projects("Lost")) == 1


def test_a_key_that_is_not_registered(here: Here, api: Api, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A key that the service does not know ends in 4, and the message says what to check."""
    key = new_key(tmp_path, require_tool)
    done = here("project", "create", "x", "--ssh-key-file", key, env=api.env)
    assert done.code == 4
    assert "--domain is the region" in done.err


def test_a_key_with_a_passphrase(here: Here, api: Api, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """The passphrase comes from ENCORD_SSH_KEY_PASSPHRASE; without a terminal to ask on, the message names it."""
    key = new_key(tmp_path, require_tool, passphrase="open sesame")
    done = here("project", "create", "x", "--ssh-key-file", key, env=api.env)
    assert done.code == 2
    assert "give its passphrase in ENCORD_SSH_KEY_PASSPHRASE" in done.err
    for env in ({"ENCORD_SSH_KEY_FILE": str(key)}, {"ENCORD_SSH_KEY_FILE": "", "ENCORD_SSH_KEY": key.read_text()}):
        if not env["ENCORD_SSH_KEY_FILE"]:
            del env["ENCORD_SSH_KEY_FILE"]
        env |= {"ENCORD_DOMAIN": api.url, "ENCORD_SSH_KEY_PASSPHRASE": "open sesame"}
        assert here("project", "create", "x", env=env).code == 4


def new_key(folder: Path, require_tool: Callable[[str], str], *, passphrase: str = "") -> Path:
    """A key that nobody registered."""
    key = folder / "other"
    keygen = require_tool("ssh-keygen")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-f", key], check=True)
    assert not key.stat().st_mode & stat.S_IROTH
    return key


@pytest.mark.parametrize("value", ["ftp://x", "http://example.com", "https://user:secret@example.com"])
def test_a_domain_that_cannot_work(here: Here, api: Api, value: str) -> None:
    """A bad --domain is refused before anything is sent; a password in it is not repeated."""
    done = here("project", "get", "x", "--domain", value, env=api.env)
    assert done.code == 2
    assert "secret" not in done.err
