import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from encord_async import errors
from encord_async.errors import EncordError
from encord_async.protocol.catalogue import CODES, CodeMeaning
from encord_async.protocol.reply import RawReply, judge, retry_after_s
from encord_async.secrecy import Secret

NOW_S = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
DAY_S = 24 * 3600.0
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def _judge(
    body: bytes | object,
    http_status: int = 200,
    headers: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (),
) -> object:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = RawReply(http_status, headers or {}, raw)
    sent = Secret(dict(zip(("Authorization", "Signature"), secrets, strict=False)))
    return judge(reply, operation="project.POST", trace_id="t/1;o=1", now_s=NOW_S, sent=sent)


def _error(
    body: bytes | object,
    http_status: int = 200,
    headers: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (),
) -> EncordError:
    with pytest.raises(EncordError) as caught:
        _judge(body, http_status, headers, secrets)
    return caught.value


class TestSuccess:
    """What counts as success: the integer 200 in the body, and nothing else."""

    @pytest.mark.parametrize("http_status", [200, 201, 204, 302, 400, 401, 404, 418, 500, 503])
    def test_the_body_decides(self, http_status: int) -> None:
        """An envelope that says 200 is a success whatever the HTTP status says."""
        assert _judge({"status": 200, "response": "hash"}, http_status) == "hash"

    @pytest.mark.parametrize("response", ["hash", True, False, None, [], {}, 0, 1.5, [{"a": "ü"}], {"a": [None]}])
    def test_the_response_is_handed_over_as_it_is(self, response: object) -> None:
        """Whatever the service answered is what the operation gets to read."""
        assert _judge({"status": 200, "response": response}) == response

    def test_a_missing_response_is_null(self) -> None:
        """A success without a response is a success with null."""
        assert _judge({"status": 200}) is None

    def test_other_members_do_not_matter(self) -> None:
        """New members in the envelope disturb nobody."""
        assert _judge({"new": [1], "payload": "x", "response": True, "status": 200}) is True

    def test_blanks_and_text_outside_ascii(self) -> None:
        """The reply may be formatted, and may be raw UTF-8 or escaped."""
        assert _judge(' {"status" : 200,\n"response": "测试 \\ud83d\\ude00"} '.encode()) == "测试 😀"

    @pytest.mark.parametrize(
        "status",
        ["200", 200.0, 201, 204, True, None, [200], {"code": 200}, "OK", 0, -200, 2000, 20, 10**30],
        ids=repr,
    )
    def test_what_looks_like_success_is_none(self, status: object) -> None:
        """The text "200", 200.0, 201 and true are no success; nobody knows what happened."""
        error = _error({"status": status, "response": "hash"})
        assert isinstance(error, errors.UnreadableReplyError)
        assert error.applied == "unknown"

    @pytest.mark.parametrize("status", ["400", 400.0, True, None], ids=repr)
    def test_what_looks_like_a_status_is_none(self, status: object) -> None:
        """Only an integer makes an envelope: without it a code is not believed to mean that nothing happened."""
        assert isinstance(_error({"status": status, "response": ["AUTHENTICATION_ERROR"]}), errors.UnreadableReplyError)

    def test_a_missing_status_is_no_success(self) -> None:
        """A document without a status is no envelope."""
        assert isinstance(_error({"response": "hash"}), errors.UnreadableReplyError)


CLASS_OF_MEANING: dict[CodeMeaning, type[EncordError]] = {
    CodeMeaning.UNAUTHENTICATED: errors.AuthenticationError,
    CodeMeaning.FORBIDDEN: errors.ForbiddenError,
    CodeMeaning.NOT_FOUND: errors.NotFoundError,
    CodeMeaning.EXISTS: errors.ExistsError,
    CodeMeaning.INVALID: errors.InvalidArgumentsError,
    CodeMeaning.THROTTLED: errors.ThrottledError,
    CodeMeaning.REFUSED: errors.RefusedError,
    CodeMeaning.UNCLEAR: errors.ServiceFaultError,
}
CLASS_OF_CODE: dict[str, type[EncordError]] = {
    "AUTHENTICATION_ERROR": errors.AuthenticationError,
    "SSH_KEY_NOT_FOUND_ERROR": errors.AuthenticationError,
    "DUPLICATE_SSH_KEY_ERROR": errors.AuthenticationError,
    "AUTHORISATION_ERROR": errors.ForbiddenError,
    "OPERATION_NOT_ALLOWED": errors.ForbiddenError,
    "METHOD_NOT_ALLOWED_ERROR": errors.InvalidArgumentsError,
    "RESOURCE_NOT_FOUND_ERROR": errors.NotFoundError,
    "RESOURCE_EXISTS_ERROR": errors.ExistsError,
    "INVALID_ARGUMENTS_ERROR": errors.InvalidArgumentsError,
    "INVALID_DATE_FORMAT_ERROR": errors.InvalidArgumentsError,
    "WRONG_PROJECT_TYPE_ERROR": errors.RefusedError,
    "RATE_LIMIT_ERROR": errors.ThrottledError,
    "UNKNOWN_ERROR": errors.ServiceFaultError,
    "MULTI_LABEL_LIMIT_ERROR": errors.RefusedError,
}


class TestCodes:
    """Failures with a code in a list of exactly one text."""

    @pytest.mark.parametrize("code", CODES)
    @pytest.mark.parametrize("http_status", [200, 400])
    def test_each_code_has_its_class(self, code: str, http_status: int) -> None:
        """Each code of the catalogue becomes one class of error, on HTTP 200 and on HTTP 400."""
        error = _error({"status": 400, "response": [code], "payload": None}, http_status)
        assert type(error) is CLASS_OF_MEANING[CODES[code].meaning]
        assert type(error) is CLASS_OF_CODE.get(code, errors.RefusedError)
        assert error.code == code
        assert error.http_status == http_status
        assert CODES[code].text in error.message

    def test_what_the_service_says_is_kept(self) -> None:
        """The service's own words follow ours; operation, code and trace id are there for the support."""
        error = _error(
            {
                "status": 400,
                "response": ["SSH_KEY_NOT_FOUND_ERROR"],
                "payload": "Your used SSH key does not exist. Please register it.",
            },
            400,
        )
        assert str(error) == (
            "the public key is not registered, or in another region: "
            "Your used SSH key does not exist. Please register it. "
            "(project.POST, SSH_KEY_NOT_FOUND_ERROR, HTTP 400, trace t/1;o=1)"
        )

    @pytest.mark.parametrize("payload", [None, {"maximum_labels_allowed": 100}, [1], 7, True])
    def test_a_payload_that_is_no_text_is_left_out(self, payload: object) -> None:
        """Objects in the payload do not end up in the message."""
        error = _error({"status": 400, "response": ["MULTI_LABEL_LIMIT_ERROR"], "payload": payload})
        assert error.message == "too many labels in one request"

    def test_a_code_without_a_payload(self) -> None:
        """The payload may be missing."""
        assert type(_error({"status": 400, "response": ["RESOURCE_EXISTS_ERROR"]})) is errors.ExistsError

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 418, 0, -1, 201, 300])
    def test_an_unknown_code_is_a_refusal(self, status: int) -> None:
        """A code that nobody knows is a no, and is passed on."""
        error = _error({"status": status, "response": ["BRAND_NEW_ERROR"], "payload": "because"})
        assert type(error) is errors.RefusedError
        assert error.code == "BRAND_NEW_ERROR"
        assert error.message == "the service refused: because"

    @pytest.mark.parametrize("status", [500, 502, 503, 599, 10**30])
    def test_an_unknown_code_with_a_fault_is_a_fault(self, status: int) -> None:
        """A code that nobody knows, with a status that says breakdown, leaves open what happened."""
        error = _error({"status": status, "response": ["BRAND_NEW_ERROR"]})
        assert type(error) is errors.ServiceFaultError
        assert error.applied == "unknown"
        assert error.code == "BRAND_NEW_ERROR"

    @pytest.mark.parametrize("status", [400, 500, 503])
    def test_a_known_code_is_believed_over_the_number(self, status: int) -> None:
        """A code that we know says more than a number."""
        assert type(_error({"status": status, "response": ["RESOURCE_EXISTS_ERROR"]}, status)) is errors.ExistsError

    def test_a_rate_limit_in_the_envelope(self) -> None:
        """Throttling in the envelope is throttling, with the wait if a header has one."""
        body = {"status": 400, "response": ["RATE_LIMIT_ERROR"], "payload": None}
        assert _error(body).retry_after_s is None
        error = _error(body, 200, {"retry-after": "3"})
        assert isinstance(error, errors.ThrottledError)
        assert error.retry_after_s == 3.0

    @pytest.mark.parametrize(
        "response",
        [
            "AUTHENTICATION_ERROR",
            [],
            ["AUTHENTICATION_ERROR", "AUTHENTICATION_ERROR"],
            ["RESOURCE_NOT_FOUND_ERROR", None],
            [None],
            [400],
            [["AUTHENTICATION_ERROR"]],
            {"0": "AUTHENTICATION_ERROR"},
            None,
            False,
        ],
        ids=repr,
    )
    def test_only_a_list_of_one_text_is_a_code(self, response: object) -> None:
        """A bare text, two codes or none are no code: then the number in the body speaks."""
        error = _error({"status": 400, "response": response, "payload": "hm"})
        assert type(error) is errors.InvalidArgumentsError
        assert error.code is None
        assert error.message.endswith(": hm")

    @pytest.mark.parametrize(
        ("status", "http_status", "kind"),
        [
            (404, 200, errors.NotFoundError),
            (429, 200, errors.ThrottledError),
            (500, 200, errors.ServiceFaultError),
            (599, 200, errors.ServiceFaultError),
            (400, 401, errors.AuthenticationError),
            (400, 429, errors.ThrottledError),
            (400, 500, errors.ServiceFaultError),
            (0, 503, errors.ServiceFaultError),
            (600, 200, errors.UnreadableReplyError),
            (201, 200, errors.UnreadableReplyError),
            (302, 302, errors.UnreadableReplyError),
            (-1, 200, errors.UnreadableReplyError),
        ],
    )
    def test_without_a_code_the_numbers_speak(self, status: int, http_status: int, kind: type[EncordError]) -> None:
        """Without a code a failing HTTP status decides, then the body's; with neither nobody knows."""
        assert type(_error({"status": status, "response": None}, http_status)) is kind

    @pytest.mark.parametrize("code", [" AUTHENTICATION_ERROR", "authentication_error", "", "X" * 1000])
    def test_an_odd_code_is_shown_within_bounds(self, code: str) -> None:
        """A code of any length or none makes a short message."""
        assert len(str(_error({"status": 400, "response": [code]}))) < 600


class TestPlainReplies:
    """Replies that are no envelope: a proxy's page, a framework's ``detail``, or nothing."""

    @pytest.mark.parametrize(
        ("http_status", "kind"),
        [
            (400, errors.InvalidArgumentsError),
            (401, errors.AuthenticationError),
            (402, errors.RefusedError),
            (403, errors.ForbiddenError),
            (404, errors.NotFoundError),
            (405, errors.InvalidArgumentsError),
            (407, errors.RefusedError),
            (408, errors.ServiceFaultError),
            (413, errors.PayloadTooLargeError),
            (418, errors.RefusedError),
            (422, errors.InvalidArgumentsError),
            (429, errors.ThrottledError),
            (451, errors.RefusedError),
            (500, errors.ServiceFaultError),
            (502, errors.ServiceFaultError),
            (503, errors.ServiceFaultError),
            (504, errors.ServiceFaultError),
            (599, errors.ServiceFaultError),
        ],
    )
    def test_a_failing_http_status_decides(self, http_status: int, kind: type[EncordError]) -> None:
        """Without an envelope the HTTP status decides, whatever body comes with it."""
        said = (b'{"detail": "why"}', b'{"message": "why"}')
        for body in (b"", HTML, b"{}", b"[]", b"null", b'"text"', *said, b'{"status": "x"}'):
            error = _error(body, http_status, {"Retry-After": "7"})
            assert type(error) is kind, body
            assert error.code is None
            assert error.http_status == http_status
            assert error.retry_after_s == 7.0
            assert error.trace_id == "t/1;o=1"
            assert error.operation == "project.POST"
            assert error.message.endswith(": why") == (body in said)
            assert ("a proxy wants a user and a password" in error.message) == (http_status == 407)

    @pytest.mark.parametrize(
        ("document", "said"),
        [
            ({"detail": "Not authenticated"}, ": Not authenticated"),
            ({"message": "limit is 1 MB", "detail": "no"}, ": limit is 1 MB"),
            ({"message": None, "detail": "yes"}, ": yes"),
            ({"message": "", "detail": ""}, "the service does not accept the request"),
            ({"detail": [{"loc": ["body"], "msg": "field required", "input": "x"}]}, "the request: field required"),
            ({"message": {"a": 1}}, "the service does not accept the request"),
            (["detail"], "the service does not accept the request"),
        ],
        ids=repr,
    )
    def test_the_words_of_a_framework_are_kept(self, document: object, said: str) -> None:
        """A text in ``message`` or ``detail``, or in a list of faults, is passed on; anything else there is not."""
        assert _error(document, 422).message.endswith(said)

    def test_a_page_is_not_repeated(self) -> None:
        """A proxy's HTML stays out of the message."""
        assert "nginx" not in str(_error(HTML, 502))

    @pytest.mark.parametrize("http_status", [300, 301, 302, 303, 304, 307, 308])
    def test_a_redirect_is_a_refusal(self, http_status: int) -> None:
        """Redirects are not followed; the message says what to check."""
        error = _error(b"", http_status, {"Location": "https://elsewhere"})
        assert type(error) is errors.RefusedError
        assert "redirects are not followed; check the domain" in error.message

    @pytest.mark.parametrize("http_status", [100, 200, 201, 202, 204, 299])
    def test_empty_and_fine_is_unreadable(self, http_status: int) -> None:
        """An empty reply says nothing, even if it says it with 200."""
        error = _error(b"", http_status)
        assert type(error) is errors.UnreadableReplyError
        assert "it is empty" in error.message
        assert "may have taken effect" in error.message

    @pytest.mark.parametrize(
        "body",
        [
            HTML,
            b"[]",
            b'[{"status": 200, "response": "hash"}]',
            b"null",
            b"200",
            b'"hash"',
            b"{}",
            b'{"status": 200, "response": "ha',
            b'{"status": 200, "response": "hash"',
            b'{"status": 200, "response": "hash"}}',
            b'{"status": 200, "response": "hash"}{"status": 200}',
            b'{"status": 200, "response": NaN}',
            b'{"status": 200, "response": Infinity}',
            b'{"status": 200, "response": [-Infinity]}',
            b'{"status": NaN, "response": "hash"}',
            b'{"status": 200, "response": "\\ud800"}',
            b'{"status": 200, "response": "\xff"}',
            b'{"status": 200, "response": "\xed\xa0\x80"}',
            b"{'status': 200}",
            b'{"status": 200,}',
            b'{"status": 0200}',
            b'{"response": ' + b"[" * 200_000 + b"]" * 200_000 + b', "status": 200}',
            b'{"status": 200, "response": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
            b'{"status": ' + b"2" * 5_000 + b"}",
            b"\x00" * 1000,
            '{"status": 200}'.encode("utf-16"),
            b"\x1f\x8b\x08\x00",
        ],
        ids=lambda body: repr(body[:45]),
    )
    def test_what_is_no_envelope_is_unreadable(self, body: bytes) -> None:
        """Anything that is not one whole JSON object of the right form leaves open what happened."""
        error = _error(body)
        assert type(error) is errors.UnreadableReplyError
        assert error.applied == "unknown"

    def test_truncation_of_any_length_is_unreadable(self) -> None:
        """However much of a good reply was lost, the rest is not taken for an answer."""
        whole = b'{"status": 200, "response": "11111111-2222-3333-4444-555555555555"}'
        for length in range(len(whole)):
            assert type(_error(whole[:length])) is errors.UnreadableReplyError

    def test_a_huge_number_inside_does_not_matter(self) -> None:
        """A number that no machine word holds is data like any other."""
        assert _judge(b'{"status": 200, "response": ' + b"9" * 100 + b"}") == int("9" * 100)


class TestRetryAfter:
    """The wait that a reply asks for."""

    @pytest.mark.parametrize(
        ("text", "expected_s"),
        [
            ("0", 0.0),
            ("1", 1.0),
            ("120", 120.0),
            (" 7 ", 7.0),
            ("0.25", 0.25),
            ("1.5", 1.5),
            ("007", 7.0),
            ("86400", DAY_S),
            ("86401", DAY_S),
            ("999999999999", DAY_S),
            ("Tue, 02 Jan 2024 03:04:35 GMT", 30.0),
            ("Tue, 02 Jan 2024 03:04:05 GMT", 0.0),
            ("Mon, 01 Jan 2024 00:00:00 GMT", 0.0),
            ("Tue, 02 Jan 2024 05:04:35 +0200", 30.0),
            ("Tue, 02 Jan 2024 03:04:35 -0000", 30.0),
            ("Tuesday, 02-Jan-24 03:04:35 GMT", 30.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
        ],
    )
    def test_what_is_understood(self, text: str, expected_s: float) -> None:
        """Whole and decimal seconds and HTTP dates are understood, within nothing and a day."""
        assert retry_after_s({"Retry-After": text}, now_s=NOW_S) == pytest.approx(expected_s)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "soon",
            "-1",
            "+1",
            "1e3",
            "0x10",
            "1,5",
            "1.",
            ".5",
            "1 s",
            "1s",
            "nan",
            "inf",
            "-inf",
            "9" * 400,
            "\u0661\u0662",
            "\uff11\uff12",
            "Tue, 99 Jan 2024 03:04:35 GMT",
            "Tue, 02 Foo 2024 03:04:35 GMT",
            "Tue, 02 Jan 2024 99:99:99 GMT",
            "Tue, 02 Jan 99999 03:04:35 GMT",
            "Tue, 02 Jan 2024 03:04:35 +9999999999",
            "\ud800",
            "5\x00",
        ],
        ids=repr,
    )
    def test_what_is_not_understood_is_none(self, text: str) -> None:
        """Garbage is no wait at all, rather than a wrong one."""
        assert retry_after_s({"Retry-After": text}, now_s=NOW_S) is None

    @pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER", "rEtRy-aFtEr"])
    def test_the_name_comes_in_any_case(self, name: str) -> None:
        """Header names have no case."""
        assert retry_after_s({"Date": "x", name: "4", "X": "9"}, now_s=NOW_S) == 4.0

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
    def test_the_zone_of_the_machine_does_not_matter(self, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A date of which the sender does not say the zone is UTC, wherever this runs."""
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            wait_s = retry_after_s({"Retry-After": "Tue, 02 Jan 2024 03:04:35 -0000"}, now_s=NOW_S)
        time.tzset()
        assert wait_s == pytest.approx(30.0)

    def test_without_the_header(self) -> None:
        """No header, no wait."""
        assert retry_after_s({"X-Retry-After": "4"}, now_s=NOW_S) is None

    @given(
        text=st.text(max_size=40)
        | st.from_regex(r"[0-9]{1,20}(\.[0-9]{0,12})?", fullmatch=True)
        | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{0,12} ?[+A-Z0-9-]{0,8}"),
        now_s=st.floats(min_value=-1e12, max_value=1e12),
    )
    @example(text="Thu, 01 Jan 0001 00:00:00 +1400", now_s=0.0)
    @example(text="Fri, 31 Dec 9999 23:59:59 -1400", now_s=0.0)
    def test_it_is_none_or_within_a_day(self, text: str, now_s: float) -> None:
        """Whatever the header says, nobody waits a negative time or more than a day."""
        wait_s = retry_after_s({"Retry-After": text}, now_s=now_s)
        assert wait_s is None or 0 <= wait_s <= DAY_S

    @given(st.integers(0, 86_400))
    def test_a_date_is_the_time_until_then(self, ahead_s: int) -> None:
        """An HTTP date is a wait until that moment."""
        moment = datetime.fromtimestamp(NOW_S, UTC) + timedelta(seconds=ahead_s)
        text = format_datetime(moment, usegmt=True)
        assert retry_after_s({"Retry-After": text}, now_s=NOW_S) == pytest.approx(ahead_s)


class TestSecrets:
    """What the service echoes does not come out here."""

    SECRET = "0-1aABCDE_aFGcdeHIfJ2KfLMgNO3PQh4RST5UV6W_X"

    @pytest.mark.parametrize(
        "body",
        [
            {"status": 400, "response": ["AUTHENTICATION_ERROR"], "payload": f"bad key {SECRET}, {SECRET}"},
            {"status": 400, "response": [SECRET], "payload": None},
            {"status": 500, "response": [f"X {SECRET}"]},
            {"status": 400, "response": None, "payload": f"Bearer {SECRET}"},
            {"status": 400, "response": None, "payload": "x" * 290 + SECRET},
            {"status": 400, "response": None, "payload": "x" * 1990 + SECRET},
            {"detail": f"bad key {SECRET}"},
            {"message": SECRET},
        ],
        ids=lambda body: repr(body)[:60],
    )
    @pytest.mark.parametrize("http_status", [200, 400, 401, 500])
    def test_an_echoed_secret_is_masked(self, body: object, http_status: int) -> None:
        """A key that the service repeats, anywhere it is quoted, is replaced."""
        error = _error(body, http_status, secrets=(self.SECRET,))
        shown = f"{error} {error!r} {error.args!r} {vars(error)!r}"
        assert self.SECRET not in shown
        assert self.SECRET[:12] not in shown

    def test_the_rest_of_the_text_is_kept(self) -> None:
        """Masking takes out the secret and nothing else."""
        body = {"status": 400, "response": ["AUTHENTICATION_ERROR"], "payload": f"key {self.SECRET} is unknown"}
        assert _error(body, secrets=("other", self.SECRET)).message.endswith(": key [secret] is unknown")

    def test_the_reply_is_not_in_its_repr(self) -> None:
        """A reply may hold an API key; its repr shows the HTTP status only."""
        reply = RawReply(200, {"X-Secret": self.SECRET}, self.SECRET.encode())
        assert repr(reply) == "RawReply(http_status=200)"

    @given(
        before=st.text(max_size=400),
        secret=st.from_regex(r"sk-[\x21-\x7e]{8,60}", fullmatch=True),
        after=st.text(max_size=400),
        place=st.sampled_from(["payload", "response", "detail"]),
    )
    def test_no_secret_gets_through(self, before: str, secret: str, after: str, place: str) -> None:
        """Wherever a secret stands in whatever text, no error shows it."""
        text = before + secret + after
        bodies: dict[str, object] = {
            "payload": {"status": 400, "response": ["INVALID_ARGUMENTS_ERROR"], "payload": text},
            "response": {"status": 400, "response": [text]},
            "detail": {"detail": text},
        }
        error = _error(bodies[place], 400, secrets=(secret,))
        assert secret not in str(error)
        assert secret not in (error.code or "")


@given(st.text(max_size=3000))
def test_a_message_is_one_short_line(text: str) -> None:
    """Whatever the service says, the error is one printable line of bounded length."""
    message = str(_error({"status": 400, "response": [text], "payload": text}))
    assert message.isprintable()
    assert len(message) < 1000


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
STATUSES = st.sampled_from([200, 200, 400, 429, 500, "200", 200.0, True, 0, -1, 10**40]) | JSON_VALUES
CODE_LISTS = st.lists(st.sampled_from(sorted(CODES)) | st.text(max_size=20), max_size=2) | JSON_VALUES
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "status": STATUSES,
        "response": CODE_LISTS,
        "payload": JSON_VALUES,
        "message": JSON_VALUES,
        "detail": JSON_VALUES,
    },
)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    """Envelopes and other JSON, whole, cut short or with a few bytes changed; and plain noise."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    ascii_only = draw(st.booleans())
    body = json.dumps(draw(ENVELOPES | JSON_VALUES), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    harm = draw(st.sampled_from(["none", "none", "none", "cut", "change"]))
    at = draw(st.integers(0, len(body)))
    if harm == "cut":
        return body[:at]
    if harm == "change":
        return body[:at] + draw(st.binary(max_size=4)) + body[at + draw(st.integers(0, 4)) :]
    return body


HEADERS = st.dictionaries(
    st.text(max_size=12) | st.sampled_from(["Retry-After", "retry-after", "Content-Type"]),
    st.text(max_size=30) | st.integers(0, 10**6).map(str),
    max_size=4,
)


def _outcome(call: Callable[[], object]) -> object:
    """The value that *call* gives, or the error of ours that it raises; anything else goes through."""
    try:
        return call()
    except EncordError as error:
        return error


@given(http_status=st.integers(100, 599), headers=HEADERS, body=_bodies(), secrets=st.just(()) | st.just(("a", "0")))
def test_any_reply_is_a_value_or_an_error_of_ours(
    http_status: int, headers: dict[str, str], body: bytes, secrets: tuple[str, ...]
) -> None:
    """Whatever bytes arrive with whatever status and headers, the caller sees a value or an `EncordError`."""
    reply = RawReply(http_status, headers, body)
    sent = Secret(dict(zip(("Authorization", "Signature"), secrets, strict=False)))
    outcome = _outcome(lambda: judge(reply, operation="project.POST", trace_id=None, now_s=NOW_S, sent=sent))
    if isinstance(outcome, EncordError):
        assert str(outcome)
        assert outcome.applied in ("not_applied", "unknown")
        assert outcome.http_status == http_status
        assert outcome.operation == "project.POST"
        assert outcome.retry_after_s is None or 0 <= outcome.retry_after_s <= DAY_S
        assert outcome.__context__ is None
    else:
        document = json.loads(body)
        assert type(document["status"]) is int
        assert document["status"] == 200
        assert outcome == document.get("response")


@given(
    status=st.integers(),
    response=CODE_LISTS,
    http_status=st.integers(100, 599),
)
def test_nothing_but_200_is_success(status: int, response: Any, http_status: int) -> None:
    """An integer status other than 200 is never a success, on any HTTP status."""
    body = json.dumps({"status": status, "response": response}, allow_nan=True).encode()
    if status != 200:
        assert _error(body, http_status).applied != "applied"


@pytest.mark.parametrize("status", [429, 413])
@pytest.mark.parametrize("code", ["UNKNOWN_ERROR", "NEVER_HEARD_OF"])
def test_turned_away_before_it_was_handled(status: int, code: str) -> None:
    """HTTP 429 and 413 mean what they say even with an envelope, unless its code is a definite one."""
    body = json.dumps({"status": 400, "response": [code], "payload": None}).encode()
    wanted = errors.ThrottledError if status == 429 else errors.PayloadTooLargeError
    with pytest.raises(wanted):
        judge(RawReply(status, {}, body), operation="project.POST", now_s=0.0)


class TestWhoAnswered:
    """Whether an error that leaves open what happened is the service's own word, or that of a proxy in its place."""

    @pytest.mark.parametrize(
        ("body", "http_status", "is_answer"),
        [
            ({"status": 400, "response": ["UNKNOWN_ERROR"]}, 200, True),
            ({"status": 500, "response": ["NEW_ERROR"], "payload": "why"}, 500, True),
            # An envelope in form only: proxies write a status as well.
            ({"status": 504, "error": "Gateway Time-out"}, 500, False),
            ({"status": 202, "response": None}, 200, False),
            ({"status": 500, "response": "UNKNOWN_ERROR"}, 200, False),
            ({"detail": "why"}, 500, False),
            (HTML, 500, False),
            (b"", 200, False),
            *[
                (body, status, False)
                for status in (408, 460, 499, 502, 503, 504, 520, 524, 530, 598, 599)
                for body in ({"status": 400, "response": ["UNKNOWN_ERROR"]}, HTML)
            ],
        ],
    )
    def test_only_an_envelope_is_the_services_own(
        self, body: bytes | object, http_status: int, is_answer: bool
    ) -> None:
        """A whole envelope is, unless it comes with a status that proxies give in place of an answer."""
        error = _error(body, http_status)
        assert isinstance(error, errors.UncertainError)
        assert error.is_answer is is_answer
