"""The vendor's page on projects, run by curl: the bodies of its Node.js samples, and what its curl samples lack.

The emulator's own tests run the page's curl bodies. Here a body is what ``JSON.stringify`` makes of a sample's object:
no blanks, text as UTF-8. Placeholders are filled in as the page draws them, lists and numbers as text.
"""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from encord_async import APIKeyScope, EncordSession
from encord_async.emulator import Emulator, EmulatorSettings
from tests.interop.conftest import ANN, ANNS_PROJECT, CATS, DOGS, PETS, SEED, Json, Person, Start
from tests.waiting import PATIENCE_S

JSON_HEADERS = ("Content-Type: application/json", "Accept: application/json")

CREATE_PROJECT = """{
    "query_type": "project",
    "query_method":"POST",
    "values": {
      "uid": null,
      "payload": {
          "title": "Größe \U0001f408",
          "description": "Project description",
          "dataset_hashes": "[\\"CATS\\"]",
          "ontology_hash": "PETS"
      }
    }
  }""".replace("CATS", CATS).replace("PETS", PETS)

CREATE_API_KEY = """{
    "query_type": "projectapikey",
    "query_method":"POST",
    "values": {
      "uid": "<project_id>",
      "payload": {
          "title": "API key title",
          "scopes": "[\\"label.read\\", \\"label.write\\"]"
      }
    }
  }"""

FETCH_API_KEYS = """{
        "query_type": "projectapikey",
        "query_method":"GET",
        "values": {
            "uid": "<project_id>",
            "payload": null
        }
    }"""

ADD_DATASETS = """{
    "query_type": "projectdataset",
    "query_method":"POST",
    "values": {
      "uid": null,
      "payload": {
          "dataset_hashes": "[\\"CATS\\", \\"DOGS\\"]"
      }
    }
  }""".replace("CATS", CATS).replace("DOGS", DOGS)

REMOVE_DATASETS = """{
    "query_type": "projectdataset",
    "query_method":"DELETE",
    "values": {
      "uid": "[\\"CATS\\"]"
    }
  }""".replace("CATS", CATS)

ADD_USERS = """{
    "query_type": "projectusers",
    "query_method":"POST",
    "values": {
      "uid": "<project_id>",
      "payload": {
          "user_emails": "[\\"x@example.com\\", \\"y@example.com\\"]",
          "user_role": "2"
      }
    }
  }"""

# The page's curl sample differs from its Node.js sample in this one place.
ADD_USERS_BY_CURL = ADD_USERS.replace('"<project_id>"', "null")

FETCH_PROJECT = """{
    "query_type": "project",
    "query_method": "GET",
    "values": {
        "uid": null,
        "payload": null
    }
}"""


def stringified(sample: str, project_id: str = "") -> str:
    """The body that the page's Node.js code sends for the object of a *sample*."""
    return json.dumps(json.loads(filled(sample, project_id)), separators=(",", ":"), ensure_ascii=False)


def filled(sample: str, project_id: str) -> str:
    """A *sample* about a project, blanks and all."""
    return sample.replace("<project_id>", project_id)


def generate_auth_header(data: str, person: Person) -> str:
    """The page's function of that name: the key in hex, a colon, the signature of the SHA-256 of the text in hex."""
    hashed_data = hashlib.sha256(data.encode()).digest()
    return f"{person.public_hex}:{person.key.sign(hashed_data).hex()}"


@dataclass(frozen=True, slots=True)
class Curl:
    """curl, as the page calls it."""

    program: str
    url: str

    async def post(self, path: str, body: str, *headers: str) -> Json:
        """Send *body* and read the JSON that comes back."""
        arguments = [self.program, "--silent", "--show-error", "--noproxy", "*", "--location", "--request", "POST"]
        arguments.append(self.url + path)
        for header in (*JSON_HEADERS, *headers):
            arguments += ["--header", header]
        command = [argument.encode() for argument in (*arguments, "--data-raw", body)]
        done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=PATIENCE_S)
        return json.loads(done.stdout)

    async def signed(self, body: str) -> Json:
        """A call of Ann's on ``/public/user``."""
        return await self.post("/public/user", body, f"Authorization: {generate_auth_header(body, ANN)}")

    async def by_key(self, body: str, project_id: str, api_key: str) -> Json:
        """A call on ``/public`` with a project's API key."""
        return await self.post("/public", body, f"ResourceID: {project_id}", f"Authorization: {api_key}")


@pytest.fixture
async def emulator(start: Start) -> Emulator:
    """A tolerant local Encord, as the page needs it."""
    return await start(EmulatorSettings(seed=SEED))


@pytest.fixture
def curl(require_tool: Callable[[str], str], emulator: Emulator) -> Curl:
    """curl before that Encord."""
    return Curl(require_tool("curl"), emulator.url)


async def _project_key(curl: Curl, project_id: str) -> str:
    return str((await curl.signed(stringified(CREATE_API_KEY, project_id)))["response"])


async def test_the_page_from_top_to_bottom(curl: Curl, session: EncordSession) -> None:
    """Each call of the page does what the page says, and our client reads what came of it."""
    project_id = (await curl.signed(stringified(CREATE_PROJECT)))["response"]
    key = await _project_key(curl, project_id)
    (listed,) = (await curl.signed(stringified(FETCH_API_KEYS, project_id)))["response"]
    assert listed == {"api_key": key, "title": "API key title", "scopes": ["label.read", "label.write"]}

    for sample in (ADD_DATASETS, REMOVE_DATASETS):
        assert await curl.by_key(stringified(sample), project_id, key) == {"status": 200, "response": True}
    added = (await curl.by_key(stringified(ADD_USERS, project_id), project_id, key))["response"]
    assert [(user["user_email"], user["user_role"]) for user in added] == [("x@example.com", 2), ("y@example.com", 2)]
    fetched = (await curl.by_key(stringified(FETCH_PROJECT), project_id, key))["response"]
    assert fetched["title"] == "Größe \U0001f408"
    assert fetched["editor_ontology"] == {"objects": [], "classifications": []}

    read = await session.project(project_id).get()
    assert (read.title, read.description, read.ontology_hash) == (fetched["title"], "Project description", PETS)
    assert [dataset.dataset_hash for dataset in read.datasets] == [DOGS]
    assert read.editor_ontology == fetched["editor_ontology"]
    (ours,) = await session.list_project_api_keys(project_id)
    assert (ours.api_key.get_secret_value(), ours.scopes) == (key, (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE))


async def test_fetching_keys_by_curl(curl: Curl) -> None:
    """The page's curl body for the list of keys, without its trailing comma, is answered."""
    key = await _project_key(curl, ANNS_PROJECT)
    (listed,) = (await curl.signed(filled(FETCH_API_KEYS, ANNS_PROJECT)))["response"]
    assert listed["api_key"] == key


async def test_adding_users_in_both_forms(curl: Curl) -> None:
    """Whether ``uid`` is the project, as in the Node.js sample, or null, as in the curl sample, the same users join."""
    key = await _project_key(curl, ANNS_PROJECT)
    by_node = await curl.by_key(stringified(ADD_USERS, ANNS_PROJECT), ANNS_PROJECT, key)
    by_curl = await curl.by_key(ADD_USERS_BY_CURL, ANNS_PROJECT, key)
    assert by_node == by_curl
    assert [user["project_hash"] for user in by_node["response"]] == [ANNS_PROJECT, ANNS_PROJECT]


@pytest.mark.parametrize(
    "printed",
    [FETCH_API_KEYS.replace('"payload": null\n', '"payload": null,\n'), REMOVE_DATASETS.replace(']"\n', ']",\n')],
    ids=["fetch-keys", "remove-datasets"],
)
async def test_the_pages_trailing_commas(curl: Curl, emulator: Emulator, printed: str) -> None:
    """As printed, two of the page's curl bodies are no JSON, and are turned down."""
    before = emulator.state()
    refused = await curl.signed(filled(printed, ANNS_PROJECT))
    assert (refused["status"], refused["response"]) == (400, ["INVALID_ARGUMENTS_ERROR"])
    assert refused["payload"] == "the body is not a JSON object"
    assert emulator.state() == before


async def test_the_pages_backslash(curl: Curl) -> None:
    """As printed, curl would send a backslash before the API key, and such a key does not exist."""
    key = await _project_key(curl, ANNS_PROJECT)
    refused = await curl.by_key(stringified(FETCH_PROJECT), ANNS_PROJECT, f"\\{key}")
    assert (refused["status"], refused["response"]) == (400, ["AUTHENTICATION_ERROR"])


async def test_the_signature_is_of_what_is_sent(curl: Curl) -> None:
    """The page's two forms of one call are signed differently; the signature of one does not pass for the other."""
    compact, printed = stringified(CREATE_PROJECT), CREATE_PROJECT
    assert json.loads(compact) == json.loads(printed)
    refused = await curl.post("/public/user", printed, f"Authorization: {generate_auth_header(compact, ANN)}")
    assert refused["response"] == ["AUTHENTICATION_ERROR"]
    assert (await curl.signed(printed))["status"] == 200


@pytest.mark.parametrize(
    "sample", [CREATE_PROJECT, CREATE_API_KEY, FETCH_API_KEYS, ADD_DATASETS, REMOVE_DATASETS, ADD_USERS, FETCH_PROJECT]
)
async def test_a_strict_service_refuses_the_page(require_tool: Callable[[str], str], start: Start, sample: str) -> None:
    """Bytes that the official SDK would not send are turned down where only those are taken."""
    emulator = await start(EmulatorSettings(seed=SEED, strict=True))
    body = stringified(sample, ANNS_PROJECT)
    headers = [f"Authorization: {generate_auth_header(body, ANN)}"]
    path = "/public/user" if sample in (CREATE_PROJECT, CREATE_API_KEY, FETCH_API_KEYS) else "/public"
    if path == "/public":
        headers += [f"ResourceID: {ANNS_PROJECT}", "ResourceType: project"]
    refused = await Curl(require_tool("curl"), emulator.url).post(path, body, *headers)
    assert refused["response"] == ["INVALID_ARGUMENTS_ERROR"]
    assert refused["payload"].startswith("strict: ")
