"""Who is let in, and which headers and bodies are taken, tolerantly and strictly."""

import json
import subprocess
from collections.abc import Callable

import aiohttp
import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.emulator import Emulator, EmulatorSettings, Seed, SeedDataset, SeedProject, SeedUser, envelope
from encord_async.emulator.calls import Terms
from encord_async.emulator.rules import RULES
from encord_async.emulator.seed import plant
from encord_async.emulator.service import Service
from encord_async.emulator.store import Store
from encord_async.protocol.catalogue import CODES, QUERIES, REST_CALLS, Endpoint
from tests.emulator.conftest import ANN, SEED, VECTORS, Api, Json, Signer, Start, envelope_bytes

IDS = VECTORS["ids"]
VECTOR_SEED = Seed(
    users=(SeedUser(email="v@example.com", public_key=VECTORS["key"]["public_key_hex"]),),
    datasets=tuple(
        SeedDataset(hash=IDS[name], title=name, admins=("v@example.com",)) for name in ("dataset1", "dataset2")
    ),
    projects=(SeedProject(hash=IDS["project"], title="V", admins=("v@example.com",)),),
)


def _vector_headers(vector: dict[str, str]) -> dict[str, str]:
    given = {"ResourceID": vector.get("resource_id"), "ResourceType": vector.get("resource_type")}
    return {"Authorization": vector["authorization"]} | {name: text for name, text in given.items() if text}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["seeded", "ann-1", '["ann-1"]', "\ud800"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
MEMBERS = [
    "title", "description", "dataset_hashes", "ontology_hash", "workflow_type", "source_projects", "scopes", "editor",
    "user_emails", "user_role", "type", "create_backing_folder", "filter", "dataset_hash", "copy_project_options",
    "project_copy_metadata", "include_labels_metadata", "workflow_template_id",
]  # fmt: skip
PAYLOADS = JSON_VALUES | st.dictionaries(
    st.sampled_from(MEMBERS), JSON_VALUES | st.dictionaries(st.text(), JSON_VALUES)
)


@given(
    name=st.sampled_from(sorted(name for name in RULES if not name.startswith("v2/"))),
    payload=PAYLOADS,
    uid=JSON_VALUES,
    resource=st.sampled_from(["", "seeded", "ann-1", "\udcff", "x"]),
    kind=st.sampled_from(["", "project", "dataset", "ontology"]),
    strict=st.booleans(),
)
def test_any_arguments_are_answered_or_refused(
    name: str, payload: object, uid: object, resource: str, kind: str, strict: bool
) -> None:
    """Whatever a caller with a good key sends, nothing breaks: a result, or a code that clients know."""
    store = Store(None)
    with store.transaction():
        plant(store, SEED, now_us=1)
    service = Service(store=store, terms=Terms(strict=strict))
    body = envelope_bytes(name, payload, uid)
    headers = {"Authorization": ANN.authorization(body), "ResourceID": resource, "ResourceType": kind}
    for endpoint in Endpoint:
        reply = service.answer(envelope.read(service.terms, endpoint, headers, body), now_us=2)
        said = json.loads(reply.body)
        assert said["status"] == 200 or said["response"][0] in CODES
    store.close()


async def test_every_vector_is_let_in(start: Start, http: aiohttp.ClientSession) -> None:
    """Requests captured from 33 releases of the official SDK, and of the vendor's page, pass the signature check."""
    emulator = await start(EmulatorSettings(seed=VECTOR_SEED))
    api = Api(http, emulator.url, "")
    codes = {}
    for vector in VECTORS["v1"]:
        reply = await api.post(vector["endpoint"], vector["body"].encode(), _vector_headers(vector))
        codes[vector["id"]] = reply.code
    assert not {"AUTHENTICATION_ERROR", "SSH_KEY_NOT_FOUND_ERROR", "DUPLICATE_SSH_KEY_ERROR"} & set(codes.values())
    accepted = {name for name, code in codes.items() if code is None}
    assert {"create_project.v23.py", "create_project.docs_string_list", "create_project.unicode.js"} <= accepted
    assert {"add_users.py", "add_users.uid_null.py", "list_label_rows.v211", "list_projects.filter"} <= accepted
    titles = {project["title"] for project in emulator.state()["projects"]}
    assert "Prüfung 测试 😀" in titles


@pytest.mark.parametrize("vector", VECTORS["v1_negative"], ids=lambda vector: vector["id"])
async def test_negative_vectors_are_kept_out(start: Start, http: aiohttp.ClientSession, vector: dict[str, str]) -> None:
    """A signature over anything but the digest of these bytes is not accepted."""
    emulator = await start(EmulatorSettings(seed=VECTOR_SEED))
    headers = {"Authorization": vector["authorization"], "ResourceID": IDS["project"], "ResourceType": "project"}
    reply = await Api(http, emulator.url, "").post("/public", vector["body"].encode(), headers)
    assert reply.code == "AUTHENTICATION_ERROR"


async def test_keys_that_are_unknown_or_registered_twice_have_their_own_codes(
    start: Start, http: aiohttp.ClientSession
) -> None:
    """A right signature of a stranger is told from a wrong one, and an ambiguous key from both."""
    twice = Signer.named("twice")
    seed = Seed(
        users=(
            SeedUser(email="a@example.com", public_key=twice.public_hex),
            SeedUser(email="b@example.com", public_key=twice.public_hex),
        )
    )
    emulator = await start(EmulatorSettings(seed=seed))
    payload: Json = {"filter": {}}
    stranger = Api(http, emulator.url, Signer.named("stranger"))
    assert (await stranger.call("projectwithuserrole.GET", payload)).code == "SSH_KEY_NOT_FOUND_ERROR"
    wrong = f"{Signer.named('stranger').public_hex}:{'0' * 128}"
    assert (await stranger.as_(wrong).call("projectwithuserrole.GET", payload)).code == "AUTHENTICATION_ERROR"
    assert (await stranger.as_(twice).call("projectwithuserrole.GET", payload)).code == "DUPLICATE_SSH_KEY_ERROR"
    assert (await stranger.as_("").call("projectwithuserrole.GET", payload)).code == "AUTHENTICATION_ERROR"


async def test_a_bearer_token_stands_for_its_user(ann: Api) -> None:
    """The token of the seed works on both endpoints; another one does not."""
    bearer = ann.as_("Bearer ann-token")
    hash_ = await bearer.create("By token")
    assert (await bearer.call("project.GET", None, on=hash_)).result["title"] == "By token"
    assert (await ann.as_("Bearer other").call("project.GET", None, on=hash_)).code == "AUTHENTICATION_ERROR"


async def test_the_signature_is_looked_at_first(ann: Api) -> None:
    """A body that is no JSON is an authentication error to strangers, and a bad argument to friends."""
    assert (await ann.as_(Signer.named("stranger")).raw(b"{")).code == "SSH_KEY_NOT_FOUND_ERROR"
    assert (await ann.as_("x" * 43).raw(b"{")).code == "AUTHENTICATION_ERROR"
    assert (await ann.raw(b"{")).code == "INVALID_ARGUMENTS_ERROR"


@pytest.mark.parametrize(
    ("name", "on"),
    [("project.DELETE", "seeded"), ("project.DELETE", None), ("dataset.PUT", None), ("projectusers.GET", "seeded")],
)
async def test_methods_that_are_not_offered(ann: Api, name: str, on: str | None) -> None:
    """Projects cannot be deleted over this API, nor other things be done that nobody has seen."""
    assert (await ann.call(name, None, on=on)).code == "METHOD_NOT_ALLOWED_ERROR"


def test_every_call_of_the_catalogue_is_answered() -> None:
    """A call that the client can make is one that the emulator has a rule for, and hardly any other is."""
    known = {item.name for item in QUERIES.values()} | {item.name for item in REST_CALLS.values()}
    assert set(RULES) - known == {"cloudintegration.GET", "ontology.PUT"}
    assert known <= set(RULES)


async def test_resource_headers_are_needed_on_public(ann: Api) -> None:
    """Signed calls on a resource name it and its type."""
    body = envelope_bytes("project.GET")
    signed = {"Authorization": ANN.authorization(body)}
    for headers in ({}, {"ResourceID": "seeded"}, {"ResourceID": "seeded", "ResourceType": "dataset"}):
        assert (await ann.post("/public", body, signed | headers)).code == "INVALID_ARGUMENTS_ERROR"
    good = {"ResourceID": "seeded", "ResourceType": "project"}
    assert (await ann.post("/public", body, signed | good)).code is None


TOLERATED: list[tuple[str, Json, Json, str | None]] = [
    ("projectusers.POST", {"user_emails": ["a@example.com"], "user_role": "1"}, "seeded", "seeded"),
    ("projectusers.POST", {"user_emails": '["a@example.com"]', "user_role": 1}, "seeded", "seeded"),
    ("projectusers.POST", {"user_emails": ["a@example.com"], "user_role": 1}, None, "seeded"),
    ("projectusers.POST", {"user_role": 1, "user_emails": ["a@example.com"]}, "seeded", "seeded"),
    ("projectdataset.POST", {"dataset_hashes": '["ann-1"]'}, None, "seeded"),
    ("projectdataset.DELETE", None, '["ann-1"]', "seeded"),
    ("project.POST", {"title": "P"}, None, None),
    ("dataset.POST", {"title": "D", "type": "0"}, None, None),
    ("projectapikey.POST", {"title": "K", "scopes": '["label.read"]'}, "seeded", None),
    ("projectapikey.GET", {}, "seeded", None),
]


@pytest.mark.parametrize(("name", "payload", "uid", "on"), TOLERATED)
async def test_forms_of_the_vendors_page_are_taken_unless_strict(
    start: Start, http: aiohttp.ClientSession, name: str, payload: Json, uid: Json, on: str | None
) -> None:
    """Lists as JSON text, digits as text, missing members and a null uid pass by default, and not with --strict."""
    tolerant = Api(http, (await start(EmulatorSettings(seed=SEED))).url, ANN)
    assert (await tolerant.call(name, payload, uid, on=on)).code is None
    strict = Api(http, (await start(EmulatorSettings(seed=SEED, strict=True))).url, ANN)
    assert (await strict.call(name, payload, uid, on=on)).code == "INVALID_ARGUMENTS_ERROR"


async def test_strict_takes_what_the_sdk_sends(start: Start, http: aiohttp.ClientSession) -> None:
    """Captured SDK requests pass strictly, forms of the vendor's page do not."""
    emulator = await start(EmulatorSettings(seed=VECTOR_SEED, strict=True))
    api = Api(http, emulator.url, "")
    codes = {}
    for vector in VECTORS["v1"]:
        reply = await api.post(vector["endpoint"], vector["body"].encode(), _vector_headers(vector))
        codes[vector["id"]] = reply.code
    assert codes["create_project.v23.py"] is None
    assert codes["captured.create_project_min.0.1.55"] is None
    assert codes["add_users.py"] is None
    assert codes["list_datasets.v98"] is None
    for name in ("create_project.v23.js", "create_project.docs_string_list", "remove_datasets.docs.js", "add_users.js"):
        assert codes[name] == "INVALID_ARGUMENTS_ERROR"


async def test_strictly_a_null_uid_goes_with_an_api_key(start: Start, http: aiohttp.ClientSession) -> None:
    """The SDK sends null for adding users with a key, and the hash otherwise."""
    api = Api(http, (await start(EmulatorSettings(seed=SEED, strict=True))).url, ANN)
    key = (await api.call("projectapikey.POST", {"title": "k", "scopes": []}, "seeded")).result
    add = {"user_emails": ["a@example.com"], "user_role": 1}
    assert (await api.as_(key).call("projectusers.POST", add, None, on="seeded")).code is None
    assert (await api.call("projectusers.POST", add, None, on="seeded")).code == "INVALID_ARGUMENTS_ERROR"


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b'{"x": NaN}', b'"\\ud800"', b"\xff", b"\xef\xbb\xbf{}"]
)
async def test_hostile_bodies_are_bad_arguments(ann: Api, body: bytes) -> None:
    """Deep nesting, NaN, half surrogates and other encodings are no envelope."""
    assert (await ann.raw(body)).code == "INVALID_ARGUMENTS_ERROR"


async def test_the_http_status_of_refusals_can_be_400(start: Start, http: aiohttp.ClientSession) -> None:
    """It is not known which the real service uses, so clients have to take both."""
    for status in (200, 400):
        emulator = await start(EmulatorSettings(seed=SEED, failure_http_status=status))
        reply = await Api(http, emulator.url, ANN).call("project.GET", None, on="nowhere")
        assert (reply.http_status, reply.code, reply.body["status"]) == (status, "RESOURCE_NOT_FOUND_ERROR", 400)


def _curl(curl: str, url: str, body: str, *headers: str) -> Json:
    arguments = [curl, "--silent", "--location", "--request", "POST", url, "--data-raw", body]
    for header in ("Content-Type: application/json", "Accept: application/json", *headers):
        arguments += ["--header", header]
    return json.loads(subprocess.run(arguments, check=True, capture_output=True).stdout)


async def test_the_curl_forms_of_the_vendors_page(
    emulator: Emulator, ann: Api, require_tool: Callable[[str], str]
) -> None:
    """The page's commands, made valid JSON, do what the page says."""
    curl = require_tool("curl")

    async def run(path: str, body: str, *headers: str) -> Json:
        return await anyio.to_thread.run_sync(_curl, curl, emulator.url + path, body, *headers)

    create = """{
    "query_type": "project",
    "query_method":"POST",
    "values": {
      "uid": null,
      "payload": {
          "title": "From curl",
          "description": "Project description",
          "dataset_hashes": "[\\"ann-1\\"]"
      }
    }
  }"""
    project = (await run("/public/user", create, f"Authorization: {ANN.authorization(create.encode())}"))["response"]
    key_body = json.dumps(
        {
            "query_type": "projectapikey",
            "query_method": "POST",
            "values": {"uid": project, "payload": {"title": "k", "scopes": '["label.read", "label.write"]'}},
        },
        indent=4,
    )
    key = (await run("/public/user", key_body, f"Authorization: {ANN.authorization(key_body.encode())}"))["response"]
    on = (f"ResourceID: {project}", f"Authorization: {key}")
    add = '{"query_type": "projectdataset", "query_method":"POST", "values": {"uid": null, "payload": {'
    assert (await run("/public", add + '"dataset_hashes": "[\\"ann-2\\"]"}}}', *on))["response"] is True
    remove = '{"query_type": "projectdataset", "query_method":"DELETE", "values": {"uid": "[\\"ann-1\\"]"}}'
    assert (await run("/public", remove, *on))["response"] is True
    users = '{"query_type": "projectusers", "query_method":"POST", "values": {"uid": null, "payload": {'
    users += '"user_emails": "[\\"x@example.com\\"]", "user_role": "2"}}}'
    assert (await run("/public", users, *on))["response"][0]["user_role"] == 2
    get = '{"query_type": "project", "query_method": "GET", "values": {"uid": null, "payload": null}}'
    found = (await run("/public", get, *on))["response"]
    assert (found["title"], [item["dataset_hash"] for item in found["datasets"]]) == ("From curl", ["ann-2"])
    assert set(found["editor_ontology"]) >= {"objects", "classifications"}
