"""What a head's measures travel as, and how they are read back from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Interval: TypeAlias = tuple[float, float]
"""The lower and the upper end, 95 %."""
LabelKind: TypeAlias = Literal["single", "soft", "several"]
"""What an image has: one label, shares of the classes, or any number of labels."""


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """How one class fared. An interval is None where its measure is, or where every resample gave the same."""

    name: str
    n: int
    """Images of the class, unweighted; of soft labels those with their largest share in it."""
    precision: float | None
    """None where no image was taken for it."""
    precision_ci: Interval | None
    recall: float | None
    """None where no image that weighs anything is of it."""
    recall_ci: Interval | None
    f1: float | None
    """None where no image is of it nor was taken for it."""
    f1_ci: Interval | None
    auroc: float | None
    """Against all other classes; None where no image is of it, or every one."""
    auroc_ci: Interval | None
    average_precision: float | None
    """Against all other classes; None where no image is of it, or every one."""
    average_precision_ci: Interval | None


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How a head fared on some images, weighted by their weights where there are any.

    A measure X has its interval X_ci; where either is None, `undefined` says why. Means over classes (macro) are over
    those for which the measure is defined.
    """

    n: int
    accuracy: float | None
    """Share of images whose most probable class is true; of several labels: whose labels are all right."""
    accuracy_ci: Interval | None
    balanced_accuracy: float | None
    """Mean recall over classes."""
    balanced_accuracy_ci: Interval | None
    macro_f1: float | None
    """Mean over classes of F1."""
    macro_f1_ci: Interval | None
    micro_f1: float | None
    """F1 of all decisions together; of several labels alone."""
    micro_f1_ci: Interval | None
    auroc: float | None
    """Mean over classes of the area under the ROC curve, one class against the others (Fawcett 2006)."""
    auroc_ci: Interval | None
    average_precision: float | None
    """Mean over classes of average precision, sum of precision times step of recall: mAP."""
    average_precision_ci: Interval | None
    log_loss: float | None
    """Nats an image; of several labels the mean over classes of each yes or no. Probabilities are at least 2.2e-16."""
    log_loss_ci: Interval | None
    brier: float | None
    """Squared error of the probabilities, summed over classes (Brier 1950), 0 to 2; of several labels its mean."""
    brier_ci: Interval | None
    ece: float | None
    """Expected calibration error: 15 equal-width bins of the highest probability (Guo et al. 2017)."""
    ece_ci: Interval | None
    """Its lower end is ECE less the resampled error of all bins together: ECE is biased upwards, resamples twice."""
    hamming_loss: float | None
    """Share of wrong decisions, over images and classes; of several labels alone."""
    hamming_loss_ci: Interval | None
    undefined: Mapping[str, str]
    """Of every measure or interval that is None, why."""


@dataclass(frozen=True, kw_only=True)
class GroupMetrics(Measures):
    """How one group (module, patient, scene) fared, with intervals as for images of it drawn one by one.

    That of accuracy is Wilson's where fewer than 20 are wrong, or right. A measure that is for images with other labels
    is None, as in `HeadMetrics`, whose `undefined` tells why.
    """

    name: str


@dataclass(frozen=True, kw_only=True)
class HeadMetrics(Measures):
    """How a head fared on labelled images.

    Soft labels: an image counts for every class, with weight times share, so that accuracy is the accuracy expected
    of labels drawn from the shares. Several labels: a class is named where its probability is above 0.5.
    """

    accuracy: float
    accuracy_ci: Interval
    log_loss: float
    brier: float
    labels: LabelKind
    majority_accuracy: float
    """The accuracy of always naming the most frequent class, or the most frequent set of labels."""
    per_class: tuple[ClassMetrics, ...]
    per_group: tuple[GroupMetrics, ...] | None
    """By name."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Images of row's class (of soft labels: the largest share) that were taken for column's class, unweighted; None of
    more than a hundred classes."""
    weighted_confusion: tuple[tuple[float, ...], ...] | None
    """The same as sums of weight times share; None where it would be `confusion`."""
    confusion_ci: tuple[tuple[Interval | None, ...], ...] | None
    """Of each cell as a share of its row, weighted; None where all resamples give the same, as of an empty cell."""
    weighted: bool
    interval: str
    """How the intervals were drawn."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HeadMetrics":
        """The metrics from plain JSON values. Raises TypeError or KeyError where they are not those of metrics."""
        per_class = tuple(ClassMetrics(**_with_tuples(row)) for row in values["per_class"])
        groups = values["per_group"]
        per_group = None if groups is None else tuple(GroupMetrics(**_with_tuples(row)) for row in groups)
        tables: dict[str, Any] = {key: _rows(values[key]) for key in ("confusion", "weighted_confusion")}
        bounds = values["confusion_ci"]
        tables["confusion_ci"] = bounds and tuple(tuple(ends and tuple(ends) for ends in row) for row in bounds)
        return cls(**_with_tuples(values) | tables | {"per_class": per_class, "per_group": per_group})


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with every interval a tuple, as JSON has none."""
    return {key: tuple(value) if key.endswith("_ci") and value else value for key, value in values.items()}


def _rows(table: Any) -> tuple[tuple[float, ...], ...] | None:
    return None if table is None else tuple(map(tuple, table))
