import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from encord_async.protocol import models
from encord_async.protocol.catalogue import APIKeyScope, DatasetUserRole, ProjectUserRole, StorageLocation

KEY = "0-1aABCDE_aFGcdeHIfJ2KfLMgNO3PQh4RST5UV6W_X"

GOOD: dict[type[BaseModel], dict[str, Any]] = {
    models.ProjectAPIKey: {"api_key": KEY, "title": "ci", "scopes": ["label.read"]},
    models.ProjectUser: {"user_email": "a@example.com", "user_role": 1, "project_hash": "p"},
    models.DatasetUser: {"user_email": "a@example.com", "user_role": 1, "dataset_hash": "d"},
    models.ProjectDataset: {"dataset_hash": "d"},
    models.Project: {"project_hash": "p", "title": "t"},
    models.ListedProject: {"project_hash": "p", "title": "t"},
    models.OwnedProject: {"user_role": 0, "project": {"project_hash": "p", "title": "t"}},
    models.Dataset: {"dataset_hash": "d", "title": "t"},
    models.OwnedDataset: {"user_role": 0, "dataset": {"dataset_hash": "d", "title": "t"}},
    models.NewDataset: {"dataset_hash": "d", "title": "t", "type": 0},
}
EVERY_MODEL = pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)


@EVERY_MODEL
class TestEveryModel:
    """What holds for every answer of the service."""

    def test_is_read_from_what_is_needed(self, kind: type[BaseModel]) -> None:
        """The members that are used here are enough."""
        kind.model_validate(GOOD[kind])

    def test_ignores_what_is_new(self, kind: type[BaseModel]) -> None:
        """A member that the service adds one day breaks nothing, and is not kept."""
        made = kind.model_validate({**GOOD[kind], "brand_new": {"a": [1]}})
        assert made == kind.model_validate(GOOD[kind])
        assert not hasattr(made, "brand_new")

    @pytest.mark.parametrize("wrong", [None, [], "text", 1, True, {}], ids=repr)
    def test_refuses_another_shape(self, kind: type[BaseModel], wrong: object) -> None:
        """Anything that is no object with the needed members is not taken for one."""
        with pytest.raises(ValidationError):
            kind.model_validate(wrong)

    def test_misses_what_is_needed(self, kind: type[BaseModel]) -> None:
        """Each needed member is needed."""
        for name in GOOD[kind]:
            with pytest.raises(ValidationError):
                kind.model_validate({key: value for key, value in GOOD[kind].items() if key != name})
            with pytest.raises(ValidationError):
                kind.model_validate({**GOOD[kind], name: None})

    def test_has_no_empty_hash(self, kind: type[BaseModel]) -> None:
        """An empty hash would name nothing, and is refused."""
        for name in GOOD[kind]:
            if name.endswith("_hash"):
                with pytest.raises(ValidationError):
                    kind.model_validate({**GOOD[kind], name: ""})

    def test_cannot_be_changed(self, kind: type[BaseModel]) -> None:
        """An answer stays what it was."""
        made = kind.model_validate(GOOD[kind])
        with pytest.raises(ValidationError):
            setattr(made, next(iter(GOOD[kind])), "x")


class TestAPIKeys:
    """API keys are secrets."""

    def test_the_key_shows_only_when_asked(self) -> None:
        """The key is not in repr, text or dump; whoever needs it says so."""
        made = models.ProjectAPIKey.model_validate(GOOD[models.ProjectAPIKey])
        assert isinstance(made.api_key, SecretStr)
        shown = f"{made!r} {made!s} {made.model_dump()!r} {made.model_dump_json()} {[made]!r}"
        assert KEY[:12] not in shown
        assert made.api_key.get_secret_value() == KEY

    @pytest.mark.parametrize(
        ("scopes", "expected"),
        [
            ([], ()),
            ("[]", ()),
            (["label.read", "label.write"], (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE)),
            (json.dumps(["label.read", "label.write"]), (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE)),
            (["label.read", "brand.new"], (APIKeyScope.LABEL_READ, "brand.new")),
            ('["brand.new"]', ("brand.new",)),
            (["label.read", "label.read"], (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_READ)),
        ],
        ids=repr,
    )
    def test_scopes_come_as_list_or_text(self, scopes: object, expected: tuple[str, ...]) -> None:
        """Scopes are read from a list and from a text that holds one; unknown ones are kept."""
        made = models.ProjectAPIKey.model_validate({**GOOD[models.ProjectAPIKey], "scopes": scopes})
        assert made.scopes == expected
        assert [isinstance(scope, APIKeyScope) for scope in made.scopes] == ["new" not in scope for scope in expected]

    @pytest.mark.parametrize(
        "scopes",
        [
            "",
            "label.read",
            "[",
            '"label.read"',
            "{}",
            "NaN",
            "1",
            "[1]",
            '["\\ud800"]',
            "[" * 100_000,
            [1],
            [None],
            {},
            5,
        ],
        ids=lambda scopes: repr(scopes)[:20],
    )
    def test_other_scopes_are_refused(self, scopes: object) -> None:
        """Text that holds no list of texts is no scopes."""
        with pytest.raises(ValidationError):
            models.ProjectAPIKey.model_validate({**GOOD[models.ProjectAPIKey], "scopes": scopes})


class TestRoles:
    """Roles and kinds of storage: known ones by name, others as the number that came."""

    @pytest.mark.parametrize("role", ProjectUserRole)
    def test_known_roles_of_projects(self, role: ProjectUserRole) -> None:
        """A known role has its name."""
        made = models.ProjectUser.model_validate({**GOOD[models.ProjectUser], "user_role": int(role)})
        assert made.user_role is role

    @pytest.mark.parametrize("role", DatasetUserRole)
    def test_known_roles_of_datasets(self, role: DatasetUserRole) -> None:
        """The same number means another thing in a dataset."""
        made = models.DatasetUser.model_validate({**GOOD[models.DatasetUser], "user_role": int(role)})
        assert made.user_role is role

    @pytest.mark.parametrize("number", [-99, 6, 99, 10**30])
    @pytest.mark.parametrize("kind", [models.ProjectUser, models.DatasetUser, models.OwnedProject, models.OwnedDataset])
    def test_an_unknown_role_is_kept(self, kind: type[BaseModel], number: int) -> None:
        """A role that is new to us is a number, and no reason to lose the answer."""
        made: Any = kind.model_validate({**GOOD[kind], "user_role": number})
        assert made.user_role == number
        assert type(made.user_role) is int

    @pytest.mark.parametrize("role", [None, "admin", 1.5, [1], {}], ids=repr)
    def test_a_role_is_a_number(self, role: object) -> None:
        """Anything that is no number is no role."""
        with pytest.raises(ValidationError):
            models.ProjectUser.model_validate({**GOOD[models.ProjectUser], "user_role": role})

    def test_storage(self) -> None:
        """Known kinds of storage have names, others are kept; listings may leave it out."""
        assert models.NewDataset.model_validate(GOOD[models.NewDataset]).type is StorageLocation.CORD_STORAGE
        assert models.NewDataset.model_validate({**GOOD[models.NewDataset], "type": 77}).type == 77
        assert models.Dataset.model_validate(GOOD[models.Dataset]).type is None


class TestMoments:
    """Times are UTC, whatever the service writes."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("2024-01-02T03:04:05.678901", datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
            ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ],
    )
    def test_a_moment_is_in_utc(self, text: str, expected: datetime) -> None:
        """A time without a zone is UTC, one with a zone is moved there."""
        made = models.Project.model_validate({**GOOD[models.Project], "created_at": text, "last_edited_at": text})
        assert made.created_at == made.last_edited_at == expected
        assert made.created_at is not None
        assert made.created_at.tzinfo is UTC

    @pytest.mark.parametrize(
        "text",
        ["", "yesterday", "2024-13-01 00:00:00", "2024-02-30T00:00:00", "0001-01-01T00:00:00+14:00", "9" * 400, {}, []],
        ids=lambda text: repr(text)[:30],
    )
    def test_what_is_no_moment_is_refused(self, text: object) -> None:
        """A time that cannot be read, or that leaves the calendar on its way to UTC, is refused."""
        with pytest.raises(ValidationError):
            models.Project.model_validate({**GOOD[models.Project], "created_at": text})

    def test_the_end_of_the_calendar(self) -> None:
        """The last and the first moment of the calendar are moments; one step further is not."""
        far = {**GOOD[models.Project], "created_at": datetime.max.replace(tzinfo=UTC)}
        assert models.Project.model_validate(far).created_at == datetime.max.replace(tzinfo=UTC)
        with pytest.raises(ValidationError, match="date value out of range"):
            models.Project.model_validate(
                {**far, "created_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}
            )


def test_a_whole_project_is_read() -> None:
    """All that the service says of a project is there, nested values included."""
    made = models.Project.model_validate(
        {
            "project_hash": "p",
            "title": "Prüfung",
            "description": None,
            "created_at": "2024-01-02 03:04:05",
            "last_edited_at": None,
            "ontology_hash": "o",
            "editor_ontology": {"objects": [], "classifications": []},
            "datasets": [
                {"dataset_hash": "d", "title": "D", "description": "x", "dataset_type": "CORD_STORAGE", "new": 1}
            ],
            "label_rows": [{"label_hash": None, "data_hash": "x"}],
            "source_projects": ["q"],
            "workflow_manager_uuid": "w",
        }
    )
    assert made.datasets == (
        models.ProjectDataset(dataset_hash="d", title="D", description="x", dataset_type="CORD_STORAGE"),
    )
    assert made.editor_ontology == {"objects": [], "classifications": []}
    assert made.label_rows == ({"label_hash": None, "data_hash": "x"},)
    assert made.source_projects == ("q",)
    assert made.last_edited_at is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[1, 2]", [1, 2]),
        ('{"a": null}', {"a": None}),
        ("no JSON", "no JSON"),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5_000, "9" * 5_000),
        ("NaN", "NaN"),
        ('"\\ud800"', '"\\ud800"'),
        ("\ud800", "\ud800"),
        ([1], [1]),
        (None, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_json_text_is_decoded_if_it_is_json(value: object, expected: object) -> None:
    """JSON inside a text is decoded, and any other value stays what it is."""
    assert models.listed(value) == expected
