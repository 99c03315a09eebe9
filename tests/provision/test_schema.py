"""The JSON Schema of manifests, in the hands of a validator that is not ours."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from encord_async.manifest.schema import manifest_schema

REPO = Path(__file__).parents[2]
EXAMPLE = [json.loads(line) for line in (REPO / "examples" / "annotation-programme.jsonl").read_text().splitlines()]
DATASET = {"kind": "dataset", "title": "Cats"}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """Checks a manifest."""
    schema = manifest_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def in_the_documentation() -> list[Any]:
    """Every manifest that README and the site show, good ones all; what else is YAML or JSON there is left out."""
    found: list[Any] = []
    for page in [REPO / "README.md", *(REPO / "docs").rglob("*.md")]:
        for language, block in re.findall(r"^```(jsonl?|yaml) .*\n((?:.*\n)*?)```", page.read_text(), re.MULTILINE):
            if language == "yaml":
                found.append(yaml.safe_load(block))
            else:
                found += [json.loads(line) for line in block.splitlines() if line.startswith('{"kind"')]
    lists = [one for one in found if isinstance(one, list) and all("kind" in entry for entry in one)]
    return lists + [one for one in found if isinstance(one, dict) and {"kind", "entries"} & one.keys()]


def test_the_example(validator: Draft202012Validator) -> None:
    """Each line of the example is good, and so are all of them as the list, or the entries, of a YAML manifest."""
    for entry in EXAMPLE:
        validator.validate(entry)
    validator.validate(EXAMPLE)
    validator.validate({"vars": {"year": 2026}, "entries": EXAMPLE})


def test_what_the_documentation_shows(validator: Draft202012Validator) -> None:
    """So is every manifest of the documentation."""
    manifests = in_the_documentation()
    assert len(manifests) > 20
    for manifest in manifests:
        validator.validate(manifest)


@pytest.mark.parametrize(
    "manifest",
    [
        {"defaults": {"project": {"title": "Cats"}}, "entries": [{"kind": "project", "users": None}]},
        {"include": ["a.yaml"], "entries": [{"kind": "project"}]},
        {"include": "a.yaml"},
        {"vars": {"a": [1]}},
        {"entries": None},
        [
            {
                "kind": "project",
                "title": "T",
                "users": "{{ crew }}",
                "datasets": ["{{ a }}"],
                "key": "{{ a }}",
                "for_each": "a.csv",
            }
        ],
        [{"kind": "project", "title": "T", "users": [{"email": "{{ a }}", "role": "{{ role }}"}, "{{ one }}"]}],
        [{"kind": "project_api_key", "project": "@p", "title": "T", "scopes": ["{{ scope }}"]}],
        [{**DATASET, "key": "{{ a }}", "for_each": {"matrix": {"a": [1, 2]}}, "storage": "{{ where }}"}],
        [{**DATASET, "key": "{{ item }}", "for_each": ["a", "b"]}],
    ],
)
def test_templates_are_good(validator: Draft202012Validator, manifest: object) -> None:
    """An editor does not complain of defaults, rows, includes, or expressions where a list or a number belongs."""
    validator.validate(manifest)


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "dataset"},
        [{"kind": "dataset"}],
        {"entries": [{"kind": "dataset"}]},
        {"entries": [{"title": "T"}]},
        {"entreis": []},
        {},
        {"vars": {"a-b": 1}},
        {"defaults": {"projct": {}}},
        {"defaults": {"project": {"titel": "T"}}},
        {"defaults": {"project": {"kind": "project"}}},
        {**DATASET, "titel": "T"},
        {**DATASET, "kind": "datset"},
        {**DATASET, "storage": "here"},
        {**DATASET, "for_each": 5},
        {**DATASET, "for_each": {"matrx": {}}},
        {"kind": "project", "title": "T", "users": "all"},
        {"kind": "project", "title": "T", "users": [{"email": "ann@example.com"}]},
        {"kind": "project", "title": "T", "users": [{"email": "ann@example.com", "role": "king"}]},
    ],
)
def test_mistakes_are_seen(validator: Draft202012Validator, manifest: object) -> None:
    """An editor shows what is missing, unknown, or of the wrong sort."""
    assert not validator.is_valid(manifest)
