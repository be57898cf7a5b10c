"""Version numbers and timestamps, which are saved with every cache, head and result."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

RUNTIMES = tuple(f"onnxruntime{build}" for build in ("", "-gpu", "-openvino", "-directml", "-migraphx", "-rocm"))
"""Packages that install ONNX Runtime, each built with other execution providers."""
PACKAGES = ("numpy", "h5py", "onnx", *RUNTIMES, "pillow", "scikit-learn", "skops")


def installed_version(package: str) -> str | None:
    """Version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def runtime_version() -> str:
    """Version of ONNX Runtime, whichever package installed it; "none" if it is not installed."""
    return next((number for package in RUNTIMES if (number := installed_version(package))), "none")


def versions() -> dict[str, str]:
    """Versions of featx, Python and the packages that features and heads depend on."""
    found = {package: installed_version(package) for package in PACKAGES}
    own = {"featx": __version__, "python": platform.python_version()}
    return own | {package: number for package, number in found.items() if number}


def timestamp() -> str:
    """The current time in UTC as ISO 8601 with seconds, always 20 characters."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
