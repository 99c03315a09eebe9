"""Groups that have access to an ontology, of which the entries of ontologies speak. Sends nothing but reads."""

from typing import Final

from encord_async.kinds.access import AccessRole, GroupRelation, not_admin
from encord_async.kinds.reading import Reads
from encord_async.protocol.catalogue import OntologyUserRole
from encord_async.protocol.operations.ontologies import (
    AddOntologyGroups,
    GetOntologyV2,
    ListOntologyGroups,
    RemoveOntologyGroups,
)

__all__ = ["ONTOLOGY_GROUPS"]


class _Groups(GroupRelation):
    sort = what = thing = gives = "ontology_group"
    takes = "rm_onto_group"
    noun = "group of an ontology"
    adds = ("ontology_groups", "group to give access to an ontology", "groups to give access to ontologies")
    removes = (
        "remove_ontology_groups",
        "group to take access to an ontology from",
        "groups to take access to ontologies from",
    )
    parent = "ontology"
    roles = AccessRole
    has_entries = False

    def adding(self, parent_hash: str, items: tuple[str, ...], role: int | None) -> AddOntologyGroups:
        return AddOntologyGroups(ontology_hash=parent_hash, group_hashes=items, role=OntologyUserRole(role or 0))

    def removing(self, parent_hash: str, items: tuple[str, ...]) -> RemoveOntologyGroups:
        return RemoveOntologyGroups(ontology_hash=parent_hash, group_hashes=items)

    def listing(self, parent_hash: str) -> ListOntologyGroups:
        return ListOntologyGroups(ontology_hash=parent_hash)

    async def check_may_remove(self, reads: Reads, parent_hash: str) -> None:
        if (await reads.execute(GetOntologyV2(ontology_hash=parent_hash))).user_role != OntologyUserRole.ADMIN:
            raise not_admin("ontology", "in one of the groups")


ONTOLOGY_GROUPS: Final = _Groups()
