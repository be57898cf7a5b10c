"""Keeps the engines that TensorRT builds, in one folder per graph, so that each is built only once."""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from featx.backbones.session.nvidia import gpus, tensorrt_version
from featx.backbones.store import Backbone, cache_folder
from featx.hashing import hash_settings
from featx.provenance import runtime_version

if TYPE_CHECKING:
    from featx.backbones.graph.surgery import PreparedGraph

logger = logging.getLogger(__name__)


@contextmanager
def keep_engines(backbone: Backbone, prepared: "PreparedGraph", batch: int | None) -> Iterator[Path]:
    """Yields the folder for engines of this graph at this batch size, with these versions, on these GPUs.

    A new folder gets its name when the block ends, so that no other process reads a half-written engine.
    """
    key = {
        "backbone": backbone.hash,
        "graph": hashlib.sha256(prepared.model).hexdigest(),
        "batch": batch,
        "gpus": gpus(),
        "onnxruntime": runtime_version(),
        "tensorrt": tensorrt_version(),
    }
    folder = cache_folder() / "tensorrt" / hash_settings(key)[:32]
    if folder.is_dir():
        yield folder
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    logger.warning("%s: TensorRT builds its engine, which takes minutes; it is stored in %s", backbone.name, folder)
    building = Path(mkdtemp(dir=folder.parent))
    try:
        yield building
        with suppress(OSError):  # another process was first
            building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
