import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encord_async.errors import UnencodableError, UsageError
from encord_async.protocol.catalogue import Effect, rest_call
from encord_async.protocol.rest import RestRequest, camel, members, rest_request, seal_rest

PUT_TAG = rest_call("PUT", "/projects/{project}/tags/{tag}")
LIST = rest_call("GET", "/projects")
CREATE = rest_call("POST", "/datasets")

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip(" .")))


@given(project=TEXTS, tag=TEXTS)
def test_whatever_stands_in_a_path_stays_one_part_of_it(project: str, tag: str) -> None:
    """A hash with a slash, a question mark or a line break in it cannot become another call."""
    target = seal_rest(PUT_TAG, path={"project": project, "tag": tag}).target
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
    assert urlsplit(target).query == ""
    parts = target.removeprefix("/v2/public/").split("/")
    assert [parts[0], unquote(parts[1]), parts[2], unquote(parts[3])] == ["projects", project, "tags", tag]


@pytest.mark.parametrize("bad", ["", " ", ".", "..", " .. "])
def test_a_path_without_a_value_is_refused(bad: str) -> None:
    """An empty hash would be the call of the whole listing, and two dots another one."""
    with pytest.raises(UsageError, match="tag is empty; give its hash"):
        seal_rest(PUT_TAG, path={"project": "p", "tag": bad})


@given(st.dictionaries(st.from_regex(r"[a-z][a-zA-Z]{0,8}", fullmatch=True), st.lists(TEXTS, min_size=1, max_size=3)))
def test_a_query_arrives_as_it_was_given(query: dict[str, list[str]]) -> None:
    """Whatever text is asked for, a server reads the same; lists are repeated names."""
    target = seal_rest(LIST, query=query).target
    assert target.isascii()
    assert " " not in target
    assert parse_qs(target.partition("?")[2], keep_blank_values=True, strict_parsing=bool(query)) == query


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "a=True"),
        (False, "a=False"),
        (7, "a=7"),
        ("V%", "a=V%25"),
        ("a b", "a=a+b"),
        ([], ""),
        (None, ""),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "a=2024-01-02T03%3A04%3A05Z"),
        (datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "a=2024-01-02T03%3A04%3A05.000006Z"),
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))), "a=2024-01-02T00%3A00%3A00%2B02%3A00"),
        (datetime(2024, 1, 2), "a=2024-01-02T00%3A00%3A00"),  # noqa: DTZ001 - that there is no zone is the point
    ],
)
def test_values_of_a_query_are_spelt_as_the_sdk_does(value: Any, text: str) -> None:
    """Booleans are Python's, moments end in Z, and what is None or empty is left out."""
    assert seal_rest(LIST, query={"a": value}).target == "/v2/public/projects" + (f"?{text}" if text else "")


def test_members_are_camel_case_without_nulls() -> None:
    """Names are respelt at the top only: what an ontology's structure says inside is nobody's to change."""
    editor: dict[str, Any] = {"skeleton_templates": [], "none": None}
    assert members(user_emails=["a"], description=None, editor=editor, legacy_call=False) == {
        "userEmails": ["a"],
        "editor": editor,
        "legacyCall": False,
    }
    assert camel("title") == "title"


def test_a_request_without_a_body_has_none() -> None:
    """Nothing is sent where there is nothing to say; an empty object is something."""
    assert seal_rest(LIST).body == b""
    assert seal_rest(CREATE, body={}).body == b"{}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: seal_rest(CREATE, body={"title": float("nan")}),
        lambda: seal_rest(CREATE, body={"title": "\ud800"}),
        lambda: seal_rest(CREATE, body={"title": object()}),  # type: ignore[dict-item]  # the point of the test
        lambda: seal_rest(LIST, query={"titleEq": "\udfff"}),
        lambda: seal_rest(PUT_TAG, path={"project": "\ud800", "tag": "t"}),
    ],
)
def test_what_cannot_be_written_is_refused(make: Callable[[], RestRequest]) -> None:
    """NaN, half characters and foreign objects are refused before anything is sent, and not quoted."""
    with pytest.raises(UnencodableError) as caught:
        make()
    assert caught.value.operation
    assert "\\ud8" not in str(caught.value)


def test_equal_requests_have_one_name_and_others_another() -> None:
    """The digest names a request in a journal: by method, target and body."""
    one = seal_rest(CREATE, body={"title": "a"})
    assert one.digest == seal_rest(CREATE, body={"title": "a"}).digest
    others = {
        one.digest,
        seal_rest(CREATE, body={"title": "b"}).digest,
        seal_rest(LIST).digest,
        seal_rest(LIST, query={"titleEq": "a"}).digest,
        rest_request("DELETE", "/projects").digest,
    }
    assert len(others) == 5


def test_who_observes_sees_no_path_that_a_caller_wrote() -> None:
    """A call of the catalogue goes by its name and template; in any other path may stand what is nobody's business."""
    known = seal_rest(rest_call("GET", "/projects/{project}"), path={"project": "a-hash"})
    assert (known.label, known.path_template) == (known.name, "/v2/public/projects/{project}")
    for method, path in (("GET", "/projects/a-hash/users"), ("PATCH", "/projects/{project}")):
        written = rest_request(method, path.format(project="x"))  # type: ignore[arg-type]  # the methods it takes
        assert (written.label, written.path_template) == (f"v2.{method}", None)


def test_a_repr_holds_no_titles() -> None:
    """Titles and addresses do not reach logs by way of a request."""
    request = seal_rest(LIST, query={"titleEq": "Secret plan"})
    assert "Secret" not in repr(request)
    assert "Secret" not in repr(seal_rest(CREATE, body={"title": "Secret plan"}))


class TestUntyped:
    """Requests for calls that have no operation class."""

    @pytest.mark.parametrize(
        ("method", "path", "effect", "expected"),
        [
            ("GET", "/projects/p/branches", None, Effect.READ),
            ("POST", "/storage/folders", None, Effect.CREATE),
            ("PUT", "/storage/folders/f", None, Effect.CREATE),
            ("POST", "/storage/folders", Effect.SET, Effect.SET),
            ("POST", "/organisation/users", None, Effect.SET),
            ("POST", "/datasets", None, Effect.CREATE),
            ("POST", "/datasets", Effect.SET, Effect.SET),
        ],
    )
    def test_what_is_not_known_is_never_repeated_blindly(
        self, method: Any, path: str, effect: Effect | None, expected: Effect
    ) -> None:
        """A GET is a read, a call of the catalogue what that says, the rest a create, unless the caller says else."""
        assert rest_request(method, path, effect=effect).call.effect is expected

    def test_path_query_and_body_are_the_callers(self) -> None:
        """What is given is what goes out."""
        request = rest_request("POST", "/a/b%20c", query={"x": ["1", "2"]}, body={"some_name": None})
        assert (request.target, request.body) == ("/v2/public/a/b%20c?x=1&x=2", b'{"some_name": null}')

    @pytest.mark.parametrize("path", ["", "projects", "/", "/a?b=c", "/a b", "/a//b", "https://example.com/a", "/ä"])
    def test_what_is_no_path_is_refused(self, path: str) -> None:
        """A path begins with a slash, is encoded already and has no query in it."""
        with pytest.raises(UsageError, match="is no path below /v2/public"):
            rest_request("GET", path)


def test_the_vectors_are_all_covered_by_operations() -> None:
    """The requests of the official SDK in the vectors are those that the operations' tests make."""
    vectors = json.loads((Path(__file__).parent.parent / "vectors.json").read_text(encoding="utf-8"))
    assert len(vectors["v2"]) == 18
