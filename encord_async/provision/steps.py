"""Takes an entry apart into steps: the single things that are sent, written down and finished one by one.

A step has an identity that is the same in every run of the same wish, which is how a resumed run knows it again.
Pure: nothing here sends, waits or reads a clock.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole
from encord_async.provision.manifest import (
    DatasetEntry,
    Entry,
    ProjectAPIKeyEntry,
    ProjectDatasetsEntry,
    ProjectEntry,
    ProjectUsersEntry,
)

__all__ = ["CREATES", "Namer", "Step", "StepKind", "attach_step", "steps_of"]

_IDENTITY_BYTES: Final = 16


class StepKind(StrEnum):
    """What a step does."""

    DATASET = "dataset"
    PROJECT = "project"
    API_KEY = "api_key"
    ATTACH = "attach"
    DETACH = "detach"
    USER = "user"


CREATES: Final = frozenset({StepKind.DATASET, StepKind.PROJECT, StepKind.API_KEY})
"""Steps that make something which cannot be unmade; each is sent alone, with its intent written down first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do for an entry.

    Attributes:
        identity: The same in every run of the same wish.
        kind: What it does.
        project: Reference of the project it is about; None for the project of the entry itself.
        item: Dataset reference, e-mail address, or title, as the kind has it.
        role: Role wanted, for users.
        scopes: Scopes wanted, for API keys.
    """

    identity: bytes
    kind: StepKind
    project: str | None = None
    item: str = ""
    role: ProjectUserRole | None = None
    scopes: tuple[APIKeyScope, ...] = ()


class Namer:
    """Gives entries their identity: by key, or by content and occurrence if they have none.

    Only entries that create something count their occurrences: the same membership wished for twice is one wish.
    Remembers eight bytes an entry without a key that creates something, nothing of any other.
    """

    def __init__(self) -> None:
        self._occurrences: defaultdict[int, int] = defaultdict(int)

    def identity(self, entry: Entry) -> bytes:
        """Identity of *entry*, which is the next in the manifest's order."""
        if entry.key is not None:
            return _digest(b"key", entry.kind.encode(), entry.key.encode())
        content = _digest(b"content", entry.model_dump_json().encode())
        if isinstance(entry, ProjectDatasetsEntry | ProjectUsersEntry):
            return content
        seen = int.from_bytes(content[:8])
        occurrence = self._occurrences[seen]
        self._occurrences[seen] += 1
        return _digest(content, str(occurrence).encode())


def steps_of(entry: Entry, identity: bytes) -> Iterator[Step]:
    """The steps of *entry*; one that makes a dataset or project comes first."""
    match entry:
        case DatasetEntry():
            yield Step(identity=_part(identity, "dataset"), kind=StepKind.DATASET, item=entry.title)
        case ProjectEntry():
            yield Step(identity=_part(identity, "project"), kind=StepKind.PROJECT, item=entry.title)
            for user in dict.fromkeys(entry.users):
                yield _user(identity, None, user.email, user.role)
            yield from dict.fromkeys(_api_key(identity, None, wish.title, wish.scopes) for wish in entry.api_keys)
        case ProjectDatasetsEntry():
            for reference in dict.fromkeys(entry.add):
                yield _dataset(identity, StepKind.ATTACH, entry.project, reference)
            for reference in dict.fromkeys(entry.remove):
                yield _dataset(identity, StepKind.DETACH, entry.project, reference)
        case ProjectUsersEntry():
            for email in dict.fromkeys(entry.emails):
                yield _user(identity, entry.project, email, entry.role)
        case ProjectAPIKeyEntry():
            yield _api_key(identity, entry.project, entry.title, entry.scopes)


def attach_step(identity: bytes, reference: str) -> Step:
    """The step that attaches one more dataset to the project of the entry with *identity*."""
    return _dataset(identity, StepKind.ATTACH, None, reference)


def _user(identity: bytes, project: str | None, email: str, role: ProjectUserRole) -> Step:
    return Step(
        identity=_part(identity, "user", email, str(int(role))),
        kind=StepKind.USER,
        project=project,
        item=email,
        role=role,
    )


def _dataset(identity: bytes, kind: StepKind, project: str | None, reference: str) -> Step:
    return Step(identity=_part(identity, kind.value, reference), kind=kind, project=project, item=reference)


def _api_key(identity: bytes, project: str | None, title: str, scopes: tuple[APIKeyScope, ...]) -> Step:
    ordered = tuple(scope for scope in APIKeyScope if scope in scopes)
    return Step(
        identity=_part(identity, "api_key", title, *ordered),
        kind=StepKind.API_KEY,
        project=project,
        item=title,
        scopes=ordered,
    )


def _part(identity: bytes, *names: str) -> bytes:
    return _digest(identity, *(name.encode() for name in names))


def _digest(*parts: bytes) -> bytes:
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    framed = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return hashlib.blake2b(framed, digest_size=_IDENTITY_BYTES).digest()
