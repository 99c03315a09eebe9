import hashlib
import json
import pickle
import traceback
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from encord_async.errors import UnencodableError
from encord_async.protocol.catalogue import Effect, Endpoint, ResourceType
from encord_async.protocol.envelope import Envelope, envelope
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.projects import CreateProject, GetProject

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _deep(levels: int) -> JSON:
    value: JSON = []
    for _ in range(levels):
        value = [value]
    return value


def _endless() -> JSON:
    value: list[JSON] = []
    value.append(value)
    return value


@given(uid=JSON_VALUES, payload=JSON_VALUES)
@example(uid=None, payload="\ud83d\ude00")
@example(uid=None, payload="\\ud800 as six plain characters")
def test_what_goes_in_comes_out(uid: Any, payload: Any) -> None:
    """Any JSON value arrives at the service as it was given, in pure ASCII, members in the SDK's order."""
    body = envelope("project", "GET", endpoint=Endpoint.RESOURCE, uid=uid, payload=payload).body
    assert body.isascii()
    document = json.loads(body)
    assert document == {
        "query_type": "project",
        "query_method": "GET",
        "values": json.loads(json.dumps({"uid": uid, "payload": payload})),
    }
    assert list(document) == ["query_type", "query_method", "values"]
    assert list(document["values"]) == ["uid", "payload"]


def test_the_bytes_are_those_of_the_sdk() -> None:
    """Separators, escapes and the always present members are those that the official SDK writes."""
    made = envelope("t", "POST", endpoint=Endpoint.USER, payload={"b": "é", "a": [1, True, None]})
    assert made.body == (
        b'{"query_type": "t", "query_method": "POST", '
        b'"values": {"uid": null, "payload": {"b": "\\u00e9", "a": [1, true, null]}}}'
    )


@pytest.mark.parametrize(
    "payload",
    [
        float("nan"),
        float("inf"),
        {"x": [float("-inf")]},
        "\ud800",
        {"\udfff": 1},
        ["\ude00\ud83d"],
        object(),
        {"title": b"bytes"},
        {"title": {1, 2}},
        {("a", "b"): 1},
        MappingProxyType({"a": 1}),
        10**5000,
        _deep(100_000),
        _endless(),
    ],
    ids=[
        "nan",
        "inf",
        "nested inf",
        "lone high surrogate",
        "lone surrogate as a name",
        "swapped pair",
        "object",
        "bytes",
        "set",
        "tuple as a name",
        "mapping that is no dict",
        "number of 5001 digits",
        "nested too deep",
        "endless",
    ],
)
def test_what_json_cannot_carry_is_refused(payload: Any) -> None:
    """A value that would not arrive is refused before anything is sent, with the operation's name."""
    with pytest.raises(UnencodableError) as caught:
        envelope("project", "POST", endpoint=Endpoint.USER, payload=payload)
    assert caught.value.applied == "not_applied"
    assert caught.value.operation == "project.POST"
    assert "cannot be written as JSON" in caught.value.message
    assert "use text, numbers, lists and objects only" in caught.value.message


@pytest.mark.parametrize("bad", ["\ud800", float("nan"), object()], ids=["surrogate", "nan", "object"])
def test_a_refusal_does_not_repeat_the_payload(bad: Any) -> None:
    """The error about a payload, and whatever it was raised from, shows nothing of the payload."""
    with pytest.raises(UnencodableError) as caught:
        envelope("project", "POST", endpoint=Endpoint.USER, payload={"user_emails": ["canary@example.com"], "bad": bad})
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in f"{error} {error!r} {error.args!r} {vars(error)!r}"
        error = error.__cause__ or error.__context__
    assert "canary" not in "".join(traceback.format_exception(caught.value)[-1:])


def test_seal_uses_all_that_the_operation_says() -> None:
    """Query, body and resource id of the envelope are the operation's."""
    sealed = GetProject(project_hash="p-1").request()
    assert sealed.query is GetProject.query
    assert sealed.resource_id == "p-1"
    assert CreateProject(title="t").request().resource_id is None


def test_the_digest_is_what_gets_signed() -> None:
    """The digest names the request in the journal, and is SHA-256 of exactly the bytes that go out."""
    sealed = CreateProject(title="t").request()
    assert sealed.digest == hashlib.sha256(sealed.body).hexdigest()


def test_equal_envelopes_are_equal_and_stay_so() -> None:
    """Envelopes are values: equal, hashable, not to be changed, and they cross processes."""
    one, other = CreateProject(title="t").request(), CreateProject(title="t").request()
    assert one == other
    assert hash(one) == hash(other)
    assert one != CreateProject(title="u").request()
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        one.body = b""  # type: ignore[misc]  # the point of the test


def test_titles_stay_out_of_logs() -> None:
    """The repr of an envelope, which ends up in logs, has no title and no e-mail address."""
    assert "secret plans" not in repr(CreateProject(title="secret plans").request())


def test_a_known_call_gets_its_facts_from_the_catalogue() -> None:
    """The escape hatch knows the resource type and the effect of a call that the catalogue knows."""
    made = envelope("labelrowmetadata", "GET", endpoint=Endpoint.RESOURCE, resource_id="p-1")
    assert made.query.resource_type is ResourceType.PROJECT
    assert made.query.effect is Effect.READ
    assert made.resource_id == "p-1"
    assert made.query.source.startswith("SDK")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_call_counts_as_a_create(method: Any) -> None:
    """A call that nobody vouches for is never sent twice on its own."""
    made = envelope("somethingnew", method, endpoint=Endpoint.USER)
    assert made.query.effect is Effect.CREATE
    assert made.query.resource_type is None
    assert made.query.source == "caller"


def test_the_caller_decides_over_the_catalogue() -> None:
    """Resource type and effect that the caller gives win."""
    made = envelope(
        "ontology",
        "GET",
        endpoint=Endpoint.RESOURCE,
        resource_type=ResourceType.PROJECT,
        resource_id="p-1",
        effect=Effect.SET,
    )
    assert (made.query.resource_type, made.query.effect) == (ResourceType.PROJECT, Effect.SET)


def test_an_envelope_can_be_made_by_hand() -> None:
    """A body that was encoded elsewhere goes out as it is."""
    made = Envelope(GetProject.query, b"{}", "p-1")
    assert made.digest == hashlib.sha256(b"{}").hexdigest()
