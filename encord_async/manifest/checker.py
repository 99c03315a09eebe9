"""What can be wrong between entries: keys, references, copies of copies, twins, users. Pure; keeps no entry."""

from array import array
from enum import IntEnum
from typing import Final

from encord_async.errors import an
from encord_async.kinds.cloud import is_uuid
from encord_async.kinds.entry import Entry, MakingEntry, Say, Use
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import REFERENCE, meant, referenced_key, shown
from encord_async.manifest.digests import Digests, Texts
from encord_async.manifest.known import MOST_NAMES, Keys, OpenReferences, Places, Waiting
from encord_async.manifest.place import Place, PlacedEntry, Problem
from encord_async.manifest.policy import NO_POLICY, Policy

__all__ = ["Checker", "Passed"]

_BAD: Final = ""
"""The kind of an entry that could not be read."""

_MAX_GUESSES: Final = MOST_NAMES
"""How many keys are looked at, at most, to guess what references to nothing meant."""

MAX_COMPARED: Final = 500_000
"""How many users in projects are compared, at most."""

_ONE_OF_TWO: Final = "only one of the two entries can have what that key has made"
_NOBODY: Final = 255
"""In place of a role: the user is to be removed."""

_MAX_PLACES: Final = 5
_MAX_WAITING: Final = 100
"""How many references to what may be the key of a later entry are told."""


class _Notice:
    """Something that is said once of many entries, with the first places."""

    def __init__(self, field: str, one: str, several: str, hint: str) -> None:
        self._words = (field, one, several, hint)
        self._first: list[Place] = []
        self._number = 0

    def add(self, place: Place) -> None:
        """It holds of the entry at *place* too."""
        self._number += 1
        if len(self._first) < _MAX_PLACES:
            self._first.append(place)

    def warning(self) -> Problem | None:
        """What is said, if there is anything to say."""
        field, one, several, hint = self._words
        if self._number <= 1:
            return Problem(self._first[0], field, one, hint) if self._first else None
        more = f" and {self._number - len(self._first):,} more" if self._number > len(self._first) else ""
        sort = "entries" if self._first[0].line is None else "lines"
        where = f"{sort} {', '.join(map(_number, self._first))}{more}"
        return Problem(self._first[0], field, f"{several.format(f'{self._number:,}')} ({where})", hint)


def _number(place: Place) -> str:
    line = place.number if place.line is None else place.line
    return str(line) if place.row is None else f"{line} row {place.row}"


class Checker:
    """What can be wrong between entries, told as they pass by.

    It remembers the keys (see `Keys`), the references to keys that have not passed yet, and digests: of what is made,
    and of the first `MAX_COMPARED` users in projects. So it compares no other memberships.

    Args:
        stamps: Whether a mark of the entry goes into descriptions, which tells twins apart.
        policy: Limits that a team sets itself.
        is_stream: Whether the manifest is read only once, while it is provisioned: then no key can have moved.
    """

    def __init__(self, *, stamps: bool = False, policy: Policy = NO_POLICY, is_stream: bool = False) -> None:
        self._is_stream = is_stream
        self._moved: dict[str, tuple[str, Place]] = {}
        """By the key that an entry had, the one that it has."""
        self._may_be_twins = stamps or policy.twins
        self._policy = policy
        self._places = Places()
        self._made = Texts()
        self._made_at = array("I")
        """Which of the places is that of each thing that is made."""
        self._said = Digests("B", most=MAX_COMPARED)
        self._words = OpenReferences()
        """What looks like no hash, and would be a reference if an entry had it for its key."""
        self._keyless = _Notice(
            "key",
            "is missing, and the entry makes something",
            "is missing in {} entries that make something",
            "give each a key: without one, an entry with another title is another entry, and makes something new",
        )
        self._trimmed = _Notice(
            "",
            "has a title with blanks at its ends, which are left out",
            "{} entries have a title with blanks at its ends, which are left out",
            "leave them out in the manifest too",
        )
        self._no_uuid = _Notice(
            "",
            "refers to something by what is no UUID",
            "{} references are no UUID",
            f"hashes look like aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1; is an '{REFERENCE}' missing?",
        )
        self._unsaid = _Notice(
            "",
            f"has a user of a project beyond the first {MAX_COMPARED:,}, which are not compared",
            f"{{}} users of projects beyond the first {MAX_COMPARED:,} were not compared",
            "nobody has looked whether one of them has two roles, or is removed as well",
        )
        self._empty = _Notice(
            "for_each",
            "has no rows, so the entry makes nothing",
            "{} entries have a for_each without rows, and make nothing",
            "if that is meant leave the entry out; what earlier runs made for its rows has gone from the manifest",
        )
        self._known = Keys(self._places)
        self._unresolved = OpenReferences()
        self._late: list[Problem] = []

    def add(self, placed: PlacedEntry) -> tuple[Problem, ...]:
        """Take the next entry; what is wrong with this one, as far as it can be known by now."""
        entry, place = placed.entry, placed.place
        found = entry.faults()
        if self._policy is not NO_POLICY:
            found += self._policy.faults(entry)
        if entry.key is not None:
            earlier = self._learn(entry.key, entry.kind, place)
            if earlier is not None:
                found.append(Fault("key", f"{shown(entry.key)} is the key of {earlier} already"))
        if entry.moved is not None or self._moved:
            found += self._moves(entry, place)
        origin = entry.made_from()
        if origin is not None and self._is_in_circle(entry, origin.reference):
            found.append(Fault(origin.field, f"{shown(origin.reference)} {entry.circle}"))
        for use in entry.references():
            fault = self._refer(entry, place, use)
            if fault is not None:
                found.append(fault)
        if entry.creates and entry.key is None:
            self._keyless.add(place)
        if entry.was_trimmed:
            self._trimmed.add(place)
        if not found:
            # What is bad for another reason makes nothing.
            if entry.creates and isinstance(entry, MakingEntry):
                found += self._twins(entry, place)
            found += [fault for say in entry.says() if (fault := self._two_roles(say, place))]
        return tuple([Problem(place, field, reason, hint, entry.key) for field, reason, hint in found]) if found else ()

    def _moves(self, entry: Entry, place: Place) -> list[Fault]:
        """What is wrong with the key that *entry* had before, or with its key as one that another had."""
        found, old = [], entry.moved
        taken = self._moved.get(entry.key or "")
        if taken is not None:
            found.append(Fault("key", f"{shown(entry.key)} has moved to {shown(taken[0])} at {taken[1]}", _ONE_OF_TWO))
        if old is None:
            return found
        if entry.key is None:
            return [*found, Fault("moved", "says which key the entry had, and it has none now", "give it a key")]
        if self._is_stream:
            found.append(
                Fault("moved", "cannot be done while entries come in", "give the manifest as a file or a list")
            )
        if old == entry.key:
            found.append(Fault("moved", f"{shown(old)} is its key still", "leave it out"))
        elif (still := self._known.place(old)) is not None:
            reason = f"{shown(old)} is the key of {still} still"
            found.append(Fault("moved", reason, _ONE_OF_TWO))
        elif old in self._moved:
            new, where = self._moved[old]
            found.append(Fault("moved", f"{shown(old)} has moved to {shown(new)} at {where} already"))
        else:
            self._moved[old] = entry.key, place
        return found

    def warnings(self) -> tuple[Problem, ...]:
        """What is not wrong in the entries so far, and should be known before they are provisioned; a few at most."""
        notices = (self._keyless, self._trimmed, self._no_uuid, self._unsaid, self._empty)
        return tuple(warning for notice in notices if (warning := notice.warning()) is not None)

    def note_empty(self, place: Place) -> None:
        """Note that the entry at *place* is one of a `for_each` without rows."""
        self._empty.add(place)

    def _twins(self, entry: MakingEntry, place: Place) -> list[Fault]:
        """That something of the title and description of *entry* is made by an earlier one."""
        if self._may_be_twins:
            return []
        # No text has a null character in it.
        named = "\0".join((entry.kind, entry.wished_title, entry.description.strip(), entry.lies_in or ""))
        earlier = self._made.add(named)
        if earlier is None:
            self._made_at.append(self._places.add(place))
            return []
        where = self._places[self._made_at[earlier]]
        return [
            Fault(
                entry.title_field,
                f"{shown(entry.wished_title)} is the title of {an(entry.kind)} with the same description at {where}",
                "give them other titles or descriptions, or use --stamp; a key does not tell them apart on the server",
            )
        ]

    def _two_roles(self, say: Say, place: Place) -> Fault | None:
        """That an earlier entry says something else of the user."""
        role = _NOBODY if say.role is None else int(say.role)
        email = say.email.casefold()
        if self._said.is_full:
            self._unsaid.add(place)
            return None
        earlier = self._said.put((say.about, email), role)
        if earlier is None or earlier == role:
            return None
        was, is_now = (_in_words(one, say.roles) for one in (earlier, role))
        return Fault(
            say.field, f"{shown(say.email)} {was} {say.about} by an earlier entry, and {is_now} it by this one"
        )

    def _is_in_circle(self, entry: Entry, origin: str) -> bool:
        """Whether *entry*, which is a copy of *origin*, would have to be there before itself."""
        template = referenced_key(origin)
        if template is None or entry.key is None or template == entry.key:
            return False
        return self._known.closes_circle(entry.key, template)

    def refuse(self, problem: Problem) -> None:
        """Take an entry that could not be read, so that references to it are not called references to nothing."""
        if problem.key is not None:
            self._learn(problem.key, _BAD, problem.place)

    def take_late(self) -> tuple[Problem, ...]:
        """What turned out to be wrong, since the last call, with references of entries that have passed."""
        late, self._late = tuple(self._late), []
        return late

    def finish(self) -> tuple[Problem, ...]:
        """What is wrong with references to entries that came later, or never came, in the order of the entries."""
        problems = list(self._late)
        guesses = _MAX_GUESSES
        for key in self._unresolved:
            uses = list(self._unresolved.of(key))
            hint = ""
            if key in self._moved:
                hint = f"its key is {shown(self._moved[key][0])} now"
            elif len(self._known) <= guesses:
                guesses -= len(self._known)
                hint = meant(REFERENCE + key, (REFERENCE + one for one in self._known.of_kind(uses[0].kind)))
            reason = f"{shown(REFERENCE + key)} refers to nothing: no entry has this key"
            problems.extend(Problem(place, field, reason, hint) for place, field, _ in uses)
        return tuple(sorted(problems, key=lambda problem: problem.place.number))

    def _learn(self, key: str, kind: str, place: Place) -> Place | None:
        """Take in the key of an entry; where the one stands that has it, if one has."""
        earlier = self._known.add(key, kind, place)
        if earlier is not None:
            return earlier
        for use in self._words.take(key):
            self._late.append(Problem(use.place, use.field, *_forgotten(key, place)))
        for use in self._unresolved.take(key):
            fault = _misfit(key, kind, place, use)
            if fault:
                self._late.append(Problem(use.place, use.field, fault))
        return None

    def _refer(self, entry: Entry, place: Place, use: Use) -> Fault | None:
        """What is wrong with *use* in *entry*, which stands at *place*, as far as it can be known by now."""
        field, reference, _ = use
        key = referenced_key(reference)
        known = self._known.kind(reference if key is None else key)
        if key is not None and known == use.kind and key != entry.key:
            return None
        if key is None:
            stands = None if known is None else self._known.place(reference)
            if stands is not None:
                return Fault(field, *_forgotten(reference, stands))
            if not is_uuid(reference) and "@" not in reference:
                self._no_uuid.add(place)
                if len(self._words) < _MAX_GUESSES and self._words.number(reference) < _MAX_WAITING:
                    self._words.add(reference, Waiting(place, field, use.kind))
            return None
        if key == entry.key:
            return Fault(field, f"{shown(reference)} refers to this entry itself")
        stands = self._known.place(key)
        if known is None or stands is None:
            self._unresolved.add(key, Waiting(place, field, use.kind))
            return None
        return Fault(field, _misfit(key, known, stands, Waiting(place, field, use.kind)))


class Passed:
    """In place of a `Checker`, for a manifest that one has seen to its end and that is read again as it was then.

    Args:
        warnings: What was not wrong, and should be known.
    """

    def __init__(self, warnings: tuple[Problem, ...] = ()) -> None:
        self._warnings = warnings

    def add(self, _: PlacedEntry) -> tuple[Problem, ...]:
        """Nothing that is not known."""
        return ()

    def refuse(self, _: Problem) -> None:
        """Nothing refers to what was bad that is not known to be bad."""

    def note_empty(self, _: Place) -> None:
        """It is among the warnings."""

    def warnings(self) -> tuple[Problem, ...]:
        """See `Checker`."""
        return self._warnings

    def take_late(self) -> tuple[Problem, ...]:
        """Nothing: what is said of references to later entries is known."""
        return ()

    def finish(self) -> tuple[Problem, ...]:
        """The same."""
        return ()


def _misfit(key: str, kind: str, place: Place, use: Waiting) -> str:
    """What is wrong with using *key*, that of an entry of *kind* at *place*; nothing if it is right."""
    if kind == use.kind:
        return ""
    reference = shown(REFERENCE + key)
    if kind == _BAD:
        return f"{reference} names {place}, which is wrong itself"
    return f"{reference} is {an(kind)}, and {use.field.partition('.')[0]!r} needs {an(use.kind)}"


def _forgotten(key: str, place: Place) -> tuple[str, str]:
    return f"{shown(key)} is the key of {place}", f"write {REFERENCE + key!r}"


def _in_words(role: int, roles: type[IntEnum]) -> str:
    return "is removed from" if role == _NOBODY else f"is {roles(role).name.lower()} of"
