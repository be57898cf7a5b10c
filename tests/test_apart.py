"""What runs apart gives back what it returns, raises and logs, and can pass neither its limits nor the caller's end."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest

from featx.apart import CrashedError, Limits, TooLargeError, TooSlowError, run_apart
from featx.errors import BackboneError
from tests.extract.test_shards import wait_until
from tests.support.apart import (
    SOME,
    abort,
    divide,
    give,
    give_what_cannot_be_pickled,
    refuse,
    sleep,
    take,
    take_more,
    warn,
)
from tests.support.sizes import shortened

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the system limits memory on Linux only")
CALLER = """
import sys
sys.path.insert(0, {root!r})
from functools import partial
from pathlib import Path
from featx.apart import run_apart
from tests.support.apart import SOME, sleep
if __name__ == "__main__":
    run_apart(partial(sleep, Path({path!r})), limits=SOME)
"""


@pytest.mark.parametrize("value", [None, 5, "x" * 2**20])
def test_what_a_function_returns_comes_back_whatever_is_printed(value: object, capfd: pytest.CaptureFixture) -> None:  # type: ignore[type-arg]
    assert run_apart(partial(give, value), limits=SOME) == value
    assert capfd.readouterr().out == ""


def test_what_is_logged_apart_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    assert run_apart(warn, limits=SOME) != os.getpid()
    assert [record.getMessage() for record in caplog.records] == ["it is late"]


@pytest.mark.parametrize(("call", "error"), [(refuse, BackboneError), (divide, ZeroDivisionError)])
def test_what_a_function_raises_is_raised_here(call: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"no such model|by nothing"):
        run_apart(call, limits=SOME)  # type: ignore[arg-type]


def test_a_result_that_cannot_be_pickled_is_an_error_that_says_so() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        run_apart(give_what_cannot_be_pickled, limits=SOME)


def test_what_does_not_end_is_ended() -> None:
    with pytest.raises(TooSlowError):
        run_apart(partial(sleep, None), limits=Limits(seconds=0.2, memory=2**27))


@on_linux
def test_memory_beyond_the_limit_is_refused_by_the_system() -> None:
    with pytest.raises(TooLargeError):
        run_apart(partial(take, 2**30), limits=SOME)


@on_linux
def test_a_function_has_the_memory_that_it_was_allowed() -> None:
    assert run_apart(partial(take_more, 2**28), limits=SOME) == 2**28


def test_a_crash_is_an_error_here() -> None:
    with pytest.raises(CrashedError):
        run_apart(abort, limits=SOME)


def test_functions_run_apart_from_any_thread_at_once() -> None:
    found = list[object]()
    threads = [threading.Thread(target=lambda: found.append(run_apart(warn, limits=SOME))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(found)) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("number", shortened([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
def test_a_function_ends_with_the_process_that_waits_for_it(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "pid"
    script = CALLER.format(root=str(Path(__file__).parents[1]), path=str(path))
    waiting = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)\n" + script],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(path.exists)
        apart = int(path.read_text())
        waiting.send_signal(number)
        waiting.wait(20)
        wait_until(lambda: not psutil.pid_exists(apart))
    finally:
        waiting.kill()
        waiting.wait(20)
