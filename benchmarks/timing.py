"""How long things take that are done in turn: by the clock, and in seconds of processors."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seconds:
    """What the repeats of one thing took."""

    images: int = 1
    """Of each repeat."""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Of all threads, and of the processes that it started and ended."""

    @property
    def an_image(self) -> list[float]:
        """Wall seconds over images, repeat by repeat."""
        return [seconds / self.images for seconds in self.wall]

    def time(self, run: Callable[[], Any]) -> Any:
        """What the run gives; its seconds are added."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        result = run()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(_cpu_seconds() - cpu)
        return result


def _cpu_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


@dataclass(frozen=True)
class Run:
    """What is timed, and on how many images."""

    do: Callable[[], Any]
    images: int = 1


def interleave(runs: Mapping[str, Run], repeats: int) -> tuple[dict[str, Seconds], dict[str, Any]]:
    """What each run took and what it gave last; all in turn, every repeat beginning with another one."""
    took, gave = {name: Seconds(run.images) for name, run in runs.items()}, {}
    names = list(runs)
    for number in range(repeats):
        start = number * len(names) // repeats
        for name in names[start:] + names[:start]:
            gave[name] = took[name].time(runs[name].do)
    return took, gave


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Repeat by repeat."""
    return [upper / lower for upper, lower in zip(over, under, strict=True)]
