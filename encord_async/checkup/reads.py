"""The checks that only read. What they judge by is in pure functions, for which no service is needed."""

import email.utils
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final

from encord_async.checkup.chart import Chart, Check, Read, Seen, UnreadError, as_assumed, not_told, otherwise, told_of
from encord_async.errors import AppliedError, AuthenticationError, EncordError, NotFoundError, RefusedError
from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import DatasetUserRole, ProjectUserRole
from encord_async.protocol.operations.base import ListingFilter, Operation, PageOperation
from encord_async.protocol.operations.datasets import ListDatasets, ListDatasetsV2, ListDatasetUsers
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.ontologies import ListOntologies
from encord_async.protocol.operations.organisation import ListGroups, ListOrganisationUsers, ListTags
from encord_async.protocol.operations.projects import GetProject, ListProjects, ListProjectsV2, ListProjectUsers
from encord_async.protocol.signing import APIKey
from encord_async.session.session import Session

__all__ = [
    "HEADER_CHECKS",
    "KEY_CHECKS",
    "READ_CHECKS",
    "agreement",
    "clock_off_s",
    "clocks",
    "limits",
    "own_addresses",
    "own_datasets",
    "paging",
    "titled",
    "values",
]

_MOST_PAGES: Final = 3
"""So many pages of a listing say how it is paged; a large account has hundreds."""
_MOST_PROJECTS: Final = 3
_CLOCK_OFF_S: Final = 30.0
"""A signature of REST v2 says when it was made. How old one may be is unknown; no service refuses this age."""
_NOBODY: Final = "encord-async doctor looks for a title that nobody has"
_NOWHERE: Final = "00000000-0000-4000-8000-0d0c70d0c700"

PROJECTS: Final = "projects, envelope"
PROJECTS_V2: Final = "projects, v2"
DATASETS: Final = "datasets, envelope"
DATASETS_V2: Final = "datasets, v2"


# --- the key, and who has it ------------------------------------------------------------------------------------------


async def _key(chart: Chart) -> Seen:
    try:
        await chart.session.execute(ListProjects(filter=ListingFilter(title_eq=_NOBODY)))
    except AuthenticationError:
        chart.key_refused, chart.closed = True, "the key is not accepted"
        raise
    except (RefusedError, AppliedError) as error:
        return as_assumed("accepted, though the call was not answered as it should be", error=type(error).__name__)
    except EncordError:
        chart.closed = "the service does not answer"
        raise
    return as_assumed("accepted")


def _own_projects(chart: Chart) -> list[str]:
    """Hashes of a few projects that the user of the key is Admin of, the one that was made first."""
    made = [chart.made.hash] if chart.made else []
    found: list[str] = []
    if not made or isinstance(chart.listings.get(PROJECTS), Read):
        found = [
            item.project.project_hash
            for item in _items(chart, PROJECTS, models.OwnedProject)
            if item.user_role == ProjectUserRole.ADMIN
        ]
    if not made and not found:
        raise UnreadError("the account is Admin of no project")
    return list(dict.fromkeys((*made, *found)))[:_MOST_PROJECTS]


def _members(chart: Chart) -> Sequence[PageOperation[Any]]:
    """The listings of the users of a few projects, or else datasets, that the user of the key is Admin of."""
    try:
        return [ListProjectUsers(project_hash=project) for project in _own_projects(chart)]
    except UnreadError:
        datasets = own_datasets(chart)[:_MOST_PROJECTS]
    if not datasets:
        raise UnreadError("the account is Admin of no project and no dataset")
    return [ListDatasetUsers(dataset_hash=dataset) for dataset in datasets]


def own_datasets(chart: Chart) -> list[str]:
    """Hashes of the datasets that the user of the key is Admin of.

    Raises:
        UnreadError: They were not read.
    """
    items = _items(chart, DATASETS, models.OwnedDataset)
    return [item.dataset.dataset_hash for item in items if item.user_role == DatasetUserRole.ADMIN]


def own_addresses(admins: Iterable[Collection[str]]) -> set[str]:
    """Who may be the user that is Admin of each thing, by the addresses of the Admins of each."""
    sets = [set(one) for one in admins]
    return set.intersection(*sets) if sets else set()


async def _users(chart: Chart) -> Seen:
    admins = []
    for listing in _members(chart):
        members = await chart.session.collect(listing)
        # Admin is the same number for both.
        admins.append([one.user_email.lower() for one in members if one.user_role == ProjectUserRole.ADMIN])
    found = own_addresses(admins)
    if not found:
        return not_told("no Admin is the same in all of them: access may come by a group", listings=len(admins))
    if len(found) == 1:
        (chart.account,) = found
    whose = "the user of this key" if len(found) == 1 else f"one of {len(found)} users, of whom one has this key"
    return as_assumed(f"they are: {whose}", listings=len(admins), candidates=len(found))


# --- listings ---------------------------------------------------------------------------------------------------------


def _items(chart: Chart, name: str, model: type[Any]) -> list[Any]:
    return [item for item in chart.listing(name).items if isinstance(item, model)]


async def _listed(name: str, operation: Operation[Any], chart: Chart) -> Seen:
    began_s = chart.session.clock.monotonic_s()
    try:
        read = await _read(chart.session, operation)
    except EncordError as error:
        chart.listings[name] = f"failed ({type(error).__name__})"
        raise
    chart.listings[name] = read
    took_s = round(chart.session.clock.monotonic_s() - began_s, 3)
    more = "" if read.is_whole else ", and more that were not read"
    figures = {"number": len(read.items), "pages": read.pages, "is_whole": read.is_whole, "took_s": took_s}
    return as_assumed(f"{len(read.items):,} on {read.pages} page{'s'[: read.pages != 1]}{more}", **figures)


async def _read(session: Session, operation: Operation[Any]) -> Read:
    if not isinstance(operation, PageOperation):
        return Read(items=tuple(await session.execute(operation)), pages=1, is_whole=True)
    items: list[object] = []
    following: PageOperation[Any] | None = operation
    pages = 0
    while following is not None and pages < _MOST_PAGES:
        page = await session.execute(following)
        items.extend(page.results)
        pages += 1
        following = following.after(page)
    names = Counter(getattr(item, operation.item_name) for item in items)
    return Read(items=tuple(items), pages=pages, is_whole=following is None, twice=len(items) - len(names))


def _listing(name: str, operation: Operation[Any]) -> Check:
    return Check(name, "the listing answers in the form that is known", partial(_listed, name, operation))


def agreement(envelope: Collection[str], v2: Collection[str], *, is_whole: bool) -> Seen:
    """Whether both APIs list the same hashes; *is_whole* is whether all of *v2* was read."""
    only_v2 = len(set(v2) - set(envelope))
    only_envelope = len(set(envelope) - set(v2)) if is_whole else 0
    figures = {"only_v2": only_v2, "only_envelope": only_envelope, "compared": len(set(v2))}
    if only_v2 or only_envelope:
        return otherwise(f"{only_v2} only over v2, {only_envelope} only over the envelope API", **figures)
    if not v2 and not envelope:
        return not_told("there are none")
    return as_assumed(f"{len(set(v2)):,} compared, all the same", **figures)


async def _same_projects(chart: Chart) -> Seen:
    envelope = [item.project.project_hash for item in _items(chart, PROJECTS, models.OwnedProject)]
    v2 = [item.project_hash for item in _items(chart, PROJECTS_V2, rest_models.ProjectDetails)]
    return agreement(envelope, v2, is_whole=chart.listing(PROJECTS_V2).is_whole)


async def _same_datasets(chart: Chart) -> Seen:
    envelope = [item.dataset.dataset_hash for item in _items(chart, DATASETS, models.OwnedDataset)]
    v2 = [item.dataset_uuid for item in _items(chart, DATASETS_V2, rest_models.ListedDataset)]
    return agreement(envelope, v2, is_whole=chart.listing(DATASETS_V2).is_whole)


def paging(listings: Iterable[Read]) -> Seen:
    """Whether pages that follow each other show each thing once."""
    paged = [read for read in listings if read.pages > 1]
    if not paged:
        return not_told("no listing is longer than a page")
    twice = sum(read.twice for read in paged)
    if twice:
        return otherwise(f"{twice} shown on two pages", listings=len(paged), twice=twice)
    return as_assumed(f"{len(paged)} with several pages, nothing shown twice", listings=len(paged))


async def _pages(chart: Chart) -> Seen:
    return paging(read for read in chart.listings.values() if isinstance(read, Read))


def titled(title: str, hash_: str, found: Sequence[tuple[str, str]]) -> Seen:
    """Whether *found*, hashes and titles, is what a listing of *title* should show, which *hash_* has."""
    strangers = sum(other != title for _, other in found)
    if hash_ not in {one for one, _ in found}:
        return otherwise("the one that it was asked for is not in it", found=len(found))
    if strangers:
        return otherwise(f"{strangers} of {len(found)} have another title", found=len(found), strangers=strangers)
    return as_assumed(f"{len(found)} found, all of that title", found=len(found))


async def _projects_by_title(chart: Chart) -> Seen:
    for item in _items(chart, PROJECTS, models.OwnedProject):
        project = item.project
        found = await chart.session.execute(ListProjects(filter=ListingFilter(title_eq=project.title)))
        shown = [(one.project.project_hash, one.project.title) for one in found]
        return titled(project.title, project.project_hash, shown)
    raise UnreadError("there is none to look for")


async def _datasets_by_title(chart: Chart) -> Seen:
    for item in _items(chart, DATASETS_V2, rest_models.ListedDataset):
        found = await chart.session.collect(ListDatasetsV2(filter=ListingFilter(title_eq=item.title)))
        return titled(item.title, item.dataset_uuid, [(one.dataset_uuid, one.title) for one in found])
    raise UnreadError("there is none to look for")


def values(found: Iterable[tuple[str, object]]) -> Seen:
    """Whether all values that are listed are known here: what is not known stays the number or text that came."""
    counted = Counter((name, isinstance(value, Enum)) for name, value in found if value is not None)
    unknown = {name: number for (name, known), number in counted.items() if not known}
    if not counted:
        return not_told("nothing is listed that has any")
    if unknown:
        shown = ", ".join(f"{number} of {name}" for name, number in sorted(unknown.items()))
        return otherwise(f"not known here: {shown}", **unknown)
    return as_assumed(f"{counted.total():,} values, all known", values=counted.total())


_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    PROJECTS: ("user_role",),
    PROJECTS_V2: ("user_role", "status"),
    DATASETS: ("user_role",),
    DATASETS_V2: ("user_role", "storage_location"),
}


async def _values(chart: Chart) -> Seen:
    return values(
        (name, getattr(item, name))
        for listing, names in _VALUES.items()
        if isinstance(read := chart.listings.get(listing), Read)
        for item in read.items
        for name in names
    )


# --- single things ----------------------------------------------------------------------------------------------------


async def _unknown_hash(chart: Chart) -> Seen:
    try:
        await chart.session.execute(GetProject(project_hash=_NOWHERE))
    except NotFoundError as error:
        return as_assumed(told_of(error), http_status=error.http_status or 0)
    except RefusedError as error:
        return otherwise(told_of(error), http_status=error.http_status or 0)
    return otherwise("it was answered as if it were there")


async def _keys_listed(chart: Chart) -> Seen:
    number = 0
    projects = _own_projects(chart)
    for project in projects:
        number += len(await chart.session.execute(ListProjectAPIKeys(project_hash=project)))
    return as_assumed(f"{number} in {len(projects)} project{'s'[: len(projects) != 1]}", keys=number)


async def _keys_honoured(chart: Chart) -> Seen:
    for project in _own_projects(chart):
        for key in await chart.session.execute(ListProjectAPIKeys(project_hash=project)):
            signing = APIKey(key.api_key.get_secret_value())
            try:
                await chart.session.execute(GetProject(project_hash=project), api_key=signing)
            except RefusedError as error:
                return otherwise(f"refused: {told_of(error)}")
            return as_assumed("it reads its project")
    raise UnreadError("no project that was looked at has a key; --write makes one")


# --- what headers said ------------------------------------------------------------------------------------------------


def clock_off_s(dates: Iterable[tuple[float, str]]) -> float | None:
    """Seconds that the clock here is ahead of the service's; None if no reply named a time that can be read.

    The smallest counts: what came late says more of the way than of the clock.
    """
    found = []
    for here_s, text in dates:
        try:
            # It names whole seconds, rounded down.
            found.append(here_s - email.utils.parsedate_to_datetime(text).timestamp() - 0.5)
        except (ValueError, OverflowError):
            continue
    return min(found, key=abs, default=None)


def clocks(off_s: float | None) -> Seen:
    """Whether the clocks agree."""
    if off_s is None:
        return not_told("no reply said what time it is there")
    text = f"this machine's is {abs(off_s):.0f} s {'ahead' if off_s > 0 else 'behind'}"
    judged = as_assumed if abs(off_s) <= _CLOCK_OFF_S else otherwise
    return judged("the same time" if abs(off_s) < 1 else text, off_s=round(off_s, 1))


async def _clock(chart: Chart) -> Seen:
    return clocks(clock_off_s(chart.headers.dates))


_HARMLESS: Final = re.compile(r"(?:[\d .,;:=]|\b(?:limit|remaining|reset|[a-z])\b){1,80}")
"""A header's value of numbers and what they count; another could name anything."""


def limits(headers: Mapping[str, str], *, requests: int, throttled: int) -> Seen:
    """Whether the service says how much may be asked of it."""
    figures = {name: value for name, value in headers.items() if _HARMLESS.fullmatch(value)}
    if throttled:
        return otherwise(f"{throttled} of {requests} requests were turned away", throttled=throttled, **figures)
    if headers:
        return otherwise(f"headers name one: {', '.join(sorted(headers))}", **figures)
    return not_told(f"no header names one, and none of {requests} requests was turned away", requests=requests)


async def _limits(chart: Chart) -> Seen:
    counted = chart.session.statistics()
    return limits(chart.headers.limits, requests=counted.requests, throttled=counted.throttled)


READ_CHECKS: Final = (
    Check("key", "the service answers, and accepts it", _key),
    _listing(PROJECTS, ListProjects()),
    _listing(DATASETS, ListDatasets()),
    _listing(PROJECTS_V2, ListProjectsV2()),
    _listing(DATASETS_V2, ListDatasetsV2()),
    _listing("ontologies, v2", ListOntologies()),
    _listing("groups, v2", ListGroups()),
    _listing("users of the organisation, v2", ListOrganisationUsers()),
    _listing("tags, v2", ListTags()),
    Check("same projects", "both APIs list the same projects", _same_projects),
    Check("same datasets", "both APIs list the same datasets", _same_datasets),
    Check("pages", "a listing with pages shows each thing once", _pages),
    Check("projects by title", "a filter finds all projects of a title, and no other", _projects_by_title),
    Check("datasets by title", "a filter finds all datasets of a title, and no other", _datasets_by_title),
    Check("known values", "roles, statuses and storages are those that are known here", _values),
    Check("unknown hash", "a project that is not there is refused as not found", _unknown_hash),
)
"""What is read first; the others build on it."""

KEY_CHECKS: Final = (
    Check("users", "those of a project or dataset are listed, the user of the key among them", _users),
    Check("API keys", "those of a project are listed", _keys_listed),
    Check("API keys honoured", "a project's key reads the project", _keys_honoured),
)
"""About projects of the account's own: the one that `--write` makes is one."""

HEADER_CHECKS: Final = (
    Check("clock", f"the clocks agree to {_CLOCK_OFF_S:.0f} s", _clock, asks=False),
    Check("rate limit", "it is found by being turned away: no header names it", _limits, asks=False),
)
"""What all the replies before have said by the way."""
