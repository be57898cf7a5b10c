"""A run that is killed at random moments and run again ends as one that was never killed, and repeats nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]
KILLS = 2
SHORTEST = 1.0
"""Seconds in which the command has hardly begun."""


def start(suite: Path, into: Path) -> subprocess.Popen[bytes]:
    """Start `featx benchmark` in a process group of its own."""
    line = [sys.executable, "-m", "featx", "-q", "benchmark", str(suite), "--into", str(into), "--jobs", "1"]
    command = [*line, "--models", str(suite.parent / "models")]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(suite: Path, into: Path) -> float:
    """Run `featx benchmark` to its end; returns the seconds that it took."""
    begin = time.monotonic()
    assert start(suite, into).wait(timeout=240) == 0
    return time.monotonic() - begin


def kill_after(seconds: float, suite: Path, into: Path) -> None:
    """Start `featx benchmark`, and kill it and all of its processes after so many seconds, if it has not ended."""
    process = start(suite, into)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)


def rows(path: Path) -> list[str]:
    """The lines of a file of JSON lines, sorted, without how long anything took."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(json.dumps(line | {"seconds": 0}, sort_keys=True) for line in lines)


def whole_lines(path: Path) -> bytes:
    """The lines of a file that are complete; nothing if it is missing."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


@pytest.mark.exhaustive
def test_killed_runs_end_as_one_that_was_never_killed_and_repeat_nothing(write_suite: Write) -> None:
    suite = write_suite()
    text = suite.read_text().replace(
        'heads = ["knn", "class-mean"]', 'heads = ["class-mean"]\nshots = [1]\nrepeats = 2'
    )
    before_second, _, sources = text.partition('[[targets]]\nname = "second"')
    suite.write_text(before_second + sources[sources.index("[[sources]]") :])
    expected, into = suite.parent / "expected", suite.parent / "killed"
    seconds = finish(suite, expected)
    moments = random.Random(0)
    for _ in range(KILLS):
        before = {name: whole_lines(into / name) for name in ("results.jsonl", "scores.jsonl")}
        kill_after(moments.uniform(min(SHORTEST, seconds / 2), seconds), suite, into)
        for name, known in before.items():
            assert whole_lines(into / name).startswith(known), name
    finish(suite, into)
    for name in ("results.jsonl", "scores.jsonl"):
        assert rows(into / name) == rows(expected / name), name
    assert len(rows(into / "scores.jsonl")) == len({json.loads(row)["key"] for row in rows(into / "scores.jsonl")})
    for name in ("splits.csv", "leaderboard.csv"):
        assert (into / name).read_bytes() == (expected / name).read_bytes(), name
    assert not list(into.glob("*.new"))
