"""Starts or finds the workers that extract shards: processes of this machine, or the workers of a Dask cluster."""

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import TYPE_CHECKING

from featx.errors import DeviceError
from featx.extract.shards.shard import ExtractedShard, Shard
from featx.extract.summary import Progress
from featx.processes import delay_interrupts
from featx.provenance import __version__

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
"""A scheduler may take this long to answer."""
ORPHAN_SECONDS = 1.0
"""A worker process may outlive its parent by this much."""


@dataclass(frozen=True)
class Workers:
    """The processes to which shards can be submitted."""

    slots: Callable[[], int]
    """Returns the number of shards that they can extract at once at the moment."""
    submit: Callable[[Shard], "Future[ExtractedShard]"]


class LostError(DeviceError):
    """Workers died; other workers can extract their shards."""


@contextmanager
def local_workers(jobs: int) -> Iterator[Workers]:
    """`jobs` processes of this machine, which end with the block, and with this process, however it ends.

    Raises LostError at the end of the block if one of them dies.
    """
    from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

    done = False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # loky replaces a process whose memory grew
        executor = ProcessPoolExecutor(jobs, initializer=_begin, initargs=(os.getpid(),))
        try:

            def _submit(shard: Shard) -> "Future[ExtractedShard]":
                with delay_interrupts():
                    extracted: Future[ExtractedShard] = executor.submit(shard.extract, sharing=jobs)
                return extracted

            yield Workers(lambda: jobs, _submit)
            done = True
        except BrokenProcessPool as error:
            raise LostError("a worker process died, often for lack of memory; use fewer --jobs") from error
        finally:
            executor.shutdown(kill_workers=not done)


def _begin(parent: int) -> None:
    """Prepare a worker process: it ignores Ctrl-C in the terminal, and ends when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # the row of a failed image has the reason
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


@contextmanager
def cluster_workers(scheduler: str) -> Iterator[Workers]:
    """The workers of the Dask cluster at this address; they may come and go, and Dask repeats the shard of a lost one.

    Raises DeviceError if the scheduler does not answer, LostError if several workers died with the same shard.
    """
    with _connected(scheduler, task="shard") as client:
        executor = client.get_executor(pure=False)
        yield Workers(_ClusterThreads(client).count, lambda shard: executor.submit(_extract_on_cluster, shard))


@contextmanager
def on_cluster(scheduler: str) -> Iterator[int]:
    """Run what is run in parallel in the block, such as the heads of a comparison, on a Dask cluster.

    The value is the number of threads of its workers, which need one thread each. Raises DeviceError if the scheduler
    or its workers do not answer, LostError if several workers died with the same task.
    """
    from joblib import parallel_config

    with _connected(scheduler, task="task") as client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            threads = _ClusterThreads(client).count()
            with parallel_config(backend="dask", client=client):
                yield threads
        except TimeoutError as error:
            raise DeviceError(
                f"the Dask cluster at {scheduler} has no workers; start one: dask worker {scheduler} --nthreads 1"
            ) from error


@contextmanager
def _connected(scheduler: str, *, task: str) -> "Iterator[Client]":
    """A client of the cluster at this address; an error names what is lost in the block."""
    try:
        import dask
        from distributed import Client, KilledWorker
        from distributed.comm import CommClosedError
    except ImportError as error:
        raise DeviceError(f"--scheduler needs Dask ({error}); pip install 'featx[dask]'") from error
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one (`dask scheduler`), or correct the address"
        ) from error
    # the names of the images are sent with a shard, and may be large
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
        try:
            yield client
        except KilledWorker as error:
            raise LostError(
                f"workers of {scheduler} died, several with the same {task}: often for lack of memory"
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise DeviceError(
                f"the Dask scheduler at {scheduler} is lost; start it, and run the same command again"
            ) from error


class _ClusterThreads:
    """Counts the threads of a cluster's workers, and checks that every process has the same version of featx.

    Without the check, a worker or scheduler that cannot unpickle a shard would end without a message about the cause.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._checked: set[str] = set()
        try:
            _check("the scheduler", client.run_on_scheduler(version, "featx"))
        except PackageNotFoundError:
            _check("the scheduler", "missing")

    def count(self) -> int:
        """Number of threads at the moment. Raises DeviceError if a worker has another version of featx."""
        threads: dict[str, int] = self._client.nthreads()
        new = [address for address in threads if address not in self._checked]
        if new:
            answers = self._client.run(version, "featx", workers=new, on_error="return")
            for address, found in answers.items():
                _check(f"the worker {address}", "missing" if isinstance(found, PackageNotFoundError) else found)
            self._checked.update(new)
        return sum(threads.values())


def _check(who: str, found: str | Exception) -> None:
    if isinstance(found, str) and found != __version__:
        raise DeviceError(f"featx is {found} on {who} but {__version__} here; install this one there")


def _extract_on_cluster(shard: Shard) -> ExtractedShard:
    from distributed import get_worker

    return shard.extract(sharing=get_worker().state.nthreads, report=_stop_if_unwanted)


class _UnwantedError(LostError):
    """The run that submitted this shard has ended."""


def _stop_if_unwanted(progress: Progress) -> None:
    """Stop the extraction if its run has ended or another worker has the shard: Dask itself cannot stop the thread."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state == "cancelled":
        raise _UnwantedError("the run that submitted this shard has ended")
