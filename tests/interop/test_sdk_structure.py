"""The official SDK reads the documents that short forms of ontology structures become, and writes them alike."""

import json
import subprocess
from pathlib import Path

import pytest

from encord_async.kinds.ontology_short_form import SHAPES, expanded
from tests.provision.test_ontology_short_form import SHORT, deep
from tests.waiting import PATIENCE_S

SCRIPT = Path(__file__).parent / "scripts" / "sdk_structure.py"


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
def test_the_sdk_reads_the_document(sdk_python: Path) -> None:
    """All of it: what the SDK writes again is the same, but for the templates of skeletons, of which there are none."""
    every_shape = {"objects": [{"name": "Car", "shape": shape} for shape in SHAPES]}
    documents = [expanded(one) for one in (SHORT, every_shape, {"classifications": {"Lit": deep(7)}})]
    done = subprocess.run(
        [sdk_python, "-I", SCRIPT],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == [{**document, "skeleton_templates": []} for document in documents]
