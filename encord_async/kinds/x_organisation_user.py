class _Admissions(Admission):
    # A journal has room for 16 letters.
    word = "org_user"
    thing = "organisation_user"

    def sending(self, entry: OrganisationUserEntry) -> AddOrganisationUser:
        return AddOrganisationUser(email=entry.email, role=entry.role, member_type=entry.member_type)

    def address(self, entry: OrganisationUserEntry) -> str:
        return entry.email

    async def admitted(self, reads: Reads) -> Mapping[str, OrganisationUser] | Unlisted:
        users = await listing(reads, ListOrganisationUsers())
        return users if isinstance(users, Unlisted) else {user.email.casefold(): user for user in users}

    def differences(self, entry: OrganisationUserEntry, found: OrganisationUser | None) -> Iterator[Otherwise]:
        wanted, kind = entry.role.value.lower(), entry.member_type.value
        if found is None:
            yield Otherwise(self.thing, wanted)
            return
        held = str(found.role_mnemonic_name).lower()
        if held != wanted:
            yield Otherwise("role", wanted, held, _STAYS)
        if found.member_type != kind:
            yield Otherwise("member_type", kind, str(found.member_type), _STAYS)


_STAYS: Final = "this API cannot change it for a member of the organisation; change it in Encord's app"

ORGANISATION_USER: Final = _Admissions()
