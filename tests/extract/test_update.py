"""Equal bytes are computed once, what an earlier run met not again, and the result is that of a fresh run."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from onnx import numpy_helper

from featx.backbones import FeatureSession, open_session
from featx.backbones.outputs import select_outputs
from featx.cache import (
    DONE,
    open_cache,
    partial_path,
    read_features,
    verify_cache,
)
from featx.errors import CacheMismatchError, Failure
from featx.extract import ExtractionSummary, extract_features
from featx.inputs import (
    ImageSet,
    Stored,
    list_images,
)
from featx.inputs.decode import decode_views
from featx.settings import Settings, Storage
from tests.conftest import Tiny, build_tiny, draw_image
from tests.extract.test_extract import StoppedError, masked, stop_after
from tests.support.sizes import shortened

TWO = Settings(device="cpu", batch_size=2, workers=2)


def extract(images: ImageSet, tiny: Tiny, into: Path, **options: Any) -> ExtractionSummary:
    """Extract on the CPU in batches of two."""
    return extract_features(images, tiny.backbone, into=into, settings=TWO, **options)


@dataclass
class Seen:
    """What was really done."""

    decoded: Counter[bytes] = field(default_factory=Counter)
    """How often images of these bytes were decoded, by hash."""
    runs: list[int] = field(default_factory=list)
    """Images of every run of the model, those without an image left out."""


@contextmanager
def watching(patch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """What is decoded and run in the block."""
    seen = Seen()

    def decode(image: Stored, *arguments: Any, **options: Any) -> Any:
        seen.decoded[mark(bytes(image))] += 1
        return decode_views(image, *arguments, **options)

    def opening(*arguments: Any, **options: Any) -> FeatureSession:
        session = open_session(*arguments, **options)

        def run(pixels: Any) -> Any:
            seen.runs.append(int(pixels.any(axis=(1, 2, 3)).sum()))
            return session.run(pixels)

        return replace(session, run=run)

    with patch.context() as context:
        context.setattr("featx.extract.batches.decode_views", decode)
        context.setattr("featx.extract.pace.open_session", opening)
        yield seen


def mark(data: bytes) -> bytes:
    """What a cache keeps to know these bytes again."""
    return hashlib.blake2b(data, digest_size=16).digest()


def write(root: Path, *seeds: int | bytes) -> Path:
    """Write images in this order; those of equal numbers have equal bytes, and bytes are written as they are."""
    root.mkdir(exist_ok=True)
    for place, seed in enumerate(seeds):
        path = root / f"{place:03}.png"
        if isinstance(seed, bytes):
            path.write_bytes(seed)
        else:
            draw_image(seed).save(path)
    return root


SEEDS = ([1, 1, 1, 1, 1, 1, 1], [1, 2, 3, 1, 2, 3], [1, 2, 3, 4, 5, 1], [1, 1, 2, 2, 2, 3, 1, 2], [*range(9), 0] * 5)
COPIES: list[tuple[list[int], tuple[str, ...], Storage]] = [
    (SEEDS[4], (), "float32"),
    (SEEDS[3], ("features", "pooled"), "float16"),
    (SEEDS[0], ("features", "pooled"), "float32"),
    (SEEDS[2], (), "float16"),
]
"""Of every kind one, which a quick run tries; `make check` tries all of them with each other."""
STORAGES: tuple[Storage, ...] = ("float32", "float16")
COPIES += [one for one in product(SEEDS, [(), ("features", "pooled")], STORAGES) if one not in COPIES]


@pytest.mark.parametrize(("seeds", "outputs", "storage"), shortened(COPIES, most=4))
def test_equal_images_are_computed_once_and_get_equal_rows_in_their_order(
    tiny: Tiny, tmp_path: Path, seeds: list[int], outputs: tuple[str, ...], storage: Storage
) -> None:
    tiny = replace(tiny, backbone=select_outputs(tiny.backbone, outputs))
    root = write(tmp_path / "images", *seeds)
    distinct = len(set(seeds))
    with pytest.MonkeyPatch.context() as patch, watching(patch) as seen:
        summary = extract(list_images(root), tiny, tmp_path / "c.h5", storage=storage)
    assert (summary.images, summary.done, summary.duplicates) == (len(seeds), len(seeds), len(seeds) - distinct)
    assert list(seen.decoded.values()) == [1] * distinct
    assert sum(seen.runs) == distinct
    assert verify_cache(tmp_path / "c.h5") == []
    alone = {seed: extract_alone(tiny, tmp_path / f"{seed}", seed, storage) for seed in set(seeds)}
    for name in outputs or ("features",):
        rows = read_features(tmp_path / "c.h5", outputs=[name]).features
        expected = {seed: read_features(cache, outputs=[name]).features[0] for seed, cache in alone.items()}
        assert np.array_equal(rows, np.stack([expected[seed] for seed in seeds]))


def extract_alone(tiny: Tiny, folder: Path, seed: int, storage: Storage) -> Path:
    """A cache of this image alone, in batches of the same shape."""
    extract(replace(list_images(write(folder, seed)), part_of=2), tiny, folder / "c.h5", storage=storage)
    return folder / "c.h5"


def test_copies_of_an_image_that_fails_fail_for_the_same_reason_and_are_tried_once(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = (write(tmp_path / "whole", 1) / "000.png").read_bytes()[:60]
    images = list_images(write(tmp_path / "images", 0, bad, 2, 3, bad, bad, 4, b"", b""))
    with watching(monkeypatch) as seen:
        summary = extract(images, tiny, tmp_path / "c.h5")
    assert seen.decoded[mark(bad)] == 1
    assert [name for name, _ in summary.failures] == ["001.png", "004.png", "005.png", "007.png", "008.png"]
    reasons = [reason for _, reason in summary.failures]
    assert reasons[0].startswith(Failure.DAMAGED.text)
    assert reasons == [reasons[0]] * 3 + [Failure.EMPTY.text] * 2
    status = open_cache(tmp_path / "c.h5").status.tolist()
    assert status == [DONE, 7, DONE, DONE, 7, 7, DONE, 4, 4]


def test_copies_of_what_float16_cannot_hold_fail_too(tiny: Tiny, tmp_path: Path) -> None:
    widen(tiny.backbone.path)
    from PIL import Image

    root = write(tmp_path / "images", 1, 2)
    for name in ("bright0", "bright1", "bright2"):
        Image.new("RGB", (20, 20), "white").save(root / f"{name}.png")
    assert extract(list_images(root), tiny, tmp_path / "wide.h5").failed == 0
    summary = extract(list_images(root), tiny, tmp_path / "c.h5", storage="float16")
    assert summary.failures == tuple((f"bright{place}.png", Failure.OUT_OF_RANGE.text) for place in range(3))
    cache = open_cache(tmp_path / "c.h5")
    assert np.isnan(cache["features/features"][2:]).all()
    assert np.isfinite(cache["features/features"][:2]).all()
    assert verify_cache(tmp_path / "c.h5") == []


def widen(path: Path) -> None:
    """Let the model's first feature be beyond float16 where the picture is bright, and there alone."""
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == "matrix":
            matrix = numpy_helper.to_array(tensor).copy()
            matrix[:, 0] = 15_000
            tensor.CopyFrom(numpy_helper.from_array(matrix, "matrix"))
    onnx.save(model, str(path))


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(("inside", "asked"), [("float32", "float16"), ("float16", "float32")])
def test_a_cache_of_another_storage_is_refused_and_both_are_named(
    tiny: Tiny, tmp_path: Path, inside: Storage, asked: Storage, finished: bool
) -> None:
    images = list_images(write(tmp_path / "images", *range(8)))
    with suppress(StoppedError):
        report = stop_after(99 if finished else 2)
        extract(images, tiny, tmp_path / "c.h5", storage=inside, report=report)
    left = tmp_path / "c.h5" if finished else partial_path(tmp_path / "c.h5")
    before = left.read_bytes()
    with pytest.raises(
        CacheMismatchError, match=f"storage is {inside} in the cache but {asked} was asked for; run with"
    ):
        extract(images, tiny, tmp_path / "c.h5", storage=asked)
    assert left.read_bytes() == before
    assert extract(images, tiny, tmp_path / "c.h5", storage=asked, overwrite=True).reused == 0


def test_a_copy_whose_original_was_computed_before_a_kill_is_taken_from_there(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list_images(write(tmp_path / "images", 1, 2, 3, 4, 5, 1, 2, 6))
    extract(images, tiny, tmp_path / "whole.h5")
    with pytest.raises(StoppedError):
        extract(images, tiny, tmp_path / "c.h5", report=stop_after(1))
    with watching(monkeypatch) as seen:
        summary = extract(images, tiny, tmp_path / "c.h5")
    assert (summary.reused, sum(seen.decoded.values())) == (4, 4)
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


def test_an_image_renamed_after_a_kill_is_known_by_its_bytes(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "images", 1, 2, 3, 4, 5, 6)
    with pytest.raises(StoppedError):
        extract(list_images(root), tiny, tmp_path / "c.h5", report=stop_after(1))
    (root / "001.png").rename(root / "renamed.png")
    with watching(monkeypatch) as seen:
        assert extract(list_images(root), tiny, tmp_path / "c.h5").reused == 2
    assert sum(seen.decoded.values()) == 4


def test_a_row_that_rotted_is_no_source_for_a_copy(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "images", 1, 2, 3)
    extract(list_images(root), tiny, tmp_path / "c.h5")
    with (tmp_path / "c.h5").open("r+b") as file:
        file.seek(open_cache(tmp_path / "c.h5").fields["features/features"].offset + 1)
        file.write(b"\xff")
    (root / "000.png").rename(root / "renamed.png")
    with watching(monkeypatch) as seen:
        extract(list_images(root), tiny, tmp_path / "c.h5")
    assert sum(seen.decoded.values()) == 1
    extract(list_images(root), tiny, tmp_path / "fresh.h5")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "fresh.h5")


def test_other_caches_give_their_rows_whatever_the_names(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "first", 1, 2, 3)
    write(tmp_path / "second", 4, 5, 6)
    for name in ("first", "second"):
        extract(list_images(tmp_path / name), tiny, tmp_path / f"{name}.h5")
    both = list_images(write(tmp_path / "both", 6, 9, 3, 1))
    with watching(monkeypatch) as seen:
        summary = extract(both, tiny, tmp_path / "c.h5", reuse=[tmp_path / "first.h5", tmp_path / "second.h5"])
    assert (summary.reused, sum(seen.decoded.values())) == (3, 1)
    extract(both, tiny, tmp_path / "fresh.h5")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "fresh.h5")


# ---- any sequence of changes to a folder

CONTENTS = 7
"""Different contents of images: few, so that copies are many. The last two are no images."""
names = st.integers(0, 9)
changes = st.one_of(
    st.tuples(st.just("put"), names, st.integers(0, CONTENTS - 1)),
    st.tuples(st.sampled_from(["remove", "touch"]), names, st.just(0)),
    st.tuples(st.sampled_from(["rename", "swap", "copy"]), names, names),
    st.tuples(st.just("kill"), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("run"), st.just(0), st.just(0)),
)


class Folder:
    """A folder that is changed; every write has a time of its own, as a clock would give it."""

    def __init__(self, root: Path) -> None:
        self.root, self._time = root, 10**18
        for name in ("class0", "class1"):
            (root / name).mkdir(parents=True)
        self.contents = [(write(root.parent / "pool", *range(CONTENTS)) / f"{n:03}.png").read_bytes() for n in range(5)]
        self.contents += [self.contents[0][:70], b""]
        for number in range(3):
            self.change("put", number, number)

    def change(self, how: str, first: int, second: int) -> None:
        """Do this to one image or two; nothing where they are not there."""
        one, two = self._path(first), self._path(second)
        if how == "put":
            one.write_bytes(self.contents[second])
        elif not one.exists():
            return
        elif how == "remove":
            if len(list(self.root.rglob("*.png"))) > 1:
                one.unlink()
        elif how == "rename" and not two.exists():
            one.rename(two)
        elif how == "swap" and two.exists():
            data = one.read_bytes(), two.read_bytes()
            two.write_bytes(data[0])
            one.write_bytes(data[1])
        elif how == "copy":
            two.write_bytes(one.read_bytes())
        for path in (one, two) if how != "rename" else ():
            self._stamp(path)

    def _path(self, number: int) -> Path:
        return self.root / f"class{number % 2}" / f"{number}.png"

    def _stamp(self, path: Path) -> None:
        self._time += 1000
        if path.exists():
            os.utime(path, ns=(self._time, self._time))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """One tiny backbone for all examples."""
    return build_tiny(tmp_path_factory.mktemp("models"))


@pytest.mark.exhaustive
@given(steps=st.lists(changes, min_size=1, max_size=14), storage=st.sampled_from(["float32", "float16"]))
@example(steps=[("put", 2, 5), ("remove", 0, 0), ("remove", 1, 0)], storage="float32")  # all that is left is damaged
@example(steps=[("kill", 1, 0), ("remove", 0, 0), ("remove", 2, 0)], storage="float32")  # what was done is gone
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_to_a_folder_the_same_command_gives_what_a_fresh_run_gives(
    backbone: Tiny, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]], storage: Storage
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    changed, into = Folder(folder / "images"), folder / "c.h5"
    for how, first, second in [*steps, ("run", 0, 0)]:
        if how in ("run", "kill"):
            run(list_images(changed.root), backbone, into, storage, kill_after=first)
        else:
            changed.change(how, first, second)
    extract(list_images(changed.root), backbone, folder / "fresh.h5", storage=storage, all_may_fail=True)
    assert masked(into) == masked(folder / "fresh.h5")
    assert not partial_path(into).exists()
    shutil.rmtree(folder)


def run(images: ImageSet, backbone: Tiny, into: Path, storage: Storage, *, kill_after: int) -> None:
    """Extract, maybe to be stopped after so many batches; what the complete cache knows is not decoded again."""
    known, options = marks_of(into), {"storage": storage, "all_may_fail": True}
    with pytest.MonkeyPatch.context() as patch, watching(patch) as seen, suppress(StoppedError):
        try:
            extract(images, backbone, into, report=stop_after(kill_after), **options)
        except CacheMismatchError:  # no image is left of those that the cache has
            known = set()
            extract(images, backbone, into, report=stop_after(kill_after), overwrite=True, **options)
    assert not known & set(seen.decoded)
    assert set(seen.decoded.values()) <= {1}


def marks_of(path: Path) -> set[bytes]:
    """Fingerprints of the images that have a feature in this cache."""
    if not path.exists():
        return set()
    cache = open_cache(path)
    return {bytes(found) for found in cache.read("images/fingerprint")[cache.read("status") == DONE]}


def test_an_image_whose_time_is_beyond_64_bits_is_extracted_and_always_read_again(
    make_folder: Any, tiny: Tiny, tmp_path: Path
) -> None:
    folder, into = make_folder((3, 3)), tmp_path / "c.h5"
    late = folder / "class0" / "0001.png"
    os.utime(late, (2**34, 2**34))  # in the year 2514
    assert extract(list_images(folder), tiny, into).done == 6
    assert extract(list_images(folder), tiny, into).reused == 6
    draw_image(77).save(late)
    os.utime(late, (2**34, 2**34))
    summary = extract(list_images(folder), tiny, into)
    assert (summary.done, summary.reused) == (6, 5)
