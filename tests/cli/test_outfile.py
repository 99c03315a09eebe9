"""What commands write is for their user alone, goes through no link, and into nothing that is another's."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from encord_async.cli.outfile import opened, whole

Write: TypeAlias = Callable[[str, bytes], None]


def in_place(path: str, content: bytes) -> None:
    """As outcomes are written."""
    with opened(path) as file:
        file.write(content)


def at_once(path: str, content: bytes) -> None:
    """As reports and exports are."""
    with whole(path) as file:
        file.write(content)


both = pytest.mark.parametrize("write", [in_place, at_once])


@both
def test_for_its_user_alone(tmp_path: Path, write: Write) -> None:
    """A new file can be read by nobody else, and nothing else is left in the folder."""
    write(str(tmp_path / "f"), b"content")
    assert (tmp_path / "f").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


@both
@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_link_is_refused(tmp_path: Path, write: Write, target: str) -> None:
    """What a link leads to is neither written nor made."""
    (tmp_path / "there").write_text("precious")
    (tmp_path / "f").symlink_to(target)
    with pytest.raises(OSError, match="it is a link; name the file itself"):
        write(str(tmp_path / "f"), b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "there"]
    assert (tmp_path / "there").read_text() == "precious"


def test_a_second_name_is_refused(tmp_path: Path) -> None:
    """A file that has another name is not written in its place."""
    (tmp_path / "there").write_text("precious")
    (tmp_path / "f").hardlink_to(tmp_path / "there")
    with pytest.raises(OSError, match="it has other names"):
        in_place(str(tmp_path / "f"), b"content")
    assert (tmp_path / "there").read_text() == "precious"


def test_a_second_name_is_taken_off(tmp_path: Path) -> None:
    """What is put there whole leaves the other name with what it had."""
    (tmp_path / "there").write_text("precious")
    (tmp_path / "f").hardlink_to(tmp_path / "there")
    at_once(str(tmp_path / "f"), b"content")
    assert (tmp_path / "there").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """In a folder for all, what somebody else has put there is not written; in one's own folder it is."""
    (tmp_path / "f").write_text("bait")
    os.chown(tmp_path / "f", 65534, 65534)
    tmp_path.chmod(0o1777)
    with pytest.raises(OSError, match="it belongs to another user"):
        in_place(str(tmp_path / "f"), b"content")
    tmp_path.chmod(0o755)
    in_place(str(tmp_path / "f"), b"content")


@both
def test_devices_and_pipes(tmp_path: Path, write: Write) -> None:
    """A pipe gets what is written and stays one; so does a descriptor by the name that a shell gives it."""
    os.mkfifo(tmp_path / "f")
    reads, writes = os.pipe()
    try:
        with os.fdopen(os.open(tmp_path / "f", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
            write(str(tmp_path / "f"), b"content")
            assert reader.read() == b"content"
        assert stat.S_ISFIFO((tmp_path / "f").stat().st_mode)
        write(f"/dev/fd/{writes}", b"content")
        assert os.read(reads, 100) == b"content"
        write("/dev/null", b"content")
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    finally:
        os.close(reads)
        os.close(writes)


def test_half_a_file_is_never_there(tmp_path: Path) -> None:
    """What fails half-way leaves what was there before, and nothing beside it."""
    (tmp_path / "f").write_text("before")

    def fail() -> None:
        with whole(str(tmp_path / "f")) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "f").read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]
