"""Damaged tars, arrays and tables: an image set whose rows read or fail, or one error; never a crash, never a hang."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), dtype=np.uint8)


def write_tar(path: Path, kind: int) -> None:
    """A tar with long names, labels and links."""
    with tarfile.open(path, "w", format=kind) as file:
        for number in range(6):
            for name, data in ((f"{'x' * 120}{number}.png", bytes([number]) * 300), (f"{number}.cls", b"7")):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("z.png")
        link.type, link.linkname = tarfile.LNKTYPE, f"{'x' * 120}0.png"
        file.addfile(link)


def write_hdf5(path: Path, **options: object) -> None:
    """Images in one dataset, labels beside it."""
    with h5py.File(path, "w") as file:
        file.create_dataset("a/images", data=PIXELS, **options)
        file.create_dataset("a/label", data=np.arange(20))


def write(path: Path, form: str) -> None:
    """A sound file of this form."""
    if form in ("gnu.tar", "pax.tar"):
        write_tar(path, {"gnu.tar": tarfile.GNU_FORMAT, "pax.tar": tarfile.PAX_FORMAT}[form])
    elif form == "photos.npy":
        np.save(path, PIXELS)
    elif form == "list.parquet":
        rows = {"path": [f"{row}.png" for row in range(50)], "label": ["a", "b"] * 25, "weight": np.ones(50)}
        parquet.write_table(pa.table(rows), path, row_group_size=20)
    elif form == "images.parquet":
        stored = [{"bytes": row.tobytes(), "path": "a.png"} for row in PIXELS]
        parquet.write_table(pa.table({"image": stored, "label": np.arange(20)}), path, row_group_size=6)
    elif form == "list.csv":
        path.write_text("path,label,weight\n" + "".join(f"{row}.png,{row % 3},1.5\n" for row in range(50)))
    else:
        write_hdf5(path, **({} if form == "plain.h5" else {"chunks": (4, 5, 6, 3), "compression": "gzip"}))


FORMS = ("gnu.tar", "pax.tar", "photos.npy", "list.csv", "list.parquet", "images.parquet", "plain.h5", "chunks.h5")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to so much memory")


def damage(folder: Path, *forms: str, count: int) -> None:
    """Damage a file of each of these forms so often, in one process; fail where it crashes, or nothing is refused."""
    for form in forms:
        write(folder / form, form)
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.support.damaged", str(count), "1"]
    command += [str(folder / form) for form in forms]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, (forms[len(told) :], ran.stderr[-3000:])
    for form, (refused, read, failed) in zip(forms, told, strict=True):
        assert refused > count / 20, form
        assert read + failed, form


@on_linux
def test_damaged_files_are_refused_or_their_rows_read_or_fail(tmp_path: Path) -> None:
    damage(tmp_path, *FORMS, count=60)


@on_linux
@pytest.mark.exhaustive
@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_refused_or_its_rows_read_or_fail(tmp_path: Path, form: str) -> None:
    damage(tmp_path, form, count=300)
