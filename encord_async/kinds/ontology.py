"""The kind ``ontology``: an ontology that shall exist. Sends nothing, reads no file."""

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from encord_async.errors import ConflictError, UnencodableError, spelt
from encord_async.kinds.access import GroupAccess, access_twice, admit, written_groups
from encord_async.kinds.access_groups import ONTOLOGY_GROUPS
from encord_async.kinds.entry import Count, Entry, MakingEntry, Use, uses
from encord_async.kinds.exporting import Exports, Inside, Pen, Scope
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import Part, Reference, Text, Title, sort_of, wrong
from encord_async.kinds.ontology_changes import overwritten, overwritten_parts
from encord_async.kinds.ontology_short_form import SHORT_FORM, expanded, is_short
from encord_async.kinds.reading import Reads
from encord_async.kinds.step import Step, making_step
from encord_async.kinds.thing import DatasetAPI, Draft, Listed, Order, Otherwise, Sought, Thing, Update, looked_up
from encord_async.protocol.catalogue import OntologyUserRole
from encord_async.protocol.jsontext import json_bytes
from encord_async.protocol.operations.base import ListingFilter
from encord_async.protocol.operations.ontologies import CreateOntology, GetOntologyV2, ListOntologies, UpdateOntology
from encord_async.protocol.operations.projects import ListProjectsV2
from encord_async.protocol.rest_models import Ontology

__all__ = ["ONTOLOGY", "OntologyEntry"]


def _structure(value: object) -> object:
    if not isinstance(value, dict):
        raise wrong(f"must be an object with objects and classifications, not {sort_of(value)}")
    try:
        json_bytes(value, "structure", "")
    except UnencodableError as error:
        raise wrong(error.message.removeprefix("the structure ")) from None
    if is_short(value):
        return expanded(value)
    for part in ("objects", "classifications"):
        if not isinstance(value.get(part, []), list):
            raise wrong(f"{part!r} in it must be a list, not {sort_of(value[part])}")
    return value


Structure: TypeAlias = Annotated[
    dict[str, Any],
    BeforeValidator(_structure),
    WithJsonSchema(
        {"anyOf": [SHORT_FORM, {"type": "object", "description": "The ontology's structure as the service keeps it."}]}
    ),
]


class OntologyEntry(MakingEntry):
    """An ontology that shall exist; its structure may lie in a file beside the manifest, or be that of another one."""

    beside = ("structure_file", "structure")
    parts: ClassVar[Mapping[str, type[Part]]] = MappingProxyType({"groups": GroupAccess})
    counted = (
        Count("ontologies", "ontologies", exported=("ontologies", "ontology", "ontologies")),
        Count("ontology_groups", "groups of ontologies", ("groups",)),
    )

    example = MappingProxyType({"key": "felines", "title": "Felines"})

    kind: Literal["ontology"] = "ontology"
    title: Title
    description: Text = ""
    structure: Structure | None = None
    structure_file: Title | None = None
    groups: tuple[GroupAccess, ...] = ()
    copy_of: Reference | None = None

    def references(self) -> Iterator[Use]:
        yield from uses("groups", [wish.group for wish in self.groups], "group")
        template = self.made_from()
        if template is not None:
            yield template

    def made_from(self) -> Use | None:
        return None if self.copy_of is None else Use("copy_of", self.copy_of, "ontology")

    def faults(self) -> list[Fault]:
        found = access_twice((), self.groups)
        if self.copy_of is not None and self.structure is not None:
            found.append(Fault("structure", "cannot be chosen for a copy, which has that of 'copy_of'", "leave it out"))
        return found

    def steps(self, identity: bytes) -> Iterator[Step]:
        yield making_step(identity, ONTOLOGY, self.title)
        yield from admit(identity, ONTOLOGY_GROUPS, self.groups)


class _Ontologies(Thing, Exports):
    word = noun = "ontology"
    plural = "ontologies"
    edited_with = "update_ontologies"
    links = MappingProxyType({"copy_of": ("template", "copy_of")})
    lasting = ("structure",)
    after = ("group",)
    unlisted = "ontologies, which projects name by their hashes"

    def draft(self, order: Order) -> Draft:
        entry: OntologyEntry = order.entry
        names = (order.title, entry.description)
        operation = CreateOntology(title=order.title, description=order.description, editor=entry.structure)
        if entry.copy_of is None:
            return Draft(operation=operation, details=_sent(entry.structure), names=names)
        template = order.links.get("copy_of") or ""
        details: dict[str, object] = {"copy_of": entry.copy_of, "template": template}
        return Draft(operation=operation, details=details, names=names, needs=((self.word, template),))

    async def readied(self, reads: Reads, order: Order, draft: Draft) -> Draft:
        """The service has no call that copies one: a copy gets what the other has at that moment."""
        template = order.links.get("copy_of")
        if template is None:
            return draft
        editor = (await reads.execute(self.probe(template))).editor
        operation = CreateOntology(title=order.title, description=order.description, editor=editor)
        return replace(draft, operation=operation, details={**draft.details, **_sent(editor)})

    def hash_of(self, made: Ontology) -> str:
        return made.ontology_uuid

    def probe(self, found_hash: str) -> GetOntologyV2:
        return GetOntologyV2(ontology_hash=found_hash)

    def imagined(self, stand_in: str, items: Collection[str]) -> Ontology:  # noqa: ARG002 - holds nothing
        return Ontology(ontology_uuid=stand_in, title="", editor={})

    def foretold(self, stand_in: str, draft: Draft) -> Ontology:
        """What others may be copies of."""
        operation = draft.operation
        if not isinstance(operation, CreateOntology):
            raise AssertionError(f"no ontology is made by {operation!r}")
        return Ontology(ontology_uuid=stand_in, title="", editor=dict(operation.content))

    async def listed(self, reads: Reads, dataset_api: DatasetAPI) -> AsyncIterator[Listed]:  # noqa: ARG002 - of datasets
        async for page in reads.pages(ListOntologies()):
            for one in page.results:
                is_admin = one.user_role == OntologyUserRole.ADMIN
                yield Listed(one.ontology_uuid, one.title, one.description, is_admin, one)

    def compares(self, entry: OntologyEntry, linked: Mapping[str, str | None]) -> Mapping[str, bytes]:  # noqa: ARG002
        """A digest of each part of the structure, however the members of objects in it are ordered."""
        return {name: _digest(part) for name, part in (entry.structure or {}).items()}

    def differences(self, wished: Mapping[str, bytes], item: Ontology) -> Iterator[Otherwise]:
        """Parts that the manifest does not name may be anything."""
        if any(_digest(item.editor.get(part)) != digest for part, digest in wished.items()):
            yield Otherwise("structure", reason=self.stays)

    def names_of(self, item: Ontology) -> tuple[str, str | None]:
        return item.title, item.description

    def update(self, order: Order, item: Ontology) -> Update | None:
        """Parts of the structure that the entry does not name stay as they are."""
        entry: OntologyEntry = order.entry
        editor = {**item.editor, **(entry.structure or {})}
        overwrites = [*overwritten("title", item.title, order.title)]
        overwrites += overwritten("description", item.description or "", order.description)
        overwrites += overwritten_parts(item.editor, entry.structure or {})
        if not overwrites:
            return None
        operation = UpdateOntology(
            ontology_hash=item.ontology_uuid, title=order.title, description=order.description, editor=editor
        )
        new = {"title": order.title, "description": order.description, "editor": editor}
        return Update(operation, tuple(overwrites), item.model_copy(update=new))

    def says_all(self, entry: OntologyEntry) -> bool:
        """What a copy has in it, the other one says."""
        return entry.copy_of is None

    async def lacking(self, reads: Reads, found_hash: str, order: Order) -> Sequence[str]:
        entry: OntologyEntry = order.entry
        template = order.links.get("copy_of")
        structure = entry.structure if template is None else (await reads.execute(self.probe(template))).editor
        if structure is not None and differs(structure, (await reads.execute(self.probe(found_hash))).editor):
            raise ConflictError(
                f"the ontology {found_hash} is there with another structure; give this one another title or "
                f"description, or use {spelt('existing', 'create')} to make another",
                code="STRUCTURE_KEPT",
            )
        return ()

    async def look_up(self, reads: Reads, sought: Sought) -> Mapping[str, object]:
        return await looked_up(reads, CreateOntology(title=sought.title, description=sought.description), self)

    async def shows(self, reads: Reads, sought: Sought, item: Ontology) -> bool | None:
        """A project without an ontology gets one of its own title, and empty: that is not what an entry has made."""
        sent, parts = sought.details.get("structure"), sought.details.get("structure_parts")
        is_empty = not any(item.editor.values())
        if sent is None:
            same = is_empty
        elif isinstance(parts, list):
            same = structure_digest({part: item.editor.get(part) for part in parts}) == sent
        else:
            # Written down by a release that did not note the parts.
            same = not is_empty
        if not is_empty:
            # In which form the service keeps a structure, nobody says.
            return same or None
        if not same:
            return False
        async for page in reads.pages(ListProjectsV2(filter=ListingFilter(title_eq=sought.title))):
            if any(project.ontology_hash == item.ontology_uuid for project in page.results):
                return None
        return True

    def is_told_by_contents(self, details: Mapping[str, object]) -> bool:  # noqa: ARG002 - of any
        """In which form the service keeps an ontology, nobody says."""
        return False

    def compared(self, entry: OntologyEntry, details: Mapping[str, object]) -> dict[str, tuple[object, object]]:
        """A copy stays what it was made from, whatever becomes of that."""
        if entry.copy_of is not None:
            return {}
        return {"structure": (structure_digest(entry.structure), details.get("structure"))}

    def made_alike(self, made: Mapping[str, object], details: Mapping[str, object]) -> bool:
        """Of copies it is said what they were made from, and not yet what is in them."""
        if "template" in made or "template" in details:
            return made.get("template") == details.get("template")
        return super().made_alike(made, details)

    def is_in(self, scope: Scope) -> bool:
        return scope.ontologies

    def exported(self, reads: Reads, pen: Pen) -> AsyncIterator[Listed]:  # noqa: ARG002 - needs nothing of it
        return self.listed(reads, DatasetAPI.REST)

    def entries(self, pen: Pen, found: Listed, inside: Inside) -> Iterator[Entry]:
        """An empty structure goes without saying."""
        editor = found.item.editor
        yield from pen.entry(
            OntologyEntry,
            self,
            found,
            title=found.title,
            description=found.description or "",
            structure=editor if any(editor.values()) else None,
            groups=tuple(written_groups(pen, ONTOLOGY_GROUPS, found, inside.of(ONTOLOGY_GROUPS))),
        )


def _sent(structure: Mapping[str, Any] | None) -> dict[str, object]:
    """What is written down of a structure that is sent."""
    return {"structure": structure_digest(structure), "structure_parts": sorted(structure or ())}


def differs(structure: Mapping[str, object], editor: Mapping[str, object]) -> bool:
    """Whether the ontology *editor* lacks something of *structure*; what it has besides does not count."""
    return any(editor.get(part) != wished for part, wished in structure.items())


def structure_digest(structure: Mapping[str, Any] | None) -> str | None:
    """A name for an ontology's structure, however its members are ordered; None for none."""
    if structure is None:
        return None
    return _digest(structure).hex()


def _digest(part: object) -> bytes:
    return hashlib.blake2b(json.dumps(part, sort_keys=True).encode(), digest_size=16).digest()


ONTOLOGY: Final = _Ontologies()
OntologyEntry.makes = ONTOLOGY
