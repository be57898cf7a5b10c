"""Calls in; what they give, made side by side by processes that a terminal's interrupt does not reach, out."""

import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from multiprocessing import resource_tracker
from threading import Lock
from typing import Any, TypeVar

from featx.hardware import usable_cores

Given = TypeVar("Given")


def side_by_side(
    calls: Iterable[Callable[[], Given]], *, jobs: int | None = None, ordered: bool = True
) -> Iterator[Given]:
    """What each call gives, in their order or as they end; `jobs` processes, or the joblib backend set, share them.

    By default one a core; 1 is this process, whatever backend is set. Backends that cannot hand on what is made give
    all at the end.
    """
    from joblib.parallel import LokyBackend, get_active_backend
    from sklearn.utils.parallel import Parallel, delayed

    backend, _ = get_active_backend()
    tasks, count = (delayed(call)() for call in calls), jobs or usable_cores()
    if jobs == 1 or not backend.supports_return_generator:
        yield from (call() for call in calls) if jobs == 1 else Parallel(n_jobs=count)(tasks)
        return
    parallel = Parallel(n_jobs=count, return_as="generator" if ordered else "generator_unordered")
    with ExitStack() as begun:
        with deaf() if count > 1 and isinstance(backend, LokyBackend) else nullcontext():
            given = parallel(tasks)
            begun.callback(_end, given)  # also where an interrupt has waited for the block's end
        yield from given


def _end(given: Any) -> None:
    """End the processes of what is not to be waited for any more, of which joblib warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        given.close()


@contextmanager
def deaf() -> Iterator[None]:
    """Processes started within the block do not hear the terminal's interrupt, which this one does, after the block.

    What is importing when it is interrupted prints a traceback, and it is for this process to end the others.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from joblib.externals.loky.backend import resource_tracker as lokys

    # each is started with the first process, and lets the signal through again, blocked or not
    resource_tracker.ensure_running()
    lokys.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """The warnings of featx within the block, for those who asked for it to tell them: nobody else hears any.

    They are those of this thread, and of threads that run in its context: a worker may do several things at once.
    """
    listener, package = _Listener(), logging.getLogger("featx")
    package.addHandler(listener)
    before = _listening.set(listener)
    _ASIDE.begin(package)
    try:
        yield listener.heard
    finally:
        _ASIDE.end(package)
        _listening.reset(before)
        package.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what its own block said."""
        if _listening.get() is self:
            self.heard.append(record.getMessage())


class _Aside:
    """Keeps a logger's records from all other handlers while any block is open, in whatever order they end."""

    def __init__(self) -> None:
        self._lock, self._open, self._before = Lock(), 0, True

    def begin(self, logger: logging.Logger) -> None:
        """One more block."""
        with self._lock:
            if not self._open:
                self._before = logger.propagate
            self._open, logger.propagate = self._open + 1, False

    def end(self, logger: logging.Logger) -> None:
        """One less; the last puts back what was."""
        with self._lock:
            self._open -= 1
            if not self._open:
                logger.propagate = self._before


_listening: ContextVar[_Listener | None] = ContextVar("_listening", default=None)
_ASIDE = _Aside()
