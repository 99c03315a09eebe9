"""A cluster on this machine has the workers that it was asked for, whatever becomes of one."""

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import dask
from distributed import Client

from tests.cluster.conftest import WORKERS, until_whole, workers_of
from tests.waiting import until


def one_of(client: Client) -> Any:
    """What starts one of the workers that are there; one that has been replaced may still be closing."""
    cluster = client.cluster
    assert cluster is not None
    return cluster.workers[min(name for name, nanny in cluster.workers.items() if nanny.pid is not None)]


def end_one(client: Client, *, before: Callable[[Any], None] = lambda _: None) -> str:
    """kill -9 of a worker, after *before* its nanny; its address, once the scheduler knows that it is gone."""
    nanny = one_of(client)
    address = str(nanny.worker_address)
    before(nanny)
    os.kill(nanny.pid, signal.SIGKILL)
    until(lambda: address not in workers_of(client), "the worker is gone")
    return address


def test_a_worker_that_is_long_in_coming_back_is_waited_for(client: Client) -> None:
    """Where a process takes long to start, as on a busy machine, a killed worker is not given up meanwhile."""
    # Dask's own time for that, 15 s, so short that every worker is too slow.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}):
        until_whole(client, without=end_one(client))


def test_a_worker_that_does_not_start_again_is_replaced(client: Client) -> None:
    """Dask gives a worker up when its new process fails; here another one takes its place."""

    def cannot_start(nanny: Any) -> None:
        nanny.process.worker_kwargs["no_such_option"] = True

    until_whole(client, without=end_one(client, before=cannot_start))


def test_a_worker_that_dies_while_it_starts_is_replaced(client: Client) -> None:
    """One whose process is killed before the scheduler knows of it is started again, as often as that happens."""
    nanny = one_of(client)
    killed, lost = {nanny.pid, None}, end_one(client)
    for _ in range(3):
        until(lambda: nanny.pid not in killed, "a new process")
        killed.add(nanny.pid)
        os.kill(nanny.pid, signal.SIGKILL)
    until_whole(client, without=lost)


def test_no_worker_looks_at_its_own_stacks(client: Client) -> None:
    """Nor one that has been started again: on Python 3.11 that look may never come back, and the run would hang."""

    def watching(dask_worker: Any) -> list[str]:
        return [name for name in dask_worker.periodic_callbacks if name.startswith("profile")]

    until_whole(client, without=end_one(client))
    assert list(client.run(watching).values()) == [[]] * WORKERS


def test_a_worker_says_nothing_of_its_own_end(client: Client) -> None:
    """Dask's worker calls it an unexpected death if its nanny's word to stop is late; the nanny tells of real ones."""

    def would_be_told() -> bool:
        return logging.getLogger("distributed.nanny").isEnabledFor(logging.ERROR)

    assert not any(client.run(would_be_told).values())
    assert would_be_told()


def test_no_worker_hears_an_interrupt(client: Client) -> None:
    """Ctrl-C, which a terminal sends to all, is for the head of a run alone, also where a worker was started again.

    Those that were started first are sent it in `test_dask_option.py`.
    """
    before = workers_of(client)
    # As workers are started where nobody says how; others are forked here, out of a process that has no part in this.
    with dask.config.set({"distributed.worker.multiprocessing-method": "spawn"}):
        until_whole(client, without=end_one(client))

    def is_kept_from_it() -> bool:
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    started = [worker for worker in workers_of(client) if worker not in before]
    assert list(client.run(is_kept_from_it, workers=started).values()) == [True]
