"""Runs apart what a stranger's model asks for, with limits of time and memory that follow from its size."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from featx.apart import Allow, CrashedError, Limits, TooLargeError, TooSlowError, run_apart
from featx.backbones.session.lanes import is_exhausted
from featx.errors import BackboneError, FeatxError

Returned = TypeVar("Returned")

_MEGABYTE = 2**20
_LEAST_SECONDS = 60.0
_SECONDS_PER_MEGABYTE = 0.5
"""Time that a model may take for each megabyte of its weights."""
_LEAST_MEMORY = 256 * _MEGABYTE
_COPIES = 12
"""Number of times that the bytes of a model may be in memory: read, parsed, cut, and in sessions that are compared."""


def run_foreign(call: Callable[[Allow], Returned], *, model: Path) -> Returned:
    """What the function returns, which runs apart because it reads or computes what this model asks for.

    At first the limits are those of reading the model's file; the function allows itself more when it knows more.
    Raises what the function raises, and BackboneError if the model takes too much time or memory, or crashes a library.
    """
    stored = model.stat().st_size if model.is_file() else 0
    try:
        return run_apart(partial(_call, call), limits=limits_for(stored))
    except TooSlowError as error:
        seconds = error.args[0].seconds
        raise BackboneError(
            f"{model}: did not end within {seconds:.0f} s, and may never end; use another model, or a faster machine"
        ) from error
    except TooLargeError as error:
        memory = error.args[0].memory // _MEGABYTE
        raise BackboneError(
            f"{model}: needs more than {memory} MB of memory, too much for its size; use a smaller model or --size"
        ) from error
    except CrashedError as error:
        raise BackboneError(f"{model}: it crashed a library that read or ran it ({error}); export it again") from error


def limits_for(stored: int, *, working: int = 0, slower: float = 1.0) -> Limits:
    """The limits of what a model with `stored` bytes of weights asks for.

    `working` is the number of bytes of the tensors that it computes; time is multiplied by `slower`.
    """
    seconds = slower * _LEAST_SECONDS + _SECONDS_PER_MEGABYTE * stored / _MEGABYTE
    return Limits(seconds, _LEAST_MEMORY + _COPIES * stored + working)


def _call(call: Callable[[Allow], Returned], allow: Allow) -> Returned:
    """Call the function; ONNX Runtime says in words only that memory ran out."""
    try:
        return call(allow)
    except FeatxError as error:
        if ran_out(error):
            raise MemoryError from error
        raise


def ran_out(error: FeatxError) -> bool:
    """Whether the error says that memory ran out, or was caused by that."""
    return is_exhausted(error) or isinstance(error.__cause__, MemoryError)
