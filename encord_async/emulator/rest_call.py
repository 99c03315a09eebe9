"""What every rule of the REST part needs: the call, its query and body, pages, and how times are written.

Pure with respect to HTTP, and without a clock. It refuses with the codes of the envelope API, which
`encord_async.emulator.rest` turns into HTTP statuses.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

from encord_async.emulator.arguments import Filter, Members, read_filter
from encord_async.emulator.envelope import Refused
from encord_async.emulator.organisation import GroupRow, MemberRow
from encord_async.emulator.rules import Answer, UserCaller
from encord_async.emulator.store import Store, UserRow
from encord_async.protocol.catalogue import OrganisationRole

__all__ = ["RestAsk", "RestRule", "group_shown", "moment"]

T = TypeVar("T")

_TOKEN: Final = re.compile(r"after:([0-9]{1,12})")
_FILTERS: Final[Mapping[str, str]] = {
    "titleEq": "title_eq",
    "titleLike": "title_like",
    "descEq": "desc_eq",
    "descLike": "desc_like",
    "createdBefore": "created_before",
    "createdAfter": "created_after",
    "editedBefore": "edited_before",
    "editedAfter": "edited_after",
}
"""Names in a query and in a filter. Datasets say ``descriptionEq`` and ``descriptionLike``. Source: SDK 0.1.211."""
_BOOLEANS: Final[Mapping[str, bool]] = {"True": True, "true": True, "False": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestAsk:
    """One request of a user, with everything that its rule may look at."""

    store: Store
    caller: UserCaller
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    document: object
    page_size: int
    now_us: int
    as_of_us: int
    """Listings show nothing younger; *now_us* unless a fault makes them stale."""

    @property
    def user(self) -> UserRow:
        """The caller."""
        return self.caller.user

    def members(self, *known: str) -> Members:
        """Return the body, ready to be read; members that are not *known* are passed over, as frameworks do."""
        if not isinstance(self.document, dict):
            raise Refused("INVALID_ARGUMENTS_ERROR", "the body has to be a JSON object")
        body = {key: value for key, value in self.document.items() if key in known}
        # Nothing here is taken as JSON text or digits: REST bodies come from typed clients.
        return Members("", body, strict=True)

    def one(self, name: str) -> str | None:
        """Return the value of a name in the query that may stand there once."""
        values = self.query.get(name, ())
        if len(values) > 1:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{name} stands in the query more than once")
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        """Return a boolean of the query, false without it."""
        text = self.one(name)
        if text is not None and text not in _BOOLEANS:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"{name} has to be a boolean")
        return text is not None and _BOOLEANS[text]

    def filter(self, description: str) -> Filter:
        """Return the filter of a listing, which calls the description ``desc`` or ``description``."""
        raw = {}
        for name, meaning in _FILTERS.items():
            spelt = name.replace("desc", description) if name.startswith("desc") else name
            if (value := self.one(spelt)) is not None:
                raw[meaning] = value
        return read_filter(raw)

    def page(self, rows: Sequence[T], shown: Callable[[T], Mapping[str, object]]) -> dict[str, object]:
        """Return the page of *rows* that the query asks for, each as *shown*, and the token of the next if any."""
        start = self._start()
        end = start + self.page_size
        page: dict[str, object] = {"results": [shown(row) for row in rows[start:end]]}
        if end < len(rows):
            page["nextPageToken"] = base64.urlsafe_b64encode(f"after:{end}".encode()).decode()
        return page

    def _start(self) -> int:
        token = self.one("pageToken")
        if token is None:
            return 0
        try:
            found = _TOKEN.fullmatch(base64.urlsafe_b64decode(token.encode()).decode())
        except (binascii.Error, UnicodeError, ValueError):
            found = None
        if found is None:
            raise Refused("BAD_REQUEST", "the page token is none of this service")
        return int(found[1])

    def org_admin(self) -> bool:
        """Say whether the caller is Admin of the organisation."""
        membership = self.store.organisation.member(self.user.id)
        return membership is not None and membership.role == OrganisationRole.ADMIN

    def needs_membership(self) -> MemberRow:
        """Return the caller's membership of the organisation.

        Raises:
            Refused: AUTHORISATION_ERROR without one.
        """
        membership = self.store.organisation.member(self.user.id)
        if membership is None:
            raise Refused("AUTHORISATION_ERROR", "not a member of the organisation")
        return membership

    def needs_org_admin(self) -> None:
        """Refuse everybody but Admins of the organisation."""
        if not self.org_admin():
            raise Refused("AUTHORISATION_ERROR", "not an Admin of the organisation")


RestRule: TypeAlias = Callable[[RestAsk], Answer]


def moment(moment_us: int) -> str:
    """Return a time as REST objects carry it: ISO 8601, UTC, microseconds. That they are ``Z`` times is inferred."""
    whole = datetime.fromtimestamp(moment_us // 1_000_000, UTC)
    return whole.replace(microsecond=moment_us % 1_000_000, tzinfo=None).isoformat() + "Z"


def group_shown(group: GroupRow) -> dict[str, object]:
    """Return a group as REST objects carry it."""
    return {
        "groupHash": group.hash,
        "name": group.name,
        "description": group.description,
        "createdAt": moment(group.created_us),
    }
