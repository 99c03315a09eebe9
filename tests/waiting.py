"""What tests need that wait: conditions, a clock to put forward, and ports that stay theirs.

Never waits for a time: a busy machine takes as long as it takes.
"""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Callable

PATIENCE_S = 200
"""How long a condition may take, on a machine whose cores have other work. Below `timeout` in pyproject.toml, so that
the message is the one that says what did not happen."""
_CHANCE = random.Random(os.getpid())


def until(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Return once *condition* holds.

    Raises:
        TimeoutError: It does not, for longer than any machine takes; *what* was waited for is in the message.
    """
    give_up_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"not in {patience_s} s: {what}")
        time.sleep(0.01)


async def comes_true(condition: Callable[[], object], what: str = "what the test waits for") -> None:
    """The same as `until`, while the event loop has turns."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"not in {PATIENCE_S} s: {what}")
        await asyncio.sleep(0.001)


def time_passes(seconds: float) -> None:
    """Put the running loop's clock forward: time-outs strike that would by then. Only for loops of one test."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]  # timers of the loop ask it


def free_port() -> int:
    """A port on loopback for a server that has to be told one, which it keeps when it is started again.

    Not of those that the system hands out by itself (from 32768 on Linux, 49152 on macOS): while such a server is down,
    any outgoing connection may be given its port, above all the one of a client that tries to reach it.
    """
    while True:
        port = _CHANCE.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
