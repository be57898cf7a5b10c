"""Damaged feature files: 500 of them, cut short or with flipped bits, read, checked, told of, merged and exported.

Each must end in a CacheError that names it, or in what the whole file gives; in another process, as HDF5 can hang.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from featx.cache import (
    describe_cache,
    export_cache,
    merge_caches,
    open_cache,
    read_features,
    verify_cache,
)
from featx.cache.file import Field
from featx.columns import ImageColumns
from featx.errors import CacheError
from tests.support.caches import provenance, write_cache
from tests.support.sizes import shortened

MUTANTS, A_PROCESS, QUICK = 500, 100, 50
SECONDS = 120
FOUND = b"a problem, by verifying"


def write_original(path: Path) -> Path:
    """A small cache with every column, two outputs and failed images."""
    count = 24
    images = ImageColumns(
        names=np.array([f"{row:02}.png".encode() for row in range(count)]),
        classes=("cat", "dog"),
        labels=(np.arange(count) % 3 - 1).astype(np.int32),
        splits=np.array([b"train", b"test", b""] * 8),
        groups=np.array([f"g{row // 4}".encode() for row in range(count)]),
        weights=np.linspace(1, 2, count).astype(np.float32),
    )
    return write_cache(path, images, provenance(outputs=("stage",)), failed=[3, 17])


def mutate(original: bytes, seed: int, datasets: Sequence[Field]) -> bytes:
    """The bytes cut short, or with some bits flipped, anywhere or in the rows of one dataset."""
    rng = np.random.default_rng(seed)
    if seed % 5 == 0:
        return original[: int(rng.integers(len(original)))]
    data, (start, stop) = bytearray(original), (0, len(original))
    if seed % 5 > 1:
        field = datasets[int(rng.integers(len(datasets)))]
        start, stop = field.offset, field.offset + field.size
    for offset in rng.integers(start, stop, size=rng.integers(1, 6)):
        data[offset] ^= 1 << int(rng.integers(8))
    return bytes(data)


def rows_of_file(path: Path) -> list[bytes]:
    """All that a cache says of its images, but the size and time that their files had, which no checksum covers."""
    cache = open_cache(path)
    assert verify_cache(path) == []
    return [cache.read(name).tobytes() for name in sorted(cache.fields) if name != "images/stat"]


def use(path: Path) -> Iterator[Callable[[], bytes | None]]:
    """What is done with a cache; what it gives is the same for every whole one, None where anything may come."""
    folder = path.parent

    def read() -> bytes:
        table = read_features(path, outputs=["pooled", "stage"], split="train", labels=["dog"])
        return FOUND if verify_cache(path) else table.features.tobytes() + table.names.tobytes()

    def merge() -> bytes:
        return b"".join(rows_of_file(merge_caches([path], into=folder / "merged.h5", overwrite=True).path))

    def export(ending: str) -> Callable[[], bytes]:
        def run() -> bytes:
            made = export_cache(path, into=folder / f"out{ending}", outputs=["stage"], overwrite=True)
            if ending == ".parquet":
                return repr(parquet.read_table(made.files[0]).to_pylist()).encode()
            return b"".join(Path(file).read_bytes() for file in made.files)

        return run

    def info() -> None:
        assert describe_cache(path).rows

    yield from (read, merge, export(".npy"), export(".parquet"), info)


def judge(folder: Path, seeds: range) -> None:
    """Use every mutant in every way, and compare with the original."""
    path = write_original(folder / "c.h5")
    original, expected, told = path.read_bytes(), [run() for run in use(path)], 0
    datasets = list(open_cache(path).fields.values())
    for seed in seeds:
        path.write_bytes(mutate(original, seed, datasets))
        for run, right in zip(use(path), expected, strict=True):
            try:
                found = run()
            except CacheError as error:
                assert str(path) in str(error), f"mutant {seed}: {error}"
                told += 1
            else:
                assert found in (right, FOUND), f"mutant {seed}: {run.__qualname__}"
        assert {left.name for left in folder.iterdir()} <= {"c.h5", "merged.h5", "out.npy", "out.csv", "out.parquet"}
    assert told > len(seeds)


PARTS = [
    (0, QUICK),
    (QUICK, A_PROCESS),
    *((first, first + A_PROCESS) for first in range(A_PROCESS, MUTANTS, A_PROCESS)),
]


@pytest.mark.parametrize(("first", "end"), shortened(PARTS))
def test_damaged_files_end_in_an_error_that_names_them_or_in_the_right_rows(
    tmp_path: Path, first: int, end: int
) -> None:
    command = [sys.executable, "-W", "error", "-m", __name__, str(tmp_path), str(first), str(end)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    judge(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
