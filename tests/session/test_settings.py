"""Settings are checked when they are made, and an unusable one says what to do."""

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from encord_async.errors import SettingsError
from encord_async.session.settings import RetryPolicy, Settings, Timeouts, checked_domain, is_loopback


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.encord.com", "https://api.encord.com"),
        ("https://api.us.encord.com//", "https://api.us.encord.com"),
        ("  https://api.encord.com/\n", "https://api.encord.com"),
        ("https://encord.example:8443", "https://encord.example:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://127.255.0.3", "http://127.255.0.3"),
        ("https://my_service.", "https://my_service."),
        ("https://encord.k\u00f6ln:443", "https://encord.k\u00f6ln:443"),
    ],
)
def test_domain_is_tidied(given: str, kept: str) -> None:
    """Blanks and trailing slashes around a domain do no harm; https goes anywhere, http to this machine."""
    assert checked_domain(given) == kept
    assert Settings(domain=given).domain == kept


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        ("", "not an http"),
        ("api.encord.com", "not an http"),
        ("ftp://api.encord.com", "not an http"),
        ("https://", "not an http"),
        ("https://[broken", "not a URL"),
        ("https://api.encord.com:port", "not a URL"),
        ("https://api.encord.com:99999", "not a URL"),
        ("https://api.encord.com/public", "scheme and host only"),
        ("https://api.encord.com?x=1", "scheme and host only"),
        ("https://api.encord.com#x", "scheme and host only"),
        ("http://api.encord.com", "use https://api.encord.com"),
        ("http://localhost.evil.example", "use https://"),
        ("http://127.0.0.1.evil.example", "use https://"),
        ("http://0.0.0.0:80", "use https://"),
        ("http://10.0.0.1", "use https://"),
        ("https://a..b", "not an http"),
        ("https://.encord.com", "not an http"),
        (f"https://{'a' * 64}.com", "not an http"),
        (f"https://{'a.' * 130}com", "not an http"),
        ("https://api.encord.com\\evil", "not an http"),
        ("https://api encord.com", "not an http"),
        ("https://api.\nencord.com", "not an http"),
        ("https://a\u200db.com", "not an http"),
        ("https://\ud800.com", "not an http"),
        ("https://256.1.1.1", "not an http"),
    ],
)
def test_unusable_domain_is_refused(domain: str, says: str) -> None:
    """A domain that cannot work, or would send the signature in the clear, is refused before anything is sent."""
    with pytest.raises(SettingsError, match=says):
        Settings(domain=domain)


@pytest.mark.parametrize("domain", ["https://ann:s3cret@api.encord.com", "https://s3cret@api.encord.com"])
def test_password_in_domain_is_refused_unseen(domain: str) -> None:
    """A domain with a password in it is refused, and the message does not repeat it."""
    with pytest.raises(SettingsError, match="leave them out") as caught:
        Settings(domain=domain)
    assert "s3cret" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_domain_or_a_settings_error(text: str) -> None:
    """Whatever is given as a domain, it is taken or refused by our own error."""
    for candidate in (text, f"https://{text}", f"http://{text}"):
        try:
            kept = checked_domain(candidate)
        except SettingsError:
            continue
        assert not kept.endswith("/")
        assert URL(f"{kept}/public").raw_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - looked at, not bound
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only names of this very machine count as loopback."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("name", ["connect_s", "attempt_s", "operation_s"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_timeout_must_be_above_zero(name: str, value: float) -> None:
    """A time-out of zero, less, or no number at all is refused by name."""
    with pytest.raises(SettingsError, match=name):
        replace(Timeouts(), **{name: value})


def test_timeouts_can_be_switched_off() -> None:
    """None means to wait for ever."""
    assert Timeouts(connect_s=None, attempt_s=None, operation_s=None).attempt_s is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(backoff_base_s=-0.1),
        lambda: RetryPolicy(backoff_base_s=31.0),
        lambda: RetryPolicy(backoff_base_s=math.nan),
        lambda: RetryPolicy(backoff_max_s=0.1),
        lambda: RetryPolicy(outage_s=-1.0),
        lambda: RetryPolicy(outage_s=math.inf),
        lambda: RetryPolicy(retry_after_max_s=-1.0),
        lambda: RetryPolicy(retry_after_max_s=math.nan),
        lambda: RetryPolicy(retry_after_max_s=math.inf),
    ],
)
def test_unusable_retry_policy_is_refused(make: Callable[[], RetryPolicy]) -> None:
    """A policy that could not be followed is refused."""
    with pytest.raises(SettingsError):
        make()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Settings(concurrency=0), "concurrency is 0"),
        (lambda: Settings(max_reply_bytes=-1), "max_reply_bytes is -1"),
        (lambda: Settings(max_rate_per_s=0.0), "max_rate_per_s is 0"),
        (lambda: Settings(max_rate_per_s=math.nan), "max_rate_per_s is nan"),
    ],
)
def test_unusable_bounds_are_refused(make: Callable[[], Settings], says: str) -> None:
    """A bound that lets nothing through is refused by name and value."""
    with pytest.raises(SettingsError, match=says):
        make()


@pytest.mark.parametrize("suffix", ["evil\r\nX-Header: 1", "café/1", "tab\t/1"])
def test_user_agent_suffix_cannot_forge_headers(suffix: str) -> None:
    """Only what a header can carry is accepted behind the user agent."""
    with pytest.raises(SettingsError, match="user_agent_suffix"):
        Settings(user_agent_suffix=suffix)


def test_settings_are_frozen() -> None:
    """Settings that a session holds cannot be changed under it."""
    with pytest.raises(FrozenInstanceError):
        Settings().concurrency = 1  # type: ignore[misc]  # the assignment is the point
