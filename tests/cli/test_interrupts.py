"""interrupts: whatever the process is doing, it ends soon after the first one and at once after the second."""

import signal
import subprocess
import sys
import time

import pytest

from featx.cli.interrupts import KEPT, interruption

HANGING = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
import featx.cli as cli
from featx.cli import interrupts

def hang(*arguments, **options):
    print("begins", flush=True)
    with ThreadPoolExecutor(1) as pool:  # which waits for its thread, also after an interrupt
        pool.submit(os.read, os.pipe()[0], 1).result()

interrupts.GRACE_SECONDS = float(sys.argv[1])
interrupts.REPEATED_SECONDS = 0.1
cli.cli.main = hang
cli.entry()
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that others can send")


def interrupted(*signals: signal.Signals, grace: float) -> tuple[int, str]:
    """Exit code and standard error of a command that hangs, after these signals."""
    line = [sys.executable, "-c", HANGING, str(grace)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "begins\n"
        for number in signals:
            running.send_signal(number)
            time.sleep(0.2)
        try:
            return running.wait(timeout=30), running.communicate(timeout=10)[1]
        finally:
            running.kill()


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_ends_a_command_that_cannot_end_in_order(number: signal.Signals) -> None:
    assert interrupted(number, grace=0.3) == (130, f"{KEPT}\n")


@posix
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_interrupt_does_not_wait_for_anything(second: signal.Signals) -> None:
    assert interrupted(signal.SIGINT, second, grace=1000) == (130, f"{KEPT}\n")


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["extract", "photos", "--into", "c.h5"], True),
        (["-q", "compare", "c.h5"], False),
        (["compare", "c.h5", "--into=r.jsonl"], True),
        (["report", "r.jsonl", "--into", "r.html"], False),
        (["deploy", "h.featx", "--into", "h.onnx"], False),
        (["train", "c.h5"], False),
        (["--verbose", "cache", "merge"], False),
        ([], True),
    ],
)
def test_an_interrupted_command_says_whether_its_work_is_kept(arguments: list[str], kept: bool) -> None:
    assert ("finished work is kept" in interruption(arguments)) is kept
    assert ("nothing was written" in interruption(arguments)) is not kept
