"""Takes an entry apart into steps: the single things that are sent, written down and finished one by one.

A step has an identity that is the same in every run of the same wish, which is how a resumed run knows it again.
Pure: nothing here sends, waits or reads a clock.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from encord_async.manifest.entries import (
    DatasetEntry,
    Entry,
    GroupEntry,
    OntologyEntry,
    OrganisationUserEntry,
    ProjectAPIKeyEntry,
    ProjectDatasetsEntry,
    ProjectEntry,
    ProjectGroupsEntry,
    ProjectUsersEntry,
    referenced_key,
)
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole

__all__ = [
    "CREATES",
    "IRREVERSIBLE",
    "ITSELF",
    "MEMBERSHIPS",
    "TAKING",
    "Namer",
    "Step",
    "StepKind",
    "api_key_steps",
    "attach_step",
    "key_wish",
    "membership",
    "project_step",
    "steps_of",
]

_IDENTITY_BYTES: Final = 16


class StepKind(StrEnum):
    """What a step does."""

    DATASET = "dataset"
    PROJECT = "project"
    API_KEY = "api_key"
    ATTACH = "attach"
    DETACH = "detach"
    USER = "user"
    ONTOLOGY = "ontology"
    GROUP = "group"
    GROUP_MEMBER = "group_member"
    ADD_GROUP = "add_group"
    REMOVE_GROUP = "remove_group"
    REMOVE_USER = "remove_user"
    # A journal has room for 16 letters.
    ORGANISATION_USER = "org_user"


CREATES: Final = frozenset({StepKind.DATASET, StepKind.PROJECT, StepKind.API_KEY, StepKind.ONTOLOGY, StepKind.GROUP})
"""Steps that make another thing each time they are sent; each is sent alone, with its intent written down first."""

IRREVERSIBLE: Final = CREATES - {StepKind.GROUP}
"""Those of them whose things the service offers no call to delete."""

ITSELF: Final = frozenset(
    {StepKind.DATASET, StepKind.PROJECT, StepKind.ONTOLOGY, StepKind.GROUP, StepKind.ORGANISATION_USER}
)
"""Steps that bring about what the key of an entry stands for; the first of an entry that has one."""

TAKING: Final = frozenset({StepKind.DETACH, StepKind.REMOVE_USER, StepKind.REMOVE_GROUP})
"""Steps that take something from a project."""

MEMBERSHIPS: Final[Mapping[StepKind, str]] = MappingProxyType(
    {
        StepKind.ATTACH: "dataset",
        StepKind.DETACH: "dataset",
        StepKind.USER: "user",
        StepKind.REMOVE_USER: "user",
        StepKind.ADD_GROUP: "group",
        StepKind.REMOVE_GROUP: "group",
        StepKind.GROUP_MEMBER: "member",
    }
)
"""Steps that put something into a project or a group or take it out, and of which sort that is."""

_ADDRESSES: Final = frozenset({"user", "member"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do for an entry.

    Attributes:
        identity: The same in every run of the same wish.
        kind: What it does.
        project: Reference of the project it is about; None for the project, or the group, of the entry itself.
        item: Reference of a dataset or group, e-mail address, or title, as the kind has it.
        role: Role wanted in the project, for users and groups.
        scopes: Scopes wanted, for API keys.
    """

    identity: bytes
    kind: StepKind
    project: str | None = None
    item: str = ""
    role: ProjectUserRole | None = None
    scopes: tuple[APIKeyScope, ...] = ()


_HARMLESS_TWICE: Final = (ProjectDatasetsEntry, ProjectUsersEntry, ProjectGroupsEntry, OrganisationUserEntry)


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
            return _keyed(entry.kind, entry.key)
        # Without what is left at its default: a field that a later release adds changes nobody's identity.
        said = entry.model_dump_json(exclude_defaults=True)
        content = _digest(b"content", entry.kind.encode(), said.encode())
        if isinstance(entry, _HARMLESS_TWICE):
            return content
        seen = int.from_bytes(content[:8])
        occurrence = self._occurrences[seen]
        self._occurrences[seen] += 1
        return _digest(content, str(occurrence).encode())


def steps_of(entry: Entry, identity: bytes) -> Iterator[Step]:
    """The steps of *entry*; the one that its key stands for comes first."""
    match entry:
        # The most numerous first.
        case ProjectUsersEntry():
            yield from _each(identity, StepKind.USER, entry.project, entry.emails, entry.role)
            yield from _each(identity, StepKind.REMOVE_USER, entry.project, entry.remove)
        case ProjectEntry():
            yield Step(identity=_makes_project(identity), kind=StepKind.PROJECT, item=entry.title)
            for user in dict.fromkeys(entry.users):
                yield _in_role(identity, StepKind.USER, None, user.email, user.role)
            yield from api_key_steps(entry, identity)
        case DatasetEntry():
            yield Step(identity=_part(identity, "dataset"), kind=StepKind.DATASET, item=entry.title)
        case ProjectDatasetsEntry():
            yield from _each(identity, StepKind.ATTACH, entry.project, entry.add)
            yield from _each(identity, StepKind.DETACH, entry.project, entry.remove)
        case ProjectGroupsEntry():
            yield from _each(identity, StepKind.ADD_GROUP, entry.project, entry.add, entry.role)
            yield from _each(identity, StepKind.REMOVE_GROUP, entry.project, entry.remove)
        case OntologyEntry():
            yield Step(identity=_part(identity, "ontology"), kind=StepKind.ONTOLOGY, item=entry.title)
        case GroupEntry():
            yield Step(identity=_part(identity, "group"), kind=StepKind.GROUP, item=entry.name)
            yield from _each(identity, StepKind.GROUP_MEMBER, None, entry.members)
        case OrganisationUserEntry():
            names = (entry.email, entry.role.value, entry.member_type.value)
            kind = StepKind.ORGANISATION_USER
            yield Step(identity=_part(identity, kind.value, *names), kind=kind, item=entry.email)
        case ProjectAPIKeyEntry():
            yield from api_key_steps(entry, identity)


def api_key_steps(entry: Entry, identity: bytes) -> Iterator[Step]:
    """Those of the steps of *entry* that make API keys."""
    match entry:
        case ProjectEntry():
            yield from dict.fromkeys(_api_key(identity, None, wish.title, wish.scopes) for wish in entry.api_keys)
        case ProjectAPIKeyEntry():
            yield _api_key(identity, entry.project, entry.title, entry.scopes)


def key_wish(step: bytes, project: str | None) -> bytes:
    """A name for the wish for an API key: a keyed entry may ask for the same key in another project.

    Args:
        step: Identity of the step that makes it.
        project: The project as the step names it.
    """
    return _digest(step, (project or "").encode())


def project_step(entry: bytes, project: str | None) -> bytes | None:
    """Identity of the step that makes a project; None for one that no entry makes.

    Args:
        entry: Identity of the entry that speaks of it.
        project: The project as a step of that entry names it; None for what the entry makes itself.
    """
    if project is None:
        return _makes_project(entry)
    key = referenced_key(project)
    return None if key is None else _makes_project(_keyed("project", key))


def attach_step(identity: bytes, reference: str) -> Step:
    """The step that attaches one more dataset to the project of the entry with *identity*."""
    return _one(identity, StepKind.ATTACH, None, reference)


def membership(kind: StepKind, about: str, item: str) -> bytes:
    """What a membership is written down under: the same for whichever entry adds or removes it.

    So there is one record of it, which the last word on it overwrites: what was undone since cannot pass for done.

    Args:
        kind: One of `MEMBERSHIPS`.
        about: Hash of the project or group.
        item: Hash of what comes or goes, or an address.
    """
    sort = MEMBERSHIPS[kind]
    one = item.casefold() if sort in _ADDRESSES else item
    # Of many items of large projects: in one piece, in which the length keeps the two apart.
    framed = f"{sort} {len(about)}:{about}{one}"
    return hashlib.blake2b(framed.encode(), digest_size=_IDENTITY_BYTES).digest()


def _each(
    identity: bytes, kind: StepKind, project: str | None, items: Iterable[str], role: ProjectUserRole | None = None
) -> Iterator[Step]:
    """A step for each of *items*, once."""
    for item in dict.fromkeys(items):
        yield _one(identity, kind, project, item) if role is None else _in_role(identity, kind, project, item, role)


def _in_role(identity: bytes, kind: StepKind, project: str | None, item: str, role: ProjectUserRole) -> Step:
    part = _part(identity, kind.value, item, str(int(role)))
    return Step(identity=part, kind=kind, project=project, item=item, role=role)


def _one(identity: bytes, kind: StepKind, project: str | None, item: str) -> Step:
    return Step(identity=_part(identity, kind.value, item), kind=kind, project=project, item=item)


def _api_key(identity: bytes, project: str | None, title: str, scopes: tuple[APIKeyScope, ...]) -> Step:
    ordered = tuple(scope for scope in APIKeyScope if scope in scopes)
    return Step(
        identity=_part(identity, "api_key", title, *ordered),
        kind=StepKind.API_KEY,
        project=project,
        item=title,
        scopes=ordered,
    )


def _keyed(kind: str, key: str) -> bytes:
    return _digest(b"key", kind.encode(), key.encode())


def _makes_project(identity: bytes) -> bytes:
    return _part(identity, "project")


def _part(identity: bytes, *names: str) -> bytes:
    return _digest(identity, *[name.encode() for name in names])


def _digest(*parts: bytes) -> bytes:
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    framed = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return hashlib.blake2b(framed, digest_size=_IDENTITY_BYTES).digest()
