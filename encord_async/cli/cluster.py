"""``--dask``: opens the cluster, and begins a run on it. Loads Dask only when it is asked for."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from encord_async.cli.interrupts import held_off
from encord_async.cli.options import Service
from encord_async.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from encord_async.cluster import ClusterRun
    from encord_async.manifest.variables import ManifestFile
    from encord_async.session.settings import Settings

__all__ = ["begin_on", "cluster"]

_LOCAL: Final = re.compile(r"local:([1-9][0-9]{0,2})")


@contextmanager
def cluster(dask: str, journal: str | None) -> "Iterator[Client]":
    """A client of the cluster that *dask* names, made here if it is ``local:N``.

    Raises:
        UsageError: *journal* is none that several machines can write, nobody answers at the address, or workers do not
            start.
        InterruptedUnsent: A signal came while they started.
        MissingExtraError: Dask or the driver of PostgreSQL is not installed.
    """
    from encord_async.journal.journal import is_url

    if journal is None or not is_url(journal):
        raise UsageError(
            "--dask needs a journal that several machines can write: give --journal postgresql://...?job=NAME"
        )
    from encord_async.cluster import connected, local_cluster
    from encord_async.journal.postgres import password_of, without_password

    without_password(journal)
    local = _LOCAL.fullmatch(dask)
    if local is None:
        with connected(dask) as client, _quiet("distributed.client"):
            yield client
        return
    password = password_of(journal)
    with ExitStack() as stack:
        opened = local_cluster(int(local[1]), env={} if password is None else {"PGPASSWORD": password.reveal()})
        with held_off("stopping once the workers have started; press Ctrl-C again to stop at once"):
            client = stack.enter_context(opened)
        yield client


@contextmanager
def _quiet(name: str) -> "Iterator[None]":
    """Without what *name* logs: that the scheduler is gone Dask tells with a traceback, and the run by itself."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


async def begin_on(
    client: "Client",
    service: Service,
    settings: "Settings",
    manifest: "ManifestFile",
    options: Mapping[str, Any],
    stack: AsyncExitStack,
) -> "ClusterRun":
    """Begin to provision *manifest* on the cluster of *client*; *options* as `EncordSession.provision` takes them."""
    from encord_async.cluster import FailureLimit, Options, SessionOptions, provision
    from encord_async.manifest.selection import Selection

    wanted = dict(options)
    forecast, journal, limit = wanted.pop("forecast", None), wanted.pop("journal"), wanted.pop("max_failures")
    wanted["selection"] = Selection.of(wanted.pop("only"), wanted.pop("exclude"))
    chosen = Options.chosen(wanted)
    run = provision(
        manifest,
        client=client,
        journal=journal,
        session_options=SessionOptions(settings=settings, ssh_key_file=service.ssh_key_file),
        options=replace(chosen, max_failures=None if limit is None else FailureLimit.parse(limit), **wanted),
        forecast=forecast,
    )
    return await stack.enter_async_context(run)
