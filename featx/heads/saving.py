"""Heads saved without pickle and loaded without running what is in the file."""

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

FORMAT = "featx head"
FORMAT_VERSION = 2
OWN = "featx.estimators"
"""Where the types of our own are that a head may be made of."""


def save_head(head: Head, path: Path | str) -> None:
    """Write the head as a zip of `head.json` and `pipeline.skops`. Raises HeadError where it cannot be written."""
    path = check_target(path)
    partial = path.with_name(path.name + ".partial")
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
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
    """The path, once a head can be written there: its folder made, and nothing there but an earlier head.

    Raises HeadError otherwise; to be asked before hours of tuning.
    """
    path = Path(path)
    try:
        if path.is_dir() or (path.exists() and not _is_head(path)):
            raise HeadError(f"{path}: is there and is no head; choose another --into")
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
    """The head in this file; no code in it is run.

    Raises HeadError where the file is missing, damaged, no head, or made of types that a head is not made of.
    """
    about, parts = _read_parts(path)
    try:
        head = _build(about, parts)
    except HeadError as error:
        raise HeadError(f"{path}: {error}") from error
    except Exception as error:
        # skops has no base class for what a damaged file raises
        raise HeadError(f"{path}: cannot be loaded ({error}); train it again with `featx train`") from error
    return head


def _build(about: dict[str, Any], parts: dict[str, bytes]) -> Head:
    if about.get("format") != FORMAT or about.get("format_version") != FORMAT_VERSION:
        found = f"{about.get('format')!r} version {about.get('format_version')}"
        raise HeadError(f"holds {found}, but this featx reads {FORMAT!r} version {FORMAT_VERSION}; train it again")
    head = Head(
        about["name"],
        tuple(about["classes"]),
        about["params"],
        tuple(Source(**source) for source in about["sources"]),
        dict(about["training"]),
        _load_estimator(parts["pipeline.skops"]),
        float(about["temperature"]),
        bool(about["multilabel"]),
    )
    if len(head.classes) != len(head.pipeline.classes_):
        raise HeadError(f"names {len(head.classes)} classes for {len(head.pipeline.classes_)}; train it again")
    return head


def _read_parts(path: Path | str) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("head.json")), {name: file.read(name) for name in file.namelist()}
    except FileNotFoundError as error:
        raise HeadError(f"{path}: no such head; make it with `featx train`") from error
    except Exception as error:
        # a damaged zip raises BadZipFile, KeyError, zlib.error, EOFError or ValueError, as the damage has it
        raise HeadError(f"{path}: not a readable head ({error}); train it again with `featx train`") from error


def _load_estimator(data: bytes) -> Any:
    own = _own_types()
    if strange := set(skops.io.get_untrusted_types(data=data)) - own:
        raise HeadError(f"holds types that no head is made of ({', '.join(sorted(strange))}); do not use this file")
    return skops.io.loads(data, trusted=sorted(own))


def _own_types() -> set[str]:
    """The estimators of our own, by the names that skops gives them."""
    members = getmembers(import_module(OWN), isclass)
    return {f"{kind.__module__}.{kind.__qualname__}" for _, kind in members if kind.__module__.startswith(OWN)}
