import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from encord_async import errors
from encord_async.errors import EncordError, UncertainError
from encord_async.protocol.reply import RawReply
from encord_async.protocol.rest_reply import judge_rest
from encord_async.secrecy import Secret

NOW_S = 1_700_000_000.0
HTML = b"<html><body>502 Bad Gateway</body></html>"


def _judge(status: int, body: bytes | Any = b"", secrets: tuple[str, ...] = (), **headers: str) -> object:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = Secret(dict(zip(("Authorization", "Signature"), secrets, strict=False)))
    return judge_rest(RawReply(status, named, raw), operation="v2/projects.GET", trace_id="t", now_s=NOW_S, sent=sent)


def _error(status: int, body: bytes | Any = b"", secrets: tuple[str, ...] = (), **headers: str) -> EncordError:
    with pytest.raises(EncordError) as caught:
        _judge(status, body, secrets, **headers)
    return caught.value


@pytest.mark.parametrize("content", [{}, [], None, False, 0, "x", {"results": []}, {"status": 400}, {"message": "m"}])
def test_200_hands_over_what_came(content: object) -> None:
    """Any JSON is a success, whatever members it has: only the HTTP status counts."""
    assert _judge(200, content) == content


@pytest.mark.parametrize("body", [b"", b"garbage", b"{}"])
def test_204_is_a_success_without_content(body: bytes) -> None:
    """Nothing came, and nothing was to come."""
    assert _judge(204, body) is None


@pytest.mark.parametrize("body", [b"", HTML, b'{"cut": ', b"NaN", b"\xff"])
def test_200_without_json_is_in_doubt(body: bytes) -> None:
    """A success that cannot be read may have been one: a create is looked up, not sent again."""
    error = _error(200, body)
    assert type(error) is errors.UnreadableReplyError
    assert error.applied == "unknown"
    assert "it is empty" in error.message or "it is not JSON" in error.message


@pytest.mark.parametrize("status", [201, 202, 206, 207])
def test_another_success_is_in_doubt(status: int) -> None:
    """The service answers 200 or 204; whatever else says yes is not relied on."""
    error = _error(status, {"datasetUuid": "d"})
    assert type(error) is errors.UnreadableReplyError
    assert f"HTTP {status} is not one of its answers" in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, errors.RefusedError),
        (307, errors.RefusedError),
        (400, errors.InvalidArgumentsError),
        (401, errors.AuthenticationError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (405, errors.InvalidArgumentsError),
        (408, errors.ServiceFaultError),
        (409, errors.ExistsError),
        (413, errors.PayloadTooLargeError),
        (418, errors.RefusedError),
        (422, errors.InvalidArgumentsError),
        (429, errors.ThrottledError),
        (500, errors.ServiceFaultError),
        (502, errors.ServiceFaultError),
        (503, errors.ServiceFaultError),
        (599, errors.ServiceFaultError),
    ],
)
def test_the_status_decides_what_an_error_means(status: int, kind: type[EncordError]) -> None:
    """Each status has one meaning, with or without a body that can be read; the service's own words are kept."""
    said: list[Any] = [{"message": "the reason"}, {"detail": "the reason"}]
    for body in (b"", HTML, *said, [1], {"message": 3}):
        error = _error(status, body)
        assert type(error) is kind, body
        assert (error.http_status, error.operation, error.trace_id) == (status, "v2/projects.GET", "t")
        assert error.message.endswith("the reason") == (body in said and status >= 400)


def test_a_missing_resource_is_not_a_wrong_domain() -> None:
    """Behind REST a 404 is about the resource; behind the envelope it would be about the address."""
    assert _error(404).message == "no such resource"


def test_an_envelope_in_an_error_changes_nothing() -> None:
    """A body that says 200 does not make a success of HTTP 500."""
    assert type(_error(500, {"status": 200, "response": True})) is errors.ServiceFaultError


def test_the_faults_of_a_framework_are_named_and_not_quoted() -> None:
    """Of a list of faults the texts are shown, not the values that were sent."""
    detail = [
        {"loc": ["body", "title"], "msg": "field required", "input": "Secret plan"},
        {"msg": "too long"},
        "odd",
        {"msg": 4},
    ]
    error = _error(422, {"detail": detail})
    assert error.message == "the service does not accept the request: field required; too long"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0), ("soon", None), (None, None)],
)
def test_retry_after_is_heeded(text: str | None, seconds: float | None) -> None:
    """Seconds and dates are understood, for throttling and for outages."""
    for status in (429, 503):
        error = _error(status) if text is None else _error(status, retry_after=text)
        assert error.retry_after_s == seconds


def test_no_secret_is_repeated() -> None:
    """A service that repeats the token does not get it into our error."""
    error = _error(401, {"message": "token s3cret is unknown"}, ("s3cret",))
    assert "s3cret" not in str(error)
    assert "[secret]" in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode())


@given(status=st.integers(100, 599), body=BODIES, retry_after=st.text())
@example(status=200, body=b"[" * 100_000, retry_after="")
@example(status=422, body=b'{"detail": [{"msg": null}, {}]}', retry_after="")
def test_any_reply_is_a_value_or_one_of_our_errors(status: int, body: bytes, retry_after: str) -> None:
    """Whatever arrives, the caller gets a value or an `EncordError` that says what is known."""
    reply = RawReply(status, {"Retry-After": retry_after}, body)
    error: EncordError | None = None
    value: object = None
    try:
        value = judge_rest(reply, operation="v2/x.GET", now_s=NOW_S)
    except EncordError as raised:
        error = raised
    if error is None:
        assert status == 200 or (status, value) == (204, None)
        return
    assert status != 204
    assert error.http_status == status
    assert error.applied == ("unknown" if status < 300 or status in {408, 460, 499} or status >= 500 else "not_applied")


@pytest.mark.parametrize(
    ("status", "body", "is_answer"),
    [
        (500, b'{"message": "why"}', True),
        (500, b'{"detail": "why"}', True),
        (500, b"<html>", False),
        (500, b"", False),
        (202, b'{"message": "accepted"}', False),
        (504, b'{"message": "Endpoint request timed out"}', False),
        (524, b"<html>", False),
        (408, b'{"detail": "why"}', False),
    ],
)
def test_who_answered(status: int, body: bytes, is_answer: bool) -> None:
    """An error document is the service's own word, unless it comes with a status that proxies give in its place."""
    with pytest.raises(UncertainError) as caught:
        judge_rest(RawReply(status, {}, body), operation="v2/x.POST", now_s=NOW_S)
    assert caught.value.is_answer is is_answer
