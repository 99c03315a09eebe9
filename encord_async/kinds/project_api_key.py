"""The kind ``project_api_key``: an API key that a project shall have. Sends nothing."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from pydantic import SecretStr

from encord_async.errors import NotFoundError
from encord_async.kinds.entry import Count, InProjectEntry, TitledEntry
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Scopes, Title
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import Step, part
from encord_async.kinds.thing import Draft, InnerName, InnerThing, Order, Sought
from encord_async.protocol.catalogue import APIKeyScope
from encord_async.protocol.operations.keys import CreateProjectAPIKey, ListProjectAPIKeys

__all__ = ["API_KEY", "ProjectAPIKeyEntry", "api_key_step"]


class ProjectAPIKeyEntry(InProjectEntry, TitledEntry):
    """An API key that a project shall have."""

    creates = True

    counted = (Count("api_keys", "API keys"),)

    forms = MappingProxyType({"scopes": "label.read;label.write"})
    example = MappingProxyType({"key": "cats-ci", "project": "@cats", "title": "ci", "scopes": ["label.read"]})

    kind: Literal["project_api_key"] = "project_api_key"
    title: Title
    scopes: Scopes

    def faults(self) -> list[Fault]:
        return twice("scopes.{}", self.scopes)

    def irreversible(self) -> Mapping[str, int]:
        return {self.kind: 1}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield api_key_step(identity, self.project, self.title, self.scopes)


class _APIKeys(InnerThing):
    word = "api_key"
    noun = "API key"
    plural = "API keys"
    deed = ("api_keys", "API key to make, which cannot be undone", "API keys to make, which cannot be undone")
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

    def mistaken(self, made: SecretStr, is_known: Callable[[str], bool]) -> str:
        return made.get_secret_value() if is_known(made.get_secret_value()) else ""

    def wish(self, key: str | None, parent_hash: str, name: InnerName) -> ProjectAPIKeyEntry:
        title, scopes = name
        known = tuple(scope for scope in APIKeyScope if scope in scopes)
        return ProjectAPIKeyEntry(key=key, project=parent_hash, title=title, scopes=known)

    def listing(self, parent_hash: str) -> ListProjectAPIKeys:
        return ListProjectAPIKeys(project_hash=parent_hash)

    async def inside(self, reads: Reads, parent_hash: str) -> Sequence[tuple[str, InnerName]]:
        keys = await reads.execute(self.listing(parent_hash))
        # Entries have no blanks at the ends of titles; what was made with some is found all the same.
        return [(_fingerprint(key.api_key), (key.title.strip(), frozenset(map(str, key.scopes)))) for key in keys]

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        try:
            there = await self.inside(reads, sought.parent_hash or "")
        except NotFoundError:
            return {}
        scopes = sought.details.get("scopes")
        wanted = sought.title.strip(), frozenset(scopes if isinstance(scopes, list) else ())
        return {fingerprint: name for fingerprint, name in there if name == wanted}


def _fingerprint(api_key: SecretStr) -> str:
    """A name for an API key that reveals nothing of it."""
    return "api-key:" + hashlib.sha256(api_key.get_secret_value().encode()).hexdigest()[:32]


API_KEY: Final = _APIKeys()


def api_key_step(identity: bytes, project: str | None, title: str, scopes: tuple[APIKeyScope, ...]) -> Step:
    """The step that makes an API key."""
    ordered = tuple(scope for scope in APIKeyScope if scope in scopes)
    name = identity and part(identity, API_KEY.word, title, *ordered)
    return Step(identity=name, kind=API_KEY, parent=project, item=title, scopes=ordered)
