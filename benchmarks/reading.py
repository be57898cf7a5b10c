"""Opening a cache and summing all of its features, against the same matrix in an .npy file: both mapped, interleaved.

    python benchmarks/reading.py [--repeats N]

Both files are in the page cache when they are timed, so that what differs is the reader and not the disk.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import keep

from featx.cache import (
    DONE,
    CacheWriter,
    ComputedRows,
    Provenance,
    create_partial,
    read_features,
    seal,
    verify_cache,
)
from featx.columns import ImageColumns

DIM = 1280
COUNTS = (20_000, 200_000)
AT_ONCE = 4096


def timed(run: Callable[[], object]) -> float:
    """Wall seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def write_both(folder: Path, count: int) -> tuple[Path, Path]:
    """The same made-up matrix as a cache and as an .npy file."""
    names = np.array([f"class{row % 100:03}/{row:08}.jpg".encode() for row in range(count)])
    labels = (np.arange(count) % 100).astype(np.int32)
    images = ImageColumns(names=names, classes=tuple(f"class{index:03}" for index in range(100)), labels=labels)
    made = Provenance(
        card={"name": "made-up", "sha256": "0" * 64, "feature": "features", "dim": DIM},
        backbone="0" * 64,
        hashes={"features": "0" * 64},
        provider="none",
        device="none",
        precision="float32",
        batch_size=AT_ONCE,
        versions={},
    )
    cache, matrix = folder / f"{count}.h5", folder / f"{count}.npy"
    array = np.lib.format.open_memmap(matrix, mode="w+", dtype=np.float32, shape=(count, DIM))
    with CacheWriter(create_partial(cache, images, made)) as writer:
        for rows in np.array_split(np.arange(count), -(-count // AT_ONCE)):
            array[rows[0] : rows[-1] + 1] = np.random.default_rng(rows[0]).random((len(rows), DIM), np.float32)
            writer.append(rows_of(rows, array[rows[0] : rows[-1] + 1]))
    array.flush()
    seal(cache)
    return cache, matrix


def rows_of(rows: NDArray[np.int64], features: NDArray[np.float32]) -> ComputedRows:
    """These rows as an extraction would write them."""
    count = len(rows)
    return ComputedRows(
        rows,
        features[:, None],
        np.full(count, DONE, np.uint8),
        np.zeros((count, 16), np.uint8),
        np.zeros((count, 2), np.int64),
    )


def measure(cache: Path, matrix: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds of every repeat, one reader after the other."""
    runs: dict[str, Callable[[], object]] = {
        "featx, open": lambda: read_features(cache).features,
        "featx, open and sum": lambda: np.sum(read_features(cache).features),
        "numpy, open and sum": lambda: np.sum(np.load(matrix, mmap_mode="r")),
        "featx, verify": lambda: verify_cache(cache),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # brings both files into the page cache
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    return seconds


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    rows = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure(*write_both(Path(folder), count), arguments.repeats)
        pairs = zip(seconds["featx, open and sum"], seconds["numpy, open and sum"], strict=True)
        ratios = [own / other for own, other in pairs]
        rows.append({"rows": count, "featx_over_numpy": ratios, "median": float(np.median(ratios)), "seconds": seconds})
    keep("reading", {"dim": DIM, "dtype": "float32", "rows": rows})


if __name__ == "__main__":
    main()
