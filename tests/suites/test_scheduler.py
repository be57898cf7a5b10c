"""The heads of a suite on a Dask cluster."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from featx.extract.shards import workers
from featx.heads import read_results
from tests.conftest import Ran, run_featx

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
pytestmark = pytest.mark.exhaustive
Write = Callable[..., Path]


@contextmanager
def cluster_of(count: int) -> Iterator[str]:
    """Address of a cluster in this process, whose workers have one thread each."""
    options = {"n_workers": count, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options, protocol="tcp", host="127.0.0.1") as cluster:
        yield cluster.scheduler_address


def benchmark(suite: Path, into: str, *options: str) -> Ran:
    """Run the suite into this folder beside it."""
    where = ("--into", suite.parent / into, "--models", suite.parent / "models")
    return run_featx("-q", "benchmark", suite, *where, *options, "--json")


def test_workers_of_a_cluster_train_the_same_heads(write_suite: Write) -> None:
    suite = write_suite()
    with cluster_of(1) as address:
        there = benchmark(suite, "there", "--scheduler", address)
    assert there.code == 0, there.err
    here = benchmark(suite, "here", "--jobs", "1")
    found = [read_results(json.loads(ran.out)["results"]) for ran in (there, here)]
    values = [{(one.key, one.value, one.validated) for one in results} for results in found]
    assert values[0] == values[1]
    for name in ("splits.csv", "leaderboard.csv"):
        assert (suite.parent / "there" / name).read_bytes() == (suite.parent / "here" / name).read_bytes()


def test_a_scheduler_that_does_not_answer_is_named(write_suite: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    ran = benchmark(write_suite(), "there", "--scheduler", "tcp://127.0.0.1:9")
    assert ran.code == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in ran.err
    assert ran.err.count("\n") == 1


def test_a_cluster_without_workers_is_named(write_suite: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with cluster_of(0) as address:
        ran = benchmark(write_suite(), "there", "--scheduler", address)
    assert ran.code == 1
    assert "has no workers; start one: dask worker" in ran.err
