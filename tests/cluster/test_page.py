"""The program that the page about Dask shows, on a cluster."""

import re
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from tests.crash.conftest import EmulatorProcess

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "dask.md"


async def test_the_program_of_the_page(
    client: Client,
    emulator: EmulatorProcess,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It provisions its manifest on the workers; only where database, service and key are is another matter here."""
    (program,) = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ours = {
        "postgresql://encord@db/encord?job=programme": url,
        "Settings(concurrency=64)": f"Settings(domain={emulator.url!r}, concurrency=64)",
        "SessionOptions(": f"SessionOptions(ssh_key_file={str(emulator.key_file)!r}, ",
    }
    for theirs, mine in ours.items():
        assert program.count(theirs) == 1, theirs
        program = program.replace(theirs, mine)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "programme.jsonl").write_text('{"kind": "project", "key": "cats", "title": "Cats"}\n', encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)  # noqa: S102 - the program of our own page
    await names["on_the_cluster"](client)
    assert "programme.jsonl:1 created" in capsys.readouterr().out
