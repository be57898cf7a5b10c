"""Version numbers and timestamps, which are saved with every cache, head and result."""

import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

RUNTIMES = tuple(f"onnxruntime{build}" for build in ("", "-gpu", "-openvino", "-directml", "-migraphx", "-rocm"))
"""Packages that install ONNX Runtime, each built with other execution providers."""
PACKAGES = ("numpy", "h5py", "onnx", *RUNTIMES, "pillow", "scikit-learn", "skops")


@cache  # a process does not change what it imported, and every extraction and result asks for nine packages
def installed_version(package: str) -> str | None:
    """Version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


EXTRAS = {
    "parquet": ("Parquet: manifests, images, exports", ("pyarrow",)),
    "remote": ("images at an address (s3://..., https://...)", ("fsspec", "aiohttp")),
    "export": ("`featx export` from PyTorch", ("torch", "torchvision", "timm", "onnxscript")),
    "finetune": ("`featx finetune`", ("torch",)),
    "dask": ("`featx extract --scheduler`", ("dask", "distributed")),
    "report": ("figures: `featx curve --figure`", ("matplotlib",)),
    "serve": ("`featx serve`", ("starlette", "uvicorn", "prometheus-client")),
    "demo": ("photographs of solar cells for `featx demo`", ("elpv-dataset",)),
}
"""Extra -> what it is for, and the packages that it brings."""


def missing_extras() -> dict[str, str]:
    """Name of every extra that is not installed as a whole -> what it is for, and how to install it.

    >>> from featx.provenance import EXTRAS, missing_extras
    >>> set(missing_extras()) <= set(EXTRAS)
    True
    """
    return {
        extra: f"{purpose}: pip install 'featx[{extra}]'"
        for extra, (purpose, packages) in EXTRAS.items()
        if not all(map(installed_version, packages))
    }


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
