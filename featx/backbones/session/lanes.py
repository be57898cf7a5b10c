"""Sessions in; something that many threads may call at once, which goes on with fewer images where memory runs out."""

import logging
from collections.abc import Iterable
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featx.backbones.session.nvidia import CudaMemory, HostMemory
from featx.backbones.session.runtime import load_runtime, one_line
from featx.errors import InferenceError

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)

EXHAUSTED = (
    "failed to allocate memory",
    "failed to allocate output tensor",
    "memory allocation failed",
    "cudamallocfrompoolasync failed",
    "smaller than requested bytes",
    "bad_alloc",
    "alloc_failed",
    "out of memory",
    "out_of_memory",
    "outofmemory",
)
"""What ONNX Runtime, CUDA, cuDNN, cuBLAS and TensorRT say where memory runs out: there is no type of error for it."""


class Lane(Protocol):
    """What runs one batch at a time."""

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels. Raises whatever the runtime raises."""


class PlainLane:
    """A session that reads pixels where they are."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session, self._input = session, session.get_inputs()[0].name

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels."""
        return list(self._session.run(None, {self._input: pixels}))


class BoundLane:
    """A session and a place of its own on the device, bound once, into which pixels are copied.

    Two lanes of one session so copy and compute at the same time. Outputs come back within the run, as ONNX Runtime
    makes them.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        memory: CudaMemory | HostMemory,
        *,
        device: str,
        index: int,
    ) -> None:
        self._session, self._memory, self._device, self._index = session, memory, device, index
        self._binding, self._input = session.io_binding(), session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        self._place: Any = None

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels."""
        if self._place is None or tuple(self._place.shape()) != pixels.shape:
            self._bind(pixels)
        self._memory.upload(pixels, self._place)
        for name in self._outputs:  # anew each time: a tensor left bound would be written over while it is read
            self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding)
        return [np.array(value.numpy()) for value in self._binding.get_outputs()]

    def _bind(self, pixels: NDArray[Any]) -> None:
        self._binding.clear_binding_inputs()
        self._place = None  # given back before the next is asked for
        self._place = load_runtime().OrtValue.ortvalue_from_shape_and_type(
            list(pixels.shape), pixels.dtype.type, self._device, self._index
        )
        self._binding.bind_ortvalue_input(self._input, self._place)


class Lanes:
    """Callable from many threads: each call takes a lane that is free, and gives it back."""

    def __init__(self, lanes: Iterable[Lane], *, name: str, fixed: int | None) -> None:
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in lanes:
            self._free.put(lane)
        self._name, self._fixed = name, fixed
        self._most: int | None = None
        self._halving = Lock()

    def __call__(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels, in so many runs as memory makes necessary. Raises InferenceError."""
        runs: list[list[NDArray[Any]]] = []
        first = 0
        while not runs or first < len(pixels):
            block = pixels[first : first + (self._most or len(pixels))]
            try:
                runs.append(self._run(block))
                first += len(block)
            except _ExhaustedError as error:
                self._halve(len(block), error)
        return runs[0] if len(runs) == 1 else [np.concatenate(parts) for parts in zip(*runs, strict=True)]

    def _run(self, block: NDArray[Any]) -> list[NDArray[Any]]:
        lane = self._free.get()
        try:
            return lane.run(block)
        except Exception as error:
            # ONNX Runtime has no public base class for what a run raises
            told = f"backbone {self._name!r} failed on {len(block)} images ({one_line(error)})"
            if _is_exhausted(error):
                raise _ExhaustedError(told) from error
            raise InferenceError(f"{told}; try a smaller batch size") from error
        finally:
            self._free.put(lane)

    def _halve(self, count: int, error: "_ExhaustedError") -> None:
        """Run half as many at once from now on. Raises InferenceError where that cannot be."""
        if count <= 1:
            raise InferenceError(f"{error}; free memory, or use another device or a smaller backbone") from error
        if self._fixed:
            raise InferenceError(
                f"{error}; it takes {self._fixed} at once: give a smaller --batch-size, or export the model with one"
            ) from error
        with self._halving:
            if self._most is None or self._most >= count:  # else another thread was here with as many
                self._most = count // 2
                logger.warning(
                    "%s: out of memory with %d images at once; going on with %d", self._name, count, self._most
                )


class _ExhaustedError(InferenceError):
    """Memory ran out."""


def _is_exhausted(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in EXHAUSTED)
