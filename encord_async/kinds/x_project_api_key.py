class _APIKeys(InnerThing):
    word = "api_key"
    noun = "API key"
    plural = "API keys"
    parent = "project"
    lasting = ("scopes",)

    def draft(self, order: Order) -> Draft:
        step, project_hash = order.step, order.parent_hash or ""
        return Draft(
            operation=CreateProjectAPIKey(project_hash=project_hash, title=step.item, scopes=step.scopes),
            details={"scopes": [scope.value for scope in step.scopes], "project": step.parent},
            names=self.names(step, project_hash),
            needs=((self.parent, project_hash),),
        )

    def names(self, step: Step, parent_hash: str) -> tuple[str, ...]:
        return parent_hash, step.item, *(scope.value for scope in step.scopes)

    def goes_by(self, step: Step) -> InnerName:
        return step.item, frozenset(scope.value for scope in step.scopes)

    def hash_of(self, made: SecretStr) -> str:
        return _fingerprint(made)

    def wish(self, key: str | None, parent_hash: str, name: InnerName) -> ProjectAPIKeyEntry:
        title, scopes = name
        known = tuple(scope for scope in APIKeyScope if scope in scopes)
        return ProjectAPIKeyEntry(key=key, project=parent_hash, title=title, scopes=known)

    def listing(self, parent_hash: str) -> ListProjectAPIKeys:
        return ListProjectAPIKeys(project_hash=parent_hash)

    async def inside(self, reads: Reads, parent_hash: str) -> Sequence[tuple[str, InnerName]]:
        keys = await reads.execute(self.listing(parent_hash))
        return [(_fingerprint(key.api_key), (key.title, frozenset(map(str, key.scopes)))) for key in keys]

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        try:
            there = await self.inside(reads, sought.parent_hash or "")
        except NotFoundError:
            return {}
        scopes = sought.details.get("scopes")
        wanted = sought.title, frozenset(scopes if isinstance(scopes, list) else ())
        return {fingerprint: name for fingerprint, name in there if name == wanted}


def _fingerprint(api_key: SecretStr) -> str:
    """A name for an API key that reveals nothing of it."""
    return "api-key:" + hashlib.sha256(api_key.get_secret_value().encode()).hexdigest()[:32]


API_KEY: Final = _APIKeys()
