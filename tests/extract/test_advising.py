"""extract/advising: the end of a run says what limited it, and advises only what would help."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.backbones import Card
from featx.extract import ExtractionSummary, extract_features
from featx.extract.advising import advise
from featx.extract.clock import StageClock
from featx.extract.pace import Pace
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.conftest import Tiny, draw_image

CPU = Settings(device="cpu")
WAITING_FOR = {"read": "await pixels", "decode": "await pixels", "infer": "await features", "write": "await disk"}


PACE = Pace(batch_size=2, streams=2, threads=1, workers=2)


def clock_of(stage: str, *, busy: float) -> StageClock:
    """A run of ten seconds on two cores that waited for this stage, which worked for this share of the cores' time."""
    clock = StageClock(elapsed=10.0, cpu_seconds=20 * busy)
    clock.seconds |= {stage: 20 * busy, WAITING_FOR[stage]: 9.0}
    clock.cpu |= {stage: 20 * busy}
    return clock


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, ...]]:
    """What a run is told on two cores; its clock is given, since a test that times a run fails on a busy machine."""
    monkeypatch.setattr("featx.extract.advising.usable_cores", lambda: 2)

    def told(clock: StageClock, images: ImageSet, card: Card, settings: Settings = CPU) -> tuple[str, ...]:
        return advise(clock, images, card, pace=PACE, settings=settings, on_cpu=True)

    return told


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


def test_large_photographs_are_told_what_the_fast_lane_would_give(
    tmp_path: Path, tiny: Tiny, advice: Callable[..., tuple[str, ...]]
) -> None:
    images, card = write_photographs(tmp_path / "photos", ".jpg"), tiny.backbone.card
    load, told = advice(clock_of("decode", busy=0.95), images, card)
    assert load == "1.9 of 2 cores busy"
    gain = re.fullmatch(r"--decode fast would give about ([\d.]+)×", told)
    assert gain
    assert float(gain[1]) >= 1.1
    assert "--decode fast" not in str(
        advice(clock_of("decode", busy=0.95), images, card, Settings("cpu", decode="fast"))
    )


def test_the_fast_lane_is_not_advised_where_it_changes_nothing(
    tmp_path: Path, tiny: Tiny, advice: Callable[..., tuple[str, ...]]
) -> None:
    images = write_photographs(tmp_path / "photos", ".bmp")
    _, told = advice(clock_of("decode", busy=0.95), images, tiny.backbone.card)
    assert told == "more cores, or smaller images, would help"


def test_a_run_that_the_model_limits_says_so(
    tmp_path: Path, tiny: Tiny, advice: Callable[..., tuple[str, ...]]
) -> None:
    clock = clock_of("infer", busy=0.95)
    clock.cpu["decode"] = 1.9
    _, told = advice(clock, write_photographs(tmp_path / "photos", ".bmp"), tiny.backbone.card)
    assert told == "90% of the work is the model: a GPU, or an int8 backbone (featx backbones quantize), would help"


@pytest.mark.parametrize("stage", ["decode", "infer"])
def test_cores_that_do_nothing_are_told(
    stage: str, tmp_path: Path, tiny: Tiny, advice: Callable[..., tuple[str, ...]]
) -> None:
    load, told = advice(clock_of(stage, busy=0.25), write_photographs(tmp_path / "photos", ".bmp"), tiny.backbone.card)
    assert load == "0.5 of 2 cores busy"
    assert told == "more --workers, --streams or --threads would use the other cores"


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
