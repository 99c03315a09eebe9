"""What is too much in an account once a manifest is provisioned: its things have it, and no entry wants it there.

It is found as `verify` finds it, and taken away as `verify --fix --prune` does; a run, or its rehearsal, does it last.
What entries made that the manifest no longer has is, if that is asked for, taken for things in which nothing is wanted.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import anyio.to_thread

from encord_async.engine.options import Options
from encord_async.engine.rehearsal import is_new
from encord_async.engine.roll import Register
from encord_async.engine.sequel import More
from encord_async.errors import UsageError, many, spelt
from encord_async.journal.record import Ledger, Record
from encord_async.journal.taken_off import NOTHING_LEFT, Leftover, still_working
from encord_async.kinds.registry import nouns, relations, relations_of
from encord_async.kinds.step import digest
from encord_async.kinds.thing import Thing
from encord_async.manifest.place import PlacedEntry, place_said
from encord_async.manifest.policy import Policy
from encord_async.manifest.policy_file import policy_for
from encord_async.manifest.sources import Manifest, manifest_file, with_variables
from encord_async.session.session import Session
from encord_async.verify.compare import compare
from encord_async.verify.difference import Difference, Fault
from encord_async.verify.losses import NOWHERE, Losses, Taking
from encord_async.verify.repair import Deed, Repairs, allowed, repair_entry
from encord_async.verify.wishes import ThingWish, Wishes

__all__ = ["Surplus", "surplus"]


def surplus(
    manifest: Manifest, options: Options, *, named: str | None = None, is_reviewed: bool = False
) -> "Surplus | Losses | None":
    """What a run of *manifest* does last; None if *options* ask for nothing of that kind.

    *named* says which data rows were agreed to, if anybody knows; *is_reviewed* whether the run is held to a plan.

    Raises:
        UsageError: The manifest can be read only once.
    """
    asked = [name for name in ("prune", "retire") if getattr(options, name)] + ["prune_data"] * options.prunes_data
    if not asked:
        return None
    manifest = with_variables(manifest)
    if manifest_file(manifest) is None and (isinstance(manifest, str) or not isinstance(manifest, Sequence)):
        name = spelt(asked[0], True)
        raise UsageError(f"{name} reads the manifest a second time, and this one can be read only once")
    if options.prunes_data:
        return Losses(manifest, options, named=named, is_reviewed=is_reviewed)
    return Surplus(manifest, options)


class Surplus(Taking):
    """Finds what is too much, of which nothing is lost."""

    def __init__(self, manifest: Manifest, options: Options) -> None:
        super().__init__(manifest)
        self._options = options

    async def entries(self, session: Session, ledger: Ledger, register: Register) -> Sequence[More]:
        """See `Sequel`."""
        found: list[More] = []
        wishes = await self._wanted(ledger, register, self._options.selection)
        names = {one: wish.title for one, wish in wishes.things.items() if wish.has_entry}
        gone = await register.gone()
        names |= {record.hash: record.title for record in gone if record.hash is not None}
        if self._options.prune:
            closed = _only_closed(wishes)
            found += [_more(closed.things[one.parent_hash], one) for one in await self._left(session, closed, names)]
        if self._options.retire and register.unmade:
            # One whose key has changed takes over what the old one made: while it has not, that seems to be nobody's.
            number = many(register.unmade, "entry has", "entries have")
            why = f"{number} not come about, and could be what has gone under another key; mend that first"
            self._warn(NOWHERE, "nothing is retired", why)
        elif self._options.retire:
            policy = await anyio.to_thread.run_sync(policy_for, self._manifest)
            left = Wishes(spoken_of=set(relations()))
            for record in gone:
                about = wishes.things.get(record.hash or "")
                if about is None:
                    left.things[record.hash or ""] = _nothing_in(record, policy)
                else:
                    why = "its entry has gone, and this one is about it; leave that out as well"
                    self._warn(about.place, f"{record.title} ({record.hash}) is not retired", why)
            deeds = await self._left(session, left, names)
            found += [_more(left.things[one.parent_hash], one) for one in deeds]
            retired = {one.parent_hash for one in deeds}
            self.retired = len(retired)
            self._tell_keys([one for one in gone if one.hash in retired], await register.leftovers(gone))
        return found

    def _tell_keys(self, retired: Sequence[Record], leftovers: Mapping[str, Leftover]) -> None:
        """Say which API keys go on working, though nobody is in their project any more."""
        for record in retired:
            keys = leftovers.get(record.hash or "", NOTHING_LEFT).keys
            if keys:
                what = f"{record.title} is retired, and {still_working(keys)}"
                self._warn(place_said(record.place), what, "this API deletes none; delete it in Encord's app")

    async def _left(self, session: Session, wishes: Wishes, names: Mapping[str, str]) -> Sequence[Deed]:
        """What is left to do about the things of *wishes*; *names* are the titles of others, by their hashes."""
        repairs = Repairs(prune=True)
        report = await compare(session, wishes, on_difference=partial(self._tell, wishes), on_thing=repairs.note)
        for what, number in report.unlisted.items():
            skipped = f"{what} of {number} not looked at, since the service does not list them: nothing is taken"
            self._warn(NOWHERE, skipped, report.unlisted_reasons[what])
        may, refused = await allowed(session, [deed for deed in repairs.deeds() if _is_due(deed, wishes)])
        for kept in refused:
            wish = wishes.things[kept.deed.parent_hash]
            items = ", ".join(item for item, _ in kept.deed.items)
            kind, is_one = kept.deed.kind, len(kept.deed.items) == 1
            what = f"{kind.noun} {items} stays" if is_one else f"{kind.plural} {items} stay"
            self._warn(wish.place, f"{what} in {wish.title}", kept.error.message)
        # They were compared in no particular order; a plan has that of the manifest.
        self.warnings.sort(key=lambda one: (one.place.number, one.place.line or 0, one.place.row or 0))
        places = {found: place for place, found in enumerate(wishes.things)}
        may.sort(key=lambda deed: places[deed.parent_hash])
        for deed in may:
            self.titles[deed.parent_hash] = wishes.things[deed.parent_hash].title
            self.titles |= {item: names[item] for item, _ in deed.items if item in names}
        return may

    def _tell(self, wishes: Wishes, difference: Difference) -> None:
        wish = wishes.things.get(difference.hash or "")
        if wish is None or difference.reason is None:
            return
        if difference.fault is Fault.UNREADABLE:
            self._warn(wish.place, f"{wish.title} cannot be read: nothing is taken from it", difference.reason)
        elif difference.fault is Fault.EXTRA:
            what = f"{nouns(difference.what)[0]} {difference.named}"
            self._warn(wish.place, f"{what} stays in {wish.title}", difference.reason)


def _only_closed(wishes: Wishes) -> Wishes:
    """Those of *wishes* that say what is not to be in something, without what only a run can make."""
    things = {found: wish for found, wish in wishes.things.items() if wish.closed and not is_new(found)}
    for wish in things.values():
        wish.inner.clear()
    return Wishes(things=things, addresses=wishes.addresses, spoken_of=wishes.spoken_of)


def _nothing_in(record: Record, policy: Policy) -> ThingWish:
    """What is wanted of a thing whose entry has gone: nobody in it, and that it says so."""
    if not isinstance(record.kind, Thing):
        raise AssertionError(f"{record.kind.word} steps make nothing")
    place = place_said(record.place)
    wish = ThingWish(record.kind, record.hash or "", place, record.title, description="", has_gone=True)
    wish.stays = policy.protection(record.key or "") or policy.protection(wish.hash)
    wish.closed = frozenset(one for one in relations_of(record.kind.word) if one.lets_in)
    for relation, value in record.kind.retired.items() if wish.stays is None else ():
        wish.of(relation).add(value, None)
    return wish


def _is_due(deed: Deed, wishes: Wishes) -> bool:
    """Whether it takes something, or says of a thing that its entry has gone: the run itself has given the rest."""
    wish = wishes.things[deed.parent_hash]
    return deed.kind.takes or (wish.has_gone and deed.kind.relation in wish.kind.retired)


def _more(wish: ThingWish, deed: Deed) -> More:
    return More(PlacedEntry(wish.place, repair_entry(deed)), digest(b"surplus", deed.parent_hash.encode()))
