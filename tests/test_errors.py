import copy
import pickle
import re

import pytest

from encord_async import errors
from encord_async.errors import AppliedError, EncordError, NotAppliedError, UncertainError

BRANCHES: dict[type[EncordError], errors.Applied] = {
    NotAppliedError: "not_applied",
    UncertainError: "unknown",
    AppliedError: "applied",
}


def _descendants(kind: type[EncordError]) -> list[type[EncordError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _descendants(child))]


CLASSES = _descendants(EncordError)
CONCRETE = [kind for kind in CLASSES if kind is not EncordError]


def _drawn_tree() -> dict[str, str | None]:
    """Each name in the drawing with the name it hangs from."""
    parents: dict[str, str | None] = {}
    open_branches: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( {4,})(\w+)(?: {2,}\S.*)?$", errors.__doc__ or "", re.MULTILINE):
        while open_branches and open_branches[-1][0] >= len(indent):
            open_branches.pop()
        assert name not in parents, f"{name} is drawn twice"
        parents[name] = open_branches[-1][1] if open_branches else None
        open_branches.append((len(indent), name))
    return parents


def test_the_drawing_is_the_tree() -> None:
    """The tree that a reader sees in the module's docstring is the tree that ``except`` works with."""
    real = {kind.__name__: kind.__bases__[0].__name__ if kind is not EncordError else None for kind in CLASSES}
    assert _drawn_tree() == real


def test_the_drawing_is_read_right() -> None:
    """The reader of the drawing knows depth from order."""
    tree = _drawn_tree()
    assert tree["EncordError"] is None
    assert tree["SettingsError"] == "UsageError"
    assert tree["NotSentError"] == "NotAppliedError"
    assert tree["ReplyShapeError"] == "AppliedError"


def test_every_error_is_defined_in_one_place() -> None:
    """A caller finds every error in ``encord_async.errors``, and each once."""
    assert {kind.__module__ for kind in CLASSES} == {"encord_async.errors"}
    assert len(CLASSES) == len(set(CLASSES))


def test_all_is_complete_and_sorted() -> None:
    """``from encord_async.errors import *`` brings every error, and a reader finds names in order."""
    assert errors.__all__ == sorted(kind.__name__ for kind in CLASSES)


@pytest.mark.parametrize("kind", CONCRETE)
def test_each_error_says_whether_it_may_have_happened(kind: type[EncordError]) -> None:
    """An error's class alone says whether the request may have taken effect, and its branch says the same."""
    (branch,) = [branch for branch in BRANCHES if issubclass(kind, branch)]
    assert kind.applied == BRANCHES[branch]
    assert kind("x").applied == kind.applied


def test_the_base_takes_no_side() -> None:
    """`EncordError` itself says nothing about what happened, so it cannot be raised by mistake and believed."""
    assert not hasattr(EncordError, "applied")


@pytest.mark.parametrize("kind", CLASSES)
def test_each_error_has_its_own_docstring(kind: type[EncordError]) -> None:
    """``help()`` on an error explains it."""
    assert (kind.__dict__["__doc__"] or "").strip()


def test_an_error_shows_its_facts() -> None:
    """The text of an error has the message, then operation, code, HTTP status and trace id."""
    error = errors.NotFoundError(
        "no such resource",
        code="RESOURCE_NOT_FOUND_ERROR",
        http_status=400,
        retry_after_s=3.0,
        trace_id="abc/1;o=1",
        operation="project.GET",
    )
    assert str(error) == ("no such resource (project.GET, RESOURCE_NOT_FOUND_ERROR, HTTP 400, trace abc/1;o=1)")
    assert error.message == "no such resource"
    assert error.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.SettingsError("concurrency is 0; give 1 or more"), "concurrency is 0; give 1 or more"),
        (errors.NoReplyError("no answer", trace_id="t"), "no answer (trace t)"),
        (errors.ServiceFaultError("broken", http_status=502), "broken (HTTP 502)"),
        (errors.RefusedError("no", code="X", operation="project.POST"), "no (project.POST, X)"),
        (errors.RefusedError("no", code="", trace_id=""), "no"),
    ],
)
def test_an_error_leaves_out_what_is_not_known(error: EncordError, text: str) -> None:
    """A fact that is missing leaves no gap, no ``None`` and no empty brackets."""
    assert str(error) == text


@pytest.mark.parametrize("kind", CONCRETE)
def test_an_error_crosses_processes(kind: type[EncordError]) -> None:
    """An error that was pickled or copied still has its class, text and facts."""
    error = kind("m")
    error.code, error.http_status, error.retry_after_s = "C", 500, 1.5
    error.trace_id, error.operation = "t", "project.POST"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(twin) is kind
        assert str(twin) == str(error) == "m (project.POST, C, HTTP 500, trace t)"
        assert vars(twin) == vars(error)


def test_a_missing_extra_is_an_import_error() -> None:
    """``except ImportError`` around an import of ours catches a missing extra."""
    assert issubclass(errors.MissingExtraError, ImportError)
    assert str(errors.MissingExtraError("pip install 'encord-async[cli]'")) == "pip install 'encord-async[cli]'"
