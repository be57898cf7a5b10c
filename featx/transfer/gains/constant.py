"""The test of a difference that is the same on every test image, where a variance says nothing."""

from dataclasses import replace

import numpy as np

from featx.compare import SplitImages
from featx.measures import Comparison, accuracy_interval
from featx.transfer.gains.predictors import Predictor

SAME = 1e-12
"""Values that deviate less from each other are equal."""


def settle(compared: Comparison, images: SplitImages, source: Predictor, best: Predictor) -> Comparison:
    """The comparison with a p-value too if the difference is the same on every image, where no variance is found.

    The sources are then right on all images, or wrong on all. If the mean difference were 0, that would have the
    probability s^n for n images or groups, where s is the chance that the baseline is right, or wrong, but at least a
    half, as in the sign test. p is twice that.
    """
    if compared.p is not None or images.multilabel or compared.test.startswith("none"):
        return compared
    own, other = (np.concatenate(one.correct) for one in (source, best))
    n = images.shared({source.name: source.outcomes}).freedom + 1
    if np.ptp(own) > SAME or np.ptp(other) > SAME or n < 2:
        return compared
    chance = max(0.5, float(other[0] if own[0] > other[0] else 1 - other[0]))
    low, high = accuracy_interval(np.full(len(images.tested), round(own[0])), images.tested)
    known = 0 < other[0] < 1
    return replace(
        compared,
        p=min(1.0, float(2 * chance**n)),
        interval=(low - float(other[0]), high - float(other[0])) if known else None,
        test=f"sign test, for all {len(images.tested)} images have the same difference",
    )
