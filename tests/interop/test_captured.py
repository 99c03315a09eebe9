"""What is on record of the official SDK's requests for storage and workflow is what it sends."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import ANN
from tests.waiting import PATIENCE_S

SCRIPT = Path(__file__).parent / "scripts" / "sdk_capture.py"
RECORD = Path(__file__).parent.parent / "captured.json"


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
def test_the_record_is_true(sdk_python: Path) -> None:
    """The SDK, asked again, would send the same bytes; `tests/protocol/test_captured.py` holds ours against them."""
    done = subprocess.run(
        [sdk_python, "-I", SCRIPT],
        input=ANN.private_text,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == json.loads(RECORD.read_text(encoding="utf-8"))
