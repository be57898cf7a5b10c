"""Features of a try and of the float32 original in; how far they agree, and how much faster it is, out."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, FeatureSession, open_session

BATCH, ROUNDS = 4, 12
"""Speed is that of so many images at once on one core, the best of so many rounds."""


@dataclass(frozen=True)
class Agreement:
    """How near features are to those in float32."""

    mean: float
    """Cosine; 0 where features are no numbers."""
    lowest: float


@dataclass(frozen=True)
class Try:
    """One way to quantise that was tried."""

    method: str
    mean_cosine: float
    lowest_cosine: float
    chosen: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The try as plain JSON values."""
        return asdict(self)


def features_on_cpu(backbone: Backbone, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features (n, width) on the CPU, where they are the same everywhere but for the order of sums."""
    return _run(open_session(backbone, device="cpu"), pixels)


def _run(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([session(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])


def agreement(features: NDArray[np.float32], wanted: NDArray[np.float32]) -> Agreement:
    """Mean and lowest cosine of rows; a row of zeros agrees with such a row alone."""
    a, b = features.astype(np.float64), wanted.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Agreement(0.0, 0.0)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.where(lengths > 0, (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1), np.all(a == b, axis=1))
    return Agreement(round(float(cosines.mean()), 6), round(float(cosines.min()), 6))


def measure_speed(backbone: Backbone, original: Backbone, pixels: NDArray[np.uint8]) -> float:
    """How many times faster the backbone is than the original, by the CPU time of one thread, one beside the other."""
    runs = [_timed(open_session(one, device="cpu", threads=1), pixels[:BATCH]) for one in (backbone, original)]
    seconds = np.array([[run() for run in runs] for _ in range(ROUNDS)]).min(axis=0)
    return round(float(seconds[1] / seconds[0]), 3)


def _timed(session: FeatureSession, pixels: NDArray[np.uint8]) -> Callable[[], float]:
    def _run_once() -> float:
        start = time.process_time()
        session(pixels)
        return time.process_time() - start

    _run_once()
    return _run_once
