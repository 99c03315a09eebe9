"""What an operation is, over either API: how it becomes a request, and how its answer is read.

It never sends, signs or retries. Bad values are refused when the operation is made, before anything is sent. The two
APIs differ in how a request is built (`EnvelopeOperation`, `RestOperation`), and in nothing else. A listing of REST v2
is a `PageOperation`: it asks for one page, and says which operation asks for the next.

There is no operation that deletes a project or an API key: the service offers none (source: docs).
"""

import functools
import string
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, cast, get_args, get_origin

from encord_async.errors import ExistsError, ReplyShapeError
from encord_async.protocol import models
from encord_async.protocol.catalogue import Effect, Endpoint, Method, Query, RestCall, query
from encord_async.protocol.checks import Adapter, Check, SomeTexts, assign, read_done
from encord_async.protocol.envelope import Envelope, seal
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.request import Request
from encord_async.protocol.rest import QueryValue, RestRequest, camel, members, seal_rest
from encord_async.protocol.rest_models import Page, Whole

__all__ = [
    "NO_FILTER",
    "AddGroups",
    "Command",
    "Creation",
    "EnvelopeCommand",
    "EnvelopeListing",
    "EnvelopeOperation",
    "ListingFilter",
    "Operation",
    "PageOperation",
    "RemoveGroups",
    "RemoveUsers",
    "RestOperation",
    "WholeOperation",
    "filter_query",
    "is_ours",
    "reader_of",
    "resource_call",
    "user_call",
]

T_co = TypeVar("T_co", covariant=True)
ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")


class Operation(ABC, Generic[T_co]):
    """One thing asked of the service; *T* is the type of its result.

    Operations are frozen dataclasses. A field whose annotation has a `Check` is given to it when one is made.
    """

    __slots__ = ()

    listed_as: ClassVar[Any] = None
    """What the answer to a listing is, without the type of its items."""
    about: ClassVar[tuple[str, str] | None] = None
    """A field, and the member of the answer that has to hold the same: what was asked about. None if it says none."""

    def __post_init__(self) -> None:
        for name, check in _checks(type(self)):
            value = getattr(self, name)
            kept = check.take(value, name)
            if kept is not value:
                assign(self, name, kept)

    @property
    @abstractmethod
    def effect(self) -> Effect:
        """What doing it twice would do."""

    @abstractmethod
    def request(self) -> Request:
        """The operation as it goes onto the wire, but for its signature; equal operations give equal requests.

        Raises:
            UnencodableError: A value cannot be written as UTF-8 or JSON.
        """

    @abstractmethod
    def parse(self, content: object) -> T_co:
        """Read what a successful reply carries, see `Request.judge`.

        Raises:
            ReplyShapeError: The service succeeded but its answer is not understood.
            RefusedError: The service answered ``false`` to a call whose answer is yes or no.
        """

    def _read(self, content: object, name: str) -> T_co:
        reader = reader_of(type(self))
        if self.about is None:
            return cast("T_co", reader.read(content, name))
        field, member = self.about
        return cast("T_co", reader.read_about(getattr(self, field), member, content, name))

    def if_exists(self, error: ExistsError) -> T_co:
        """The result when the service answers that it is there already; raises *error* where that is no success."""
        raise error


class EnvelopeOperation(Operation[T_co], Generic[T_co]):
    """One that goes over the envelope API; its payload has the member order of the official SDK."""

    __slots__ = ()

    query: ClassVar[Query]

    @property
    def effect(self) -> Effect:
        return self.query.effect

    def uid(self) -> JSON:
        """The envelope's ``uid``."""
        return None

    def payload(self) -> JSON:
        """The envelope's ``payload``."""
        return None

    def resource_id(self) -> str | None:
        """The ``ResourceID`` header on `Endpoint.RESOURCE`."""
        return None

    def request(self) -> Envelope:
        return seal(self.query, uid=self.uid(), payload=self.payload(), resource_id=self.resource_id())

    def parse(self, content: object) -> T_co:
        return self._read(content, self.query.name)


class EnvelopeListing(EnvelopeOperation[tuple[ItemT, ...]], Generic[ItemT]):
    """One that lists all there is in one answer."""

    __slots__ = ()

    listed_as: ClassVar[Any] = models.Many

    def parse(self, content: object) -> tuple[ItemT, ...]:
        # The SDK takes an empty object for an empty list.
        return super().parse(() if content == {} else content)


class EnvelopeCommand(EnvelopeOperation[None]):
    """One of the envelope API whose answer is yes or no."""

    __slots__ = ()

    def parse(self, content: object) -> None:
        # The SDK takes a null answer to a DELETE for success.
        if content is not None or self.query.method != "DELETE":
            read_done(content, self.query.name)


class RestOperation(Operation[T_co], Generic[T_co]):
    """One that goes over REST v2."""

    __slots__ = ()

    call: ClassVar[RestCall]

    @property
    def effect(self) -> Effect:
        return self.call.effect

    def path(self) -> Mapping[str, str]:
        """A value for each name in the call's path: of the field of that name, or with ``_hash`` or ``_uuid`` added."""
        return {name: getattr(self, field) for name, field in _named_in_path(type(self))}

    def query(self) -> Mapping[str, QueryValue]:
        """Names in camelCase and values of the query, in the SDK's order; None leaves one out."""
        return {}

    def body(self) -> JSON:
        """The JSON value to send, in the SDK's order; None sends no body."""
        return None

    def request(self) -> RestRequest:
        return seal_rest(self.call, path=self.path(), query=self.query(), body=self.body())

    def parse(self, content: object) -> T_co:
        return self._read(content, self.call.name)


class Command(RestOperation[None]):
    """One of REST v2 whose answer says nothing but that it was done."""

    __slots__ = ()

    def parse(self, content: object) -> None:
        return None


# Without slots, as `PageOperation` below: what is about a thing has two bases with fields, and only one of two may have
# slots.
@dataclass(frozen=True, kw_only=True)
class AddGroups(Command):
    """Gives groups access to a thing in one role."""

    group_hashes: SomeTexts
    role: Enum

    def body(self) -> JSON:
        return members(group_hash_list=self.group_hashes, user_role=self.role.value)


@dataclass(frozen=True, kw_only=True)
class RemoveGroups(Command):
    """Takes the access to a thing from groups; the list travels in the query."""

    group_hashes: SomeTexts

    def query(self) -> Mapping[str, QueryValue]:
        return {"groupHashList": self.group_hashes}


@dataclass(frozen=True, kw_only=True)
class RemoveUsers(Command):
    """Takes users out of a thing."""

    emails: SomeTexts

    def body(self) -> JSON:
        return members(user_emails=self.emails)


@dataclass(frozen=True, kw_only=True)
class PageOperation(RestOperation[Page[ItemT]], Generic[ItemT]):
    """One page of a listing; the first without *page_token*."""

    listed_as: ClassVar[Any] = Page
    item_name: ClassVar[str]
    """The member by which an item is known: two of one name are one thing, shown twice."""

    page_token: str | None = None

    def query(self) -> Mapping[str, QueryValue]:
        return {"pageToken": self.page_token}

    def after(self, page: Page[ItemT]) -> Self | None:
        """The operation that asks for what follows *page*, None if it was the last.

        Raises:
            ReplyShapeError: The page leads to itself.
        """
        token = page.next_page_token
        if not token:
            return None
        if token == self.page_token:
            raise ReplyShapeError("the listing does not end: a page leads to itself", operation=self.call.name)
        return replace(self, page_token=token)

    def unlike(self, shown: set[object], page: Page[ItemT]) -> Page[ItemT]:
        """*page* without what is among *shown*; the names of what it has are added to them."""
        fresh = {name: item for item in page.results if (name := getattr(item, self.item_name)) not in shown}
        shown.update(fresh)
        return page if len(fresh) == len(page.results) else page.model_copy(update={"results": tuple(fresh.values())})


@dataclass(frozen=True, kw_only=True)
class WholeOperation(PageOperation[ItemT], Generic[ItemT]):
    """A listing that has one page, in a member called result. Source: SDK 0.1.211 orm/dataset.py, cloud_integration."""

    listed_as: ClassVar[Any] = Whole

    def parse(self, content: object) -> Page[ItemT]:
        # Made without being checked again: without further pages there may be more on it than a page has elsewhere.
        found: Any = reader_of(type(self)).read(content, self.call.name)
        return Page[ItemT].model_construct(results=found.result, next_page_token=None)


class Creation(RestOperation[MadeT], Generic[MadeT, ItemT]):
    """An operation that makes something, and knows how to find out whether it did."""

    __slots__ = ()

    @abstractmethod
    def look_up(self) -> PageOperation[ItemT]:
        """The listing in which the thing would be, as far as the service can narrow it down for sure.

        Asked for neither by description nor by time: a service may keep a missing description as NULL, and its clock
        may be another.
        """

    @abstractmethod
    def is_it(self, item: ItemT) -> bool:
        """Whether *item* of that listing has the names that this operation gives, and is the caller's own."""

    def adopted(self, item: ItemT) -> MadeT:
        """What the operation would have answered, had it made *item*: that, where listings show what creates answer."""
        return cast("MadeT", item)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingFilter:
    """Filters of the listings, all optional and joined by *and*. Source: SDK 0.1.29 and newer.

    ``_like`` takes SQL patterns (``%``, ``_``); *before* and *after* exclude the moment itself.
    """

    title_eq: str | None = None
    title_like: str | None = None
    desc_eq: str | None = None
    desc_like: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    edited_before: datetime | None = None
    edited_after: datetime | None = None

    def payload(self) -> dict[str, JSON]:
        """The filters that are set, in the SDK's order, dates in ISO 8601."""
        return {
            field.name: value.isoformat() if isinstance(value, datetime) else value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }


NO_FILTER: Final = ListingFilter()


def filter_query(filter_: ListingFilter, description: str) -> dict[str, QueryValue]:
    """*filter_* as a query of REST v2; datasets and the rest do not agree on how to spell the description."""
    names = {"desc_eq": f"{description}_eq", "desc_like": f"{description}_like"}
    return {
        camel(names.get(field.name, field.name)): value
        for field in fields(filter_)
        if (value := getattr(filter_, field.name)) is not None
    }


@functools.cache
def _checks(operation: type) -> tuple[tuple[str, Check], ...]:
    """The checks of the fields of an operation, by their names."""
    notes = ((one.name, note) for one in fields(operation) for note in getattr(one.type, "__metadata__", ()))
    return tuple((name, note) for name, note in notes if isinstance(note, Check))


@functools.cache
def reader_of(operation: type[Operation[Any]]) -> Adapter[Any]:
    """What reads the answers to an operation: by the type that its base is given for the result, or for an item."""
    bases: Iterable[Any] = operation.__orig_bases__  # type: ignore[attr-defined]  # all operations have a generic base
    result = next(get_args(base)[0] for base in bases if issubclass(get_origin(base) or object, Operation))
    return Adapter(result if operation.listed_as is None else operation.listed_as[result])


@functools.cache
def _named_in_path(operation: type[RestOperation[Any]]) -> tuple[tuple[str, str], ...]:
    """The names in the path of an operation's call, each with its field."""
    known = {one.name for one in fields(operation)}  # type: ignore[arg-type]  # operations are dataclasses
    names = [name for _, name, _, _ in string.Formatter().parse(operation.call.path) if name is not None]
    return tuple((name, known.intersection((name, f"{name}_hash", f"{name}_uuid")).pop()) for name in names)


def user_call(type_: str, method: Method) -> Query:
    """The catalogue's call of that name which is open to users alone."""
    return query(Endpoint.USER, type_, method)


def resource_call(type_: str, method: Method) -> Query:
    """The catalogue's call of that name on one resource."""
    return query(Endpoint.RESOURCE, type_, method)


_ADMIN: Final = 0
"""Admin of a project, a dataset or an ontology alike."""


def is_ours(role: int | str | None) -> bool:
    """Whether *role* is what the maker of a thing holds in it; a listing may leave it out."""
    return role is None or role == _ADMIN
