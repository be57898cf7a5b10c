"""A cache written out for other programs: what they read is what was extracted, or there is no file."""

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from featx.cache import (
    create_partial,
    export_cache,
    read_features,
)
from featx.columns import ImageColumns
from featx.errors import CacheError
from tests.conftest import Ran
from tests.support.caches import DIM, features, flip, image_set, place, provenance, write_cache
from tests.support.sizes import shortened

NPY_AND_CSV = ["x.csv", "x.npy"]


def full_set(count: int = 10) -> ImageColumns:
    """An image set with every column, one image without label, split and group, and names that need quoting."""
    names = [f'a "quoted", name/{row:02}é.png'.encode() for row in range(count)]
    labels = (np.arange(count) % 2).astype(np.int32)
    labels[2] = -1
    return ImageColumns(
        names=np.array(names),
        classes=("cat, or dog", "bird"),
        labels=labels,
        splits=np.array([b"" if row == 2 else b"train" for row in range(count)]),
        groups=np.array([b"" if row == 2 else f"g{row // 2}".encode() for row in range(count)]),
        domains=np.array([b"lab" if row % 3 else b"field, far" for row in range(count)]),
        weights=weights(np.arange(count)),
    )


def weights(rows: Any) -> Any:
    """A weight that tells its row and has no short decimal form."""
    return (0.1 * rows + 0.1).astype(np.float32)


KEPT = np.array([0, 1, 2, 3, 5, 6, 7, 8, 9])


def left_in(folder: Path) -> list[str]:
    """Names of all files in the folder but caches."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".h5")


def lines(path: Path) -> list[list[str]]:
    """The rows of a .csv."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_npy_is_the_matrix_as_stored_and_the_csv_has_a_line_a_row(tmp_path: Path, storage: str) -> None:
    path = write_cache(tmp_path / "c.h5", full_set(), provenance(storage=storage), failed=[4])
    made = export_cache(path, into=tmp_path / "x.npy")
    matrix = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert matrix.dtype == storage
    assert matrix.flags.c_contiguous
    assert np.array_equal(matrix, features(KEPT).astype(storage))
    header, *rows = lines(tmp_path / "x.csv")
    assert header == ["name", "label", "split", "group", "domain", "weight"]
    assert [row[0] for row in rows] == [full_set().name(int(row)) for row in KEPT]
    assert rows[2][1:4] == ["", "", ""]
    assert rows[3][1:4] == ["bird", "train", "g1"]
    assert rows[2][4] == "lab"
    assert [np.float32(row[5]) for row in rows] == weights(KEPT).tolist()
    assert (made.rows, made.left_out, made.dtype, made.outputs) == (9, 1, storage, {"pooled": DIM})
    assert made.files == (str(tmp_path / "x.npy"), str(tmp_path / "x.csv"))
    assert made.bytes == sum((tmp_path / name).stat().st_size for name in NPY_AND_CSV)
    assert left_in(tmp_path) == NPY_AND_CSV


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_parquet_has_a_list_a_row_and_null_where_nothing_was_given(tmp_path: Path, storage: str) -> None:
    path = write_cache(tmp_path / "c.h5", full_set(), provenance(storage=storage), failed=[4])
    made = export_cache(path, into=tmp_path / "x.parquet")
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.names == ["name", "label", "split", "group", "domain", "weight", "features"]
    number = {"float32": "float", "float16": "halffloat"}[storage]
    assert str(table.schema.field("features").type) == f"fixed_size_list<element: {number} not null>[{DIM}]"
    found = table.column("features").combine_chunks().flatten().to_numpy().reshape(-1, DIM)
    assert np.array_equal(found, features(KEPT).astype(storage))
    assert table.column("name").to_pylist() == [full_set().name(int(row)) for row in KEPT]
    assert table.column("label").to_pylist()[:3] == ["cat, or dog", "bird", None]
    assert table.column("split").to_pylist()[1:3] == ["train", None]
    assert table.column("group").to_pylist()[1:3] == ["g0", None]
    assert table.column("domain").to_pylist()[:2] == ["field, far", "lab"]
    assert table.column("weight").to_pylist() == weights(KEPT).tolist()
    about = json.loads(table.schema.metadata[b"featx"])
    assert about["card"] == provenance().card
    assert about["provenance"]["provider"] == "CPUExecutionProvider"
    assert made.files == (str(tmp_path / "x.parquet"),)
    assert left_in(tmp_path) == ["x.parquet"]


def test_an_image_set_without_columns_gives_a_label_that_is_none(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", ImageColumns(names=np.array([b"a", b"b"])))
    export_cache(path, into=tmp_path / "x.parquet")
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.select(["name", "label"]).to_pylist() == [{"name": "a", "label": None}, {"name": "b", "label": None}]
    export_cache(path, into=tmp_path / "x.npy")
    assert lines(tmp_path / "x.csv") == [["name", "label"], ["a", ""], ["b", ""]]


def test_several_outputs_stand_side_by_side_or_in_columns_of_their_names(tmp_path: Path) -> None:
    several = write_cache(tmp_path / "several.h5", made=provenance(outputs=("stage/4", "label")))
    whole = features(np.arange(10), 2 * DIM)
    export_cache(several, into=tmp_path / "x.npy", outputs=["stage/4", "pooled"])
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.hstack([whole[:, DIM : DIM + DIM // 2], whole[:, :DIM]]))
    export_cache(several, into=tmp_path / "x.parquet", outputs=["stage/4", "label"])
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.names[-2:] == ["stage/4", "label_output"]
    assert table.column("label_output")[3].as_py() == whole[3, DIM + DIM // 2 :].tolist()
    assert table.column("label").to_pylist()[:2] == ["class0", "class1"]


def test_rows_are_chosen_by_split_and_label(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", failed=[1, 2])
    made = export_cache(path, into=tmp_path / "x.npy", split="test", labels=["class1"])
    assert np.array_equal(np.load(tmp_path / "x.npy"), features(np.array([3, 5, 7, 9])))
    assert (made.rows, made.left_out) == (4, 1)
    with pytest.raises(CacheError, match=r"no split 'tst' \(did you mean test\?\)"):
        export_cache(path, into=tmp_path / "y.npy", split="tst")
    with pytest.raises(CacheError, match="none of these images has a feature"):
        export_cache(path, into=tmp_path / "y.npy", split="test", labels=["class0"])
    assert left_in(tmp_path) == NPY_AND_CSV


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.cache.parquet.GROUP_BYTES", 10_000)
    monkeypatch.setattr("featx.cache.file.BLOCK_BYTES", 2_000)
    path = write_cache(tmp_path / "c.h5", image_set(1000))
    export_cache(path, into=tmp_path / "x.parquet")
    file = parquet.ParquetFile(tmp_path / "x.parquet")
    assert file.num_row_groups > 3
    assert file.read().column("features").to_pylist() == features(np.arange(1000)).tolist()


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
@pytest.mark.parametrize("dataset", ["features/pooled", "images/fingerprint", "checksums"])
def test_a_rotten_row_is_named_and_nothing_is_left(tmp_path: Path, name: str, dataset: str) -> None:
    path = write_cache(tmp_path / "c.h5")
    flip(path, place(path, dataset, 6))
    with pytest.raises(CacheError, match=r"row 6 \(class0/006.png\): its bytes do not match their checksum; restore"):
        export_cache(path, into=tmp_path / name)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_what_is_there_is_given_up_only_when_told(tmp_path: Path, name: str) -> None:
    path, into = write_cache(tmp_path / "c.h5"), tmp_path / name
    export_cache(path, into=into)
    for other in set(left_in(tmp_path)) - {name}:
        (tmp_path / other).unlink()
    before = (tmp_path / name).read_bytes()
    with pytest.raises(CacheError, match=rf"{name}: already exists; .*--overwrite"):
        export_cache(path, into=into)
    assert left_in(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == before
    export_cache(write_cache(tmp_path / "other.h5", start=10), into=into, overwrite=True)
    assert (tmp_path / name).read_bytes() != before


@pytest.mark.parametrize(("name", "target"), [("x.csv", "x.npy"), ("x.npy", "x.npy"), ("x.parquet", "x.parquet")])
def test_a_file_of_another_kind_is_never_given_up(tmp_path: Path, name: str, target: str) -> None:
    path = write_cache(tmp_path / "c.h5")
    (tmp_path / name).write_text("path,label\nmy,manifest\n")
    with pytest.raises(CacheError, match=rf"{name}: already exists and is not an export of a cache"):
        export_cache(path, into=tmp_path / target, overwrite=True)
    assert (tmp_path / name).read_text() == "path,label\nmy,manifest\n"
    assert left_in(tmp_path) == [name]


@pytest.mark.parametrize("content", [b"PK\x03\x04 no zip", b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", b"\x80\x04"])
def test_a_damaged_file_is_no_export_and_is_never_given_up(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(CacheError, match=r"x\.npy: already exists and is not an export of a cache"):
        export_cache(write_cache(tmp_path / "c.h5"), into=tmp_path / "x.npy", overwrite=True)
    assert (tmp_path / "x.npy").read_bytes() == content


def test_a_format_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5")
    for name in ("x", "x.csv", "c.h5", "x.npz"):
        with pytest.raises(CacheError, match=r"its ending is not of a known format; end it in .npy or .parquet"):
            export_cache(path, into=tmp_path / name, overwrite=True)


def test_an_unfinished_extraction_is_not_exported(tmp_path: Path) -> None:
    partial = create_partial(tmp_path / "c.h5", image_set(), provenance()).path
    with pytest.raises(CacheError, match="not completed"):
        export_cache(partial, into=tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, name: str) -> None:
    """The limit on file size is met by the same calls as a full disk."""
    path = write_cache(tmp_path / "c.h5", image_set(5000))
    script = (
        "import resource, signal, sys; from featx.cache import export_cache\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "export_cache(sys.argv[1], into=sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"CacheError: {tmp_path / name}: no space for it" in done.stderr
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_a_disk_that_fails_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = write_cache(tmp_path / "c.h5")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(CacheError, match=rf"({name}|x.csv): cannot be written \(Input/output error\)"):
        export_cache(path, into=tmp_path / name)
    assert left_in(tmp_path) == []


def test_parquet_without_pyarrow_is_an_error_that_tells_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cache(tmp_path / "c.h5")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(CacheError, match=r"pip install 'featx\[parquet\]', or choose .npy"):
        export_cache(path, into=tmp_path / "x.parquet")
    export_cache(path, into=tmp_path / "x.npy")


def test_the_command_tells_what_it_left_out(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    path = write_cache(tmp_path / "c.h5", failed=[0, 5])
    ran = featx("cache", "export", path, "--into", tmp_path / "x.npy", "--split", "train", "--json")
    assert ran.code == 0
    assert (ran.json["rows"], ran.json["left_out"]) == (4, 1)
    assert ran.json["files"] == [str(tmp_path / "x.npy"), str(tmp_path / "x.csv")]
    assert "1 of 5 images have no feature and are left out" in ran.err
    again = featx("cache", "export", path, "--into", tmp_path / "x.npy")
    assert again.code == 1
    assert "--overwrite" in again.err


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", shortened(["x.npy", "x.parquet"]))
def test_exporting_holds_no_more_memory_for_more_rows(tmp_path: Path, name: str) -> None:
    script = (
        "import sys; from featx.cache import export_cache\n"
        "export_cache(sys.argv[1], into=sys.argv[2], overwrite=True)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )

    def peak(count: int) -> int:
        card: dict[str, Any] = {**provenance().card, "dim": 512}
        path = write_cache(tmp_path / f"{count}.h5", image_set(count), provenance(card=card))
        command = [sys.executable, "-c", script, str(path), str(tmp_path / name)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    few, many = peak(40_000), peak(120_000)
    assert many < 1.1 * few, (few, many)


def test_numpy_gets_what_read_features_gives(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", failed=[2])
    export_cache(path, into=tmp_path / "x.npy")
    assert np.array_equal(np.load(tmp_path / "x.npy"), read_features(path).features)


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_images_are_no_export_even_in_a_file_of_the_same_kind(tmp_path: Path, name: str) -> None:
    path = write_cache(tmp_path / "c.h5")
    np.save(tmp_path / "x.npy", np.zeros((4, 8, 8), np.uint8))
    parquet.write_table(pa.table({"path": ["a.png"], "label": ["a"]}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("name,label\n")
    before = (tmp_path / name).read_bytes()
    with pytest.raises(CacheError, match=rf"{name}: already exists and is not an export of a cache"):
        export_cache(path, into=tmp_path / name, overwrite=True)
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("matrix", ["none", "other", "of as many rows"])
def test_a_table_of_somebody_else_beside_the_matrix_is_never_given_up(
    tmp_path: Path, matrix: str, overwrite: bool
) -> None:
    path, theirs = write_cache(tmp_path / "c.h5"), "name,label,note\n" + "a.png,a,mine\n" * 10
    (tmp_path / "x.csv").write_text(
        theirs if matrix == "of as many rows" else theirs.replace(",note", "").replace(",mine", "")
    )
    if matrix != "none":
        np.save(tmp_path / "x.npy", np.zeros((10 if matrix == "of as many rows" else 11, 3), np.float32))
    before = {found.name: found.read_bytes() for found in tmp_path.iterdir()}
    with pytest.raises(CacheError, match=r"x\.(csv|npy): already exists"):
        export_cache(path, into=tmp_path / "x.npy", overwrite=overwrite)
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "columns",
    [{}, {"groups": np.array([b"a"] * 10)}, {"domains": np.array([b"a"] * 10)}, {"splits": None, "weights": None}],
)
def test_an_older_export_is_replaced_whatever_columns_it_has(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = write_cache(tmp_path / "c.h5", replace(image_set(), **columns))
    export_cache(path, into=tmp_path / "x.npy")
    export_cache(write_cache(tmp_path / "d.h5", image_set(7)), into=tmp_path / "x.npy", overwrite=True)
    assert len(lines(tmp_path / "x.csv")) == 8
    assert len(np.load(tmp_path / "x.npy")) == 7


@pytest.mark.parametrize("before", ["nothing", "an older export"])
def test_an_export_that_was_killed_between_its_two_files_is_repeated(tmp_path: Path, before: str) -> None:
    path = write_cache(tmp_path / "c.h5")
    if before == "an older export":
        export_cache(write_cache(tmp_path / "d.h5", image_set(7)), into=tmp_path / "x.npy")
    export_cache(path, into=tmp_path / "new.npy")
    (tmp_path / "new.csv").replace(tmp_path / "x.csv")
    export_cache(path, into=tmp_path / "x.npy", overwrite=True)
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "new.npy").read_bytes()
    assert len(lines(tmp_path / "x.csv")) == 11
