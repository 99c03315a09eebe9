"""The lock of a journal that is a file: on the file itself, whatever names lead to it. It makes and writes no file.

It is a lock of the open file description on a range far behind everything that SQLite reads, writes or locks. Such
locks do not mix with SQLite's own, neither on Linux nor on macOS, where those of ``flock`` do; they are let go of when
the process ends, however it ends, and when its own descriptor is closed, not when any other of the file is. The length
of the range says which process holds it, so that nothing has to be written down beside the journal.
"""

import fcntl
import os
import struct
import sys
from typing import Final

__all__ = ["holder", "lock"]

# Source: xnu's bsd/sys/fcntl.h; Python's module names them only where its headers do.
_SET: Final[int] = getattr(fcntl, "F_OFD_SETLK", 90)
_GET: Final[int] = getattr(fcntl, "F_OFD_GETLK", 92)
_BEGIN: Final = 2**62
"""SQLite locks bytes from 2**30 on, and no database is longer than 2**48."""
_MAC: Final = sys.platform == "darwin"
_LAYOUT: Final = struct.Struct("qqihh" if _MAC else "hhqqi0q")
"""``struct flock``."""


def lock(descriptor: int) -> None:
    """Lock the file of *descriptor*, which is open for writing, until the descriptor is closed.

    Raises:
        BlockingIOError: Another has it, see `holder`.
        OSError: The file system has no such locks.
    """
    try:
        fcntl.fcntl(descriptor, _SET, _packed(length=1 + os.getpid()))
    except PermissionError as error:
        # POSIX leaves to the system which of the two it says.
        raise BlockingIOError(*error.args) from None


def holder(descriptor: int) -> int | None:
    """The process that holds the lock by another descriptor than this one; None if nobody does."""
    found = _LAYOUT.unpack(fcntl.fcntl(descriptor, _GET, _packed(length=1)))
    begin, length, _, kind, _ = found if _MAC else (*found[2:], *found[:2])
    return None if kind == fcntl.F_UNLCK or begin != _BEGIN else length - 1


def _packed(*, length: int) -> bytes:
    place, kind = (_BEGIN, length, 0), (fcntl.F_WRLCK, os.SEEK_SET)
    return _LAYOUT.pack(*place, *kind) if _MAC else _LAYOUT.pack(*kind, *place)
