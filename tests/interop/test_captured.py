"""What is on record of the official SDK's requests for storage and workflow is what it sends."""

import json
from pathlib import Path

import pytest

from tests.interop.conftest import ANN, said_by

SCRIPT = Path(__file__).parent / "scripts" / "sdk_capture.py"
RECORD = Path(__file__).parent.parent / "captured.json"


@pytest.mark.parametrize("sdk_release", ["0.1.211"], indirect=True)
async def test_the_record_is_true(sdk_python: Path) -> None:
    """The SDK, asked again, would send the same bytes; `tests/protocol/test_captured.py` holds ours against them."""
    assert await said_by(sdk_python, SCRIPT, given=ANN.private_text) == json.loads(RECORD.read_text(encoding="utf-8"))
