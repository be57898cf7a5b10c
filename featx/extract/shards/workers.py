"""Who makes shards: processes of this machine, or the workers of a Dask cluster."""

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
from featx.extract.extracting import Progress
from featx.extract.shards.shard import Extracted, Shard
from featx.processes import delay_interrupts
from featx.provenance import __version__

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer."""
ORPHAN_SECONDS = 1.0
"""How long a process may outlive the one that it works for."""


@dataclass(frozen=True)
class Workers:
    """Takes shards; each is made by one of several processes."""

    slots: Callable[[], int]
    """How many shards they can make at once, as it is now."""
    submit: Callable[[Shard], "Future[Extracted]"]


class LostError(DeviceError):
    """Workers died, and their shards with them: others can make them."""


@contextmanager
def local_workers(jobs: int) -> Iterator[Workers]:
    """So many processes of this machine, which end with the block, and with this process, however it ends.

    The block ends with LostError where one of them dies.
    """
    from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

    done = False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # loky replaces one whose memory grew
        executor = ProcessPoolExecutor(jobs, initializer=_begin, initargs=(os.getpid(),))
        try:

            def _submit(shard: Shard) -> "Future[Extracted]":
                with delay_interrupts():
                    extracted: Future[Extracted] = executor.submit(shard.extract, sharing=jobs)
                return extracted

            yield Workers(lambda: jobs, _submit)
            done = True
        except BrokenProcessPool as error:
            raise LostError("a worker process died: often memory, and then fewer --jobs help") from error
        finally:
            executor.shutdown(kill_workers=not done)


def _begin(parent: int) -> None:
    """Prepare a worker process: it is interrupted by its parent, not by the terminal, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a failed row tells its reason itself
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


@contextmanager
def cluster_workers(scheduler: str) -> Iterator[Workers]:
    """The workers of the Dask cluster at this address, whoever they are at a time; a lost one's shard goes to another.

    The block ends with DeviceError where the scheduler does not answer, LostError where a shard's workers died one
    after the other.
    """
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
    # a shard's names are part of what is sent, and may be long
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
        executor = client.get_executor(pure=False)
        try:
            yield Workers(_Census(client).count, lambda shard: executor.submit(_extract_there, shard))
        except KilledWorker as error:
            raise LostError(f"workers of {scheduler} died, several of one shard: often memory") from error
        except (CancelledError, CommClosedError) as error:
            raise DeviceError(
                f"the Dask scheduler at {scheduler} is lost; start it, and run the same command again"
            ) from error


class _Census:
    """The threads of a cluster's workers, each of which is asked for its featx when it comes, as the scheduler is.

    Without this, processes end where they receive what they cannot load.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._asked: set[str] = set()
        try:
            _check("the scheduler", client.run_on_scheduler(version, "featx"))
        except PackageNotFoundError:
            _check("the scheduler", "missing")

    def count(self) -> int:
        """How many there are now. Raises DeviceError where a worker has another featx."""
        threads: dict[str, int] = self._client.nthreads()
        if new := [address for address in threads if address not in self._asked]:
            answers = self._client.run(version, "featx", workers=new, on_error="return")
            for address, found in answers.items():
                _check(f"the worker {address}", "missing" if isinstance(found, PackageNotFoundError) else found)
            self._asked.update(new)
        return sum(threads.values())


def _check(who: str, found: str | Exception) -> None:
    if isinstance(found, str) and found != __version__:
        raise DeviceError(f"featx is {found} on {who} but {__version__} here; install this one there")


def _extract_there(shard: Shard) -> Extracted:
    from distributed import get_worker

    return shard.extract(sharing=get_worker().state.nthreads, report=_stop_if_unwanted)


class _UnwantedError(LostError):
    """Nobody waited for this shard any more."""


def _stop_if_unwanted(progress: Progress) -> None:
    """Dask cannot end what a thread does: who asked for the shard may have gone, or another worker be making it."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state == "cancelled":
        raise _UnwantedError("nobody waits for this shard any more")
