"""A plan and a lesson in; the parameters that do best on validation rows out."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
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
from featx.heads.recipes import Plan
from featx.heads.training.development import Lesson
from featx.heads.training.fitting import (
    Setup,
    fit_setups,
    group_setups,
    transform_steps,
)
from featx.labels import Labels
from featx.measures import row_values, to_probabilities
from featx.processes import side_by_side
from featx.tables import Rows

logger = logging.getLogger(__name__)

Params: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[tuple[str, Any], ...]

EXTENSIONS = 3
"""How often a grid goes on where its end is best."""
MORE = 4
"""Values by which it goes on each time."""


@dataclass(frozen=True, order=True)
class Value:
    """How good parameters are on validation rows: the larger the better."""

    measure: float
    """Weighted accuracy, balanced where classes are to count alike; mean average precision of several labels."""
    likelihood: float
    """Mean log-likelihood: decides between equals."""


@dataclass(frozen=True)
class Tuned:
    """What tuning chose."""

    params: Params
    """Of the pipeline."""
    measure: float
    """What they reach on validation rows."""
    tried: int
    """How many sets of parameters were tried."""
    edge: bool
    """Whether the best value still lies at the end of a grid that was extended."""
    scores: NDArray[np.float64] | None = None
    """Class scores (n, classes) that they give the validation rows, fitted on the others; None of several folds."""


def tune(plan: Plan, lesson: Lesson, *, jobs: int | None = None) -> Tuned:
    """The parameters that do best, on the mean over folds, on rows that were not fitted on; of equals, the first tried.

    A grid whose end is best goes on there. Raises ConvergenceError where a fit does not converge.
    """
    search = _Search(plan, lesson, jobs or (1 if lesson.large else usable_cores()))
    parts = max(1, search.jobs // len(lesson.folds))
    groups = group_setups(plan.pipeline, ParameterGrid(dict(plan.before)), parts=parts)
    search.run([(setups, plan.classifier) for setups in groups])
    for _ in range(EXTENSIONS):
        if not (more := search.beyond()) or not search.extend(more):
            break
    return search.outcome()


@dataclass
class _Search:
    """Every set of parameters that was tried, and its value."""

    plan: Plan
    lesson: Lesson
    jobs: int
    values: dict[Key, tuple[Value, Params, Params]] = field(default_factory=dict)
    """By the parameters: their value, those of the setup, those of the classifier."""
    scores: dict[Key, NDArray[np.float64]] = field(default_factory=dict)
    """By the best parameters so far: what they give validation rows, where there is one fold."""

    def run(self, trials: Sequence[tuple[Sequence[Setup], Grid]]) -> None:
        """Try these groups of setups, each with these parameters of the classifier, on every fold."""
        folds = self.lesson.folds
        calls = [
            partial(_try, self.plan.pipeline, self.lesson, fold=fold, setups=setups, grid=grid)
            for setups, grid in trials
            for fold in folds
        ]
        found = list(side_by_side(calls, jobs=self.jobs))
        for place, (setups, _) in enumerate(trials):
            of_folds = found[place * len(folds) : (place + 1) * len(folds)]
            for setup, *tried in zip(setups, *of_folds, strict=True):
                self._note(dict(setup), tried)
        _, *best = self._best
        self.scores = {key: kept for key, kept in self.scores.items() if key == _key(best[0] | best[1])}

    def _note(self, setup: Params, of_folds: "Sequence[_Tried]") -> None:
        values = [{_key(params): value for params, value in of_fold.values} for of_fold in of_folds]
        for params, _ in of_folds[0].values:
            mean = _mean([of_fold[_key(params)] for of_fold in values])
            self.values[_key(setup | params)] = (mean, setup, params)
        if (scores := of_folds[0].scores) is not None:
            self.scores[_key(setup | of_folds[0].best)] = scores

    def extend(self, more: Grid) -> bool:
        """Try these with the best setup; whether they all converge."""
        try:
            self.run([([self._best[1]], more)])
        except ConvergenceError as error:
            logger.warning("the grid goes no further, though its end is best: %s", error)
            return False
        return True

    @property
    def _best(self) -> tuple[Value, Params, Params]:
        return max(self.values.values(), key=lambda found: found[0])

    def beyond(self) -> Grid:
        """The grid that goes on beyond the best value; nothing where that lies inside."""
        name = self.plan.open_ended
        if not name:
            return {}
        _, setup, params = self._best
        tried = sorted({found[2][name] for found in self.values.values() if found[1] == setup})
        if len(tried) < 2 or params[name] not in (tried[0], tried[-1]):
            return {}
        step = tried[1] / tried[0] if params[name] == tried[-1] else tried[0] / tried[1]
        return {key: [value] for key, value in params.items()} | {
            name: [float(params[name] * step**place) for place in range(1, MORE + 1)]
        }

    def outcome(self) -> Tuned:
        """What was chosen. Raises HeadError where nothing gave numbers."""
        value, setup, params = self._best
        if not np.isfinite(value.measure):
            tried = ", ".join(self.plan.classifier)
            raise HeadError(
                f"whatever {tried or 'parameters'} of the head gives scores that are no numbers; choose another"
            )
        chosen = setup | {_of_classifier(self.plan.pipeline, name): found for name, found in params.items()}
        scores = self.scores.get(_key(setup | params))
        return Tuned(chosen, value.measure, len(self.values), edge=bool(self.beyond()), scores=scores)


def _of_classifier(pipeline: Pipeline, name: str) -> str:
    inner = "classifier__" if hasattr(pipeline["classifier"], "classifier") else ""
    return f"classifier__{inner}{name}"


def _key(params: Params) -> Key:
    return tuple(sorted(params.items(), key=itemgetter(0)))


def _mean(values: Sequence[Value]) -> Value:
    measure, likelihood = np.mean([astuple(value) for value in values], axis=0)
    return Value(float(measure), float(likelihood))


@dataclass(frozen=True)
class _Tried:
    """What the parameter sets of a classifier reach after one setup, on one fold."""

    values: list[tuple[Params, Value]]
    best: Params
    scores: NDArray[np.float64] | None
    """Class scores of held-out rows by the best; None of several folds, where no scores are of all rows."""


def _try(
    pipeline: Pipeline, lesson: Lesson, *, fold: tuple[Rows, Rows], setups: Sequence[Setup], grid: Grid
) -> list[_Tried]:
    """What each parameter set of the classifier reaches after each setup."""
    fit, held_out = fold
    found, truth, weights = list[_Tried](), lesson.counted(held_out), lesson.weights(fit)
    for steps, features in fit_setups(pipeline, setups, lesson, fit):
        others = transform_steps(steps, lesson.features(held_out))
        given = (pipeline["classifier"], features, lesson.target(fit), others)
        found.append(_judge_all(sweep(*given, grid=grid, sample_weight=weights), truth, keep=len(lesson.folds) == 1))
        del steps, features, others, given  # the next are as large
    return found


def _judge_all(swept: Iterable[tuple[Params, NDArray[np.float64]]], truth: Labels, *, keep: bool) -> _Tried:
    """The value of each parameter set, and the scores of the best, if these are to be kept."""
    values, best = list[tuple[Params, Value]](), None
    for params, scores in swept:
        values.append((params, judge(scores, truth)))
        if best is None or values[-1][1] > best[0]:
            best = values[-1][1], params, scores
    if best is None:
        raise HeadError("no class is there in some training images and not in others; give classes more images")
    return _Tried(values, best[1], best[2] if keep else None)


def judge(scores: NDArray[np.float64], truth: Labels) -> Value:
    """How well class scores (n, classes) say what is true; the worst value where they are no numbers."""
    if not np.isfinite(scores).all():
        return Value(-np.inf, -np.inf)
    probabilities = to_probabilities(scores, multilabel=truth.multilabel)
    likelihood = -np.average(row_values(probabilities, truth, measure="log_loss"), weights=truth.weights)
    if truth.multilabel:
        seen = truth.weights @ truth.shares > 0
        if not seen.any():
            raise TableError("no validation image has a label of any class; give some to choose parameters by")
        measure = average_precision_score(truth.shares[:, seen], scores[:, seen], sample_weight=truth.weights)
    else:
        measure = np.average(row_values(probabilities, truth), weights=truth.weights)
    return Value(float(measure), float(likelihood))
