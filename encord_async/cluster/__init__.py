"""The same job on a Dask cluster: one manifest, many workers, one journal in PostgreSQL. Only here is Dask known.

It never schedules: it cuts the manifest into shards, and where and when they run is Dask's affair.

Examples:
    >>> import distributed
    >>> async def main(client: distributed.Client) -> None:
    ...     options = SessionOptions(settings=Settings(concurrency=64))
    ...     journal = "postgresql://encord@db.example.com/encord?job=programme"
    ...     async with provision("programme.jsonl", client=client, session_options=options, journal=journal) as run:
    ...         async for outcome in run:
    ...             print(outcome.place, outcome.status)
    ...     print(run.summary.as_json())
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from encord_async.engine.account import Existing
from encord_async.engine.options import FailureLimit, Options
from encord_async.errors import MissingExtraError
from encord_async.kinds.thing import DatasetAPI
from encord_async.manifest.sources import Manifest, with_variables

try:
    from encord_async.cluster.coordinator import ClusterRun
    from encord_async.cluster.local import connected, local_cluster
    from encord_async.cluster.worker import SessionOptions
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"dask", "distributed"}:
        raise
    raise MissingExtraError("a run on a cluster needs Dask: pip install 'encord-async[dask]'") from error

if TYPE_CHECKING:
    from distributed import Client

    from encord_async.plan import Forecast

__all__ = [
    "ClusterRun",
    "DatasetAPI",
    "Existing",
    "FailureLimit",
    "Options",
    "SessionOptions",
    "connected",
    "local_cluster",
    "provision",
]


def provision(
    manifest: Manifest,
    *,
    client: "Client",
    journal: str,
    session_options: SessionOptions | None = None,
    options: Options | None = None,
    variables: Mapping[str, object] | None = None,
    forecast: "Forecast | None" = None,
) -> ClusterRun:
    """Provision every entry of *manifest* on the workers of *client*'s cluster, each exactly once.

    Args:
        manifest: As for `EncordSession.provision`. It is read here, once.
        client: An ordinary client, not an asynchronous one. It is not closed.
        journal: URL of the journal, ``postgresql://user@host/database?job=NAME``. A password in it is used here
            and not passed on: the workers have theirs in ``PGPASSWORD`` or ``~/.pgpass``.
        session_options: How the workers open their sessions; the settings are the bounds of the whole cluster.
        options: How the manifest is provisioned.
        variables: As for `EncordSession.provision`.
        forecast: As for `EncordSession.provision`, but that the workers look at the account themselves.

    Raises:
        JournalError: The journal is not in PostgreSQL.
        UsageError: The client is an asynchronous one.
    """
    return ClusterRun(
        with_variables(manifest, variables),
        client=client,
        session_options=session_options or SessionOptions(),
        journal=journal,
        options=options or Options(),
        groundwork=None if forecast is None else forecast.groundwork,
    )
