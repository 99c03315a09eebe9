"""Entry point of ``python -m encord_async.emulator``; it only hands over to the command."""

import sys

from encord_async.emulator.command import run

if __name__ == "__main__":
    sys.exit(run())
