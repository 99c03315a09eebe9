"""What ``encord_async`` exports is complete, sorted and importable, and nothing else is promised."""

import inspect
import types

import encord_async
from encord_async import errors
from encord_async.protocol import rest_operations


def test_all_is_sorted_and_without_doubles() -> None:
    """The list of public names can be read."""
    assert encord_async.__all__ == sorted(set(encord_async.__all__))


def test_all_is_what_is_there() -> None:
    """Each public name exists, and each name that exists and looks public is in the list."""
    found = {
        name
        for name, value in vars(encord_async).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(encord_async.__all__) == found


def test_every_error_is_public() -> None:
    """Whatever can be raised can be caught by name, and derives from the one base."""
    kinds = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert set(kinds) <= set(encord_async.__all__)
    assert all(issubclass(getattr(encord_async, name), encord_async.EncordError) for name in kinds)


def test_every_operation_is_public() -> None:
    """Whatever `EncordSession.execute` takes can be made from public names."""
    operations = [kind.__name__ for kind in encord_async.Operation.__subclasses__()]
    ours = [name for name in operations if hasattr(encord_async, name)]
    assert sorted(ours) == sorted(
        kind.__name__
        for kind in encord_async.Operation.__subclasses__()
        if kind.__module__ == "encord_async.protocol.operations"
    )


def test_every_rest_operation_is_public() -> None:
    """The same of REST v2; and no name stands for an operation of both APIs."""
    ours = [
        kind
        for name, kind in inspect.getmembers(rest_operations, inspect.isclass)
        if issubclass(kind, encord_async.RestOperation) and kind.__module__ == rest_operations.__name__
    ]
    assert ours
    assert [kind.__name__ for kind in ours if getattr(encord_async, kind.__name__, None) is not kind] == []


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
