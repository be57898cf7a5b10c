"""Tunes the last layers of a backbone: images, maps, trials on validation images, the last training, the new model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.convert import check_new_name, install_tuned
from featx.extract import Progress, read_pixels
from featx.finetuning.describing import card_of, count_images, notes_on
from featx.finetuning.head import head_of
from featx.finetuning.judging import Trained, Trial, as_scores, held_back, measure_trial
from featx.finetuning.network import write_network
from featx.finetuning.outcome import AGAINST_FROZEN, FineTuning, TriedRate
from featx.finetuning.plan import Plan, check_options, choose_device, choose_epochs
from featx.finetuning.preparing import Prepared, Preparing
from featx.finetuning.rival import rival_probabilities
from featx.heads import Head
from featx.inputs import ImageSet, order_views
from featx.measures import Comparison, fit_temperature, measure, to_probabilities
from featx.settings import DEFAULTS, TUNING_RATE, TUNING_STORAGE, TUNING_VIEWS, Settings, Storage

COMPARED = 4
"""Number of images whose features torch and the written model must agree on."""


NO_LAYERS = (
    "layers were left out, because some images have none: `featx cache failures` of the layers' cache says why; where "
    "values are beyond float16, --storage float32 keeps them"
)


@dataclass(frozen=True)
class TuningProgress:
    """How far a fine-tuning is: what it does now, and how much of that is done."""

    stage: str
    finished: int
    total: int


def finetune_backbone(
    backbone: Backbone,
    images: ImageSet,
    *,
    tensor: str,
    name: str,
    into: Path | str | None = None,
    work: Path | str | None = None,
    views: Sequence[str] = TUNING_VIEWS,
    storage: Storage = TUNING_STORAGE,
    hold_out: str = "auto",
    rates: Sequence[float] = (TUNING_RATE,),
    epochs: int | None = None,
    layers: bool = True,
    force: bool = False,
    overwrite: bool = False,
    settings: Settings = DEFAULTS,
    seed: int = 0,
    announce: Callable[[str], None] = lambda text: None,
    report: Callable[[TuningProgress], None] = lambda progress: None,
) -> FineTuning:
    """Train the layers after a tensor on these images, and write the backbone that comes out if it is better.

    The frozen part of the network runs once for each view of each image; its maps are a cache in the folder `work`, and
    only the rest is trained, from the coefficients of a logistic regression on. Training images teach, and validation
    images decide: only if the tuned network is better on them than a head on the frozen feature with the same views, it
    is trained again on both, written as backbone `name`, and measured on the test images, which nothing else sees. The
    same call continues one that was interrupted, with the same weights.

    Args:
        backbone: the backbone to tune.
        images: the images, with one label each.
        tensor: where the trained part begins: one of `list_cuts`; the model's input trains the whole network.
        name: name of the new backbone.
        into: the folder of your own backbones (default: in your user data).
        work: the folder of the maps and of unfinished training (default: NAME-finetuning in the current folder).
        views: the views of each image.
        storage: type in which maps are stored.
        hold_out: the split rule that chooses the test and validation images, as in make_splits.
        rates: learning rates; of several, validation images choose.
        epochs: passes over the training images (default: 6, or 8 for fewer than 500 images).
        layers: whether to measure several layers of the frozen backbone beside it.
        force: whether to write the backbone even if it is not better.
        overwrite: whether to replace a backbone of this name.
        settings: how images are read and run; its views are not used.
        seed: decides the split, the order of images and their views.
        announce: called with a sentence that says how many bytes the maps take, before the first image is read.
        report: called with the progress.

    Raises:
        FineTuningError: torch is missing, the images do not do, or training diverges.
        BackboneError: the backbone cannot be cut there, or the name is taken.
        TableError: the images cannot be split.
        CacheError: the maps cannot be written.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> featx.list_cuts(backbone)[-3].name
    '/_blocks.13/Add_output_0'
    >>> found = featx.finetune_backbone(  # doctest: +SKIP
    ...     backbone, featx.list_images("photos"), tensor="/_blocks.13/Add_output_0", name="mine"
    ... )
    """
    start = time.perf_counter()
    check_options(tuple(rates), epochs)
    check_new_name(name, into=into, overwrite=overwrite)
    device = choose_device(settings.device)
    folder = Path(work) if work is not None else Path(f"{name}-finetuning")
    about: dict[str, Any] = {"hold_out": hold_out, "seed": seed, "storage": storage, "folder": folder}
    preparing = Preparing(backbone, images, tensor, settings=replace(settings, views=order_views(views)), **about)
    preparing.check()
    announce(preparing.announcement(layers=layers))
    prepared = _prepare(preparing, report, layers=layers)
    plan = Plan(rates[0], choose_epochs(epochs, len(prepared.split.train)), seed=seed, device=device)
    tuning = _Tuning(preparing, prepared, plan, tuple(rates), report)
    outcome, last = tuning.run(name, layers=layers, force=force)
    if last is not None:
        card = card_of(outcome, prepared, plan=plan)
        written = install_tuned(backbone, last.model, card, name=name, into=into, overwrite=overwrite)
        outcome = replace(outcome, backbone=written, head=last.head(outcome, written))
    return replace(outcome, seconds=round(time.perf_counter() - start, 3))


def _prepare(preparing: Preparing, report: Callable[[TuningProgress], None], *, layers: bool) -> Prepared:
    """The images with their maps; the layers of the rival are extracted too, while a full disk costs no training."""
    prepared = preparing.run(lambda done: report(TuningProgress("maps", done.finished, done.total)))
    if layers:
        preparing.extract_layers(lambda done: report(TuningProgress("layers", done.finished, done.total)))
    return prepared


@dataclass(frozen=True)
class _Decision:
    """What validation images said."""

    trial: Trial
    tried: tuple[Trained, ...]
    best: Trained
    wins: bool
    """Whether the best one has a higher accuracy than the head on frozen features, or an equal one and less loss."""

    @property
    def trains(self) -> bool:
        """Whether weights of the backbone were trained, and not the linear layer after the feature alone."""
        return any(True for _ in self.best.network.parameters())

    @property
    def temperature(self) -> float:
        """What class scores are divided by, so that the probabilities of validation images are likeliest."""
        return fit_temperature(as_scores(self.best.probabilities), self.trial.known)

    @property
    def validation(self) -> Comparison:
        """The paired difference that decided."""
        found = {"tuned": self.best.probabilities, "frozen": self.trial.frozen}
        return self.trial.compare(found, [AGAINST_FROZEN], seed=self.best.plan.seed)[0]

    @property
    def rates(self) -> tuple[TriedRate, ...]:
        """What each rate gave."""
        return tuple(self.trial.describe(one, chosen=one is self.best) for one in self.tried)


@dataclass(frozen=True)
class _LastTraining:
    """The training on training and validation images, and the model that it made."""

    decision: _Decision
    trial: Trial
    trained: Trained
    model: Any
    """An onnx.ModelProto."""

    def head(self, outcome: FineTuning, backbone: Backbone) -> Head:
        """The linear layer as a head on the new backbone, calibrated on the validation images of the trial before."""
        accuracy = next(one.accuracy for one in outcome.tried if one.chosen)
        temperature = self.decision.temperature
        calibrated = to_probabilities(as_scores(self.trained.probabilities), temperature=temperature)
        metrics = measure(calibrated, self.trial.known, seed=self.trained.plan.seed)
        about: dict[str, Any] = {"prepared": self.trial.prepared, "heads": self.trial.heads, "accuracy": accuracy}
        return head_of(self.trained.tail[1], backbone, metrics=metrics, temperature=temperature, **about)


@dataclass(frozen=True)
class _Tuning:
    """The steps after the maps: trials on validation images, the last training, the measures."""

    preparing: Preparing
    prepared: Prepared
    plan: Plan
    rates: tuple[float, ...]
    report: Callable[[TuningProgress], None]

    def run(self, name: str, *, layers: bool, force: bool) -> tuple[FineTuning, _LastTraining | None]:
        """What was found, and the last training, or None if nothing is to be written."""
        decision = self.decide()
        if not (decision.trains and (decision.wins or force)):
            return self.describe(name, decision, decision.trial, decision.best, layers=layers), None
        trial = decision.trial.on_test(self.prepared.split, seed=self.plan.seed)
        trained = self._train(trial, decision.best.plan.rate, watched=False)
        outcome = self.describe(name, decision, trial, trained, layers=layers)
        model = write_network(self.preparing.backbone, trained.network, pixels=self.read_some(trial))
        return outcome, _LastTraining(decision, trial, trained, model)

    def decide(self) -> _Decision:
        """Train on training images with each rate, and hold the best against frozen features on validation images."""
        about = self.preparing
        held = held_back(self.prepared.split)
        trial = Trial.begin(about.backbone, about.tensor, self.prepared, held, seed=self.plan.seed)
        tried = tuple(self._train(trial, rate, watched=True) for rate in self.rates)
        best = max(tried, key=lambda one: trial.merit(one.probabilities))
        return _Decision(trial, tried, best, trial.merit(best.probabilities) > trial.merit(trial.frozen))

    def read_some(self, trial: Trial) -> NDArray[np.uint8]:
        """The pixels (n, size, size, 3) of a few images that were learned from."""
        preparing = self.preparing
        positions = self.prepared.table.positions[trial.split.fitted[:COMPARED]]
        found = read_pixels(preparing.images, positions.tolist(), preparing.backbone, decode=preparing.settings.decode)
        return np.concatenate([*found.values()])

    def describe(self, name: str, decision: _Decision, trial: Trial, trained: Trained, *, layers: bool) -> FineTuning:
        """What was found, before anything is written."""
        preparing = self.preparing
        split = self.prepared.split
        writes = trial is not decision.trial
        rival = rival_probabilities(trial, preparing, self._report_stage("layers")) if layers else None
        notes = tuple(notes_on(preparing, split, wins=decision.wins, writes=writes, trains=decision.trains))
        notes = (*notes, f"the head on the frozen feature is logistic regression, {trial.kind}")
        if layers and rival is None:
            notes = (*notes, NO_LAYERS)
        return FineTuning(
            name=name,
            source=preparing.backbone.name,
            tensor=preparing.tensor,
            measured_on="test" if writes else "validation",
            validation=decision.validation,
            wins=decision.wins,
            tried=decision.rates,
            split=split.rule,
            images=count_images(split),
            views=preparing.settings.views,
            bytes_of_maps=preparing.bytes_of_maps,
            notes=tuple(notes),
            **measure_trial(trial, trained.probabilities, rival, seed=self.plan.seed),
        )

    def _report_stage(self, stage: str) -> Callable[[Progress], None]:
        return lambda done: self.report(TuningProgress(stage, done.finished, done.total))

    def _train(self, trial: Trial, rate: float, *, watched: bool) -> Trained:
        stage = f"training at rate {rate:g}" if watched else "training with the validation images"
        return trial.train(
            replace(self.plan, rate=rate),
            folder=self.preparing.folder,
            watched=watched,
            report=lambda done, total: self.report(TuningProgress(stage, done, total)),
        )
