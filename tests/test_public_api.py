"""What ``encord_async`` exports is complete, sorted and importable, and nothing else is promised."""

import importlib
import inspect
import pkgutil
import types

import pytest

import encord_async
from encord_async import errors
from encord_async import operations as encord_operations
from encord_async import raw as encord_raw
from encord_async.protocol import operations


def test_all_is_sorted_and_without_doubles() -> None:
    """The list of public names can be read: in order, and the errors after all else."""
    assert encord_async.__all__ == [*sorted(set(encord_async.__all__) - set(errors.__all__)), *errors.__all__]


def test_all_is_what_is_there() -> None:
    """Each public name exists, and each name that exists and looks public is in the list."""
    names = set(encord_async.__all__)
    found = {
        name
        for name, value in vars(encord_async).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert names == found


def test_what_tests_put_in_the_place_of_a_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lists the names, or asks for one that is not there, leaves a user's own in its place."""
    own = object()
    monkeypatch.setattr(encord_async, "EncordSession", own)
    assert "EncordSession" in dir(encord_async)
    assert not hasattr(encord_async, "Nope")
    assert encord_async.EncordSession is own


def test_a_name_that_is_not_there() -> None:
    """Names that nobody has promised are not there, and `dir` shows those that are."""
    assert set(encord_async.__all__) <= set(dir(encord_async))
    for name in ("Nope", "nope", "_nope"):
        with pytest.raises(AttributeError, match=f"module 'encord_async' has no attribute '{name}'"):
            getattr(encord_async, name)


def test_every_error_is_public() -> None:
    """Whatever can be raised can be caught by name, and derives from the one base."""
    kinds = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert set(kinds) <= set(encord_async.__all__)
    assert all(issubclass(getattr(encord_async, name), encord_async.EncordError) for name in kinds)


@pytest.mark.parametrize("module", [encord_operations, encord_raw], ids=["operations", "raw"])
def test_lists_of_names_are_true(module: types.ModuleType) -> None:
    """The modules of names beside the front door list what they have, each once, and repeat nothing of it."""
    found = {
        name
        for name, value in vars(module).items()
        if name.isidentifier() and not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(module.__all__) == sorted(found)
    assert found.isdisjoint(encord_async.__all__)


@pytest.mark.parametrize(
    "noun", [found.name for found in pkgutil.iter_modules(operations.__path__) if found.name != "base"]
)
def test_every_operation_is_public(noun: str) -> None:
    """Whatever `EncordSession.execute` takes can be made from public names."""
    module = importlib.import_module(f"{operations.__name__}.{noun}")
    ours = {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, encord_operations.Operation) and kind.__module__ == module.__name__
    }
    assert ours
    assert [name for name, kind in ours.items() if getattr(encord_operations, name, None) is not kind] == []


def test_public_things_are_documented() -> None:
    """Each public class and function, and each public method of them, says what it is for."""
    for name in encord_async.__all__:
        thing = getattr(encord_async, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and inspect.isfunction(value):
                    assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"
