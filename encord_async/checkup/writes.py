"""The checks that make something: one project, marked as made by them, which stays. They touch no other."""

import datetime as dt
from typing import Final

from encord_async.checkup.chart import Chart, Check, Made, Seen, UnreadError, as_assumed, not_told, otherwise, told_of
from encord_async.checkup.reads import own_datasets
from encord_async.errors import RefusedError
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.protocol.operations.base import ListingFilter
from encord_async.protocol.operations.keys import CreateProjectAPIKey, ListProjectAPIKeys
from encord_async.protocol.operations.projects import (
    AddDatasets,
    AddProjectUsers,
    CreateProject,
    ListProjectDatasets,
    ListProjects,
    ListProjectsV2,
    ListProjectUsers,
)

__all__ = ["WRITE_CHECKS", "once", "side_by_side", "soon"]

_SETTLE_S: Final = 60.0
"""As long as `apply` looks for a create without an answer."""
_LONGEST_WAIT_S: Final = 5.0
_DESCRIPTION: Final = "Made by 'encord-async doctor --write' to see how the service answers. Nothing needs it."
_KEY_TITLE: Final = "encord-async doctor"


def soon(waits_s: dict[str, float], asked: int) -> Seen:
    """Whether what was made was seen in all *asked* listings in time; *waits_s* are those in which it was."""
    shown = ", ".join(f"{wait_s:.1f} s ({name})" for name, wait_s in waits_s.items())
    figures = {f"{name}_s": round(wait_s, 2) for name, wait_s in waits_s.items()}
    if len(waits_s) < asked:
        return otherwise(f"not in all of them within {_SETTLE_S:.0f} s{': after ' if shown else ''}{shown}", **figures)
    return as_assumed(f"after {shown}", **figures)


async def _seen_soon(chart: Chart) -> Seen:
    clock = chart.session.clock
    moment = dt.datetime.fromtimestamp(clock.wall_s(), dt.UTC)
    title = f"encord-async doctor {moment:%Y-%m-%d %H:%M:%S}Z"
    hash_ = await chart.session.execute(CreateProject(title=title, description=_DESCRIPTION))
    chart.made = Made(hash=hash_, title=title)
    began_s = clock.monotonic_s()
    waits_s: dict[str, float] = {}
    pause_s = 0.1
    while True:
        for name in ("envelope", "v2"):
            if name not in waits_s and await _is_listed(chart, chart.made, name):
                waits_s[name] = clock.monotonic_s() - began_s
        if len(waits_s) == 2 or clock.monotonic_s() - began_s >= _SETTLE_S:
            return soon(waits_s, 2)
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_WAIT_S)


async def _is_listed(chart: Chart, made: Made, api: str) -> bool:
    wanted = ListingFilter(title_eq=made.title)
    if api == "v2":
        return made.hash in {one.project_hash for one in await chart.session.collect(ListProjectsV2(filter=wanted))}
    found = await chart.session.execute(ListProjects(filter=wanted))
    return made.hash in {one.project.project_hash for one in found}


def _made(chart: Chart) -> str:
    if chart.made is None:
        raise UnreadError("no project could be made for it")
    return chart.made.hash


def _again(error: RefusedError) -> Seen:
    return otherwise(f"the second time is refused: {told_of(error)}")


def once(number: int, what: str) -> Seen:
    """The second time was accepted, and *what* is listed *number* times."""
    if number == 1:
        return as_assumed(f"accepted, and {what} is listed once", listed=number)
    if number == 0:
        return not_told(f"accepted, but {what} is not listed yet", listed=number)
    return otherwise(f"{what} is listed {number} times", listed=number)


async def _attached_twice(chart: Chart) -> Seen:
    project = _made(chart)
    own = own_datasets(chart)
    if not own:
        raise UnreadError("skipped: the account is Admin of no dataset that could be attached")
    attach = AddDatasets(project_hash=project, dataset_hashes=(own[0],))
    await chart.session.execute(attach)
    try:
        await chart.session.execute(attach)
    except RefusedError as error:
        return _again(error)
    listed = await chart.session.execute(ListProjectDatasets(project_hash=project))
    return once([one.dataset_hash for one in listed.results].count(own[0]), "the dataset")


async def _added_twice(chart: Chart) -> Seen:
    project = _made(chart)
    members = await chart.session.collect(ListProjectUsers(project_hash=project))
    if len(members) != 1:
        raise UnreadError("skipped: which of its users has this key is not known")
    # The one user there is who has the key, in the role that he has: nobody else hears of it.
    (own,) = (member.user_email for member in members)
    add = AddProjectUsers(project_hash=project, emails=(own,), role=ProjectUserRole.ADMIN)
    await chart.session.execute(add)
    try:
        await chart.session.execute(add)
    except RefusedError as error:
        return _again(error)
    after = await chart.session.execute(ListProjectUsers(project_hash=project))
    if any(one.user_role != ProjectUserRole.ADMIN for one in after.results):
        return otherwise("accepted, but the role is another one now")
    return once([one.user_email.lower() for one in after.results].count(own.lower()), "the user")


def side_by_side(number: int, *, is_same: bool) -> Seen:
    """Two keys of one title were asked for; *number* are listed, *is_same* is whether one key was given twice."""
    if is_same:
        return otherwise("the second time gives the first key again", listed=number)
    if number < 2:
        return not_told("two keys, but they are not listed yet", listed=number)
    return as_assumed("two keys, and both are listed", listed=number)


async def _keys_of_one_title(chart: Chart) -> Seen:
    project = _made(chart)
    create = CreateProjectAPIKey(project_hash=project, title=_KEY_TITLE, scopes=(APIKeyScope.LABEL_READ,))
    first = await chart.session.execute(create)
    try:
        second = await chart.session.execute(create)
    except RefusedError as error:
        return _again(error)
    listed = await chart.session.execute(ListProjectAPIKeys(project_hash=project))
    number = [one.title for one in listed].count(_KEY_TITLE)
    return side_by_side(number, is_same=first == second)


WRITE_CHECKS: Final = (
    Check("read after write", f"listings show what was made within {_SETTLE_S:.0f} s", _seen_soon, writes=True),
    Check(
        "attached twice",
        "a dataset that is attached already is accepted, and nothing changes",
        _attached_twice,
        writes=True,
    ),
    Check("added twice", "a user who is a member already is accepted, and nothing changes", _added_twice, writes=True),
    Check("keys of one title", "API keys of one title are made side by side", _keys_of_one_title, writes=True),
)
"""The first makes the project that the others are about."""
