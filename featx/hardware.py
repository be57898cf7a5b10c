"""Describes this machine: its system, its processor, and the number of cores that this process may use."""

import os
import platform
import sys
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The processor time of a container on Linux (cgroup v2): a quota and its period, in microseconds."""


def hardware() -> dict[str, str | int]:
    """System, processor and usable cores of this machine."""
    return {"system": platform.platform(), "processor": processor(), "cores": usable_cores()}


def processor() -> str:
    """Name of the processor, as the operating system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Number of cores that this process may use, limited by its CPU affinity and by the quota of its container."""
    visible = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = map(int, QUOTA.read_text().split())
    except (OSError, ValueError):  # no cgroup, or no limit: "max 100000"
        return visible
    return max(1, min(visible, -(-quota // period)))
