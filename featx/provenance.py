"""Who made this: versions, host and device in; text and hashes out."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__version__ = "0.1.0"

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use of the processor: microseconds in so many microseconds, as Linux has it (cgroup v2)."""
ROWS_HASHED = 4_096
"""Rows of a column that are copied at once to be hashed."""
RUNTIMES = tuple(f"onnxruntime{build}" for build in ("", "-gpu", "-openvino", "-directml", "-migraphx", "-rocm"))
"""Packages that bring ONNX Runtime, each with other providers."""
PACKAGES = ("numpy", "h5py", "onnx", *RUNTIMES, "pillow", "scikit-learn", "skops")


class Column(Protocol):
    """Values of which some rows are taken at once: an array, or what stands in a file."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of its values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and what one row is."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> "NDArray[Any]": ...


def installed(package: str) -> str | None:
    """Version of an installed package, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def runtime_version() -> str:
    """Version of the installed ONNX Runtime, whichever package brought it; "none" without one."""
    return next((number for package in RUNTIMES if (number := installed(package))), "none")


def versions() -> dict[str, str]:
    """Versions of featx, Python and the packages that shape features and heads."""
    found = {package: installed(package) for package in PACKAGES}
    own = {"featx": __version__, "python": platform.python_version()}
    return own | {package: number for package, number in found.items() if number}


def hardware() -> dict[str, str | int]:
    """What this machine is: system, processor, usable cores."""
    return {"system": platform.platform(), "processor": processor(), "cores": usable_cores()}


def processor() -> str:
    """Name of the processor, as the operating system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Number of cores that this process may use, in a container too."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = map(int, QUOTA.read_text().split())
    except (OSError, ValueError):  # no cgroup, or no bound: "max 100000"
        return there
    return max(1, min(there, -(-quota // period)))


def timestamp() -> str:
    """Now, in UTC, as ISO 8601 with seconds: always 20 characters."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hash_file(path: Path) -> str:
    """sha256 of the bytes of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_settings(settings: Mapping[str, object]) -> str:
    """sha256 of settings as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_columns(columns: Iterable[Column | None]) -> str:
    """sha256 over columns in this order, their types and shapes included; None stands for a column not given."""
    digest = hashlib.sha256()
    for values in columns:
        if values is None:
            digest.update(b"-")
            continue
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        for start in range(0, len(values), ROWS_HASHED):
            digest.update(values[start : start + ROWS_HASHED].tobytes())
    return digest.hexdigest()
