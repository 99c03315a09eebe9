"""What can be wrong between entries: keys, references, and copies of copies. Pure; keeps no entry."""

from typing import Final, NamedTuple

from encord_async.kinds.entry import Entry, Use
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import REFERENCE, meant, referenced_key, shown
from encord_async.manifest.place import Place, PlacedEntry, Problem

__all__ = ["Checker"]

_BAD: Final = ""
"""The kind of an entry that could not be read."""

_MAX_GUESSES: Final = 50_000
"""How many keys are looked at, at most, to guess what references to nothing meant."""


class _Waiting(NamedTuple):
    """Where a reference stands, in which field, and which kind it has to name."""

    place: Place
    field: str
    kind: str


class Checker:
    """What can be wrong between entries, told as they pass by.

    It remembers the keys, the references to keys that have not passed yet, and what is copied from what. Nothing else
    is kept, so it does not compare, for example, the users that two entries add to one project.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Place]] = {}
        self._unresolved: dict[str, list[_Waiting]] = {}
        self._late: list[Problem] = []
        self._copies: dict[str, str] = {}
        """Keys of copies and the keys of what they are copied from."""
        self._templates: set[str] = set()

    def add(self, placed: PlacedEntry) -> tuple[Problem, ...]:
        """Take the next entry; what is wrong with this one, as far as it can be known by now."""
        entry, place = placed.entry, placed.place
        found = entry.faults()
        if entry.key is not None:
            earlier = self._known.get(entry.key)
            if earlier is None:
                self._learn(entry.key, entry.kind, place)
            else:
                found.append(Fault("key", f"{shown(entry.key)} is the key of {earlier[1]} already"))
        origin = entry.made_from()
        if origin is not None and self._goes_in_circles(entry, origin.reference):
            reason = f"{shown(origin.reference)} is itself copied from this entry, if not directly"
            found.append(Fault(origin.field, reason))
        for use in entry.references():
            fault = self._refer(entry, place, use)
            if fault is not None:
                found.append(fault)
        return tuple([Problem(place, field, reason, hint, entry.key) for field, reason, hint in found]) if found else ()

    def _goes_in_circles(self, entry: Entry, origin: str) -> bool:
        """Whether *entry*, which is a copy of *origin*, would have to be there before itself."""
        template = referenced_key(origin)
        if template is None or entry.key is None or template == entry.key:
            return False
        # Only what is copied by an entry before can close a circle: long chains are not walked for each of their links.
        link: str | None = template if entry.key in self._templates else None
        while link is not None and link != entry.key:
            link = self._copies.get(link)
        if link is None:
            self._copies[entry.key] = template
            self._templates.add(template)
        return link is not None

    def refuse(self, problem: Problem) -> None:
        """Take an entry that could not be read, so that references to it are not called references to nothing."""
        if problem.key is not None and problem.key not in self._known:
            self._learn(problem.key, _BAD, problem.place)

    def take_late(self) -> tuple[Problem, ...]:
        """What turned out to be wrong, since the last call, with references of entries that have passed."""
        late, self._late = tuple(self._late), []
        return late

    def finish(self) -> tuple[Problem, ...]:
        """What is wrong with references to entries that came later, or never came, in the order of the entries."""
        problems = list(self._late)
        guesses = _MAX_GUESSES
        for key, uses in self._unresolved.items():
            hint = ""
            if len(self._known) <= guesses:
                guesses -= len(self._known)
                wanted = uses[0].kind
                hint = meant(
                    REFERENCE + key, (REFERENCE + one for one, (kind, _) in self._known.items() if kind == wanted)
                )
            reason = f"{shown(REFERENCE + key)} refers to nothing: no entry has this key"
            problems.extend(Problem(place, field, reason, hint) for place, field, _ in uses)
        return tuple(sorted(problems, key=lambda problem: problem.place.number))

    def _learn(self, key: str, kind: str, place: Place) -> None:
        self._known[key] = (kind, place)
        for use in self._unresolved.pop(key, ()):
            fault = _misfit(key, kind, place, use)
            if fault:
                self._late.append(Problem(use.place, use.field, fault))

    def _refer(self, entry: Entry, place: Place, use: Use) -> Fault | None:
        """What is wrong with *use* in *entry*, which stands at *place*, as far as it can be known by now."""
        field, reference, _ = use
        key = referenced_key(reference)
        known = self._known.get(reference if key is None else key)
        if key is None:
            if known is None:
                return None
            return Fault(field, f"{shown(reference)} is the key of {known[1]}", f"write {REFERENCE + reference!r}")
        if key == entry.key:
            return Fault(field, f"{shown(reference)} refers to this entry itself")
        waiting = _Waiting(place, field, use.kind)
        if known is None:
            self._unresolved.setdefault(key, []).append(waiting)
            return None
        reason = _misfit(key, *known, waiting)
        return Fault(field, reason) if reason else None


def _misfit(key: str, kind: str, place: Place, use: _Waiting) -> str:
    """What is wrong with using *key*, that of an entry of *kind* at *place*; nothing if it is right."""
    if kind == use.kind:
        return ""
    reference = shown(REFERENCE + key)
    if kind == _BAD:
        return f"{reference} names {place}, which is wrong itself"
    return f"{reference} is {_one(kind)}, and {use.field.partition('.')[0]!r} needs {_one(use.kind)}"


def _one(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
