"""Bodies read as requests."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.emulator.arguments import Refused, load
from encord_async.emulator.calls import Terms
from encord_async.emulator.envelope import Said, name_of, parse, read
from encord_async.protocol.catalogue import CODES, Endpoint
from tests.emulator.conftest import envelope_bytes


def _read(body: bytes, *, strict: bool = False, endpoint: Endpoint = Endpoint.USER) -> Said:
    return parse(endpoint, load(body), body, strict=strict)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()), st.booleans())
def test_any_body_is_a_request_or_refused(body: bytes, strict: bool) -> None:
    """Nothing that is sent breaks the server, and a refusal has a code that clients know."""
    assert name_of(Endpoint.USER, load(body)) == "unknown"
    with pytest.raises(Refused) as caught:
        _read(body, strict=strict)
    assert caught.value.code in CODES


@given(JSON_VALUES, JSON_VALUES)
def test_uid_and_payload_arrive_as_sent(uid: object, payload: object) -> None:
    """The envelope carries any JSON; strict takes it too as long as the bytes are the SDK's."""
    body = envelope_bytes("project.POST", payload, uid)
    request = _read(body, strict=True)
    assert (request.name, request.uid, request.payload) == ("project.POST", uid, payload)


@pytest.mark.parametrize(
    "body",
    [
        b'{"query_type":"project","query_method":"POST","values":{"uid":null,"payload":null}}',
        b'{"query_method": "POST", "query_type": "project", "values": {"uid": null, "payload": null}}',
        b'{"query_type": "project", "query_method": "POST", "values": {"payload": null, "uid": null}}',
        b'{"query_type": "project", "query_method": "POST", "values": {"uid": null}}',
        b'{"query_type": "project", "query_method": "POST", "values": {"uid": null, "payload": null}, "x": 1}',
        '{"query_type": "project", "query_method": "POST", "values": {"uid": "ü", "payload": null}}'.encode(),
    ],
)
def test_strict_refuses_what_the_sdk_would_not_send(body: bytes) -> None:
    """Other separators, orders, members or raw UTF-8 pass by default and not with --strict."""
    assert _read(body).name == "project.POST"
    with pytest.raises(Refused, match="strict") as caught:
        _read(body, strict=True)
    assert caught.value.code == "INVALID_ARGUMENTS_ERROR"


@pytest.mark.parametrize(
    ("endpoint", "name", "code"),
    [
        (Endpoint.USER, "nonsense.GET", "INVALID_ARGUMENTS_ERROR"),
        (Endpoint.USER, "projectusers.POST", "INVALID_ARGUMENTS_ERROR"),
        (Endpoint.RESOURCE, "projectusers.PATCH", "METHOD_NOT_ALLOWED_ERROR"),
    ],
)
def test_unknown_calls_are_refused(endpoint: Endpoint, name: str, code: str) -> None:
    """An unknown type is an invalid argument, an unknown method is not allowed."""
    with pytest.raises(Refused) as caught:
        _read(envelope_bytes(name), endpoint=endpoint)
    assert caught.value.code == code


def test_replies_have_the_shape_that_the_sdk_reads() -> None:
    """Success carries the result, a failure a list of one code."""
    request = read(Terms(), Endpoint.USER, {}, b"{}")
    assert json.loads(request.success("x").body) == {"status": 200, "response": "x"}
    assert json.loads(request.failure("UNKNOWN_ERROR", "why").body) == {
        "status": 400,
        "response": ["UNKNOWN_ERROR"],
        "payload": "why",
    }
