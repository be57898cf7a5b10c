"""Measures how long each stage of an extraction worked, and which stage the others waited for."""

import time
from dataclasses import dataclass, field
from threading import Lock

STAGES = ("read", "decode", "infer", "write")
WAITING = ("await pixels", "await features", "await disk")
"""What the main thread waits for."""


def _zeros() -> dict[str, float]:
    return dict.fromkeys((*STAGES, *WAITING), 0.0)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@dataclass
class StageClock:
    """Seconds of work in each stage, summed over threads, and seconds that the main thread waited."""

    seconds: dict[str, float] = field(default_factory=_zeros)
    cpu: dict[str, float] = field(default_factory=_zeros)
    """The part of `seconds` in which the thread in the stage really ran on a core."""
    inferred: int = 0
    """Number of images that the model has run on."""
    _lock: Lock = field(default_factory=Lock)
    _start: tuple[float, float] = field(default_factory=_now)
    elapsed: float = 0.0
    """Seconds from the creation of the clock until it was stopped."""
    cpu_seconds: float = 0.0
    """CPU seconds of all threads of the process in that time."""

    def stop(self) -> None:
        """Set `elapsed` and `cpu_seconds`."""
        self.elapsed = time.perf_counter() - self._start[0]
        self.cpu_seconds = time.process_time() - self._start[1]

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of work in read, decode, infer and write."""
        return {stage: round(self.seconds[stage], 3) for stage in STAGES}

    @property
    def bound_by(self) -> str:
        """The stage that the others wait for."""
        loading = max(("read", "decode"), key=self.seconds.__getitem__)
        stages = dict(zip((loading, "infer", "write"), WAITING, strict=True))
        return max(stages, key=lambda stage: self.seconds[stages[stage]])

    def time(self, stage: str) -> "_Stage":
        """A context manager that adds the time of its block to this stage."""
        return _Stage(self, stage)

    def count_inferred(self, images: int) -> None:
        """Count images that the model has run on."""
        with self._lock:
            self.inferred += images

    def add(self, stage: str, *, seconds: float, cpu: float) -> None:
        """Add to the time of this stage."""
        with self._lock:
            self.seconds[stage] += seconds
            self.cpu[stage] += cpu


class _Stage:
    """A timed block; a class, as a generator takes several times as long, and every image enters several stages."""

    __slots__ = ("_clock", "_cpu", "_stage", "_start")

    def __init__(self, clock: StageClock, stage: str) -> None:
        self._clock = clock
        self._stage = stage

    def __enter__(self) -> None:
        self._start = time.perf_counter()
        self._cpu = time.thread_time()

    def __exit__(self, *error: object) -> None:
        seconds = time.perf_counter() - self._start
        cpu = time.thread_time() - self._cpu
        self._clock.add(self._stage, seconds=seconds, cpu=cpu)
