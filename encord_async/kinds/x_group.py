class _Groups(Thing):
    word = "group"
    plural = "groups"
    is_irreversible = False

    def draft(self, order: Order) -> Draft:
        entry = order.entry
        assert isinstance(entry, GroupEntry)
        operation = CreateGroup(name=order.title, description=order.description)
        return Draft(operation=operation, details={}, names=(order.title, entry.description))

    def hash_of(self, made: Group) -> str:
        return made.group_hash

    def probe(self, found_hash: str) -> GetGroup:
        return GetGroup(group_hash=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> Group:  # noqa: ARG002 - a group shows no members
        return Group(group_hash=stand_in, name="")

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:  # noqa: ARG002 - of datasets
        async for page in reads.pages(ListGroups()):
            for one in page.results:
                # Who manages a group is not listed; whoever does not, is refused when it comes to its members.
                yield Listed(one.group_hash, one.name, one.description, is_admin=True, item=one)

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        return await looked_up(reads, CreateGroup(name=sought.title, description=sought.description), self)


class _Members(Relation):
    sort = "member"
    what = "group_member"
    plural = "members"
    parent = "group"
    item = "organisation_user"
    gives = "group_member"
    thing = "member"
    is_of_addresses = True

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddGroupMembers:  # noqa: ARG002
        return AddGroupMembers(group_hash=parent_hash, emails=items)

    def probe(self, parent_hash: str) -> GetGroup:
        return GROUP.probe(parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        members = await listing(reads, ListGroupMembers(group_hash=parent_hash))
        return members if isinstance(members, Unlisted) else {member.user_email: None for member in members}

    async def spared(self, reads: Reads, held: Held) -> Collection[str]:
        """Whoever makes a group becomes a member of it, and who that was the service does not say.

        So an Admin of the organisation is never too much; if nobody knows who is Admin, nobody is.
        """
        users = await listing(reads, ListOrganisationUsers())
        if isinstance(users, Unlisted):
            return held.keys()
        admins = {user.email.casefold() for user in users if user.role_mnemonic_name == OrganisationRole.ADMIN}
        return {email for email in held if email.casefold() in admins}

    @property
    def extras_stay(self) -> str:
        return "it could be the account itself, which the service does not say; remove it in Encord's app"


GROUP: Final = _Groups()
MEMBERS: Final = _Members()
