"""Why something is too much: an entry once said it, as the journal knows, and it has gone from the manifest since.

Only the journal is read, and only about what was found.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from encord_async.journal.record import Ledger, Record, State
from encord_async.kinds.registry import relation_of
from encord_async.kinds.thing import item_digest
from encord_async.verify.difference import Difference, Fault
from encord_async.verify.wishes import Wishes

__all__ = ["explained"]

_GONE: Final = "gone from the manifest"


async def explained(ledger: Ledger, wishes: Wishes, differences: Sequence[Difference]) -> list[Difference]:
    """*differences*, of which those that are too much say so if an earlier run has put them there.

    Raises:
        JournalError: The journal cannot be read.
    """
    if all(one.fault is not Fault.EXTRA for one in differences):
        return list(differences)
    identities = {one: identity for one in differences if (identity := _identity(wishes, one)) is not None}
    words = await ledger.words(list(dict.fromkeys(identities.values())))
    makers: dict[str, Sequence[Record]] = {}
    found: list[Difference] = []
    for one in differences:
        relation, identity, about = relation_of(one.what), identities.get(one), one.hash
        is_ours = False
        if relation is not None and identity is not None and about is not None:
            word = words.get(identity)
            is_ours = word is not None and word.state is State.DONE and not word.kind.takes
            if word is None and relation.in_create:
                makers[about] = makers[about] if about in makers else await ledger.holders(about)
                is_ours = any(_held(record, one.item) for record in makers[about])
        reasons = (_GONE if is_ours else None, one.reason)
        found.append(replace(one, reason="; ".join(filter(None, reasons))) if is_ours else one)
    return found


def _identity(wishes: Wishes, one: Difference) -> bytes | None:
    """What a journal has the membership under; None for what an entry wants removed, and for all else."""
    relation = relation_of(one.what)
    if one.fault is not Fault.EXTRA or relation is None or one.hash is None:
        return None
    wish = wishes.things.get(one.hash)
    wanted = None if wish is None else wish.wanted.get(relation)
    unwanted = set() if wanted is None else {relation.folded(item) for item in wanted.unwanted}
    return None if relation.folded(one.item) in unwanted else relation.identity(one.hash, one.item)


def _held(record: Record, item: str) -> bool:
    """Whether a thing was made with *item* in it."""
    names = {"held": item_digest(item), "references": item}
    return any(isinstance(some := record.details.get(name), list) and one in some for name, one in names.items())
