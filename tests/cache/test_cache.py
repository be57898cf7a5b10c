"""The feature file: what it promises, tested by breaking it."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from featx.cache import (
    DONE,
    PENDING,
    CacheWriter,
    FailedImage,
    create_partial,
    describe_cache,
    export_cache,
    lock_cache,
    merge_caches,
    open_cache,
    partial_path,
    read_features,
    seal,
    verify_cache,
)
from featx.cache.creating import protect_metadata, provenance_of
from featx.cache.opening import locate
from featx.columns import ImageColumns
from featx.errors import CacheError, CacheLockedError, Failure
from tests.conftest import Ran
from tests.support.caches import DIM, features, flip, image_set, provenance, rows_of, write_cache

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    """A sealed cache of ten rows, row 3 failed."""
    return write_cache(tmp_path / "c.h5", failed=[3])


def test_a_sealed_cache_gives_back_what_was_written(complete: Path) -> None:
    table = read_features(complete)
    kept = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9])
    assert np.array_equal(table.features, features(kept))
    assert [table.name(row) for row in range(len(table))] == [image_set().name(int(row)) for row in kept]
    assert table.labels.tolist() == (kept % 2).tolist()
    assert table.failed == {3: FailedImage("class1/003.png", Failure.EMPTY.text)}
    assert table.positions.tolist() == kept.tolist()
    assert table.splits is not None
    assert table.splits[0] == b"train"
    assert not partial_path(complete).exists()


def test_a_cache_without_failures_is_read_as_a_memory_map(tmp_path: Path) -> None:
    assert isinstance(read_features(write_cache(tmp_path / "c.h5")).features, np.memmap)


def test_another_program_reads_the_format_with_h5py_alone(complete: Path) -> None:
    with h5py.File(complete) as file:
        assert file.attrs["format"] == "featx features"
        assert file["features/pooled"].shape == (10, DIM)
        assert file["images/name"].asstr()[0] == "class0/000.png"
        assert file["labels/name"].asstr()[:].tolist() == ["class0", "class1"]
        assert file["status"][3] == Failure.EMPTY
        assert np.isnan(file["features/pooled"][3]).all()


def test_every_dataset_is_contiguous_and_has_its_place_from_the_start(tmp_path: Path) -> None:
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance())
    assert {"features/pooled", "status", "checksums", "images/fingerprint"} <= set(cache.fields)
    assert all(field.offset > 0 for field in cache.fields.values())
    assert os.stat(cache.path).st_blocks * 512 >= cache.path.stat().st_size


def test_a_row_counts_only_once_it_is_acknowledged(tmp_path: Path) -> None:
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance())
    with CacheWriter(cache) as writer:
        writer.append(rows_of(np.array([0, 1])))
        assert cache.status.tolist() == [PENDING] * 10
        writer.acknowledge()
        assert cache.status[:3].tolist() == [DONE, DONE, PENDING]


def test_features_reach_the_disk_before_their_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance())
    at_sync: list[tuple[bool, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        at_sync.append((bool(np.array_equal(cache["features/pooled"][:2], features(np.arange(2)))), any(cache.status)))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    with CacheWriter(cache) as writer:
        writer.append(rows_of(np.array([0, 1])))
    assert at_sync == [(True, False)]


def test_a_failing_block_still_acknowledges_what_was_written(tmp_path: Path) -> None:
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance())
    with pytest.raises(ZeroDivisionError), CacheWriter(cache) as writer:
        writer.append(rows_of(np.array([5])))
        raise ZeroDivisionError
    assert cache.status[5] == DONE


def test_an_incomplete_cache_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with CacheWriter(create_partial(path, image_set(), provenance())) as writer:
        writer.append(rows_of(np.array([0])))
    with pytest.raises(CacheError, match=r"row 1 \(class1/001.png\): pending"):
        seal(path)
    assert partial_path(path).exists()
    assert not path.exists()


@pytest.mark.parametrize("name", ["features/pooled", "images/fingerprint", "status", "checksums"])
@pytest.mark.parametrize("row", [0, 3, 9])
def test_a_flipped_byte_is_found_and_its_row_named(complete: Path, name: str, row: int) -> None:
    field = open_cache(complete).fields[name]
    stride = field.dtype.itemsize * int(np.prod(field.shape[1:]))
    flip(complete, field.offset + row * stride + stride - 1)
    assert [problem for problem in verify_cache(complete) if problem.startswith(f"row {row} ")]
    assert len(verify_cache(complete)) == 1


@pytest.mark.parametrize("name", ["images/name", "images/label", "labels/name", "images/split", "images/weight"])
def test_a_flipped_byte_in_what_is_known_of_the_images_is_found(complete: Path, name: str) -> None:
    flip(complete, open_cache(complete).fields[name].offset)
    assert verify_cache(complete)


def test_a_whole_cache_has_no_problems(complete: Path) -> None:
    assert verify_cache(complete) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_an_error_that_names_it(complete: Path, share: float) -> None:
    os.truncate(complete, int(complete.stat().st_size * share))
    with pytest.raises(CacheError, match=re.escape(str(complete))):
        read_features(complete)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(CacheError, match="not a featx cache"):
        open_cache(path)


def rewrite(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Change an unfinished cache as another program would that keeps to the format."""
    with h5py.File(path, "r+") as file:
        change(file)
        fields = locate(file)
    protect_metadata(path, fields)


def test_metadata_changed_without_its_checksum_is_refused(complete: Path) -> None:
    with h5py.File(complete, "r+") as file:
        file.attrs["card"] = "{}"
    with pytest.raises(CacheError, match="metadata is damaged, or was changed"):
        open_cache(complete)


@pytest.mark.parametrize("version", [0, 2, 10])
@pytest.mark.parametrize("use", [read_features, verify_cache, describe_cache])
def test_an_older_or_newer_format_is_refused_with_both_versions(
    complete: Path, version: int, use: Callable[[Path], object]
) -> None:
    data = complete.read_bytes()
    complete.write_bytes(data.replace(b'"format_version": 1', f'"format_version": {version}'.encode(), 1)[: len(data)])
    with pytest.raises(CacheError, match=rf"{complete}: format version {version}, but this featx reads 1; use the"):
        use(complete)


@pytest.mark.parametrize("name", ["status", "checksums", "images/name", "features/pooled"])
def test_a_missing_dataset_is_an_error(tmp_path: Path, name: str) -> None:
    path = create_partial(tmp_path / "c.h5", image_set(), provenance()).path
    rewrite(path, lambda file: file.__delitem__(name))
    with pytest.raises(CacheError, match=rf"{name}\b.* missing"):
        open_cache(path)


def test_datasets_of_unequal_length_are_refused(tmp_path: Path) -> None:
    def shorten(file: h5py.File) -> None:
        del file["status"]
        file["status"] = np.ones(7, np.uint8)

    path = create_partial(tmp_path / "c.h5", image_set(), provenance()).path
    rewrite(path, shorten)
    with pytest.raises(CacheError, match=r"not (f4|u1|u4|i8|text) of"):
        open_cache(path)


def test_mutated_files_never_end_in_anything_but_an_error_or_a_named_problem(complete: Path) -> None:
    original, rng = complete.read_bytes(), np.random.default_rng(0)
    expected = read_features(complete)
    for _ in range(150):
        data = bytearray(original)
        for offset in rng.integers(len(data), size=rng.integers(1, 20)):
            data[offset] ^= 1 << int(rng.integers(8))
        complete.write_bytes(data)
        try:
            problems, table = verify_cache(complete), read_features(complete)
        except CacheError as error:
            assert str(complete) in str(error)
            continue
        assert problems or np.array_equal(table.features, expected.features)


def test_a_missing_cache_names_the_unfinished_one_beside_it(tmp_path: Path) -> None:
    create_partial(tmp_path / "c.h5", image_set(), provenance())
    with pytest.raises(CacheError, match=r"c\.h5\.partial"):
        open_cache(tmp_path / "c.h5")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    script = "import sys, pathlib; from featx.cache import lock_cache\nwith lock_cache(pathlib.Path(sys.argv[1])): pass"
    with lock_cache(tmp_path / "c.h5"):
        command = [sys.executable, "-c", script, str(tmp_path / "c.h5")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another process is writing this cache" in done.stderr


def test_the_lock_of_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from featx.cache import lock_cache\n"
        "with lock_cache(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "c.h5"], check=False)
    assert (tmp_path / "c.h5.lock").exists()
    with lock_cache(tmp_path / "c.h5"):
        pass
    assert not (tmp_path / "c.h5.lock").exists()


def test_a_full_disk_is_met_before_the_first_row_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses the space, as on a full disk: the limit on file size is met by the same call."""
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); import caches as t; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096 * 20, 4096 * 20))\n"
        "t.create_partial(Path(sys.argv[1]), t.image_set(100_000), t.provenance())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "c.h5"), str(Path(__file__).parents[1] / "support")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "no space for it" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_in_the_middle_keeps_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    cache = create_partial(tmp_path / "c.h5", image_set(), provenance())
    with CacheWriter(cache) as writer:
        writer.append(rows_of(np.array([0, 1])))
    monkeypatch.setattr("os.pwrite", raising(OSError(code, os.strerror(code))))
    with pytest.raises(CacheError, match=re.escape(str(cache.path))), CacheWriter(cache) as writer:
        writer.append(rows_of(np.array([2])))
    assert open_cache(cache.path).intact().tolist() == [True, True] + [False] * 8


def raising(error: Exception) -> Callable[..., None]:
    """A function that raises this."""

    def call(*arguments: object) -> None:
        raise error

    return call


def test_info_counts_rows_failures_and_classes(complete: Path) -> None:
    about = describe_cache(complete)
    assert (about.rows, about.done, about.failed, about.pending, about.sealed) == (10, 9, 1, 0, True)
    assert about.failures == {Failure.EMPTY.text: 1}
    assert about.failed_images == (FailedImage("class1/003.png", Failure.EMPTY.text),)
    assert about.classes == {"class0": 5, "class1": 5}
    assert about.splits == {"test": 5, "train": 5}
    assert about.groups is None
    assert (about.outputs, about.storage, about.bytes) == ({"pooled": DIM}, "float32", complete.stat().st_size)
    assert about.provenance["provider"] == "CPUExecutionProvider"


def test_info_of_an_unfinished_cache_says_how_far_it_is(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    with CacheWriter(create_partial(tmp_path / "c.h5", image_set(), provenance(storage="float16"))) as writer:
        writer.append(rows_of(np.arange(4)))
    found = featx("cache", "info", partial_path(tmp_path / "c.h5"))
    assert "4 of 10 images done, 0 failed, 6 pending: not complete" in found.out
    assert "pooled 6 x float16, 120 B" in found.out


def test_info_of_many_outputs_shows_some_and_the_sum(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    names = tuple(f"block{number}" for number in range(9))
    with CacheWriter(create_partial(tmp_path / "c.h5", image_set(), provenance(outputs=names))) as writer:
        writer.append(rows_of(np.arange(10), dim=6 + 3 * len(names)))
    seal(tmp_path / "c.h5")
    found = featx("cache", "info", tmp_path / "c.h5")
    assert "block4 3 x float32, 120 B\n" in found.out
    assert "and 4 more outputs; 10 in all, 1.32 kB (--json lists them)" in found.out


def test_info_is_told_at_a_glance_however_much_there_is(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    count = 2000
    images = ImageColumns(
        names=np.array([f"{row:05}.png".encode() for row in range(count)]),
        classes=tuple(f"class{index:03}" for index in range(300)),
        labels=(np.arange(count) % 300).astype(np.int32),
        splits=np.array([b"train", b"test"] * (count // 2)),
        groups=np.array([f"g{row // 4}".encode() for row in range(count)]),
        domains=np.array([b"lab"] * (count // 2) + [b"field"] * (count // 2)),
    )
    path = tmp_path / "c.h5"
    with CacheWriter(create_partial(path, images, provenance(outputs=("stage",)))) as writer:
        for start, status in enumerate([DONE, *list(Failure)[:7]]):
            writer.append(rows_of(np.arange(start, count, 8), status, dim=9))
    seal(path)
    found = featx("cache", "info", path)
    assert len(found.out.splitlines()) <= 15
    for text in (
        "250 of 2000 images done, 1750 failed, complete",
        "pooled 6 x float32, 48 kB; stage 3 x float32, 24 kB",
        "300: class000 7, class001 7",
        "… and 290 more",
        "2: test 1000, train 1000",
        "groups    500",
        "domains   2: field 1000, lab 1000",
        f"250: {Failure.MISSING.text}: 00001.png, 00009.png, 00017.png, …",
        "4 more reasons",
        "featx 0, onnxruntime 1, pillow 2",
        "a processor",
    ):
        assert text in found.out
    told = featx("cache", "info", path, "--json").json
    assert len(told["failed_images"]) == 1750
    assert told["failed_images"][0] == {"name": "00001.png", "reason": Failure.MISSING.text}
    assert sum(told["classes"].values()) == count
    assert told["domains"] == {"field": 1000, "lab": 1000}


def with_domains(*domains: bytes) -> ImageColumns:
    """Ten images, every n-th of which is of the n-th of these domains."""
    return replace(image_set(), domains=np.resize(np.array(domains), 10))


def test_featx_that_knows_no_domains_reads_a_cache_that_has_them(tmp_path: Path) -> None:
    known = open_cache(write_cache(tmp_path / "a.h5", with_domains(b"lab", b"field")))
    without = open_cache(write_cache(tmp_path / "b.h5"))
    assert known.attributes["image_set"] == without.attributes["image_set"]  # all that such a version looks at
    assert read_features(tmp_path / "b.h5").domains is None


def test_other_domains_are_another_image_set(tmp_path: Path) -> None:
    paths = [
        write_cache(tmp_path / f"{place}.h5", images)
        for place, images in enumerate([image_set(), with_domains(b"lab"), with_domains(b"lab", b"field")])
    ]
    assert len({open_cache(path).image_set() for path in paths}) == 3
    assert len({read_features(path).digest for path in paths}) == 3
    assert open_cache(paths[2]).image_set() == with_domains(b"lab", b"field").hash


def test_a_domain_that_was_changed_in_the_file_is_noticed(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "c.h5", with_domains(b"lab", b"field"))
    assert read_features(path).domains is not None
    place = open_cache(path).fields["images/domain"].offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"L")
    with pytest.raises(CacheError, match="groups, domains or weights were changed after they were written"):
        read_features(path)


def test_the_digest_of_a_table_changes_with_any_row(complete: Path, tmp_path: Path) -> None:
    path = write_cache(tmp_path / "other.h5")
    assert read_features(path).digest != read_features(complete).digest


# ---- a cache of format 1 as featx 0.1.0 first wrote it, before float16 storage and merging: it opens for ever


@pytest.fixture
def of_old(tmp_path: Path) -> Path:
    """Twelve images in three classes with splits, groups and weights, rows 6 and 11 failed, row 5 not labelled."""
    return Path(shutil.copy(FIXTURES / "cache-v1.h5", tmp_path / "old.h5"))


def test_an_old_cache_opens_for_ever(of_old: Path) -> None:
    assert verify_cache(of_old) == []
    table = read_features(of_old)
    assert table.digest == "f24f74b198e2085b5ee8a3f6e98159bf287a98d4bbcf052e802a1a0ff0e1c9c6"
    assert table.features.shape == (10, 8)
    assert table.features[0, :3].tolist() == [0.8972275853157043, 1.0758025646209717, 0.8368048667907715]
    assert table.name(6) == "class1/0003.png"
    assert table.labels.tolist() == [0, 0, 0, 0, 1, -1, 1, 2, 2, 2]
    assert table.splits is not None
    assert table.splits[:3].tolist() == [b"train", b"test", b"validation"]
    assert table.groups is not None
    assert table.groups.tolist() == [b"g0", b"g0", b"g1", b"g1", b"g2", b"g2", b"g3", b"g4", b"g4", b"g5"]
    assert table.weights is not None
    assert table.weights[-1] == 2.75
    assert {row: image.reason for row, image in table.failed.items()} == {
        6: Failure.EMPTY.text,
        11: Failure.DAMAGED.text,
    }


def test_an_old_cache_is_told_of(of_old: Path) -> None:
    about = describe_cache(of_old)
    assert (about.rows, about.done, about.failed, about.storage, about.groups) == (12, 10, 2, "float32", 6)
    assert about.classes == {"class0": 4, "class1": 3, "class2": 4}


def test_an_old_cache_merges_with_a_new_one(of_old: Path, tmp_path: Path) -> None:
    old = open_cache(of_old)
    images = replace(image_set(4), groups=np.array([b"g"] * 4))
    new = create_partial(tmp_path / "new.h5", images, provenance_of(old))
    with CacheWriter(new) as writer:
        writer.append(rows_of(np.arange(4), dim=8))
    merged = merge_caches([seal(tmp_path / "new.h5").path, of_old], into=tmp_path / "c.h5")
    table = read_features(merged.path)
    assert table.classes == ("class0", "class1", "class2")
    assert np.array_equal(table.features[4:], read_features(of_old).features)
    assert merge_caches([of_old], into=tmp_path / "alone.h5").image_set() == old.image_set()
    assert read_features(tmp_path / "alone.h5").digest == read_features(of_old).digest


def test_reading_writes_nothing_beside_the_cache(complete: Path) -> None:
    before = complete.read_bytes()
    for use in (read_features, verify_cache, describe_cache):
        use(complete)
    assert [path.name for path in complete.parent.iterdir()] == [complete.name]
    assert complete.read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is the folder that nobody can write to")
@pytest.mark.parametrize("into", ["/proc/c.h5", "/proc/x.npy", "/proc/new/x.parquet"])
def test_a_folder_that_cannot_be_written_to_is_an_error_that_names_the_file(complete: Path, into: str) -> None:
    with pytest.raises(CacheError, match=f"{into}: cannot be written"):
        if into.endswith(".h5"):
            merge_caches([complete], into=Path(into))
        else:
            export_cache(complete, into=into)


def test_many_pending_rows_are_one_problem(tmp_path: Path) -> None:
    with CacheWriter(create_partial(tmp_path / "c.h5", image_set(60), provenance())) as writer:
        writer.append(rows_of(np.arange(10)))
    problems = verify_cache(partial_path(tmp_path / "c.h5"))
    assert problems == ["the extraction was not completed", "50 rows are pending, from row 10 to row 59"]


def test_a_cache_that_is_being_written_is_refused_even_if_somebody_deletes_its_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    cache = create_partial(path, image_set(), provenance())
    with CacheWriter(cache), pytest.raises(CacheLockedError, match="another process is writing"), lock_cache(path):
        raise AssertionError("two writers at once")
    with CacheWriter(cache), pytest.raises(CacheLockedError, match="another process is writing"):
        CacheWriter(cache)
    with lock_cache(path), CacheWriter(cache):
        pass
