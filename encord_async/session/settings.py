"""Settings of a session as frozen values, checked when they are made. Reads no environment and no file."""

import contextlib
import ipaddress
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from encord_async.errors import SettingsError
from encord_async.protocol.catalogue import DEFAULT_DOMAIN
from encord_async.redaction import quoted
from encord_async.secrecy import sealed

__all__ = ["RetryPolicy", "Settings", "Timeouts", "checked_domain", "is_loopback"]

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LONGEST_HOST: Final = 254
"""Characters of a name with a dot after each label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds; None waits for ever.

    The official SDK waits 180 s for a connection and 180 s for each read.
    """

    connect_s: float | None = 30.0
    """For a connection, name look-up and TLS included. Running out of it means: not sent."""
    attempt_s: float | None = 180.0
    """For one sending of a request, connection included."""
    operation_s: float | None = None
    """For an operation with all its attempts and waits."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "attempt_s", "operation_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is {value}; give a number above 0, or None for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How faults are retried. Being throttled is no fault and does not count here.

    The wait before try *n* + 1 is drawn evenly from 0 to ``min(backoff_max_s, backoff_base_s * 2 ** (n - 1))``.
    """

    max_attempts: int = 6
    """How often a request that meets faults is sent in all."""
    backoff_base_s: float = 0.5
    backoff_max_s: float = 30.0
    outage_s: float = 300.0
    """How long to wait for a service that answered before and is down now. What is tried meanwhile does not count as an
    attempt. When it has been down for so long, operations fail at once until it is back. 0 counts attempts alone."""

    retry_after_max_s: float = 60.0
    """Longest wait that the service is granted when it says when to come back, throttled or not. If it asked for more,
    it is asked again then, and a warning says so. 0 heeds no such wish."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise SettingsError(f"max_attempts is {self.max_attempts}; give 1 for no retries, or more")
        if not 0 <= self.backoff_base_s <= self.backoff_max_s:
            raise SettingsError("backoff_base_s must lie between 0 and backoff_max_s")
        if not 0 <= self.outage_s < math.inf:
            raise SettingsError(f"outage_s is {self.outage_s}; give 0 for no waiting, or seconds")
        if not 0 <= self.retry_after_max_s < math.inf:
            raise SettingsError(
                f"retry_after_max_s is {self.retry_after_max_s}; give 0 to wait as long as without a hint, or seconds"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything about a session but its credential."""

    domain: str = DEFAULT_DOMAIN
    """``https://`` and host; another region or a private installation has its own."""
    concurrency: int = 32
    """Most requests in flight at once."""
    max_rate_per_s: float | None = None
    """Most requests a second. None leaves it to what the service shows: its limit is found and kept just under."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ca_bundle: Path | None = None
    """PEM file of the certificate authorities to trust; None trusts those of the system."""
    max_reply_bytes: int = 16 * 1024 * 1024
    """Longest reply accepted, after decompression. The default has room for the longest that comes without pages, the
    listing of 50,000 datasets, and to read a reply of this length takes at most 250 MB and two seconds, whatever it
    holds. An account with more, or projects read with the metadata of all their labels, need a higher bound."""
    user_agent_suffix: str = ""
    """Product tokens to append to the ``User-Agent`` header, for example ``my-tool/1.2``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", checked_domain(self.domain))
        if self.concurrency < 1:
            raise SettingsError(f"concurrency is {self.concurrency}; give 1 or more")
        if self.max_rate_per_s is not None and not 0 < self.max_rate_per_s < math.inf:
            raise SettingsError(f"max_rate_per_s is {self.max_rate_per_s}; give a number above 0, or None for no limit")
        if self.max_reply_bytes < 1:
            raise SettingsError(f"max_reply_bytes is {self.max_reply_bytes}; give 1 or more")
        if not self.user_agent_suffix.isascii() or not self.user_agent_suffix.isprintable():
            raise SettingsError("user_agent_suffix must be printable ASCII, for example my-tool/1.2")


@sealed
def checked_domain(domain: str) -> str:
    """*domain* without trailing slashes.

    Raises:
        SettingsError: No http(s) URL, one with credentials, path or query, or plain http to another machine.
    """
    text = domain.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"the domain {quoted(domain)} is not a URL; give for example {DEFAULT_DOMAIN}") from None
    if parts.scheme not in {"https", "http"} or not host or not _is_host(host) or not text.isprintable():
        raise SettingsError(f"the domain {quoted(domain)} is not an http(s) URL; give for example {DEFAULT_DOMAIN}")
    if parts.username is not None or parts.password is not None:
        raise SettingsError("the domain holds a user name or password; the key authenticates, leave them out")
    if parts.path or parts.query or parts.fragment:
        raise SettingsError(f"the domain {quoted(domain)} has a path; give scheme and host only, as {DEFAULT_DOMAIN}")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(f"{quoted(domain)} is plain http, which anybody on the way can read; use https://{host}")
    return text


def _is_host(host: str) -> bool:
    """Whether *host* is an address, or a name that can be looked up; of any other the library's errors are raw."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    try:
        labels = host.encode("idna").decode().removesuffix(".").split(".")
    except UnicodeError:
        return False
    named = all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    return named and sum(map(len, labels)) + len(labels) <= _LONGEST_HOST


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
