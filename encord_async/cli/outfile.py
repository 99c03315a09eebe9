"""Files that a command writes for whoever runs it, and for nobody else to read. It never looks at what goes into them.

A link in the place of such a file is not followed, and what belongs to others is left alone: in a folder that others
may write to as well, somebody may have put it there.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

import click

from encord_async.errors import UsageError
from encord_async.plainfile import open_plain, whole_file

__all__ = ["force_option", "opened", "refuse_others", "whole", "writing"]

_SQLITE: Final = b"SQLite format 3\x00"
_HEAD_BYTES: Final = 4096

force_option: Final = click.option(
    "--force", is_flag=True, help="Overwrite what this command is told to write to, whatever lies there."
)

_SYSTEM: Final = re.compile(r"/dev|/proc/[^/]+/fd")
"""Folders whose links only the system makes: /dev/stdout, and /dev/fd/63 for what a shell calls >(program)."""


def opened(path: str) -> BinaryIO:
    """The file *path* for writing at its end: made if it is not there, not emptied if it is.

    Raises:
        OSError: It cannot be opened, or is a link, or another user's, or has other names.
        ValueError: It is no name of a file.
    """
    target = Path(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    if not _SYSTEM.fullmatch(os.path.realpath(target.parent)):
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(target, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _refused("it is a link; name the file itself") from None
        raise
    try:
        there = os.fstat(descriptor)
        _look_at(there, target.parent, followed=not flags & os.O_NOFOLLOW)
        if stat.S_ISREG(there.st_mode) and there.st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "wb")


def whole(path: str) -> AbstractContextManager[BinaryIO]:
    """A file that lies at *path* once the block has ended well; until then there is what was there before.

    Raises:
        OSError: It cannot be written, or is a link or another user's.
        ValueError: It is no name of a file.
    """
    target = Path(path)
    try:
        is_regular = stat.S_ISREG(target.lstat().st_mode)
    except FileNotFoundError:
        is_regular = True
    # A device or pipe must not be replaced; it is never half there either.
    return whole_file(target) if is_regular else opened(path)


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """What is done to a file that messages call *name*.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        # Whoever read it has seen enough.
        raise
    except (OSError, ValueError) as error:
        # The latter is for a path with a zero byte.
        raise UsageError(f"{name} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def refuse_others(path: str, is_ours: Callable[[bytes], bool], *, force: bool) -> None:
    """See to it that nothing is written over but what the same command has written, by whatever order of arguments.

    Args:
        path: The file.
        is_ours: Tells by how a file begins whether the command has written it.
        force: Write over anything but a database.

    Raises:
        UsageError: Something else would be.
    """
    head = b""
    # What cannot be read may still be written.
    with contextlib.suppress(OSError, ValueError), os.fdopen(open_plain(Path(path), os.O_RDONLY), "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_SQLITE):
        raise UsageError(f"{path} is a journal or another database, and would be overwritten; give another FILE")
    if head and not force and not is_ours(head):
        raise UsageError(
            f"{path} is there already, and not by this command; give another FILE, or --force to replace it"
        )


def _look_at(file: os.stat_result, folder: Path, *, followed: bool) -> None:
    if followed or not stat.S_ISREG(file.st_mode):
        return
    if file.st_nlink > 1:
        raise _refused("it has other names (hard links); give another file")
    if file.st_uid != os.geteuid() and folder.stat().st_mode & stat.S_IWOTH:
        raise _refused("it belongs to another user; give another file")


def _refused(why: str) -> OSError:
    return OSError(errno.EPERM, why)
