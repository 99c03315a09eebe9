"""The kind ``project_api_key``: an API key that a project shall have. Sends nothing."""

from collections.abc import Iterator, Mapping
from typing import Literal

from encord_async.kinds.entry import InProjectEntry
from encord_async.kinds.faults import Fault, twice
from encord_async.kinds.fields import Scopes, Title
from encord_async.kinds.steps import Step, api_key_step

__all__ = ["ProjectAPIKeyEntry"]


class ProjectAPIKeyEntry(InProjectEntry):
    """An API key that a project shall have."""

    kind: Literal["project_api_key"] = "project_api_key"
    title: Title
    scopes: Scopes

    def faults(self) -> list[Fault]:
        return twice("scopes.{}", self.scopes)

    def contents(self) -> Mapping[str, int]:
        return {"api_keys": 1}

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield api_key_step(identity, self.project, self.title, self.scopes)
