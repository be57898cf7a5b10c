"""Runs a function in a process of its own, with limits of time and memory that it cannot pass.

A file of a stranger may ask a library for any amount of time and memory, or crash it. What runs apart can be ended at
any moment, whatever it is doing, and the process that waits for it lives on.
"""

import io
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import IO, Any, Final, TypeVar

from featx.hardware import usable_cores

Returned = TypeVar("Returned")

MOST_CORES = 8
"""A function that runs apart uses at most this many cores; each thread of a library reserves memory."""
_STACK_BYTES = 2**23
"""The system reserves this much for each thread, hardly any of which is used."""
_POOLS = 4
"""Number of pools with a thread on each core that a function may have at the same time."""
_LONGEST_WAIT = 5
"""A function that has to wait for other processes is ended after this many times its seconds."""
_LOOK_EVERY = 0.05
"""Seconds between two looks at the memory of a process, where the system does not limit it."""
_BOOT: Final = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from featx.apart import _serve; _serve()"
)


@dataclass(frozen=True)
class Limits:
    """What a function that runs apart may use."""

    seconds: float
    """On a machine that does nothing else; where other processes use its cores, the function may take longer."""
    memory: int
    """Bytes, in addition to what the process has when it begins."""


class TooSlowError(RuntimeError):
    """The function was ended because it took longer than its limit."""


class TooLargeError(RuntimeError):
    """The function was ended because it needed more memory than its limit."""


class CrashedError(RuntimeError):
    """The process of the function ended by itself, without a result."""


Allow = Callable[[Limits], None]
"""Sets other limits for the function that calls it, from now on."""


def run_apart(call: Callable[[Allow], Returned], *, limits: Limits) -> Returned:
    """What the function returns, which runs in a process of its own with these limits.

    The function can be pickled, and so can what it returns and raises. It is given a function that sets other limits,
    for when it knows more. What featx logs there is logged here. On any exception, an interrupt among them, the process
    is ended at once. Raises what the function raises, TooSlowError, TooLargeError and CrashedError.
    """
    with _Child(limits) as child:
        child.send(call)
        return child.receive()  # type: ignore[no-any-return]


def _load(stream: IO[bytes]) -> Any:
    """The next object from a stream that this module wrote."""
    return pickle.load(stream)  # noqa: S301


# ---- the process that waits


class _Child:
    """The other process, seen from the one that waits for it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began = monotonic()
        self._computed = 0.0
        self._messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def __enter__(self) -> "_Child":
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # crashing libraries print there
            **_not_interrupted(),
        )
        Thread(target=self._read, args=[self._process.stdout], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def send(self, call: Callable[[Allow], Any]) -> None:
        """Give it the function and its limits; it stays alive while its standard input is open."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # it crashed, as receive will tell
            for part in (sys.path, self._limits, logging.getLogger("featx").getEffectiveLevel(), call):
                pickle.dump(part, stdin)
            stdin.flush()

    def receive(self) -> Any:
        """What its function returned. Raises what it raised, or what ended it."""
        while True:
            kind, value = self._next()
            if kind == "limits":
                self._limits = value
                self._began = monotonic()
                self._computed = self._processor_seconds()
            elif kind == "log":
                name, level, message = value
                logging.getLogger(name).log(level, "%s", message)
            elif kind == "error":
                raise value
            elif kind == "memory":
                raise TooLargeError(self._limits)
            elif kind == "end":
                raise CrashedError(_how_it_ended(self._process.wait()))
            else:
                return value

    def _next(self) -> tuple[str, Any]:
        """Its next message; waits until its time is over."""
        while True:
            left = self._seconds_left()
            if left <= 0:
                raise TooSlowError(self._limits)
            try:
                return self._messages.get(timeout=left if _system_limits_memory() else min(left, _LOOK_EVERY))
            except Empty:
                self._look_at_memory()

    def _seconds_left(self) -> float:
        """Seconds until the function is ended: when its limit has passed, and it has also computed that long."""
        limit = self._limits.seconds
        passed = monotonic() - self._began
        if passed < limit or passed > _LONGEST_WAIT * limit:
            return limit - passed
        return limit - (self._processor_seconds() - self._computed)

    def _processor_seconds(self) -> float:
        """The time that all processors together have worked for the process; infinity if it has ended."""
        import psutil

        try:
            used = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return inf
        return float(used.user + used.system)

    def _look_at_memory(self) -> None:
        import psutil

        if _system_limits_memory():
            return
        with suppress(psutil.Error):
            if psutil.Process(self._process.pid).memory_info().rss > self._limits.memory + _pools():
                raise TooLargeError(self._limits)

    def _read(self, stdout: IO[bytes]) -> None:
        """Queue its messages, in a thread, until it ends."""
        try:
            with stdout, suppress(EOFError, OSError, pickle.UnpicklingError):
                while True:
                    self._messages.put(_load(stdout))
        finally:  # nothing may keep the other thread waiting
            self._messages.put(("end", None))


def _not_interrupted() -> dict[str, Any]:
    """Options of Popen for a process that Ctrl-C in the terminal does not reach: the one that waits ends it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


def _how_it_ended(code: int) -> str:
    import signal

    if code >= 0:
        return f"exit code {code}"
    return signal.strsignal(-code) or f"signal {-code}"


def _system_limits_memory() -> bool:
    """Whether the system limits the memory of a process when it asks for it, as Linux does."""
    return sys.platform == "linux"


def _pools() -> int:
    """Bytes that the stacks of threads reserve."""
    return _POOLS * min(usable_cores(), MOST_CORES) * _STACK_BYTES


# ---- the other process


def _serve() -> None:
    """Run the function that the process at the other end of standard input gives, and write messages for it."""
    stdin = sys.stdin.buffer
    messages = _Messages(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what libraries print is no message
    limits = _load(stdin)
    level = _load(stdin)
    _use_few_cores()
    _forward_logs(messages.send, level)
    try:
        call = _load(stdin)
        Thread(target=_end_with_parent, args=[stdin], daemon=True).start()
        _limit_memory(limits.memory)
        messages.send("result", call(messages.allow))
    except MemoryError:
        messages.send("memory", None)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other process raises it
        _limit_memory(sys.maxsize)
        messages.send(*_described(error))
    os._exit(0)  # threads of libraries may still run


class _Messages:
    """The messages for the process that waits, which any thread may send."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = Lock()

    def send(self, kind: str, value: object) -> None:
        """Send one message. What cannot be pickled raises an error before any part of the message is sent."""
        message = pickle.dumps((kind, value))
        with self._lock:
            self._stream.write(message)
            self._stream.flush()

    def allow(self, limits: Limits) -> None:
        """Set other limits, here and in the process that waits."""
        _limit_memory(limits.memory)
        self.send("limits", limits)


def _described(error: BaseException) -> tuple[str, object]:
    """The message that brings an error to the other process; one that cannot be pickled loses its type."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        _load(io.BytesIO(pickle.dumps(error)))
    except Exception:  # noqa: BLE001 - errors of libraries may raise anything
        return "error", RuntimeError(f"{type(error).__name__}: {error}")
    return "error", error


def _end_with_parent(stdin: IO[bytes]) -> None:
    """End this process as soon as the other one has ended, whose end of the pipe the system then closes."""
    stdin.read()
    os._exit(1)


def _use_few_cores() -> None:
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:MOST_CORES])


def _limit_memory(more: int) -> None:
    """Limit the memory that this process can reserve to what it has now, `more` bytes, and stacks of threads."""
    if sys.platform != "linux":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _reserved() + more + _pools()
    unlimited = most == resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_DATA, (min(wanted, sys.maxsize) if unlimited else min(wanted, most), most))


def _reserved() -> int:
    """Bytes of memory that this process has reserved for data."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))


def _forward_logs(send: Callable[[str, object], None], level: int) -> None:
    """Send every record that featx logs to the other process, which knows where records go."""

    class _Forwarder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Send the record as its logger, level and text."""
            send("log", (record.name, record.levelno, record.getMessage()))

    package = logging.getLogger("featx")
    package.addHandler(_Forwarder())
    package.setLevel(level)
    package.propagate = False
