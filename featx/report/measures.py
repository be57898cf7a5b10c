"""Which measures all reports show, and their texts and explanations."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featx.heads import Result
    from featx.measures import HeadMetrics

_VERDICTS = ("helps", "harms", "undecided")
_SMALLEST = 0.001
"""The smallest p that is shown as a number."""
_COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss", "ece")
_COMPARED_MULTILABEL = ("average_precision", "auroc", "macro_f1", "micro_f1", "accuracy", "log_loss")


def compared_measures(metrics: "HeadMetrics") -> tuple[str, ...]:
    """Names of the measures in a table of heads, the most important one first."""
    return _COMPARED_MULTILABEL if metrics.labels == "several" else _COMPARED


def show_number(value: float | None) -> str:
    """The value with three digits after the point, or a dash if it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def show_interval(ends: tuple[float, float] | None) -> str:
    """Both ends of the interval, or a dash if it is not defined."""
    return "–" if ends is None else f"{ends[0]:.3f} – {ends[1]:.3f}"


def with_interval(value: str, ends: tuple[float, float] | None) -> str:
    """The value, with both ends of its interval if there is one."""
    return f"{value} ({show_interval(ends)})" if ends else value


def show_p(value: float | None) -> str:
    """The p-value with three digits after the point, or that it is smaller, or not known."""
    if value is None:
        return "unknown"
    return f"{value:.3f}" if value >= _SMALLEST else f"< {_SMALLEST}"


def show_verdicts(verdicts: Iterable[str]) -> str:
    """How many rows end in each verdict, as a sentence; empty without rows."""
    counts = Counter(verdicts)
    said = ", ".join(f"{name} {counts[name]}" for name in _VERDICTS)
    return f"Of {counts.total()} rows: {said}." if counts else ""


def explain_metrics(metrics: "HeadMetrics") -> str:
    """One sentence that defines the measure to look at first."""
    weighted = "weighted" if metrics.weighted else "unweighted"
    if metrics.labels == "several":
        return f"mAP: mean over classes of average precision, {weighted}; accuracy: share of images without a mistake"
    expected = ", in expectation over labels drawn from the soft ones" if metrics.labels == "soft" else ""
    return f"accuracy: {weighted} share of test images whose most probable class is the true one{expected}"


def explain_result(result: "Result") -> str:
    """One sentence that defines the measure by which the head was tuned."""
    plain = explain_metrics(result.metrics)
    if result.measure == "balanced_accuracy":
        return f"balanced accuracy: mean over classes of the share of correct predictions; {plain}"
    return plain
