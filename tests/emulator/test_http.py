"""The HTTP edge: faults as a client meets them, rate limit, statistics, control endpoints and plain HTTP."""

import asyncio
import gzip
import json
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule, read_fault_rules
from encord_async.emulator.http import MAX_BODY_BYTES
from tests.emulator.conftest import ANN, SEED, Api, Json, Signer, Start, envelope_bytes
from tests.waiting import PATIENCE_S, comes_true, time_passes

LATER_S = PATIENCE_S / 2
"""Virtual seconds; fewer than the client waits for."""

CREATE = {"title": "P", "description": "", "dataset_hashes": ["ann-1"]}


def _faulty(emulator: Emulator, *rules: Json) -> None:
    emulator.set_faults(read_fault_rules(list(rules)))


def _created(emulator: Emulator) -> list[str]:
    return [entry["hash"] for entry in emulator.log() if entry["query"] == "project.POST"]


async def test_drop_before_cuts_and_applies_nothing(ann: Api, emulator: Emulator) -> None:
    """The client sees a lost connection; the project is not there."""
    _faulty(emulator, {"query": "project.POST", "fault": "drop_before", "times": 1})
    with pytest.raises(aiohttp.ClientConnectionError):
        await ann.call("project.POST", CREATE)
    assert _created(emulator) == []
    assert await ann.create() in _created(emulator)
    assert emulator.stats()["cut"] == 1


async def test_drop_after_commit_cuts_and_applies(ann: Api, emulator: Emulator) -> None:
    """The client sees the same lost connection, but the project is there, and the log names the fault."""
    _faulty(emulator, {"query": "project.POST", "fault": "drop_after_commit", "times": 1})
    with pytest.raises(aiohttp.ClientConnectionError):
        await ann.call("project.POST", CREATE)
    assert len(_created(emulator)) == 1
    assert [entry["fault"] for entry in emulator.log()] == ["drop_after_commit"]


async def test_truncate_applies_and_looks_like_a_lost_connection(ann: Api, emulator: Emulator) -> None:
    """The client sees a reply that breaks off; the project is there."""
    _faulty(emulator, {"query": "project.POST", "fault": "truncate", "times": 1})
    with pytest.raises(aiohttp.ClientPayloadError):
        await ann.call("project.POST", CREATE)
    assert len(_created(emulator)) == 1


@pytest.mark.parametrize("title", ["P", "P" * 8_000_000])
async def test_truncate_sends_half_of_what_it_announces(ann: Api, emulator: Emulator, title: str) -> None:
    """Half to the byte, however much that is."""
    hash_ = await ann.create(title)
    assert (await ann.call("project.GET", None, on=hash_)).result["title"] == title
    _faulty(emulator, {"fault": "truncate"})
    body = envelope_bytes("project.GET")
    host, port = emulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{name}: {text}" for name, text in ann.headers(body, hash_, "project").items()]
    head = "\r\n".join(["POST /public HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *lines, "", ""])
    writer.write(head.encode() + body)
    received_head, _, received = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    length = int(received_head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    assert length > len(title)
    assert len(received) == length // 2


async def test_delay_takes_its_time(ann: Api, emulator: Emulator) -> None:
    """Everything happens, only later."""
    _faulty(emulator, {"fault": "delay", "seconds": LATER_S})
    creating = asyncio.ensure_future(ann.create())
    await comes_true(lambda: emulator.stats()["in_flight"] == 1)
    assert not creating.done()
    time_passes(LATER_S)
    await creating


async def test_late_commit_cuts_first_and_applies_later(ann: Api, emulator: Emulator) -> None:
    """A lost connection proves nothing: the project appears after a while."""
    _faulty(emulator, {"query": "project.POST", "fault": "late_commit", "seconds": LATER_S, "times": 1})
    with pytest.raises(aiohttp.ClientConnectionError):
        await ann.call("project.POST", CREATE)
    assert _created(emulator) == []
    time_passes(LATER_S)
    await comes_true(lambda: bool(_created(emulator)))
    assert [entry["fault"] for entry in emulator.log()] == ["late_commit"]


async def test_a_proxy_that_gave_up(ann: Api, emulator: Emulator) -> None:
    """The proxy's own page comes at once; the service applies what was asked all the same."""
    _faulty(emulator, {"query": "project.POST", "fault": "gave_up", "status": 504, "seconds": 0.02, "times": 1})
    async with ann.http.post(
        ann.url + "/public/user",
        data=(body := envelope_bytes("project.POST", CREATE)),
        headers=ann.headers(body, None, None),
    ) as response:
        assert (response.status, response.content_type) == (504, "text/html")
    assert _created(emulator) == []
    await comes_true(lambda: bool(_created(emulator)))


async def test_late_commit_dies_with_the_emulator(
    http: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was to be applied later is not even tried by an emulator that has stopped."""
    settings = EmulatorSettings(seed=SEED, state=tmp_path / "state.db")
    async with Emulator(settings) as emulator:
        _faulty(emulator, {"fault": "late_commit", "seconds": LATER_S})
        with pytest.raises(aiohttp.ClientConnectionError):
            await Api(http, emulator.url, ANN).call("project.POST", CREATE)
    time_passes(LATER_S)
    await asyncio.sleep(0)
    assert caplog.messages == []
    async with Emulator(settings) as emulator:
        assert _created(emulator) == []


async def test_stale_reads_lag_in_every_listing(ann: Api, emulator: Emulator) -> None:
    """What was just made is in no listing, while what is older stays in sight."""
    await ann.call("projectapikey.POST", {"title": "k", "scopes": []}, "seeded")
    hash_ = await ann.create(datasets=["ann-1"])
    _faulty(emulator, {"fault": "stale_read", "seconds": 3600})
    for name, payload, uid in (
        ("projectwithuserrole.GET", {"filter": {"title_eq": "P"}}, None),
        ("datasetwithuserrole.GET", {"filter": {}}, None),
        ("projectapikey.GET", None, "seeded"),
    ):
        assert (await ann.call(name, payload, uid)).result == []
    assert (await ann.call("project.GET", None, on=hash_)).code == "RESOURCE_NOT_FOUND_ERROR"
    assert (await ann.call("projectdataset.POST", {"dataset_hashes": ["ann-2"]}, on=hash_)).result is True
    _faulty(emulator, {"fault": "stale_read", "seconds": 0})
    assert len((await ann.call("projectwithuserrole.GET", {"filter": {}})).result) == 2


async def test_a_hung_request_ends_when_the_client_leaves(ann: Api, emulator: Emulator) -> None:
    """Nothing is answered and nothing applied; the place of the request becomes free again."""
    _faulty(emulator, {"fault": "hang", "times": 1})
    hanging = asyncio.ensure_future(ann.call("project.POST", CREATE))
    await comes_true(lambda: emulator.stats()["in_flight"] == 1)
    hanging.cancel()
    await comes_true(lambda: emulator.stats()["in_flight"] == 0)
    assert _created(emulator) == []
    assert await ann.create()


async def test_a_status_looks_like_a_proxys(ann: Api, emulator: Emulator) -> None:
    """HTML, the status asked for, and nothing applied."""
    _faulty(emulator, {"query": "project.POST", "fault": "status", "status": 502, "retry_after": 2})
    body = envelope_bytes("project.POST", CREATE)
    async with ann.http.post(ann.url + "/public/user", data=body, headers=ann.headers(body, None, None)) as response:
        assert (response.status, response.content_type) == (502, "text/html")
        assert response.headers["Retry-After"] == "2"
        assert b"502 Bad Gateway" in await response.read()
    assert _created(emulator) == []


@pytest.mark.parametrize(
    ("given", "header"), [(3, "3"), ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT"), (None, None)]
)
async def test_rate_limited_by_rule(ann: Api, emulator: Emulator, given: Json, header: str | None) -> None:
    """429 with seconds, with a date, or without any hint."""
    _faulty(emulator, {"fault": "rate_limited"} | ({} if given is None else {"retry_after": given}))
    body = envelope_bytes("project.POST", CREATE)
    async with ann.http.post(ann.url + "/public/user", data=body, headers=ann.headers(body, None, None)) as response:
        assert (response.status, response.headers.get("Retry-After")) == (429, header)
    assert _created(emulator) == []
    assert emulator.stats()["throttled"] == 1


async def test_errors_in_the_envelope(ann: Api, emulator: Emulator) -> None:
    """RATE_LIMIT_ERROR comes with HTTP 200; any code can be had; nothing is applied."""
    _faulty(
        emulator,
        {"fault": "rate_limited_envelope", "times": 1},
        {"fault": "error", "code": "UNKNOWN_ERROR", "times": 1},
        {"fault": "error", "code": "NEVER_SEEN"},
    )
    replies = [await ann.call("project.POST", CREATE) for _ in range(3)]
    assert [(reply.http_status, reply.code) for reply in replies] == [
        (200, "RATE_LIMIT_ERROR"),
        (200, "UNKNOWN_ERROR"),
        (200, "NEVER_SEEN"),
    ]
    assert _created(emulator) == []


async def test_the_same_seed_gives_the_same_faults_over_the_wire(start: Start, http: aiohttp.ClientSession) -> None:
    """Two emulators with the same rules refuse the same requests out of forty."""
    patterns = []
    for _ in range(2):
        rule = FaultRule(query="project.POST", fault=Fault.ERROR, probability=0.3, seed=11)
        api = Api(http, (await start(EmulatorSettings(seed=SEED, faults=(rule,)))).url, ANN)
        patterns.append([(await api.call("project.POST", CREATE)).code for _ in range(40)])
    assert patterns[0] == patterns[1]
    assert 3 < patterns[0].count("UNKNOWN_ERROR") < 25


async def test_faults_are_put_and_deleted_over_http(ann: Api, emulator: Emulator) -> None:
    """The control endpoints do what the object does, and are never struck themselves."""
    url = emulator.url + "/_emulator/faults"
    async with ann.http.put(url, json=[{"query": "*", "fault": "drop_before"}]) as response:
        assert (response.status, await response.json()) == (200, {"rules": 1})
    with pytest.raises(aiohttp.ClientConnectionError):
        await ann.call("project.GET", None, on="seeded")
    async with ann.http.get(url) as response:
        assert await response.json() == [{"query": "*", "fault": "drop_before", "matched": 1, "fired": 1}]
    async with ann.http.delete(url) as response:
        assert response.status == 200
    assert (await ann.call("project.GET", None, on="seeded")).code is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"fault": "hang"}, {"fault": "delay", "seconds": "long"}]', "rules[1].seconds"),
        (b"{", "not JSON"),
        (b"{}", "list"),
    ],
)
async def test_bad_rules_are_refused_and_leave_the_old_ones(
    ann: Api, emulator: Emulator, body: bytes, message: str
) -> None:
    """HTTP 400 names the rule and the field; what was set before still holds."""
    _faulty(emulator, {"fault": "error", "code": "UNKNOWN_ERROR"})
    async with ann.http.put(emulator.url + "/_emulator/faults", data=body) as response:
        assert response.status == 400
        assert message in (await response.json())["detail"]
    assert (await ann.call("project.GET", None, on="seeded")).code == "UNKNOWN_ERROR"


async def test_the_rate_limit_refuses_before_it_looks_at_signatures(start: Start, http: aiohttp.ClientSession) -> None:
    """The burst gets through, the next gets 429 with whole seconds, even with a wrong key."""
    # A token an hour, so that none comes while the burst goes out.
    emulator = await start(EmulatorSettings(seed=SEED, rate_limit_per_s=1 / 3600, burst=3))
    api = Api(http, emulator.url, ANN)
    assert [(await api.call("project.GET", None, on="seeded")).http_status for _ in range(3)] == [200] * 3
    body = envelope_bytes("project.GET")
    async with http.post(emulator.url + "/public", data=body, headers={"Authorization": "nonsense"}) as response:
        assert response.status == 429
        assert 3600 - PATIENCE_S < int(response.headers["Retry-After"]) <= 3600
    stats = emulator.stats()
    assert (stats["throttled"], stats["by_status"]) == (1, {"200": 3, "429": 1})


async def test_statistics_count_what_was_sent(ann: Api, emulator: Emulator) -> None:
    """Requests by name and status, connections, and how many were in flight at once."""
    _faulty(emulator, {"query": "project.GET", "fault": "delay", "seconds": LATER_S})
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ann.call("project.GET", None, on="seeded"))
        await comes_true(lambda: emulator.stats()["in_flight"] == 5)
        time_passes(LATER_S)
    await ann.call("nonsense.GET")
    async with ann.http.get(emulator.url + "/_emulator/stats") as response:
        stats = await response.json()
    assert stats == emulator.stats()
    assert stats["requests"] == 6
    assert stats["by_query"] == {"project.GET": 5, "unknown": 1}
    assert stats["by_status"] == {"200": 6}
    assert (stats["connections"], stats["max_in_flight"], stats["in_flight"]) == (5, 5, 0)


async def test_state_and_log_over_http(ann: Api, emulator: Emulator) -> None:
    """What the object returns is what the endpoints return, and no key is among it."""
    hash_ = await ann.create("Pets", ["ann-1"])
    key = (await ann.call("projectapikey.POST", {"title": "ci", "scopes": ["label.read"]}, hash_)).result
    async with ann.http.get(emulator.url + "/_emulator/state") as response:
        state = await response.json()
    assert state == emulator.state()
    assert state["projects"][1] == {
        "project_hash": hash_,
        "title": "Pets",
        "description": "",
        "datasets": ["ann-1"],
        "users": [{"email": "ann@example.com", "role": 0}],
        "api_keys": [{"title": "ci", "scopes": ["label.read"]}],
        "ontology_hash": state["ontologies"][-1]["ontology_hash"],
        "groups": [],
        "tags": [],
        "status": "notStarted",
        "tasks": 0,
    }
    async with ann.http.get(emulator.url + "/_emulator/log") as response:
        log = await response.json()
    assert log == emulator.log()
    assert [(entry["seq"], entry["query"], entry["hash"], entry["title"], entry["fault"]) for entry in log] == [
        (1, "project.POST", hash_, "Pets", None),
        (2, "projectapikey.POST", hash_, "ci", None),
    ]
    assert key not in json.dumps([state, log])


async def test_large_replies_are_packed_for_those_who_ask(start: Start) -> None:
    """gzip from about a kilobyte on, and only if the client accepts it."""
    emulator = await start(EmulatorSettings())
    assert emulator.private_key is not None
    signer = Signer.loaded(emulator.private_key)
    body = envelope_bytes("datasetwithuserrole.GET", {"filter": {}})
    small = envelope_bytes("projectwithuserrole.GET", {"filter": {}})
    async with aiohttp.ClientSession(auto_decompress=False) as plain:

        async def encoding(sent: bytes, accept: str) -> tuple[str | None, bytes]:
            headers = {"Authorization": signer.authorization(sent), "Accept-Encoding": accept}
            async with plain.post(emulator.url + "/public/user", data=sent, headers=headers) as response:
                return response.headers.get("Content-Encoding"), await response.read()

        packing, packed = await encoding(body, "gzip")
        assert packing == "gzip"
        assert len(json.loads(gzip.decompress(packed))["response"]) == 100
        assert (await encoding(body, "identity"))[0] is None
        assert (await encoding(small, "gzip"))[0] is None


async def test_bodies_are_bounded(ann: Api) -> None:
    """More than ten megabytes is turned away with 413."""
    async with ann.http.post(ann.url + "/public/user", data=BytesIO(b"x" * (MAX_BODY_BYTES + 1))) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/public/user", 405),
        ("PUT", "/public", 405),
        ("POST", "/public/user/", 404),
        ("POST", "/v2/public/projects", 405),
        ("GET", "/v2/public/nothing", 404),
        ("GET", "/v2/public", 404),
        ("GET", "/", 404),
        ("GET", "/_emulator/nothing", 404),
        ("POST", "/_emulator/stats", 404),
    ],
)
async def test_other_paths_and_methods(ann: Api, method: str, path: str, status: int) -> None:
    """Every envelope is a POST, REST has its own methods, and there is nothing else."""
    async with ann.http.request(method, ann.url + path, data=b"{}") as response:
        assert response.status == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("rebound.example", 403),
        ("127.0.0.1.rebound.example:80", 403),
        ("10.0.0.1", 403),
        ("[", 403),
        ("", 403),
        ("localhost:80", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
    ],
)
async def test_control_is_only_for_who_means_this_machine(ann: Api, host: str, status: int) -> None:
    """A web page whose own name leads here (DNS rebinding) can neither read the state nor set faults."""
    for method, name in (("GET", "state"), ("PUT", "faults")):
        url = f"{ann.url}/_emulator/{name}"
        async with ann.http.request(method, url, data=b"[]", headers={"Host": host}) as response:
            assert response.status == status


async def test_latency_is_in_every_reply(start: Start, http: aiohttp.ClientSession) -> None:
    """Each request takes at least the shorter time, and many wait at once."""
    emulator = await start(EmulatorSettings(seed=SEED, latency_s=(0.02, 0.03)))
    api = Api(http, emulator.url, ANN)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(api.create() for _ in range(10)))
    assert loop.time() - started >= 0.02
    assert emulator.stats()["max_in_flight"] == 10


async def test_garbage_on_the_socket_does_no_harm(ann: Api, emulator: Emulator) -> None:
    """Bytes that are no HTTP get an HTTP error; the emulator goes on."""
    host, port = emulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400") or reader.at_eof()
    writer.close()
    await writer.wait_closed()
    assert await ann.create()
