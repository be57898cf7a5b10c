"""batches, extract/streaming: order, buffers that are used again, bounds on what lies in memory, whatever the pace."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.backbones import FeatureSession, open_session
from featx.errors import Failure, InferenceError
from featx.extract import FeatureBatch, FeatureStream, batches, open_stream
from featx.extract.batches import (
    Loading,
    Ring,
    iter_batches,
)
from featx.extract.budget import ByteBudget
from featx.extract.clock import StageClock
from featx.extract.pace import Pace
from featx.inputs import ImageSet, images_of_array, list_images
from featx.inputs.decode import decode_image, decode_views
from featx.settings import DEFAULTS, LARGEST_IMAGE, Settings
from tests.conftest import Tiny

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def spied(tiny: Tiny, run: Callable[[Run, NDArray[np.uint8]], NDArray[np.float32]], streams: int = 1) -> FeatureSession:
    """A session of the tiny backbone, each run of which goes through `run`."""
    session = open_session(tiny.backbone, device="cpu", threads=1, streams=streams)
    return replace(session, run=lambda pixels: run(session.run, pixels))


def stream(images: ImageSet, tiny: Tiny, session: FeatureSession, *, size: int, workers: int) -> Iterator[FeatureBatch]:
    """All features of the image set."""
    pace = Pace(size, session.streams, threads=1, workers=workers)
    return FeatureStream(images, tiny.backbone, DEFAULTS, session, pace).batches()


def expected(images: ImageSet, tiny: Tiny) -> NDArray[np.float32]:
    """What numpy makes of the images."""
    return tiny.expected(
        np.stack([decode_image(images.read(row), tiny.backbone.card.input.pixels) for row in range(len(images))])
    )


@pytest.mark.parametrize(("size", "streams", "workers"), [(1, 1, 1), (1, 4, 3), (3, 2, 1), (7, 3, 2), (64, 2, 4)])
def test_rows_come_in_order_and_right_at_every_pace(
    make_folder: Callable[..., Path], tiny: Tiny, size: int, streams: int, workers: int
) -> None:
    images = list_images(make_folder((21, 20)))
    delays = np.random.default_rng(size).uniform(0, 0.01, 1000)

    def late(run: Run, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(float(delays[int(pixels.sum()) % 1000]))
        return run(pixels)

    found = list(stream(images, tiny, spied(tiny, late, streams), size=size, workers=workers))
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in found]), np.arange(41))
    assert np.allclose(np.concatenate([batch.features[:, 0] for batch in found]), expected(images, tiny), atol=1e-5)


def test_so_many_batches_are_run_at_once_as_there_are_streams(make_folder: Callable[..., Path], tiny: Tiny) -> None:
    images = list_images(make_folder((12, 12)))
    together = threading.Barrier(3, timeout=20)

    def meet(run: Run, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        together.wait()
        return run(pixels)

    found = list(stream(images, tiny, spied(tiny, meet, streams=3), size=2, workers=2))
    assert sum(len(batch.rows) for batch in found) == 24


def test_nothing_of_an_earlier_batch_is_left_where_an_image_failed_or_none_is(
    make_folder: Callable[..., Path], tiny: Tiny
) -> None:
    root = make_folder((30, 31))
    damaged = sorted(root.rglob("*.png"))[1::3]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:60])
    images, seen = list_images(root), list[NDArray[np.uint8]]()

    def look(run: Run, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(pixels.copy())
        return run(pixels)

    found = list(stream(images, tiny, spied(tiny, look), size=4, workers=2))
    failed = np.concatenate([batch.status for batch in found]) != 1
    assert failed.sum() == len(damaged)
    slots = np.concatenate(seen)
    empty = np.concatenate([failed, np.ones(len(slots) - len(failed), bool)])
    assert len(slots) == 64
    assert not slots[empty].any()
    assert slots[~empty].reshape((~empty).sum(), -1).any(axis=1).all()


def test_a_long_run_takes_no_more_buffers_than_a_short_one(make_folder: Callable[..., Path], tiny: Tiny) -> None:
    taken = []
    for count in (16, 60):
        images, made = list_images(make_folder((count, count), name=f"of {count}")), list[int]()
        session = open_session(tiny.backbone, device="cpu", threads=1, streams=2)

        class Counting(FeatureSession):
            def new_buffer(self, count: int, made: list[int] = made) -> NDArray[np.uint8]:
                made.append(count)
                return super().new_buffer(count)

        counting = Counting(**vars(session))
        assert sum(len(batch.rows) for batch in stream(images, tiny, counting, size=2, workers=2)) == 2 * count
        taken.append(len(made))
    assert taken[1] <= max(
        taken[0], Loading(tiny.backbone.card.input.pixels, 2, 2, 10**6, "exact", ("center",), StageClock()).ahead + 4
    )


@pytest.mark.parametrize("bytes_ahead", [1, 2000])
def test_images_of_any_size_pass_however_few_bytes_may_lie_ready(
    make_folder: Callable[..., Path], tiny: Tiny, monkeypatch: pytest.MonkeyPatch, bytes_ahead: int
) -> None:
    monkeypatch.setattr(batches, "BYTES_AHEAD", bytes_ahead)
    images = list_images(make_folder((20, 20)))
    session = open_session(tiny.backbone, device="cpu", threads=1, streams=2)
    found = list(stream(images, tiny, session, size=16, workers=3))
    assert np.allclose(np.concatenate([batch.features[:, 0] for batch in found]), expected(images, tiny), atol=1e-5)


def test_fewer_images_are_read_ahead_the_larger_they_are(
    make_folder: Callable[..., Path], tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, real, counts = list_images(make_folder((60, 60))), ImageSet.read, []
    for bytes_ahead in (10**9, 1):
        monkeypatch.setattr(batches, "BYTES_AHEAD", bytes_ahead)
        loading = Loading(tiny.backbone.card.input.pixels, 1, 8, 10**6, "exact", ("center",), StageClock())
        ring = Ring(loading.ahead + 4, lambda: np.zeros((8, 16, 16, 3), np.uint8))
        read = list[int]()

        def note(self: ImageSet, row: int, read: list[int] = read) -> object:
            read.append(row)
            return real(self, row)

        monkeypatch.setattr(ImageSet, "read", note)
        found = iter_batches(images, loading, rows=range(len(images)), ring=ring)
        for _ in range(4):
            next(found)
        time.sleep(0.2)
        counts.append(len(read))
        found.close()  # type: ignore[attr-defined]
    assert counts[1] < counts[0]


@pytest.mark.parametrize("workers", [1, 4])
def test_images_that_are_read_and_not_decoded_have_few_bytes_whatever_their_sizes(
    make_folder: Callable[..., Path], tiny: Tiny, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    folder = make_folder((30, 30))
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        with path.open("ab") as file:
            file.write(bytes([number]) * (50_000 if number % 7 == 3 else number))
    images, total, held, most = list_images(folder), 120_000, 0, 0
    lock, read, decode = threading.Lock(), ImageSet.read, decode_views
    monkeypatch.setattr(batches, "BYTES_AHEAD", total)

    def count(size: int) -> None:
        nonlocal held, most
        with lock:
            held += size
            most = max(most, held)

    def counted_read(self: ImageSet, row: int) -> object:
        stored = read(self, row)
        count(len(stored))
        return stored

    def counted_decode(stored: bytes, *arguments: Any, **options: Any) -> object:
        count(-len(stored))
        return decode(stored, *arguments, **options)

    monkeypatch.setattr(ImageSet, "read", counted_read)
    monkeypatch.setattr(batches, "decode_views", counted_decode)
    session = open_session(tiny.backbone, device="cpu", threads=1, streams=2)
    found = list(stream(images, tiny, session, size=16, workers=workers))
    assert np.concatenate([batch.rows for batch in found]).tolist() == list(range(60))
    assert all((batch.status == 1).all() for batch in found)
    assert held == 0
    assert most <= total + 60_000


def test_a_file_above_the_limit_for_one_image_fails_alone_and_is_not_read(
    make_folder: Callable[..., Path], tiny: Tiny
) -> None:
    folder = make_folder((2, 2))
    with (folder / "large.png").open("wb") as file:
        file.truncate(LARGEST_IMAGE + 1)
    images = images_of_array(sorted(map(str, folder.rglob("*.png"))))
    session = open_session(tiny.backbone, device="cpu", threads=1, streams=1)
    (batch,) = stream(images, tiny, session, size=8, workers=2)
    assert sorted(batch.status.tolist()) == [1, 1, 1, 1, Failure.TOO_LARGE]
    assert list(batch.details.values()) == [f"{Failure.TOO_LARGE.text} (257 MB, above the limit of 257 MB)"]
    with pytest.raises(OSError, match="above the limit"):
        images.read(int(batch.rows[batch.status != 1][0]))


def test_an_image_that_was_read_and_cannot_be_fingerprinted_gives_its_bytes_back(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def _lack(stored: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(batches, "fingerprint", _lack)
    monkeypatch.setattr(ImageSet, "stat", lambda images, row: (1, 0))  # the image has more bytes than that
    budget = ByteBudget(1000)
    reads = batches._Reader(list_images(make_folder((1,))), StageClock(), budget).read([0])
    assert [read.stored for read in reads.images] == [None]
    assert budget.take(1000)


def test_too_many_open_files_end_the_run_and_are_no_failure_of_an_image(
    make_folder: Callable[..., Path], tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ImageSet, row: int) -> object:
        raise OSError(errno.EMFILE, "Too many open files", self.name(row))

    images = list_images(make_folder((4, 4)))
    monkeypatch.setattr(ImageSet, "read", fail)
    session = open_session(tiny.backbone, device="cpu", threads=1, streams=1)
    with pytest.raises(OSError, match="Too many open files"):
        list(stream(images, tiny, session, size=2, workers=2))


@pytest.mark.parametrize("streams", [1, 3])
def test_a_run_that_fails_ends_the_whole_with_its_error(
    make_folder: Callable[..., Path], tiny: Tiny, streams: int
) -> None:
    images, calls = list_images(make_folder((20, 20))), []

    def fail(run: Run, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(1)
        if len(calls) > 3:
            raise InferenceError("no more")
        return run(pixels)

    with pytest.raises(InferenceError, match="no more"):
        list(stream(images, tiny, spied(tiny, fail, streams), size=2, workers=2))


def test_a_stream_that_is_left_ends_its_threads(make_folder: Callable[..., Path], tiny: Tiny) -> None:
    images = list_images(make_folder((40, 40)))
    found = stream(images, tiny, open_session(tiny.backbone, device="cpu", streams=2), size=2, workers=2)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("featx")]


def test_a_block_that_is_left_ends_the_threads_of_its_unfinished_streams(
    make_folder: Callable[..., Path], tiny: Tiny
) -> None:
    images = list_images(make_folder((40, 40)))
    settings = Settings("cpu", batch_size=2, streams=2, workers=2)
    with pytest.raises(KeyboardInterrupt), open_stream(images, tiny.backbone, settings) as stream:
        for _ in stream.batches():
            raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("featx")]


def test_the_clock_tells_waiting_from_work() -> None:
    clock = StageClock()
    with clock.time("decode"):
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            sum(range(1000))
    with clock.time("await pixels"):
        time.sleep(0.05)
    assert clock.cpu["decode"] > 5 * clock.cpu["await pixels"]
    clock.stop()
    assert clock.bound_by == "decode"
    assert clock.elapsed >= 0.1
