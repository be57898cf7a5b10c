"""What a head predicts for images that it has not seen, image by image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.heads.evaluate import predict_rows
from featx.heads.head import Head
from featx.heads.results import unpack_guesses
from featx.heads.unseen import find_unseen
from featx.measures import HeadMetrics, ReliabilityBin, measure, measure_reliability

LEAST_EQUAL = 0.98
"""Least share of equal predictions by which features that were computed again are known to be of the same images."""


@dataclass(frozen=True)
class Examination:
    """The predictions of a head for its own test images, with the measures that follow from them."""

    table: FeatureTable
    rows: NDArray[np.int64]
    """(n,): the test images, as rows of the table."""
    classes: tuple[str, ...]
    codes: NDArray[np.int64]
    """(n,): positions of the labels in `classes`; for soft labels of the largest share; -1 for several labels."""
    predicted: NDArray[np.int64]
    """(n,): positions of the most probable classes."""
    probability: NDArray[np.float64]
    """(n,): probability of the predicted class."""
    of_label: NDArray[np.float64]
    """(n,): probability of the class of the label; NaN for several labels."""
    metrics: HeadMetrics
    reliability: tuple[ReliabilityBin, ...]
    """Empty for several labels."""

    @property
    def wrong(self) -> NDArray[np.int64]:
        """Positions of the wrong predictions, the most confident first; none for several labels."""
        wrong = np.flatnonzero((self.predicted != self.codes) & (self.codes >= 0))
        return wrong[np.argsort(-self.probability[wrong], kind="stable")]

    def name(self, place: int) -> str:
        """The name of the test image at this position."""
        return self.table.name(int(self.rows[place]))


def examine_head(head: Head, table: FeatureTable, *, seed: int = 0) -> Examination | None:
    """The predictions of the head for its test images in the table of its training.

    None if the table has other images, also if these have the same names, or if it is not known which of them the head
    was trained on: their accuracy would be too high. Raises HeadError if the features are of another backbone.

    >>> import featx
    >>> from featx.heads import examine_head
    >>> head, result = featx.train_head("photos.h5", "class-mean", jobs=1)
    >>> found = examine_head(head, featx.read_features("photos.h5"))
    >>> len(found.rows), found.metrics.accuracy == result.metrics.accuracy
    (15, True)
    """
    rows = find_unseen(head, table)
    if rows is None or not len(rows):
        return None
    probabilities, labels = predict_rows(head, table, rows)
    predicted = probabilities.argmax(axis=1)
    if table.digest != head.training.get("table") and not _are_as_recorded(head, predicted):
        return None
    each = np.arange(len(rows))
    return Examination(
        table=table,
        rows=rows,
        classes=head.classes,
        codes=labels.codes,
        predicted=predicted,
        probability=probabilities[each, predicted],
        of_label=np.where(labels.codes >= 0, probabilities[each, labels.codes], np.nan),
        metrics=measure(probabilities, labels, seed=seed),
        reliability=measure_reliability(probabilities, labels),
    )


def _are_as_recorded(head: Head, predicted: NDArray[np.int64]) -> bool:
    """Whether the predictions are those after its training, but for a few that another machine may turn."""
    try:
        guesses = unpack_guesses(str(head.training.get("guesses") or ""))
    except ValueError:
        return False
    return len(guesses) == len(predicted) and bool(np.mean(guesses == predicted) >= LEAST_EQUAL)
