"""The name of a head and a lesson in; the unfitted pipeline with the parameters that do best out."""

import logging

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx.cache import label_sources
from featx.errors import HeadError
from featx.estimators import (
    EXACT_ROWS,
    FeatureScaler,
    StackedBlocks,
)
from featx.heads.recipes import (
    HEADS,
    find_recipe,
    plan_head,
)
from featx.heads.training.development import Lesson
from featx.heads.training.tuning import Tuned, tune

logger = logging.getLogger(__name__)

STACKED = "stacked"
"""The fusion of heads: each block has its own, and one more weighs what they say."""
STACKED_HEADS = tuple(name for name, recipe in HEADS.items() if not recipe.fusion)
"""Those that can be stacked."""


def choose_pipeline(name: str, fusion: str, *, lesson: Lesson, seed: int, jobs: int | None) -> tuple[Pipeline, Tuned]:
    """The unfitted pipeline of this head, tuned, and how that went. Raises HeadError, ConvergenceError."""
    if fusion == STACKED:
        return _choose_stacked(name, lesson, seed=seed, jobs=jobs)
    _tell_approximate(name, lesson)
    plan = plan_head(
        name,
        fusion=fusion,
        blocks=lesson.blocks,
        rows=min(len(fit) for fit, _ in lesson.folds),
        most=lesson.most,
        multilabel=lesson.truth.multilabel,
        seed=seed,
    )
    tuned = tune(plan, lesson, jobs=jobs)
    return clone(plan.pipeline).set_params(**tuned.params), tuned


def _choose_stacked(name: str, lesson: Lesson, *, seed: int, jobs: int | None) -> tuple[Pipeline, Tuned]:
    """Late fusion: a head of each block, tuned on that alone, then stacked (Wolpert 1992)."""
    if name not in STACKED_HEADS or lesson.truth.multilabel:
        what = "images of several classes" if lesson.truth.multilabel else f"head {name!r}"
        raise HeadError(f"{what} cannot be stacked; choose another fusion, or leave it out")
    found = [
        choose_pipeline(name, "", lesson=lesson.block(index), seed=seed, jobs=jobs)
        for index in range(len(lesson.blocks))
    ]
    alone = [pipeline for pipeline, _ in found]
    stacked = _stack(StackedBlocks(lesson.blocks, alone, seed=seed), lesson)
    pipeline = Pipeline([("scaler", FeatureScaler("none")), ("classifier", stacked)])
    of_blocks = dict(zip(label_sources(lesson.table.sources), (tuned for _, tuned in found), strict=True))
    params = {f"{label}.{key}": value for label, tuned in of_blocks.items() for key, value in tuned.params.items()}
    return pipeline, Tuned(
        params | {"judge": bool(stacked.judge)},
        max(tuned.measure for tuned in of_blocks.values()),
        sum(tuned.tried for tuned in of_blocks.values()),
        any(tuned.edge for tuned in of_blocks.values()),
    )


def _stack(stacked: StackedBlocks, lesson: Lesson) -> StackedBlocks:
    """The same in every fit, so that what is calibrated is what is kept: with a judge where all can have one."""
    of_rows = [(lesson.counted(rows), lesson.groups_of(rows)) for rows in lesson.fitted]
    judge = all(stacked.can_judge(truth.shares * truth.weights[:, None], groups) for truth, groups in of_rows)
    if not judge:
        logger.warning("stacked: a class has too few images, or groups, to be judged unseen; opinions are averaged")
    stacked.judge = judge
    return stacked


def _tell_approximate(name: str, lesson: Lesson) -> None:
    if "approximate" in find_recipe(name).grid and lesson.most > EXACT_ROWS:
        told = "%s: %d images are more than %d, so that its kernel is approximate, in tuning too (by Nystroem's map)"
        logger.warning(told, name, lesson.most, EXACT_ROWS)
