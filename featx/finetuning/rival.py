"""Computes what several layers of the frozen backbone say of the same images, beside a tuned one."""

from collections.abc import Callable

import numpy as np

from featx.cache import read_features
from featx.extract import Progress
from featx.finetuning.frozen import Probabilities
from featx.finetuning.judging import Trial
from featx.finetuning.layers import layer_probabilities
from featx.finetuning.preparing import Preparing, use_all
from featx.settings import LAYERS


def rival_probabilities(trial: Trial, preparing: Preparing, report: Callable[[Progress], None]) -> Probabilities | None:
    """The probabilities (test rows, classes) by layers of the frozen backbone with the same views, and the same rows.

    None if an image has no layers, as happens where a value is beyond the range of float16. Raises as extract_features
    does.
    """
    table = use_all(read_features(preparing.extract_layers(report), outputs=[LAYERS]), "mean")
    place = {int(position): row for row, position in enumerate(table.positions)}
    fit, rows = (
        np.array([place.get(int(position), -1) for position in trial.prepared.table.positions[some]])
        for some in (trial.split.fitted, trial.split.test)
    )
    if min(fit.min(), rows.min()) < 0:
        return None
    found = layer_probabilities(table, fit=fit, rows=rows)
    return found[:, [table.classes.index(name) for name in trial.heads.classes]]
