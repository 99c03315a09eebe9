"""The official SDK reads the documents that short forms of ontology structures become, and writes them alike."""

import json
from pathlib import Path

import pytest

from encord_async.kinds.ontology_short_form import SHAPES, expanded
from tests.interop.conftest import said_by
from tests.provision.test_ontology_short_form import SHORT, deep

SCRIPT = Path(__file__).parent / "scripts" / "sdk_structure.py"


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
async def test_the_sdk_reads_the_document(sdk_python: Path) -> None:
    """All of it: what the SDK writes again is the same, but for the templates of skeletons, of which there are none."""
    every_shape = {"objects": [{"name": "Car", "shape": shape} for shape in SHAPES]}
    documents = [expanded(one) for one in (SHORT, every_shape, {"classifications": {"Lit": deep(7)}})]
    read = await said_by(sdk_python, SCRIPT, given=json.dumps(documents))
    assert read == [{**document, "skeleton_templates": []} for document in documents]
