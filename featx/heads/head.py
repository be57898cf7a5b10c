"""A fitted classifier with all that is needed to use it rightly."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.cache import Source
from featx.errors import HeadError
from featx.estimators import class_scores
from featx.measures import to_probabilities

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """A fitted classifier and all that is needed to use it rightly."""

    name: str
    classes: tuple[str, ...]
    """In the order of the columns of its probabilities."""
    params: Mapping[str, Any]
    """What was tuned."""
    sources: tuple[Source, ...]
    """The backbones whose features it reads, in the order of its columns."""
    training: Mapping[str, Any]
    """The result on its own test rows, as plain JSON values."""
    pipeline: Pipeline
    temperature: float = 1.0
    """What class scores are divided by, so that they are log-odds; fitted on validation rows (arXiv 1706.04599)."""
    multilabel: bool = False
    """Whether an image can be of several classes: each probability stands alone."""

    def predict_probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (n, classes) of features (n, d); the label is the most probable class.

        Raises HeadError where a feature is NaN or infinite.
        """
        if not np.isfinite(features).all():
            bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise HeadError(f"row {bad} of the features is NaN or infinite; check its cache with `featx cache verify`")
        scores = class_scores(self.pipeline, features)
        return to_probabilities(scores, temperature=self.temperature, multilabel=self.multilabel)

    def check(self, sources: Sequence[Source]) -> None:
        """Raise HeadError unless features of these sources are those that the head was trained on.

        Where they differ only in how JPEGs were decoded, a warning says so: that is also how its price is measured.
        """
        asked, given = ([(s.name, s.backbone) for s in side] for side in (self.sources, sources))
        if asked != given:
            names = [" + ".join(f"{name} ({digest[:12]})" for name, digest in side) for side in (asked, given)]
            raise HeadError(
                f"head {self.name!r} was trained on features of {names[0]} but was given {names[1]}; "
                "name the caches of its own backbones, in that order"
            )
        for mine, other in zip(self.sources, sources, strict=True):
            if mine.decode != other.decode:
                logger.warning(
                    "head %r was trained on %s with %s decoding but was given it with %s decoding; "
                    "`featx backbones verify %s --decode fast` tells how far they are apart",
                    *(self.name, mine.name, mine.decode, other.decode, mine.name),
                )
