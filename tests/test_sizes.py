"""The house's bounds for what one has to read at once: lines of a module and of a function."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import encord_async

PACKAGE = Path(encord_async.__file__).parent

MODULE = 600
FUNCTION = 50

# What was longer when the bounds came, and its length then. An entry leaves when its code has become short enough.
LONGER_MODULES: Mapping[str, int] = {}
LONGER_FUNCTIONS: Mapping[str, int] = {}


def modules() -> dict[str, int]:
    """The lines of each module of the package."""
    return {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }


def functions() -> dict[str, int]:
    """The lines of each function and method, its docstring and those inside of it included, its decorators not."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, node in named(tree):
            found[f"{path.relative_to(PACKAGE).as_posix()} {name}"] = (node.end_lineno or 0) - node.lineno + 1
    return found


def named(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions in *tree*, by the names by which one would look for them."""
    for node in ast.iter_child_nodes(tree):
        inside = within
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{within}{node.name}."
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inside[:-1], node
        yield from named(node, inside)


def too_long(found: Mapping[str, int], bound: int, known: Mapping[str, int]) -> list[str]:
    """Whatever is longer than *bound*, or than what is *known* of it, and what *known* need not name any more."""
    over = [f"{name}: {lines} lines" for name, lines in found.items() if lines > known.get(name, bound)]
    settled = [f"{name}: take it off the list" for name in known if found.get(name, 0) <= bound]
    return sorted(over + settled)


def test_modules_are_short() -> None:
    """No file is longer than one can keep in mind while changing it."""
    assert too_long(modules(), MODULE, LONGER_MODULES) == []


def test_functions_are_short() -> None:
    """No function is longer than a screen."""
    assert too_long(functions(), FUNCTION, LONGER_FUNCTIONS) == []


@pytest.mark.parametrize(
    ("lines", "known", "told"),
    [
        (50, {}, []),
        (51, {}, ["f: 51 lines"]),
        (53, {"f": 53}, []),
        (54, {"f": 53}, ["f: 54 lines"]),
        (50, {"f": 53}, ["f: take it off the list"]),
        (50, {"g": 53}, ["g: take it off the list"]),
    ],
)
def test_the_list_can_only_shrink(lines: int, known: dict[str, int], told: list[str]) -> None:
    """What was too long may get shorter and not longer, and has no place on the list once it is short enough."""
    assert too_long({"f": lines}, FUNCTION, known) == told


def test_functions_are_found_wherever_they_are() -> None:
    """A method and a function inside of another are named by where they stand."""
    tree = ast.parse("class A:\n    async def b(self):\n        def c(): ...\nif True:\n    def d(): ...\n")
    assert [name for name, _ in named(tree)] == ["A.b", "A.b.c", "d"]
