"""What a head uses of the views of its images, as its result says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from featx.settings import ViewRule

ViewChoice: TypeAlias = ViewRule | Literal["auto"]
"""What can be asked for: a rule, or the one that is best on validation images."""


@dataclass(frozen=True)
class ViewEffect:
    """What one view is worth on validation images, with the parameters of the head as they are.

    >>> from featx.heads import ViewEffect
    >>> ViewEffect("hflip", 0.01, (0.0, 0.02), 0.04, 0.08).difference
    0.01
    """

    view: str
    difference: float
    """The measure with the view minus that without it."""
    ci: tuple[float, float] | None
    """95 % interval of the difference; None if the images say nothing about it."""
    p: float | None
    """Two-sided p-value of the difference."""
    p_holm: float | None
    """p corrected for all views (Holm 1979)."""


@dataclass(frozen=True)
class UsedViews:
    """Which views of each image a head uses, why, and what they are worth.

    >>> import featx
    >>> _, result = featx.train_head("photos.h5", "class-mean", views="auto", jobs=1)
    >>> result.views.rule, result.views.names, result.views.chosen
    ('first', ('center',), 'because the caches do not all have several views of each image')
    """

    rule: ViewRule
    """How views are used: view 0 alone, their mean feature, or each as a row."""
    names: tuple[str, ...]
    """The views that are used."""
    chosen: str
    """Why this rule, in words."""
    validated: Mapping[str, float]
    """Rule -> the measure on validation images, of all rules that were tried."""
    validated_loss: Mapping[str, float]
    """Rule -> log loss in nats on validation images."""
    difference: float | None = None
    """The measure on test images minus that of a head of its own on view 0 alone; None if that was not trained."""
    difference_ci: tuple[float, float] | None = None
    """95 % interval of the difference."""
    p: float | None = None
    """Two-sided p-value of the difference, by a paired test of the test images."""
    test: str = ""
    """The name of that test, with what it counts."""
    effects: tuple[ViewEffect, ...] = ()
    """What each view is worth on validation images."""
    effects_of: str = ""
    """What these effects compare, in words; why there are none, if there are none."""
