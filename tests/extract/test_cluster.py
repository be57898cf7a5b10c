"""Shards on a real Dask cluster of several processes, some of which are killed, stopped or interrupted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from featx.backbones.store import load_backbone
from featx.errors import (
    CacheError,
    CacheLockedError,
    DeviceError,
    FeatxError,
)
from featx.extract import (
    ExtractionSummary,
    Progress,
    extract_features,
    extract_shards,
)
from featx.extract.shards import distributing, workers
from featx.inputs import list_images
from featx.provenance import __version__
from tests.conftest import build_tiny
from tests.extract.test_extract import StoppedError, masked
from tests.extract.test_shards import (
    FOUR,
    INTERRUPTED,
    acknowledged,
    command,
    is_written,
    plain,
    stop_at,
    wait_until,
    write_slow_images,
)


@dataclass
class Cluster:
    """A scheduler and workers, each a process of its own, started in a folder of their own."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the scheduler answers."""
        return str(json.loads((self.folder / "scheduler.json").read_text())["address"])

    def start_scheduler(self, **environment: str) -> None:
        """Start it, and wait until it answers."""
        self._start("scheduler", "--port", "0", "--scheduler-file", "scheduler.json", **environment)
        wait_until(
            lambda: (self.folder / "scheduler.json").exists() and (self.folder / "scheduler.json").stat().st_size
        )

    def start_worker(self, **environment: str) -> None:
        """Start one that takes one shard at a time."""
        options = ("--nthreads", "1", "--no-nanny", "--scheduler-file", "scheduler.json", "--local-directory", ".")
        self.workers.append(self._start("worker", *options, **environment))

    def _start(self, kind: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "dask", kind, "--no-dashboard", *options]
        own = {"PYTHONWARNINGS": "ignore", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "2s"} | environment
        with (self.folder / f"{kind}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(line, cwd=self.folder, env=os.environ | own, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End all of its processes."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without workers."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start_scheduler()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """A cluster with two workers."""
    running.workers = [worker for worker in running.workers if worker.poll() is None]
    while len(running.workers) < 2:
        running.start_worker()
    return running


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images that take a few seconds together, a tiny backbone, and what one plain run makes."""
    folder = tmp_path_factory.mktemp("slow")
    plain(list_images(write_slow_images(folder / "images", 36)), build_tiny(folder / "models"), folder / "whole.h5")
    return folder


def extract(slow: Path, into: Path, cluster: Cluster, *, count: int = 6, **options: Any) -> ExtractionSummary:
    """The slow images in shards on the cluster."""
    backbone, images = load_backbone("tiny", folder=slow / "models"), list_images(slow / "images")
    return extract_shards(images, backbone, into=into, count=count, settings=FOUR, scheduler=cluster.address, **options)


@pytest.mark.exhaustive
def test_a_worker_that_is_killed_in_a_shard_changes_no_byte(cluster: Cluster, slow: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def report(progress: Progress) -> None:
        seen.append(progress.finished)
        if progress.finished >= 8:
            cluster.workers[0].kill()

    summary = extract(slow, tmp_path / "c.h5", cluster, report=report)
    assert cluster.workers[0].poll() == -signal.SIGKILL
    assert (summary.done, summary.failed) == (36, 0)
    assert seen == sorted(seen)
    assert seen[-1] == 36
    assert masked(tmp_path / "c.h5") == masked(slow / "whole.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.h5"]


@pytest.mark.exhaustive
def test_stopped_workers_that_hold_shards_are_told_and_what_they_did_is_taken_later(
    cluster: Cluster, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributing, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(distributing, "PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(distributing, "FRUITLESS_ROUNDS", 2)
    stopped = list[subprocess.Popen[bytes]]()

    def report(progress: Progress) -> None:
        if not stopped and list((tmp_path / "c.h5.shards").glob("*.h5.lock")):
            stopped.extend(cluster.workers)
            for worker in stopped:
                worker.send_signal(signal.SIGSTOP)
            cluster.start_worker()

    with pytest.raises(CacheLockedError, match="another process is writing this cache"):
        extract(slow, tmp_path / "c.h5", cluster, report=report)
    kept = acknowledged(tmp_path / "c.h5")
    for worker in stopped:
        worker.kill()
    assert extract(slow, tmp_path / "c.h5", cluster).reused >= kept
    assert masked(tmp_path / "c.h5") == masked(slow / "whole.h5")


@pytest.mark.exhaustive
def test_a_run_that_is_interrupted_lets_go_of_its_workers_and_goes_on_to_the_same_bytes(
    cluster: Cluster, slow: Path, tmp_path: Path
) -> None:
    line = command(Path(os.path.relpath(slow)), Path(os.path.relpath(tmp_path / "c.h5")), "--shards", 2)
    line += ["--scheduler", cluster.address]  # each worker has one shard, so that none begins another when it is let go
    for number in (signal.SIGINT, signal.SIGKILL):
        running = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: is_written(tmp_path / "c.h5"))
        running.send_signal(number)
        _, told = running.communicate(timeout=30)
        assert (running.returncode, told) == ((130, INTERRUPTED) if number == signal.SIGINT else (-number, ""))
    wait_until(lambda: not is_written(tmp_path / "c.h5"))
    kept = acknowledged(tmp_path / "c.h5")
    again = subprocess.run([*line, "--json"], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(again.stdout)["reused"] >= kept > 0
    assert again.stderr == ""
    assert masked(tmp_path / "c.h5") == masked(slow / "whole.h5")


@pytest.mark.exhaustive
def test_the_same_command_right_after_a_kill_waits_for_orphans_to_let_go(
    cluster: Cluster, slow: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        extract(slow, tmp_path / "c.h5", cluster, report=stop_at(10))
    extract(slow, tmp_path / "c.h5", cluster)
    assert masked(tmp_path / "c.h5") == masked(slow / "whole.h5")


def test_an_error_on_a_worker_is_the_error_of_the_run(cluster: Cluster, slow: Path, tmp_path: Path) -> None:
    backbone, images = build_tiny(tmp_path / "models").backbone, list_images(slow / "images")
    backbone.path.write_bytes(b"no model")
    with pytest.raises(FeatxError) as alone:
        extract_features(images, backbone, into=tmp_path / "a.h5", settings=FOUR)
    with pytest.raises(FeatxError) as met:
        extract_shards(images, backbone, into=tmp_path / "c.h5", count=3, settings=FOUR, scheduler=cluster.address)
    assert (type(met.value), str(met.value)) == (type(alone.value), str(alone.value))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("who", "answer", "told"),
    [
        ("worker", "return '9.9'", r"featx is 9\.9 on the worker tcp://"),
        ("scheduler", "raise importlib.metadata.PackageNotFoundError(name)", "featx is missing on the scheduler"),
    ],
)
def test_a_cluster_with_another_featx_or_none_is_refused_and_both_are_named(
    slow: Path, tmp_path: Path, who: str, answer: str, told: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(PRETENDING.format(answer=answer))
    cluster = Cluster(tmp_path)
    try:
        cluster.start_scheduler(PYTHONPATH=str(tmp_path) if who == "scheduler" else "")
        if who == "worker":
            cluster.start_worker(PYTHONPATH=str(tmp_path))
        with pytest.raises(DeviceError, match=rf"{told}.* but {__version__} here; install this one there"):
            extract(slow, tmp_path / "c.h5", cluster)
    finally:
        cluster.stop()


PRETENDING = """
import importlib.metadata
ask = importlib.metadata.version
def version(name):
    if name == "featx":
        {answer}
    return ask(name)
importlib.metadata.version = version
"""


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs a path that is another place for each process")
def test_shards_that_are_not_seen_here_are_told(
    cluster: Cluster, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributing, "APPEAR_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CacheError, match="a worker wrote it, but it is not visible here"):
        extract(slow, Path("/proc/self/cwd/c.h5"), cluster)


@pytest.mark.exhaustive
def test_a_run_waits_for_workers_and_says_so(
    running: Cluster, slow: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for worker in running.workers:
        worker.kill()
        worker.wait()

    def report(progress: Progress) -> None:
        if "there are no workers" in caplog.text and not any(worker.poll() is None for worker in running.workers):
            running.start_worker()

    extract(slow, tmp_path / "c.h5", running, report=report)
    assert masked(tmp_path / "c.h5") == masked(slow / "whole.h5")


def test_a_scheduler_that_is_not_there_is_told_in_bounded_time(
    slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Cluster
) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.3)
    backbone, images = load_backbone("tiny", folder=slow / "models"), list_images(slow / "images")
    for address in ("tcp://127.0.0.1:9", "nonsense://127.0.0.1"):
        with pytest.raises(DeviceError, match=rf"no Dask scheduler answers at {address}.*dask scheduler"):
            extract_shards(images, backbone, into=tmp_path / "c.h5", count=2, scheduler=address)
    assert list(tmp_path.iterdir()) == []


def test_without_dask_the_extra_is_named(slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    backbone, images = load_backbone("tiny", folder=slow / "models"), list_images(slow / "images")
    with pytest.raises(DeviceError, match=r"pip install 'featx\[dask\]'"):
        extract_shards(images, backbone, into=tmp_path / "c.h5", count=2, scheduler="tcp://127.0.0.1:9")


@pytest.mark.exhaustive
def test_a_scheduler_that_is_lost_ends_the_run_and_what_is_done_is_kept(
    slow: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cluster = Cluster(tmp_path_factory.mktemp("lost"))
    try:
        cluster.start_scheduler()
        cluster.start_worker()

        def report(progress: Progress) -> None:
            if progress.finished >= 12:
                cluster.processes[0].kill()

        with pytest.raises(DeviceError, match=r"the Dask scheduler at .* is lost"):
            extract(slow, tmp_path / "c.h5", cluster, report=report)
    finally:
        cluster.stop()
    assert acknowledged(tmp_path / "c.h5") >= 10
