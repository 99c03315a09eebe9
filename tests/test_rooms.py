"""Each kind of thing has one room: nobody outside of `kinds/` names one, by import, by a name or in a string."""

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import encord_async
from encord_async.kinds.registry import ENTRY_MODELS, step_kinds

PACKAGE = Path(encord_async.__file__).parent

ROOMS = {model.__module__ for model in ENTRY_MODELS.values()}

MAY_NAME = (
    *("kinds/", "protocol/", "emulator/"),
    # Calls of one operation each, and the lists of public names.
    *("calls.py", "operations.py", "project.py", "public.py", "raw.py", "cli/project.py", "manifest/__init__.py"),
    # What `doctor` asks the service: single operations, and what their answers say of it; no entry is wished for.
    "checkup/",
)

COMMON = {"data"}
"""Kinds whose word is one of everybody's: of these the class counts, and the string that is the word."""
WORDS = {*ENTRY_MODELS, *(kind.word for kind in step_kinds() if kind.stands_for_entry or kind.creates)} - COMMON
CLASSES = {model.__name__ for kind, model in ENTRY_MODELS.items() if kind in COMMON}


@dataclass(frozen=True)
class Allowed:
    """Names that may stand outside, in these modules or in any, and why."""

    names: str
    why: str
    where: str = ""

    def covers(self, module: str, name: str) -> bool:
        """Whether *name* in *module* is one of them."""
        return name in self.names.split() and (not self.where or module in self.where.split())


ALLOWED: tuple[Allowed, ...] = (
    Allowed("DatasetAPI dataset_api _dataset_api dataset_api_option", "the option `--dataset-api`, one of a whole run"),
    Allowed("without_ontologies", "the option `--without-ontologies`", "cli/export.py"),
    Allowed("ontologies", "the same in Python, `session.export(ontologies=...)`", "cli/export.py client.py"),
    Allowed("update_ontologies", "the option `--update-ontologies`", "engine/options.py"),
    Allowed("project", "the verb of single operations", "cli/main.py"),
    Allowed("project project_hash ProjectHandle", "`session.project(...)`, for single operations", "client.py"),
    Allowed("api_key _api_key APIKey API_KEY use_api_key", "an API key that signs, not one that is made"),
    Allowed("project", "the member `project` in `plan --json`, which scripts read", "plan.py cli/plan.py"),
    Allowed("project", "a name in the details of journals that are there", "journal/record.py"),
    Allowed("SeedDataset SeedFolder SeedOntology SeedProject", "public names of the testing kit", "testing.py"),
    Allowed("TaskGroup create_task_group _commit_in_groups group _group", "groups of tasks"),
    Allowed("BaseExceptionGroup", "several errors at once"),
    Allowed("group_by", "SQL", "journal/queries.py"),
    Allowed("folder", "a folder of files on this machine"),
)


def parts_of(name: str) -> list[str]:
    """The words of a name, in small letters and in the singular."""
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", re.sub(r"APIs?(?=[A-Z]|$)", "Api", name))
    return [re.sub("ies$", "y", part.lower()).removesuffix("s") for part in found]


@functools.cache
def names_a_kind(name: str) -> bool:
    """Whether the word of a kind is a part of *name*."""
    return name in CLASSES or any(word in _joined(name) for word in map(_joined, WORDS))


@functools.cache
def _joined(name: str) -> str:
    return f"_{'_'.join(parts_of(name))}_"


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """All names of a module that are its own choice or come by import, and strings that are the word of a kind."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.keyword(arg=str(name)):
                yield line, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.ImportFrom(module=module, names=aliases):
                yield from ((line, alias.asname or alias.name) for alias in aliases)
                if module in ROOMS:
                    yield line, f"{module}"
            case ast.Constant(value=str(text)) if text in WORDS | COMMON:
                yield line, text


@functools.cache
def outside() -> tuple[tuple[str, int, str], ...]:
    """Module, line and name, for all that names a kind where it may not without a reason."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if not module.startswith(MAY_NAME):
            for line, name in names_in(ast.parse(path.read_text())):
                if "." in name or names_a_kind(name):
                    found.append((module, line, name))
    return tuple(found)


def test_nobody_names_a_kind() -> None:
    """To add a kind, a module of its own and its lines in the registry are enough: no other module speaks of one."""
    found = [one for one in outside() if not any(allowed.covers(one[0], one[2]) for allowed in ALLOWED)]
    assert found == [], "\n".join(f"{module}:{line} {name}" for module, line, name in found)


@pytest.mark.parametrize("allowed", ALLOWED, ids=lambda allowed: allowed.names)
def test_each_exception_is_needed(allowed: Allowed) -> None:
    """What is not said any more needs no reason."""
    said = {(module, name) for module, _, name in outside()}
    for name in allowed.names.split():
        assert any(allowed.covers(module, name) for module, one in said if one == name), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ProjectEntry", True),
        ("new_projects", True),
        ("API_KEY", True),
        ("api_keys", True),
        ("ontologies", True),
        ("DataEntry", True),
        ("data_received", False),
        ("OrganisationUser", True),
        ("projected", False),
        ("user", False),
        ("api", False),
    ],
)
def test_what_names_a_kind(name: str, *, expected: bool) -> None:
    """The word of a kind counts in any case, in the plural, and as a part of a name."""
    assert names_a_kind(name) is expected
