"""The kind ``group``: a group of the organisation that shall exist, with members. Sends nothing."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, Strict, WithJsonSchema

from encord_async.kinds.entry import Count, Entry, MakingEntry, Use, uses
from encord_async.kinds.exporting import Exports, Inside, Pen, Scope
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import REFERENCE, Text, Title, email, hash_or_reference
from encord_async.kinds.membership import Held, Relation
from encord_async.kinds.reading import Reads, Unlisted, listing
from encord_async.kinds.step import Step, each, making_step
from encord_async.kinds.thing import DatasetAPI, Draft, Listed, Order, Sought, Thing, looked_up
from encord_async.protocol.catalogue import OrganisationRole
from encord_async.protocol.operations.organisation import (
    AddGroupMembers,
    CreateGroup,
    GetGroup,
    ListGroupMembers,
    ListGroups,
    ListOrganisationUsers,
)
from encord_async.protocol.rest_models import Group

__all__ = ["GROUP", "MEMBERS", "GroupEntry"]


def _email_or_reference(value: str) -> str:
    return hash_or_reference(value) if value.startswith(REFERENCE) else email(value)


Member: TypeAlias = Annotated[
    str,
    Strict(),
    AfterValidator(_email_or_reference),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "description": "An e-mail address, or '@' and the key of an organisation_user.",
        }
    ),
]


class GroupEntry(MakingEntry):
    """A group of the organisation that shall exist, with members."""

    title_field = "name"
    other_names: ClassVar[Mapping[str, str]] = MappingProxyType({"title": "name", "users": "members"})

    counted = (Count("groups", "groups", exported=("groups", "group", "groups")),)

    forms = MappingProxyType({"members": "ann@x.org;@bob"})
    example = MappingProxyType({"key": "annotators", "name": "Annotators", "members": ["rob@example.com"]})

    kind: Literal["group"] = "group"
    name: Title
    description: Text = ""
    members: tuple[Member, ...] = ()

    def references(self) -> Iterator[Use]:
        return uses("members", self.members, "organisation_user")

    def faults(self) -> list[Fault]:
        return twice("members.{}", [member.casefold() for member in self.members])

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield making_step(identity, GROUP, self.name)
        yield from each(identity, MEMBERS.give, None, self.members)


class _Groups(Thing, Exports):
    word = noun = "group"
    plural = "groups"
    is_irreversible = False
    after = ("organisation_user",)
    unlisted = "groups"

    def draft(self, order: Order) -> Draft:
        entry: GroupEntry = order.entry
        operation = CreateGroup(name=order.title, description=order.description)
        return Draft(operation=operation, details={}, names=(order.title, entry.description))

    def hash_of(self, made: Group) -> str:
        return made.group_hash

    def probe(self, found_hash: str) -> GetGroup:
        return GetGroup(group_hash=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> Group:  # noqa: ARG002 - a group shows no members
        return Group(group_hash=stand_in, name="")

    def names_of(self, item: Group) -> tuple[str, str | None]:
        return item.name, item.description

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:  # noqa: ARG002 - of datasets
        async for page in reads.pages(ListGroups()):
            for one in page.results:
                # Who manages a group is not listed; whoever does not, is refused when it comes to its members.
                yield Listed(one.group_hash, one.name, one.description, is_admin=True, item=one)

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        return await looked_up(reads, CreateGroup(name=sought.title, description=sought.description), self)

    def is_in(self, scope: Scope) -> bool:
        return scope.organisation

    def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:  # noqa: ARG002 - needs nothing of it
        return self.listed(reads, DatasetAPI.REST)

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        members = tuple(_members(pen, found, inside.of(MEMBERS)))
        yield from pen.entry(
            GroupEntry,
            self,
            found,
            name=found.title,
            description=found.description or "",
            members=members,
        )


def _members(pen: Pen, found: Listed, held: Held) -> Iterator[str]:
    """Keys where the manifest has them, so that everybody is in the organisation before they are in the group."""
    for folded, address in {address.casefold(): address for address in sorted(held)}.items():
        member = pen.reference("organisation_user", folded) or address
        if pen.part(GroupEntry, "user of a group", address, found.hash, name="group", members=(member,)):
            yield member


class _Members(Relation):
    sort = "member"
    what = "group_member"
    noun = "member of a group"
    plural = "members"
    adds = ("group_members", "user to add to a group", "users to add to groups")
    parent = "group"
    item = "organisation_user"
    gives = "group_member"
    has_entries = False
    thing = "member"
    written_as = "users"
    is_of_addresses = True
    extras_stay = "it could be the account itself, which the service does not say; remove it in Encord's app"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddGroupMembers:  # noqa: ARG002
        return AddGroupMembers(group_hash=parent_hash, emails=items)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        members = await listing(reads, ListGroupMembers(group_hash=parent_hash))
        return members if isinstance(members, Unlisted) else {member.user_email: None for member in members}

    def is_written(self, pen: Pen) -> bool:
        return pen.scope.users

    async def spared(self, reads: Reads, held: Held) -> Collection[str]:
        """Whoever makes a group becomes a member of it, and who that was the service does not say.

        So an Admin of the organisation is never too much; if nobody knows who is Admin, nobody is.
        """
        users = await listing(reads, ListOrganisationUsers())
        if isinstance(users, Unlisted):
            return held.keys()
        admins = {user.email.casefold() for user in users if user.role_mnemonic_name == OrganisationRole.ADMIN}
        return {email for email in held if email.casefold() in admins}


GROUP: Final = _Groups()
MEMBERS: Final = _Members()
GroupEntry.makes = GROUP
