"""Shards on one machine: whatever the number of shards, workers and kills, the file of one undisturbed run."""

import fcntl
import io
import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import TiffImagePlugin

import featx.errors
from featx.backbones import FeatureSession, open_session
from featx.backbones.store import load_backbone
from featx.cache import (
    PENDING,
    lock_cache,
    merge_caches,
    open_cache,
    partial_path,
)
from featx.errors import (
    CacheError,
    CacheLockedError,
    CacheMismatchError,
    ConvergenceError,
    DecodeError,
    DeviceError,
    Failure,
    FeatxError,
    ImageSetError,
)
from featx.extract import (
    ExtractionSummary,
    Progress,
    extract_features,
    extract_shards,
)
from featx.extract.shards import distributing
from featx.extract.shards.shard import Shard
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.conftest import Ran, Tiny, build_tiny, draw_image
from tests.extract.test_extract import StoppedError, masked, stop_after
from tests.support.lasting import LastingWorkers
from tests.support.sizes import shortened

FOUR = Settings(device="cpu", batch_size=4)
INTERRUPTED = "featx: interrupted; finished work is kept, and the same command continues from there\n"


def plain(images: ImageSet, tiny: Tiny, into: Path, **options: Any) -> ExtractionSummary:
    """The extraction by one process in one part."""
    return extract_features(images, tiny.backbone, into=into, settings=FOUR, **options)


def sharded(images: ImageSet, tiny: Tiny, into: Path, *, count: int = 4, **options: Any) -> ExtractionSummary:
    """The same extraction by shards."""
    return extract_shards(images, tiny.backbone, into=into, count=count, settings=FOUR, **options)


def write_slow_images(root: Path, count: int) -> Path:
    """Write images that take a few hundredths of a second each; no two have the same bytes."""
    root.mkdir()
    kinds = []
    for seed in range(8):
        buffer = io.BytesIO()
        draw_image(seed, size=(1300, 1300)).save(buffer, "PNG", compress_level=1)
        kinds.append(buffer.getvalue())
    for number in range(count):
        (root / f"{number:04}.png").write_bytes(kinds[number % 8] + b"%06d" % number)
    return root


def stop_at(finished: int) -> Callable[[Progress], None]:
    """A report that raises once so many images are done."""

    def report(progress: Progress) -> None:
        if progress.finished >= finished:
            raise StoppedError

    return report


def write_stopped(images: ImageSet, tiny: Tiny, into: Path) -> None:
    """What a run in four shards leaves if it is stopped in the third of them."""
    folder = into.with_name(into.name + ".shards")
    folder.mkdir()
    for index in (0, 1):
        plain(images.shard(index, 4), tiny, folder / f"{index:06}-of-000004.h5")
    with pytest.raises(StoppedError):
        plain(images.shard(2, 4), tiny, folder / "000002-of-000004.h5", report=stop_after(1))


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 64 images that take a few seconds together, a tiny backbone, and what one plain run makes."""
    return write_slow(tmp_path_factory.mktemp("slow"), 64)


@pytest.fixture(scope="module")
def few_slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 24 images."""
    return write_slow(tmp_path_factory.mktemp("few"), 24)


def write_slow(folder: Path, count: int) -> Path:
    """Write slow images, a tiny backbone, and what one plain run makes, into the folder."""
    plain(list_images(write_slow_images(folder / "images", count)), build_tiny(folder / "models"), folder / "whole.h5")
    return folder


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for what other processes hold."""
    monkeypatch.setattr(distributing, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(distributing, "FRUITLESS_ROUNDS", 2)


LASTING = LastingWorkers()
"""Workers of the tests that are not about how workers begin and end."""


@pytest.fixture(scope="module", autouse=True)
def no_lasting_workers_left() -> Iterator[None]:
    """They end with the tests that used them."""
    yield
    LASTING.end()


@pytest.fixture
def lasting_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are extracted by processes that other tests have used already; a run that fails ends even those."""
    LASTING.lend(monkeypatch)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Whatever the test does, none of its worker processes is left after it."""
    yield
    assert workers_of(psutil.Process()) == []


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that extract shards for this one, and have not been lent to it."""
    found, lasting = [], LASTING.waiting
    for one in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # what has just ended
            found += [one] if one.pid not in lasting and "popen_loky_posix" in " ".join(one.cmdline()) else []
    return found


def command(slow: Path, into: Path, *more: object) -> list[str]:
    """`featx extract` of the slow images."""
    given = [slow / "images", "--backbone", "tiny", "--models", slow / "models", "--into", into]
    fixed = ["--batch-size", 4, "--device", "cpu", "--workers", 1, "--threads", 1]
    return [sys.executable, "-m", "featx", "extract", *map(str, [*given, *fixed, *more])]


def acknowledged(into: Path) -> int:
    """Rows that the shards of this cache call done."""
    folder, rows = into.with_name(into.name + ".shards"), 0
    for path in [*folder.glob("*.h5"), *folder.glob("*.partial")]:
        with suppress(FileNotFoundError, CacheError):  # a shard that was sealed, or removed, since it was listed
            rows += int(np.count_nonzero(open_cache(path).status != PENDING))
    return rows


def is_written(into: Path) -> bool:
    """Whether a process is making a shard of this cache now."""
    return any(is_locked(path) for path in into.with_name(into.name + ".shards").glob("*.h5.lock"))


def is_locked(lock: Path) -> bool:
    """Whether a process holds this lock: a file alone is none."""
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until this is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.parametrize(("count", "jobs"), shortened([(1, 1), (6, 2), (6, 3)], most=2))
def test_any_number_of_shards_and_jobs_makes_the_file_of_one_run(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, count: int, jobs: int
) -> None:
    root = make_folder()
    (root / "class0" / "0003.png").write_bytes(b"no image")
    images = list_images(root)
    whole = plain(images, tiny, tmp_path / "whole.h5")
    summary = sharded(images, tiny, tmp_path / "c.h5", count=count, jobs=jobs)
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")
    assert (summary.images, summary.done, summary.failed, summary.reused) == (24, 23, 1, 0)
    assert summary.failures == whole.failures
    assert summary.cache == str(tmp_path / "c.h5")
    assert sorted(path.name for path in tmp_path.glob("c.h5*")) == ["c.h5"]


@pytest.mark.exhaustive
def test_shards_and_threads_change_no_bit_of_a_real_backbone(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    images, backbone = list_images(make_folder((7, 6))), load_backbone("efficientnet-lite0")
    for name, threads in (("one.h5", 1), ("two.h5", 2)):
        extract_features(images, backbone, into=tmp_path / name, settings=replace(FOUR, threads=threads))
    for name, count, jobs in (("three.h5", 3, 1), ("five.h5", 5, 2)):
        extract_shards(images, backbone, into=tmp_path / name, settings=FOUR, count=count, jobs=jobs)
    assert len({masked(path) for path in tmp_path.glob("*.h5")}) == 1


@pytest.mark.usefixtures("lasting_workers")
def test_what_the_threads_of_a_shard_warn_of_is_handed_on(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warning(*arguments: Any, **options: Any) -> FeatureSession:
        session = open_session(*arguments, **options)

        def run(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
            logging.getLogger("featx.backbones.session").warning("out of memory")
            return session.run(pixels)

        return replace(session, run=run)

    monkeypatch.setattr("featx.extract.pace.open_session", warning)
    images = list_images(make_folder((3, 3)))
    shard = Shard(images, tiny.backbone, tmp_path / "c.h5", FOUR, "float32", retry_failed=False, reuse=())
    assert "out of memory" in shard.extract(sharing=1).warnings
    assert sharded(images, tiny, tmp_path / "d.h5", count=2).advice == ()


@pytest.mark.usefixtures("lasting_workers")
def test_a_second_run_computes_nothing_starts_nobody_and_changes_nothing(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list_images(make_folder())
    sharded(images, tiny, tmp_path / "c.h5")
    before = (tmp_path / "c.h5").read_bytes()
    monkeypatch.setitem(sys.modules, "joblib.externals.loky", None)
    assert sharded(images, tiny, tmp_path / "c.h5").reused == 24
    assert (tmp_path / "c.h5").read_bytes() == before


def test_more_shards_than_images_are_refused(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="25 shards of 24 images: none may be empty"):
        sharded(list_images(make_folder()), tiny, tmp_path / "c.h5", count=25)
    assert list(tmp_path.glob("c.h5*")) == []


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.parametrize("kind", ["tar", "npy", "hdf5"])
def test_images_from_anywhere_reach_the_workers(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    images = list_images(WRITERS[kind](tmp_path))
    plain(images, tiny, tmp_path / "whole.h5")
    assert sharded(images, tiny, tmp_path / "c.h5", count=3, jobs=2).done == 10
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


def _write_tar(folder: Path) -> Path:
    with tarfile.open(folder / "set.tar", "w") as tar:
        for number in range(10):
            buffer = io.BytesIO()
            draw_image(number).save(buffer, "PNG")
            member = tarfile.TarInfo(f"class{number % 2}/{number}.png")
            member.size = len(buffer.getvalue())
            tar.addfile(member, io.BytesIO(buffer.getvalue()))
    return folder / "set.tar"


def _pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([np.asarray(draw_image(number)) for number in range(10)])


def _write_npy(folder: Path) -> Path:
    np.save(folder / "set.npy", _pixels())
    return folder / "set.npy"


def _write_hdf5(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "set.h5", "w") as file:
        file.create_dataset("images", data=_pixels(), chunks=(2, 20, 24, 3))
    return folder / "set.h5"


WRITERS = {"tar": _write_tar, "npy": _write_npy, "hdf5": _write_hdf5}


@pytest.mark.usefixtures("lasting_workers")
def test_progress_goes_over_the_whole_never_back_and_ends_at_the_end(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root, seen = make_folder(), list[Progress]()
    (root / "class1" / "0003.png").write_bytes(b"no image")
    sharded(list_images(root), tiny, tmp_path / "c.h5", report=seen.append)
    finished = [progress.finished for progress in seen]
    assert finished == sorted(finished)
    assert {progress.total for progress in seen} == {24}
    assert (seen[0].finished, seen[0].note) == (0, "0 of 4 shards")
    assert seen[-1] == Progress(24, 24, 1, "4 of 4 shards")


@pytest.mark.exhaustive
def test_a_report_that_raises_ends_the_run_and_what_is_done_is_kept(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    plain(images, tiny, tmp_path / "whole.h5")
    with pytest.raises(StoppedError):
        sharded(images, tiny, tmp_path / "c.h5", report=stop_at(12))
    kept = acknowledged(tmp_path / "c.h5")
    assert kept >= 12
    assert sharded(images, tiny, tmp_path / "c.h5").reused >= kept
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.exhaustive
def test_another_number_of_shards_takes_the_rows_of_those_before(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    plain(images, tiny, tmp_path / "whole.h5")
    with pytest.raises(StoppedError):
        sharded(images, tiny, tmp_path / "c.h5", report=stop_at(12))
    kept = acknowledged(tmp_path / "c.h5")
    assert sharded(images, tiny, tmp_path / "c.h5", count=7).reused == kept
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")
    assert sorted(path.name for path in tmp_path.glob("c.h5*")) == ["c.h5"]


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.parametrize("count", [1, 3])
def test_what_an_interrupted_run_without_shards_did_is_taken(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, count: int
) -> None:
    images = list_images(make_folder())
    plain(images, tiny, tmp_path / "whole.h5")
    with pytest.raises(StoppedError):
        plain(images, tiny, tmp_path / "c.h5", report=stop_after(3))
    assert sharded(images, tiny, tmp_path / "c.h5", count=count).reused == 12
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")
    assert sorted(path.name for path in tmp_path.glob("c.h5*")) == ["c.h5"]


@pytest.mark.usefixtures("lasting_workers")
def test_a_folder_that_grew_and_changed_between_runs_gives_what_a_fresh_run_gives(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    write_stopped(list_images(root), tiny, tmp_path / "c.h5")
    kept = acknowledged(tmp_path / "c.h5")
    draw_image(99).save(root / "class0" / "0000a.png")
    draw_image(98).save(root / "class1" / "0011.png")
    images = list_images(root)
    assert kept <= sharded(images, tiny, tmp_path / "c.h5", count=5).reused + 1
    plain(images, tiny, tmp_path / "fresh.h5")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "fresh.h5")
    (root / "class0" / "0004.png").rename(root / "class1" / "moved.png")
    assert sharded(list_images(root), tiny, tmp_path / "c.h5", count=3).reused == 25


@pytest.mark.usefixtures("lasting_workers")
def test_a_rotten_shard_is_mended_and_not_merged(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder())
    plain(images, tiny, tmp_path / "whole.h5")
    write_stopped(images, tiny, tmp_path / "c.h5")
    shard = tmp_path / "c.h5.shards" / "000000-of-000004.h5"
    with shard.open("r+b") as file:
        file.seek(open_cache(shard).fields["features/features"].offset + 5)
        file.write(b"\xff")
    assert sharded(images, tiny, tmp_path / "c.h5").reused >= 11
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.exhaustive
@pytest.mark.usefixtures("lasting_workers")
def test_overwrite_gives_up_the_cache_and_the_shards(
    make_folder: Callable[..., Path], make_tiny: Callable[..., Tiny], tiny: Tiny, tmp_path: Path
) -> None:
    images, other = list_images(make_folder()), make_tiny(tmp_path / "m", name="other", seed=1)
    sharded(images, tiny, tmp_path / "c.h5")
    with pytest.raises(CacheMismatchError, match="is tiny in the cache but other was asked for"):
        sharded(images, other, tmp_path / "c.h5")
    with pytest.raises(StoppedError):
        sharded(images, tiny, tmp_path / "c.h5", overwrite=True, report=stop_at(12))
    assert sharded(images, other, tmp_path / "c.h5", overwrite=True).reused == 0
    plain(images, other, tmp_path / "whole.h5")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.exhaustive
def test_failed_images_are_tried_again_when_told(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images, small = list_images(make_folder()), replace(FOUR, max_pixels=10)
    into = tmp_path / "c.h5"
    summary = extract_shards(images, tiny.backbone, into=into, count=3, settings=small, all_may_fail=True)
    assert summary.failed == 24
    assert sharded(images, tiny, into, count=3, all_may_fail=True).reused == 24
    assert sharded(images, tiny, tmp_path / "c.h5", count=3, retry_failed=True).done == 24


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.exhaustive
def test_shards_of_another_storage_are_refused(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder())
    with pytest.raises(StoppedError):
        sharded(images, tiny, tmp_path / "c.h5", storage="float16", report=stop_at(12))
    with pytest.raises(CacheMismatchError, match="storage is float16 in the cache but float32 was asked for"):
        sharded(images, tiny, tmp_path / "c.h5")
    plain(images, tiny, tmp_path / "whole.h5", storage="float16")
    sharded(images, tiny, tmp_path / "c.h5", storage="float16")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.usefixtures("lasting_workers")
def test_shards_made_by_another_runtime_are_not_merged_and_both_are_named(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.provenance import versions

    images = list_images(make_folder())
    (tmp_path / "c.h5.shards").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("featx.extract.extracting.versions", lambda: versions() | {"onnxruntime": "1.0"})
        plain(images.shard(2, 4), tiny, tmp_path / "c.h5.shards" / "000002-of-000004.h5")
    with pytest.raises(CacheMismatchError, match=r"000002-of-000004\.h5: version of onnxruntime is 1\.0 .*000000-of-"):
        sharded(images, tiny, tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()


@pytest.mark.usefixtures("lasting_workers")
def test_two_runs_at_once_are_refused(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder())
    with (
        lock_cache(tmp_path / "c.h5.shards" / "run"),
        pytest.raises(CacheLockedError, match="another process is writing"),
    ):
        sharded(images, tiny, tmp_path / "c.h5")
    assert sharded(images, tiny, tmp_path / "c.h5").done == 24


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.parametrize("released", shortened([True, False]))
def test_a_shard_that_another_process_holds_is_waited_for_but_not_for_ever(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture, released: bool
) -> None:
    images, shard = list_images(make_folder()), tmp_path / "c.h5.shards" / "000001-of-000004.h5"
    plain(images, tiny, tmp_path / "whole.h5")
    holder = lock_cache(shard)
    holder.__enter__()

    def release(progress: Progress) -> None:
        if released and "continuing with 1 of 4 shards" in caplog.text:
            holder.__exit__(None, None, None)

    if released:
        sharded(images, tiny, tmp_path / "c.h5", report=release)
        assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")
    else:
        with pytest.raises(CacheLockedError, match=r"000001-of-000004\.h5\.lock: another process is writing"):
            sharded(images, tiny, tmp_path / "c.h5")
        holder.__exit__(None, None, None)
        assert sharded(images, tiny, tmp_path / "c.h5").reused == 18


def test_what_is_no_cache_is_refused_before_any_work(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("path,label")
    with pytest.raises(CacheError, match="already exists and is not a featx cache"):
        sharded(list_images(make_folder()), tiny, tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious").read_text() == "path,label"
    assert not (tmp_path / "precious.shards").exists()


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.parametrize("jobs", shortened([1, 2]))
def test_an_error_in_a_worker_is_the_error_of_the_run(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, jobs: int
) -> None:
    images = list_images(make_folder())
    tiny.backbone.path.write_bytes(tiny.backbone.path.read_bytes() + b"more")
    with pytest.raises(FeatxError) as alone:
        plain(images, tiny, tmp_path / "a.h5")
    with pytest.raises(FeatxError) as met:
        sharded(images, tiny, tmp_path / "c.h5", jobs=jobs)
    assert (type(met.value), str(met.value)) == (type(alone.value), str(alone.value))


@pytest.mark.usefixtures("lasting_workers")
def test_warnings_of_workers_are_told_here(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "set.csv").write_text("path\n" + "".join(f"{number}.png\n" for number in range(6)))
    (tmp_path / "here").mkdir()
    for number in range(6):
        draw_image(number).save(tmp_path / "here" / f"{number}.png")
    images = list_images(tmp_path / "set.csv", root=tmp_path / "here")
    (tmp_path / "c.h5.shards").mkdir()
    for index in range(2):
        plain(images.shard(index, 2), tiny, tmp_path / "c.h5.shards" / f"{index:06}-of-000002.h5")
    (tmp_path / "here").rename(tmp_path / "away")
    sharded(images, tiny, tmp_path / "c.h5", count=2)
    told = [record for record in caplog.records if "images cannot be reached" in record.message]
    assert [(record.levelno, record.message[:8]) for record in told] == [(logging.WARNING, "3 images")] * 2


def every_error() -> Iterator[FeatxError]:
    """One of every class in the tree of errors."""
    for kind in vars(featx.errors).values():
        if not (isinstance(kind, type) and issubclass(kind, FeatxError)):
            continue
        if kind is DecodeError:
            yield DecodeError(Failure.DAMAGED, "cut short")
        elif kind is CacheMismatchError:
            yield CacheMismatchError("c.h5", what="size", inside=1, asked=2, step="choose")
        elif kind is ConvergenceError:
            yield ConvergenceError("the fit", iterations=9, reached="gradient norm 1", step="scale the features")
        else:
            yield kind("c.h5: the one line; the next step")


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: type(error).__name__)
def test_every_error_comes_back_from_a_worker_as_it_was(error: FeatxError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.args, vars(back)) == (type(error), str(error), error.args, vars(error))


def test_an_error_of_the_system_keeps_its_number() -> None:
    back = pickle.loads(pickle.dumps(CacheError(28, "No space left on device")))
    assert (back.errno, back.strerror) == (28, "No space left on device")


@pytest.mark.exhaustive
def test_a_worker_that_is_killed_costs_a_second_and_changes_no_byte(
    few_slow: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = list[psutil.Process]()

    def kill_one(progress: Progress) -> None:
        if progress.finished >= 8 and not killed:
            killed.append(workers_of(psutil.Process())[0])
            killed[0].kill()

    backbone, seen = load_backbone("tiny", folder=few_slow / "models"), list[int]()
    images = list_images(few_slow / "images")

    def report(progress: Progress) -> None:
        seen.append(progress.finished)
        kill_one(progress)

    extract_shards(images, backbone, into=tmp_path / "c.h5", count=6, jobs=2, settings=FOUR, report=report)
    assert killed
    assert "a worker process died" in caplog.text
    assert seen == sorted(seen)
    assert masked(tmp_path / "c.h5") == masked(few_slow / "whole.h5")


@pytest.mark.exhaustive
def test_workers_that_die_again_and_again_end_the_run_with_an_error(slow: Path, tmp_path: Path) -> None:
    def kill_all(progress: Progress) -> None:
        for worker in workers_of(psutil.Process()):
            worker.kill()

    backbone, images = load_backbone("tiny", folder=slow / "models"), list_images(slow / "images")
    with pytest.raises(DeviceError, match="a worker process died"):
        extract_shards(images, backbone, into=tmp_path / "c.h5", count=1, settings=FOUR, report=kill_all)


@pytest.mark.exhaustive
def test_a_run_ended_by_whatever_signal_leaves_no_worker_and_goes_on_to_the_same_bytes(
    slow: Path, tmp_path: Path
) -> None:
    into = tmp_path / "c.h5"
    line = command(slow, into, "--shards", 3, "--jobs", 2)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        running = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
        wait_until(lambda: is_written(into))
        if number == signal.SIGKILL:
            wait_until(lambda: acknowledged(into))
        workers = workers_of(psutil.Process(running.pid))
        assert workers
        # as a terminal does, that interrupts all processes in front
        (os.killpg if number == signal.SIGINT else os.kill)(running.pid, number)
        _, told = running.communicate(timeout=30)
        wait_until(lambda workers=workers: not any(worker.is_running() for worker in workers))  # type: ignore[misc]
        if number == signal.SIGKILL:
            assert running.returncode == -number
        else:
            # joblib's tracker of folders, a process of its own, may tell of one that the workers were quicker to remove
            own = [line for line in told.splitlines(keepends=True) if line.startswith("featx")]
            assert (running.returncode, own) == (130, [INTERRUPTED])
            assert "Traceback" not in told
    kept = acknowledged(into)
    again = subprocess.run([*line, "--json"], capture_output=True, text=True, timeout=120, check=True)
    assert f'"reused": {kept}' in again.stdout
    assert again.stderr == ""
    assert masked(into) == masked(slow / "whole.h5")


def test_an_interrupt_while_workers_start_is_told_in_one_line(few_slow: Path, tmp_path: Path) -> None:
    line = command(few_slow, tmp_path / "c.h5", "--shards", 3, "--jobs", 2)
    running = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: len(workers_of(psutil.Process(running.pid))) == 2)
    time.sleep(0.25)  # into their imports
    os.killpg(running.pid, signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert (running.returncode, told) == (130, INTERRUPTED)


@pytest.mark.exhaustive
def test_a_disk_that_is_full_for_a_worker_ends_the_run_in_one_line(few_slow: Path, tmp_path: Path) -> None:
    import resource

    line = command(few_slow, tmp_path / "c.h5", "--shards", 2)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, 2**12))  # noqa: E731
    done = subprocess.run(line, preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("featx: ")
    assert done.stderr.count("\n") == 1
    assert "no space for it" in done.stderr


@pytest.mark.exhaustive
def test_on_the_command_line_shards_make_the_file_of_the_whole(
    featx: Callable[..., Ran], make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    root = make_folder()
    common = (root, "--backbone", "tiny", "--models", models, "--batch-size", 4, "--device", "cpu")
    featx("extract", *common, "--into", tmp_path / "whole.h5")
    ran = featx("-q", "extract", *common, "--into", tmp_path / "c.h5", "--shards", 4, "--jobs", 2)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")
    parts = [tmp_path / f"part-{index}.h5" for index in range(2)]
    for index, part in enumerate(parts):
        assert featx("extract", *common, "--into", part, "--shard", f"{index}/2").code == 0
    assert featx("cache", "merge", *parts, "--into", tmp_path / "merged.h5").code == 0
    assert masked(tmp_path / "merged.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--jobs", 2), "--jobs and --scheduler need --shards"),
        (("--scheduler", "tcp://nowhere:1"), "--jobs and --scheduler need --shards"),
        (("--shards", 2, "--shard", "0/2"), "give one of the two"),
        (("--shards", 2, "--jobs", 2, "--scheduler", "tcp://nowhere:1"), "give one of the two"),
        (("--shard", "2/2"), "should be INDEX/COUNT"),
        (("--shards", 0), "0 is not in the range"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    featx: Callable[..., Ran], options: tuple[object, ...], told: str
) -> None:
    ran = featx("extract", ".", "--backbone", "tiny", "--into", "c.h5", *options)
    assert ran.code == 2
    assert told in " ".join(ran.err.split())


@pytest.mark.usefixtures("lasting_workers")
@pytest.mark.exhaustive
def test_parts_may_be_cut_again(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder())
    plain(images, tiny, tmp_path / "whole.h5")
    for index in range(2):
        sharded(images.shard(index, 2), tiny, tmp_path / f"{index}.h5", count=3)
    merge_caches([tmp_path / "0.h5", tmp_path / "1.h5"], into=tmp_path / "c.h5")
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


@pytest.mark.usefixtures("lasting_workers")
def test_a_link_to_a_cache_stays_a_link(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "real.h5")
    sharded(list_images(make_folder()), tiny, tmp_path / "link.h5")
    assert (tmp_path / "link.h5").is_symlink()
    assert open_cache(tmp_path / "real.h5").sealed
    assert not partial_path(tmp_path / "real.h5").exists()


@pytest.mark.usefixtures("lasting_workers")
def test_what_pillow_warns_of_is_not_told_by_workers(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    root = tmp_path / "warning"
    root.mkdir()
    for number in range(2):
        (root / f"{number}.tif").write_bytes(warning_tiff(number))
    given = (root, "--backbone", "tiny", "--models", models, "--into", tmp_path / "c.h5")
    ran = featx("extract", *given, "--shards", 2, "--max-failed", 1)
    assert (ran.code, ran.err) == (0, "")


def warning_tiff(seed: int) -> bytes:
    """A TIFF whose last tag lies behind the end of the file, at which Pillow warns."""
    buffer, tags, last = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2(), 33432
    tags[last] = "x" * 40
    draw_image(seed).save(buffer, "TIFF", tiffinfo=tags)
    data = bytearray(buffer.getvalue())
    entry = data.rindex(struct.pack("<HH", last, 2))
    struct.pack_into("<I", data, entry + 8, len(data) + 1000)
    return bytes(data)


@pytest.mark.usefixtures("lasting_workers")
def test_a_run_in_shards_holds_its_target_from_the_beginning(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    refused: list[pytest.ExceptionInfo[CacheLockedError]] = []

    def extract_too(progress: Progress) -> None:
        if not refused:
            with pytest.raises(CacheLockedError, match=r"c\.h5\.lock: another process is writing this cache") as told:
                plain(images, tiny, tmp_path / "c.h5")
            refused.append(told)

    assert sharded(images, tiny, tmp_path / "c.h5", report=extract_too).done == 24
    assert refused
    assert [found.name for found in tmp_path.glob("c.h5*")] == ["c.h5"]


@pytest.mark.usefixtures("lasting_workers")
def test_files_of_others_in_the_folder_of_the_shards_stay(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    folder = tmp_path / "c.h5.shards"
    folder.mkdir()
    names = ("notes-of-june.h5.txt", "000001-of-000007.h5", "000002-of-000007.h5.lock", "000003-of-000007.h5.partial")
    for name in names:
        (folder / name).write_text("precious")
    (folder / "000004-of-000007.h5").symlink_to(folder / "notes-of-june.h5.txt")
    for overwrite in (False, True):
        assert sharded(list_images(make_folder()), tiny, tmp_path / "c.h5", overwrite=overwrite).done == 24
    assert {found.name for found in folder.iterdir()} == {*names, "000004-of-000007.h5"}
    assert {(folder / name).read_text() for name in names} == {"precious"}


@pytest.mark.usefixtures("lasting_workers")
def test_a_run_in_shards_in_which_every_image_fails_writes_nothing(tiny: Tiny, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for number in range(4):
        (root / f"{number}.png").write_text("no image")
    with pytest.raises(ImageSetError, match=r"none of the 4 images has a feature \(4 as 0\.png: not an image"):
        sharded(list_images(root), tiny, tmp_path / "c.h5", count=2)
    assert [found.name for found in tmp_path.glob("c.h5*")] == []
    draw_image(1).save(root / "0.png")
    assert sharded(list_images(root), tiny, tmp_path / "c.h5", count=2).failed == 3
