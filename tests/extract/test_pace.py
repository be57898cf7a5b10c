"""calibrate: what is said holds, short runs are not held up, and the fastest of what was tried is taken."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.backbones import FeatureSession, open_session
from featx.backbones.store import load_backbone
from featx.cache import open_cache, read_features
from featx.errors import InferenceError
from featx.extract import extract_features, pace as calibrate
from featx.extract.pace import (
    Pace,
    open_at_pace,
    share_cores,
)
from featx.hardware import usable_cores
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.backbones.test_batch_axis import places_across_the_batch
from tests.conftest import Tiny
from tests.support.graphs import Graph, describe
from tests.support.sizes import as_exhaustive

CPU = Settings(device="cpu")
LONG = 10**6
"""Images of a run that calibration is worth."""


def set_rates(monkeypatch: pytest.MonkeyPatch, rates: Mapping[tuple[int, int], float]) -> None:
    """Let a batch size and a number of streams have these speeds, whatever the machine; 1 where none is told."""

    def measure(session: FeatureSession, pace: Pace, pixels: NDArray[np.uint8]) -> float:
        assert session.streams == pace.streams
        return rates.get((pace.batch_size, pace.streams), 1.0)

    monkeypatch.setattr(calibrate, "_measure", measure)
    monkeypatch.setattr(calibrate, "usable_cores", lambda: 4)
    monkeypatch.setattr(calibrate, "CPU_BATCH", 4)


@pytest.fixture
def images(make_folder: Callable[..., Path]) -> ImageSet:
    """A few images."""
    return list_images(make_folder((6, 6)))


def pace_of(images: ImageSet, tiny: Tiny, settings: Settings = CPU, *, count: int = LONG) -> Pace:
    """The pace that is chosen."""
    return open_at_pace(tiny.backbone, images, settings, count=count)[1]


def test_a_short_run_is_not_calibrated(images: ImageSet, tiny: Tiny) -> None:
    pace = pace_of(images, tiny, count=len(images))
    assert (pace.trials, pace.seconds) == ((), 0.0)


def test_a_long_run_takes_the_fastest_that_was_tried(images: ImageSet, tiny: Tiny) -> None:
    pace = pace_of(images, tiny)
    best = max(trial.images_per_second for trial in pace.trials)
    own = next(trial for trial in pace.trials if (trial.batch_size, trial.streams) == (pace.batch_size, pace.streams))
    assert own.images_per_second * calibrate.FASTER >= best * 0.999
    assert pace.seconds > 0


def test_batches_grow_as_long_as_that_is_faster(images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    set_rates(monkeypatch, {(4, 4): 10.0, (8, 4): 20.0, (16, 4): 40.0, (32, 4): 41.0, (64, 4): 999.0})
    pace = pace_of(images, tiny)
    assert (pace.batch_size, pace.streams, pace.threads) == (16, 4, 1)
    assert [trial.batch_size for trial in pace.trials if trial.streams == 4] == [4, 8, 16, 32]


def test_batches_shrink_where_growing_is_not_faster(
    images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rates(monkeypatch, {(4, 4): 10.0, (8, 4): 9.0, (2, 4): 12.0, (1, 4): 15.0})
    pace = pace_of(images, tiny)
    assert pace.batch_size == 1


def test_fewer_streams_of_more_threads_are_taken_where_they_are_faster(
    images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rates(monkeypatch, {(4, 4): 10.0, (4, 1): 11.0})
    session, pace = open_at_pace(tiny.backbone, images, CPU, count=LONG)
    assert (pace.batch_size, pace.streams, pace.threads) == (4, 1, 4)
    assert session.streams == 1


def test_noise_does_not_choose(images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    set_rates(monkeypatch, {(4, 4): 100.0, (8, 4): 102.0, (2, 4): 102.0, (4, 1): 102.0})
    assert pace_of(images, tiny).batch_size == 4


def test_what_is_said_is_not_calibrated(images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    set_rates(monkeypatch, {(6, 2): 1.0, (12, 2): 9.0})
    pace = pace_of(images, tiny, Settings("cpu", batch_size=6, streams=2, threads=1, workers=3))
    assert pace == Pace(6, streams=2, threads=1, workers=3)


def test_threads_that_are_said_leave_fewer_streams() -> None:
    assert share_cores(Settings(threads=4), 8) == (2, 4)
    assert share_cores(Settings(streams=2), 8) == (2, 4)
    assert share_cores(Settings(threads=9), 8) == (1, 9)
    assert share_cores(Settings(streams=9), 8) == (9, 1)


@pytest.mark.parametrize("cores", range(1, 130))
def test_streams_use_all_cores_but_a_few(cores: int) -> None:
    streams, threads = share_cores(Settings(), cores)
    assert 0 <= cores - streams * threads < threads
    assert streams <= calibrate.MOST_STREAMS


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize(("streams", "threads"), [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_every_stream_has_the_threads_that_it_was_given(tiny: Tiny, streams: int, threads: int) -> None:
    open_session(tiny.backbone, device="cpu", streams=1, threads=1)  # a process keeps a thread of its first one
    before = len(os.listdir("/proc/self/task"))
    session = open_session(tiny.backbone, device="cpu", streams=streams, threads=threads)
    callers = session.streams
    assert len(os.listdir("/proc/self/task")) - before == streams * threads - callers


def test_a_size_at_which_the_model_fails_is_not_taken(
    images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(session: FeatureSession, pace: Pace, pixels: NDArray[np.uint8]) -> float:
        if pace.batch_size > 4:
            raise InferenceError("too many")
        return 10.0 * pace.batch_size

    monkeypatch.setattr(calibrate, "_measure", measure)
    pace = pace_of(images, tiny)
    assert pace.batch_size == 4
    assert (8, 0.0) in [(trial.batch_size, trial.images_per_second) for trial in pace.trials]


def test_the_shards_of_one_set_have_the_same_batches(
    images: ImageSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rates(monkeypatch, {(8, 4): 99.0})
    assert pace_of(images, tiny).batch_size == 8
    assert pace_of(images.shard(0, 2), tiny).batch_size == calibrate.CPU_BATCH


def test_a_run_that_goes_on_has_the_batches_that_it_began_with(images: ImageSet, tiny: Tiny, tmp_path: Path) -> None:
    into, seen = tmp_path / "c.h5", []

    def stop(progress: object) -> None:
        seen.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(images, tiny.backbone, into=into, settings=Settings("cpu", batch_size=3), report=stop)
    summary = extract_features(images, tiny.backbone, into=into, settings=CPU)
    assert seen
    assert summary.reused > 0
    assert summary.pace is not None
    assert (summary.pace.batch_size, open_cache(into).attributes["batch_size"]) == (3, 3)


def test_images_that_fail_do_not_keep_a_run_from_being_calibrated(make_folder: Callable[..., Path], tiny: Tiny) -> None:
    root = make_folder((6, 6))
    for path in sorted(root.rglob("*.png"))[:3]:
        path.write_bytes(b"no image")
    images = list_images(root)
    sorted(root.rglob("*.png"))[3].unlink()
    assert pace_of(images, tiny).trials


def test_a_model_that_fixes_its_batch_is_given_whole_batches(tmp_path: Path, images: ImageSet) -> None:
    graph = Graph(3, 3, 16, 16)
    backbone = describe(graph.save(tmp_path / "m.onnx", places_across_the_batch(graph, 3)), "read")
    session, pace = open_at_pace(backbone, images, CPU, count=LONG)
    assert session.step == 3
    assert pace.batch_size == 3
    assert pace.trials == ()


@pytest.mark.parametrize("backbone", ["tiny", as_exhaustive("efficientnet-lite0")])
def test_features_are_the_same_bytes_at_every_pace(
    backbone: str, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    images, chosen = list_images(make_folder((6, 5))), load_backbone(backbone, folder=models)
    made = []
    for number, (batch, streams, threads) in enumerate([(1, 1, 1), (4, 2, 1), (3, 1, 2), (11, 3, 1)]):
        settings = replace(CPU, batch_size=batch, streams=streams, threads=threads)
        extract_features(images, chosen, into=tmp_path / f"{number}.h5", settings=settings)
        made.append(np.asarray(read_features(tmp_path / f"{number}.h5").features))
    for other in made[1:]:
        np.testing.assert_array_equal(other, made[0])


def test_no_more_cores_are_taken_than_a_container_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("featx.hardware.QUOTA", quota)
    free = usable_cores()
    for text, cores in (("50000 100000\n", 1), ("100000 100000\n", 1), ("max 100000\n", free), ("", free)):
        quota.write_text(text)
        assert usable_cores() == cores
