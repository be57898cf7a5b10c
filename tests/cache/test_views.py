"""Caches with several views of each image: whole, checked to the last view, and read at view 0, as means or as rows."""

import hashlib
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from featx.cache import (
    DONE,
    CacheWriter,
    Cost,
    KeptRows,
    Part,
    Provenance,
    create_partial,
    describe_cache,
    export_cache,
    label_sources,
    merge_caches,
    open_cache,
    read_features,
    seal,
    table as tables_module,
    use_views,
    verify_cache,
)
from featx.cache.reading import read_rows
from featx.errors import CacheError, CacheMismatchError, TableError
from featx.settings import ViewRule
from featx.tables import fuse_tables, read_tables, select_rows
from tests.cache.test_checking import rewrite
from tests.conftest import Ran
from tests.support.caches import DIM, features, flip, image_set, part, provenance, rows_of, views_of, write_cache

VIEWS = ("center", "hflip", "vflip", "rot90", "rot180", "rot270")
ROWS = np.arange(10)


def with_views(views: tuple[str, ...] = VIEWS, **changes: Any) -> Provenance:
    """How features of these views are computed and stored."""
    return provenance(views=views, **changes)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Ten images in six views each; row 3 failed."""
    return write_cache(tmp_path / "views.h5", made=with_views(), failed=[3])


KEPT = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9])
OF_OLD = "b71e440df2cbea9dd68c70b18880ec04d1012f83eb02ecc6b344964c43400a9b"
"""sha256 of the rows that a featx wrote which knew no views, of the same images and numbers."""


def test_every_view_is_given_back_as_it_was_written(cache: Path) -> None:
    opened = open_cache(cache)
    assert opened.views == VIEWS
    assert opened.fields["features/pooled"].shape == (10, len(VIEWS), DIM)
    assert np.array_equal(opened["features/pooled"][KEPT], views_of(KEPT, len(VIEWS)))
    assert np.isnan(opened["features/pooled"][3]).all()
    assert verify_cache(cache) == []


def test_another_program_reads_the_views_with_h5py_alone(cache: Path) -> None:
    with h5py.File(cache) as file:
        assert json.loads(file.attrs["views"]) == [*VIEWS]
        assert file["features/pooled"][4, 5, 1] == 4 * 100 + 5 * 10 + 1


def test_a_cache_of_one_view_says_nothing_of_views_and_has_the_bytes_of_old(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", failed=[3])
    opened = open_cache(path)
    assert "views" not in opened.attributes
    assert opened.views == ("center",)
    rows = hashlib.sha256()
    for name in opened.row_datasets:
        rows.update(opened.read(name).tobytes())
    assert rows.hexdigest() == OF_OLD


def given(text: Any) -> Callable[[Any], None]:
    """Replace the attribute that names the views by this one; None removes it."""

    def change(file: Any) -> None:
        del file.attrs["views"]
        if text is not None:
            file.attrs["views"] = text

    return change


HOSTILE = {
    "missing, as to a reader that knows no views": None,
    "no JSON": "center,hflip",
    "text": '"center"',
    "an object": '{"center": 0}',
    "numbers": "[0, 1, 2, 3, 4, 5]",
    "nested": json.dumps([["center"], *VIEWS[1:]]),
    "a single one": '["center"]',
    "none": "[]",
    "fewer than stored": json.dumps(VIEWS[:5]),
    "more than stored": json.dumps([*VIEWS, "transpose"]),
    "one of them twice": json.dumps([*VIEWS[:5], "hflip"]),
    "without center": json.dumps(["other", *VIEWS[1:]]),
    "center at the end": json.dumps([*VIEWS[1:], "center"]),
    "an empty name": json.dumps([*VIEWS[:5], ""]),
    "a number": 6,
    "an array": [1, 2, 3],
    "not UTF-8": np.void(b"\xff\xfe"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_views_that_do_not_fit_the_features_are_refused_when_the_file_is_opened(cache: Path, text: Any) -> None:
    rewrite(cache, given(text))
    with pytest.raises(CacheError, match=re.escape(str(cache))) as raised:
        open_cache(cache)
    assert "\n" not in str(raised.value)


def test_names_of_views_that_this_featx_does_not_know_are_text(cache: Path) -> None:
    names = ["center", *"abcd", "crop of tomorrow\x1b[31m"]
    rewrite(cache, given(json.dumps(names)))
    assert open_cache(cache).views == tuple(names)
    assert verify_cache(cache) == []


@pytest.mark.parametrize("view", [0, 5])
def test_rot_in_a_single_view_is_found_and_its_row_named(cache: Path, view: int) -> None:
    field = open_cache(cache).fields["features/pooled"]
    flip(cache, field.offset + 6 * field.stride + (view * DIM + 2) * field.dtype.itemsize)
    assert verify_cache(cache) == ["row 6 (class0/006.png): its bytes do not match their checksum"]
    with pytest.raises(CacheError, match=r"row 6 \(class0/006.png\): its bytes do not match"):
        merge_caches([cache], into=cache.with_name("merged.h5"))
    for rule in ("first", "all"):
        with pytest.raises(CacheError, match=r"row 6 \(class0/006.png\): its bytes do not match"):
            export_cache(cache, into=cache.with_name("x.npy"), views=rule)
    assert [path.name for path in cache.parent.iterdir() if path.suffix != ".lock"] == ["views.h5"]


def test_a_feature_that_is_not_finite_in_a_single_view_is_not_intact(tmp_path: Path) -> None:
    unfinished = create_partial(tmp_path / "c.h5", image_set(), with_views())
    rows = rows_of(ROWS, views=len(VIEWS))
    rows.features[7, 5, 1] = np.inf
    with CacheWriter(unfinished) as writer:
        writer.append(rows)
    assert np.flatnonzero(~open_cache(unfinished.path).intact()).tolist() == [7]


def test_a_feature_of_any_view_beyond_float16_is_never_stored(tmp_path: Path) -> None:
    unfinished = create_partial(tmp_path / "c.h5", image_set(), with_views(storage="float16"))
    rows = rows_of(np.arange(3), views=len(VIEWS))
    rows.features[2, 4, 0] = 70_000
    message = "row 2: a feature is beyond the range of float16"
    with pytest.raises(CacheError, match=message), CacheWriter(unfinished) as writer:
        writer.append(rows)
    assert not unfinished.status.any()


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(cache: Path, share: float) -> None:
    with cache.open("r+b") as file:
        file.truncate(int(cache.stat().st_size * share))
    with pytest.raises(CacheError, match=str(cache)):
        open_cache(cache)


# ---- tables


def test_without_a_word_view_0_is_read_and_nothing_is_copied(cache: Path, tmp_path: Path) -> None:
    table = read_features(cache)
    plain = read_features(write_cache(tmp_path / "plain.h5", failed=[3]))
    assert np.array_equal(table.features, plain.features)
    assert table.dim == DIM
    assert isinstance(table.parts[0].plain, np.memmap)
    assert (table.sources[0].views, table.sources[0].view_rule) == (("center",), "first")
    assert label_sources(table.sources) == ("made-up",)
    assert "view 0 of 6 views; featx.use_views takes the others too" in repr(table)
    assert "views" not in repr(plain)


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_the_mean_is_that_of_numpy_over_all_views_in_float32(tmp_path: Path, storage: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(10, len(VIEWS), DIM)).astype(np.float32)
    path = written(tmp_path / "c.h5", values, storage=storage)
    table = read_features(path, views="mean")
    stored = values.astype(storage).astype(np.float32)
    assert table.features.dtype == np.float32
    assert np.allclose(table.features, stored.astype(np.float64).mean(axis=1), rtol=0, atol=1e-6)
    assert np.array_equal(table.take(np.array([7, 2])), table.features[[7, 2]])
    assert label_sources(table.sources) == ("made-up (mean of 6 views)",)
    assert "view 0" not in repr(table)


def written(path: Path, values: NDArray[np.float32], **changes: Any) -> Path:
    """A sealed cache of ten images with these features (10, views, d)."""
    with CacheWriter(create_partial(path, image_set(), with_views(**changes))) as writer:
        writer.append(replace(rows_of(ROWS, views=values.shape[1]), features=values))
    seal(path)
    return path


def test_rows_are_all_views_side_by_side(cache: Path) -> None:
    table = read_features(cache, views="rows")
    assert (table.dim, table.sources[0].stop, table.sources[0].view_rule) == (
        len(VIEWS) * DIM,
        len(VIEWS) * DIM,
        "rows",
    )
    assert np.array_equal(table.features, views_of(KEPT, len(VIEWS)).reshape(len(KEPT), -1))
    assert np.array_equal(table.take(np.array([8, 3])), table.features[[8, 3]])


@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_views_are_chosen_by_their_names_in_the_order_of_the_names(cache: Path, rule: ViewRule) -> None:
    names = ("rot180", "center", "hflip")
    table = use_views(read_features(cache), rule, names=names)
    chosen = views_of(KEPT, len(VIEWS))[:, [4, 0, 1]]
    assert table.sources[0].views == names
    assert np.array_equal(table.features, chosen.mean(axis=1) if rule == "mean" else chosen.reshape(len(KEPT), -1))


def test_means_do_not_depend_on_how_many_rows_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(10, len(VIEWS), DIM)).astype(np.float32)
    table = read_features(written(tmp_path / "c.h5", values), views="mean")
    order = np.array([9, 9, 0, 4, 5, 6, 1])
    whole = table.take(order)
    monkeypatch.setattr(tables_module, "VIEWS_BYTES", 3 * values[0].nbytes)
    assert np.array_equal(table.take(order), whole)
    assert np.array_equal(np.concatenate([table.take(order[[row]]) for row in range(len(order))]), whole)


def test_the_digest_tells_the_rule_and_the_views(cache: Path) -> None:
    table = read_features(cache)
    digests = [
        table.digest,
        use_views(table, "mean").digest,
        use_views(table, "rows").digest,
        use_views(table, "mean", names=("center", "hflip")).digest,
        use_views(table, "mean", names=("hflip", "center")).digest,
    ]
    assert len({*digests}) == len(digests)
    assert use_views(table, "first") is table
    assert read_features(cache, views="mean").digest == digests[1]


def test_an_image_costs_what_its_views_cost_that_are_used(tmp_path: Path) -> None:
    with CacheWriter(create_partial(tmp_path / "c.h5", image_set(), with_views())) as writer:
        writer.append(rows_of(ROWS, views=len(VIEWS)))
        writer.add_cost(Cost(0.06, 10, 2, "CPUExecutionProvider", "a processor"))
    seal(tmp_path / "c.h5")
    table = read_features(tmp_path / "c.h5")
    tables = [table, use_views(table, "mean", names=("center", "vflip")), use_views(table, "rows")]
    costs = [source.cost for one in tables for source in one.sources]
    assert [cost and round(cost.seconds_per_image, 9) for cost in costs] == [0.01, 0.02, 0.06]


def test_selected_rows_keep_their_rule_and_fused_tables_remember_each_their_own(cache: Path, tmp_path: Path) -> None:
    plain = read_features(write_cache(tmp_path / "plain.h5", failed=[3]))
    table = select_rows(read_features(cache, views="mean"), np.array([5, 1]))
    assert np.array_equal(table.features, views_of(KEPT[[5, 1]], len(VIEWS)).mean(axis=1))
    fused = fuse_tables([plain, read_features(cache, views="rows"), read_features(cache, views="mean")])
    assert [source.view_rule for source in fused.sources] == ["first", "rows", "mean"]
    assert [(source.start, source.stop) for source in fused.sources] == [(0, 6), (6, 42), (42, 48)]
    assert np.array_equal(fused.features[:, 6:42], views_of(KEPT, len(VIEWS)).reshape(len(KEPT), -1))
    assert label_sources(fused.sources)[1].endswith("(rows of 6 views)")


def test_every_table_that_is_read_has_the_rule(cache: Path) -> None:
    (table,) = read_tables([cache], views="mean", split="train")
    assert table.sources[0].view_rule == "mean"
    assert np.array_equal(table.features, views_of(table.positions, len(VIEWS)).mean(axis=1))


def test_rows_of_an_unfinished_cache_are_read_at_view_0(tmp_path: Path) -> None:
    unfinished = create_partial(tmp_path / "c.h5", image_set(), with_views())
    with CacheWriter(unfinished) as writer:
        writer.append(rows_of(np.arange(4), views=len(VIEWS)))
    table = read_rows(unfinished.path, np.array([1, 3]))
    assert np.array_equal(table.features, features(np.array([1, 3])))
    assert np.array_equal(use_views(table, "mean").features, views_of(np.array([1, 3]), len(VIEWS)).mean(axis=1))


@pytest.mark.parametrize(
    ("rule", "names", "message"),
    [
        ("median", (), "views 'median' is not known; choose from first, mean, rows"),
        ("mean", ("center", "five"), r"has the views center, hflip, .* but not five; extract the images with --views"),
        ("mean", ("hflip",), "give a list of two names or more, each once"),
        ("rows", ("hflip", "hflip"), "give a list of two names or more, each once"),
        ("mean", "hflip", "give a list of two names or more"),
        ("first", ("hflip",), "cannot be used as 'first', which is view 0 alone"),
    ],
)
def test_views_that_cannot_be_used_are_refused(cache: Path, rule: Any, names: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        use_views(read_features(cache), rule, names=names)


def test_a_cache_of_one_view_has_no_mean_and_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5")
    for rule in ("mean", "rows"):
        with pytest.raises(TableError, match=f"{path} has one view of each image.*{rule!r}; extract the images with"):
            read_features(path, views=rule)
    with pytest.raises(TableError, match="has the views center but not hflip"):
        use_views(read_features(path), "mean", names=("center", "hflip"))


def test_the_mean_of_a_table_cannot_become_rows(cache: Path) -> None:
    with pytest.raises(TableError, match="are the mean of 6 views already and cannot become 'rows'"):
        use_views(read_features(cache, views="mean"), "rows")


def test_a_block_of_a_large_cache_is_read_without_reading_all_of_it(tmp_path: Path) -> None:
    """A hundred thousand images in eight views, 4 TB of sparse file: a mean touches the rows that it needs."""
    count, views, dim = 100_000, 8, 1_280
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(count * views * dim * 4)
    values = np.memmap(path, np.float32, "r", shape=(count, views, dim))
    names = tuple(f"view-{view}" for view in range(views))
    block = Part(values, known_views=names, views=names, view_rule="mean")
    out = np.ones((3, dim), np.float32)
    block.read(np.array([0, 50_000, count - 1]), out=out)
    assert not out.any()


def test_a_mean_holds_few_views_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((4_000, 8, 256), np.float16)
    names = tuple("abcdefgh")
    block = Part(values, known_views=names, views=names, view_rule="mean")
    out = np.empty((4_000, 256), np.float32)
    at_once = 2**19
    monkeypatch.setattr(tables_module, "VIEWS_BYTES", at_once)
    tracemalloc.start()
    block.read(np.random.default_rng(0).permutation(4_000), out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * at_once < values.nbytes


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_the_mean_over_a_large_file_does_not_keep_its_pages(tmp_path: Path) -> None:
    """800 MB of views become 100 MB of means."""
    script = (
        "import sys; import numpy as np; from featx.cache import Part\n"
        "values = np.memmap(sys.argv[1], np.float32, 'r', shape=(40_000, 8, 640))\n"
        "block = Part(values, known_views=tuple('abcdefgh'), views=tuple('abcdefgh'), view_rule='mean')\n"
        "out = np.empty((40_000, 640), np.float32)\n"
        "block.read(np.arange(40_000), out=out)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(40_000 * 8 * 640 * 4)
    command = [sys.executable, "-c", script, str(path)]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert peak < 600_000, peak


# ---- copies, merges and exports


def test_kept_rows_are_copied_with_all_their_views(cache: Path, tmp_path: Path) -> None:
    old, new = np.array([9, 0, 4]), np.array([1, 5, 6])
    kept = KeptRows(open_cache(cache), old, new, np.full((3, 2), 7))
    copied = create_partial(tmp_path / "c.h5", image_set(), with_views(), kept=[kept])
    assert np.flatnonzero(copied.status == DONE).tolist() == new.tolist()
    assert np.array_equal(copied.read("features/pooled", new), views_of(old, len(VIEWS)))
    assert copied.intact()[new].all()


def test_rows_of_other_views_are_not_taken_over(cache: Path, tmp_path: Path) -> None:
    kept = KeptRows(open_cache(cache), KEPT, KEPT, np.full((9, 2), 7))
    message = r"views is center,hflip,.* in the cache but center was asked for"
    with pytest.raises(CacheMismatchError, match=message):
        create_partial(tmp_path / "c.h5", image_set(), provenance(), kept=[kept])
    assert not (tmp_path / "c.h5.partial").exists()


def test_shards_with_views_merge_into_the_cache_of_the_whole(tmp_path: Path) -> None:
    whole = write_cache(tmp_path / "whole.h5", made=with_views())
    shards = [
        write_cache(tmp_path / f"{start}.h5", part(image_set(), slice(start, stop)), with_views(), start=start)
        for start, stop in ((0, 4), (4, 10))
    ]
    merged = merge_caches(shards, into=tmp_path / "merged.h5")
    assert merged.views == VIEWS
    assert all(np.array_equal(merged.read(name), open_cache(whole).read(name)) for name in merged.row_datasets)


def test_caches_of_other_views_do_not_merge_and_both_are_named(tmp_path: Path) -> None:
    first = write_cache(tmp_path / "a.h5", made=with_views(("center", "hflip")))
    second = write_cache(tmp_path / "b.h5", image_set(start=10), with_views(("center", "vflip")), start=10)
    with pytest.raises(CacheMismatchError) as raised:
        merge_caches([first, second], into=tmp_path / "c.h5")
    message = str(raised.value)
    assert f"{second}: views is center,vflip" in message
    assert f"center,hflip, as in {first}," in message


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_an_export_is_view_0_or_the_mean_or_each_view(tmp_path: Path, storage: str) -> None:
    path = write_cache(tmp_path / "c.h5", made=with_views(storage=storage, outputs=("stage",)), failed=[3])
    whole = views_of(KEPT, len(VIEWS), DIM + DIM // 2).astype(storage)
    made = {rule: export_cache(path, into=tmp_path / f"{rule}.npy", views=rule) for rule in ("first", "mean", "all")}
    each = np.load(tmp_path / "all.npy", mmap_mode="r")
    assert each.flags.c_contiguous
    assert np.array_equal(each, whole[..., :DIM])
    assert np.array_equal(np.load(tmp_path / "first.npy"), whole[:, 0, :DIM])
    assert np.array_equal(np.load(tmp_path / "mean.npy"), read_features(path, views="mean").features)
    assert (made["first"].views, made["first"].left_out_views, made["mean"].views) == (("center",), 5, VIEWS)
    assert (made["first"].dtype, made["mean"].dtype, made["all"].dtype) == (storage, "float32", storage)
    export_cache(path, into=tmp_path / "both.npy", outputs=["stage", "pooled"], views="all")
    assert np.array_equal(np.load(tmp_path / "both.npy"), np.concatenate([whole[..., DIM:], whole[..., :DIM]], axis=2))


def test_parquet_has_a_list_for_each_view_and_names_them(cache: Path, tmp_path: Path) -> None:
    export_cache(cache, into=tmp_path / "x.parquet", views="all")
    found = parquet.read_table(tmp_path / "x.parquet")
    assert found.schema.field("features").type.list_size == len(VIEWS)
    assert np.array_equal(np.array(found["features"].to_pylist()), views_of(KEPT, len(VIEWS)))
    about = json.loads(found.schema.metadata[b"featx"])
    assert (about["views"], about["view_rule"]) == ([*VIEWS], "all")
    export_cache(cache, into=tmp_path / "x.parquet", views="mean", overwrite=True)
    means = parquet.read_table(tmp_path / "x.parquet")["features"]
    assert pa.types.is_float32(means.type.value_type)
    assert np.array_equal(np.array(means.to_pylist(), np.float32), views_of(KEPT, len(VIEWS)).mean(axis=1))


def test_an_export_of_each_view_is_replaced_but_images_of_that_shape_are_not(cache: Path, tmp_path: Path) -> None:
    export_cache(cache, into=tmp_path / "x.npy", views="all")
    export_cache(cache, into=tmp_path / "x.npy", overwrite=True)
    assert np.load(tmp_path / "x.npy").ndim == 2
    np.save(tmp_path / "grey.npy", np.zeros((4, 8, 8), np.float32))
    with pytest.raises(CacheError, match=r"grey\.npy: already exists and is not an export of a cache"):
        export_cache(cache, into=tmp_path / "grey.npy", views="all", overwrite=True)


@pytest.mark.parametrize("rule", ["mean", "all", "median"])
def test_views_that_a_cache_lacks_are_not_exported(tmp_path: Path, rule: Any) -> None:
    path = write_cache(tmp_path / "c.h5")
    with pytest.raises(CacheError, match="median' is not known" if rule == "median" else "has one view of each image"):
        export_cache(path, into=tmp_path / "x.npy", views=rule)
    assert not (tmp_path / "x.npy").exists()


def test_the_commands_tell_the_views(cache: Path, tmp_path: Path, featx: Callable[..., Ran]) -> None:
    assert featx("cache", "info", cache, "--json").json["views"] == [*VIEWS]
    assert "6 of each image: center, hflip" in featx("cache", "info", cache).out
    assert "6 views of each image" in repr(describe_cache(cache))
    first = featx("cache", "export", cache, "--into", tmp_path / "x.npy")
    assert "only view 0 of 6 views is written; --views mean or --views all" in first.err
    each = featx("cache", "export", cache, "--into", tmp_path / "y.npy", "--views", "all")
    assert "9 rows of pooled 6 for each of 6 views as float32" in each.err + each.out
    assert "only view 0" not in each.err
    refused = featx("cache", "export", write_cache(tmp_path / "c.h5"), "--into", tmp_path / "z.npy", "--views", "mean")
    assert refused.code == 1
    assert "has one view of each image" in refused.err
