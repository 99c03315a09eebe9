"""Random manifests and random edits of them, and what may ever be made of all their versions. Pure: chance is given.

Titles come from small pools, so that namesakes are common; a person's role is always the same, since no role can be
changed; and what one entry adds no other entry of the same version removes.
"""

import copy
import functools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Entry: TypeAlias = dict[str, Any]
Name: TypeAlias = tuple[str, str, str]
"""Kind, title and description: by this the service's listings tell things apart."""

MAKING: Final = ("dataset", "project", "ontology", "group", "folder")
NO_SUCH_DATASET: Final = "00000000-0000-0000-0000-00000000dead"
_DESCRIPTIONS: Final = ("", "", "by us")
_ROLES: Final = ("annotator", "reviewer", "annotator_reviewer")
_PEOPLE: Final = tuple(f"person{number}@example.com" for number in range(9))
UNREADABLE: Final = "https://files.example.com/bad-*"
_URLS: Final = tuple(f"https://files.example.com/{number}.png" for number in range(6))
_BAD_URL: Final = "https://files.example.com/bad-1.png"
STAGE: Final = "Annotate 1"
"""The stage of the workflow that a project has without a template."""
_TAGS: Final = ("wave-1", "wave-2", "to do")
_STATUSES: Final = ("not_started", "in_progress", "paused")
_GUESTS: Final = tuple(f"guest{number}@example.com" for number in range(6))
"""People of whom only memberships of their own speak, which may be taken back."""


def role_of(email: str) -> str:
    """The one role that somebody has."""
    return _ROLES[sum(email.encode()) % len(_ROLES)]


def name_of(entry: Entry) -> Name:
    """What *entry* goes by in listings."""
    return entry["kind"], entry.get("name") or entry["title"], entry.get("description", "")


def urls_of(entry: Entry) -> list[str]:
    """The files that an entry of files registers; of those that cannot be read it is none."""
    return [item["url"] for item in entry["items"] if item["url"] != _BAD_URL]


@dataclass(slots=True)
class Wishes:
    """A manifest that somebody edits.

    Attributes:
        chance: Draws everything.
        twins: Whether one version may wish for several things of one name.
        entries: The manifest as it is now.
        removed: Entries that were taken off, and may come back.
        most: How many things of a name any version has wished for.
        exchanged: Names of projects that entries may have taken over from one another, see `begin_run`.
    """

    chance: random.Random
    twins: bool = True
    entries: list[Entry] = field(default_factory=list)
    removed: list[Entry] = field(default_factory=list)
    most: Counter[Name] = field(default_factory=Counter)
    exchanged: set[Name] = field(default_factory=set)
    _numbers: int = 0
    _keys: dict[int, tuple[Entry, Counter[str]]] = field(default_factory=dict)
    """How many keys of each title any version has wished for in each project."""
    _forms: dict[int, set[str]] = field(default_factory=dict)
    """As what runs have met each entry of a project."""
    _ownerless: set[Name] = field(default_factory=set)
    """Names of projects whose entries were taken off."""
    _finished: list[tuple[Entry, str]] = field(default_factory=list)
    """The projects of the last version that was brought to its end, as they were then."""

    def begin(self, *, least: int = 3, most: int = 12) -> None:
        """Wish for the first things: *least* to *most*."""
        for _ in range(self.chance.randint(least, most)):
            self._add_thing()
        for _ in range(self.chance.randint(0, 4)):
            self._add_membership()
        for _ in range(self.chance.randint(0, 3)):
            self._add_files()
        if self.chance.random() < 0.5:
            self._add_tasks()
        self.note()

    def edit(self) -> str:
        """Change something, and say what."""
        edits: list[Callable[[], str | None]] = [
            self._add_thing,
            self._add_membership,
            self._add_files,
            self._add_files,
            self._change_files,
            self._add_tasks,
            self._change_users,
            self._change_users,
            self._change_datasets,
            self._change_access,
            self._change_tags_or_status,
            self._add_key,
            self._flip_membership,
            self._flip_membership,
            self._move_membership,
            self._move_key,
            self._move_key_into_project,
            self._name_or_rename,
            self._shuffle,
            self._remove,
            self._put_back,
            self._spoil_or_mend,
        ]
        for _ in range(20):
            said = self.chance.choice(edits)()
            if said is not None:
                self.note()
                return said
        return "nothing"

    def mend(self) -> None:
        """Take out what no service could do."""
        for entry in self.entries:
            entry["datasets"] = [one for one in entry.get("datasets", ()) if one != NO_SUCH_DATASET]
            if not entry["datasets"]:
                del entry["datasets"]
        self.drop_idle_tasks()
        self.note()

    def drop_idle_tasks(self) -> None:
        """Take out what gives away tasks of projects that get no data from this version."""
        files = [entry for entry in self.entries if entry["kind"] == "data" and urls_of(entry)]
        with_data = {one for entry in files for one in _added(entry)}
        for entry in [one for one in self.entries if one["kind"] == "project_tasks"]:
            about = {entry["project"]}
            of = [one for one in self.entries if {f"@{one.get('key')}", one.get("project")} & about]
            if with_data.isdisjoint(one for other in of for one in _added(other)):
                self.entries.remove(entry)

    def take_files_off(self) -> None:
        """Wish for one file less in each entry that has several."""
        for entry in self.entries:
            if entry["kind"] == "data" and len(entry["items"]) > 1:
                entry["items"].pop(self.chance.randrange(len(entry["items"])))

    def note(self) -> None:
        """Count what this version wishes for."""
        self.most |= wished(self.entries)
        for entry in self.entries:
            if entry["kind"] == "project":
                _, most = self._keys.setdefault(id(entry), (entry, Counter()))
                most |= _keys_wished(entry, self.entries)

    def most_keys(self, name: Name) -> tuple[Counter[str], Counter[str]]:
        """How many keys of each title there may be in projects of *name*: in all of them, and in any one."""
        each = [most for entry, most in self._keys.values() if name_of(entry) == name]
        return sum(each, Counter()), functools.reduce(Counter.__or__, each, Counter())

    def begin_run(self) -> None:
        """Note for which projects nobody can tell whose they are: what an entry was before, nothing in it says.

        So it is if several of one name have come or been edited since the last version that was brought to its end, and
        a run has met one of them as it was before, or if one was taken off and another comes, or is edited. Their
        entries may exchange them, and with them the API keys.
        """
        before = {id(entry): said for entry, said in self._finished}
        for name in {name_of(entry) for entry in self.entries if entry["kind"] == "project"}:
            alike = [entry for entry in self.entries if entry["kind"] == "project" and name_of(entry) == name]
            edited = [entry for entry in alike if before.get(id(entry)) != _said(entry)]
            was_other = any(self._forms.get(id(one), set()) - {_said(one)} for one in edited)
            if edited and (name in self._ownerless or (len(edited) > 1 and was_other)):
                self.exchanged.add(name)
            for entry in alike:
                self._forms.setdefault(id(entry), set()).add(_said(entry))

    def end_run(self) -> None:
        """Take in that each entry has got what it wishes for."""
        self._finished = [(entry, _said(entry)) for entry in self.entries if entry["kind"] == "project"]

    # ------------------------------------------------------------------ edits

    def _add_thing(self, kind: str | None = None) -> str | None:
        kind = kind or self.chance.choice(("dataset", "dataset", "folder", *["project"] * 3, "ontology", "group"))
        title = f"{kind} {self.chance.randint(1, 3)}"
        entry: Entry = {"kind": kind, ("name" if kind in {"group", "folder"} else "title"): title}
        entry["description"] = self.chance.choice(_DESCRIPTIONS)
        if not self._may_come(entry):
            return None
        if self.chance.random() < 0.6:
            entry["key"] = self._fresh_key()
        if kind == "project":
            entry["datasets"] = self._some_datasets()
            entry["users"] = [_user(email) for email in self._some(_PEOPLE, 3)]
            entry["api_keys"] = [_api_key(title) for title in self._some(("ci", "export"), 2)]
            entry["tags"] = self._some(_TAGS, 2)
            if self.chance.random() < 0.3:
                entry["status"] = self.chance.choice(_STATUSES)
        elif kind == "ontology":
            entry["structure"] = {"objects": [], "classifications": []}
        if kind == "dataset":
            entry["users"] = [{"email": email, "role": "user"} for email in self._some(_PEOPLE, 2)]
        if kind in {"dataset", "ontology"}:
            entry["groups"] = [_group(reference) for reference in self._some(self._keyed_groups(), 2)]
        self._insert(entry)
        return f"added {name_of(entry)}"

    def _add_membership(self) -> str | None:
        project = self._some_keyed_project()
        if project is None:
            return None
        entry: Entry = {"project": f"@{project['key']}"}
        kind = self.chance.choice(("project_users", "project_users", "project_datasets", "project_api_key"))
        if kind == "project_users":
            free = [one for one in _GUESTS if not any(one in _people(other) for other in self.entries)]
            emails = self._some(free, 2)
            if not emails:
                return None
            entry |= {"kind": kind, "emails": emails, "role": role_of(emails[0])}
            entry["emails"] = [one for one in emails if role_of(one) == entry["role"]]
        elif kind == "project_datasets":
            datasets = self._some_datasets()
            if not datasets:
                return None
            entry |= {"kind": kind, "add": datasets}
        else:
            entry |= {"kind": kind, **_api_key(self.chance.choice(("ci", "more")))}
        if self.chance.random() < 0.3:
            entry["key"] = self._fresh_key()
        self._insert(entry)
        return f"added {kind} of {entry['project']}"

    def _add_files(self) -> str | None:
        folders = [entry for entry in self.entries if entry["kind"] == "folder" and entry.get("key")]
        if not folders:
            return self._add_thing("folder")
        folder = self.chance.choice(folders)
        urls = [*self._some(_URLS, 4), *([_BAD_URL] if self.chance.random() < 0.2 else [])]
        if not urls:
            return None
        entry: Entry = {"kind": "data", "folder": f"@{folder['key']}", "items": [{"url": url} for url in urls]}
        entry |= {"datasets": self._some_datasets() or self._some_datasets(), "on_error": "skip"}
        if self.chance.random() < 0.5:
            entry["key"] = self._fresh_key()
        self._insert(entry)
        return f"added files to {entry['folder']}"

    def _change_files(self) -> str | None:
        entry = self._one("data")
        if entry is None:
            return None
        there = [item["url"] for item in entry["items"]]
        free = [url for url in _URLS if url not in there]
        if len(there) > 1 and self.chance.random() < 0.3:
            entry["items"].pop(self.chance.randrange(len(there)))
            return "took a file off"
        if free and self.chance.random() < 0.6:
            entry["items"].append({"url": self.chance.choice(free)})
            return "added a file"
        entry["datasets"] = list(dict.fromkeys([*entry["datasets"], *self._some_datasets()]))
        return "linked files to datasets"

    def _add_tasks(self) -> str | None:
        project = self._some_keyed_project()
        if project is None or not project["users"]:
            return None
        emails = [user["email"] for user in project["users"]]
        entry: Entry = {"kind": "project_tasks", "project": f"@{project['key']}", "stage": STAGE, "wait_s": 2}
        entry["assign"] = {"emails": self.chance.sample(emails, self.chance.randint(1, len(emails)))}
        if not self._may_come(entry):
            return None
        self._insert(entry)
        return f"gave away the tasks of {entry['project']}"

    def _change_users(self) -> str | None:
        project = self._one("project")
        if project is None:
            return None
        self.chance.shuffle(project["users"])
        there = {user["email"] for user in project["users"]}
        free = [one for one in _PEOPLE if one not in there]
        if free and self.chance.random() < 0.7:
            project["users"].append(_user(self.chance.choice(free)))
            return "added a user"
        return "put users in another order"

    def _change_datasets(self) -> str | None:
        project = self._one("project")
        if project is None:
            return None
        project["datasets"] = list(dict.fromkeys([*project.get("datasets", ()), *self._some_datasets()]))
        return "added datasets"

    def _change_access(self) -> str | None:
        entry = self._one("dataset", "ontology")
        if entry is None:
            return None
        there = {wish["group"] for wish in entry["groups"]}
        free = [reference for reference in self._keyed_groups() if reference not in there]
        if free and self.chance.random() < 0.6:
            entry["groups"].append(_group(self.chance.choice(free)))
            return f"gave a group access to a {entry['kind']}"
        if entry["kind"] == "ontology":
            return None
        people = [one for one in _PEOPLE if one not in {user["email"] for user in entry["users"]}]
        entry["users"] += [{"email": email, "role": "user"} for email in self._some(people, 2)]
        return "gave people access to a dataset"

    def _change_tags_or_status(self) -> str | None:
        project = self._one("project")
        if project is None:
            return None
        if self.chance.random() < 0.5:
            project["status"] = self.chance.choice(_STATUSES)
            return f"a project is {project['status']}"
        project["tags"] = list(dict.fromkeys([*project["tags"], *self._some(_TAGS, 2)]))
        return "added tags"

    def _add_key(self) -> str | None:
        project = self._one("project")
        if project is None or len(project["api_keys"]) > 2:
            return None
        titles = {wish["title"] for wish in project["api_keys"]}
        title = self.chance.choice([one for one in ("ci", "export", "third") if one not in titles])
        project["api_keys"].append(_api_key(title))
        return "added an API key"

    def _flip_membership(self) -> str | None:
        entry = self._one("project_users")
        if entry is None:
            return None
        if entry.get("remove"):
            emails = entry.pop("remove")
            entry |= {"emails": emails, "role": role_of(emails[0])}
            return "added somebody again"
        entry["remove"] = entry.pop("emails")
        del entry["role"]
        return "took somebody off"

    def _move_membership(self) -> str | None:
        entry, project = self._one("project_users"), self._some_keyed_project()
        if entry is None or project is None or entry.get("remove"):
            return None
        entry["project"] = f"@{project['key']}"
        return "a membership is of another project now"

    def _move_key(self) -> str | None:
        entry, project = self._one("project_api_key"), self._some_keyed_project()
        if entry is None or project is None or entry["project"] == f"@{project['key']}":
            return None
        entry["project"] = f"@{project['key']}"
        return "an API key is of another project now"

    def _move_key_into_project(self) -> str | None:
        entry = self._one("project_api_key")
        project = entry and next(one for one in self.entries if f"@{one.get('key')}" == entry["project"])
        if entry is None or project is None or entry["title"] in {wish["title"] for wish in project["api_keys"]}:
            return None
        self.entries.remove(entry)
        project["api_keys"].append(_api_key(entry["title"]))
        return "an API key's entry became a part of its project's"

    def _name_or_rename(self) -> str | None:
        entry = self._one(*MAKING)
        if entry is None:
            return None
        old, new = entry.get("key"), self._fresh_key()
        entry["key"] = new
        for other in self.entries:
            if old is not None:
                _replace_reference(other, f"@{old}", f"@{new}")
        return "gave a key" if old is None else "renamed a key"

    def _shuffle(self) -> str:
        self.chance.shuffle(self.entries)
        return "put entries in another order"

    def _remove(self) -> str | None:
        referred = {one for entry in self.entries for one in _references(entry)}
        free = [entry for entry in self.entries if f"@{entry.get('key')}" not in referred]
        if len(free) < 2:
            return None
        entry = self.chance.choice(free)
        self.entries.remove(entry)
        self.removed.append(copy.deepcopy(entry))
        if entry["kind"] == "project":
            self._ownerless.add(name_of(entry))
        return f"removed a {entry['kind']}"

    def _put_back(self) -> str | None:
        keys = {f"@{entry.get('key')}" for entry in self.entries}
        guests = {one for entry in self.entries for one in _people(entry)}
        fitting = [
            entry
            for entry in self.removed
            if all(reference in keys for reference in _references(entry))
            and (entry["kind"] != "project_users" or guests.isdisjoint(_people(entry)))
            and self._may_come(entry)
        ]
        if not fitting:
            return None
        entry = self.chance.choice(fitting)
        self.removed.remove(entry)
        self._insert(entry)
        return f"put a {entry['kind']} back"

    def _spoil_or_mend(self) -> str | None:
        project = self._one("project")
        if project is None or project.get("key") is not None:
            return None
        if NO_SUCH_DATASET in project["datasets"]:
            project["datasets"].remove(NO_SUCH_DATASET)
            return "mended a project"
        project["datasets"].append(NO_SUCH_DATASET)
        return "spoiled a project"

    # ------------------------------------------------------------------ drawing

    def _fresh_key(self) -> str:
        self._numbers += 1
        return f"k{self._numbers}"

    def _may_come(self, entry: Entry) -> bool:
        """Whether there may be *entry* beside those that are there."""
        if entry["kind"] == "project_tasks":
            return all(one["kind"] != entry["kind"] or one["project"] != entry["project"] for one in self.entries)
        return self.twins or entry["kind"] not in MAKING or not wished(self.entries)[name_of(entry)]

    def _insert(self, entry: Entry) -> None:
        self.entries.insert(self.chance.randint(0, len(self.entries)), entry)

    def _one(self, *kinds: str) -> Entry | None:
        fitting = [entry for entry in self.entries if entry["kind"] in kinds]
        return self.chance.choice(fitting) if fitting else None

    def _some(self, of: Iterable[str], most: int) -> list[str]:
        pool = list(of)
        return self.chance.sample(pool, self.chance.randint(0, min(most, len(pool))))

    def _some_datasets(self) -> list[str]:
        keys = [f"@{entry['key']}" for entry in self.entries if entry["kind"] == "dataset" and entry.get("key")]
        return self._some(keys, 4)

    def _keyed_groups(self) -> list[str]:
        return [f"@{entry['key']}" for entry in self.entries if entry["kind"] == "group" and entry.get("key")]

    def _some_keyed_project(self) -> Entry | None:
        fitting = [entry for entry in self.entries if entry["kind"] == "project" and entry.get("key")]
        return self.chance.choice(fitting) if fitting else None


def wished(entries: Iterable[Entry]) -> Counter[Name]:
    """How many things of each name *entries* wish for."""
    return Counter(name_of(entry) for entry in entries if entry["kind"] in MAKING)


def _keys_wished(project: Entry, entries: Iterable[Entry]) -> Counter[str]:
    """How many keys of each title *entries* wish for in *project*."""
    reference = f"@{project.get('key')}"
    others = [entry for entry in entries if entry["kind"] == "project_api_key" and entry["project"] == reference]
    return Counter(wish["title"] for wish in (*project["api_keys"], *others))


def _said(entry: Entry) -> str:
    """By what an entry is known again."""
    return f"@{entry['key']}" if "key" in entry else json.dumps({name: value for name, value in entry.items() if value})


def _user(email: str) -> Entry:
    return {"email": email, "role": role_of(email)}


def _api_key(title: str) -> Entry:
    return {"title": title, "scopes": ["label.read"]}


def _group(reference: str) -> Entry:
    return {"group": reference, "role": "user"}


def _people(entry: Entry) -> set[str]:
    return {*entry.get("emails", ()), *entry.get("remove", ())} if entry["kind"] == "project_users" else set()


def _added(entry: Entry) -> list[str]:
    """The datasets that an entry is about."""
    return [*entry.get("datasets", ()), *entry.get("add", ())]


def _references(entry: Entry) -> Iterator[str]:
    groups = [wish["group"] for wish in entry.get("groups", ())]
    for value in (entry.get("project"), entry.get("folder"), *_added(entry), *groups):
        if isinstance(value, str) and value.startswith("@"):
            yield value


def _replace_reference(entry: Entry, old: str, new: str) -> None:
    for name in ("project", "folder"):
        if entry.get(name) == old:
            entry[name] = new
    for wish in entry.get("groups", ()):
        wish["group"] = new if wish["group"] == old else wish["group"]
    for name in ("datasets", "add"):
        if name in entry:
            entry[name] = [new if one == old else one for one in entry[name]]
