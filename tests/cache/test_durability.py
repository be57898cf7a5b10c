"""What the cache promises, broken on purpose: power cuts, failing disks, kills, second writers, rot.

The other tests of the cache say what each part does; these let whole extractions meet a disk or a system that fails,
at every point where it can.
"""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from featx.cache import (
    PENDING,
    open_cache,
    partial_path,
    read_features,
    verify_cache,
)
from featx.cli import main
from featx.errors import CacheError
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings
from tests.conftest import Tiny, build_tiny, draw_image, write_folder
from tests.extract.test_extract import StoppedError, stop_after
from tests.support.breaking import (
    INTERRUPTED,
    STILL_RUNS,
    Kill,
    Life,
    Pace,
    Row,
    Server,
    acknowledged,
    done_rows,
    stop,
    timeless,
    truth_of,
    until,
)
from tests.support.disks import OPENS, REMOVALS, WRITES, Call, Disk, Failing, watch
from tests.support.sizes import shortened

BATCH = 4


@dataclass(frozen=True)
class Job:
    """One command: these images, this backbone, into a folder where nothing else lies."""

    images: Path
    tiny: Tiny
    folder: Path

    @property
    def into(self) -> Path:
        """The cache that it makes."""
        return self.folder / "c.h5"

    @property
    def partial(self) -> Path:
        """The same while it is not complete."""
        return partial_path(self.into)

    @property
    def files(self) -> set[str]:
        """What lies in the folder."""
        return {path.name for path in self.folder.iterdir()}

    def arguments(self) -> tuple[object, ...]:
        """The command."""
        models = self.tiny.backbone.path.parent
        options = ("--backbone", "tiny", "--models", models, "--batch-size", BATCH, "--device", "cpu")
        return ("extract", self.images, *options, "--into", self.into)

    def run(self, *, into: Path | None = None, stop: int | None = None, overwrite: bool = False) -> None:
        """The same in this process; stop after so many batches."""
        settings = Settings("cpu", batch_size=BATCH, workers=1)
        images, report = list_images(self.images), stop_after(stop or -1)
        extract_features(
            images, self.tiny.backbone, into=into or self.into, settings=settings, overwrite=overwrite, report=report
        )

    def stop(self, batches: int) -> None:
        """Extract, and be stopped after so many batches."""
        with pytest.raises(StoppedError):
            self.run(stop=batches)

    def undisturbed(self) -> Path:
        """The cache that the command makes of the images as they are now where nothing disturbs it."""
        path = self.folder.with_name("undisturbed.h5")
        self.run(into=path, overwrite=True)
        return path

    def write(self, files: dict[str, bytes]) -> None:
        """Let these files lie in the folder, and nothing else."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def contents(self) -> dict[str, bytes]:
        """Names and bytes of what lies in the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def make_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Job]:
    """Write so many images in two classes, and an empty folder to extract into; batches are acknowledged at once."""
    monkeypatch.setattr("featx.cache.writing.SYNC_SECONDS", -1.0)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # what syncs do is followed here; real ones take seconds

    def make(images: int) -> Job:
        (tmp_path / "caches").mkdir()
        root = write_folder(tmp_path / "images", (images // 2, images // 2))
        return Job(root, build_tiny(tmp_path / "models"), tmp_path / "caches")

    return make


@pytest.fixture
def job(make_job: Callable[[int], Job]) -> Job:
    """A command on 28 images in seven batches, two of them of equal bytes, which are computed once."""
    job = make_job(28)
    shutil.copy(job.images / "class0" / "0001.png", job.images / "class1" / "0009.png")
    return job


@pytest.fixture
def small(make_job: Callable[[int], Job]) -> Job:
    """A command on 8 images in two batches."""
    return make_job(8)


def grow(job: Job) -> None:
    """New images, in the middle and at the end."""
    for number in range(5):
        draw_image(7000 + number).save(job.images / f"class{number % 2}" / f"0002{number}.png")


def change(job: Job) -> None:
    """Other bytes under the same names."""
    for number in range(0, 14, 3):
        if (path := job.images / "class0" / f"{number:04}.png").exists():
            draw_image(8000 + number).save(path)


def touch(job: Job) -> None:
    """The same bytes, of another time."""
    for path in job.images.rglob("*.png"):
        os.utime(path, ns=(1, 1))


def turn_over(job: Job) -> None:
    """New, gone, changed, renamed, moved to the other class."""
    grow(job)
    change(job)
    (job.images / "class0" / "0001.png").unlink()
    (job.images / "class0" / "0002.png").rename(job.images / "class1" / "moved.png")
    (job.images / "class1" / "0001.png").rename(job.images / "class1" / "aaa.png")


LIVES: dict[str, tuple[Callable[[Job], None], ...]] = {
    "begun": (),
    "gone on with": (lambda job: job.stop(1),),
    "gone on with, images changed": (lambda job: job.stop(1), change),
    "gone on with, folder grown": (lambda job: job.stop(1), grow),
    "gone on with, images touched": (lambda job: job.stop(2), touch),
    "sealed": (lambda job: job.stop(-(-len(list_images(job.images)) // BATCH)),),
    "updated": (Job.run, turn_over),
    "updated, stopped, gone on with": (Job.run, grow, lambda job: job.stop(1)),
}
"""What was done before the extraction that is disturbed; "sealed": every row is there, but not yet checked."""


def begin(job: Job, life: str) -> None:
    """Bring the folder where this life begins."""
    for step in LIVES[life]:
        step(job)


# -- power cuts --------------------------------------------------------------------------------------------------------


def record(job: Job, ignored: Callable[[str], bool] = lambda name: False) -> Disk:
    """Extract, and remember what the disk went through."""
    disk = Disk(job.folder, ignored)
    with pytest.MonkeyPatch.context() as patch:
        watch(job.folder, patch, disk)
        job.run()
    return disk


def moments(disk: Disk, rng: np.random.Generator, *, count: int) -> list[int]:
    """Moments in the order of time: random ones, and all of the sealing."""
    last = len(disk.states)
    return sorted([*map(int, rng.integers(last, size=count)), *range(max(0, last - 12), last)])


def broken(reason: str) -> pytest.MarkDecorator:
    """What featx does not keep yet, and why."""
    return pytest.mark.xfail(strict=True, reason=reason)


NOT_KEPT = {
    "gone on with, images touched": "acknowledged rows are set back to pending before their images are read again",
}


QUICK_LIVES = ("begun", "gone on with, images touched", "sealed")
"""At least one of every kind; `make check` tries all, and at more moments those that are not here."""


@pytest.mark.parametrize(
    ("life", "count"),
    [
        pytest.param(life, 16, id=life, marks=broken(NOT_KEPT[life]) if life in NOT_KEPT else ())
        if life in QUICK_LIVES
        else pytest.param(life, 32, id=life, marks=pytest.mark.exhaustive)
        for life in LIVES
    ],
)
def test_a_power_cut_at_any_moment_loses_no_acknowledged_row(job: Job, life: str, count: int) -> None:
    begin(job, life)
    result = job.undisturbed()
    truth, wanted = truth_of(job.into, result), done_rows(result)
    disk, rng = record(job), np.random.default_rng(0)
    certain: set[Row] = set()
    for number, moment in enumerate(moments(disk, rng, count=count)):
        job.write(disk.least(moment))
        certain |= wanted & acknowledged(job.into)  # what no power cut from now on can take
        job.write(disk.after_power_cut(moment, rng))
        assert list(truth.problems(job.into)) == []
        assert certain <= acknowledged(job.into)
        if number % 6 == 0:
            job.run()
            assert timeless(job.into) == timeless(result)


def test_a_cache_whose_syncs_do_nothing_does_lose_rows(job: Job) -> None:
    """The test above can fail: without the sync before the status, acknowledged rows are not there."""
    truth = truth_of(job.into, job.undisturbed())
    disk, rng = record(job, ignored=lambda name: name.endswith(".partial")), np.random.default_rng(0)
    found = set()
    for moment in moments(disk, rng, count=60):
        job.write(disk.after_power_cut(moment, rng))
        found |= {problem.partition(": ")[2] or problem for problem in truth.problems(job.into)}
    assert "a checksum is wrong" in found
    assert "what stands under the final name is not complete" in found


# -- disks that fail ---------------------------------------------------------------------------------------------------

FULL = (errno.ENOSPC, errno.EDQUOT)
CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT)


def fail_everywhere(job: Job, names: tuple[str, ...]) -> Iterator[tuple[str, int, Exception | None]]:
    """Let every call of these names fail in turn: the call, the code, and what the command raised."""
    before, at = job.contents(), 0
    while True:
        job.write(before)
        failing, raised = Failing(at, CODES[at % len(CODES)], names), None
        with pytest.MonkeyPatch.context() as patch:
            watch(job.folder, patch, failing)
            try:
                job.run()
            except Exception as error:
                raised = error
        if at >= len(failing.calls):
            return
        yield failing.calls[at], failing.code, raised
        at += 1


OPEN_TO_WRITE = ("os.open",)


@pytest.mark.parametrize(
    "names",
    [
        tuple(name for name in WRITES if name not in OPEN_TO_WRITE),
        OPEN_TO_WRITE,
    ],
    ids=["written", "opened to write"],
)
@pytest.mark.parametrize(
    ("life", "completed"), shortened([("begun", 4), ("begun", 1), ("gone on with, folder grown", 1), ("updated", 1)])
)
def test_whichever_write_fails_the_command_says_so_and_then_completes(
    small: Job, life: str, completed: int, names: tuple[str, ...]
) -> None:
    """Every write fails; the command is given again after one in `completed`, as an extraction is dear."""
    begin(small, life)
    result = small.undisturbed()
    truth, had = truth_of(small.into, result), acknowledged(small.into) & done_rows(result)
    calls = set()
    for number, (call, code, raised) in enumerate(fail_everywhere(small, names)):
        calls.add(call.split()[0])
        check_told(raised, small)
        assert ("no space" in str(raised)) == (code in FULL)
        assert list(truth.problems(small.into)) == []
        assert had <= acknowledged(small.into)
        assert small.files <= {"c.h5", "c.h5.partial"}
        if number % completed == 0:
            small.run()
            assert timeless(small.into) == timeless(result)
    assert calls >= {"os.pwrite", "os.fsync", "os.posix_fallocate", "os.open"} & set(names)
    assert calls & {"os.link", "os.replace"} or names == OPEN_TO_WRITE


def test_the_twin_of_a_row_that_could_not_be_written_is_not_acknowledged(small: Job) -> None:
    shutil.copy(small.images / "class0" / "0001.png", small.images / "class1" / "0003.png")
    truth = truth_of(small.into, small.undisturbed())
    for _ in fail_everywhere(small, ("os.pwrite",)):
        assert list(truth.problems(small.into)) == []


def check_told(raised: Exception | None, job: Job) -> None:
    """One line that names the file and the next step."""
    assert isinstance(raised, CacheError), repr(raised)
    assert str(job.into) in str(raised)
    assert "; " in str(raised), "no next step"
    assert "\n" not in str(raised)


@pytest.mark.parametrize("life", ["begun", "gone on with", "updated"])
def test_nobody_is_told_to_delete_a_cache_because_it_cannot_be_opened_now(small: Job, life: str) -> None:
    begin(small, life)
    for _, _, raised in fail_everywhere(small, OPENS):
        check_told(raised, small)
        told = str(raised).replace(str(small.folder), "")
        assert not any(word in told for word in ("delete", "overwrite", "restore", "extract again")), told


def test_a_lock_that_cannot_be_removed_ends_nothing(small: Job) -> None:
    result = small.undisturbed()
    for _, _, raised in fail_everywhere(small, REMOVALS):
        assert raised is None
        assert timeless(small.into) == timeless(result)
        small.run()


def test_rows_of_a_sync_that_failed_are_not_acknowledged_by_the_next(job: Job) -> None:
    """After a sync that failed, Linux forgets what was to be written, and calls the next sync a success."""
    truth = truth_of(job.into, job.undisturbed())
    synced: list[bytes] = []

    def forget(call: Call) -> object:
        if call.name != "os.fsync" or not call.target.endswith(".partial") or len(synced) > 2:
            return call.go()
        if len(synced) < 2:
            result = call.go()
            synced.append(job.partial.read_bytes())
            return result
        job.partial.write_bytes(synced[-1])
        synced.append(b"")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(CacheError, match="Input/output error"):
        watch(job.folder, patch, forget)
        job.run()
    assert list(truth.problems(job.into)) == []
    job.run()
    assert timeless(job.into) == truth.complete[0]


def test_writes_that_are_cut_short_are_finished(job: Job) -> None:
    result, rng, cut = job.undisturbed(), np.random.default_rng(0), 0

    def shorten(call: Call) -> object:
        nonlocal cut
        if call.name != "os.pwrite":
            return call.go()
        descriptor, data, offset = call.arguments
        size = int(rng.integers(1, len(data) + 1))
        cut += size < len(data)
        return call.real(descriptor, data[:size], offset)

    with pytest.MonkeyPatch.context() as patch:
        watch(job.folder, patch, shorten)
        job.run()
    assert cut > 20
    assert timeless(job.into) == timeless(result)


def test_calls_that_signals_interrupt_are_finished(job: Job) -> None:
    result, heard = job.undisturbed(), []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        job.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(heard) > 20
    assert timeless(job.into) == timeless(result)


# -- commands of their own ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What commands are forked from."""
    with Server(tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture
def server(forks: Server) -> Iterator[Server]:
    """The same, of which no test takes a traceback."""
    forks.told()
    yield forks
    assert forks.crashes() == []


def has_rows(job: Job) -> bool:
    """Whether the unfinished cache has an acknowledged row."""
    return rows_of(job) > 0


def rows_of(job: Job) -> int:
    """Number of rows that the unfinished cache has acknowledged."""
    return int(np.count_nonzero(open_cache(job.partial).status != PENDING)) if job.partial.exists() else 0


SLOW = Pace(sync_seconds=-1.0, delay=0.004)
SLOWER = Pace(sync_seconds=-1.0, delay=0.01)


@pytest.fixture(scope="session")
def tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real disk of its own that is soon full; needs the right to mount one."""
    folder = tmp_path_factory.mktemp("disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(path: Path) -> None:
    """Let this file take all that is left of its disk."""
    with pytest.raises(OSError, match="No space left"):
        path.write_bytes(bytes(2**21))


def test_a_full_disk_is_told_before_the_first_image_and_loses_nothing(job: Job, tmpfs: Path, server: Server) -> None:
    on_disk, filler = Job(job.images, job.tiny, tmpfs), tmpfs / "filler"
    for _ in range(2):  # at first, and where a complete cache is to be updated
        before = on_disk.contents()
        fill(filler)
        assert server.run("-q", *on_disk.arguments()) == 1
        assert f"{on_disk.into}: no space for it" in server.told()
        filler.unlink()
        assert on_disk.contents() == before
        assert server.run("-q", *on_disk.arguments()) == 0
        assert timeless(on_disk.into) == timeless(job.undisturbed())
        grow(job)
    on_disk.into.unlink()


def test_a_disk_that_others_fill_meanwhile_does_not_end_the_run(job: Job, tmpfs: Path, server: Server) -> None:
    on_disk = Job(job.images, job.tiny, tmpfs)
    pid = server.start(*on_disk.arguments(), pace=SLOW)
    until(on_disk.partial.exists)
    fill(tmpfs / "filler")
    assert server.wait(pid) == 0
    assert timeless(on_disk.into) == timeless(job.undisturbed())
    (tmpfs / "filler").unlink()
    on_disk.into.unlink()


@pytest.mark.parametrize("step", shortened([4 * 4096, 4096]))
def test_a_limit_on_the_size_of_files_is_told_and_leaves_nothing(small: Job, server: Server, step: int) -> None:
    size = small.undisturbed().stat().st_size
    for limit in sorted({4095, 4096, 4097, *range(8192, size, step), size - 1}):
        assert server.run("-q", *small.arguments(), pace=Pace(largest_file=limit)) == 1
        told = server.told()
        assert told.count("\n") == 1
        assert f"{small.into}: no space for it" in told
        assert small.files == set()


# -- kills -------------------------------------------------------------------------------------------------------------


def test_kills_while_rows_are_written_change_no_byte(make_job: Callable[[int], Job], server: Server) -> None:
    job, rng = make_job(48), np.random.default_rng(0)
    result = job.undisturbed()
    life = Life(server, ("-q", *job.arguments()), job.into, truth_of(job.into, result), SLOW, about=3)
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        before = acknowledged(job.into)
        life.kill(how, rng.uniform(0, 0.03), after=lambda: job.into.exists() or rows_of(job) > len(before))  # noqa: B023
        assert list(life.truth.problems(job.into)) == []
        assert before <= acknowledged(job.into)
    assert server.run("-q", *job.arguments()) == 0
    assert timeless(job.into) == timeless(result)


@pytest.mark.exhaustive
def test_some_twenty_kills_in_one_life_and_its_update_change_no_byte(
    make_job: Callable[[int], Job], server: Server
) -> None:
    job, rng = make_job(100), np.random.default_rng(0)
    kills: list[Kill] = []
    for steps in (), (turn_over, lambda job: write_folder(job.images, (60, 60), seed=500)):
        for step in steps:
            step(job)
        result = job.undisturbed()
        life = Life(server, ("-q", *job.arguments()), job.into, truth_of(job.into, result), SLOWER, about=15)
        kills += life.kills(rng, wanted=done_rows(result))
        assert timeless(job.into) == timeless(result)
    assert len(kills) >= 15
    assert {"running", "complete"} <= {kill.phase for kill in kills}


@pytest.mark.parametrize("how", shortened([signal.SIGKILL, signal.SIGTERM]))
@pytest.mark.parametrize(
    ("life", "times"),
    shortened([("updated", 2), ("updated", 4), ("begun", 4), ("gone on with, folder grown", 4), ("sealed", 4)]),
)
def test_a_kill_while_the_file_is_made_or_sealed_loses_nothing(
    small: Job, server: Server, life: str, times: int, how: signal.Signals
) -> None:
    begin(small, life)
    result, rng = small.undisturbed(), np.random.default_rng(0)
    truth, before = truth_of(small.into, result), small.contents()
    had = acknowledged(small.into) & done_rows(result)
    for _ in range(times):
        small.write(before)
        pid = server.start("-q", *small.arguments(), pace=Pace(sync_seconds=-1.0, delay=0.02))
        until(lambda: any(small.folder.glob("c.h5.*.new")) or life == "sealed")
        time.sleep(rng.uniform(0, 0.25))
        os.kill(pid, how)
        assert server.wait(pid) in (-how, 130, 0)
        assert list(truth.problems(small.into)) == []
        assert had <= acknowledged(small.into)
        assert server.run("-q", *small.arguments()) == 0
        assert timeless(small.into) == timeless(result)


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_that_it_goes_on_and_leaves_its_rows_alone(
    job: Job, server: Server, how: signal.Signals
) -> None:
    pid = server.start("-q", *job.arguments(), pace=SLOW)
    until(lambda: has_rows(job))
    os.kill(pid, how)
    while (code := server.wait(pid, seconds=0.5)) == STILL_RUNS:
        os.kill(pid, how)  # the first may have been lost, see below
    assert code == INTERRUPTED
    assert server.told().endswith(
        "featx: interrupted; finished work is kept, and the same command continues from there\n"
    )
    assert job.files == {"c.h5.partial"}
    assert acknowledged(job.into)


class Interrupting:
    """Whose end is the moment at which a signal comes."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(1000))  # Python hears of signals between its own instructions


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Leave the handlers of signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def lose_signal() -> None:
    """What Python does with an exception where an object is destroyed: it prints it, and goes on."""
    Interrupting()


def wrap_signal() -> None:
    """What Python does with an exception while it makes a class, up to 3.11, and so where a module is imported."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        raise RuntimeError("Error calling __set_name__") from error


@pytest.mark.usefixtures("_handlers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("hear", [lose_signal, wrap_signal])
def test_a_signal_is_heard_wherever_it_comes(monkeypatch: pytest.MonkeyPatch, hear: Callable[[], None]) -> None:
    def work(*arguments: object, **options: object) -> int:
        hear()
        time.sleep(0.5)
        return 0

    monkeypatch.setattr("featx.cli.cli.main", work)
    assert main(["doctor"]) == INTERRUPTED


@pytest.mark.usefixtures("_handlers")
def test_a_second_ctrl_c_while_the_first_is_told_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    monkeypatch.setattr("featx.cli.cli.main", interrupt)
    monkeypatch.setattr("featx.cli.click.echo", interrupt)
    assert main(["doctor"]) == INTERRUPTED


@pytest.mark.exhaustive
def test_a_storm_of_ctrl_c_corrupts_nothing(job: Job, server: Server) -> None:
    result = job.undisturbed()
    truth, rng = truth_of(job.into, result), np.random.default_rng(0)
    for _ in range(6):
        pid = server.start("-q", *job.arguments(), pace=SLOW)
        time.sleep(rng.uniform(0.05, 0.2))
        while server.wait(pid, seconds=0.003) == STILL_RUNS:
            os.kill(pid, signal.SIGINT)
        assert list(truth.problems(job.into)) == []
    assert server.run("-q", *job.arguments()) == 0
    assert timeless(job.into) == timeless(result)


# -- two writers -------------------------------------------------------------------------------------------------------

REFUSED = "another process is writing this cache; wait for it or choose another --into"


def test_of_five_that_begin_at_once_those_that_do_not_write_are_refused_in_one_line(job: Job, server: Server) -> None:
    result = job.undisturbed()
    pace = Pace(sync_seconds=-1.0, delay=0.001, begin=time.time() + 0.3)
    started = [server.start("-q", *job.arguments(), pace=pace) for _ in range(5)]
    codes = [server.wait(pid) for pid in started]
    told = server.told().splitlines()
    assert set(codes) == {0, 1}
    assert told == [f"featx: {job.into}.lock: {REFUSED}"] * codes.count(1)
    assert timeless(job.into) == timeless(result)
    assert job.files == {"c.h5"}


def test_a_stopped_holder_keeps_the_lock_and_a_killed_one_does_not(job: Job, server: Server) -> None:
    holder = server.start("-q", *job.arguments(), pace=SLOW)
    until(lambda: has_rows(job))
    stop(holder)
    before = job.partial.read_bytes()
    assert server.run("-q", *job.arguments()) == 1
    assert REFUSED in server.told()
    assert job.partial.read_bytes() == before
    os.kill(holder, signal.SIGKILL)
    assert server.wait(holder) == -signal.SIGKILL
    assert server.run("-q", *job.arguments()) == 0
    assert timeless(job.into) == timeless(job.undisturbed())


def test_a_stopped_holder_that_goes_on_completes(job: Job, server: Server) -> None:
    holder = server.start("-q", *job.arguments(), pace=SLOW)
    until(lambda: has_rows(job))
    stop(holder)
    assert server.run("-q", *job.arguments()) == 1
    os.kill(holder, signal.SIGCONT)
    assert server.wait(holder) == 0
    assert timeless(job.into) == timeless(job.undisturbed())


@pytest.mark.exhaustive
def test_a_lock_that_somebody_deletes_lets_no_second_writer_break_the_cache(job: Job, server: Server) -> None:
    result = job.undisturbed()
    truth = truth_of(job.into, result)
    holder = server.start("-q", *job.arguments(), pace=SLOW)
    until(lambda: has_rows(job))
    (job.folder / "c.h5.lock").unlink()
    assert server.run("-q", *job.arguments()) in (0, 1)
    assert server.wait(holder) in (0, 1)
    assert list(truth.problems(job.into)) == []
    assert server.run("-q", *job.arguments()) == 0
    assert timeless(job.into) == timeless(result)


def test_a_lock_that_may_not_be_opened_is_named(small: Job) -> None:
    """As another user's leaves it; tests may run as one who may open everything."""
    (small.folder / "c.h5.lock").touch()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CacheError, match=r"c\.h5\.lock.*Permission denied"):
        watch(small.folder, patch, Failing(0, errno.EACCES))
        small.run()


# -- rot ---------------------------------------------------------------------------------------------------------------


def mend(job: Job) -> bool:
    """Give the command again, and take the steps that it names; whether it mended the cache by itself."""
    try:
        job.run()
    except CacheError as error:
        told = str(error)
    else:
        return True
    assert str(job.into) in told
    assert "delete it" in told
    named = told.partition(": ")[0]
    if "--overwrite" in told:
        job.run(overwrite=True)
    else:
        Path(named).unlink()
        job.run()
    return False


@pytest.mark.parametrize(("finished", "mended"), shortened([(True, 5), (True, 1), (False, 1)]))
def test_a_file_cut_short_anywhere_is_refused_with_the_step_that_mends_it(
    small: Job, finished: bool, mended: int
) -> None:
    """Every length is refused; the step is taken at one in `mended`, as an extraction is dear."""
    result = small.undisturbed()
    if finished:
        small.run()
    else:
        small.stop(1)
    left = small.into if finished else small.partial
    fields, whole = open_cache(left).fields.values(), left.read_bytes()
    edges = {place for field in fields for place in (field.offset, field.offset + field.size)}
    lengths = {edge + step for edge in edges | {0, 12, 4096, len(whole)} for step in (-1, 0, 1)}
    for number, length in enumerate(sorted(lengths & set(range(len(whole))))):
        small.write({left.name: whole[:length]})
        with pytest.raises(CacheError):
            read_features(left)
        if number % mended == 0:
            mend(small)
            assert timeless(small.into) == timeless(result)


HARMLESS = {"images/stat", "sealed", "cost"}
"""What `verify` does not cover: size and time of an image (a wrong one has it read again), time of sealing, cost."""
OF_A_ROW = {"features/features", "status", "checksums", "images/fingerprint"}


@pytest.mark.exhaustive
def test_every_flipped_byte_is_found_and_mended_but_for_three_harmless_places(job: Job) -> None:
    job.run()
    cache, whole, rng = open_cache(job.into), job.into.read_bytes(), np.random.default_rng(0)
    expected, met = read_features(job.into), set()
    sealed = whole.index(str(cache.attributes["sealed"]).encode())
    places = {name: range(field.offset, field.offset + field.size) for name, field in cache.fields.items()}
    places["sealed"] = range(sealed, sealed + 20)
    drawn = [int(rng.choice(list(place))) for place in places.values() for _ in range(6)]
    for number, offset in enumerate([*drawn, *map(int, rng.integers(len(whole), size=300 - len(drawn)))]):
        damaged = bytearray(whole)
        damaged[offset] ^= int(rng.integers(1, 256))
        job.write({"c.h5": bytes(damaged)})
        place = next((name for name, place in places.items() if offset in place), "metadata")
        met.add(place)
        try:
            problems = verify_cache(job.into)
        except CacheError as error:
            problems = [str(error)]
        if place in HARMLESS and not problems:
            assert np.array_equal(read_features(job.into).features, expected.features)
            continue
        assert problems, f"{place}, byte {offset}"
        if place in OF_A_ROW:
            field = cache.fields[place]
            row = (offset - field.offset) // (field.size // field.shape[0])
            assert [problem.partition(" (")[0] for problem in problems] == [f"row {row}"]
        if number % 8 == 0:
            mend(job)
            assert job.into.read_bytes()[4096:] == whole[4096:] or timeless(job.into) == timeless(job.undisturbed())
    assert met == {*places, "metadata"}
