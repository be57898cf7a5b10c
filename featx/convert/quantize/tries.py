"""Measures how far features agree with those in float32, and how much faster a backbone is."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, FeatureSession, open_session

_BATCH = 4
"""Number of images in a batch."""
_ROUNDS = 12
"""Number of times that each speed is measured; the best counts."""


@dataclass(frozen=True)
class Agreement:
    """How far features agree with those in float32."""

    mean: float
    """Mean cosine; 0 if features are NaN or infinite."""
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
    """Features (n, width) on the CPU, where machines differ only in the order of sums."""
    return _run(open_session(backbone, device="cpu"), pixels)


def _run(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([session(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)])


def agreement(features: NDArray[np.float32], wanted: NDArray[np.float32]) -> Agreement:
    """Mean and lowest cosine between rows; a row of zeros agrees only with another row of zeros."""
    a = features.astype(np.float64)
    b = wanted.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Agreement(0.0, 0.0)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.where(lengths > 0, (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1), np.all(a == b, axis=1))
    return Agreement(round(float(cosines.mean()), 6), round(float(cosines.min()), 6))


def measure_speed(backbone: Backbone, original: Backbone, pixels: NDArray[np.uint8]) -> float:
    """How many times as fast as the original the backbone is, by CPU time of one thread; both are measured in turn."""
    sessions = [open_session(model, device="cpu", threads=1) for model in (backbone, original)]
    runs = [_timed(session, pixels[:_BATCH]) for session in sessions]
    seconds = np.array([[run() for run in runs] for _ in range(_ROUNDS)]).min(axis=0)
    return round(float(seconds[1] / seconds[0]), 3)


def _timed(session: FeatureSession, pixels: NDArray[np.uint8]) -> Callable[[], float]:
    """A function that runs the session once more and returns its CPU seconds."""

    def _run_once() -> float:
        start = time.process_time()
        session(pixels)
        return time.process_time() - start

    _run_once()
    return _run_once
