"""parquet: manifests, and tables with the bytes of images, in; the image set that they say out."""

import errno
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from featx.columns import CHUNK
from featx.errors import ImageSetError
from featx.inputs import ImageSet, list_images
from featx.inputs.sets import parquet_window
from featx.inputs.sets.parquet_columns import readable
from featx.inputs.sets.parquet_window import rows_at_once
from tests.support.image_sets import labels, names, texts

Write = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Write:
    """Write columns as a Parquet file."""

    def write(columns: dict[str, Any], name: str = "list.parquet", meta: Any = None, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = pa.table(columns)
        if meta is not None:
            made = made.replace_schema_metadata({"huggingface": json.dumps(meta)})
        parquet.write_table(made, path, **options)
        return path

    return write


def named(images: ImageSet) -> list[str]:
    """The class of every image, "" where there is none."""
    return [images.classes[label] if label >= 0 else "" for label in labels(images)]


def hugging(*images: bytes | None, path: str | None = "a.png") -> Any:
    """A column of images as Hugging Face's datasets have it."""
    return pa.array([None if data is None else {"bytes": data, "path": path} for data in images])


def features(**columns: Any) -> Any:
    """What Hugging Face keeps beside the schema."""
    return {"info": {"features": columns}}


# ---- manifests


def test_a_parquet_manifest_is_the_image_set_that_its_csv_is(table: Write, tmp_path: Path) -> None:
    columns = {
        "path": ["b.png", "./a//c.png"],
        "label": ["dog", None],
        "split": ["train", "val"],
        "group": [7, 8],
        "weight": [1, 0.5],
    }
    found = list_images(table(columns))
    (tmp_path / "list.csv").write_text("path,label,split,group,weight\nb.png,dog,train,7,1\na/c.png,,val,8,.5\n")
    assert found.hash == list_images(tmp_path / "list.csv").hash
    assert names(found) == ["b.png", "a/c.png"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["b", None, "a"], pa.large_string()), ["b", "", "a"]),
        (pa.array(["b", None, "a"]).dictionary_encode(), ["b", "", "a"]),
        (pa.array(["b", None, "a"], pa.string_view()), ["b", "", "a"]),
        (pa.array([b"b", None, b"a"], pa.binary_view()), ["b", "", "a"]),
        (pa.array(["001", " cat ", "None"]), ["001", "cat", "None"]),
        (pa.array([Decimal("1.00"), None, Decimal("2.50")]), ["1", "", "2.50"]),
        (pa.array([b"b", None, "ä".encode()], pa.binary()), ["b", "", "ä"]),
        (pa.array([10, None, 9], pa.int8()), ["10", "", "9"]),
        (pa.array([2**63, None, 9], pa.uint64()), [str(2**63), "", "9"]),
        (pa.array([10, None, 9], pa.int64()).dictionary_encode(), ["10", "", "9"]),
        (pa.array([10.0, float("nan"), 0.5]), ["10", "", "0.5"]),
        (pa.array([True, None, False]), ["True", "", "False"]),
        (pa.array([-1, 1, 1]), ["-1", "1", "1"]),
    ],
    ids=[
        "large",
        "dictionary",
        "view",
        "binary view",
        "as they are written",
        "decimal",
        "binary",
        "int",
        "uint",
        "dictionary of int",
        "float",
        "bool",
        "negative",
    ],
)
def test_labels_may_be_of_any_plain_type(table: Write, values: Any, expected: list[str]) -> None:
    try:
        path = table({"path": ["a", "b", "c"], "label": values})
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"this pyarrow does not write this type: {error}")
    assert named(list_images(path)) == expected


def test_labels_that_are_all_null_are_none(table: Write) -> None:
    assert list_images(table({"path": ["a"], "label": pa.nulls(1)})).labels is None


def test_paths_are_relative_to_the_manifest_or_to_the_root(table: Write, tmp_path: Path) -> None:
    path = table({"path": ["a.png"]})
    (tmp_path / "a.png").write_bytes(b"beside")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.png").write_bytes(b"there")
    assert list_images(path).read(0) == b"beside"
    assert list_images(path, root=tmp_path / "there").read(0) == b"there"


def test_a_manifest_of_many_row_groups_keeps_its_order(table: Write) -> None:
    rows = CHUNK + 1000
    images = list_images(table({"path": [f"{row}" for row in range(rows)]}, row_group_size=999))
    assert names(images) == [f"{row}" for row in range(rows)]


def test_a_folder_of_manifests_is_one(table: Write, tmp_path: Path) -> None:
    for part in ("b", "a"):
        table({"path": [f"{part}.png"]}, f"list/part-{part}.parquet")
    (tmp_path / "list" / "_SUCCESS").touch()
    images = list_images(tmp_path / "list")
    assert names(images) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"]}, r"neither a column 'path' nor a column of image bytes among \['id'\]; add one"),
        ({"path": pa.array([], pa.string())}, "lists no images; add one row per image"),
        ({"path": ["a", None]}, "image 2: '' is not inside the root"),
        ({"path": ["../a"]}, r"image 1: '\.\./a' is not inside the root"),
        (
            {"path": ["s3://bucket/a.png"]},
            "image 1: 's3://bucket/a.png' is an address; give the part that all addresses share as --root",
        ),
        ({"path": ["a", "a"]}, "'a' is both image 1 and image 2"),
        ({"path": ["a"], "split": ["later"]}, "image 1: split 'later' is not one of"),
        ({"path": ["a"], "split": pa.nulls(1)}, "image 1: split '' is not one of"),
        ({"path": ["a"], "group": pa.nulls(1)}, "image 1: the group is blank"),
        ({"path": ["a"], "domain": [""]}, "image 1: the domain is blank; name a domain for every image"),
        ({"path": ["a"], "weight": [-1.0]}, "image 1: weight '-1' is not a number of 0 or more"),
        ({"path": ["a"], "weight": [float("nan")]}, "image 1: weight '' is not a number"),
        ({"path": ["a"], "label": [[1]]}, "column 'label' has values of type list<.*>; they must be texts or numbers"),
        ({"path": pa.array([b"\xff"], pa.binary())}, "not a readable Parquet file .*utf-8"),
        ({"path": ["x" * 5000]}, "image 1: the path is longer than 4096 bytes; shorten it"),
        ({"path": ["x"], "label": ["ä" * 3000]}, "image 1: the label is longer than 4096 bytes"),
    ],
)
def test_a_wrong_manifest_is_told_what_is_wrong_and_where(table: Write, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageSetError, match=rf"list\.parquet: {message}"):
        list_images(table(columns))


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    made = pa.Table.from_arrays([pa.array(["a"]), pa.array(["x"]), pa.array(["y"])], ["path", "label", "label"])
    parquet.write_table(made, tmp_path / "list.parquet")
    with pytest.raises(ImageSetError, match="column 'label' appears twice"):
        list_images(tmp_path / "list.parquet")


def test_a_misspelt_column_is_told(table: Write, caplog: pytest.LogCaptureFixture) -> None:
    list_images(table({"path": ["a"], "lable": ["x"]}))
    assert "column 'lable' is not used (did you mean label?)" in caplog.text


# ---- tables with images


@pytest.mark.parametrize("groups", [1, 2, 100])
def test_the_images_of_a_table_come_in_its_order_with_their_bytes(table: Write, groups: int) -> None:
    stored = [bytes([number]) * number for number in range(7)]
    images = list_images(table({"image": hugging(*stored)}, "photos.parquet", row_group_size=groups))
    assert names(images) == [f"photos.parquet/{row}" for row in range(7)]
    assert [images.read(row) for row in range(7)] == stored
    parts = [pickle.loads(pickle.dumps(images.shard(index, 3))) for index in range(3)]
    assert [part.read(row) for part in parts for row in range(len(part))] == stored
    again = parts[2].shard(1, 2)
    assert again.read(len(again) - 1) == stored[-1]


STRUCT = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"png", None], pa.binary()),
        pa.array([b"png", None], pa.large_binary()),
        pa.array([b"png", None], pa.binary_view()),
        pa.array([b"png", None], pa.binary(3)),
        pa.array([b"png", None]).dictionary_encode(),
        pa.array([list(b"png"), None], pa.list_(pa.uint8())),
        pa.array([list(b"png"), None], pa.large_list(pa.uint8())),
        pa.array([{"bytes": b"png", "path": ""}, {"bytes": None, "path": "a"}], STRUCT),
        pa.array([[{"bytes": b"png", "path": ""}], None], pa.list_(STRUCT)),
        pa.array([[{"bytes": b"png", "path": ""}], []], pa.list_(STRUCT)),
    ],
    ids=lambda column: str(column.type)[:30],
)
def test_images_may_be_in_any_type_of_bytes(table: Write, column: Any) -> None:
    try:
        path = table({"id": [1, 2], "content": column})
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"this pyarrow does not write this type: {error}")
    images = list_images(path)
    assert images.read(0) == b"png"
    with pytest.raises(FileNotFoundError, match="no bytes in this row"):
        images.read(1)


def test_several_images_in_one_row_fail_alone(table: Write) -> None:
    images = list_images(table({"image": pa.array([[{"bytes": b"1"}], [{"bytes": b"2"}, {"bytes": b"3"}]])}))
    assert images.read(0) == b"1"
    with pytest.raises(OSError, match="2 images in this row, of which one cannot be chosen"):
        images.read(1)


def test_stat_tells_of_the_file_that_holds_the_image(table: Write) -> None:
    path = table({"image": hugging(b"x")})
    assert list_images(path).stat(0) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_rows_are_the_same_for_several_threads(table: Write) -> None:
    stored = [bytes([row % 256]) * (row % 50) for row in range(500)]
    images = list_images(table({"image": hugging(*stored)}, row_group_size=7))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(images.read, range(500))) == stored
        assert list(pool.map(images.read, reversed(range(500)))) == stored[::-1]


def test_an_image_that_is_null_fails_alone_as_missing(table: Write) -> None:
    column = pa.array([{"bytes": b"1"}, None, {"bytes": None}])
    images = list_images(table({"image": column}))
    assert images.read(0) == b"1"
    for row in (1, 2):
        with pytest.raises(FileNotFoundError, match="no bytes in this row"):
            images.read(row)


def test_numbers_of_classes_become_their_names(table: Write) -> None:
    meta = features(label={"_type": "ClassLabel", "names": ["zebra", "ant", "owl"]}, image={"_type": "Image"})
    images = list_images(table({"image": hugging(b"1", b"2", b"3", b"4"), "label": [0, 1, -1, None]}, meta=meta))
    assert named(images) == ["zebra", "ant", "", ""]


@pytest.mark.parametrize("meta", [None, {}, features(label={"_type": "Value"}), features(), [], {"info": None}])
def test_without_names_labels_are_their_numbers(table: Write, meta: Any) -> None:
    images = list_images(table({"image": hugging(b"1", b"2"), "label": [10, 9]}, meta=meta))
    assert (images.classes, labels(images)) == (("9", "10"), [1, 0])


@pytest.mark.parametrize("column", ["label", "labels", "class"])
def test_a_column_of_texts_may_hold_the_labels(table: Write, column: str) -> None:
    assert named(list_images(table({"image": hugging(b"1"), column: ["cat"]}))) == ["cat"]


def test_a_label_that_is_no_class_is_refused(table: Write) -> None:
    meta = features(label={"_type": "ClassLabel", "names": ["a", "b"]})
    for label in (2, -2):
        with pytest.raises(ImageSetError, match=f"label '{label}' is not a number of one of its 2 classes"):
            list_images(table({"image": hugging(b"1"), "label": [label]}, meta=meta))


BREEDS = {"_type": "ClassLabel", "names": ["beagle", "pug", "husky"]}
SIZES = {"_type": "ClassLabel", "names": ["small", "large"]}


def test_a_column_of_class_labels_has_the_labels_whatever_its_name(
    table: Write, caplog: pytest.LogCaptureFixture
) -> None:
    meta = features(breed=BREEDS, id={"_type": "Value"})
    assert named(list_images(table({"image": hugging(b"1", b"2"), "id": [7, 8], "breed": [2, 0]}, meta=meta))) == [
        "husky",
        "beagle",
    ]
    assert "the labels are those of column 'breed' (3 classes)" in caplog.text


def test_of_several_columns_of_class_labels_the_finest_is_chosen_and_the_others_are_named(
    table: Write, caplog: pytest.LogCaptureFixture
) -> None:
    meta = features(coarse_label=SIZES, fine_label=BREEDS)
    path = table({"img": hugging(b"1"), "coarse_label": [1], "fine_label": [2]}, meta=meta)
    assert named(list_images(path)) == ["husky"]
    told = "the labels are those of column 'fine_label' (3 classes); --label-column chooses another: coarse_label"
    assert told in caplog.text
    assert named(list_images(path, label_column="coarse_label")) == ["large"]


def test_columns_that_may_have_labels_are_named(table: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = table({"image": hugging(b"1"), "mask": [b"2"], "species": ["cat"]})
    assert list_images(path).labels is None
    assert "images have no labels; --label-column names one of ['species']" in caplog.text
    assert list_images(path, label_column="species").classes == ("cat",)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("specie", r"no column 'specie' of labels \(did you mean species\?\); choose from"),
        ("boxes", "column 'boxes' has values of type list<.*>, not one text or number per image"),
    ],
)
def test_a_column_that_cannot_have_the_labels_is_refused(table: Write, column: str, message: str) -> None:
    path = table({"image": hugging(b"1"), "species": ["cat"], "boxes": [[1, 2]]})
    with pytest.raises(ImageSetError, match=message):
        list_images(path, label_column=column)


def test_labels_of_several_values_an_image_are_told_and_not_used(
    table: Write, caplog: pytest.LogCaptureFixture
) -> None:
    images = list_images(table({"image": hugging(b"1"), "labels": [[1, 2]], "class": [3]}))
    assert images.classes == ("3",)
    assert "column 'labels' is not used, as it has more than one label per image" in caplog.text


def test_split_group_domain_and_weight_are_read_beside_images(table: Write) -> None:
    beside = {"split": ["test"], "group": ["g"], "domain": ["lab"], "weight": [2]}
    images = list_images(table({"image": hugging(b"1"), **beside}))
    assert (texts(images.splits), texts(images.groups), texts(images.domains)) == (["test"], ["g"], ["lab"])
    assert images.weights is not None
    assert images.weights.tolist() == [2]


def test_a_folder_as_hugging_face_has_it_is_one_image_set_with_splits(table: Write, tmp_path: Path) -> None:
    table({"image": hugging(b"2")}, "set/data/train-00001-of-00002.parquet")
    table({"image": hugging(b"1")}, "set/data/train-00000-of-00002.parquet")
    table({"image": hugging(b"3")}, "set/data/test-00000-of-00001.parquet")
    (tmp_path / "set" / "README.md").touch()
    images = list_images(tmp_path / "set")
    assert names(images)[0] == "data/test-00000-of-00001.parquet/0"
    assert [images.read(row) for row in range(3)] == [b"3", b"1", b"2"]
    assert texts(images.splits) == ["test", "train", "train"]
    assert texts(images.ignored) == ["README.md"]


def test_a_column_of_splits_goes_before_the_names_of_files(table: Write, tmp_path: Path) -> None:
    for name in ("train-0.parquet", "test-0.parquet"):
        table({"image": hugging(b"1"), "split": ["train"]}, f"set/{name}")
    assert texts(list_images(f"{tmp_path}/set/*.parquet").splits) == ["train", "train"]


def test_several_columns_of_bytes_are_told_unless_one_is_called_image(table: Write) -> None:
    with pytest.raises(ImageSetError, match=r"may be in any of the columns \['left', 'right'\]; rename one"):
        list_images(table({"left": [b"1"], "right": [b"2"]}))
    assert list_images(table({"left": [b"1"], "image": [b"2"]})).read(0) == b"2"


def test_tables_of_other_columns_are_refused_together(table: Write, tmp_path: Path) -> None:
    table({"image": hugging(b"1"), "label": [1]}, "a.parquet")
    table({"image": hugging(b"1")}, "b.parquet")
    with pytest.raises(ImageSetError, match=r"b\.parquet: has the columns \['image'\], but .*a\.parquet has"):
        list_images(f"{tmp_path}/*.parquet")


@pytest.mark.parametrize("order", [range(40), reversed(range(40)), [0, 39, 0, 20]])
def test_of_a_large_row_group_only_some_rows_are_in_memory_and_every_row_is_found(
    table: Write, monkeypatch: pytest.MonkeyPatch, order: Iterable[int]
) -> None:
    monkeypatch.setattr(parquet_window, "WINDOW_BYTES", 5000)
    monkeypatch.setattr(parquet_window, "BATCH_BYTES", 100_000)
    images = list_images(table({"image": hugging(*(bytes([number]) * 1000 for number in range(40)))}))
    for row in order:
        assert images.read(row) == bytes([row]) * 1000
    (window,) = images.source._groups._values.values()  # type: ignore[attr-defined]
    assert len(window.result()._kept) < 10


def test_a_large_value_that_is_stored_once_and_occurs_often_is_not_in_memory_often(
    table: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_window, "WINDOW_BYTES", 1 << 20)
    monkeypatch.setattr(parquet_window, "BATCH_BYTES", 1 << 20)
    images = list_images(table({"image": hugging(*[bytes(1 << 18)] * 60)}, dictionary_pagesize_limit=1 << 26))
    assert images.stat(0)[0] < 1 << 17
    assert len(images.read(59)) == 1 << 18
    (window,) = images.source._groups._values.values()  # type: ignore[attr-defined]
    assert sum(values.nbytes for _, values in window.result()._kept) <= 3 << 20


@pytest.mark.parametrize(("size", "rows"), [(0, 1024), (1 << 20, 256), (1 << 28, 1), (1 << 40, 1), (-1, 1024)])
def test_fewer_rows_are_read_at_once_the_more_bytes_each_may_have(size: int, rows: int) -> None:
    assert rows_at_once(size) == rows


def test_a_table_without_rows_is_refused(table: Write) -> None:
    with pytest.raises(ImageSetError, match="no images in it, as it has no rows"):
        list_images(table({"image": pa.array([], pa.binary())}))


def test_a_table_that_changed_since_it_was_listed_gives_no_bytes_of_another_image(table: Write) -> None:
    images = list_images(table({"image": hugging(b"1", b"2")}))
    table({"image": hugging(b"2", b"1", b"3")})
    with pytest.raises(OSError, match="changed since its images were listed"):
        images.read(0)


def test_a_root_with_images_in_a_table_is_refused(table: Write, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=r"--root .* is only for manifests, but .*list\.parquet is not a manifest"):
        list_images(table({"image": hugging(b"1")}), root=tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text" * 100, b"PAR1" + b"x" * 100 + b"\xff\xff\xff\x7fPAR1"])
def test_what_is_called_parquet_and_is_none_is_told_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.parquet").write_bytes(content)
    with pytest.raises(ImageSetError, match=r"list\.parquet: not a readable Parquet file"):
        list_images(tmp_path / "list.parquet")


def test_a_table_that_may_not_be_read_is_not_called_damaged() -> None:
    told = r"list\.parquet: cannot be read .*Permission denied.*; check it"
    with pytest.raises(ImageSetError, match=told), readable("list.parquet"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_without_pyarrow_parquet_says_what_to_install(table: Write) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from featx.inputs import list_images\n"
        "try: list_images(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, table({"path": ["a"]})], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("ImageSetError ")
    assert "list.parquet: reading Parquet needs pyarrow; pip install 'featx[parquet]'" in ran.stdout
