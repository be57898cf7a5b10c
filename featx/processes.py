"""Runs functions in several processes that Ctrl-C in the terminal does not reach, and collects featx's warnings."""

import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from multiprocessing import resource_tracker
from threading import Lock, current_thread, main_thread
from types import FrameType
from typing import Any, TypeVar

from featx.hardware import usable_cores

Returned = TypeVar("Returned")


def run_parallel(
    calls: Iterable[Callable[[], Returned]], *, jobs: int | None = None, ordered: bool = True
) -> Iterator[Returned]:
    """Yields what each call returns: in the order of the calls, or with `ordered=False` as soon as it is known.

    Args:
        calls: functions without arguments, which can be pickled.
        jobs: number of processes; by default one for each core. 1 runs the calls in this process, whatever joblib
            backend is set. Backends that cannot return results one by one return all at the end.
        ordered: whether results come in the order of the calls.
    """
    from joblib.parallel import LokyBackend, get_active_backend
    from sklearn.utils.parallel import Parallel, delayed

    if jobs == 1:
        yield from (call() for call in calls)
        return
    backend, _ = get_active_backend()
    tasks = (delayed(call)() for call in calls)
    count = jobs or usable_cores()
    if not backend.supports_return_generator:
        yield from Parallel(n_jobs=count)(tasks)
        return
    parallel = Parallel(n_jobs=count, return_as="generator" if ordered else "generator_unordered")
    with ExitStack() as running:
        with delay_interrupts() if count > 1 and isinstance(backend, LokyBackend) else nullcontext():
            results = parallel(tasks)
            running.callback(_end, results)  # also if an interrupt arrives at the end of this block
        yield from results


def _end(results: Any) -> None:
    """Stop the calls whose results are no longer needed, without joblib's warning about that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        results.close()


@contextmanager
def delay_interrupts() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block; processes that are started in the block never receive it.

    A process that is interrupted while it imports modules prints a traceback. This process ends the others itself.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker

    # Both trackers would otherwise start with the first process, and unblock the signal in the middle of the block.
    resource_tracker.ensure_running()
    loky_resource_tracker.ensure_running()
    arrived = list[int]()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _handler_of_interrupts(lambda number, frame: arrived.append(number)):
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        if arrived:
            _interrupt_now()


def _interrupt_now() -> None:
    """Do what an interrupt does; to send the signal once more would count as the user's second one."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, None)
    else:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _handler_of_interrupts(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle interrupts in the block with this function; Python handles them in the main thread only.

    Blocking the signal is not enough: the system gives it to any thread that does not block it, such as one of BLAS.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """The warnings that featx logs in the block, for the caller to report; no other handler receives them.

    Only warnings of this thread, and of threads that run in its context, count: a worker may do several tasks at once.
    """
    collector = _WarningCollector()
    package = logging.getLogger("featx")
    package.addHandler(collector)
    before = _collector.set(collector)
    _MUTING.begin(package)
    try:
        yield collector.messages
    finally:
        _MUTING.end(package)
        _collector.reset(before)
        package.removeHandler(collector)


class _WarningCollector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message if it was logged in this collector's own block."""
        if _collector.get() is self:
            self.messages.append(record.getMessage())


class _Muting:
    """Keeps a logger's records from all other handlers while any block is open, in whatever order the blocks end."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open = 0
        self._propagated = True

    def begin(self, logger: logging.Logger) -> None:
        """Count one more open block; the first one mutes the logger."""
        with self._lock:
            if not self._open:
                self._propagated = logger.propagate
            self._open += 1
            logger.propagate = False

    def end(self, logger: logging.Logger) -> None:
        """Count one open block less; after the last one the logger is as it was."""
        with self._lock:
            self._open -= 1
            if not self._open:
                logger.propagate = self._propagated


_collector: ContextVar[_WarningCollector | None] = ContextVar("_collector", default=None)
_MUTING = _Muting()
