"""Peak memory of a whole process, which may not grow with the images: 10^7 of them must fit as 10^3 do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import build_tiny

RUN = """
import sys
from pathlib import Path
from featx.backbones import load_backbone
from featx.cache import export_cache, read_features, verify_cache
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings
folder, images = map(Path, sys.argv[1:])
into = images.with_suffix(".cache.h5")
extract_features(list_images(images), load_backbone("tiny", folder=folder), into=into, settings=Settings("cpu"))
assert verify_cache(into) == []
export_cache(into, into=images.with_suffix(".out.npy"))
assert len(read_features(into)) > 0
# what getrusage tells includes the process that started this one
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
DIM = 1024
FEW, MANY = 2_000, 8_000


def peak(folder: Path, count: int) -> float:
    """MiB of a process that extracts, verifies, exports and opens a cache of so many images."""
    images = folder / f"{count}.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8))
    command = [sys.executable, "-c", RUN, str(folder), str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of one process")
@pytest.mark.exhaustive
def test_neither_features_nor_images_are_held_in_memory(tmp_path: Path) -> None:
    build_tiny(tmp_path, dim=DIM)
    grown = peak(tmp_path, MANY) - peak(tmp_path, FEW)
    features = (MANY - FEW) * DIM * 4 / 2**20
    assert grown < features / 4
