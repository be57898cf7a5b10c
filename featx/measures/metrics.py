"""The measures of a head as dataclasses, which are written as JSON and read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from featx.showing import Overview, Shown

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end of a 95 % interval."""
LabelKind: TypeAlias = Literal["single", "soft", "several"]
"""What an image has: one label, shares of the classes (soft labels), or any number of labels (multi-label)."""

MEASURE_TITLES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auroc": "AUROC",
    "average_precision": "mAP",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "ECE",
    "hamming_loss": "Hamming loss",
}
"""What people call the measures."""


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """The measures of one class. An interval is None if its measure is, or if all resamples are equal."""

    name: str
    n: int
    """Number of images of the class, unweighted; for soft labels, of images with their largest share in it."""
    precision: float | None
    """None if no image was predicted as this class."""
    precision_ci: Interval | None
    recall: float | None
    """None if no image with a weight above 0 is of this class."""
    recall_ci: Interval | None
    f1: float | None
    """None if no image is of this class or was predicted as it."""
    f1_ci: Interval | None
    auroc: float | None
    """This class against all others; None if none or all of the images are of it."""
    auroc_ci: Interval | None
    average_precision: float | None
    """This class against all others; None if none or all of the images are of it."""
    average_precision_ci: Interval | None


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The measures of a head on some images, weighted if the images have weights.

    The interval of a measure X is X_ci; if either is None, `undefined` says why. Means over classes (macro) are over
    the classes for which the measure is defined.
    """

    n: int
    """Number of images."""
    accuracy: float | None
    """Share of images whose most probable class is correct; multi-label: share of images with all labels correct."""
    accuracy_ci: Interval | None
    balanced_accuracy: float | None
    """Mean recall over classes."""
    balanced_accuracy_ci: Interval | None
    macro_f1: float | None
    """Mean F1 over classes."""
    macro_f1_ci: Interval | None
    micro_f1: float | None
    """F1 over all decisions (image and class) together; multi-label only."""
    micro_f1_ci: Interval | None
    auroc: float | None
    """Area under the ROC curve, one class against the others, mean over classes (Fawcett 2006)."""
    auroc_ci: Interval | None
    average_precision: float | None
    """Average precision (sum of precision times step of recall), mean over classes: mAP."""
    average_precision_ci: Interval | None
    log_loss: float | None
    """Nats per image; multi-label: mean over classes of the binary log loss. Probabilities are at least 2.2e-16."""
    log_loss_ci: Interval | None
    brier: float | None
    """Squared error of the probabilities summed over classes (Brier 1950), 0 to 2; multi-label: mean over classes."""
    brier_ci: Interval | None
    ece: float | None
    """Expected calibration error: 15 equal-width bins of the highest probability (Guo et al. 2017)."""
    ece_ci: Interval | None
    """Lower end: ECE minus the resampled error of all bins together, because ECE is biased upwards."""
    hamming_loss: float | None
    """Share of wrong decisions over images and classes; multi-label only."""
    hamming_loss_ci: Interval | None
    undefined: Mapping[str, str]
    """The reason for every measure or interval that is None."""


@dataclass(frozen=True, kw_only=True)
class GroupMetrics(Measures):
    """The measures on one group (module, patient, scene), with intervals from resamples of its single images.

    Accuracy has Wilson's interval if fewer than 20 images are wrong, or correct. A measure that does not apply to such
    labels is None without an entry in `undefined`; that of `HeadMetrics` has the reason.
    """

    name: str


@dataclass(frozen=True, kw_only=True, repr=False)
class HeadMetrics(Shown, Measures):
    """The measures of a head on labelled images.

    Soft labels: an image counts for every class with weight times share, so that accuracy is the accuracy expected
    if labels were drawn from the shares. Multi-label: a class is predicted if its probability is above 0.5.

    >>> import featx
    >>> metrics = featx.evaluate_head(featx.load_head("photos.featx"), featx.read_features("photos.h5"))
    >>> metrics.n, len(metrics.per_class), metrics.labels
    (60, 5, 'single')
    >>> metrics.accuracy_ci[0] < metrics.accuracy <= metrics.accuracy_ci[1]
    True
    """

    accuracy: float
    accuracy_ci: Interval
    log_loss: float
    brier: float
    labels: LabelKind
    majority_accuracy: float
    """Accuracy of always predicting the most frequent class; multi-label: the most frequent set of labels."""
    per_class: tuple[ClassMetrics, ...]
    """In the order of the classes."""
    per_group: tuple[GroupMetrics, ...] | None
    """By name."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Number of images by class (row; for soft labels that of the largest share) and predicted class (column),
    unweighted; None if there are more than 100 classes."""
    weighted_confusion: tuple[tuple[float, ...], ...] | None
    """Sums of weight times share in place of numbers of images; None if they equal `confusion`."""
    confusion_ci: tuple[tuple[Interval | None, ...], ...] | None
    """Interval of each cell's share of its row, weighted; None if all resamples are equal, as for an empty cell."""
    weighted: bool
    """Whether the images have weights."""
    interval: str
    """How the intervals were computed."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HeadMetrics":
        """The metrics from plain JSON values. Raises msgspec.ValidationError for other values."""
        return msgspec.convert(values, cls)

    def overview(self) -> Overview:
        """The number of images and classes, the main measure with its interval, and further measures."""
        main = "average_precision" if self.labels == "several" else "accuracy"
        others = {name: getattr(self, name) for name in MEASURE_TITLES if name != main}
        further = [f"{MEASURE_TITLES[name]} {value:.3f}" for name, value in others.items() if value is not None]
        return Overview(
            f"HeadMetrics: {self.n} images, {len(self.per_class)} classes",
            (
                (MEASURE_TITLES[main], format_measure(getattr(self, main), getattr(self, f"{main}_ci"))),
                ("also", ", ".join(further)),
            ),
        )


def format_measure(value: float | None, interval: Interval | None) -> str:
    """The measure with three digits and its interval, as people read it."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
