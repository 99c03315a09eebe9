"""Seed files."""

import sys
from pathlib import Path

import pytest

from encord_async.emulator import Emulator, EmulatorSettings, SeedError, default_seed, read_seed
from tests.emulator.conftest import ANN

GOOD = f"""
users:
  - {{email: ann@example.com, public_key: {ANN.public_line}}}
  - {{email: bob@example.com}}
datasets:
  - {{hash: d1, title: Cats, admins: [ann@example.com]}}
ontologies:
  - hash: o1
    title: Animals
    admins: [Ann@example.com]
    editor_ontology: {{objects: [], classifications: []}}
projects:
  - {{hash: p1, title: Pets, description: all, admins: [ann@example.com, bob@example.com], datasets: [d1]}}
"""


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "seed.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_seed_file_is_what_the_emulator_starts_with(tmp_path: Path) -> None:
    """Users, datasets, ontologies and projects of the file are there."""
    async with Emulator(EmulatorSettings(seed=read_seed(_written(tmp_path, GOOD)))) as emulator:
        state = emulator.state()
        assert emulator.private_key is None
        assert emulator.user_email == "ann@example.com"
    assert [dataset["dataset_hash"] for dataset in state["datasets"]] == ["d1"]
    assert state["projects"] == [
        {
            "project_hash": "p1",
            "title": "Pets",
            "description": "all",
            "datasets": ["d1"],
            "users": [{"email": "ann@example.com", "role": 0}, {"email": "bob@example.com", "role": 0}],
            "api_keys": [],
            "ontology_hash": state["ontologies"][-1]["ontology_hash"],
            "groups": [],
            "tags": [],
            "status": "notStarted",
            "tasks": 0,
        }
    ]
    assert state["ontologies"][0]["ontology_hash"] == "o1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "seed.yaml: has to be an object"),
        ("users: []", "seed.yaml: users: has to name at least one user"),
        ("users: ann", "seed.yaml: users: has to be a list"),
        ("users: [{email: !!binary YQ==}]", "users[0].email: has to be a string"),
        (GOOD.replace("title: Cats", "title: Cats, type: '1'"), "datasets[0].type: has to be a storage location"),
        ("people: []", "seed.yaml: people: is not known here"),
        ("users: [{}]", "users[0].email: is missing"),
        ("users: [ann]", "users[0]: has to be an object"),
        ("users: [{email: a@b.c, public_key: nonsense}]", "users[0].public_key: not an OpenSSH public-key line"),
        ("users: [{email: a@b.c, key: x}]", "users[0].key: is not known here"),
        (GOOD.replace("title: Cats", "title: 7"), "datasets[0].title: has to be a string"),
        (GOOD.replace("admins: [ann@example.com]}", "admins: [eve@example.com]}"), "datasets[0].admins[0]: 'eve@"),
        (GOOD.replace("datasets: [d1]", "datasets: [d9]"), "projects[0].datasets[0]: 'd9' is none of datasets"),
        (GOOD.replace("{objects: [], classifications: []}", "none"), "ontologies[0].editor_ontology: has to be"),
        (GOOD + "  - {hash: p1, title: Again}", "projects[1].hash: 'p1' is there twice"),
        (GOOD + "    ontology_hash: o9\n", "seed.yaml: not YAML"),
        (GOOD + "  - {hash: p2, title: T, ontology_hash: o9}", "projects[1].ontology_hash: 'o9' is none of"),
        ("users: [", "seed.yaml: not YAML"),
    ],
)
def test_a_mistake_in_a_seed_is_named_with_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    """The message leads to the very field of the file."""
    with pytest.raises(SeedError) as caught:
        read_seed(_written(tmp_path, text))
    assert message in str(caught.value)
    assert "seed.yaml" in str(caught.value)


def test_fields_left_empty_are_as_good_as_left_out(tmp_path: Path) -> None:
    """Null or nothing stands for the default, and a hash is made up."""
    text = (
        "users: [{email: ann@example.com, public_key: '', bearer_token: }]\nprojects: [{title: P, hash: , datasets: }]"
    )
    seed = read_seed(_written(tmp_path, text))
    assert (seed.users[0].public_key, seed.users[0].bearer_token) == (None, None)
    assert (seed.projects[0].datasets, len(seed.projects[0].hash)) == ((), 36)


def test_a_seed_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path says which."""
    with pytest.raises(SeedError, match=r"nowhere\.yaml: cannot be read"):
        read_seed(tmp_path / "nowhere.yaml")


def test_without_pyyaml_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare installation has no YAML and says which extra brings it."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SeedError, match=r"pip install 'encord-async\[cli\]'"):
        read_seed(_written(tmp_path, GOOD))


def test_without_a_seed_there_is_one_user_with_a_hundred_datasets() -> None:
    """The hashes are the same each time, the key is not."""
    (first, first_key), (second, second_key) = default_seed(), default_seed()
    assert first.datasets == second.datasets
    assert len({dataset.hash for dataset in first.datasets}) == 100
    assert first_key.public_hex != second_key.public_hex


WORKSPACE = """
folders:
  - {hash: f1, title: Raw, admins: [bob@example.com]}
integrations:
  - {uuid: i1, title: S3, objects: ["s3://b/1.png"]}
workflow_templates:
  - {id: w1, title: Ours, stages: [{title: Draw, type: ANNOTATION}, {title: End, type: DONE}]}
tags: [q1, q2]
unreadable_urls: ["*broken*"]
"""


async def test_a_seed_has_what_is_set_up_in_the_web_application(tmp_path: Path) -> None:
    """Folders, integrations, templates and tags are there, and what cannot be read is."""
    seed = read_seed(_written(tmp_path, GOOD + WORKSPACE))
    assert [stage.title for stage in seed.workflow_templates[0].stages] == ["Draw", "End"]
    async with Emulator(EmulatorSettings(seed=seed)) as emulator:
        state = emulator.state()
    assert [(folder["uuid"], folder["name"]) for folder in state["folders"]] == [("f1", "Raw")]
    assert state["tags"] == ["q1", "q2"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            "folders: [{title: F, admins: [x@example.com]}]",
            r"folders\[0\]\.admins\[0\]: 'x@example.com' is none of users",
        ),
        ("integrations: [{uuid: i, title: A}, {uuid: i, title: B}]", r"integrations\[1\]\.uuid: 'i' is there twice"),
        ("workflow_templates: [{title: W}]", r"workflow_templates\[0\]\.stages: is missing"),
        (
            "workflow_templates: [{title: W, stages: [{title: S, type: DRAW}]}]",
            r"workflow_templates\[0\]\.stages\[0\]\.type: has to be one of ANNOTATION, REVIEW",
        ),
        ("tags: [q1, q1]", r"tags\[1\]: 'q1' is there twice"),
        ("integrations: [{title: A, bucket: b}]", r"integrations\[0\]\.bucket: .*; known are uuid, title, objects"),
    ],
)
def test_mistakes_in_what_is_set_up(tmp_path: Path, more: str, says: str) -> None:
    """The path of the field, and what it has to be."""
    with pytest.raises(SeedError, match=says):
        read_seed(_written(tmp_path, GOOD + more))
