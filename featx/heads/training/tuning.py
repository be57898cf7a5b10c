"""Tunes a planned head: finds the parameters that do best on validation rows."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from featx.errors import (
    ConvergenceError,
    HeadError,
    TableError,
)
from featx.estimators import Grid, sweep
from featx.hardware import usable_cores
from featx.heads.recipes import AS_WEAK, HeadPlan
from featx.heads.training.development import DevelopmentSet
from featx.heads.training.fitting import (
    Setup,
    fit_setups,
    group_setups,
    transform_steps,
)
from featx.labels import Labels
from featx.measures import row_values, to_probabilities
from featx.processes import run_parallel
from featx.tables import RowIndices

logger = logging.getLogger(__name__)

Params: TypeAlias = dict[str, Any]
ParamsKey: TypeAlias = tuple[tuple[str, Any], ...]

EXTENSIONS = 3
"""How many times a grid is extended if its end is best."""
VALUES_PER_EXTENSION = 4
EXACT_DIGITS = 12
"""Decimal places of a mean measure; further ones are rounding errors, which would decide between equal parameters."""
PERFECT = 1 - 1e-9
"""A measure of 1, whatever was lost by rounding."""
MOST_STRONGER = 10.0001
"""How many times stronger a cautious penalty is at most: with a far stronger one the commonest class would win."""
KEPT_BYTES = 2**26
"""Size of the class scores of all parameter sets up to which all are kept; else only the best ones of a single fold."""


@dataclass(frozen=True, order=True)
class ValidationMeasure:
    """How good parameters are on validation rows; larger is better."""

    measure: float
    """Weighted accuracy, or balanced accuracy if classes are balanced; mean average precision for multi-label."""
    log_likelihood: float
    """Mean per row; decides between parameters of equal measure, unless that is perfect."""


@dataclass(frozen=True)
class TunedPipeline:
    """A pipeline with the parameters that tuning chose."""

    pipeline: Pipeline
    """Unfitted."""
    params: Params
    """The chosen parameters, by their names in the pipeline."""
    measure: float
    """Their measure on validation rows."""
    tried: int
    """Number of parameter sets that were tried."""
    edge: bool
    """Whether the best value is still at the end of its grid after all extensions."""
    scores: NDArray[np.float64] | None = None
    """Class scores (n, classes) of the validation rows by fits to other rows; None if they were not kept."""
    fall_back: "Callable[[], TunedPipeline | None]" = lambda: None
    """The next best pipeline whose penalty is stronger, for fits that do not converge; None if there is none."""


def tune(plan: HeadPlan, development: DevelopmentSet, *, jobs: int | None = None) -> TunedPipeline:
    """The planned pipeline with the parameters whose measure on the validation rows of all folds is best.

    Of equal measures, the one with the higher likelihood is best, and of equal likelihoods the one that was tried
    first. If several parameter sets are perfect, their likelihood only says how large the scores are, and the middle
    one of them is chosen. A grid is extended if its end is best. For a cautious development set the strongest penalty
    of the best setup is then taken, at most ten times stronger, whose measure is within a standard error of the best
    one (Breiman et al. 1984, section 3.4.3). Raises ConvergenceError if a fit does not converge.
    """
    search = _Search(plan, development, jobs or (1 if development.large else usable_cores()))
    parts = max(1, search.jobs // len(development.folds))
    groups = group_setups(plan.pipeline, ParameterGrid(dict(plan.before)), parts=parts)
    search.run([(setups, plan.classifier) for setups in groups])
    for _ in range(EXTENSIONS):
        extension = search.next_extension()
        if not extension or not search.extend(extension):
            break
    return search.outcome()


@dataclass(frozen=True)
class _Tried:
    """A parameter set that was tried."""

    measured: ValidationMeasure
    setup: Params
    params: Params
    """Parameters of the classifier, by its own names."""

    @property
    def key(self) -> "ParamsKey":
        """Identifies the parameter set."""
        return _key(self.setup | self.params)


@dataclass
class _Search:
    """All parameter sets that were tried so far."""

    plan: HeadPlan
    development: DevelopmentSet
    jobs: int
    tried: dict[ParamsKey, _Tried] = field(default_factory=dict)
    """By their parameters."""
    scores: dict[ParamsKey, NDArray[np.float64]] = field(default_factory=dict)
    """The class scores of the validation rows: of all parameter sets if they are small, else of the best one so far."""

    def run(self, trials: Sequence[tuple[Sequence[Setup], Grid]]) -> None:
        """Try these groups of setups, each with these parameters of the classifier, on every fold."""
        folds = self.development.folds
        attempt = partial(_try_on_fold, self.plan.pipeline, self.development, keep=self._keeps_all)
        calls = [partial(attempt, fold=fold, setups=setups, grid=grid) for setups, grid in trials for fold in folds]
        found = list(run_parallel(calls, jobs=self.jobs))
        for place, (setups, _) in enumerate(trials):
            of_folds = found[place * len(folds) : (place + 1) * len(folds)]
            for setup, *on_folds in zip(setups, *of_folds, strict=True):
                self._add(dict(setup), on_folds)
        if not self._keeps_all:
            self.scores = {key: scores for key, scores in self.scores.items() if key == self._best.key}

    @property
    def _keeps_all(self) -> bool:
        """Whether the class scores of all parameter sets are kept."""
        sets = len(ParameterGrid(dict(self.plan.before))) * len(ParameterGrid(dict(self.plan.classifier)))
        numbers = len(self.development.validation_rows) * len(self.development.labels.classes)
        return sets * numbers * np.dtype(np.float64).itemsize <= KEPT_BYTES

    def _add(self, setup: Params, on_folds: "Sequence[_OnFold]") -> None:
        by_params = [{_key(params): measured for params, measured in fold.measured} for fold in on_folds]
        for params, _ in on_folds[0].measured:
            mean = _mean([of_fold[_key(params)] for of_fold in by_params], weights=self._fold_weights)
            tried = _Tried(mean, setup, params)
            self.tried[tried.key] = tried
            of_folds = [fold.scores.get(_key(params)) for fold in on_folds]
            if kept := [scores for scores in of_folds if scores is not None]:
                self.scores[tried.key] = np.concatenate(kept)

    @cached_property
    def _fold_weights(self) -> list[float]:
        """The total weight of the validation rows of each fold."""
        return [float(self.development.labels_of(rows).weights.sum()) for _, rows in self.development.folds]

    def extend(self, grid: Grid) -> bool:
        """Try this grid with the best setup, and return whether all fits converge."""
        try:
            self.run([([self._best.setup], grid)])
        except ConvergenceError as error:
            logger.warning("the grid is not extended further, although its end is best: %s", error)
            return False
        return True

    @property
    def _best(self) -> _Tried:
        perfect = [tried for tried in self.tried.values() if tried.measured.measure >= PERFECT]
        return _middle(perfect) if perfect else max(self.tried.values(), key=lambda tried: tried.measured)

    def _strongest_near(self, best: _Tried) -> _Tried:
        """Of the same setup, the strongest penalty, at most ten times this, with a measure within a standard error."""
        name = self.plan.open_ended
        if not name or not np.isfinite(best.measured.measure):
            return best
        labels = self.development.labels_of(self.development.validation_rows)
        rows = labels.weights.sum() ** 2 / np.square(labels.weights).sum()
        share = min(max(best.measured.measure, 0.0), 1.0)
        least = best.measured.measure - float(np.sqrt(share * (1 - share) / rows))
        is_as_weak = AS_WEAK[name]
        near = [
            one
            for one in self.tried.values()
            if one.setup == best.setup
            and one.measured.measure >= least
            and 1 / MOST_STRONGER <= one.params[name] / best.params[name] <= MOST_STRONGER
        ]
        return min(near, key=lambda one: sum(is_as_weak(one.params[name], other.params[name]) for other in near))

    def next_extension(self) -> Grid:
        """The grid beyond the best value if that is at an end and can be better; empty otherwise."""
        return {} if self._best.measured.measure >= PERFECT else self._beyond_end()

    def _beyond_end(self) -> Grid:
        """The grid beyond the best value if that is at an end; empty if it is inside."""
        name = self.plan.open_ended
        best = self._best
        if not name:
            return {}
        values = sorted({tried.params[name] for tried in self.tried.values() if tried.setup == best.setup})
        if len(values) < 2 or best.params[name] not in (values[0], values[-1]):
            return {}
        step = values[1] / values[0] if best.params[name] == values[-1] else values[0] / values[1]
        return {key: [value] for key, value in best.params.items()} | {
            name: [float(best.params[name] * step**place) for place in range(1, VALUES_PER_EXTENSION + 1)]
        }

    def outcome(self) -> TunedPipeline:
        """The pipeline with the best parameters. Raises HeadError if no parameters gave finite scores."""
        best = self._strongest_near(self._best) if self.development.cautious else self._best
        if not np.isfinite(best.measured.measure):
            tried = ", ".join(self.plan.classifier) or "parameters"
            raise HeadError(f"the class scores are NaN or infinite for all {tried} of the head; choose another head")
        chosen = best.setup | {_pipeline_name(self.plan.pipeline, name): value for name, value in best.params.items()}
        return TunedPipeline(
            clone(self.plan.pipeline).set_params(**chosen),
            chosen,
            measure=best.measured.measure,
            tried=len(self.tried),
            edge=bool(self._beyond_end()),
            scores=self.scores.get(best.key),
            fall_back=self._fall_back,
        )

    def _fall_back(self) -> TunedPipeline | None:
        """The best pipeline without the parameters that were best so far, and without those of no stronger penalty."""
        if not self.tried:
            return None
        failed = self._best
        name = self.plan.open_ended
        del self.tried[failed.key]
        if name:
            is_as_weak = AS_WEAK[name]
            self.tried = {
                key: tried
                for key, tried in self.tried.items()
                if tried.setup != failed.setup or not is_as_weak(tried.params[name], failed.params[name])
            }
        finite = any(np.isfinite(tried.measured.measure) for tried in self.tried.values())
        return self.outcome() if finite else None


def _pipeline_name(pipeline: Pipeline, name: str) -> str:
    """What the pipeline calls this parameter of its classifier."""
    inner = "classifier__" if hasattr(pipeline["classifier"], "classifier") else ""
    return f"classifier__{inner}{name}"


def _key(params: Params) -> ParamsKey:
    return tuple(sorted(params.items(), key=itemgetter(0)))


def _middle(tried: Sequence[_Tried]) -> _Tried:
    """The one in the middle of these, by the order of their numbers, of those whose other parameters most have."""
    groups = dict[ParamsKey, list[_Tried]]()
    for one in tried:
        groups.setdefault(tuple((name, value) for name, value in one.key if not _is_number(value)), []).append(one)
    group = max(groups.values(), key=len)
    numbers = np.array([[value for _, value in one.key if _is_number(value)] for one in group], dtype=np.float64)
    ranks = np.array([np.unique(column, return_inverse=True)[1] for column in numbers.T]).reshape(-1, len(group))
    distances = np.square(ranks - ranks.mean(axis=1, keepdims=True)).sum(axis=0)
    return group[int(distances.argmin())]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mean(measured: Sequence[ValidationMeasure], *, weights: Sequence[float]) -> ValidationMeasure:
    """The mean over folds, in which every validation row counts by its weight, whatever the size of its fold.

    Measures are rounded, so that parameters that are right on equally many rows are equal.
    """
    measure, log_likelihood = np.average([astuple(of_fold) for of_fold in measured], axis=0, weights=weights)
    return ValidationMeasure(round(float(measure), EXACT_DIGITS), float(log_likelihood))


@dataclass(frozen=True)
class _OnFold:
    """The measures of the classifier's parameter sets after one setup, on one fold."""

    measured: list[tuple[Params, ValidationMeasure]]
    scores: dict[ParamsKey, NDArray[np.float64]]
    """Class scores of the validation rows with some or all of these parameter sets."""


def _try_on_fold(
    pipeline: Pipeline,
    development: DevelopmentSet,
    *,
    fold: tuple[RowIndices, RowIndices],
    setups: Sequence[Setup],
    grid: Grid,
    keep: bool,
) -> list[_OnFold]:
    """The measures of each parameter set of the classifier after each setup; `keep`: and all class scores."""
    fit, held_out = fold
    labels = development.labels_of(held_out)
    target = development.target(fit)
    weights = development.weights(fit)
    alone = len(development.folds) == 1
    found = []
    for steps, features in fit_setups(pipeline, setups, development, fit):
        others = transform_steps(steps, development.features(held_out))
        swept = sweep(pipeline["classifier"], features, target, others, grid=grid, sample_weight=weights)
        of_images = ((params, development.join(scores)) for params, scores in swept)
        found.append(_measure_all(of_images, labels, keep="all" if keep else "best" if alone else "none"))
        del steps, features, others, swept, of_images  # before the features of the next setup, which are as large
    return found


def _measure_all(
    swept: Iterable[tuple[Params, NDArray[np.float64]]], labels: Labels, *, keep: Literal["all", "best", "none"]
) -> _OnFold:
    """The measure of each parameter set, and the class scores with those that are to be kept."""
    measured = list[tuple[Params, ValidationMeasure]]()
    kept = dict[ParamsKey, NDArray[np.float64]]()
    best = None
    for params, scores in swept:
        measured.append((params, measure_validation(scores, labels)))
        is_best = best is None or measured[-1][1] > best
        best = measured[-1][1] if is_best else best
        if keep == "best" and is_best:
            kept.clear()
        if keep == "all" or (keep == "best" and is_best):
            kept[_key(params)] = scores
    if not measured:
        raise HeadError("every class is a label of all training images or of none; add images with other labels")
    return _OnFold(measured, kept)


def measure_validation(scores: NDArray[np.float64], labels: Labels) -> ValidationMeasure:
    """How well class scores (n, classes) predict the labels; -inf, the worst value, if a score is not finite."""
    if not np.isfinite(scores).all():
        return ValidationMeasure(-np.inf, -np.inf)
    probabilities = to_probabilities(scores, multilabel=labels.multilabel)
    losses = row_values(probabilities, labels, measure="log_loss")
    log_likelihood = -np.average(losses, weights=labels.weights)
    if labels.multilabel:
        present = labels.weights @ labels.shares > 0
        if not present.any():
            raise TableError("no validation image has a label of any class; label some to choose parameters by")
        measure = average_precision_score(labels.shares[:, present], scores[:, present], sample_weight=labels.weights)
    else:
        measure = np.average(row_values(probabilities, labels), weights=labels.weights)
    return ValidationMeasure(float(measure), float(log_likelihood))
