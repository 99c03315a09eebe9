"""Opens plain files and nothing else: no link is followed, no pipe waited for. It never reads or writes one."""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["NoPlainFileError", "open_plain", "whole_file"]


class NoPlainFileError(OSError):
    """What is there is a link, a pipe, a device or a folder; nothing was done to it."""


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of the plain file *path*; one that *flags* let make is for its owner alone.

    Raises:
        NoPlainFileError: It is something else.
        OSError: It cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # A link, a pipe that nobody reads, a folder.
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise NoPlainFileError(errno.EINVAL, "it is no plain file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoPlainFileError(errno.EINVAL, "it is no plain file")
    return descriptor


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone that lies at *path* once the block has ended well; else what was there stays.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
