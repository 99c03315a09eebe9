"""What a reply may cost: the first bad item ends the reading, and lists, depth and parts have bounds."""

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from encord_async.errors import ReplyShapeError, UnreadableReplyError
from encord_async.protocol.checks import Adapter
from encord_async.protocol.operations import datasets, keys, ontologies, organisation, projects, storage, workflow
from encord_async.protocol.operations.base import (
    EnvelopeListing,
    EnvelopeOperation,
    Operation,
    RestOperation,
    WholeOperation,
    reader_of,
)
from encord_async.protocol.operations.datasets import AddDatasetUsers, ListDatasets, ListDatasetsV2
from encord_async.protocol.operations.keys import ListProjectAPIKeys
from encord_async.protocol.operations.organisation import AddGroupMembers, ListGroups
from encord_async.protocol.operations.projects import AddProjectUsers, GetProject, ListProjects
from encord_async.protocol.reply import RawReply, judge
from encord_async.protocol.rest_reply import judge_rest

SECRET = "canary-in-a-reply"

Read = Callable[[Iterator[object]], object]

LISTS: dict[str, Read] = {
    "project keys": ListProjectAPIKeys(project_hash="p").parse,
    "scopes of a key": lambda some: ListProjectAPIKeys(project_hash="p").parse(
        [{"api_key": SECRET, "title": "t", "scopes": some}]
    ),
    "project users": AddProjectUsers(project_hash="p", emails=("a@example.com",), role=0).parse,  # type: ignore[arg-type]
    "dataset users": AddDatasetUsers(dataset_hash="d", emails=("a@example.com",)).parse,
    "projects": ListProjects().parse,
    "datasets": ListDatasets().parse,
    "datasets of a project": lambda some: _project(datasets=some),
    "label rows": lambda some: _project(label_rows=some),
    "source projects": lambda some: _project(source_projects=some),
    "datasets, REST": lambda some: ListDatasetsV2().parse({"result": some}),
    "groups": lambda some: ListGroups().parse({"results": some}),
    "group members": lambda some: AddGroupMembers(group_hash="g", emails=("a",)).parse({"results": some}),
}


def _project(**members: object) -> object:
    return GetProject(project_hash="p").parse({"project_hash": "p", "title": "t", **members})


@pytest.mark.parametrize("read", LISTS.values(), ids=LISTS.keys())
def test_the_first_bad_item_ends_the_reading(read: Read) -> None:
    """To say what is wrong with each of a million items would take gigabytes; one is said, and not what it holds."""
    looked_at = 0

    def items() -> Iterator[object]:
        nonlocal looked_at
        for _ in range(1000):
            looked_at += 1
            yield [SECRET]

    with pytest.raises(ReplyShapeError, match=r"\b0\b.* of its answer is no ") as caught:
        read(items())
    assert looked_at == 1
    assert SECRET not in caught.value.message


def test_the_bad_field_of_an_item_is_named() -> None:
    """Whoever reports it to the service's people can say which, and where."""
    good = {"datasetUuid": "d", "title": "t"}
    with pytest.raises(ReplyShapeError, match=r"result\.2\.title of its answer"):
        ListDatasetsV2().parse({"result": [good, good, {"datasetUuid": "d"}, {}]})


_READING = {kind.parse for kind in (EnvelopeListing, EnvelopeOperation, RestOperation, WholeOperation)}


def _reads(kind: object) -> bool:
    """Whether *kind* is an operation whose answer is read by `reader_of`: the others take what is no list."""
    return inspect.isclass(kind) and issubclass(kind, Operation) and kind.parse in _READING


def _adapters() -> Iterator[Adapter[Any]]:
    for module in (datasets, keys, ontologies, organisation, projects, storage, workflow):
        yield from (value for value in vars(module).values() if isinstance(value, Adapter))
        yield from (reader_of(kind) for name, kind in vars(module).items() if name in module.__all__ and _reads(kind))


def _lists_in(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        kind = schema.get("type")
        if isinstance(kind, str) and kind in {"list", "tuple", "set", "frozenset", "generator"}:
            yield schema
        for part in schema.values():
            yield from _lists_in(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _lists_in(part)


def test_every_list_of_every_answer_is_bounded() -> None:
    """A list that is added one day cannot be without a bound on its items, and on the errors about them."""
    adapters = [TypeAdapter[Any](adapter._type) for adapter in _adapters()]  # type: ignore[arg-type]
    for adapter in adapters:
        # Its models are built when the first answer comes, so that the command line starts sooner.
        adapter.rebuild(force=True)
    schemas = [adapter.core_schema for adapter in adapters]
    lists = [found for schema in schemas for found in _lists_in(schema)]
    assert len(lists) > 15
    for found in lists:
        assert found["fail_fast"] is True
        assert 0 < found["max_length"] <= 100_000


def test_a_page_holds_no_more_than_ten_times_what_can_be_asked_for() -> None:
    """The service has pages so that no reply need be large."""
    group = {"groupHash": "g", "name": "n"}
    assert len(ListGroups().parse({"results": [group] * 10_000}).results) == 10_000
    with pytest.raises(ReplyShapeError, match=r"results .*more than 10000 items"):
        ListGroups().parse({"results": [group] * 10_001})


def test_a_listing_without_pages_may_hold_more() -> None:
    """The datasets of an account come in one piece, however many they are."""
    dataset = {"datasetUuid": "d", "title": "t"}
    assert len(ListDatasetsV2().parse({"result": [dataset] * 10_001}).results) == 10_001


JUDGES = pytest.mark.parametrize("judge_it", [judge, judge_rest])


@JUDGES
@pytest.mark.parametrize(
    ("part", "open_", "close"),
    [(b"{}", b"[", b"]"), (b'{"a":1}', b"[", b"]"), (b"[]", b'{"status":200,"response":[', b"]}")],
    ids=["empty objects", "objects", "lists in an envelope"],
)
def test_a_reply_of_a_million_parts_is_not_read(judge_it: Any, part: bytes, open_: bytes, close: bytes) -> None:
    """Three bytes an object, packed next to none, take seventy in memory: a reply of so many is no answer."""
    body = open_ + (part + b",") * 500_000 + part + close
    with pytest.raises(UnreadableReplyError, match="more than 500000 lists and objects") as caught:
        judge_it(RawReply(200, {}, body), operation="x", now_s=0.0)
    assert caught.value.applied == "unknown"


@JUDGES
@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
def test_a_reply_of_any_depth_is_no_danger(judge_it: Any, opening: bytes) -> None:
    """What is nested too deeply is not understood, and does not exhaust the stack."""
    with pytest.raises(UnreadableReplyError):
        judge_it(RawReply(200, {}, opening * 100_000), operation="x", now_s=0.0)


def test_a_list_that_comes_as_text_is_bounded_as_well() -> None:
    """Scopes may come as JSON in a text: its depth is bounded, too."""
    for text in ("[" * 100_000, json.dumps(["label.read"] * 100_001)):
        with pytest.raises(ReplyShapeError, match="scopes"):
            ListProjectAPIKeys(project_hash="p").parse([{"api_key": SECRET, "title": "t", "scopes": text}])
