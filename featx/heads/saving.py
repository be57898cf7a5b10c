"""Heads on disk: saved without pickle, and loaded without running anything that is in the file."""

import json
import os
import zipfile
from dataclasses import asdict
from importlib import import_module
from inspect import getmembers, isclass
from pathlib import Path
from typing import Any

import skops.io

from featx.cache import Source
from featx.errors import HeadError
from featx.heads.head import Head
from featx.provenance import versions

HEAD_FORMAT = "featx head"
HEAD_FORMAT_VERSION = 2
ESTIMATORS = "featx.estimators"
"""The package with featx's own types that a head may consist of."""


def save_head(head: Head, path: Path | str) -> None:
    """Write the head as a zip of `head.json` and `pipeline.skops`. Raises HeadError if it cannot be written.

    >>> import featx
    >>> head, _ = featx.train_head(featx.read_features("photos.h5"), "class-mean", jobs=1)
    >>> featx.save_head(head, "means.featx")
    >>> featx.load_head("means.featx").name
    'class-mean'
    """
    path = check_target(path)
    partial = path.with_name(path.name + ".partial")
    about = {
        "format": HEAD_FORMAT,
        "format_version": HEAD_FORMAT_VERSION,
        "name": head.name,
        "classes": head.classes,
        "params": head.params,
        "temperature": head.temperature,
        "multilabel": head.multilabel,
        "sources": [asdict(source) for source in head.sources],
        "training": head.training,
        "versions": versions(),
    }
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("head.json", json.dumps(about, indent=2))
            file.writestr("pipeline.skops", skops.io.dumps(head.pipeline))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise HeadError(f"{path}: cannot be written ({error.strerror or error}); choose another --into") from error


def check_target(path: Path | str) -> Path:
    """Check that a head can be written to this path, create its folder, and return it as a Path.

    Call it before hours of tuning. Raises HeadError if the path cannot be written, or if something other than a head
    exists there.
    """
    path = Path(path)
    try:
        if path.is_dir() or (path.exists() and not _is_head(path)):
            raise HeadError(f"{path}: already exists and is not a featx head; choose another --into")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(path.name + ".partial")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HeadError(f"{path}: cannot be written ({error.strerror or error}); choose another --into") from error
    return path


def _is_head(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return "head.json" in file.namelist()
    except zipfile.BadZipFile:
        return False


def load_head(path: Path | str) -> Head:
    """The head in this file; no code in the file is run.

    Raises HeadError if the file is missing, damaged, not a head, or contains types that no head consists of.

    >>> import featx
    >>> head = featx.load_head("photos.featx")
    >>> head.name, [source.name for source in head.sources]
    ('ridge', ['efficientnet-lite0'])
    """
    about, parts = _read_parts(path)
    try:
        return _build(about, parts)
    except HeadError as error:
        raise HeadError(f"{path}: {error}") from error
    except Exception as error:
        # skops has no base class for what a damaged file raises
        raise HeadError(f"{path}: cannot be loaded ({error}); train it again with `featx train`") from error


def _build(about: dict[str, Any], parts: dict[str, bytes]) -> Head:
    if about.get("format") != HEAD_FORMAT or about.get("format_version") != HEAD_FORMAT_VERSION:
        found = f"{about.get('format')!r} version {about.get('format_version')}"
        raise HeadError(
            f"is {found}, but this featx reads {HEAD_FORMAT!r} version {HEAD_FORMAT_VERSION}; train it again"
        )
    head = Head(
        name=about["name"],
        classes=tuple(about["classes"]),
        params=about["params"],
        sources=tuple(Source(**source) for source in about["sources"]),
        training=dict(about["training"]),
        pipeline=_load_estimator(parts["pipeline.skops"]),
        temperature=float(about["temperature"]),
        multilabel=bool(about["multilabel"]),
    )
    classes = len(head.pipeline.classes_)
    if len(head.classes) != classes:
        raise HeadError(f"names {len(head.classes)} classes, but its pipeline has {classes}; train it again")
    return head


def _read_parts(path: Path | str) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("head.json")), {name: file.read(name) for name in file.namelist()}
    except FileNotFoundError as error:
        raise HeadError(f"{path}: no such head; create it with `featx train`") from error
    except Exception as error:
        # depending on the damage, a zip raises BadZipFile, KeyError, zlib.error, EOFError or ValueError
        raise HeadError(f"{path}: not a readable head ({error}); train it again with `featx train`") from error


def _load_estimator(data: bytes) -> Any:
    own = _own_types()
    unknown = set(skops.io.get_untrusted_types(data=data)) - own
    if unknown:
        raise HeadError(f"contains types that no head consists of ({', '.join(sorted(unknown))}); do not use this file")
    return skops.io.loads(data, trusted=sorted(own))


def _own_types() -> set[str]:
    """The estimators of featx, by the names that skops gives them."""
    members = getmembers(import_module(ESTIMATORS), isclass)
    return {f"{kind.__module__}.{kind.__qualname__}" for _, kind in members if kind.__module__.startswith(ESTIMATORS)}
