"""Calls in; what they give, made side by side by processes that a terminal's interrupt does not reach, out."""

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any, TypeVar

Given = TypeVar("Given")


def side_by_side(calls: Iterable[Callable[[], Given]], *, jobs: int, ordered: bool = True) -> Iterator[Given]:
    """What each call gives, in their order or as they end; `jobs` processes, or the joblib backend set, share them."""
    from joblib.parallel import LokyBackend, get_active_backend
    from sklearn.utils.parallel import Parallel, delayed

    backend, _ = get_active_backend()
    tasks = (delayed(call)() for call in calls)
    if not backend.supports_return_generator:
        yield from Parallel(n_jobs=jobs)(tasks)
        return
    parallel = Parallel(n_jobs=jobs, return_as="generator" if ordered else "generator_unordered")
    with ExitStack() as begun:
        with deaf() if jobs > 1 and isinstance(backend, LokyBackend) else nullcontext():
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
