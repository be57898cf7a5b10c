"""Finds the images that a head predicts wrongly, those first of which it is surest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.heads.evaluate import predict_rows, rows_to_measure
from featx.heads.head import Head
from featx.labels import Labels
from featx.measures import THRESHOLD
from featx.tables import SEPARATOR, GivenTables, as_table


@dataclass(frozen=True)
class Mistake:
    """An image whose prediction is not its label.

    >>> import featx
    >>> featx.Mistake("a.png", "cat", "dog", probability=0.9, true_probability=0.1).predicted
    'dog'
    """

    name: str
    """Name of the image."""
    true: str
    """Its label: of soft labels the class with the largest share, of several labels all, joined by `|`."""
    predicted: str
    """The label that the head predicts, as `Prediction.label`."""
    probability: float
    """Probability of the prediction, as `Prediction.probability`."""
    true_probability: float
    """Probability of the true label, computed as that of the prediction."""


def find_mistakes(head: Head, table: GivenTables, *, rows: NDArray[np.int64] | None = None) -> tuple[Mistake, ...]:
    """The wrongly predicted images among these rows (default: all labelled rows), the most confident mistake first.

    Of images with several labels, all labels must be right. Raises what evaluate_head raises.

    >>> import featx
    >>> head, table = featx.load_head("photos.featx"), featx.read_features("photos.h5")
    >>> mistakes = featx.find_mistakes(head, table)
    >>> metrics = featx.evaluate_head(head, table)
    >>> len(mistakes) == round(metrics.n * (1 - metrics.accuracy))
    True
    """
    table = as_table(table, sources=head.sources)
    rows = rows_to_measure(head, table, rows)
    probabilities, labels = predict_rows(head, table, rows)
    predicted = predicted_classes(head, probabilities)
    true = _true_classes(labels)
    found = [
        Mistake(
            name=table.name(int(rows[row])),
            true=join_classes(head, true[row]),
            predicted=join_classes(head, predicted[row]),
            probability=label_probability(probabilities[row], predicted[row]),
            true_probability=label_probability(probabilities[row], true[row]),
        )
        for row in np.flatnonzero((predicted != true).any(axis=1)).tolist()
    ]
    return tuple(sorted(found, key=lambda mistake: (-mistake.probability, mistake.name)))


def predicted_classes(head: Head, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n, classes): whether each class is predicted: the most probable one, or all above 0.5 if several may be."""
    if head.multilabel:
        return probabilities > THRESHOLD
    return _only(probabilities.argmax(axis=1), probabilities.shape[1])


def label_probability(probabilities: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    """The lowest probability (classes,) of the chosen classes; without any, 1 minus the highest of all."""
    return float(probabilities[chosen].min() if chosen.any() else 1 - probabilities.max())


def join_classes(head: Head, chosen: NDArray[np.bool_]) -> str:
    """The names of the chosen classes, joined by `|`."""
    return SEPARATOR.join(head.classes[column] for column in np.flatnonzero(chosen))


def _true_classes(labels: Labels) -> NDArray[np.bool_]:
    """(n, classes): whether each class is a label of the image."""
    return labels.shares > 0 if labels.multilabel else _only(labels.codes, len(labels.classes))


def _only(codes: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    return np.asarray(codes[:, None] == np.arange(classes))
