"""Finds NVIDIA's GPUs and libraries, says what is missing, and allocates memory that GPUs read directly."""

import ctypes
import os
import re
import subprocess
import weakref
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones.session.runtime import load_runtime, missing_provider
from featx.errors import one_line

NO_GPU = "there is no GPU with a working driver (libcuda, nvidia-smi); install the NVIDIA driver, or use --device cpu"
DRIVER_LIBRARY = "libcuda.so"
LIBRARIES = {"cuda": "libonnxruntime_providers_cuda.so", "tensorrt": "libonnxruntime_providers_tensorrt.so"}
TENSORRT_PACKAGES = ("tensorrt_libs", "tensorrt_cu13_libs", "tensorrt_cu12_libs")
"""Modules of NVIDIA's TensorRT wheels; importing one loads its libraries."""
PORTABLE = 1
"""cudaHostAllocPortable: page-locked for every GPU."""
TO_DEVICE = 1
"""cudaMemcpyHostToDevice."""


def gpus() -> list[str]:
    """Name, memory and driver of every NVIDIA GPU that CUDA may use, from nvidia-smi; empty if there is none."""
    return list(_ask(os.environ.get("CUDA_VISIBLE_DEVICES")))


@cache
def _ask(visible: str | None) -> tuple[str, ...]:
    """The lines that nvidia-smi prints, kept because it can take a second."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    if visible is not None:
        query.append(f"--id={visible}")
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line for line in answer.stdout.splitlines() if line.strip())


def cuda_problem(kind: str = "cuda") -> str | None:
    """Why a session cannot use CUDA (or TensorRT), with the next step; None if it can."""
    ort = load_runtime()
    if problem := missing_provider(kind):
        return problem
    _preload(ort, TENSORRT_PACKAGES if kind == "tensorrt" else ())
    folder = Path(ort.__file__).parent / "capi"
    missing = _unloadable(folder / "libonnxruntime_providers_shared.so") or _unloadable(folder / LIBRARIES[kind])
    if missing and DRIVER_LIBRARY not in missing:
        return f"{missing}; {_remedy(missing)}" + ("" if gpus() else f"; and {NO_GPU}")
    return None if gpus() and not missing else NO_GPU


def _remedy(missing: str) -> str:
    """How to install the library that this message names."""
    tensorrt = re.search(r"libnv(?:infer|onnxparser)\.so\.(\d+)", missing)
    if tensorrt:
        cuda = str(getattr(load_runtime(), "cuda_version", "13")).partition(".")[0]
        return f"pip install 'tensorrt-cu{cuda}<{int(tensorrt[1]) + 1}'"
    return "the extra brings it: pip install --upgrade 'featx[gpu]'"


def _preload(ort: Any, packages: Sequence[str]) -> None:
    """Load the libraries of NVIDIA's packages, and hide what that prints, as `cuda_problem` says it better."""
    with redirect_stdout(None), redirect_stderr(None):
        if hasattr(ort, "preload_dlls"):  # since 1.21
            ort.preload_dlls()
        for package in packages:
            with suppress(ImportError, OSError, RuntimeError):
                import_module(package)


def tensorrt_version() -> int:
    """The version of TensorRT that ONNX Runtime uses; 0 if there is none."""
    library = Path(load_runtime().__file__).parent / "capi" / LIBRARIES["tensorrt"]
    try:
        return int(ctypes.CDLL(str(library)).getInferLibVersion())
    except (OSError, AttributeError):
        return 0


def _unloadable(library: Path) -> str | None:
    """A message that names the library that is missing for this one, or None if this one loads."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return (
            one_line(error)
            .replace("cannot open shared object file: No such file or directory", "is missing")
            .replace(":", "")
        )
    return None


def load_cuda() -> ctypes.CDLL:
    """CUDA's runtime, the same one that ONNX Runtime's provider is linked with."""
    library = ctypes.CDLL(str(Path(load_runtime().__file__).parent / "capi" / LIBRARIES["cuda"]))
    library.cudaHostAlloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_uint]
    library.cudaFreeHost.argtypes = [ctypes.c_void_p]
    library.cudaMemcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library


class CudaMemory:
    """Allocates page-locked host memory, and copies from it to one GPU while others compute."""

    def __init__(self, cuda: Any, index: int) -> None:
        self._cuda = cuda
        self._index = index

    def zeros(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Zeros, uint8, in memory that a GPU reads directly, or in ordinary memory if no more can be locked."""
        address = ctypes.c_void_p()
        size = prod(shape)
        self._cuda.cudaSetDevice(self._index)
        if not size or self._cuda.cudaHostAlloc(ctypes.byref(address), size, PORTABLE) or not address.value:
            return np.zeros(shape, np.uint8)
        memory = (ctypes.c_uint8 * size).from_address(address.value)
        weakref.finalize(memory, self._cuda.cudaFreeHost, address.value)
        array: NDArray[np.uint8] = np.ctypeslib.as_array(memory).reshape(shape)
        array[:] = 0
        return array

    def upload(self, pixels: NDArray[np.uint8], into: Any) -> None:
        """Copy pixels into a tensor on the GPU, while other threads continue. Raises RuntimeError."""
        pixels = np.ascontiguousarray(pixels)
        self._cuda.cudaSetDevice(self._index)
        if code := self._cuda.cudaMemcpy(into.data_ptr(), pixels.ctypes.data, pixels.nbytes, TO_DEVICE):
            raise RuntimeError(f"CUDA cannot copy pixels to GPU {self._index} (error {code})")


class HostMemory:
    """Allocates ordinary memory, for devices that read it."""

    def zeros(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Zeros, uint8."""
        return np.zeros(shape, np.uint8)

    def upload(self, pixels: NDArray[np.uint8], into: Any) -> None:
        """Copy pixels into a tensor."""
        into.update_inplace(np.ascontiguousarray(pixels))
