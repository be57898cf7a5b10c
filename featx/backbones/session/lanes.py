"""Runs a model from many threads, each batch in a free lane; if memory runs out, batches are halved.

A lane runs one batch at a time: it is a session, or a session with its own memory on the device.
"""

import logging
from collections.abc import Iterable
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featx.backbones.session.nvidia import CudaMemory, HostMemory
from featx.backbones.session.runtime import load_runtime
from featx.errors import InferenceError, one_line

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
"""Parts of messages of ONNX Runtime and CUDA's libraries when memory runs out, which has no error type."""


class Lane(Protocol):
    """Runs one batch at a time."""

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels. Raises whatever the runtime raises."""


class PlainLane:
    """A session that reads pixels from ordinary memory."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels."""
        return list(self._session.run(None, {self._input: pixels}))


class BoundLane:
    """A session that reads pixels from its own tensor on the device, after they are copied into it.

    So two lanes of one session can copy and compute at the same time. ONNX Runtime copies outputs back within the run.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        memory: CudaMemory | HostMemory,
        *,
        device: str,
        index: int,
    ) -> None:
        self._session = session
        self._memory = memory
        self._device = device
        self._index = index
        self._binding = session.io_binding()
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        self._tensor: Any = None

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels."""
        if self._tensor is None or tuple(self._tensor.shape()) != pixels.shape:
            self._bind(pixels)
        self._memory.upload(pixels, self._tensor)
        for name in self._outputs:  # each time: a tensor that stays bound would be overwritten while it is read
            self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding)
        return [np.array(value.numpy()) for value in self._binding.get_outputs()]

    def _bind(self, pixels: NDArray[Any]) -> None:
        self._binding.clear_binding_inputs()
        self._tensor = None  # freed before the next one is allocated
        self._tensor = load_runtime().OrtValue.ortvalue_from_shape_and_type(
            list(pixels.shape), pixels.dtype.type, self._device, self._index
        )
        self._binding.bind_ortvalue_input(self._input, self._tensor)


class Lanes:
    """Callable from many threads: each call takes a free lane and returns it afterwards."""

    def __init__(self, lanes: Iterable[Lane], *, name: str, fixed: int | None) -> None:
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in lanes:
            self._free.put(lane)
        self._name = name
        self._fixed = fixed
        self._most: int | None = None  # images in a run, once memory has run out
        self._halving = Lock()

    def __call__(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for these pixels, in as many runs as memory requires. Raises InferenceError."""
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
            message = f"backbone {self._name!r} failed on {len(block)} images ({one_line(error)})"
            if is_exhausted(error):
                raise _ExhaustedError(message) from error
            raise InferenceError(f"{message}; try a smaller batch size") from error
        finally:
            self._free.put(lane)

    def _halve(self, count: int, error: "_ExhaustedError") -> None:
        """Run half as many images at once from now on. Raises InferenceError if that is impossible."""
        if count <= 1:
            raise InferenceError(f"{error}; free memory, or use another device or a smaller backbone") from error
        if self._fixed:
            raise InferenceError(
                f"{error}; its batch size is fixed at {self._fixed}: give a smaller --batch-size, or export it with one"
            ) from error
        with self._halving:
            if self._most is None or self._most >= count:  # else another thread has halved it already
                self._most = count // 2
                logger.warning(
                    "%s: out of memory with %d images at once; continuing with %d", self._name, count, self._most
                )


class _ExhaustedError(InferenceError):
    """Memory ran out."""


def is_exhausted(error: Exception) -> bool:
    """Whether the error says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in EXHAUSTED)
