"""Chooses the parameters of a head by its name: builds its pipeline, and tunes it on the development set."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from sklearn.pipeline import Pipeline

from featx.cache import label_sources
from featx.errors import ConvergenceError, HeadError
from featx.estimators import (
    EXACT_ROWS,
    FeatureScaler,
    StackedBlocks,
)
from featx.heads.recipes import (
    HEADS,
    SCALING,
    HeadPlan,
    find_recipe,
    plan_head,
)
from featx.heads.training.development import DevelopmentSet
from featx.heads.training.fitting import held_out_scores
from featx.heads.training.tuning import (
    TunedPipeline,
    measure_validation,
    tune,
)

logger = logging.getLogger(__name__)

STACKED = "stacked"
"""The fusion of heads: each block has its own head, and a meta-classifier weighs their predictions."""
BY_ROWS_ALONE = ("mlp",)
"""Heads that hold out some of their rows themselves, and do not keep the views of an image together."""
STACKED_HEADS = tuple(name for name, recipe in HEADS.items() if not recipe.fusion)
"""The heads that can be stacked."""


def choose_pipeline(
    name: str, fusion: str, *, development: DevelopmentSet, seed: int, jobs: int | None
) -> TunedPipeline:
    """The unfitted pipeline of this head with the parameters that do best on validation rows.

    Raises HeadError for an unknown head or fusion, ConvergenceError if a fit does not converge.
    """
    if development.view_columns.count > 1:
        check_rows(name)
    if fusion == STACKED:
        return _choose_stacked(name, development, seed=seed, jobs=jobs)
    _warn_if_approximate(name, development)
    plan = plan_head(
        name,
        fusion=fusion,
        blocks=development.block_widths,
        rows=development.fewest_fitted,
        most=development.most_fitted,
        views=development.view_columns.count,
        multilabel=development.labels.multilabel,
        seed=seed,
    )
    return tune(_standardised(plan) if development.cautious else plan, development, jobs=jobs)


def check_rows(name: str) -> None:
    """Raise HeadError if this head cannot be fitted with views of an image as rows."""
    if name in BY_ROWS_ALONE:
        raise HeadError(
            f"head {name!r} holds out some of its rows to know when to stop, and would find views of one image on both "
            "sides, so it cannot take `rows`; use views mean, or another head"
        )


def _standardised(plan: HeadPlan) -> HeadPlan:
    """The plan without other ways to scale columns, if standardising is among them."""
    if "standardise" not in plan.before[SCALING]:
        return plan
    return replace(plan, before={**plan.before, SCALING: ("standardise",)})


def _choose_stacked(name: str, development: DevelopmentSet, *, seed: int, jobs: int | None) -> TunedPipeline:
    """Late fusion: a head for each block, tuned on that block alone, then stacked (Wolpert 1992)."""
    if name not in STACKED_HEADS or development.labels.multilabel:
        what = "a head for multi-label images" if development.labels.multilabel else f"head {name!r}"
        raise HeadError(f"{what} cannot be stacked; choose another fusion, or leave it out")
    tuned = [
        choose_pipeline(name, "", development=development.block(index), seed=seed, jobs=jobs)
        for index in range(len(development.block_widths))
    ]
    return _stack_converging(tuned, development, seed=seed)


def _stack_converging(tuned: Sequence[TunedPipeline], development: DevelopmentSet, *, seed: int) -> TunedPipeline:
    """The stack of these heads, or of heads with stronger penalties if theirs do not converge in the stack."""
    try:
        return _stack_tuned(tuned, development, seed=seed)
    except ConvergenceError as error:
        others = _fall_back_all(tuned)
        if others is None:
            raise
        logger.warning("stacked: %s; the next best parameters of each head are used", error)
        return _stack_converging(others, development, seed=seed)


def _fall_back_all(tuned: Sequence[TunedPipeline]) -> list[TunedPipeline] | None:
    """The heads with their next best parameters of a stronger penalty; None if no head has any."""
    others = [block.fall_back() for block in tuned]
    if not any(others):
        return None
    return [other or block for other, block in zip(others, tuned, strict=True)]


def _stack_tuned(tuned: Sequence[TunedPipeline], development: DevelopmentSet, *, seed: int) -> TunedPipeline:
    stacked = _stack([block.pipeline for block in tuned], development, seed=seed)
    pipeline = Pipeline([("scaler", FeatureScaler("none")), ("classifier", stacked)])
    scores = held_out_scores(pipeline, development)
    labels = development.labels_of(development.validation_rows)
    blocks = dict(zip(label_sources(development.table.sources), tuned, strict=True))
    params = {f"{label}.{key}": value for label, block in blocks.items() for key, value in block.params.items()}

    def _fall_back() -> TunedPipeline | None:
        others = _fall_back_all(tuned)
        return None if others is None else _stack_converging(others, development, seed=seed)

    return TunedPipeline(
        pipeline,
        params | {"judge": bool(stacked.judge)},
        measure=measure_validation(scores, labels).measure,
        tried=sum(block.tried for block in tuned),
        edge=any(block.edge for block in tuned),
        scores=scores,
        fall_back=_fall_back,
    )


def _stack(pipelines: list[Pipeline], development: DevelopmentSet, *, seed: int) -> StackedBlocks:
    """The stacked heads, with a meta-classifier if every fit can have one.

    Otherwise no fit has one: the fits that are calibrated must have the same form as the final one.
    """
    stacked = StackedBlocks(development.block_widths, pipelines, seed=seed)
    fits = [(development.fitted_labels(rows), development.groups_of(rows)) for rows in development.all_fits]
    stacked.judge = all(stacked.can_judge(labels.shares * labels.weights[:, None], groups) for labels, groups in fits)
    if not stacked.judge:
        logger.warning(
            "stacked: a class has too few images, or groups, to fit a meta-classifier on out-of-fold predictions; "
            "the predictions of the heads are averaged"
        )
    return stacked


def _warn_if_approximate(name: str, development: DevelopmentSet) -> None:
    rows = development.most_fitted
    if "approximate" in find_recipe(name).grid and rows > EXACT_ROWS:
        logger.warning(
            "%s: there are %d %s, more than %d, so its kernel is approximated by a Nystroem map, also in tuning",
            name,
            rows,
            "images" if development.view_columns.count == 1 else "views of images",
            EXACT_ROWS,
        )
