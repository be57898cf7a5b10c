"""Results in; Markdown out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featx.results import Result

COLUMNS = ("head", "accuracy", "95 % interval", "balanced", "macro F1", "log loss", "tuned")


def table_row(result: "Result") -> tuple[str, ...]:
    """The cells of one result, in the order of COLUMNS."""
    metrics = result.metrics
    low, high = metrics.accuracy_ci
    tuned = ", ".join(f"{key.rpartition('__')[2]}={value:.3g}" for key, value in result.params.items())
    return (
        result.head,
        f"{metrics.accuracy:.3f}",
        f"{low:.3f} – {high:.3f}",
        f"{metrics.balanced_accuracy:.3f}",
        f"{metrics.macro_f1:.3f}",
        f"{metrics.log_loss:.3f}",
        tuned,
    )


def render_results(results: "Sequence[Result]") -> str:
    """A Markdown table of the results, and under it how they were measured."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(table_row, results)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *measured_how(results)]) + "\n"


def measured_how(results: "Sequence[Result]") -> list[str]:
    """One sentence for each thing on which the results agree: classes, split, baseline."""
    result = results[0]
    rows, metrics = result.rows, result.metrics
    weighted = "weighted" if metrics.weighted else "unweighted"
    return [
        f"- features: {' + '.join(result.backbones)}",
        f"- classes: {', '.join(result.classes)}; always naming the most frequent: {metrics.majority_accuracy:.3f}",
        f"- split: {result.split}: {rows['train']} images to train and tune on, {rows['test']} to test on; "
        f"{rows['unlabelled']} without a label and {rows['failed']} failed took no part",
        f"- accuracy: {weighted} share of test images whose most probable class is the true one; "
        "interval: 95 % percentile bootstrap over test images",
        "- tuned: best mean accuracy over folds of the training images; scaler and PCA fitted inside each fold",
    ]
