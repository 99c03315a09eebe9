"""Compares what belongs to no project with a manifest: ontologies, groups and the users of the organisation.

All are listed over REST v2. What the service does not list is counted as not compared, and is no difference. Only reads
are sent. Of what the service shows, this keeps the groups that are wished for and the members of the organisation.

Whoever makes a group becomes a member of it, and who that was the service does not say. So an Admin of the organisation
in a group is never too much there, and nobody is ever taken out of a group.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from encord_async.engine.crew import each
from encord_async.engine.members import Unlisted, listing
from encord_async.errors import AuthenticationError, RefusedError
from encord_async.manifest.place import Place
from encord_async.protocol.catalogue import MemberType, OrganisationRole
from encord_async.protocol.operations.ontologies import ListOntologies
from encord_async.protocol.operations.organisation import ListGroupMembers, ListGroups, ListOrganisationUsers
from encord_async.protocol.rest_models import Group, Ontology, OrganisationUser
from encord_async.session.session import Session
from encord_async.verify.difference import Difference, NamedWish, Thing, different, extra, missing, names

__all__ = [
    "GroupWish",
    "Lacking",
    "LackingMembers",
    "OntologyWish",
    "OrganisationUserWish",
    "OrganisationWishes",
    "compare_organisation",
    "examine_group",
    "examine_ontology",
    "examine_organisation_user",
    "parts_of",
]

_ONTOLOGY_STAYS: Final = "a run changes no ontology that is there; change it in Encord's app"
_USER_STAYS: Final = "this API cannot change it for a member of the organisation; change it in Encord's app"
_MEMBER_STAYS: Final = "it could be the account itself, which the service does not say; remove it in Encord's app"


@dataclass(frozen=True, slots=True)
class OntologyWish:
    """An ontology as its entry describes it, with a digest of each part of its structure."""

    named: NamedWish
    parts: Mapping[str, bytes]


@dataclass(slots=True)
class GroupWish:
    """A group as its entry describes it, with the e-mail addresses of its members."""

    named: NamedWish
    members: set[str]


@dataclass(frozen=True, slots=True)
class OrganisationUserWish:
    """Somebody who is to be a member of the organisation."""

    place: Place
    email: str
    role: OrganisationRole
    member_type: MemberType


@dataclass(slots=True)
class OrganisationWishes:
    """What a manifest wants beside projects and datasets: ontologies and groups by hash, users by e-mail address.

    The addresses that *users* goes by are in small letters.
    """

    ontologies: dict[str, OntologyWish] = field(default_factory=dict)
    groups: dict[str, GroupWish] = field(default_factory=dict)
    users: dict[str, OrganisationUserWish] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LackingMembers:
    """Users that a group lacks, or may lack if nobody knows its members."""

    group_hash: str
    emails: tuple[str, ...]


Lacking: TypeAlias = OrganisationUserWish | LackingMembers
"""Somebody whom the organisation lacks, or users whom a group lacks."""

Note: TypeAlias = Callable[[Difference], None]
NotListed: TypeAlias = Callable[[Thing, int, Unlisted], None]
_Users: TypeAlias = Mapping[str, OrganisationUser]


def parts_of(structure: Mapping[str, Any]) -> dict[str, bytes]:
    """A digest of each part of an ontology's structure, however the members of objects in it are ordered."""
    return {name: _digest(part) for name, part in structure.items()}


def _digest(part: object) -> bytes:
    return hashlib.blake2b(json.dumps(part, sort_keys=True).encode(), digest_size=16).digest()


# ---------------------------------------------------------------------- what is there


async def compare_organisation(
    session: Session,
    wishes: OrganisationWishes,
    *,
    note: Note,
    not_listed: NotListed,
    on_lacking: Callable[[Lacking], None],
) -> None:
    """Read back what *wishes* is about.

    Args:
        session: Reads.
        wishes: What is wanted.
        note: Is given each difference.
        not_listed: Is told how many things the service does not list, and why.
        on_lacking: Is given whoever the organisation or a group lacks.

    Raises:
        EncordError: The service cannot be read, for another reason than that it refuses a listing.
    """
    if wishes.ontologies:
        await _ontologies(session, wishes.ontologies, note, not_listed)
    if not wishes.users and not wishes.groups:
        return
    listed = await listing(session, ListOrganisationUsers())
    users: _Users | None = None
    if not isinstance(listed, Unlisted):
        users = {user.email.casefold(): user for user in listed}
        _organisation_users(wishes.users, users, note, on_lacking)
    elif wishes.users:
        not_listed(Thing.ORGANISATION_USER, len(wishes.users), listed)
    if wishes.groups:
        await _groups(session, wishes.groups, users, note, not_listed, on_lacking)


async def _ontologies(session: Session, wanted: Mapping[str, OntologyWish], note: Note, not_listed: NotListed) -> None:
    """Page by page, because each ontology comes with its whole structure."""
    seen: set[str] = set()
    found: list[Difference] = []
    try:
        async for page in session.pages(ListOntologies()):
            for ontology in page.results:
                wish = wanted.get(ontology.ontology_uuid)
                if wish is not None:
                    seen.add(ontology.ontology_uuid)
                    found += examine_ontology(wish, ontology)
    except AuthenticationError:
        raise
    except RefusedError as error:
        not_listed(Thing.ONTOLOGY, len(wanted), Unlisted(str(error)))
        return
    gone = [(hash_, wish.named) for hash_, wish in wanted.items() if hash_ not in seen]
    found += [_gone(Thing.ONTOLOGY, named, hash_) for hash_, named in gone]
    for difference in found:
        note(difference)


def _organisation_users(
    wanted: Mapping[str, OrganisationUserWish], users: _Users, note: Note, on_lacking: Callable[[Lacking], None]
) -> None:
    for email, wish in wanted.items():
        for difference in examine_organisation_user(wish, users.get(email)):
            note(difference)
        if email not in users:
            on_lacking(wish)


async def _groups(
    session: Session,
    wanted: Mapping[str, GroupWish],
    users: _Users | None,
    note: Note,
    not_listed: NotListed,
    on_lacking: Callable[[Lacking], None],
) -> None:
    listed = await listing(session, ListGroups())
    if isinstance(listed, Unlisted):
        not_listed(Thing.GROUP, len(wanted), listed)
        return
    held = [group for group in listed if group.group_hash in wanted]
    for group_hash in sorted(wanted.keys() - {group.group_hash for group in held}):
        note(_gone(Thing.GROUP, wanted[group_hash].named, group_hash))
    await _members(session, wanted, held, users, note, not_listed, on_lacking)


async def _members(
    session: Session,
    wanted: Mapping[str, GroupWish],
    held: Sequence[Group],
    users: _Users | None,
    note: Note,
    not_listed: NotListed,
    on_lacking: Callable[[Lacking], None],
) -> None:
    """Read who is in the groups *held*, several at a time."""

    async def look(group: Group) -> None:
        read = await listing(session, ListGroupMembers(group_hash=group.group_hash))
        members = None
        if isinstance(read, Unlisted):
            not_listed(Thing.MEMBER, 1, read)
        else:
            members = [member.user_email for member in read]
        wish = wanted[group.group_hash]
        for difference in examine_group(wish, group, members, users):
            note(difference)
        emails = tuple(_lacking(wish, members or ()))
        if emails:
            on_lacking(LackingMembers(group.group_hash, emails))

    await each(held, look, at_once=session.settings.concurrency)


# ---------------------------------------------------------------------- the difference


def _gone(what: Thing, named: NamedWish, found_hash: str) -> Difference:
    return missing(named.place, what, named.title, found_hash, f"the account has no such {what.value} any more")


def examine_ontology(wish: OntologyWish, ontology: Ontology) -> Iterator[Difference]:
    """How an ontology differs from what is wanted; parts that the manifest does not name may be anything. Pure."""
    named, found_hash = wish.named, ontology.ontology_uuid
    yield from names(named, found_hash, ontology.title, ontology.description)
    if any(_digest(ontology.editor.get(part)) != digest for part, digest in wish.parts.items()):
        yield different(named.place, Thing.STRUCTURE, named.title, found_hash, None, None, reason=_ONTOLOGY_STAYS)


def examine_organisation_user(wish: OrganisationUserWish, user: OrganisationUser | None) -> Iterator[Difference]:
    """How a member of the organisation differs from what is wanted; None is nobody. Pure."""
    wanted, kind = wish.role.value.lower(), wish.member_type.value
    if user is None:
        yield missing(wish.place, Thing.ORGANISATION_USER, wish.email, None, wanted=wanted)
        return
    held = str(user.role_mnemonic_name).lower()
    if held != wanted:
        yield different(wish.place, Thing.ROLE, wish.email, None, wanted, held, reason=_USER_STAYS)
    if user.member_type != kind:
        found = str(user.member_type)
        yield different(wish.place, Thing.MEMBER_TYPE, wish.email, None, kind, found, reason=_USER_STAYS)


def examine_group(
    wish: GroupWish, group: Group, members: Iterable[str] | None, users: Mapping[str, OrganisationUser] | None
) -> Iterator[Difference]:
    """How a group differs from what is wanted. Pure.

    Args:
        wish: What is wanted.
        group: What is there.
        members: The e-mail addresses of those in it, None if they are not known.
        users: The members of the organisation by address in small letters, None if they are not known: then nobody can
            be told from an Admin, and so nobody is too much.
    """
    named, found_hash = wish.named, group.group_hash
    yield from names(named, found_hash, group.name, group.description)
    if members is None:
        return
    held = sorted(members)
    for email in _lacking(wish, held):
        yield missing(named.place, Thing.MEMBER, email, found_hash)
    wanted = {email.casefold() for email in wish.members}
    for email in held:
        if email.casefold() not in wanted and not _may_be_admin(email, users):
            yield extra(named.place, Thing.MEMBER, email, found_hash, reason=_MEMBER_STAYS)


def _may_be_admin(email: str, users: _Users | None) -> bool:
    if users is None:
        return True
    user = users.get(email.casefold())
    return user is not None and user.role_mnemonic_name == OrganisationRole.ADMIN


def _lacking(wish: GroupWish, members: Iterable[str]) -> list[str]:
    held = {email.casefold() for email in members}
    return sorted(email for email in wish.members if email.casefold() not in held)
