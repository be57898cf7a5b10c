"""The options of fine-tuning, and the schedule that follows from them."""

import math
from dataclasses import dataclass

from featx.errors import FineTuningError
from featx.settings import TUNING_RATE

BATCH = 32
EPOCHS = 6
EPOCHS_OF_FEW = 8
"""Number of epochs for fewer than FEW_FOR_EPOCHS training images, of which each epoch has few steps."""
FEW_FOR_EPOCHS = 500
WARM_UP = 0.5
"""Epochs over which the rate rises to its value; then it falls to 0 along a cosine (arXiv 1608.03983)."""


@dataclass(frozen=True)
class Plan:
    """How a tail is trained."""

    rate: float = TUNING_RATE
    """The largest learning rate."""
    epochs: int = EPOCHS
    batch: int = BATCH
    seed: int = 0
    device: str = "cpu"
    """Where torch computes."""

    def steps(self, rows: int) -> int:
        """Number of batches of one epoch."""
        return math.ceil(rows / self.batch)

    def rate_at(self, step: int, *, rows: int) -> float:
        """The learning rate of a step, counted from 0 over all epochs."""
        rising = max(1.0, WARM_UP * self.steps(rows))
        if step < rising:
            return self.rate * (step + 1) / (rising + 1)
        done = (step - rising) / max(1.0, self.epochs * self.steps(rows) - rising)
        return self.rate * (1 + math.cos(math.pi * done)) / 2


def check_options(rates: tuple[float, ...], epochs: int | None) -> None:
    """Raise FineTuningError for rates that are not above 0, or for fewer epochs than one."""
    if not rates or not all(math.isfinite(rate) and rate > 0 for rate in rates):
        raise FineTuningError(f"rates {rates} should be numbers above 0; {TUNING_RATE} is a good one")
    if epochs is not None and epochs < 1:
        raise FineTuningError(f"{epochs} epochs were asked for; ask for 1 or more, or leave it out")


def choose_epochs(epochs: int | None, rows: int) -> int:
    """The number of epochs that was asked for, or the usual one for this number of training images."""
    return epochs or (EPOCHS_OF_FEW if rows < FEW_FOR_EPOCHS else EPOCHS)


def choose_device(device: str) -> str:
    """The device of torch for this `--device`. Raises FineTuningError if it is CUDA, which torch does not have."""
    from featx.finetuning.library import import_torch

    torch = import_torch()
    wanted = device.partition(",")[0]
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not wanted.startswith("cuda"):
        return "cpu"
    if not torch.cuda.is_available():
        raise FineTuningError(
            f"--device {device}: this build of torch finds no GPU; install one with CUDA, or use --device cpu"
        )
    return wanted
