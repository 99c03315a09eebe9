"""The check-up as a whole: its checks in their order, and what comes of them. It words nothing for people."""

import hashlib
import platform
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import urlsplit

from encord_async.checkup.chart import Chart, Check, Finding, Made, Verdict, examined
from encord_async.checkup.reads import HEADER_CHECKS, KEY_CHECKS, READ_CHECKS
from encord_async.checkup.writes import WRITE_CHECKS
from encord_async.protocol.catalogue import DEFAULT_DOMAIN, US_DOMAIN
from encord_async.session.session import Statistics
from encord_async.session.settings import Settings, is_loopback
from encord_async.session.transport import uses_proxy

__all__ = ["CHECKS", "CheckUp", "check_up", "region", "versions"]

CHECKS: Final[tuple[Check, ...]] = (*READ_CHECKS, *WRITE_CHECKS, *KEY_CHECKS, *HEADER_CHECKS)

_LIBRARIES: Final = ("aiohttp", "anyio", "cryptography", "pydantic")
_REGIONS: Final = {DEFAULT_DOMAIN: "Encord's default region", US_DOMAIN: "Encord's US region"}
_HASH_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class Certificates:
    """Which authorities are trusted, and where they are written down."""

    whose: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUp:
    """What came of a check-up."""

    findings: tuple[Finding, ...]
    domain: str
    identity: str
    account: str | None
    made: Made | None
    proxy: bool
    certificates: Certificates
    statistics: Statistics
    key_refused: bool
    in_doubt: bool

    def number(self, verdict: Verdict) -> int:
        """How many checks ended so."""
        return sum(finding.verdict is verdict for finding in self.findings)

    @property
    def is_all_well(self) -> bool:
        """Whether nothing is otherwise than assumed."""
        return not self.number(Verdict.OTHERWISE)

    def as_json(self) -> dict[str, object]:
        """All of it that may be sent to anybody; names are told apart by hashes that say nothing to others."""
        hosted = region(self.domain)
        return {
            "as_assumed": self.is_all_well,
            "versions": versions(),
            "service": hosted or f"another: {self._hash(self.domain)}",
            "key": self._hash(self.identity),
            "account": None if self.account is None else self._hash(self.account),
            "proxy": self.proxy,
            "certificates": self.certificates.whose,
            "made": int(self.made is not None),
            "requests": self.statistics.requests,
            "retries": self.statistics.retries,
            "throttled": self.statistics.throttled,
            "checks": [finding.as_json() for finding in self.findings],
        }

    def _hash(self, name: str) -> str:
        # Keyed by what only the owner has at hand: an address that somebody guesses cannot be tried.
        secret = hashlib.sha256(self.identity.encode()).digest()
        return hashlib.blake2b(name.encode(), key=secret).hexdigest()[:_HASH_CHARACTERS]


def region(domain: str) -> str | None:
    """What may be said to anybody of where the service is; None if it is some other place."""
    return _REGIONS.get(domain) or ("this machine" if is_loopback(urlsplit(domain).hostname or "") else None)


def versions() -> Mapping[str, str]:
    """Releases of ours and of what it stands on."""
    found = {"encord-async": version("encord-async"), "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"openssl": ssl.OPENSSL_VERSION, "system": f"{platform.system()} {platform.machine()}"}


def _certificates(settings: Settings) -> Certificates:
    if settings.domain.startswith("http:"):
        return Certificates("none: this is plain http")
    if settings.ca_bundle is not None:
        return Certificates("of a ca_bundle", str(settings.ca_bundle))
    paths = ssl.get_default_verify_paths()
    return Certificates("of the system", paths.cafile or paths.capath or "")


async def check_up(chart: Chart) -> CheckUp:
    """Do all checks on the *chart*, whose session is open and has its headers as the observer.

    Raises:
        SettingsError: The environment names a proxy that is none.
    """
    session = chart.session
    findings = await examined(chart, CHECKS)
    settings = session.settings
    return CheckUp(
        findings=tuple(findings),
        domain=settings.domain,
        identity=session.identity,
        account=chart.account,
        made=chart.made,
        proxy=uses_proxy(settings.domain),
        certificates=_certificates(settings),
        statistics=session.statistics(),
        key_refused=chart.key_refused,
        in_doubt=chart.in_doubt,
    )
