"""Who makes shards: processes of this machine, or the workers of a Dask cluster."""

import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

from featx.distribute.shards import Extracted, Shard
from featx.errors import DeviceError, FeatxError
from featx.extract import Progress
from featx.provenance import __version__

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

    executor = ProcessPoolExecutor(jobs, initializer=_begin, initargs=(os.getpid(),))
    try:
        yield Workers(lambda: jobs, lambda shard: executor.submit(shard.extract, sharing=jobs))
    except BrokenProcessPool as error:
        raise LostError("a worker process died: often memory, and then fewer --jobs help") from error
    finally:
        executor.shutdown(kill_workers=True)


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
            yield Workers(
                lambda: sum(client.nthreads().values()),
                lambda shard: executor.submit(_extract_there, shard, __version__),
            )
        except KilledWorker as error:
            raise LostError(f"workers of {scheduler} died, several of one shard: often memory") from error
        except ImportError as error:
            raise DeviceError(f"workers of {scheduler} cannot run featx ({error}); install it there as here") from error
        except (CancelledError, CommClosedError) as error:
            raise DeviceError(
                f"the Dask scheduler at {scheduler} is lost; start it, and run the same command again"
            ) from error


def _extract_there(shard: Shard, version: str) -> Extracted:
    from distributed import get_worker

    worker = get_worker()
    if version != __version__:
        raise DeviceError(
            f"featx is {__version__} on the worker {worker.address} but {version} here; make them the same"
        )
    return shard.extract(sharing=worker.state.nthreads, report=_stop_if_unwanted)


class _UnwantedError(FeatxError):
    """Nobody waits for this shard any more."""


def _stop_if_unwanted(progress: Progress) -> None:
    """Dask cannot end what a thread does: who asked for the shard may have gone, or another worker be making it."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state == "cancelled":
        raise _UnwantedError("nobody waits for this shard any more")
