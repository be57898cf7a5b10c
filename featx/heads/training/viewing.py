"""Chooses by validation rows how a head uses the views of images, and tests what they are worth."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable, Part, choose_views, replace_parts
from featx.errors import ConvergenceError, HeadError, TableError
from featx.heads.evaluate import predict_rows
from featx.heads.head import Head
from featx.heads.training.calibrating import Calibration
from featx.heads.training.choosing import BY_ROWS_ALONE, check_rows
from featx.heads.training.development import DevelopmentSet, is_large
from featx.heads.training.fitting import held_out_scores
from featx.heads.training.tuning import PERFECT, TunedPipeline
from featx.heads.used_views import UsedViews, ViewChoice, ViewEffect
from featx.labels import Labels
from featx.measures import (
    Comparison,
    paired_bootstrap,
    paired_measures,
    paired_recalls,
    row_values,
    to_probabilities,
)
from featx.processes import run_parallel
from featx.settings import CENTER, VIEW_RULES, ViewRule
from featx.tables import Split, select_rows

AUTO: Final = "auto"
MOST_NUMBERS = 2**23
"""Numbers in all views of the images to learn from, up to which `auto` tries `rows`: 6,553 views of 1,280 features."""
MOST_KERNEL_ROWS = 4_000
"""Views of images to learn from, up to which `auto` tries `rows` with kernel SVMs, whose time is quadratic in them."""
KERNEL_HEADS = ("rbf-svm", "pca-svm")
MOST_FITTED = 2**28
"""Numbers in all fits that say what each view is worth, up to which they are done."""
NOT_TRIED = "rows was not tried: it would take many times longer, or the head or the caches cannot take it"
WITH, WITHOUT = "with", "without"
"""The names of heads in paired tests."""


@dataclass(frozen=True)
class ViewFit:
    """A head that was tuned and fitted with the views used by one rule."""

    rule: ViewRule
    table: FeatureTable
    development: DevelopmentSet
    tuned: TunedPipeline
    pipeline: Pipeline
    calibration: Calibration

    @property
    def validated(self) -> tuple[float, float]:
        """How good it is on validation rows; larger is better, and the log loss decides between equal measures."""
        return self.tuned.measure, -self.calibration.loss

    def predict(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], Labels]:
        """The probabilities (n, classes) of these rows of its table, and their labels."""
        labels = self.development.labels
        head = Head(
            self.rule,
            labels.classes,
            self.tuned.params,
            self.table.sources,
            {},
            self.pipeline,
            self.calibration.temperature,
            labels.multilabel,
        )
        return predict_rows(head, self.table, rows)


def tables_by_rule(
    table: FeatureTable, views: ViewChoice, *, head: str, split: Split
) -> Mapping[ViewRule, FeatureTable]:
    """The rules to try and the table of each: the asked one beside view 0, or for `auto` all that are affordable.

    Raises HeadError for an unknown rule, TableError if the table lacks the views that the rule needs.
    """
    if views not in (*VIEW_RULES, AUTO):
        raise HeadError(f"views {views!r} is not known; choose from {', '.join(VIEW_RULES)} and {AUTO}")
    if views == "rows":
        check_rows(head)
    if views == "first":
        return {_rule_of(table): table}
    rows = len(split.development)
    if views == AUTO:
        return {rule: _reread(table, rule) for rule in _affordable_rules(table, head, rows)}
    asked = table if all(part.view_rule == views for part in table.parts) else _reread(table, views)
    if is_large(rows, asked.dim):
        return {views: asked}
    return {"first": _reread(table, "first"), views: asked}


def _affordable_rules(table: FeatureTable, head: str, rows: int) -> Iterator[ViewRule]:
    """The rules that `auto` tries, the simplest first."""
    yield "first"
    if min(len(_used_by(part)) for part in table.parts) == 1:
        return
    yield "mean"
    known = {_used_by(part) for part in table.parts}
    if head in BY_ROWS_ALONE or len(known) > 1:
        return
    count = len(known.pop())
    kernel = head in KERNEL_HEADS
    numbers = rows * sum(int(part.values.shape[-1]) for part in table.parts) * count
    if numbers <= MOST_NUMBERS and not (kernel and rows * count > MOST_KERNEL_ROWS):
        yield "rows"


def _rule_of(table: FeatureTable) -> ViewRule:
    """The rule by which the table uses its views."""
    return next((source.view_rule for source in table.sources if source.view_rule != "first"), "first")


def _used_by(part: Part) -> tuple[str, ...]:
    """The views that a block may use: those that it was read with, or of one at view 0 all that its cache has."""
    return part.known_views if part.view_rule == "first" else part.views


def _names_of(table: FeatureTable) -> tuple[str, ...]:
    """The views that the table uses."""
    return tuple(dict.fromkeys(view for source in table.sources for view in source.views))


def _reread(table: FeatureTable, rule: ViewRule, keep: Sequence[str] | None = None) -> FeatureTable:
    """The table with its views used by this rule: all of them, or only those to keep. Raises TableError."""
    parts = []
    for part, source in zip(table.parts, table.sources, strict=True):
        stored = part if part.view_rule == "first" else replace(part, views=(CENTER,), view_rule="first")
        used = _used_by(part)
        names = used if keep is None else tuple(view for view in used if view in keep)
        if keep is not None and len(names) == 1:  # of two views, one is left when the other is left out
            parts.append(replace(stored, views=names, view_rule=rule))
        else:
            several = rule != "first" and len(used) > 1
            parts.append(choose_views(stored, source, rule, names=names if several else ()))
    return replace_parts(table, parts)


def choose_fit(fits: Sequence[ViewFit], views: ViewChoice) -> ViewFit:
    """The fit of the asked rule; for `auto` the best one on validation rows, of equally good ones the simplest."""
    if views != AUTO:
        return fits[-1]
    best = fits[0]
    for other in fits[1:]:
        if best.tuned.measure < PERFECT and other.validated > best.validated:
            best = other
    return best


def describe_views(
    fits: Sequence[ViewFit],
    best: ViewFit,
    *,
    tried: Collection[ViewRule],
    views: ViewChoice,
    split: Split,
    seed: int,
    jobs: int | None,
) -> UsedViews | None:
    """What the result says of views; None if nobody asked, and view 0 is used.

    `tried` are the rules that were to be fitted, also those whose fits did not converge.
    """
    if views == "first" and best.rule == "first":
        return None
    used = UsedViews(
        rule=best.rule,
        names=_names_of(best.table),
        chosen=_explain(fits, tried, views),
        validated={fit.rule: fit.tuned.measure for fit in fits},
        validated_loss={fit.rule: fit.calibration.loss for fit in fits},
    )
    if views == "first" or min(len(part.known_views) for part in best.table.parts) == 1:
        return used
    if fits[0].rule == "first" and best.rule != "first":
        used = replace(used, **_test_views(best, fits[0], split.test, seed=seed))
    elif best.rule != "first":
        reason = "its fit did not converge" if "first" in tried else "the features are large"
        used = replace(used, test=f"view 0 alone was not trained beside it, because {reason}")
    return replace(used, **_test_each_view(best, split.development, seed=seed, jobs=jobs))


def _explain(fits: Sequence[ViewFit], tried: Collection[ViewRule], views: ViewChoice) -> str:
    """Why these views are used."""
    if views == "first":
        return "as the table was read"
    if views != AUTO:
        return "as asked for"
    if len(tried) == 1:
        return "because the caches do not all have several views of each image"
    fitted = [fit.rule for fit in fits]
    left = [f"{rule} did not converge" for rule in tried if rule not in fitted]
    left += [] if "rows" in tried else [NOT_TRIED]
    return "; ".join([f"best on validation images, of {', '.join(fitted)}", *left])


def _test_views(best: ViewFit, first: ViewFit, test: NDArray[np.int64], *, seed: int) -> dict[str, Any]:
    """The difference from view 0 alone on test rows, by a paired test."""
    probabilities, labels = best.predict(test)
    others, _ = first.predict(test)
    balanced = best.development.balanced
    pair = [(WITH, WITHOUT)]
    try:
        (found,) = _compare({WITH: probabilities, WITHOUT: others}, pair, labels=labels, balanced=balanced, seed=seed)
    except TableError as error:
        return {"test": f"the difference from view 0 alone could not be tested: {error}"}
    return {"difference": found.difference, "difference_ci": found.interval, "p": found.p, "test": found.test}


def _test_each_view(best: ViewFit, rows: NDArray[np.int64], *, seed: int, jobs: int | None) -> dict[str, Any]:
    """What each view is worth on validation rows, with the chosen parameters: a fit without it, or with it alone."""
    development = best.development
    tables = dict(_other_tables(best))
    columns = sum(int(part.values.shape[-1]) for part in best.table.parts)
    fitted = sum(len(fit) for fit, _ in development.folds) * columns * development.view_columns.count
    if fitted * len(tables) > MOST_FITTED:
        return {"effects_of": "single views were not tested, since that would take too many large fits"}
    try:
        effects = _effects(
            best, {view: select_rows(table, rows) for view, table in tables.items()}, seed=seed, jobs=jobs
        )
    except (ConvergenceError, TableError) as error:
        return {"effects_of": f"single views could not be tested: {error}"}
    less = "all views with those without this one" if best.rule != "first" else "view 0 and this view with view 0 alone"
    images = len(np.unique(development.validation_rows))
    return {"effects": effects, "effects_of": f"{less}, on {images:,} validation images, with the same parameters"}


def _other_tables(best: ViewFit) -> Iterator[tuple[str, FeatureTable]]:
    """View -> the table without it; where only view 0 is used, the table with it beside view 0."""
    if best.rule != "first":
        names = _names_of(best.table)
        for view in names:
            yield view, _reread(best.table, best.rule, [name for name in names if name != view])
        return
    known = dict.fromkeys(view for part in best.table.parts for view in part.known_views)
    for view in known:
        if view != CENTER:
            yield view, _reread(best.table, "mean", [CENTER, view])


def _effects(
    best: ViewFit, tables: Mapping[str, FeatureTable], *, seed: int, jobs: int | None
) -> tuple[ViewEffect, ...]:
    """The effect of each view, with Holm's correction over all. Raises ConvergenceError, TableError."""
    development = best.development
    others = [replace(development, table=table) for table in tables.values()]
    calls = [partial(_probabilities, best.tuned.pipeline, one) for one in [development, *others]]
    with threadpool_limits(None if development.large else 1):
        own, *found = run_parallel(calls, jobs=1 if development.large else jobs)
    probabilities = {"": own} | dict(zip(tables, found, strict=True))
    pairs = [("", view) if best.rule != "first" else (view, "") for view in tables]
    labels = development.labels.take(development.validation_rows)
    compared = _compare(probabilities, pairs, labels=labels, balanced=development.balanced, seed=seed)
    return tuple(
        ViewEffect(view, one.difference, one.interval, one.p, one.p_holm)
        for view, one in zip(tables, compared, strict=True)
    )


def _probabilities(pipeline: Pipeline, development: DevelopmentSet) -> NDArray[np.float64]:
    return to_probabilities(held_out_scores(pipeline, development), multilabel=development.labels.multilabel)


def _compare(
    probabilities: Mapping[str, NDArray[np.float64]],
    pairs: Sequence[tuple[str, str]],
    *,
    labels: Labels,
    balanced: bool,
    seed: int,
) -> tuple[Comparison, ...]:
    """Paired tests by the measure that heads are tuned by. Raises TableError if it is not defined for these rows."""
    if labels.multilabel:
        return paired_measures(probabilities, pairs, labels=labels, measure="average_precision", seed=seed)
    if balanced:
        predicted = {name: values.argmax(axis=1) for name, values in probabilities.items()}
        return paired_recalls(predicted, pairs, labels=labels, seed=seed)
    values = {name: row_values(values, labels) for name, values in probabilities.items()}
    return paired_bootstrap(values, pairs, labels=labels, seed=seed)
