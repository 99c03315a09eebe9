"""Limits that a team sets itself, and the one that it may lift; what of an entry is beyond them. Pure.

There is no way around them.

``policy_file`` finds them. They hold for `validate`, `plan` and a run alike.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

from encord_async.errors import UsageError
from encord_async.kinds.cloud import is_uuid
from encord_async.kinds.entry import Entry, MakingEntry
from encord_async.kinds.faults import Fault
from encord_async.kinds.fields import REFERENCE, meant, shown, sort_of
from encord_async.kinds.registry import ENTRY_MODELS, step_kinds

__all__ = ["NO_POLICY", "Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a team allows.

    Attributes:
        source: The file, and the table in it, for messages.
        most: How many things of which sort a run makes at most: `StepKind.what` of what cannot be unmade.
        titles: For a kind of entry, what the whole title has to match.
        required_tags: Patterns; each project has to have a tag for each.
        protected: Patterns of keys, or hashes, of projects from which nothing is removed.
        protected_hashes: Of things that entries with protected keys have made, in small letters; None if no journal
            was asked.
        twins: Whether entries may have the same title and description, as in the export of an account that has such.
    """

    source: str = ""
    most: Mapping[str, int] = field(default_factory=dict)
    titles: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    required_tags: Sequence[str] = ()
    protected: Sequence[str] = ()
    twins: bool = False
    protected_hashes: Collection[str] | None = None

    @classmethod
    def parse(cls, table: Mapping[str, object], source: str) -> "Policy":
        """The policy that *table* describes, as TOML has it.

        Raises:
            UsageError: Something in it is not known, or not of its type: a limit must not be lost by a slip.
        """
        for name in table:
            if name not in _FIELDS:
                raise _unknown(f"{source}: {shown(name)}", name, _FIELDS)
        return cls(
            source=source,
            most=MappingProxyType(dict(_numbers(_table(table, "most", source), source))),
            titles=MappingProxyType(dict(_patterns(_table(table, "titles", source), source))),
            required_tags=_texts(table, "required_tags", source),
            protected=_texts(table, "protected_keys", source),
            twins=_flag(table, "twins", source),
        )

    @property
    def bounds_what_is_sent(self) -> bool:
        """Whether some of it shows only when something is sent."""
        return bool(self.most or self.protected or self.protected_hashes)

    @property
    def protecting(self) -> "Policy":
        """Of it what no look at the entries sees to: what is left alone."""
        return Policy(source=self.source, protected=self.protected, protected_hashes=self.protected_hashes)

    def faults(self, entry: Entry) -> Iterator[Fault]:
        """What of *entry* the policy does not allow."""
        title = self.titles.get(entry.kind)
        if title is not None and isinstance(entry, MakingEntry) and not title.fullmatch(entry.wished_title):
            reason = f"{shown(entry.wished_title)} does not match {shown(title.pattern)}"
            yield Fault(entry.title_field, reason, self.named(f"titles.{entry.kind}"))
        tags: Sequence[str] | None = getattr(entry, "tags", None)
        if tags is not None:
            for pattern in self.required_tags:
                if not any(fnmatchcase(tag, pattern) for tag in tags):
                    yield Fault("tags", f"has none like {shown(pattern)}", self.named("required_tags"))
        thing = entry.takes_from()
        if thing is not None and self.protects(thing):
            yield Fault("remove", f"takes from {thing}, which is protected", self.named("protected_keys"))

    def protection(self, name: str) -> str | None:
        """Why nothing is removed from what has *name* for its hash or key; None if something may be."""
        return f"it is protected; {self.named('protected_keys')}" if name and self.protects(name) else None

    def protects(self, reference: str) -> bool:
        """Whether nothing may be removed from what *reference*, a hash or a key with or without its @, stands for."""
        name, patterns = reference.removeprefix(REFERENCE), [one.removeprefix(REFERENCE) for one in self.protected]
        if self.protected_hashes is not None and name.lower() in self.protected_hashes:
            return True
        if is_uuid(name):
            # A hash is the same one in capitals.
            name, patterns = name.lower(), [pattern.lower() for pattern in patterns]
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    def named(self, name: str) -> str:
        """Where it says so."""
        return f"see {name} in {self.source}"


NO_POLICY: Final = Policy()

_FIELDS: Final = ("most", "titles", "required_tags", "protected_keys", "twins")


def _unknown(what: str, name: str, known: Sequence[str]) -> UsageError:
    return UsageError(f"{what} is no limit; {meant(name, known) or 'use ' + ', '.join(known)}")


def _table(table: Mapping[str, object], name: str, source: str) -> Mapping[str, object]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise UsageError(f"{source}: {name} must be a table, not {sort_of(value)}")
    return value


def _numbers(table: Mapping[str, object], source: str) -> Iterator[tuple[str, int]]:
    known = [kind.what for kind in step_kinds() if kind.is_irreversible]
    for name, value in table.items():
        if name not in known:
            raise _unknown(f"{source}: most.{name}", name, known)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UsageError(f"{source}: most.{name} must be a whole number, 0 or more, not {shown(value)}")
        yield name, value


def _patterns(table: Mapping[str, object], source: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    known = [kind for kind, model in ENTRY_MODELS.items() if issubclass(model, MakingEntry)]
    for name, value in table.items():
        if name not in known:
            raise _unknown(f"{source}: titles.{name}", name, known)
        if not isinstance(value, str):
            raise UsageError(f"{source}: titles.{name} must be a pattern in quotes, not {shown(value)}")
        try:
            yield name, re.compile(value)
        except re.error as error:
            raise UsageError(f"{source}: titles.{name} is no regular expression: {error}") from None


def _flag(table: Mapping[str, object], name: str, source: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{source}: {name} must be true or false, not {shown(value)}")
    return value


def _texts(table: Mapping[str, object], name: str, source: str) -> Sequence[str]:
    value: Any = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise UsageError(f"{source}: {name} must be a list of patterns in quotes")
    return tuple(value)
