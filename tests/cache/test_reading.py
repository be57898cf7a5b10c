"""Reading a cache: mapped, chosen, and as float32 for whoever computes."""

import gc
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import (
    DONE,
    CacheWriter,
    FailedImage,
    KeptRows,
    create_partial,
    describe_cache,
    open_cache,
    read_features,
    seal,
    storable,
    verify_cache,
)
from featx.columns import ImageColumns
from featx.errors import (
    CacheError,
    CacheMismatchError,
    Failure,
)
from featx.heads import train_head
from featx.tables import fuse_tables, read_tables
from tests.conftest import Ran
from tests.support.caches import DIM, features, image_set, provenance, rows_of, write_cache


def is_mapped(values: NDArray[np.generic]) -> bool:
    """Whether these numbers lie in the file and not in a copy of it."""
    return isinstance(values, np.memmap) and not values.flags.owndata


def test_a_whole_table_is_the_map_itself_and_so_are_its_columns(tmp_path: Path) -> None:
    table = read_features(write_cache(tmp_path / "c.h5"))
    assert table.splits is not None
    assert table.weights is not None
    assert all(map(is_mapped, (table.features, table.names, table.labels, table.splits, table.weights)))


def test_rows_that_follow_one_another_are_a_slice_of_the_map(tmp_path: Path) -> None:
    table = read_features(write_cache(tmp_path / "c.h5", failed=[0, 9]))
    assert is_mapped(table.features)
    assert np.array_equal(table.features, features(np.arange(1, 9)))


def test_a_failed_image_copies_no_feature_before_one_is_asked_for(tmp_path: Path) -> None:
    table = read_features(write_cache(tmp_path / "c.h5", failed=[3]))
    assert all(is_mapped(part.values) and len(part.values) == 10 for part in table.parts)
    assert "features" not in vars(table)
    assert np.array_equal(table.take(np.array([8, 2, 3])), features(np.array([9, 2, 4])))
    assert "features" not in vars(table)
    assert np.array_equal(table.features, features(np.array([0, 1, 2, 4, 5, 6, 7, 8, 9])))
    assert table.features is table.features


def test_several_outputs_are_copied_side_by_side_only_when_asked_for(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", made=provenance(outputs=("stage/4",)))
    table = read_features(path, outputs=["stage/4", "pooled"])
    assert [part.values.shape for part in table.parts] == [(10, DIM // 2), (10, DIM)]
    whole = features(np.arange(10), DIM + DIM // 2)
    assert np.array_equal(table.features, np.hstack([whole[:, DIM:], whole[:, :DIM]]))


def test_a_table_outlives_its_file(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5")
    table = read_features(path)
    path.unlink()
    write_cache(path, start=10)
    gc.collect()
    assert np.array_equal(table.features, features(np.arange(10)))
    assert table.name(0) == "class0/000.png"


def test_a_cache_that_is_replaced_while_it_is_read_stays_what_was_opened(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5")
    cache = open_cache(path)
    write_cache(tmp_path / "other.h5", start=10).rename(path)
    assert np.array_equal(cache.read("features/pooled"), features(np.arange(10)))
    assert np.array_equal(cache["features/pooled"], features(np.arange(10)))


def test_rows_are_read_in_any_order_and_as_often_as_named(tmp_path: Path) -> None:
    cache = open_cache(write_cache(tmp_path / "c.h5"))
    rows = np.array([7, 8, 9, 0, 0, 3, 2])
    assert np.array_equal(cache.read("features/pooled", rows), features(rows))
    assert cache.read("features/pooled", np.empty(0, np.int64)).shape == (0, DIM)
    assert cache.read("features/pooled", slice(8, 20)).tolist() == features(np.array([8, 9])).tolist()


def test_a_file_cut_short_after_it_was_opened_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5")
    cache = open_cache(path)
    with path.open("r+b") as file:
        file.truncate(cache.fields["status"].offset)
    with pytest.raises(CacheError, match=rf"{path}: was truncated while it was read"):
        cache.intact()


# ---- chosen rows


def with_groups(path: Path) -> Path:
    """Twelve images of three classes: b stands in train only, one image has no label, rows 1 and 6 failed."""
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, -1], np.int32)
    splits = np.array([b"train", b"train", b"test", b"validation"] * 3)
    names = np.array([f"{row:02}.png".encode() for row in range(12)])
    return write_cache(
        path, ImageColumns(names=names, classes=("a", "b", "c"), labels=labels, splits=splits), failed=[1, 6]
    )


def test_a_split_keeps_its_rows_and_its_failures(tmp_path: Path) -> None:
    table = read_features(with_groups(tmp_path / "c.h5"), split="train")
    assert table.positions.tolist() == [0, 4, 5, 8, 9]
    assert np.array_equal(table.features, features(table.positions))
    assert table.splits is not None
    assert set(table.splits.tolist()) == {b"train"}
    assert table.failed == {1: FailedImage("01.png", Failure.EMPTY.text)}
    assert table.classes == ("a", "b", "c")


def test_labels_keep_their_classes_renumbered_and_drop_what_has_none(tmp_path: Path) -> None:
    table = read_features(with_groups(tmp_path / "c.h5"), labels=["c", "a"])
    assert table.classes == ("a", "c")
    assert table.positions.tolist() == [0, 2, 3, 5, 8, 9]
    assert [table.classes[label] for label in table.labels] == ["a", "c", "a", "c", "c", "a"]
    assert list(table.failed) == [6]


def test_split_and_labels_together_keep_what_is_in_both(tmp_path: Path) -> None:
    table = read_features(with_groups(tmp_path / "c.h5"), split="test", labels=["a", "b"])
    assert table.positions.tolist() == [10]
    assert table.labels.tolist() == [1]
    assert list(table.failed) == [6]


def test_the_digest_tells_what_was_chosen(tmp_path: Path) -> None:
    path = with_groups(tmp_path / "c.h5")
    chosen = [
        read_features(path),
        read_features(path, split="train"),
        read_features(path, split="test"),
        read_features(path, labels=["a"]),
        read_features(path, labels=["a", "b"]),
        read_features(path, split="test", labels=["a"]),
    ]
    assert len({table.digest for table in chosen}) == len(chosen)
    assert read_features(path, labels=["b", "a"]).digest == chosen[4].digest


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "tset"}, r"no split 'tset' \(did you mean test\?\); choose from test, train, validation"),
        ({"labels": ["a", "zzz"]}, r"no class 'zzz'; choose from a, b, c"),
        ({"outputs": ["poled"]}, r"no output 'poled' \(did you mean pooled\?\); choose from pooled"),
    ],
)
def test_an_unknown_split_class_or_output_is_an_error_that_lists_the_known(
    tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    path = with_groups(tmp_path / "c.h5")
    with pytest.raises(CacheError, match=re.escape(str(path)) + ": " + message):
        read_features(path, **asked)


def test_a_cache_without_splits_or_classes_says_so(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", ImageColumns(names=np.array([b"a", b"b"])))
    with pytest.raises(CacheError, match="no split 'train', as there are no splits; leave it out"):
        read_features(path, split="train")
    with pytest.raises(CacheError, match="no class 'dog', as there are no classes; leave it out"):
        read_features(path, labels=["dog"])


def test_a_thousand_classes_are_not_all_listed(tmp_path: Path) -> None:
    classes = tuple(f"class{index:04}" for index in range(1000))
    images = ImageColumns(names=np.array([b"a"]), classes=classes, labels=np.zeros(1, np.int32))
    with pytest.raises(CacheError, match=r"class0009 and 990 more$"):
        read_features(write_cache(tmp_path / "c.h5", images), labels=["dog"])


def test_fused_caches_choose_the_same_images(tmp_path: Path) -> None:
    caches = [with_groups(tmp_path / "a.h5"), with_groups(tmp_path / "b.h5")]
    fused = fuse_tables(read_tables(caches, split="train", labels=["a"]))
    assert fused.positions.tolist() == [0, 9]
    assert fused.features.shape == (2, 2 * DIM)


@pytest.fixture
def learnable(tmp_path: Path) -> Path:
    """A cache of 120 images in two classes and a third of another split, which a head can learn."""
    count = 120
    labels = (np.arange(count) % 3).astype(np.int32)
    images = ImageColumns(
        names=np.array([f"{row:03}.png".encode() for row in range(count)]),
        classes=("a", "b", "c"),
        labels=labels,
        splits=np.array([b"train", b"train", b"train", b"test"] * 30),
    )
    rng = np.random.default_rng(0)
    path = tmp_path / "learnable.h5"
    numbers = (rng.normal(size=(count, DIM)) + 3 * labels[:, None]).astype(np.float32)
    rows = np.arange(count)
    with CacheWriter(create_partial(path, images, provenance())) as writer:
        writer.append(replace(rows_of(rows), features=numbers[:, None]))
    seal(path)
    return path


def test_the_commands_choose_rows(tmp_path: Path, learnable: Path, featx: Callable[..., Ran]) -> None:
    head = tmp_path / "h.featx"
    chosen = ("--split", "train", "--label", "a", "--label", "c")
    quickly = ("--tuning", "validation")
    ran = featx("train", learnable, "--head", "logreg", "--into", head, "--jobs", 1, *quickly, *chosen, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["classes"] == ["a", "c"]
    assert sum(ran.json["rows"][part] for part in ("train", "validation", "test")) == 60
    assert ran.json["split"] == "stratified quarter held out, seed 0"
    unseen = featx("evaluate", head, learnable, "--split", "test", "--label", "a", "--label", "c", "--json")
    assert unseen.json["n"] == 20
    assert "too high" not in unseen.err
    assert "too high" in featx("evaluate", head, learnable, *chosen, "--json").err
    wrong = featx("evaluate", head, learnable, "--split", "tets")
    assert wrong.code == 1
    assert "did you mean test?" in wrong.err


# ---- float16


def half(path: Path) -> Path:
    """A cache of ten images stored as float16."""
    return write_cache(path, made=provenance(storage="float16"))


def test_float16_is_stored_rounded_and_checked_as_stored(tmp_path: Path) -> None:
    path = half(tmp_path / "c.h5")
    cache = open_cache(path)
    assert cache.storage == "float16"
    assert cache.fields["features/pooled"].dtype == np.float16
    assert np.array_equal(cache["features/pooled"], features(np.arange(10)).astype(np.float16))
    assert verify_cache(path) == []
    whole = open_cache(write_cache(tmp_path / "whole.h5"))
    assert whole.storage == "float32"
    assert cache.fields["features/pooled"].size * 2 == whole.fields["features/pooled"].size


def test_another_program_reads_float16_with_h5py_alone(tmp_path: Path) -> None:
    with h5py.File(half(tmp_path / "c.h5")) as file:
        assert file["features/pooled"].dtype == np.float16
        assert file["features/pooled"][4, 1] == 401


def test_whoever_computes_gets_float32(tmp_path: Path) -> None:
    table = read_features(half(tmp_path / "c.h5"))
    assert table.parts[0].values.dtype == np.float16
    assert table.features.dtype == np.float32
    assert table.take(np.array([3])).dtype == np.float32
    assert np.array_equal(table.features, features(np.arange(10)))
    fused = fuse_tables([table, read_features(write_cache(tmp_path / "whole.h5"))])
    assert fused.features.dtype == np.float32


def test_a_head_is_trained_and_measured_on_float16(learnable: Path, tmp_path: Path) -> None:
    whole = read_features(learnable)
    halved = replace(whole, parts=(replace(whole.parts[0], values=whole.features.astype(np.float16)),))
    _, expected = train_head(whole, "logreg", jobs=1, tuning="validation")
    _, found = train_head(halved, "logreg", jobs=1, tuning="validation")
    assert found.metrics.accuracy == pytest.approx(expected.metrics.accuracy, abs=0.05)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (65504, True),
        (65519, True),
        (65520, False),
        (-65520, False),
        (1e30, False),
        (np.nan, False),
        (np.inf, False),
        (1e-30, True),
    ],
)
def test_the_range_of_float16_ends_where_rounding_gives_infinity(value: float, fits: bool) -> None:
    rows = np.array([[0, 1], [value, 2]], np.float32)
    assert storable(rows, "float16").tolist() == [True, fits]
    assert storable(rows, "float32").tolist() == [True, bool(np.isfinite(value))]


def test_a_feature_beyond_the_range_is_never_stored_as_if_it_were_there(tmp_path: Path) -> None:
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance(storage="float16"))
    rows = rows_of(np.arange(3))
    rows.features[2, 0, 1] = 70_000
    message = r"row 2: a feature is beyond the range of float16; store float32"
    with pytest.raises(CacheError, match=message), CacheWriter(cache) as writer:
        writer.append(rows)
    assert not cache.status.any()


def test_a_row_that_failed_for_its_range_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with CacheWriter(create_partial(path, image_set(), provenance(storage="float16"))) as writer:
        writer.append(rows_of(np.arange(1, 10)))
        writer.append(rows_of(np.array([0]), Failure.OUT_OF_RANGE))
    seal(path)
    assert read_features(path).failed[0].reason == "a feature is beyond the range of float16; store float32"
    assert describe_cache(path).failures == {Failure.OUT_OF_RANGE.text: 1}


def test_rows_stored_in_another_type_are_not_taken_over(tmp_path: Path) -> None:
    earlier = open_cache(write_cache(tmp_path / "a.h5"))
    rows = np.arange(10)
    kept = KeptRows(earlier, rows, rows, np.asarray(earlier.read("images/stat")))
    with pytest.raises(CacheMismatchError, match="storage is float32 in the cache but float16 was asked for"):
        create_partial(tmp_path / "c.h5", image_set(), provenance(storage="float16"), kept=[kept])
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_kept_rows_are_copied_as_they_are_stored(tmp_path: Path) -> None:
    earlier = open_cache(half(tmp_path / "a.h5"))
    old, new = np.array([9, 0, 4]), np.array([1, 5, 6])
    kept = KeptRows(earlier, old, new, np.full((3, 2), 7))
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance(storage="float16"), kept=[kept])
    assert np.flatnonzero(cache.status == DONE).tolist() == new.tolist()
    assert np.array_equal(cache.read("features/pooled", new), earlier.read("features/pooled", old))
    assert cache.intact()[new].all()
    assert cache.read("images/stat", new).tolist() == [[7, 7]] * 3
