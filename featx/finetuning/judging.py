"""Trains a tail on some rows, and holds it against heads on frozen features, on rows that none of them saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.errors import FineTuningError
from featx.finetuning.frozen import OF_MEAN, FrozenHeads, Probabilities, fit_frozen, labels_in
from featx.finetuning.network import read_network
from featx.finetuning.outcome import AGAINST_FROZEN, AGAINST_LAYERS, TriedRate
from featx.finetuning.plan import Plan
from featx.finetuning.preparing import Prepared
from featx.finetuning.state import StateFile
from featx.finetuning.tail import build_tail, predict_rows, run_module
from featx.finetuning.training import Epoch, Examples, Training, mean_loss
from featx.hashing import hash_settings
from featx.labels import Labels
from featx.measures import Comparison, measure, paired_bootstrap, row_values
from featx.provenance import __version__
from featx.tables import Split

SAME_FEATURES = 2e-3
"""Largest difference between features of torch and of ONNX Runtime, relative to the largest one, where maps have the
three digits of float16."""
CHECKED = 8
"""Number of images whose features are compared before training."""


@dataclass(frozen=True)
class Trained:
    """A tail after its training, and what it says about rows that it did not see."""

    tail: Any
    network: Any
    plan: Plan
    epochs: tuple[Epoch, ...]
    probabilities: Probabilities
    """(test rows, classes): of the tuned network with its own linear layer."""


@dataclass(frozen=True)
class Trial:
    """One part of the images to learn from, and another to measure on; both heads learn from the same rows."""

    backbone: Backbone
    tensor: str
    prepared: Prepared
    split: Split
    """Its test rows are those to measure on; its training and validation rows are learned from."""
    heads: FrozenHeads
    kind: str
    """Which of the heads on frozen features stands beside the tuned network."""

    @classmethod
    def begin(cls, backbone: Backbone, tensor: str, prepared: Prepared, split: Split, *, seed: int) -> "Trial":
        """The trial beside the better one of its heads on frozen features. Raises TableError as train_head does."""
        trial = cls(backbone, tensor, prepared, split, fit_frozen(prepared, split, seed=seed), OF_MEAN)
        best = max(trial.heads.probabilities, key=lambda kind: trial.merit(trial.heads.probabilities[kind]))
        return replace(trial, kind=best)

    def on_test(self, split: Split, *, seed: int) -> "Trial":
        """The trial with this split, beside the same head, which is fitted anew."""
        return replace(self, split=split, heads=fit_frozen(self.prepared, split, seed=seed))

    @property
    def frozen(self) -> Probabilities:
        """The probabilities (test rows, classes) of the head on frozen features."""
        return self.heads.probabilities[self.kind]

    def labels(self, rows: NDArray[np.int64]) -> Labels:
        """The labels of these rows, in the order of the classes of the heads."""
        return labels_in(self.prepared, rows, self.heads.classes)

    @property
    def known(self) -> Labels:
        """The labels of the rows to measure on."""
        return self.labels(self.split.test)

    def train(self, plan: Plan, *, folder: Path, watched: bool, report: Callable[[int, int], None]) -> Trained:
        """The tail after training by this plan; with `watched` the loss of the test rows is kept for each epoch."""
        rows = self.split.fitted
        network = read_network(self.backbone, self.tensor)
        tail = build_tail(network, self.heads.start)
        self._check_features(tail)
        examples = Examples(rows, self.labels(rows))
        validation = Examples(self.split.test, self.known) if watched else None
        training = Training(tail, self.prepared.inputs, examples, plan, validation, report)
        epochs = training.run(self._state(plan, folder, watched=watched))
        found = predict_rows(tail, self.prepared.inputs, self.split.test, device=plan.device)
        if not np.isfinite(found).all():
            raise training.diverged("images have no finite probabilities")
        return Trained(tail, network, plan, epochs, found)

    def compare(
        self, found: Mapping[str, Probabilities], pairs: Sequence[tuple[str, str]], *, seed: int = 0
    ) -> tuple[Comparison, ...]:
        """The paired differences of accuracy, with Holm's correction over all of them."""
        values = {name: row_values(probabilities, self.known) for name, probabilities in found.items()}
        return paired_bootstrap(values, pairs, labels=self.known, seed=seed)

    def merit(self, probabilities: Probabilities) -> tuple[float, float]:
        """What decides between probabilities of the rows to measure on: accuracy, and if it is equal the log loss."""
        correct = row_values(probabilities, self.known)
        return float(np.average(correct, weights=self.known.weights)), -mean_loss(probabilities, self.known)

    def describe(self, trained: Trained, *, chosen: bool) -> TriedRate:
        """What a training gave on the rows to measure on."""
        accuracy, loss = self.merit(trained.probabilities)
        return TriedRate(trained.plan.rate, accuracy, -loss, trained.epochs, chosen)

    def _check_features(self, tail: Any) -> None:
        """Raise FineTuningError unless torch computes the features that ONNX Runtime computed."""
        rows = self.split.fitted[:CHECKED]
        table = self.prepared.table
        views = self.prepared.inputs.views
        maps = self.prepared.inputs.take(np.repeat(rows, views), np.tile(np.arange(views), len(rows)))
        found = run_module(tail[0], maps, device="cpu").reshape(len(rows), views, -1).mean(axis=1)
        wanted = table.take(rows)
        difference = float(np.abs(found - wanted).max()) / (float(np.abs(wanted).max()) or 1.0)
        if not difference <= SAME_FEATURES:
            raise FineTuningError(
                f"{self.backbone.name}: from {self.tensor!r} on, torch and ONNX Runtime differ by {difference:.2g} of "
                "the largest feature; name a later tensor, or store maps with --storage float32"
            )

    def _state(self, plan: Plan, folder: Path, *, watched: bool) -> StateFile:
        """The file of this training, whose name and key depend on all that its weights depend on."""
        table = self.prepared.table
        about: dict[str, object] = {
            "featx": __version__,
            "backbone": self.backbone.hash,
            "tensor": self.tensor,
            "images": table.digest,
            "rows": self.split.fitted.tolist(),
            "test": self.split.test.tolist() if watched else None,
            "views": self.prepared.inputs.views,
            "plan": [plan.rate, plan.epochs, plan.batch, plan.seed, plan.device],
        }
        key = hash_settings(about)
        return StateFile(folder / f"training-{key[:12]}.pt", key)


def measure_trial(trial: Trial, tuned: Probabilities, layers: Probabilities | None, *, seed: int) -> dict[str, Any]:
    """The fields of FineTuning that are measured: of frozen and tuned features, of layers, and their differences."""
    found = {"frozen": trial.frozen, "tuned": tuned}
    pairs = [AGAINST_FROZEN]
    if layers is not None:
        found |= {"layers": layers, "both": (tuned + layers) / 2}
        pairs.append(AGAINST_LAYERS)
    measures = {name: measure(probabilities, trial.known, seed=seed) for name, probabilities in found.items()}
    return {**measures, "comparisons": trial.compare(found, pairs, seed=seed)}


def as_scores(probabilities: Probabilities) -> NDArray[np.float64]:
    """Class scores (n, classes) whose softmax gives these probabilities."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


def held_back(split: Split) -> Split:
    """The split without its test rows: its training rows are learned from, its validation rows are measured on."""
    none = np.empty(0, np.int64)
    return replace(split, validation=none, test=split.validation, key=f"{split.key}/validation")
