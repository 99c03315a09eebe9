"""The steps that entries are taken apart into: the single things that are sent, written down and finished one by one.

A step has an identity that is the same in every run of the same wish, which is how a resumed run knows it again.
Pure: nothing here sends, waits or reads a clock.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from encord_async.kinds.fields import referenced_key
from encord_async.protocol.catalogue import APIKeyScope, ProjectUserRole

__all__ = [
    "CREATES",
    "IRREVERSIBLE",
    "ITSELF",
    "MEMBERSHIPS",
    "TAKING",
    "Step",
    "StepKind",
    "api_key_step",
    "attach_step",
    "digest",
    "key_wish",
    "keyed",
    "makes_project",
    "membership",
    "one_step",
    "part_of",
    "project_step",
    "step_each",
    "step_in_role",
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


def key_wish(step: bytes, project: str | None) -> bytes:
    """A name for the wish for an API key: a keyed entry may ask for the same key in another project.

    Args:
        step: Identity of the step that makes it.
        project: The project as the step names it.
    """
    return digest(step, (project or "").encode())


def project_step(entry: bytes, project: str | None) -> bytes | None:
    """Identity of the step that makes a project; None for one that no entry makes.

    Args:
        entry: Identity of the entry that speaks of it.
        project: The project as a step of that entry names it; None for what the entry makes itself.
    """
    if project is None:
        return makes_project(entry)
    key = referenced_key(project)
    return None if key is None else makes_project(keyed("project", key))


def attach_step(identity: bytes, reference: str) -> Step:
    """The step that attaches one more dataset to the project of the entry with *identity*."""
    return one_step(identity, StepKind.ATTACH, None, reference)


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


def step_each(
    identity: bytes, kind: StepKind, project: str | None, items: Iterable[str], role: ProjectUserRole | None = None
) -> Iterator[Step]:
    """A step for each of *items*, once."""
    for item in dict.fromkeys(items):
        if role is None:
            yield one_step(identity, kind, project, item)
        else:
            yield step_in_role(identity, kind, project, item, role)


def step_in_role(identity: bytes, kind: StepKind, project: str | None, item: str, role: ProjectUserRole) -> Step:
    """The step about *item* in *role*."""
    part = part_of(identity, kind.value, item, str(int(role)))
    return Step(identity=part, kind=kind, project=project, item=item, role=role)


def one_step(identity: bytes, kind: StepKind, project: str | None, item: str) -> Step:
    """The step about *item*."""
    return Step(identity=part_of(identity, kind.value, item), kind=kind, project=project, item=item)


def api_key_step(identity: bytes, project: str | None, title: str, scopes: tuple[APIKeyScope, ...]) -> Step:
    """The step that makes an API key."""
    ordered = tuple(scope for scope in APIKeyScope if scope in scopes)
    return Step(
        identity=part_of(identity, "api_key", title, *ordered),
        kind=StepKind.API_KEY,
        project=project,
        item=title,
        scopes=ordered,
    )


def keyed(kind: str, key: str) -> bytes:
    """Identity of an entry that has a key, wherever it stands."""
    return digest(b"key", kind.encode(), key.encode())


def makes_project(identity: bytes) -> bytes:
    """Identity of the step that makes the project of the entry with *identity*."""
    return part_of(identity, "project")


def part_of(identity: bytes, *names: str) -> bytes:
    """Identity of that step of the entry with *identity* which *names* tell from its others."""
    return digest(identity, *[name.encode() for name in names])


def digest(*parts: bytes) -> bytes:
    """A name for *parts*, in their order."""
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    framed = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return hashlib.blake2b(framed, digest_size=_IDENTITY_BYTES).digest()
