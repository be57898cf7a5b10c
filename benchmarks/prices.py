"""What a faster lane costs: how near its features are to exact ones, and how much worse a head does on them."""

from typing import Any

import numpy as np
from lanes import EXACT, Lane
from plain import cosines

from featx.cache import read_features

HEAD, SEEDS = "logreg", range(5)


def price(lane: Lane, exact: Lane, *, labelled: bool) -> dict[str, Any]:
    """Cosines of the features that both extracted last and, where these have labels, accuracies on five splits."""
    cosine = cosines(lane.features(), exact.features())
    found: dict[str, Any] = {"mean_cosine": float(np.mean(cosine)), "lowest_cosine": float(np.min(cosine))}
    if not labelled:
        return found
    own, others = accuracies(lane), accuracies(exact)
    lost = [100 * (other - one) for one, other in zip(own, others, strict=True)]
    return found | {"accuracy": own, f"accuracy_{EXACT}": others, "points_lost": lost}


def accuracies(lane: Lane) -> list[float]:
    """Of a head tuned and fitted on what the lane extracted last, on each split."""
    from featx.heads import train_head

    table = read_features(lane.into)
    return [train_head(table, HEAD, seed=seed)[1].metrics.accuracy for seed in SEEDS]
