"""REST v2 of the emulator: who may ask, what it answers, and that it is the same Encord as the envelope's.

Requests are signed here by hand, as the protocol says, and not by the client's code.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule, SettingsError
from encord_async.emulator.calls import Terms
from encord_async.emulator.rest import read
from encord_async.emulator.service import Service
from encord_async.emulator.store import Store
from encord_async.protocol.catalogue import REST_CALLS
from tests.emulator.conftest import ANN, ROOT, SEED, VECTORS, Api, Json, Rest, RestReply, Signer, Start, signed

EMPTY: dict[str, Any] = {"objects": [], "classifications": [], "skeleton_templates": []}


# --- who asks


@pytest.fixture
def service() -> Iterator[Service]:
    """The rules of REST v2 without HTTP, over a store of its own."""
    with contextlib.closing(Store(None)) as store:
        store.register(store.user("ann@example.com"), VECTORS["key"]["public_key_hex"])
        yield Service(store=store, terms=Terms(strict=True, page_size=10))


@pytest.mark.parametrize("vector", VECTORS["v2"], ids=lambda vector: vector["id"])
def test_the_signatures_of_the_sdk_are_accepted(service: Service, vector: dict[str, Any]) -> None:
    """Every request on record of SDK 0.1.211 passes as its sender's, strictly, and is a call that is known."""
    headers = {
        "Content-Digest": vector["content_digest"],
        "Signature-Input": vector["signature_input"],
        "Signature": vector["signature"],
    }
    body = vector["body"].encode()
    message = read(service.terms, vector["http_method"], vector["request_target"], headers, body)
    assert message.name != "unknown"
    reply = service.answer(message, now_us=vector["created"] * 1_000_000)
    assert reply.status in (200, 204, 403, 404), reply.body


@pytest.mark.parametrize(("age_s", "status"), [(-301, 401), (-299, 200), (0, 200), (299, 200), (301, 401)])
def test_a_signature_is_good_for_a_while(service: Service, age_s: int, status: int) -> None:
    """Neither old signatures nor those of the future are taken."""
    signer = Signer.named("ann")
    service.store.register(service.store.user("ann@example.com"), signer.public_hex)
    headers = signed(signer, "GET", f"{ROOT}/datasets/list", b"", created=1_000_000)
    message = read(service.terms, "GET", f"{ROOT}/datasets/list", headers, b"")
    reply = service.answer(message, now_us=(1_000_000 + age_s) * 1_000_000)
    assert reply.status == status
    if status == 401:
        assert b"not created within 300 seconds" in reply.body


def _with(headers: dict[str, str], **changes: str) -> dict[str, str]:
    return headers | {name.replace("_", "-"): text for name, text in changes.items()}


TAMPERED: list[tuple[str, Callable[[dict[str, str]], dict[str, str]]]] = [
    ("wrong digest", lambda h: _with(h, Content_Digest="sha-256=:AAAA:")),
    ("no digest", lambda h: {name: text for name, text in h.items() if name != "Content-Digest"}),
    ("no signature", lambda h: {name: text for name, text in h.items() if name != "Signature"}),
    ("signature of another", lambda h: _with(h, Signature="encord-sig=:" + "A" * 86 + "==:")),
    ("another label", lambda h: _with(h, Signature=h["Signature"].replace("encord-sig", "sig1"))),
    ("fewer components", lambda h: _with(h, Signature_Input=h["Signature-Input"].replace('"@method" ', ""))),
    ("another time", lambda h: _with(h, Signature_Input=h["Signature-Input"].replace("created=", "created=1"))),
    ("another algorithm", lambda h: _with(h, Signature_Input=h["Signature-Input"].replace("ed25519", "rsa-v1_5"))),
    ("a key that is none", lambda h: _with(h, Signature_Input=h["Signature-Input"].replace('keyid="', 'keyid="zz'))),
    ("another target", lambda _: signed(ANN, "GET", f"{ROOT}/projects?", b"")),
    ("another method", lambda _: signed(ANN, "POST", f"{ROOT}/projects", b"")),
    ("another body", lambda _: signed(ANN, "GET", f"{ROOT}/projects", b"x")),
    ("envelope's signature", lambda _: {"Authorization": ANN.authorization(b"")}),
    ("API key", lambda _: {"Authorization": "some-api-key"}),
    ("unknown token", lambda _: {"Authorization": "Bearer nobody"}),
    ("nothing", lambda _: {}),
    ("unknown key", lambda _: signed(Signer.named("stranger"), "GET", f"{ROOT}/projects", b"")),
]


@pytest.mark.parametrize(("what", "tamper"), TAMPERED, ids=[what for what, _ in TAMPERED])
async def test_what_does_not_prove_the_sender_is_refused(
    http: aiohttp.ClientSession, emulator: Emulator, what: str, tamper: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """HTTP 401 with a message for every way in which a signature or token can be wrong."""
    headers = tamper(signed(ANN, "GET", f"{ROOT}/projects", b""))
    async with http.get(f"{emulator.url}{ROOT}/projects", headers=headers) as response:
        assert response.status == 401, what
        assert list(await response.json()) == ["message"]


async def test_bearer_tokens(rest: Rest) -> None:
    """A token of the seed and one that was asked for open REST and the envelope alike."""
    assert [row["title"] for row in (await rest.as_("Bearer ann-token")("GET /projects")).results] == ["Seeded"]
    token = (await rest("GET /user/bearer-token")).body["token"]
    assert len((await rest.as_(f"Bearer {token}")("GET /projects")).results) == 1
    assert (await Api(rest.http, rest.url, f"Bearer {token}").call("projectwithuserrole.GET", {"filter": {}})).result


async def test_paths_and_methods(rest: Rest) -> None:
    """What is not there is 404, a method that is not offered is 405, each with a message."""
    for line, status in (
        ("GET /nothing", 404),
        ("GET /projects/", 404),
        ("GET /projects/a/b/c/d", 404),
        ("POST /projects", 405),
        ("DELETE /projects/seeded", 405),
        ("PATCH /organisation/groups/g", 405),
    ):
        reply = await rest(line)
        assert (reply.status, list(reply.body)) == (status, ["message"]), line


# --- the same Encord


async def test_datasets(rest: Rest, ann: Api, bobs: Rest) -> None:
    """A dataset made over REST is one of the envelope's, with its users; who is removed is gone from both."""
    made = await rest(
        "POST /datasets", {"title": "New", "description": "d", "createBackingFolder": True, "legacyCall": False}
    )
    assert made.status == 200
    uuid = made.body["datasetUuid"]
    assert made.body["backingFolderUuid"]
    listed = await ann.call("datasetwithuserrole.GET", {"filter": {"title_eq": "New"}})
    assert [item["dataset"]["dataset_hash"] for item in listed.result] == [uuid]
    await ann.call(
        "datasetusers.POST", {"user_emails": ["bob@example.com"], "user_role": 1}, uuid, on=uuid, kind="dataset"
    )
    users = [
        {"datasetUuid": uuid, "userEmail": "ann@example.com", "userRole": 0},
        {"datasetUuid": uuid, "userEmail": "bob@example.com", "userRole": 1},
    ]
    assert (await rest(f"GET /datasets/{uuid}/users")).results == users
    assert [row["userRole"] for row in (await bobs("GET /datasets/list?titleEq=New")).body["result"]] == ["user"]
    assert (await bobs(f"GET /datasets/{uuid}/users")).status == 403
    assert (await bobs(f"POST /datasets/{uuid}/users/bulk-delete", {"userEmails": ["ann@example.com"]})).status == 403
    gone = {"userEmails": ["BOB@example.com", "stranger@example.com"]}
    assert (await rest(f"POST /datasets/{uuid}/users/bulk-delete", gone)) == RestReply(204, None)
    assert (await rest(f"GET /datasets/{uuid}/users")).results == users[:1]
    assert (await bobs("GET /datasets/list?titleEq=New")).body == {"result": []}


async def test_filters_of_listings(rest: Rest) -> None:
    """Titles, descriptions and moments narrow a listing; what is no moment or stands twice is refused."""

    async def titles(query: str) -> list[str]:
        return [row["title"] for row in (await rest(f"GET /datasets/list?{query}")).body["result"]]

    assert await titles("titleEq=Cats") == ["Cats"]
    assert await titles("titleLike=D%25&includeOrgAccess=False") == ["Dogs"]
    assert await titles("descriptionEq=about+dogs") == ["Dogs"]
    assert await titles("descriptionLike=about%25") == ["Dogs"]
    assert await titles("createdBefore=2020-01-02T03%3A04%3A05Z") == []
    assert await titles("createdAfter=2020-01-02T03%3A04%3A05%2B02%3A00") == ["Cats", "Dogs"]
    for query in ("createdAfter=soon", "titleEq=a&titleEq=b", "includeOrgAccess=yes", "titleEq=%ff"):
        assert (await rest(f"GET /datasets/list?{query}")).status == 422
    assert [row["title"] for row in (await rest("GET /projects?descEq=")).results] == ["Seeded"]


async def test_everything_of_the_organisation_for_its_admin(rest: Rest, bobs: Rest) -> None:
    """Its Admin may see what is not theirs, without a role in it; a Member's wish is passed over."""
    every = (await rest("GET /datasets/list?includeOrgAccess=True")).body["result"]
    assert [(row["title"], row["userRole"]) for row in every] == [("Cats", "admin"), ("Dogs", "admin"), ("Birds", None)]
    assert len((await bobs("GET /datasets/list?includeOrgAccess=True")).body["result"]) == 1
    assert (await bobs("GET /projects?includeOrgAccess=True")).results == []
    assert len((await rest("GET /ontologies?includeOrgAccess=True")).results) == 1


async def test_projects(rest: Rest, ann: Api, bobs: Rest) -> None:
    """A project of the envelope is shown over REST with status, role, creator and ontology, and can be moved on."""
    hash_ = await ann.create("P", ["ann-1", "ann-2"], description="d")
    project = (await rest(f"GET /projects/{hash_}")).body
    whole = (await ann.call("project.GET", {"include_labels_metadata": False}, on=hash_)).result
    assert project["projectHash"] == hash_
    assert (project["title"], project["description"], project["status"]) == ("P", "d", "notStarted")
    assert (project["userRole"], project["creatorEmail"]) == (0, "ann@example.com")
    assert (project["ontologyHash"], project["editorOntology"]) == (whole["ontology_hash"], whole["editor_ontology"])
    assert project["createdAt"].endswith("Z")
    datasets = (await rest(f"GET /projects/{hash_}/datasets")).results
    assert [row["datasetHash"] for row in datasets] == [row["dataset_hash"] for row in whole["datasets"]]
    assert await rest(f"PUT /projects/{hash_}/status", {"status": "inReview"}) == RestReply(204, None)
    assert (await rest("GET /projects?titleEq=P")).results[0]["status"] == "inReview"
    assert (await rest(f"PUT /projects/{hash_}/status", {"status": "done"})).status == 422
    for line, body in (
        (f"GET /projects/{hash_}", None),
        (f"GET /projects/{hash_}/users", None),
        (f"PUT /projects/{hash_}/status", {"status": "paused"}),
    ):
        assert (await bobs(line, body)).status == 403, line
        assert (await rest(line.replace(hash_, "nowhere"), body)).status == 404, line


async def test_users_of_a_project(rest: Rest, ann: Api, bobs: Rest) -> None:
    """Who was added by envelope is listed with the role held, and can be removed; strangers are passed over."""
    hash_ = await ann.create()
    for email, role in (("bob@example.com", 0), ("eve@example.com", 2)):
        await ann.call("projectusers.POST", {"user_emails": [email], "user_role": role}, hash_, on=hash_)
    users = (await bobs(f"GET /projects/{hash_}/users")).results
    assert users == [
        {"userEmail": "ann@example.com", "userRole": 0},
        {"userEmail": "bob@example.com", "userRole": 0},
        {"userEmail": "eve@example.com", "userRole": 2},
    ]
    delete = f"POST /projects/{hash_}/users/bulk-delete"
    # Bob is Admin of the project and not of the organisation: he removes nobody who is Admin, and then nobody at all.
    assert (await bobs(delete, {"userEmails": ["eve@example.com", "ann@example.com"]})).status == 403
    assert len((await rest(f"GET /projects/{hash_}/users")).results) == 3
    assert (await bobs(delete, {"userEmails": ["eve@example.com", "x@example.com"]})).status == 204
    assert (await rest(delete, {"userEmails": ["bob@example.com"]})).status == 204
    assert [row["userEmail"] for row in (await rest(f"GET /projects/{hash_}/users")).results] == ["ann@example.com"]
    assert (await bobs(f"GET /projects/{hash_}")).status == 403
    bad: Json
    for bad in ({}, {"userEmails": []}, {"userEmails": "bob@example.com"}, {"userEmails": ["bob"]}, [], None, b"{"):
        assert (await rest(delete, bad)).status == 422, bad


async def test_ontologies(rest: Rest, ann: Api, bobs: Rest) -> None:
    """An ontology made over REST can be used by a project of the envelope, and saved; users of the project read it."""
    made = (await rest("POST /ontologies", {"title": "O", "description": "", "editor": EMPTY})).body
    uuid = made["ontologyUuid"]
    assert (made["editor"], made["userRole"]) == (EMPTY, 0)
    hash_ = await ann.create("P", ontology_hash=uuid)
    assert (await bobs(f"GET /ontologies/{uuid}")).status == 403
    await ann.call("projectusers.POST", {"user_emails": ["bob@example.com"], "user_role": 1}, hash_, on=hash_)
    assert (await bobs(f"GET /ontologies/{uuid}")).body["userRole"] is None
    changed = {"title": "O2", "description": "d", "editor": {**EMPTY, "objects": [{"id": "1"}]}}
    assert (await bobs(f"PUT /ontologies/{uuid}", changed)).status == 403
    assert (await rest(f"PUT /ontologies/{uuid}", changed)).status == 204
    whole = (await ann.call("project.GET", {}, on=hash_)).result
    assert whole["editor_ontology"] == changed["editor"]
    assert [row["title"] for row in (await rest("GET /ontologies?titleEq=O2")).results] == ["O2"]
    assert (await rest("GET /ontologies/nowhere")).status == 404
    assert (await rest("POST /ontologies", {"title": "O", "description": ""})).status == 422


async def test_groups(rest: Rest, bobs: Rest) -> None:
    """Groups have members out of the organisation, all or none of a request, and are managed by who made them."""
    made = (await bobs("POST /organisation/groups", {"name": "G", "description": "d"})).body
    uuid = made["groupHash"]
    assert (await rest(f"GET /organisation/groups/{uuid}")).body == made
    assert (await rest("GET /user/current-organisation/groups")).results == [made]
    users = f"/organisation/groups/{uuid}/users"
    assert (await rest(f"GET {users}")).results == [{"userEmail": "bob@example.com"}]
    assert (await bobs(f"POST {users}", {"userEmails": ["ann@example.com", "x@example.com"]})).status == 403
    assert len((await rest(f"GET {users}")).results) == 1
    added = await bobs(f"POST {users}", {"userEmails": ["ann@example.com"]})
    assert [row["userEmail"] for row in added.results] == ["ann@example.com", "bob@example.com"]
    assert (await bobs(f"POST {users}/bulk-delete", {"userEmails": ["bob@example.com", "x@example.com"]})).status == 204
    assert (await rest(f"GET {users}")).results == [{"userEmail": "ann@example.com"}]
    anns = (await rest("POST /organisation/groups", {"name": "A"})).body["groupHash"]
    assert (await bobs(f"POST /organisation/groups/{anns}/users", {"userEmails": ["bob@example.com"]})).status == 403
    assert (await rest("GET /organisation/groups/nowhere")).status == 404


@pytest.mark.parametrize("noun", ["dataset", "ontology"])
async def test_groups_of_datasets_and_ontologies(rest: Rest, bobs: Rest, noun: str) -> None:
    """They have a role there, which follows; nobody but an Admin sees or changes them, and strangers do no harm."""
    one, two = [(await rest("POST /organisation/groups", {"name": name})).body["groupHash"] for name in ("1", "2")]
    made = {
        "dataset": ("POST /datasets", {"title": "D", "createBackingFolder": False, "legacyCall": False}),
        "ontology": ("POST /ontologies", {"title": "O", "description": "", "editor": {}}),
    }
    uuid = (await rest(*made[noun])).body[f"{noun}Uuid"]
    line = f"/{'datasets' if noun == 'dataset' else 'ontologies'}/{uuid}/groups"
    assert (await rest(f"GET {line}")).results == []
    assert (await rest(f"POST {line}", {"groupHashList": [one, two], "userRole": 1})).status == 204
    assert (await rest(f"POST {line}", {"groupHashList": [two], "userRole": 0})).status == 204
    assert [(row["name"], row["userRole"]) for row in (await rest(f"GET {line}")).results] == [("1", 1), ("2", 0)]
    assert (await rest(f"POST {line}", {"groupHashList": [one], "userRole": 2})).status == 422
    assert (await rest(f"POST {line}", {"groupHashList": ["nowhere"], "userRole": 1})).status == 404
    for asked, body in ((f"GET {line}", None), (f"POST {line}", {"groupHashList": [one], "userRole": 1})):
        assert (await bobs(asked, body)).status == 403
    assert (await rest(f"DELETE {line}?groupHashList={one}&groupHashList=nowhere")).status == 204
    assert [row["name"] for row in (await rest(f"GET {line}")).results] == ["2"]
    assert (await rest(f"DELETE {line}")).status == 422


async def test_groups_of_a_project(rest: Rest, bobs: Rest) -> None:
    """Groups are put on a project in a role and taken off; an unknown one leaves all as it was."""
    one, two = [(await rest("POST /organisation/groups", {"name": name})).body["groupHash"] for name in ("1", "2")]
    line = "/projects/seeded/groups"
    assert (await rest(f"POST {line}", {"groupHashList": [one, "nowhere"], "userRole": 1})).status == 404
    assert (await rest(f"GET {line}")).results == []
    assert (await rest(f"POST {line}", {"groupHashList": [one, two], "userRole": 2})).status == 204
    assert [(row["groupHash"], row["userRole"]) for row in (await rest(f"GET {line}")).results] == [(one, 2), (two, 2)]
    assert (await bobs(f"GET {line}")).status == 403
    assert (await rest(f"DELETE {line}?groupHashList={one}&groupHashList=nowhere")).status == 204
    assert [row["groupHash"] for row in (await rest(f"GET {line}")).results] == [two]
    assert (await rest(f"DELETE {line}")).status == 422
    assert (await rest(f"POST {line}", {"groupHashList": [one], "userRole": 6})).status == 422


async def test_users_of_the_organisation(rest: Rest, bobs: Rest) -> None:
    """The Admin adds and removes members; one who is there is a conflict, one without an account is not found."""
    first = (await rest("GET /organisation/users")).results
    assert [(row["email"], row["roleMnemonicName"]) for row in first] == [
        ("ann@example.com", "ADMIN"),
        ("bob@example.com", "MEMBER"),
    ]
    new = {"email": "new+x@example.com", "roleMnemonicName": "TASKER", "memberType": "external"}
    assert (await bobs("POST /organisation/users", new)).status == 403
    assert (await rest("POST /organisation/users", new)).status == 204
    assert (await rest("POST /organisation/users", {**new, "roleMnemonicName": "MEMBER"})).status == 409
    assert (await rest("GET /organisation/users")).results[2]["roleMnemonicName"] == "TASKER"
    assert (await rest("DELETE /organisation/users/new%2Bx%40example.com")).status == 204
    assert len((await rest("GET /organisation/users")).results) == 2
    for line, body, status in (
        ("DELETE /organisation/users/nobody%40example.com", None, 404),
        ("DELETE /organisation/users/ann%40example.com", None, 400),
        ("POST /organisation/users", {**new, "roleMnemonicName": "ADMIN"}, 400),
        ("POST /organisation/users", {**new, "memberType": "friend"}, 422),
        ("POST /organisation/users", {**new, "email": "new"}, 422),
    ):
        assert (await rest(line, body)).status == status, line
    assert (await rest("DELETE /organisation/users/bob%40example.com")).status == 204
    assert (await bobs("GET /organisation/users")).status == 403


async def test_tags(rest: Rest, bobs: Rest) -> None:
    """A tag's name is there once; projects carry it, and are found by it."""
    uuid = (await rest("POST /organisation/organisation-tags", {"name": "q1"})).body["uuid"]
    assert (await rest("POST /organisation/organisation-tags", {"name": "q1"})).status == 409
    assert (await bobs("POST /organisation/organisation-tags", {"name": "q2"})).status == 403
    assert (await bobs("GET /organisation/organisation-tags")).results == [{"uuid": uuid, "name": "q1"}]
    for _ in range(2):
        assert (await rest(f"PUT /projects/seeded/tags/{uuid}")).status == 204
    assert (await rest("GET /projects/seeded/tags")).results == [{"uuid": uuid, "name": "q1"}]
    assert len((await rest("GET /projects?tagsAnyof=q0&tagsAnyof=q1")).results) == 1
    assert (await rest("PUT /projects/seeded/tags/nowhere")).status == 404
    for _ in range(2):
        assert (await rest(f"DELETE /projects/seeded/tags/{uuid}")).status == 204
    assert (await rest("GET /projects?tagsAnyof=q1")).results == []


# --- pages, bytes, faults


async def test_pages(start: Start, http: aiohttp.ClientSession) -> None:
    """A listing comes in pages of the size set, each leading to the next; a foreign token is refused."""
    emulator = await start(EmulatorSettings(seed=SEED, page_size=2))
    rest = Rest(http, emulator.url, ANN)
    for number in range(4):
        await Api(http, emulator.url, ANN).create(f"P{number}")
    titles, token, pages = [], "", 0
    while True:
        page = (await rest(f"GET /projects{token}")).body
        titles += [row["title"] for row in page["results"]]
        pages += 1
        if "nextPageToken" not in page:
            break
        token = f"?pageToken={page['nextPageToken']}"
    assert titles == ["Seeded", "P0", "P1", "P2", "P3"]
    assert pages == 3
    for bad in ("x", "%00", "YWZ0ZXI6", "YWZ0ZXI6LTE="):
        assert (await rest(f"GET /projects?pageToken={bad}")).status == 400, bad


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"title": "t"},
        {"title": "", "createBackingFolder": True, "legacyCall": False},
        {"title": 3, "createBackingFolder": True, "legacyCall": False},
        {"title": "t", "createBackingFolder": "yes", "legacyCall": False},
        b"{",
        b'{"title": NaN}',
        b"\xff",
        b"[" * 100_000,
    ],
)
async def test_bodies_that_are_not_right_are_refused(rest: Rest, emulator: Emulator, body: Json) -> None:
    """HTTP 422 with a message, and nothing is made."""
    reply = await rest("POST /datasets", body)
    assert (reply.status, list(reply.body)) == (422, ["message"])
    assert len(emulator.state()["datasets"]) == 3


async def test_strictly_only_the_bytes_of_the_sdk_pass(start: Start, http: aiohttp.ClientSession) -> None:
    """With the setting, a body in other separators is refused."""
    rest = Rest(http, (await start(EmulatorSettings(seed=SEED, strict=True))).url, ANN)
    body = {"title": "t", "createBackingFolder": False, "legacyCall": False}
    assert (await rest("POST /datasets", json.dumps(body, separators=(",", ":")).encode())).status == 422
    assert (await rest("POST /datasets", body)).status == 200


async def test_changes_are_in_the_log_and_requests_in_the_statistics(rest: Rest, emulator: Emulator) -> None:
    """What was changed over REST stands in the log under the call's name; what was only read does not."""
    await rest("GET /projects")
    await rest("POST /datasets", {"title": "New", "createBackingFolder": False, "legacyCall": False})
    assert [(line["query"], line["title"]) for line in emulator.log()] == [("v2/datasets.POST", "New")]
    stats = emulator.stats()
    assert stats["by_query"] == {"v2/projects.GET": 1, "v2/datasets.POST": 1}
    await rest("GET /nothing")
    assert emulator.stats()["by_query"]["unknown"] == 1


CREATE = {"title": "New", "createBackingFolder": False, "legacyCall": False}


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [
        (Fault.DROP_BEFORE, None, 0),
        (Fault.DROP_AFTER_COMMIT, None, 1),
        (Fault.TRUNCATE, None, 1),
        (Fault.STATUS, 503, 0),
        (Fault.RATE_LIMITED, 429, 0),
        (Fault.RATE_LIMITED_ENVELOPE, 429, 0),
        (Fault.ERROR, 500, 0),
    ],
)
async def test_faults_strike_rest_as_well(
    rest: Rest, emulator: Emulator, fault: Fault, status: int | None, made: int
) -> None:
    """The faults by name, with their truth about what was done before them."""
    emulator.set_faults([FaultRule(query="v2/datasets.POST", fault=fault, times=1)])
    if status is None:
        with pytest.raises(aiohttp.ClientError):
            await rest("POST /datasets", CREATE)
    else:
        async with rest.http.post(
            f"{rest.url}{ROOT}/datasets",
            data=json.dumps(CREATE).encode(),
            headers=signed(ANN, "POST", f"{ROOT}/datasets", json.dumps(CREATE).encode()),
        ) as response:
            assert response.status == status
    assert [dataset["title"] for dataset in emulator.state()["datasets"]].count("New") == made
    assert (await rest("POST /datasets", CREATE)).status == 200


async def test_a_cut_reply_without_a_body_is_cut_in_its_head(rest: Rest, emulator: Emulator) -> None:
    """HTTP 204 has nothing to cut but the head; the client does not take it for whole."""
    emulator.set_faults([FaultRule(query="*", fault=Fault.TRUNCATE, times=1)])
    with pytest.raises(aiohttp.ClientError):
        # A POST: the aiohttp of this test would send a PUT again by itself.
        await rest("POST /projects/seeded/users/bulk-delete", {"userEmails": ["ann@example.com"]})
    assert (await rest("GET /projects/seeded")).status == 403


async def test_a_stale_read_hides_what_is_new(rest: Rest, emulator: Emulator) -> None:
    """A listing that lags does not show what was just made, which is what settling has to live with."""
    await rest("POST /datasets", CREATE)
    emulator.set_faults([FaultRule(query="v2/datasets/list.GET", fault=Fault.STALE_READ, seconds=60, times=1)])
    assert (await rest("GET /datasets/list")).body["result"] == []
    assert len((await rest("GET /datasets/list")).body["result"]) == 3


async def test_pages_shift_if_the_newest_comes_first(start: Start, http: aiohttp.ClientSession) -> None:
    """What is made between two pages pushes the last of one onto the next."""
    api = Rest(http, (await start(EmulatorSettings(seed=SEED, newest_first=True, page_size=1))).url, ANN)
    first = await api("GET /projects")
    assert [row["title"] for row in first.results] == ["Seeded"]
    for title in ("B", "C"):
        await Api(http, api.url, ANN).create(title)
    page = await api("GET /projects")
    assert [row["title"] for row in page.results] == ["C"]
    await Api(http, api.url, ANN).create("D")
    page = await api(f"GET /projects?pageToken={page.body['nextPageToken']}")
    assert [row["title"] for row in page.results] == ["C"]


async def test_a_missing_description_can_be_null(start: Start, http: aiohttp.ClientSession) -> None:
    """Nothing equals it then, not even an empty one, over either API."""
    for is_null, found in ((False, 1), (True, 0)):
        url = (await start(EmulatorSettings(seed=SEED, null_descriptions=is_null))).url
        listed = await Rest(http, url, ANN)("GET /datasets/list?titleEq=Cats&descriptionEq=")
        assert len(listed.body["result"]) == found
        for wanted in ("desc_eq", "desc_like"):
            payload = {"filter": {"title_eq": "Cats", wanted: ""}}
            assert len((await Api(http, url, ANN).call("datasetwithuserrole.GET", payload)).result) == found
        assert len((await Rest(http, url, ANN)("GET /datasets/list?descriptionEq=about+dogs")).body["result"]) == 1


def test_every_call_of_the_catalogue_is_answered(service: Service) -> None:
    """No call is promised by the catalogue that the emulator has no rule for: none ends in an error of its own."""
    for call in REST_CALLS.values():
        target = f"{ROOT}{call.path}".replace("{", "").replace("}", "")
        message = read(service.terms, call.method, target, {}, b"")
        assert message.name == call.name
        assert service.answer(message, now_us=0).status == 401


def test_settings_that_cannot_work_are_refused() -> None:
    """A page of nothing and a window of no time."""
    with pytest.raises(SettingsError, match="page_size 0"):
        EmulatorSettings(page_size=0)
    with pytest.raises(SettingsError, match="signature_window_s 0"):
        EmulatorSettings(signature_window_s=0)
    with pytest.raises(SettingsError, match="job_s -1"):
        EmulatorSettings(job_s=-1)


async def test_a_state_from_before_rest_is_taken_on(tmp_path: Path, start: Start, http: aiohttp.ClientSession) -> None:
    """A file of the layout before has its users made members, the first as Admin, and keeps all it holds."""
    path = tmp_path / "state.db"
    async with Emulator(EmulatorSettings(seed=SEED, state=path)) as emulator:
        ann = Api(http, emulator.url, ANN)
        await ann.create("Kept")
        await ann.call("dataset.POST", {"title": "Mirrored", "type": 0, "create_backing_folder": True})
    database = sqlite3.connect(path)
    tables = [
        "organisation_users",
        "groups",
        "group_users",
        "project_groups",
        "dataset_groups",
        "ontology_groups",
        "tags",
        "project_tags",
        "project_statuses",
        "folders",
        "folder_groups",
        "integrations",
        "jobs",
        "items",
        "data_rows",
        "workflow_templates",
        "project_templates",
        "tasks",
    ]
    database.executescript("".join(f"DROP TABLE {name};" for name in tables) + "PRAGMA user_version = 1;")
    database.close()
    rest = Rest(http, (await start(EmulatorSettings(state=path))).url, ANN)
    assert [row["title"] for row in (await rest("GET /projects")).results] == ["Seeded", "Kept"]
    users = (await rest("GET /organisation/users")).results
    assert [row["roleMnemonicName"] for row in users] == ["ADMIN", "MEMBER"]
    (mirror,) = (await rest("GET /storage/folders")).results
    assert (mirror["name"], mirror["owner"]) == ("Mirrored", "ann@example.com")
