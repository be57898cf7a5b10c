"""Results in; Markdown out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featx.compare import Standing
    from featx.heads import Result
    from featx.measures import Comparison, HeadMetrics

STANDING_COLUMNS = ("head", "fusion", "backbones", "test", "spread", "validation", "against the best single")
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "average_precision": "mAP",
    "auroc": "AUROC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "hamming_loss": "Hamming loss",
}
"""What the measures are called where people read them."""
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss", "ece")
"""What a table of heads shows that name one class an image; the first is the one to look at, with its interval."""
COMPARED_OF_SEVERAL = ("average_precision", "auroc", "macro_f1", "micro_f1", "accuracy", "log_loss")
"""The same of heads that name any number of classes, where accuracy is the share of images without a mistake."""


def compared_measures(metrics: "HeadMetrics") -> tuple[str, ...]:
    """Names of the measures that a table of heads shows, the one to look at first."""
    return COMPARED_OF_SEVERAL if metrics.labels == "several" else COMPARED


def _measures_of(result: "Result") -> tuple[str, ...]:
    """The same of a result: the measure that its head was tuned by comes first."""
    return tuple(dict.fromkeys((result.measure, *compared_measures(result.metrics))))


def columns(result: "Result") -> tuple[str, ...]:
    """The titles of a table's columns."""
    first, *others = (TITLES[name] for name in _measures_of(result))
    return "head", first, "95 % interval", *others, "tuned"


def table_row(result: "Result") -> tuple[str, ...]:
    """The cells of one result, in the order of `columns`."""
    first, *others = _measures_of(result)
    tuned = ", ".join(f"{_parameter(key)}={_shown(value)}" for key, value in result.params.items())
    return (
        result.head,
        number(getattr(result.metrics, first)),
        interval(getattr(result.metrics, f"{first}_ci")),
        *(number(getattr(result.metrics, name)) for name in others),
        tuned,
    )


def _parameter(key: str) -> str:
    """The parameter without its step; of stacked heads with the block that it is of."""
    block, dot, rest = key.rpartition(".")
    return f"{block}{dot}{rest.rpartition('__')[2]}"


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Three digits, or a dash for what is not defined."""
    return "–" if value is None else f"{value:.3f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Both ends, or a dash for what is not defined."""
    return "–" if ends is None else f"{ends[0]:.3f} – {ends[1]:.3f}"


def render_results(results: "Sequence[Result]") -> str:
    """A Markdown table of the results, and under it how they were measured."""
    titles = columns(results[0])
    rows = [titles, ("---",) * len(titles), *map(table_row, results)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *measured_how(results)]) + "\n"


def measured_how(results: "Sequence[Result]") -> list[str]:
    """One sentence for each thing on which the results agree: classes, split, baseline."""
    result = results[0]
    rows, metrics = result.rows, result.metrics
    choosing = "train and choose parameters, in folds" if result.folds else "choose parameters"
    edges = ", ".join(dict.fromkeys(result.head for result in results if result.edge))
    return [
        f"- features: {' + '.join(result.backbones)}",
        f"- classes: {', '.join(result.classes)}; accuracy of always naming the most frequent: "
        f"{metrics.majority_accuracy:.3f}",
        f"- split: {result.split}: {rows['train']} images train, {rows['validation']} {choosing}, "
        f"{rows['test']} test; {rows['unlabelled']} without a label and {rows['failed']} failed took no part",
        f"- {tested_as(result)}",
        f"- interval: {metrics.interval}",
        f"- tuned: {result.tuned}",
        *([f"- the best penalty or C still lies at the end of its grid: {edges}"] if edges else []),
    ]


def measured_as(metrics: "HeadMetrics") -> str:
    """One sentence on what the first measure of a table is."""
    weighted = "weighted" if metrics.weighted else "unweighted"
    if metrics.labels == "several":
        return f"mAP: mean over classes of average precision, {weighted}; accuracy: share of images without a mistake"
    expected = ", as expected of labels drawn from the soft ones" if metrics.labels == "soft" else ""
    return f"accuracy: {weighted} share of test images whose most probable class is the true one{expected}"


def tested_as(result: "Result") -> str:
    """One sentence on what the first measure of a table of results is."""
    if result.measure == "balanced_accuracy":
        return f"balanced: mean over classes of the share that is named rightly; {measured_as(result.metrics)}"
    return measured_as(result.metrics)


def standing_row(standing: "Standing") -> tuple[str, ...]:
    """The cells of one standing, in the order of STANDING_COLUMNS."""
    values, comparison = standing.values, standing.comparison
    if len(values) > 1:
        spread = f"± {values.std(ddof=1):.3f}"
    else:
        result = standing.results[0]
        spread = interval(getattr(result.metrics, f"{result.measure}_ci"))
    against = "is the best single" if standing.reference else ""
    if comparison:
        against = f"{comparison.difference:+.3f}, {_chance(comparison)}"
    if standing.mcnemar:
        against += f" (McNemar {_chance(standing.mcnemar)})"
    means = f"{values.mean():.3f}", spread, f"{standing.validated:.3f}"
    return (standing.head, standing.fusion, " + ".join(standing.backbones), *means, against)


def _chance(comparison: "Comparison") -> str:
    return "p unknown" if comparison.p_holm is None else f"p {comparison.p_holm:.3f}"


def standings_measured_how(standings: "Sequence[Standing]") -> list[str]:
    """One sentence for each thing on which these standings, of one kind of split, agree."""
    result = standings[0].results[0]
    several = len(standings[0].results) > 1
    spread = "standard deviation over the splits" if several else result.metrics.interval
    tests = sorted({standing.comparison.test for standing in standings if standing.comparison})
    others = f", the first of {len(standings[0].results)} such splits" if several else ""
    lines = [
        f"- split: {result.split}{others}; the same images for every head",
        f"- test: {tested_as(result)}; spread: {spread}",
        f"- validation: {result.tuned}",
        f"- accuracy of always naming the most frequent class: {result.metrics.majority_accuracy:.3f}",
    ]
    if not any(standing.reference for standing in standings):
        lines.append("- no test: no head of a single backbone has a result on every split, to compare with")
    elif len(standings) > 1 and not tests:
        lines.append("- no test: the measure is not defined on every split; give more test images")
    mcnemar = "; in brackets McNemar's test" if any(standing.mcnemar for standing in standings) else ""
    if tests:
        lines.append(
            f"- the best single backbone is chosen by validation; p: {'; '.join(tests)}"
            f"{mcnemar}; Holm's correction, over fusions and over other heads of one backbone"
        )
    return lines
