"""From images to a complete cache: exact, resumable, and never a row lost or shifted."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from featx.backbones import FeatureSession, open_session
from featx.backbones.store import load_backbone
from featx.cache import (
    DONE,
    PENDING,
    open_cache,
    partial_path,
    read_features,
    verify_cache,
)
from featx.cache.file import USER_BLOCK
from featx.errors import (
    CacheError,
    CacheMismatchError,
    DeviceError,
    Failure,
    ImageSetError,
    InferenceError,
)
from featx.extract import (
    ExtractionSummary,
    Progress,
    extract_features,
)
from featx.inputs import ImageSet, list_images
from featx.inputs.decode import decode_image
from featx.provenance import versions
from featx.settings import Settings
from tests.conftest import Tiny, draw_image, write_folder
from tests.support.caches import without_cost
from tests.support.cards import with_keys

FOUR = Settings(device="cpu", batch_size=4)


def extract(images: ImageSet, tiny: Tiny, into: Path, **options: object) -> ExtractionSummary:
    """Extract on the CPU in batches of four."""
    return extract_features(images, tiny.backbone, into=into, settings=FOUR, **options)  # type: ignore[arg-type]


def masked(path: Path) -> bytes:
    """The bytes of a cache without its times of start and end, the checksum over them, and its cost."""
    data = without_cost(path)[USER_BLOCK:]
    for key in ("started", "sealed"):
        stamp = str(open_cache(path).attributes[key]).encode()
        data = data.replace(stamp, b"?" * len(stamp))
    return data


def test_features_equal_what_numpy_makes_of_the_same_pixels(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder((7, 6)))
    extract(images, tiny, tmp_path / "c.h5")
    pixels = np.stack([decode_image(images.read(row), tiny.backbone.card.input.pixels) for row in range(len(images))])
    assert np.allclose(read_features(tmp_path / "c.h5").features, tiny.expected(pixels), atol=1e-5)


def test_rows_stand_in_the_order_of_the_image_set(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder((7, 6)))
    extract(images, tiny, tmp_path / "c.h5")
    table = read_features(tmp_path / "c.h5")
    assert [table.name(row) for row in range(len(table))] == [images.name(row) for row in range(len(images))]
    assert table.classes == ("class0", "class1")


def test_other_domains_in_the_manifest_are_taken_over_and_no_feature_is_computed_again(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder((4, 3))
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    for domain in ("lab", "field"):
        lines = ["path,domain", *(f"{name},{domain}{place % 2}" for place, name in enumerate(names))]
        (root / "list.csv").write_text("\n".join(lines))
        summary = extract(list_images(root / "list.csv"), tiny, tmp_path / "c.h5")
        domains = read_features(tmp_path / "c.h5").domains
        assert domains is not None
        assert domains.tolist() == [f"{domain}{place % 2}".encode() for place in range(7)]
    assert (summary.done, summary.reused) == (7, 7)


def test_the_summary_adds_up(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    root = make_folder((7, 6))
    (root / "class0" / "0003.png").write_bytes(b"")
    summary = extract(list_images(root), tiny, tmp_path / "c.h5")
    assert (summary.images, summary.done, summary.failed, summary.reused) == (13, 12, 1, 0)
    assert summary.failures == (("class0/0003.png", Failure.EMPTY.text),)
    assert set(summary.stages) == {"read", "decode", "infer", "write"}
    assert summary.bound_by in summary.stages
    assert summary.provider == "CPUExecutionProvider"
    assert summary.to_dict()["images_per_second"] > 0


def test_a_bad_image_fails_alone_and_shifts_nobody(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder((9, 9))
    extract(list_images(root), tiny, tmp_path / "good.h5")
    (root / "class0" / "0004.png").write_bytes((root / "class0" / "0004.png").read_bytes()[:60])
    (root / "class1" / "0000.png").unlink()
    images = replace(list_images(root), names=list_images_as_before(tmp_path / "good.h5"), labels=None, classes=())
    summary = extract(images, tiny, tmp_path / "bad.h5")
    good, bad = read_features(tmp_path / "good.h5"), open_cache(tmp_path / "bad.h5")
    failed = [name for name, _ in summary.failures]
    assert failed == ["class0/0004.png", "class1/0000.png"]
    rows = [row for row in range(18) if good.name(row) not in failed]
    assert np.array_equal(bad["features/features"][rows], good.features[rows])
    assert bad.status[[4, 9]].tolist() == [Failure.DAMAGED, Failure.MISSING]
    assert np.isnan(bad["features/features"][[4, 9]]).all()


def list_images_as_before(path: Path) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    """The names in a cache: as a manifest that was written when all images were there."""
    return np.asarray(open_cache(path)["images/name"])


def test_features_that_are_not_finite_fail_their_row_alone(
    make_folder: Callable[..., Path], make_tiny: Callable[..., Tiny], tmp_path: Path
) -> None:
    tiny = make_tiny(tmp_path / "m")
    root = make_folder((5, 0))
    Image.new("RGB", (20, 20), "black").save(root / "class0" / "black.png")
    card = replace(tiny.backbone.card, feature="logs", sha256="1" * 64)
    make_logarithmic(tiny.backbone.path)
    summary = extract(list_images(root), replace(tiny, backbone=replace(tiny.backbone, card=card)), tmp_path / "c.h5")
    assert summary.failures == (("class0/black.png", Failure.NOT_FINITE.text),)


def test_a_feature_may_be_called_as_exporters_call_tensors(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    import onnx

    model = onnx.load(str(tiny.backbone.path))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["/head//pool/Flatten_output_0" if name == "features" else name for name in names]
    onnx.save(model, str(tiny.backbone.path))
    card = replace(tiny.backbone.card, feature="/head//pool/Flatten_output_0")
    extract(list_images(make_folder()), replace(tiny, backbone=replace(tiny.backbone, card=card)), tmp_path / "c.h5")
    assert read_features(tmp_path / "c.h5").features.shape == (24, 8)
    assert verify_cache(tmp_path / "c.h5") == []


def make_logarithmic(path: Path) -> None:
    """Let the model end in logarithms, which are infinite where the picture is black."""
    import onnx
    from onnx import helper

    model = onnx.load(str(path))
    model.graph.node.insert(0, helper.make_node("Abs", ["image"], ["absolute"]))
    model.graph.node[1].input[0] = "denormalised"
    model.graph.node.insert(1, helper.make_node("Mul", ["image", "std"], ["scaled"]))
    model.graph.node.insert(2, helper.make_node("Add", ["scaled", "mean"], ["denormalised"]))
    for name, values in (("std", (60.0, 50.0, 70.0)), ("mean", (120.0, 110.0, 100.0))):
        model.graph.initializer.append(helper.make_tensor(name, 1, (1, 3, 1, 1), values))
    model.graph.initializer.append(helper.make_tensor("ones", 1, (3, 8), [1.0] * 24))
    model.graph.node.append(helper.make_node("MatMul", ["pooled", "ones"], ["sums"]))
    model.graph.node.append(helper.make_node("Log", ["sums"], ["logs"]))
    onnx.save(model, str(path))


def test_a_second_run_computes_nothing_and_changes_nothing(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "c.h5")
    before = (tmp_path / "c.h5").read_bytes()
    summary = extract(images, tiny, tmp_path / "c.h5")
    assert (summary.reused, summary.bound_by) == (24, "nothing")
    assert (tmp_path / "c.h5").read_bytes() == before


def test_a_second_run_opens_no_session_even_without_a_runtime(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "c.h5")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert extract(images, tiny, tmp_path / "c.h5").reused == 24


class StoppedError(Exception):
    """What ends an extraction in the tests that interrupt one."""


def stop_after(batches: int) -> Callable[[Progress], None]:
    """A report that raises at this batch."""
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == batches:
            raise StoppedError

    return report


@pytest.mark.parametrize("batches", [1, 3, 6])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, batches: int
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "whole.h5")
    with pytest.raises(StoppedError):
        extract(images, tiny, tmp_path / "c.h5", report=stop_after(batches))
    acknowledged = int(np.sum(open_cache(partial_path(tmp_path / "c.h5")).status != PENDING))
    summary = extract(images, tiny, tmp_path / "c.h5")
    assert summary.reused == acknowledged == 4 * batches
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


def test_an_image_changed_between_kill_and_resume_is_computed_again(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    with pytest.raises(StoppedError):
        extract(list_images(root), tiny, tmp_path / "c.h5", report=stop_after(2))
    shutil.copy(root / "class1" / "0000.png", root / "class0" / "0001.png")
    summary = extract(list_images(root), tiny, tmp_path / "c.h5")
    table = read_features(tmp_path / "c.h5")
    assert summary.reused == 7
    assert np.array_equal(table.features[1], table.features[12])


def test_a_rotten_row_of_an_unfinished_cache_is_computed_again(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "whole.h5")
    with pytest.raises(StoppedError):
        extract(images, tiny, tmp_path / "c.h5", report=stop_after(3))
    partial = partial_path(tmp_path / "c.h5")
    with partial.open("r+b") as file:
        file.seek(open_cache(partial).fields["features/features"].offset + 5)
        file.write(b"\xff")
    assert extract(images, tiny, tmp_path / "c.h5").reused == 11
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.parametrize("change", ["grown", "copied", "swapped", "shrunk", "changed", "relabelled", "touched"])
def test_the_same_command_on_a_changed_folder_gives_what_a_fresh_run_gives(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, change: str
) -> None:
    root = make_folder()
    extract(list_images(root), tiny, tmp_path / "c.h5")
    reused = CHANGES[change](root)
    summary = extract(list_images(root), tiny, tmp_path / "c.h5")
    extract(list_images(root), tiny, tmp_path / "fresh.h5")
    updated, fresh = read_features(tmp_path / "c.h5"), read_features(tmp_path / "fresh.h5")
    assert summary.reused == reused
    assert np.array_equal(updated.features, fresh.features)
    assert np.array_equal(updated.names, fresh.names)
    assert np.array_equal(updated.labels, fresh.labels)
    assert verify_cache(tmp_path / "c.h5") == []


def _grow(root: Path) -> int:
    draw_image(99).save(root / "class0" / "0000a.png")
    return 24


def _copy(root: Path) -> int:
    shutil.copy(root / "class0" / "0000.png", root / "class0" / "0000a.png")
    return 25


def _swap(root: Path) -> int:
    first, second = root / "class0" / "0000.png", root / "class1" / "0000.png"
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    return 24


def _shrink(root: Path) -> int:
    (root / "class0" / "0005.png").unlink()
    return 23


def _change(root: Path) -> int:
    draw_image(98).save(root / "class0" / "0001.png")
    return 23


def _relabel(root: Path) -> int:
    (root / "class1" / "0000.png").rename(root / "class0" / "moved.png")
    return 24


def _touch(root: Path) -> int:
    os.utime(root / "class0" / "0001.png", ns=(1, 1))
    return 24


CHANGES = {
    "grown": _grow,
    "copied": _copy,
    "swapped": _swap,
    "shrunk": _shrink,
    "changed": _change,
    "relabelled": _relabel,
    "touched": _touch,
}


def test_images_out_of_reach_keep_the_rows_they_had(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "set.csv").write_text("path\na.png\nb.png\n")
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / "here" / f"{name}.png")
    extract(list_images(tmp_path / "set.csv", root=tmp_path / "here"), tiny, tmp_path / "c.h5")
    (tmp_path / "away").mkdir()
    summary = extract(list_images(tmp_path / "set.csv", root=tmp_path / "away"), tiny, tmp_path / "c.h5")
    assert (summary.done, summary.reused) == (2, 2)
    assert "2 images cannot be reached; they keep their rows" in caplog.text


@pytest.mark.parametrize("name", ["images/label", "labels/name", "images/name"])
def test_damage_to_what_is_known_of_the_images_is_mended(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, name: str
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "c.h5")
    with (tmp_path / "c.h5").open("r+b") as file:
        file.seek(open_cache(tmp_path / "c.h5").fields[name].offset)
        file.write(b"\x07")
    with pytest.raises(CacheError, match="changed after they were written"):
        read_features(tmp_path / "c.h5")
    extract(images, tiny, tmp_path / "c.h5")
    assert verify_cache(tmp_path / "c.h5") == []
    assert read_features(tmp_path / "c.h5").labels.tolist() == [0] * 12 + [1] * 12


def test_a_partial_without_a_finished_row_blocks_nothing(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images, wrong = list_images(make_folder()), replace(tiny.backbone.card, dim=9)
    with pytest.raises(InferenceError, match=r"'features' of tiny has shape \(4, 8\) but its card says \(4, 9\)"):
        extract(images, replace(tiny, backbone=replace(tiny.backbone, card=wrong)), tmp_path / "c.h5")
    assert extract(images, tiny, tmp_path / "c.h5").done == 24


@pytest.mark.parametrize("content", [b"", b"path,label\n", b"\x89HDF\r\n\x1a\n"])
def test_not_even_overwrite_replaces_what_is_no_cache(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "precious").write_bytes(content)
    with pytest.raises(CacheError, match="already exists and is not a featx cache"):
        extract(list_images(make_folder()), tiny, tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious").read_bytes() == content


def test_a_link_to_a_cache_stays_a_link(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "real.h5")
    extract(list_images(make_folder()), tiny, tmp_path / "link.h5")
    assert (tmp_path / "link.h5").is_symlink()
    assert len(read_features(tmp_path / "real.h5")) == 24


def test_an_update_that_is_interrupted_leaves_the_complete_cache_as_it_was(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    extract(list_images(root), tiny, tmp_path / "c.h5")
    before = (tmp_path / "c.h5").read_bytes()
    for number in range(8):
        draw_image(100 + number).save(root / "class0" / f"new{number}.png")
    with pytest.raises(StoppedError):
        extract(list_images(root), tiny, tmp_path / "c.h5", report=stop_after(1))
    assert (tmp_path / "c.h5").read_bytes() == before
    assert extract(list_images(root), tiny, tmp_path / "c.h5").reused == 28


def test_failed_images_are_kept_as_failed_until_they_are_to_be_tried_again(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    small = replace(FOUR, max_pixels=10)
    into = tmp_path / "c.h5"
    images = list_images(root)
    assert extract_features(images, tiny.backbone, into=into, settings=small, all_may_fail=True).failed == 24
    assert extract(list_images(root), tiny, into).reused == 24
    assert extract(list_images(root), tiny, into, retry_failed=True).done == 24


def test_an_image_that_was_missing_is_tried_again_once_it_is_there(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("path\na.png\nb.png\n")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    assert extract(list_images(tmp_path / "set.csv"), tiny, tmp_path / "c.h5").failed == 1
    assert extract(list_images(tmp_path / "set.csv"), tiny, tmp_path / "c.h5").reused == 2
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "b.png")
    assert extract(list_images(tmp_path / "set.csv"), tiny, tmp_path / "c.h5").done == 2


def test_a_pipe_that_is_called_an_image_fails_and_does_not_hang(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    os.mkfifo(root / "class0" / "pipe.png")
    assert extract(list_images(root), tiny, tmp_path / "c.h5").failures[0][0] == "class0/pipe.png"


@pytest.mark.parametrize("finished", [True, False])
def test_a_cache_of_another_backbone_is_refused_and_left_alone(
    make_folder: Callable[..., Path], make_tiny: Callable[..., Tiny], tiny: Tiny, tmp_path: Path, finished: bool
) -> None:
    images, other = list_images(make_folder()), make_tiny(tmp_path / "m", name="other", seed=1)
    into = tmp_path / "c.h5"
    if finished:
        extract(images, tiny, into)
    else:
        with pytest.raises(StoppedError):
            extract(images, tiny, into, report=stop_after(1))
    left = into if finished else partial_path(into)
    before = left.read_bytes()
    with pytest.raises(CacheMismatchError, match=r"is tiny in the cache but other was asked for.*--overwrite"):
        extract(images, other, into)
    assert left.read_bytes() == before
    assert extract(images, other, into, overwrite=True).reused == 0


def test_a_changed_card_is_another_backbone_and_the_key_is_named(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "c.h5")
    card = with_keys(tiny.backbone.card, resize=20)
    with pytest.raises(CacheMismatchError, match="resize of the backbone is 18 in the cache but 20"):
        extract(images, replace(tiny, backbone=replace(tiny.backbone, card=card)), tmp_path / "c.h5")


def test_rows_of_two_providers_are_not_mixed(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder())
    with pytest.raises(StoppedError):
        extract(images, tiny, tmp_path / "c.h5", report=stop_after(1))

    def on_cuda(*arguments: Any, **options: Any) -> FeatureSession:
        return replace(open_session(*arguments, **options), provider="CUDAExecutionProvider")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("featx.extract.pace.open_session", on_cuda)
        with pytest.raises(CacheMismatchError, match="provider is CPUExecutionProvider in the cache"):
            extract(images, tiny, tmp_path / "c.h5")


def test_rows_of_two_versions_of_pillow_are_not_mixed(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list_images(make_folder())
    monkeypatch.setattr("featx.extract.extracting.versions", lambda: versions() | {"pillow": "1.0"})
    with pytest.raises(StoppedError):
        extract(images, tiny, tmp_path / "c.h5", report=stop_after(1))
    monkeypatch.undo()
    with pytest.raises(CacheMismatchError, match=r"pillow is 1\.0 in the cache but .* run with 1\.0 again"):
        extract(images, tiny, tmp_path / "c.h5")


def test_what_is_no_cache_is_never_taken_for_an_unfinished_one(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    partial_path(tmp_path / "c.h5").write_bytes(b"garbage" * 1000)
    for overwrite in (True, False):
        with pytest.raises(CacheError, match=r"c\.h5\.partial: already exists and is not a featx cache"):
            extract(images, tiny, tmp_path / "c.h5", overwrite=overwrite)
    assert partial_path(tmp_path / "c.h5").read_bytes() == b"garbage" * 1000


def test_a_run_in_which_every_image_fails_writes_nothing_and_says_why(tiny: Tiny, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (root / name).write_text("no image")
    (root / "d.png").touch()
    told = r"none of the 4 images has a feature \(3 as a\.png: not an image .*; 1 as d\.png: the file is empty"
    with pytest.raises(ImageSetError, match=told):
        extract(list_images(root), tiny, tmp_path / "c.h5")
    assert [found.name for found in tmp_path.glob("c.h5*")] == []
    Image.new("RGB", (20, 20), "red").save(root / "a.png")
    assert extract(list_images(root), tiny, tmp_path / "c.h5").failed == 3


def test_an_update_in_which_every_image_fails_leaves_the_cache_as_it_was(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder((2, 2))
    extract(list_images(root), tiny, tmp_path / "c.h5")
    before = (tmp_path / "c.h5").read_bytes()
    for path in root.rglob("*.png"):
        path.write_text("no image, and of another size")
    with pytest.raises(ImageSetError, match="none of the 4 images has a feature"):
        extract(list_images(root), tiny, tmp_path / "c.h5")
    assert (tmp_path / "c.h5").read_bytes() == before
    assert [found.name for found in tmp_path.glob("c.h5*")] == ["c.h5"]


def test_a_cache_that_appears_while_a_run_goes_on_is_not_replaced(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images, into = list_images(make_folder((2, 2))), tmp_path / "c.h5"
    extract(images, tiny, tmp_path / "other.h5")

    def appear(progress: Progress) -> None:
        shutil.copy(tmp_path / "other.h5", into)

    with pytest.raises(CacheError, match=r"c\.h5: appeared or changed .* give its name to .*c\.h5\.partial"):
        extract(images, tiny, into, report=appear)
    into.unlink()
    assert extract(images, tiny, into).reused == 4
    assert [found.name for found in tmp_path.glob("c.h5*")] == ["c.h5"]


def test_both_names_that_a_kill_at_the_very_end_leaves_become_one(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images, into = list_images(make_folder((2, 2))), tmp_path / "c.h5"
    extract(images, tiny, into)
    partial_path(into).hardlink_to(into)
    assert extract(images, tiny, into).reused == 4
    assert [found.name for found in tmp_path.glob("c.h5*")] == ["c.h5"]


@pytest.mark.parametrize("name", ["a.npy", "a.featx", "a.csv", "c.h5.partial"])
def test_a_cache_is_not_written_under_the_ending_of_other_files(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CacheError, match=r"would be a featx cache, but files that end in .*; end --into in \.h5"):
        extract(list_images(make_folder((2, 2))), tiny, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_the_cache_says_how_it_was_made(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    extract(list_images(make_folder()), tiny, tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        made = dict(file.attrs)
    assert made["provider"] == "CPUExecutionProvider"
    assert made["backbone"] == tiny.backbone.hash
    assert made["model_sha256"] == tiny.backbone.card.sha256
    assert made["image_set"] == list_images(tmp_path / "images").hash
    assert {"versions", "device", "precision", "started", "sealed", "format", "format_version"} <= set(made)


SLOW = """
import sys, time
from pathlib import Path
from featx.backbones import load_backbone
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings
from featx.cache import writing
writing.SYNC_SECONDS = 0.02
root, models, into = map(Path, sys.argv[1:])
print("start", flush=True)
extract_features(list_images(root), load_backbone("tiny", folder=models), into=into,
                 settings=Settings("cpu", 4), report=lambda progress: time.sleep(0.004))
"""


@pytest.mark.exhaustive
def test_kill_9_at_any_moment_costs_no_acknowledged_row_and_changes_no_byte(
    make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    root, into, rng = make_folder((100, 100)), tmp_path / "c.h5", np.random.default_rng(0)
    images = list_images(root)
    extract(images, tiny, tmp_path / "whole.h5")
    command = [sys.executable, "-c", SLOW, str(root), str(models), str(into)]
    kills = 0
    while not into.exists():
        before = acknowledged(into)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.35) * (1 + kills / 20))  # on a busy machine short lives get nowhere
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        assert before <= acknowledged(into)
        assert kills < 60
    assert kills > 2
    assert masked(into) == masked(tmp_path / "whole.h5")
    assert sorted(path.name for path in tmp_path.glob("c.h5*")) in (["c.h5"], ["c.h5", "c.h5.lock"])


def acknowledged(into: Path) -> set[int]:
    """Rows that the unfinished (or complete) cache calls done, each with its checksum right."""
    path = partial_path(into) if partial_path(into).exists() else into
    if not path.exists():
        return set()
    cache = open_cache(path)
    done = np.flatnonzero(cache.status == DONE)
    assert cache.intact()[done].all()
    return set(done.tolist())


def test_the_bundled_backbone_equals_a_plain_pillow_and_onnxruntime_loop(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    import onnxruntime

    backbone, images = load_backbone("efficientnet-lite0"), list_images(make_folder((5, 4)))
    extract_features(images, backbone, into=tmp_path / "c.h5", settings=FOUR)
    session = onnxruntime.InferenceSession(str(backbone.path), providers=["CPUExecutionProvider"])
    table = read_features(tmp_path / "c.h5")
    for row in range(len(images)):
        with Image.open(io.BytesIO(bytes(images.read(row)))) as image:
            width, height = image.size
            scale = 256 / min(width, height)
            resized = image.convert("RGB").resize((int(width * scale), int(height * scale)), Image.Resampling.BICUBIC)
        left, top = round((resized.width - 224) / 2), round((resized.height - 224) / 2)
        cropped = np.asarray(resized.crop((left, top, left + 224, top + 224)), np.float32)
        expected = session.run(["features"], {"image": ((cropped - 127) / 128).transpose(2, 0, 1)[None]})[0][0]
        assert np.abs(expected - table.features[row]).max() < 1e-5


def test_another_image_set_does_not_take_the_place_of_a_cache(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    extract(list_images(make_folder()), tiny, tmp_path / "c.h5")
    before = (tmp_path / "c.h5").read_bytes()
    others = list_images(write_folder(tmp_path / "others", (3, 3), seed=500))
    others = replace(others, names=np.char.add(others.names, b"x"))
    (tmp_path / "others").rename(tmp_path / "away")
    shutil.copytree(tmp_path / "away", tmp_path / "others", copy_function=lambda a, b: shutil.copy(a, b + "x"))
    with pytest.raises(CacheMismatchError, match=r"image set is 24 images such as class0/0000.png .* but 6 such as"):
        extract(others, tiny, tmp_path / "c.h5")
    with pytest.raises(CacheMismatchError, match=r"image set is 24 images in the cache but a shard of 8 was asked for"):
        extract(list_images(tmp_path / "images").shard(0, 3), tiny, tmp_path / "c.h5")
    assert (tmp_path / "c.h5").read_bytes() == before
    assert extract(others, tiny, tmp_path / "c.h5", overwrite=True).done == 6


def test_images_that_are_gone_are_told(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder()
    extract(list_images(root), tiny, tmp_path / "c.h5")
    shutil.rmtree(root / "class0")
    assert extract(list_images(root), tiny, tmp_path / "c.h5").done == 12
    assert "12 of its images are not in this image set, such as class0/0000.png" in caplog.text


def test_a_complete_cache_of_another_device_is_not_what_was_asked_for(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "c.h5")
    with pytest.raises((DeviceError, CacheMismatchError), match=r"cuda|CUDA"):
        extract_features(images, tiny.backbone, into=tmp_path / "c.h5", settings=Settings(device="cuda"))


def test_shards_of_another_run_are_told(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.h5.shards").mkdir()
    extract(list_images(make_folder()), tiny, tmp_path / "c.h5")
    assert "c.h5.shards: contains shards of another run" in caplog.text
