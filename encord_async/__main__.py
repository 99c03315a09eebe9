"""Entry point of ``encord-async`` and ``python -m encord_async``; it only hands over to the command line."""

import contextlib
import gc
import signal
import sys
from importlib.util import find_spec
from typing import Final

from encord_async.cli.streams import mend

__all__ = ["main"]

_GC_THRESHOLD: Final = 50_000


def main() -> None:
    """Run the command line and exit with its code.

    Its own are 1, if its output is lost, 2, if the extra ``cli`` is not installed, and 130 for Ctrl-C as it is loaded.
    """
    # Nearly all that a command makes is freed as soon as nobody refers to it, and what it loads stays to the end: to
    # look for cycles took a tenth of a run, and a fifth of its start.
    gc.set_threshold(_GC_THRESHOLD)
    out = mend()
    if not all(map(_is_there, ("click", "rich"))):
        sys.stderr.write("error: the command line needs more packages: pip install 'encord-async[cli]'\n")
        sys.exit(2)
    try:
        from encord_async.cli.main import run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    code = run()
    # All is done and said: Ctrl-C once more would only take the exit code away. SIGTERM still ends what hangs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    if out.error is not None:
        sys.stderr.write(f"error: standard output cannot be written: {out.error.strerror}\n")
        code = max(code, 1)
    sys.exit(code)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


if __name__ == "__main__":
    main()
