"""extract/advising: the end of a run says what limited it, and advises only what would help."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.backbones.store import load_backbone
from featx.extract import ExtractionSummary, extract_features
from featx.extract.clock import StageClock
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.conftest import Tiny, draw_image

CPU = Settings(device="cpu")


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images do not keep many cores busy."""
    monkeypatch.setattr("featx.extract.advising.usable_cores", lambda: 1)


def write_photographs(root: Path, ending: str) -> ImageSet:
    """Pictures of two megapixels, whose decoding is nearly all of the work of a tiny backbone."""
    root.mkdir()
    noise = np.random.default_rng(0).integers(-20, 21, (1067, 1600, 3), np.int16)
    pixels = np.clip(np.asarray(draw_image(0, size=(1600, 1067)), np.int16) + noise, 0, 255).astype(np.uint8)
    for number in range(8):
        Image.fromarray(np.roll(pixels, 100 * number, axis=1)).save(root / f"{number:02}{ending}")
    return list_images(root)


def extract(images: ImageSet, tiny: Tiny, into: Path, settings: Settings = CPU) -> ExtractionSummary:
    """Extract into a new cache."""
    return extract_features(images, tiny.backbone, into=into, settings=settings, overwrite=True)


@pytest.mark.usefixtures("one_core")
def test_large_photographs_are_told_what_the_fast_lane_would_give(tmp_path: Path, tiny: Tiny) -> None:
    images = write_photographs(tmp_path / "photos", ".jpg")
    summary = extract(images, tiny, tmp_path / "c.h5")
    assert summary.bound_by == "decode"
    load, advice = summary.advice
    assert re.fullmatch(r"[\d.]+ of \d+ cores busy(, other programs had the rest)?", load)
    told = re.fullmatch(r"--decode fast would give about ([\d.]+)×", advice)
    assert told
    assert float(told[1]) >= 1.1
    assert "--decode fast" not in str(extract(images, tiny, tmp_path / "f.h5", Settings("cpu", decode="fast")).advice)


def test_the_fast_lane_is_not_advised_where_it_changes_nothing(tmp_path: Path, tiny: Tiny) -> None:
    summary = extract(write_photographs(tmp_path / "photos", ".bmp"), tiny, tmp_path / "c.h5")
    assert "--decode fast" not in str(summary.advice)


@pytest.mark.usefixtures("one_core")
def test_a_run_that_the_model_limits_says_so(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    images = list_images(make_folder((20, 20)))
    summary = extract_features(images, load_backbone("efficientnet-lite0"), into=tmp_path / "c.h5", settings=CPU)
    assert summary.bound_by == "infer"
    assert "a GPU, or an int8 backbone" in summary.advice[1]


def test_a_slow_source_is_told(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, real = list_images(make_folder((10, 10))), ImageSet.read

    def slow(self: ImageSet, row: int) -> object:
        time.sleep(0.05)
        return real(self, row)

    monkeypatch.setattr(ImageSet, "read", slow)
    summary = extract(images, tiny, tmp_path / "c.h5")
    assert summary.bound_by == "read"
    assert "images come too slowly for" in summary.advice[1]


def test_idle_cores_are_told(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.extract.advising.usable_cores", lambda: 1000)
    monkeypatch.setattr(StageClock, "bound_by", "infer")  # on a busy machine, twenty small images may be bound by any
    images = list_images(make_folder((10, 10)))
    load, advice = extract(images, tiny, tmp_path / "c.h5").advice
    assert "of 1000 cores busy" in load
    assert "would use the other cores" in advice


def test_a_run_with_nothing_to_do_advises_nothing(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder((3, 3)))
    extract(images, tiny, tmp_path / "c.h5")
    again = extract_features(images, tiny.backbone, into=tmp_path / "c.h5", settings=CPU)
    assert (again.bound_by, again.advice, again.pace) == ("nothing", (), None)


@pytest.mark.parametrize(
    ("waited", "stage"), [("await pixels", "decode"), ("await features", "infer"), ("await disk", "write")]
)
def test_what_the_flow_waits_for_longest_is_what_limits_it(waited: str, stage: str) -> None:
    clock = StageClock()
    clock.seconds |= {"read": 1.0, "decode": 2.0, "infer": 2.0, "write": 2.0, waited: 0.5}
    assert clock.bound_by == stage
