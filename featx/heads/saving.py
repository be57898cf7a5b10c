"""Heads on disk: saved without pickle, and loaded without running anything that is in the file."""

import json
import zipfile
import zlib
from contextlib import AbstractContextManager
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from featx.cache import Source
from featx.errors import HeadError, one_line
from featx.heads.file.archive import LEAST_LIMIT, MOST_PACKED, read_members, unpacked_limit
from featx.heads.file.description import (
    FORMAT,
    MOST_BYTES as DESCRIPTION_BYTES,
    VERSION,
    Description,
    check_description,
    check_digest,
    digest_of,
    read_description,
)
from featx.heads.file.fitted import check_fitted
from featx.heads.file.grammar import TYPES, check_saved_pipeline
from featx.heads.head import Head
from featx.heads.recipes import classifiers_of
from featx.provenance import versions
from featx.targets import Kind, Target, reserve

DESCRIPTION = "head.json"
PIPELINE = "pipeline.skops"
"""The members of a head file."""


def save_head(head: Head, into: Path | str | Target, *, overwrite: bool = False) -> None:
    """Write the head as a zip of `head.json` and `pipeline.skops`.

    An existing head is replaced only with `overwrite`, a file of another kind never. Raises HeadError if the head
    cannot be written.

    >>> import featx
    >>> head, _ = featx.train_head(featx.read_features("photos.h5"), "class-mean", jobs=1)
    >>> featx.save_head(head, "means.featx")
    >>> featx.load_head("means.featx").name
    'class-mean'
    """
    if isinstance(into, Target):
        _write(head, into)
    else:
        with reserve_head(into, overwrite=overwrite) as target:
            _write(head, target)


def _write(head: Head, target: Target) -> None:
    import skops.io  # takes a second, for it imports all of scikit-learn

    saved = skops.io.dumps(head.pipeline)
    about = json.dumps(_describe(head, saved), indent=2)
    with target.written() as new, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(DESCRIPTION, about)
        file.writestr(PIPELINE, saved, _compression(saved))


def _describe(head: Head, pipeline: bytes) -> dict[str, Any]:
    """The content of head.json."""
    values = {
        "format": FORMAT,
        "format_version": VERSION,
        "name": head.name,
        "classes": head.classes,
        "params": head.params,
        "temperature": head.temperature,
        "multilabel": head.multilabel,
        "sources": [_describe_source(source) for source in head.sources],
        "training": head.training,
        "versions": versions(),
    }
    about = check_description(json.loads(json.dumps(values)))
    about.digest = digest_of(about, pipeline)
    return dict(msgspec.to_builtins(about))


def _describe_source(source: Source) -> dict[str, Any]:
    """Where columns come from; what they cost is not part of a head."""
    values = asdict(source)
    del values["cost"]
    if source.view_rule == "first":
        del values["views"], values["view_rule"]
    return values


def _compression(pipeline: bytes) -> int:
    """How to compress a pipeline: not at all if it would shrink so much that `load_head` would refuse to unpack it."""
    if len(pipeline) <= LEAST_LIMIT or len(zlib.compress(pipeline, 1)) > 2 * len(pipeline) / MOST_PACKED:
        return zipfile.ZIP_DEFLATED
    return zipfile.ZIP_STORED


def reserve_head(path: Path | str, *, overwrite: bool = False) -> AbstractContextManager[Target]:
    """Hold the file for a head in a `with` block, which gets what `save_head` takes; its folder is created.

    Do it before hours of tuning: the block raises HeadError at its beginning if the file cannot be written, if another
    process writes it, if it exists and `overwrite` is false, or if it is something other than a head.
    """
    return reserve(path, HEAD, overwrite=overwrite)


def _is_head(path: Path) -> bool:
    """Whether the file is a zip that begins as a head does; a damaged one is none."""
    try:
        with zipfile.ZipFile(path) as file, file.open(DESCRIPTION) as description:
            return f'"{FORMAT}"'.encode() in description.read(DESCRIPTION_BYTES)
    except OSError:
        raise
    except (zipfile.BadZipFile, zlib.error, LookupError, ValueError, EOFError, RuntimeError):
        return False


HEAD = Kind(
    name="a featx head",
    endings=(".featx",),
    is_own=_is_head,
    error=HeadError,
    locked=HeadError,
    writing="training a head for this file",
)


def load_head(path: Path | str) -> Head:
    """The head in this file; no code in the file is run.

    The file is checked as a whole before it is used: it has exactly the parts of a head, of the types that its kind of
    head consists of, and they fit each other. Raises HeadError if the file is missing, damaged, or anything else.

    >>> import featx
    >>> head = featx.load_head("photos.featx")
    >>> head.name, [source.name for source in head.sources]
    ('ridge', ['efficientnet-lite0'])
    """
    try:
        return _read(Path(path))
    except FileNotFoundError as error:
        raise HeadError(f"{path}: no such head; create it with `featx train`") from error
    except HeadError as error:
        step = "" if ";" in str(error) else "; do not use this file, but train the head again with `featx train`"
        raise HeadError(f"{path}: {error}{step}") from error
    except Exception as error:  # zipfile, json, skops and numpy raise almost anything, depending on the damage
        raise HeadError(
            f"{path}: not a readable head ({one_line(error)[:200]}); train it again with `featx train`"
        ) from error


def _read(path: Path) -> Head:
    limit = unpacked_limit(path.stat().st_size)
    parts = read_members(path, {DESCRIPTION: DESCRIPTION_BYTES, PIPELINE: limit})
    about = read_description(parts[DESCRIPTION])
    saved = parts[PIPELINE]
    check_saved_pipeline(BytesIO(saved), limit=limit)
    check_digest(about, saved)
    head = _build(about, saved)
    check_fitted(
        head.pipeline,
        columns=head.view_columns.width,
        classes=len(about.classes),
        classifiers=classifiers_of(about.name),
    )
    return head


def _build(about: Description, saved: bytes) -> Head:
    """The head of a description and a saved pipeline, both checked."""
    import skops.io

    return Head(
        name=about.name,
        classes=tuple(about.classes),
        params=about.params,
        sources=tuple(Source(**msgspec.to_builtins(source)) for source in about.sources),
        training=about.training,
        pipeline=skops.io.loads(saved, trusted=sorted(TYPES)),
        temperature=about.temperature,
        multilabel=about.multilabel,
    )
