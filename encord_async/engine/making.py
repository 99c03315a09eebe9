"""What is sent for a step that makes something, and what is written down of it beforehand.

Pure, but for `readied`, which may read: a ticket in, a `Making` out; the same ticket gives the same in every run.
Nothing here sends.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from encord_async.engine.account import ENTRY_MARK, entry_mark, stamped
from encord_async.engine.ticket import Ticket
from encord_async.journal.record import name_digest
from encord_async.kinds.entry import MakingEntry
from encord_async.kinds.reading import Reads
from encord_async.kinds.thing import Creates, DatasetAPI, Draft, Order, Thing, holding, own_mark
from encord_async.value import value

__all__ = ["Maker", "Making", "held_of", "readied"]

_JOURNAL_MARK: Final = 4


@value
class Making:
    """A creation, ready to be written down and sent.

    Attributes:
        kind: What makes it.
        order: What is wished for.
        draft: What is sent.
        name: What namesakes have in common.
        details: What a look-up needs besides; goes into the ledger.
    """

    kind: Creates
    order: Order
    draft: Draft
    name: bytes
    details: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Says what is sent for a ticket.

    Attributes:
        max_batch: Most items in one request.
        dataset_api: Over which API datasets are made.
        stamp_for: The domain that stamps are made for; None puts no stamp into descriptions.
        stamp_key: Secret of the ledger, by which its stamps are told from those of others for the same entries.
    """

    max_batch: int
    dataset_api: DatasetAPI
    stamp_for: str | None = None
    stamp_key: bytes = b""

    def making(self, ticket: Ticket) -> Making:
        """What is sent for *ticket*."""
        kind, entry = ticket.step.kind, ticket.wish.entry
        if not isinstance(kind, Creates):
            raise AssertionError(f"{kind.word} steps make nothing")
        title, description = ticket.step.item, ""
        details: dict[str, object] = {}
        if isinstance(entry, MakingEntry) and kind.stands_for_entry:
            mark = self.mark(ticket)
            description = entry.description if mark is None else stamped(entry.description, mark)
            details = {"description": description, "wished_description": entry.description}
        order = Order(
            entry=entry,
            step=ticket.step,
            title=title,
            description=description,
            items=ticket.items,
            links=ticket.links or {},
            parent_hash=ticket.parent_hash,
            max_batch=self.max_batch,
            dataset_api=self.dataset_api,
            stamp_key=self.stamp_key,
        )
        draft = kind.draft(order)
        details.update(draft.details)
        # Without the mark: what one entry has adopted without a mark, another must not adopt.
        name = name_digest(kind, *draft.names)
        return Making(kind=kind, order=order, draft=draft, name=name, details=details)

    def mark(self, ticket: Ticket) -> str | None:
        """The mark of the entry, if marks are wanted.

        Its first part is known again when the journal is gone, its second tells what two journals make at once.
        """
        if self.stamp_for is None:
            return None
        return entry_mark(self.stamp_for, ticket.wish.identity) + own_mark(ticket.step, self.stamp_key, _JOURNAL_MARK)

    def is_ours(self, ticket: Ticket, mark: str | None) -> bool:
        """Whether *mark* is one that the entry was made with, if only under another journal."""
        own = self.mark(ticket)
        if own is None or mark is None:
            return False
        # Once all of it was the journal's.
        return mark[:ENTRY_MARK] == own[:ENTRY_MARK] or mark == own_mark(ticket.step, self.stamp_key, len(own))


async def readied(making: Making, reads: Reads) -> Making:
    """*making* with what its kind reads just before it is sent; itself if that is nothing, without a turn of the loop.

    Raises:
        EncordError: It cannot be read.
    """
    draft = await making.kind.readied(reads, making.order, making.draft)
    return making if draft is making.draft else replace(making, draft=draft, details=making.details | draft.details)


def held_of(making: Making, items: Collection[str]) -> dict[str, object]:
    """What is written down of a thing that holds *items*; nothing if its kind holds nothing."""
    if not isinstance(making.kind, Thing) or making.kind.items is None:
        return {}
    return holding(making.kind.references(making.order.entry), making.order.items, items)
