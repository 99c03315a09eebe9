"""Where tests write: in memory if the system has room there, since nothing of theirs has to outlive the machine.

A journal waits for the disk at each of its commits, and the tests make thousands of them.
"""

import shutil
from pathlib import Path
from typing import Final

_SHARED: Final = Path("/dev/shm")
_ROOM_BYTES: Final = 2 * 2**30
"""More than the tests need at a time; a container gives 64 MiB unless it is told otherwise."""


def root() -> str | None:
    """A folder in memory; None where there is none, or too little of it: then what the system has for such is used."""
    is_roomy = _SHARED.is_dir() and shutil.disk_usage(_SHARED).free >= _ROOM_BYTES
    return str(_SHARED) if is_roomy else None
