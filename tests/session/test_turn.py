"""Which reply a request may follow on a connection: none that, were it repeated, would be taken for its own."""

import asyncio
import json

import pytest

from encord_async import errors
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.operations.datasets import CreateDatasetV2, ListDatasets
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.organisation import ListGroups
from encord_async.protocol.operations.projects import (
    AddDatasets,
    CreateProject,
    GetProject,
    ListProjects,
    RemoveProjectUsers,
)
from encord_async.protocol.reply import RawReply
from encord_async.secrecy import Secret
from encord_async.session.transport import AiohttpTransport
from encord_async.session.turn import Turn
from tests.session.test_transport_unasked import Peer, plainly, reply, talking
from tests.waiting import PATIENCE_S

PROJECT = {"project_hash": "p1", "title": "Cats", "datasets": []}


def envelope(response: object, *, status: int = 200) -> RawReply:
    """A reply of the envelope API."""
    return RawReply(200, {}, json.dumps({"status": status, "response": response}).encode())


def rest(content: object, *, status: int = 200) -> RawReply:
    """A reply of REST v2."""
    return RawReply(status, {}, json.dumps(content).encode())


HASH, YES, NONE, LISTED = envelope("h"), envelope(True), envelope([]), rest({"results": []})
REFUSED, THROTTLED = envelope(["RESOURCE_NOT_FOUND_ERROR"], status=400), envelope(["RATE_LIMIT_ERROR"], status=400)
BROKEN = RawReply(503, {}, b"<html>")

CREATE, ATTACH, KEYS = (
    CreateProject(title="Cats"),
    AddDatasets(project_hash="p1", dataset_hashes=("d",)),
    ListProjectAPIKeys(project_hash="p1"),
)


@pytest.mark.parametrize(
    ("operation", "last"),
    [
        (CREATE, HASH),
        (CREATE, NONE),
        (CREATE, YES),
        (CREATE, LISTED),
        (CreateDatasetV2(title="Cats"), rest({"datasetUuid": "d"})),
        (CreateDatasetV2(title="Cats"), LISTED),
        (ATTACH, HASH),
        (ATTACH, NONE),
        (KEYS, HASH),
        (KEYS, YES),
        (KEYS, LISTED),
        (GetProject(project_hash="p2"), envelope(PROJECT)),
        (ListGroups(), HASH),
        (ListGroups(), rest({"groupHash": "g"})),
    ],
)
def test_a_repeat_that_would_be_seen_keeps_the_connection(operation: Operation[object], last: RawReply) -> None:
    """Most requests go over a kept connection: what came last there could not be mistaken for their answers."""
    assert Turn(operation.request(), operation).may_follow(Secret(last))


@pytest.mark.parametrize(
    ("operation", "last"),
    [
        *((operation, last) for operation in (CREATE, ATTACH, KEYS) for last in (REFUSED, THROTTLED, BROKEN)),
        (ATTACH, YES),
        (ATTACH, envelope(False)),
        (KEYS, NONE),
        (ListProjects(), NONE),
        (ListDatasets(), NONE),
        (GetProject(project_hash="p1"), envelope(PROJECT)),
        (ListGroups(), LISTED),
        (RemoveProjectUsers(project_hash="p1", emails=("a@example.com",)), LISTED),
    ],
)
def test_a_repeat_that_would_be_believed_costs_the_connection(operation: Operation[object], last: RawReply) -> None:
    """What could be the answer is not followed: a refusal by anything, "done" by no addition, a list by no listing."""
    assert not Turn(operation.request(), operation).may_follow(Secret(last))


@pytest.mark.parametrize("last", [HASH, YES, NONE, REFUSED])
def test_nothing_may_come_before_what_only_the_caller_reads(last: RawReply) -> None:
    """A raw call has an answer of any form."""
    assert not Turn(CREATE.request()).may_follow(Secret(last))


def test_the_reply_before_is_no_answer() -> None:
    """A reply that comes once more may not be believed; after another it is one."""
    turn = Turn(CREATE.request(), CREATE)
    turn.checked(HASH)
    turn.before = Secret(HASH)
    turn.checked(YES)
    with pytest.raises(errors.UnreadableReplyError, match="once more"):
        turn.checked(HASH)


async def ask(transport: AiohttpTransport, operation: Operation[object]) -> tuple[Turn, str]:
    """A turn, and the body of what it was answered."""
    turn = Turn(operation.request(), operation)
    answer = await transport.request("POST", "/public/user", {}, b"{}", timeout_s=10.0, turn=turn)
    return turn, answer.body.decode()


async def test_connection_that_cannot_be_told_apart_is_left_for_another() -> None:
    """A listing does not follow a listing, and a create may follow either."""

    async def empty(peer: Peer, _: int) -> None:
        peer.say(reply(NONE.body.decode()))

    async with talking(empty) as (peer, transport):
        await ask(transport, KEYS)
        turn, _ = await ask(transport, CREATE)
        assert (turn.before or Secret(BROKEN)).reveal().body == NONE.body
        assert len(peer.connections) == 1
        turn, _ = await ask(transport, KEYS)
        assert turn.before is None
        assert len(peer.connections) == 2


async def test_connection_that_is_given_up_is_not_used_again() -> None:
    """Whoever finds that an answer does not fit has the last one of that connection."""
    async with talking(plainly) as (peer, transport):
        turn, _ = await ask(transport, CREATE)
        turn.give_up()
        await asyncio.wait_for(peer.ended[0].wait(), PATIENCE_S)
        assert [(await ask(transport, CREATE))[1] for _ in range(2)] == ["2", "3"]
    assert len(peer.connections) == 2


async def test_after_an_answer_of_another_connection_each_is_used_once() -> None:
    """What waits on a connection that has answered before gets no reply; what is new there is the only one."""
    asked = asyncio.Event()

    async def script(peer: Peer, number: int) -> None:
        if number == 2:
            asked.set()
        else:
            peer.say(reply(str(number)))

    async with talking(script) as (peer, transport):
        turn, _ = await ask(transport, CREATE)
        waiting = asyncio.ensure_future(ask(transport, CREATE))
        await asked.wait()
        turn.distrust()
        with pytest.raises(errors.NoReplyError):
            await waiting
        assert [(await ask(transport, CREATE))[1] for _ in range(3)] == ["3", "4", "5"]
    assert len(peer.connections) == 4


def test_create_follows_a_create_without_reading_its_answer_again() -> None:
    """What was read once is not read with each create; where the service did not say yes, it is."""
    before = Turn(CREATE.request(), CREATE, is_answered=True)
    assert Turn(CREATE.request(), CREATE).may_follow(Secret(REFUSED), before)
    before.give_up()
    assert not Turn(CREATE.request(), CREATE).may_follow(Secret(REFUSED), before)


@pytest.mark.parametrize(
    ("operation", "before"),
    [
        pytest.param(KEYS, ListProjectAPIKeys(project_hash="p2"), id="listing after a listing"),
        pytest.param(KEYS, CREATE, id="listing after a create"),
        pytest.param(CREATE, CreateDatasetV2(title="Cats"), id="create after one over the other API"),
    ],
)
def test_only_a_create_over_the_same_api_relies_on_that(
    operation: Operation[object], before: Operation[object]
) -> None:
    """That the service said yes to another request says nothing of what its reply would be to this one."""
    turn = Turn(before.request(), before, is_answered=True)
    assert Turn(operation.request(), operation).may_follow(Secret(NONE), turn) is Turn(
        operation.request(), operation
    ).may_follow(Secret(NONE))


def test_raw_call_never_relies_on_that() -> None:
    """Only its caller can read its answer."""
    before = Turn(CREATE.request(), CREATE, is_answered=True)
    assert not Turn(CREATE.request()).may_follow(Secret(HASH), before)
