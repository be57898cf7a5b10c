"""Caches joined into one: every row as it was, in order, or nothing."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.cache import (
    CacheWriter,
    create_partial,
    lock_cache,
    merge_caches,
    open_cache,
    partial_path,
    read_features,
    verify_cache,
)
from featx.columns import ImageColumns
from featx.errors import CacheError, CacheMismatchError
from tests.conftest import Ran
from tests.support.caches import flip, image_set, part, place, provenance, rows_of, write_cache
from tests.support.sizes import shortened

NOT_CONTENTS = {"started", "sealed"}


def contents(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """All that a cache holds, but when it was made."""
    cache = open_cache(path)
    attributes = {key: value for key, value in cache.attributes.items() if key not in NOT_CONTENTS}
    return attributes, {name: cache.read(name).tobytes() for name in cache.fields}


def bytes_but_times(path: Path) -> bytes:
    """The file's bytes, those left out that say when: two attributes, and the checksum over them in the first block."""
    times = {str(open_cache(path).attributes[key]).encode() for key in NOT_CONTENTS}
    return re.sub(b"|".join(times), b"." * 20, path.read_bytes()[4096:])


def write_shards(folder: Path, images: ImageColumns, edges: list[int], **changes: Any) -> list[Path]:
    """The image set extracted in parts that begin and end here; every seventh image failed."""
    return [
        write_cache(
            folder / f"part{start:03}.h5",
            part(images, slice(start, stop)),
            provenance(**changes),
            failed=[row - start for row in range(start, stop) if row % 7 == 3],
            start=start,
        )
        for start, stop in pairwise(edges)
    ]


EDGES = ([0, 40], [0, 20, 40], [0, 1, 2, 39, 40], [0, 10, 20, 30, 40])
SHARDED = [
    (EDGES[2], ("stage/4", "logits"), "float16"),
    (EDGES[2], (), "float32"),
    (EDGES[0], ("stage/4", "logits"), "float32"),
    (EDGES[1], (), "float16"),
]
"""Of every kind one, which a quick run tries; `make check` tries all of them with each other."""
SHARDED += [one for one in product(EDGES, [(), ("stage/4", "logits")], ["float32", "float16"]) if one not in SHARDED]


@pytest.mark.parametrize(("edges", "outputs", "storage"), shortened(SHARDED, most=4))
def test_the_shards_of_a_set_make_the_file_of_the_whole(
    tmp_path: Path, edges: list[int], outputs: tuple[str, ...], storage: str
) -> None:
    images = replace(
        image_set(40),
        groups=np.array([f"g{row // 3}".encode() for row in range(40)]),
        domains=np.array([b"lab", b"lab", b"field", b"outside"] * 10),
    )
    (whole,) = write_shards(tmp_path, images, [0, 40], outputs=outputs, storage=storage)
    whole = whole.rename(tmp_path / "whole.h5")
    shards = write_shards(tmp_path, images, edges, outputs=outputs, storage=storage)
    merged = merge_caches(shards, into=tmp_path / "merged.h5").path
    assert bytes_but_times(merged) == bytes_but_times(whole)
    assert contents(merged) == contents(whole)
    assert verify_cache(merged) == []
    assert read_features(merged).digest == read_features(whole).digest


def test_narrower_text_is_widened_so_that_order_and_width_tell_nothing(tmp_path: Path) -> None:
    images = [
        ImageColumns(names=np.array(names), groups=np.array(groups))
        for names, groups in (([b"a", b"b"], [b"x", b"yyyy"]), ([b"longer.png"], [b"z"]))
    ]
    sources = [write_cache(tmp_path / f"{place}.h5", one) for place, one in enumerate(images)]
    cache = merge_caches(sources, into=tmp_path / "c.h5")
    assert cache.read("images/name").tolist() == [b"a", b"b", b"longer.png"]
    assert cache.read("images/group").tolist() == [b"x", b"yyyy", b"z"]
    whole = ImageColumns(names=np.array([b"a", b"b", b"longer.png"]), groups=np.array([b"x", b"yyyy", b"z"]))
    assert cache.image_set() == whole.hash


def labelled(names: list[bytes], classes: tuple[str, ...], labels: list[int] | None) -> ImageColumns:
    """An image set with labels and nothing else."""
    return ImageColumns(
        names=np.array(names), classes=classes, labels=None if labels is None else np.array(labels, np.int32)
    )


def test_labels_of_sets_apart_keep_their_class_whatever_its_number(tmp_path: Path) -> None:
    sets = [
        labelled([b"a", b"b"], ("dog", "cat"), [0, 1]),
        labelled([b"c", b"d", b"e"], ("bird", "dog"), [1, 0, -1]),
        labelled([b"f"], (), None),
    ]
    sources = [write_cache(tmp_path / f"{place}.h5", one) for place, one in enumerate(sets)]
    table = read_features(merge_caches(sources, into=tmp_path / "c.h5").path)
    assert table.classes == ("bird", "cat", "dog")
    assert [table.classes[label] if label >= 0 else None for label in table.labels] == [
        *("dog", "cat", "dog", "bird", None, None)
    ]


def test_classes_that_are_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    sets = [labelled([b"a"], ("2", "10"), [1]), labelled([b"b"], ("9",), [0])]
    sources = [write_cache(tmp_path / f"{place}.h5", one) for place, one in enumerate(sets)]
    assert merge_caches(sources, into=tmp_path / "c.h5").classes == ("2", "9", "10")


def test_equal_classes_keep_their_order(tmp_path: Path) -> None:
    sets = [labelled([b"a"], ("zebra", "ant"), [0]), labelled([b"b"], ("zebra", "ant"), [1])]
    sources = [write_cache(tmp_path / f"{place}.h5", one) for place, one in enumerate(sets)]
    assert merge_caches(sources, into=tmp_path / "c.h5").classes == ("zebra", "ant")


def test_rows_stand_in_the_order_of_the_arguments(tmp_path: Path) -> None:
    first, second = write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)
    names = merge_caches([second, first], into=tmp_path / "c.h5").read("images/name")
    assert names.tolist() == [*image_set(10, start=10).names, *image_set(10).names]


def test_devices_and_versions_of_all_parts_are_named(tmp_path: Path) -> None:
    made = [provenance(device="a processor"), provenance(device="another", versions={"onnxruntime": "1", "numpy": "2"})]
    made[1] = replace(made[1], versions={**made[0].versions, "featx": "9"}, batch_size=64)
    sources = [write_cache(tmp_path / f"{index}.h5", made=one, start=10 * index) for index, one in enumerate(made)]
    cache = merge_caches(sources, into=tmp_path / "c.h5")
    assert cache.attributes["device"] == "a processor; another"
    assert cache.versions == {**made[0].versions, "featx": "0; 9"}
    assert cache.attributes["batch_size"] == 4
    assert cache.attributes["started"] == min(open_cache(source).attributes["started"] for source in sources)


CARD = provenance().card
UNLIKE: Mapping[str, tuple[dict[str, Any], str]] = {
    "backbone": ({"backbone": "c" * 64}, r"backbone is made-up \(cccccccccccc\) .* made-up \(bbbbbbbbbbbb\), as in"),
    "outputs": ({"outputs": ("stage",)}, r"outputs is pooled \(6\), stage \(3\) .* pooled \(6\), as in"),
    "storage": ({"storage": "float16"}, "storage is float16 .* float32, as in"),
    "provider": ({"provider": "CUDAExecutionProvider"}, "provider is CUDA.* CPUExecutionProvider, as in"),
    "precision": ({"precision": "float16"}, "precision is float16 .* float32, as in"),
    "runtime": ({"versions": {"onnxruntime": "7", "pillow": "2"}}, "version of onnxruntime is 7 .* but 1, as in"),
    "other runtime": ({"versions": {"onnxruntime-gpu": "1", "pillow": "2"}}, "onnxruntime is none .* but 1, as in"),
    "pillow": ({"versions": {"onnxruntime": "1", "pillow": "8"}}, "version of pillow is 8 .* but 2, as in"),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_caches_made_otherwise_are_refused_with_both_sides_and_files(tmp_path: Path, what: str) -> None:
    changes, message = UNLIKE[what]
    sources = [
        write_cache(tmp_path / "a.h5"),
        write_cache(tmp_path / "b.h5", image_set(start=10), provenance(**changes)),
    ]
    with pytest.raises(CacheMismatchError, match=message) as caught:
        merge_caches(sources, into=tmp_path / "c.h5")
    assert all(str(source) in str(caught.value) for source in sources)
    assert sorted(tmp_path.iterdir()) == sources


@pytest.mark.parametrize("column", ["splits", "groups", "domains", "weights"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_column_that_only_one_cache_has_is_refused(tmp_path: Path, column: str, swapped: bool) -> None:
    texts: dict[str, Any] = {"groups": np.array([b"g"] * 10), "domains": np.array([b"d"] * 10)}
    full = replace(image_set(), **texts)
    lacking = replace(image_set(start=10), **{**texts, column: None})
    sources = [write_cache(tmp_path / "a.h5", full), write_cache(tmp_path / "b.h5", lacking)]
    with pytest.raises(CacheMismatchError, match=f"column {column[:-1]} is (missing|present) .* as in"):
        merge_caches(sources[::-1] if swapped else sources, into=tmp_path / "c.h5")


def test_an_image_in_two_caches_is_named_with_both_files(tmp_path: Path) -> None:
    sources = [write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=9)]
    with pytest.raises(CacheError, match=rf"{sources[1]}: image class1/009.png is in {sources[0]} too"):
        merge_caches(sources, into=tmp_path / "c.h5")
    assert sorted(tmp_path.iterdir()) == sources


def test_an_incomplete_cache_is_refused(tmp_path: Path) -> None:
    whole, path = write_cache(tmp_path / "a.h5"), tmp_path / "b.h5"
    with CacheWriter(create_partial(path, image_set(start=10), provenance())) as writer:
        writer.append(rows_of(np.arange(9), start=10))
    for source in (path, partial_path(path)):
        with pytest.raises(CacheError, match=rf"{source}.*(no such cache|not completed).*featx extract"):
            merge_caches([whole, source], into=tmp_path / "c.h5")


@pytest.mark.parametrize("name", ["features/pooled", "images/fingerprint", "status", "checksums"])
def test_a_rotten_row_is_named_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    sources = [write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)]
    flip(sources[1], place(sources[1], name, 7))
    with pytest.raises(CacheError, match=rf"{sources[1]}: row 7 \(class1/017.png\): its bytes do not match"):
        merge_caches(sources, into=tmp_path / "c.h5")
    assert sorted(tmp_path.iterdir()) == sources


@pytest.mark.parametrize("name", ["images/name", "images/label", "labels/name", "images/split", "images/weight"])
def test_rot_in_what_is_known_of_the_images_is_found(tmp_path: Path, name: str) -> None:
    sources = [write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)]
    flip(sources[0], place(sources[0], name, 1))
    with pytest.raises(CacheError, match=rf"{sources[0]}: names, labels, .* were changed after they were written"):
        merge_caches(sources, into=tmp_path / "c.h5")
    assert sorted(tmp_path.iterdir()) == sources


def test_a_cache_is_not_merged_into_itself_nor_twice(tmp_path: Path) -> None:
    one, two = write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)
    before = one.read_bytes()
    (tmp_path / "link.h5").symlink_to(one)
    for target in (one, tmp_path / "link.h5"):
        with pytest.raises(CacheError, match="merged into itself"):
            merge_caches([two, one], into=target, overwrite=True)
    with pytest.raises(CacheError, match="is named twice"):
        merge_caches([one, two, tmp_path / "link.h5"], into=tmp_path / "c.h5")
    assert one.read_bytes() == before


def test_what_is_there_is_given_up_only_when_told(tmp_path: Path) -> None:
    source, into = write_cache(tmp_path / "a.h5", start=10), write_cache(tmp_path / "c.h5")
    before = into.read_bytes()
    with pytest.raises(CacheError, match=rf"{into}: already exists; .* --overwrite"):
        merge_caches([source], into=into)
    assert into.read_bytes() == before
    merge_caches([source], into=into, overwrite=True)
    assert contents(into) == contents(source)


def test_an_unfinished_extraction_is_given_up_only_when_told(tmp_path: Path) -> None:
    source, into = write_cache(tmp_path / "a.h5", start=10), tmp_path / "c.h5"
    create_partial(into, image_set(), provenance())
    with pytest.raises(CacheError, match=rf"{partial_path(into)}: already exists; .* --overwrite"):
        merge_caches([source], into=into)
    assert partial_path(into).exists()
    merge_caches([source], into=into, overwrite=True)
    assert not partial_path(into).exists()


def test_a_file_that_is_no_cache_is_never_given_up(tmp_path: Path) -> None:
    source, into = write_cache(tmp_path / "a.h5"), tmp_path / "thesis.h5"
    into.write_text("years of work")
    with pytest.raises(CacheError, match=rf"{into}: already exists and is not a featx cache"):
        merge_caches([source], into=into, overwrite=True)
    assert into.read_text() == "years of work"


def test_a_target_that_is_being_written_is_refused(tmp_path: Path) -> None:
    source, into = write_cache(tmp_path / "a.h5"), tmp_path / "c.h5"
    command = [sys.executable, "-m", "featx", "cache", "merge", str(source), "--into", str(into)]
    with lock_cache(into):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "another process is writing this cache" in done.stderr
    assert not into.exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    source, into = write_cache(tmp_path / "a.h5"), tmp_path / "away" / "c.h5"
    (tmp_path / "away").write_text("a file where a folder should be")
    with pytest.raises(CacheError, match=re.escape(str(into))):
        merge_caches([source], into=into)


@pytest.mark.parametrize("after", shortened([1, 3, 8, 2, 4, 6], most=3))
def test_a_killed_merge_leaves_its_sources_alone_and_the_next_one_is_whole(tmp_path: Path, after: int) -> None:
    """The process is killed at one of its writes: of columns, of metadata, of rows, of statuses."""
    sources = [write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)]
    before, into = [source.read_bytes() for source in sources], tmp_path / "c.h5"
    script = (
        "import os, signal, sys; from pathlib import Path; from featx.cache import merge_caches\n"
        "real, left = os.pwrite, [int(sys.argv[1])]\n"
        "def pwrite(*arguments):\n"
        "    left[0] -= 1\n"
        "    return real(*arguments) if left[0] else os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.pwrite = pwrite\n"
        "merge_caches(list(map(Path, sys.argv[3:])), into=Path(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(after), into, *sources], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not into.exists()
    assert not partial_path(into).exists()
    assert [*tmp_path.glob("c.h5.*.new")]
    assert [source.read_bytes() for source in sources] == before
    merge_caches(sources, into=into)
    assert verify_cache(into) == []
    assert not [*tmp_path.glob("c.h5.*.new")]
    assert contents(into) == contents(write_cache(tmp_path / "whole.h5", image_set(20)))


def test_a_disk_that_fills_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, into = [write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)], tmp_path / "c.h5"

    def full(*arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(CacheError, match=rf"{into}(\.new)?: no space for it"):
        merge_caches(sources, into=into)
    assert sorted(tmp_path.iterdir()) == sources


def test_a_source_that_cannot_be_read_is_named_and_not_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, real = [write_cache(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5", start=10)], os.pread
    calls = iter(range(1000))

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if next(calls) > 20:
            raise OSError(5, os.strerror(5))
        return real(descriptor, size, offset)

    monkeypatch.setattr("os.pread", pread)
    with pytest.raises(CacheError, match=rf"({sources[0]}|{sources[1]}): cannot be read \(Input/output error\)"):
        merge_caches(sources, into=tmp_path / "c.h5")
    assert sorted(tmp_path.iterdir()) == sources


def test_the_command_tells_what_it_joined(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    sources = [write_cache(tmp_path / "a.h5", failed=[2]), write_cache(tmp_path / "b.h5", start=10)]
    ran = featx("cache", "merge", *sources, "--into", tmp_path / "c.h5", "--json")
    assert ran.code == 0
    assert ran.json == {
        "cache": str(tmp_path / "c.h5"),
        "sources": [str(source) for source in sources],
        "rows": 20,
        "done": 19,
        "failed": 1,
    }
    again = featx("cache", "merge", *sources, "--into", tmp_path / "c.h5")
    assert again.code == 1
    assert "--overwrite" in again.err


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_merging_holds_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from featx.cache import merge_caches\n"
        "merge_caches(list(map(Path, sys.argv[2:])), into=Path(sys.argv[1]))\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )

    def peak(count: int) -> int:
        made = provenance()
        made = replace(made, card={**made.card, "dim": 256})
        half = count // 2
        sources = [
            write_cache(tmp_path / f"{count}-{start}.h5", image_set(half, start=start), made, start=start)
            for start in (0, half)
        ]
        command = [sys.executable, "-c", script, str(tmp_path / f"{count}.h5"), *map(str, sources)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    few, many = peak(20_000), peak(100_000)
    assert many < 1.1 * few, (few, many)
