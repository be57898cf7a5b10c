"""Work is shared by processes that the terminal's interrupt does not reach, and this one hears it when it may."""

import logging
import operator
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier, Event

import psutil
import pytest

from featx.processes import (
    collect_warnings,
    run_parallel,
)
from tests.extract.test_shards import wait_until, workers_of
from tests.support.sizes import shortened

SLEEPING = """
import signal
import time
from functools import partial
from featx.processes import run_parallel
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
print("begins", flush=True)
list(run_parallel([partial(time.sleep, 60)] * 2, jobs=2))
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="the console of Windows interrupts otherwise")


@pytest.mark.parametrize("jobs", [1, 2])
def test_calls_give_what_they_give_in_their_order(jobs: int) -> None:
    calls = [partial(operator.mul, value, value) for value in range(20)]
    assert list(run_parallel(calls, jobs=jobs)) == [value**2 for value in range(20)]
    assert sorted(run_parallel(calls, jobs=jobs, ordered=False)) == [value**2 for value in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_call_raises_is_raised_here(jobs: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_parallel([partial(operator.truediv, 1, 0)] * 3, jobs=jobs))


def test_warnings_are_heard_by_those_who_asked_alone_in_whatever_order_blocks_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger, both_open, first_ended = logging.getLogger("featx.tests"), Barrier(2), Event()

    def say(name: str) -> list[str]:
        with collect_warnings() as heard:
            both_open.wait(10)
            logger.warning("%s", name)
            if name == "second":
                first_ended.wait(10)
        first_ended.set()
        return heard

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(say, ("first", "second"))) == [["first"], ["second"]]
    assert caplog.records == []
    logger.warning("all hear this")
    assert [record.getMessage() for record in caplog.records] == ["all hear this"]


INTERRUPTED_IN_BLOCK = """
import os, signal
from featx.processes import delay_interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs in the background without it
try:
    with delay_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        print("the end of the block")
except KeyboardInterrupt:
    print("the interrupt")
if signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
    print("interrupts are on")
"""


@posix
def test_an_interrupt_within_the_block_arrives_after_it() -> None:
    """In a process of its own: here, another thread may be the one that receives the signal."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_IN_BLOCK], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["the end of the block", "the interrupt", "interrupts are on"]


@posix
@pytest.mark.parametrize("seconds", shortened([0.1, 0.0, 0.3]))
def test_processes_that_are_starting_are_not_interrupted_but_end_with_this_one(seconds: float, tmp_path: Path) -> None:
    line = [sys.executable, "-c", SLEEPING]
    with subprocess.Popen(line, stdout=-1, stderr=-1, text=True, start_new_session=True, cwd=tmp_path) as running:
        assert running.stdout
        assert running.stdout.readline() == "begins\n"
        wait_until(lambda: len(workers_of(psutil.Process(running.pid))) == 2)
        workers = workers_of(psutil.Process(running.pid))
        time.sleep(seconds)
        os.killpg(running.pid, signal.SIGINT)
        _, told = running.communicate(timeout=30)
    assert told.count("Traceback") == 1  # its own
    assert "Warning" not in told
    assert psutil.wait_procs(workers, timeout=10)[1] == []
