"""What listing many images takes: seconds, bytes a row while it goes on, and bytes a row that are kept.

    python benchmarks/listing.py [--files N] [--rows N] [--forms F ...]

A folder of files, a tar, manifests as CSV and Parquet, and a Parquet table with images, none of which is opened. Names
have 24 bytes, in a thousand folders that are the classes. Every form is listed by a process of its own, whose peak is
counted from where it stood before.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet
from record import keep

from featx.inputs import ImageSet, list_images

CLASSES = 1000
FORMS = {"folder": "files", "photos.tar": "files", "images.parquet": "rows", "list.csv": "rows", "list.parquet": "rows"}
"""What is listed -> which of the two counts it has."""


def iter_names(count: int) -> Iterator[str]:
    """Names of 24 bytes, in no order."""
    for number in range(count):
        place = number * 7_919 % count
        yield f"class{place % CLASSES:04}/{place:010}.png"


def write(path: Path, form: str, count: int) -> Path:
    """This number of images in this form."""
    writers = {"folder": write_folder, "photos.tar": write_tar, "list.csv": write_csv}
    writers.get(form, write_parquet)(path, count)
    return path


def write_folder(path: Path, count: int) -> None:
    """Empty files, one sub-folder a class."""
    for number in range(CLASSES):
        (path / f"class{number:04}").mkdir(parents=True)
    for name in iter_names(count):
        (path / name).touch()


def write_tar(path: Path, count: int) -> None:
    """Members of a hundred bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for name in iter_names(count):
            info = tarfile.TarInfo(name)
            info.size = 100
            file.addfile(info, io.BytesIO(bytes(100)))
            file.members.clear()  # type: ignore[attr-defined]


def write_csv(path: Path, count: int) -> None:
    """Paths and labels."""
    with path.open("w", encoding="utf-8") as file:
        file.write("path,label\n")
        file.writelines(f"{name},{name[:9]}\n" for name in iter_names(count))


def write_parquet(path: Path, count: int) -> None:
    """Paths or images, and labels."""
    key = "image" if path.name.startswith("images") else "path"
    schema = pa.schema({key: pa.binary() if key == "image" else pa.string(), "label": pa.string()})
    names = list(iter_names(count))
    with parquet.ParquetWriter(path, schema) as file:
        for start in range(0, count, 100_000):
            part = names[start : start + 100_000]
            columns = {key: [b"x"] * len(part) if key == "image" else part, "label": [name[:9] for name in part]}
            file.write_table(pa.table(columns, schema))


def run(path: Path) -> dict[str, float]:
    """List, then say what it took; called in a process of its own."""
    if path.suffix == ".parquet":
        parquet.read_metadata(path)
    before = peak()
    start = time.perf_counter()
    images = list_images(path)
    seconds = time.perf_counter() - start
    rows = len(images)
    return {
        "images": rows,
        "seconds": round(seconds, 2),
        "images_per_second": round(rows / seconds),
        "bytes_a_row_at_peak": round((peak() - before) / rows, 1),
        "bytes_a_row_kept": round(held(images) / rows, 1),
    }


def peak() -> int:
    """The most bytes that this process has held; not ru_maxrss, which begins with those of whoever started it."""
    peak_line = Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2]
    return int(peak_line.split()[0]) * 1024


def held(images: ImageSet) -> int:
    """Bytes of the columns and of the source's numbers."""
    return sum(getattr(value, "nbytes", 0) for value in (*vars(images).values(), *vars(images.source).values()))


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.run)))
        return
    found = {}
    for form in arguments.forms:
        with tempfile.TemporaryDirectory() as name:
            path = write(Path(name) / form, form, getattr(arguments, FORMS[form]))
            command = [sys.executable, __file__, "--run", str(path)]
            found[form] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(form, found[form], flush=True)
    keep("listing", found)


if __name__ == "__main__":
    main()
