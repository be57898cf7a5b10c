"""Commands that are killed, and what must be true of a folder of caches whatever ended the last of them.

A fresh interpreter costs a second, so commands are forked from a clean process that has imported all that they need:
it has no thread and no session. Needs nothing but featx; the benchmark of kills is built on it too.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from featx.cache import (
    DONE,
    PENDING,
    open_cache,
    partial_path,
    verify_cache,
)
from featx.cache.file import USER_BLOCK
from featx.errors import CacheError
from tests.support.caches import without_cost

IMPORTED = (
    "featx.cli",
    "featx.report.terminal",
    "featx.convert.adding",
    "featx.inputs.decode",
    "featx.extract.shards",
    "onnxruntime",
    "numpy.strings",
)
"""What a command imports when it begins, and the server before."""
INTERRUPTED, CRASHED, STILL_RUNS = 130, 70, 1000
"""What `wait` may give: of a command that was told to end, that raised, that has not ended."""
TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:  .*\n)+(.*)")

Row = tuple[bytes, bytes]
"""Fingerprint of an image, and the bytes of its features."""


@dataclass(frozen=True)
class Pace:
    """How a command is slowed down, so that a kill may fall everywhere."""

    sync_seconds: float = 1.0
    """Rows are acknowledged this often."""
    delay: float = 0.0
    """Seconds that every write, sync and renaming takes longer."""
    begin: float = 0.0
    """The command begins at this time of the clock, to begin together with others."""
    largest_file: int = -1
    """Bytes above which the system lets no file grow."""


@dataclass
class Server:
    """Forks commands, tells their process ids, and waits for them."""

    log: Path
    """What all commands print."""
    peak: int = 0
    """Bytes of memory that the command took at most that was waited for last."""
    _process: "subprocess.Popen[str]" = field(init=False)

    def __enter__(self) -> Self:
        root = Path(__file__).parents[2]
        paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
        self.log.touch()
        command = [sys.executable, "-m", "tests.support.breaking", str(self.log)]
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        """End the server and whatever it forked: a command that hangs would keep the pipe open for ever."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _ask(self, **question: Any) -> tuple[int, int]:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(question), file=self._process.stdin, flush=True)
        first, second = map(int, self._process.stdout.readline().split())
        return first, second

    def start(self, *arguments: object, pace: Pace = Pace()) -> int:
        """Process id of `featx` with these arguments."""
        return self._ask(start=[str(argument) for argument in arguments], pace=asdict(pace))[0]

    def wait(self, pid: int, *, seconds: float = 300.0) -> int:
        """Exit code of the command, minus the signal that ended it, STILL_RUNS where it runs on after so long."""
        code, self.peak = self._ask(wait=pid, seconds=seconds)
        return code

    def run(self, *arguments: object, pace: Pace = Pace()) -> int:
        """Exit code of `featx` with these arguments."""
        return self.wait(self.start(*arguments, pace=pace))

    def told(self) -> str:
        """What the commands printed since this was last asked."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        os.truncate(self.log, 0)
        return text

    def crashes(self) -> list[str]:
        """Where the commands crashed since this was last asked: last lines of tracebacks, if not of a signal."""
        return [line for line in TRACEBACK.findall(self.told()) if line and not line.startswith("featx.cli.Interrupt")]


def serve(log: Path) -> None:
    """Answer the questions that come in, one a line, each with two numbers."""
    for name in IMPORTED:
        __import__(name)
    answers = os.fdopen(os.dup(1), "w")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    for line in sys.stdin:
        question = json.loads(line)
        print(*(_wait(**question) if "wait" in question else (_fork(**question), 0)), file=answers, flush=True)


def _wait(*, wait: int, seconds: float) -> tuple[int, int]:
    """Exit code and largest memory, in bytes, of the command."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status, used = os.wait4(wait, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        time.sleep(0.001)
    return STILL_RUNS, 0


def _fork(*, start: list[str], pace: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(0)
        code = _command(start, Pace(**pace))
    except BaseException as error:
        code = INTERRUPTED if _of_a_signal(error) else CRASHED
        if code == CRASHED:
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _of_a_signal(error: BaseException | None) -> bool:
    """Whether a signal is behind it, that was not heard where the command listens: that is tested by itself."""
    return error is not None and (
        type(error).__name__ == "Interrupt" or _of_a_signal(error.__cause__ or error.__context__)
    )


def _command(arguments: list[str], pace: Pace) -> int:
    from featx.cache import writing
    from featx.cli import main

    writing.SYNC_SECONDS = pace.sync_seconds
    if pace.delay:
        for name in ("pwrite", "fsync", "replace"):
            setattr(os, name, _slow(getattr(os, name), pace.delay))
    resource.setrlimit(resource.RLIMIT_FSIZE, (pace.largest_file, -1))
    time.sleep(max(0.0, pace.begin - time.time()))
    return main(arguments)


def _slow(real: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        time.sleep(seconds / 2)
        result = real(*arguments)
        time.sleep(seconds / 2)
        return result

    return call


# -- what must be true -------------------------------------------------------------------------------------------------


def timeless(path: Path) -> bytes:
    """The bytes of a cache without its times of start and end, the checksum over them, and its cost."""
    data = without_cost(path)[USER_BLOCK:]
    for key in ("started", "sealed"):
        stamp = str(open_cache(path).attributes[key]).encode()
        data = data.replace(stamp, b"?" * len(stamp))
    return data


def done_rows(path: Path) -> set[Row]:
    """What the cache says that it has, read as another program would. Raises AssertionError at a wrong checksum."""
    open_cache(path)  # HDF5 can hang on a file that featx refuses
    with h5py.File(path, "r", locking=False) as file:
        done = np.flatnonzero(file["status"][:] == DONE)
        prints, features = file["images/fingerprint"][:][done], file["features/features"][:][done]
        stored = file["checksums"][:][done].tolist()
    rows = [(mark.tobytes(), row.tobytes()) for mark, row in zip(prints, features, strict=True)]
    assert stored == [zlib.crc32(row + mark + bytes([DONE])) for mark, row in rows], "a checksum is wrong"
    return set(rows)


def caches(into: Path) -> list[Path]:
    """The complete and the unfinished cache, as far as they are there."""
    return [path for path in (into, partial_path(into)) if path.exists()]


def acknowledged(into: Path) -> set[Row]:
    """Rows that the complete or the unfinished cache says that it has: what no command may lose."""
    return set().union(*map(done_rows, caches(into)))


@dataclass(frozen=True)
class Truth:
    """What may be there while an extraction is under way."""

    rows: set[Row]
    complete: tuple[bytes, ...]
    """What may stand under the final name, as `timeless` gives it: the result, and what was there before."""

    def problems(self, into: Path) -> Iterator[str]:
        """What is wrong, whatever ended the last command."""
        for path in caches(into):
            try:
                if not done_rows(path) <= self.rows:
                    yield f"{path.name}: an acknowledged row is not what its image gives"
                if path == into and (verify_cache(path) or timeless(path) not in self.complete):
                    yield "what stands under the final name is not complete"
            except (CacheError, AssertionError) as error:
                yield f"{path.name}: {error}"


def truth_of(into: Path, result: Path) -> Truth:
    """What may be there while `into` becomes what `result` is."""
    before = (into,) if into.exists() else ()
    return Truth(done_rows(result) | acknowledged(into), tuple(timeless(path) for path in (result, *before)))


def until(happened: Callable[[], bool]) -> None:
    """Wait, for a minute at most."""
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)


def stop(process: int) -> None:
    """Stop the process, and wait until each of its threads has ended the call of the system in which it was."""
    os.kill(process, signal.SIGSTOP)
    until(lambda: _is_stopped(Path(f"/proc/{process}/task")))


def _is_stopped(threads: Path) -> bool:
    with suppress(FileNotFoundError):  # a thread has ended
        return all((thread / "stat").read_text().rpartition(") ")[2].startswith("T") for thread in threads.iterdir())
    return False


# -- kills -------------------------------------------------------------------------------------------------------------

PHASES = ("before creation", "creating", "running", "sealing", "complete")


@dataclass(frozen=True)
class Kill:
    """One kill, and what it left."""

    signal: str
    phase: str
    code: int
    rows: int
    """Acknowledged rows of the result."""


def phase_of(into: Path, result: bytes) -> str:
    """How far a command had come, by what it left."""
    if into.exists() and timeless(into) == result:
        return "complete"
    if any(into.parent.glob(f"{into.name}.*.new")):
        return "creating"
    partial = partial_path(into)
    if not partial.exists():
        return "before creation"
    return "running" if np.any(open_cache(partial).status == PENDING) else "sealing"


@dataclass(frozen=True)
class Life:
    """One command, killed at random moments and given again until its cache is complete."""

    server: Server
    arguments: Sequence[object]
    into: Path
    truth: Truth
    pace: Pace
    about: int
    """So many kills are aimed at."""

    def kills(self, rng: np.random.Generator, *, wanted: set[Row]) -> Iterator[Kill]:
        """Every kill, its leavings checked; `wanted` are the rows of the result. Raises AssertionError.

        Each falls at a uniformly random moment of a span that begins with the command, and that is made longer or
        shorter as the rows come too slowly or too fast.
        """
        before, span = acknowledged(self.into) & wanted, 0.3
        start, step = len(before), len(wanted - before) / self.about
        for number in range(10_000):
            kill = self.kill((signal.SIGKILL, signal.SIGTERM)[number % 2], rng.uniform(0, span))
            assert list(self.truth.problems(self.into)) == []
            now = acknowledged(self.into) & wanted
            assert before <= now, f"{len(before - now)} acknowledged rows were lost"
            yield replace(kill, rows=len(now))
            if kill.phase == "complete":
                return
            span *= 1.1 if len(now) < start + number * step else 0.95
            before = now

    def kill(self, how: signal.Signals, seconds: float, *, after: Callable[[], bool] = lambda: True) -> Kill:
        """The command given, and killed so many seconds after that happened; what it left is not yet checked."""
        pid = self.server.start(*self.arguments, pace=self.pace)
        until(after)
        time.sleep(seconds)
        os.kill(pid, how)
        code = self.server.wait(pid)
        assert code in (-how, INTERRUPTED, 0), f"exit code {code}"
        phase = phase_of(self.into, self.truth.complete[0])
        assert code or phase == "complete", f"the command says that it is done; the cache is {phase}"
        return Kill(how.name, phase, code, 0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
