"""Trains a tail on cached maps, one random view of each image in each epoch."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import FineTuningError
from featx.finetuning.library import import_torch
from featx.finetuning.maps import Rows, TailInputs
from featx.finetuning.plan import Plan
from featx.finetuning.state import StateFile
from featx.finetuning.tail import predict_rows
from featx.labels import Labels
from featx.measures import row_values


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training did.

    >>> from featx.finetuning import Epoch
    >>> Epoch(number=1, training_loss=0.41, validation_loss=0.52).training_loss
    0.41
    """

    number: int
    training_loss: float
    """Mean log loss of the batches, in nats, each before its step."""
    validation_loss: float | None
    """Log loss of the validation images at view 0, after the epoch; None where they are trained on."""


@dataclass(frozen=True)
class Examples:
    """Rows of the table with their labels, in the order of the classes of the tail."""

    rows: Rows
    labels: Labels


@dataclass(frozen=True)
class Training:
    """The training of one tail, which is changed in place."""

    tail: Any
    inputs: TailInputs
    examples: Examples
    plan: Plan
    validation: Examples | None = None
    """Images whose loss is reported after each epoch; nothing depends on it."""
    on_step: Callable[[int, int], None] = lambda done, total: None
    """Called with the number of batches that are done, and that there will be."""
    epochs: list[Epoch] = field(default_factory=list)

    def run(self, state: StateFile) -> tuple[Epoch, ...]:
        """Train the tail to the last epoch, from where the file says a killed run was; what each epoch did.

        Raises FineTuningError if the loss diverges.
        """
        self.tail.to(self.plan.device)
        optimiser = self._optimiser()
        if kept := state.load():
            self._restore(optimiser, kept)
        with _deterministic():
            for number in range(len(self.epochs), self.plan.epochs):
                self.epochs.append(self._run_epoch(optimiser, number))
                state.save(self._kept(optimiser))
        return tuple(self.epochs)

    def _optimiser(self) -> Any:
        torch = import_torch()
        return torch.optim.AdamW(self.tail.parameters(), lr=self.plan.rate, weight_decay=0.0)

    def _restore(self, optimiser: Any, kept: Mapping[str, Any]) -> None:
        self.tail.load_state_dict(kept["tail"])
        optimiser.load_state_dict(kept["optimiser"])
        self.epochs.extend(Epoch(**epoch) for epoch in kept["epochs"])

    def _kept(self, optimiser: Any) -> dict[str, Any]:
        return {
            "tail": self.tail.state_dict(),
            "optimiser": optimiser.state_dict(),
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }

    def _run_epoch(self, optimiser: Any, number: int) -> Epoch:
        """One pass over all images. Their order and views depend on the seed and on the number of the epoch alone."""
        count = len(self.examples.rows)
        rng = np.random.default_rng([self.plan.seed, number])
        order = rng.permutation(count)
        views = rng.integers(self.inputs.views, size=count)
        total = 0.0
        steps = self.plan.steps(count)
        for step in range(steps):
            places = order[step * self.plan.batch : (step + 1) * self.plan.batch]
            done = number * steps + step
            for group in optimiser.param_groups:
                group["lr"] = self.plan.rate_at(done, rows=count)
            total += len(places) * self._step(optimiser, places, views[places])
            self.on_step(done + 1, self.plan.epochs * steps)
        self._check(number + 1, total / count)
        return Epoch(number + 1, total / count, self._validation_loss())

    def _step(self, optimiser: Any, places: Rows, views: Rows) -> float:
        """One step of the optimiser; the mean loss of the batch before it."""
        torch = import_torch()
        device = self.plan.device
        labels = self.examples.labels.take(places)
        maps = torch.from_numpy(self.inputs.take(self.examples.rows[places], views)).to(device)
        weighted = labels.shares * (labels.weights / self._mean_weight)[:, None]
        targets = torch.from_numpy(weighted.astype(np.float32)).to(device)
        loss = -(targets * self.tail(maps).log_softmax(1)).sum() / len(places)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self.diverged("the loss is not finite")
        return value

    @property
    def _mean_weight(self) -> float:
        return float(self.examples.labels.weights.mean())

    def _validation_loss(self) -> float | None:
        if self.validation is None:
            return None
        known = self.validation
        probabilities = predict_rows(self.tail, self.inputs, known.rows, device=self.plan.device, views=1)
        if not np.isfinite(probabilities).all():
            raise self.diverged("validation images have no finite probabilities")
        return mean_loss(probabilities, known.labels)

    def _check(self, number: int, loss: float) -> None:
        """Raise FineTuningError if the tail, which began at a fitted head, is now worse than guessing."""
        torch = import_torch()
        guessing = math.log(len(self.examples.labels.classes))
        if not loss <= WORSE_THAN_GUESSING * guessing:
            raise self.diverged(
                f"its mean loss in epoch {number} is {loss:.3g}, far above that of guessing, {guessing:.3g}"
            )
        if not all(bool(torch.isfinite(values).all()) for values in self.tail.parameters()):
            raise self.diverged(f"weights are not finite after epoch {number}")

    def diverged(self, why: str) -> FineTuningError:
        """The error of a training that diverges, with the reason."""
        return FineTuningError(
            f"training diverges at rate {self.plan.rate:g}: {why}; nothing was written, lower --rate"
        )


WORSE_THAN_GUESSING = 1.5
"""An epoch has diverged if its mean loss is above this multiple of that of guessing: it began at a fitted head."""


def mean_loss(probabilities: NDArray[np.float64], labels: Labels) -> float:
    """The log loss by weight, in nats."""
    return float(np.average(row_values(probabilities, labels, measure="log_loss"), weights=labels.weights))


@contextmanager
def _deterministic() -> Iterator[None]:
    """Lets torch use only algorithms that give equal results in every run; a warning names one that has none."""
    torch = import_torch()
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # an eighth of the time, and no operator here needs it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled
