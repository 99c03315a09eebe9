class _Datasets(Relation):
    sort = "dataset"
    what = "dataset"
    plural = "datasets"
    parent = "project"
    item = "dataset"
    gives = "attach"
    takes = "detach"
    in_create = True
    thing = "attachment"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddDatasets:  # noqa: ARG002
        return AddDatasets(project_hash=parent_hash, dataset_hashes=items)

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveDatasets:
        return RemoveDatasets(project_hash=parent_hash, dataset_hashes=items)

    def probe(self, parent_hash: str) -> GetProject:
        return GetProject(project_hash=parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        project = await reads.execute(self.probe(parent_hash))
        return {dataset.dataset_hash: None for dataset in project.datasets}

    async def spared(self, reads: Reads, held: Held) -> Collection[str]:  # noqa: ARG002 - none has a role
        return ()


DATASETS: Final = _Datasets()

class _Users(Relation):
    sort = "user"
    what = "user"
    plural = "users"
    is_of_addresses = True
    parent = "project"
    gives = "user"
    takes = "remove_user"
    roles = ProjectUserRole
    role_follows = False
    shows_roles = True
    role_stays = "this API cannot change the role of a member; change it in Encord's app"
    thing = "user"

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddProjectUsers:
        return AddProjectUsers(project_hash=parent_hash, emails=items, role=ProjectUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveProjectUsers:
        return RemoveProjectUsers(project_hash=parent_hash, emails=items)

    def probe(self, parent_hash: str) -> GetProject:
        return GetProject(project_hash=parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        users = await listing(reads, ListProjectUsers(project_hash=parent_hash))
        return users if isinstance(users, Unlisted) else {user.user_email: user.user_role for user in users}

    def roles_shown(self, answer: tuple[ProjectUser, ...]) -> Mapping[str, int]:
        return {user.user_email.casefold(): user.user_role for user in answer}

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin(reads, parent_hash, "one of the users")


USERS: Final = _Users()

class _Groups(Relation):
    sort = "group"
    what = "group"
    plural = "groups"
    parent = "project"
    item = "group"
    gives = "add_group"
    takes = "remove_group"
    roles = ProjectUserRole
    # Their hashes travel in the request's address, and servers refuse long ones.
    most_taken = 100
    thing = "project_group"
    limits_unsaid = False

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddProjectGroups:
        return AddProjectGroups(project_hash=parent_hash, group_hashes=items, role=ProjectUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveProjectGroups:
        return RemoveProjectGroups(project_hash=parent_hash, group_hashes=items)

    def probe(self, parent_hash: str) -> GetProject:
        return GetProject(project_hash=parent_hash)

    async def held(self, reads: Reads, parent_hash: str) -> Held | Unlisted:
        groups = await listing(reads, ListProjectGroups(project_hash=parent_hash))
        return groups if isinstance(groups, Unlisted) else {group.group_hash: group.user_role for group in groups}

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        await ask_for_admin(reads, parent_hash, "in one of the groups")


GROUPS: Final = _Groups()

async def ask_for_admin(reads: Reads, project_hash: str, could_be: str) -> None:
    project = await reads.execute(GetProjectV2(project_hash=project_hash))
    if project.user_role != ProjectUserRole.ADMIN:
        raise ConflictError(...)
