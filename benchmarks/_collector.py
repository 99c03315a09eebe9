"""Python's garbage collector, set as ``encord-async apply`` sets it; a library must leave it as it is.

It measures nothing itself.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["AS_APPLY", "collector"]

AS_APPLY: Final = ", collector set as by apply"
_THRESHOLD: Final = 50_000


@contextmanager
def collector(*, as_apply: bool) -> Iterator[None]:
    """Begin without garbage; if *as_apply*, with what is there out of the collector's sight, and seldom looked for."""
    usual = gc.get_threshold()
    gc.collect()
    if as_apply:
        gc.set_threshold(_THRESHOLD)
        gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
