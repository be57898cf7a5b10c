"""The metrics of one evaluation as tables: overall, for each class, and for the groups with the lowest accuracy."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.drawings import Bars, Matrix, Span
from featx.report.measures import compared_measures, explain_metrics, show_interval, show_number, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.measures import ClassMetrics, GroupMetrics, HeadMetrics

_GROUPS_SHOWN = 10
_PAIRS_SHOWN = 10


def metrics_sections(metrics: "HeadMetrics") -> list[Section]:
    """The measures on all images, on each class and, if there are groups, on those with the lowest accuracy."""
    sections = [_overall_section(metrics), _classes_section(metrics.per_class), *_confusion_sections(metrics)]
    if metrics.per_group:
        sections.append(_groups_section(metrics.per_group))
    elif "too many" in (reason := metrics.undefined.get("per_group", "")):
        sections.append(Section(notes=(f"no table of groups: {reason}",)))
    return sections


def _overall_section(metrics: "HeadMetrics") -> Section:
    names = dict.fromkeys((*compared_measures(metrics), *MEASURE_TITLES))
    rows = [
        (MEASURE_TITLES[name], show_number(getattr(metrics, name)), show_interval(getattr(metrics, f"{name}_ci")))
        for name in names
        if getattr(metrics, name) is not None
    ]
    rows.append(("most frequent", show_number(metrics.majority_accuracy), ""))
    return Section(
        sentence=_sentence(metrics),
        columns=("measure", f"of {metrics.n} images", "95 % interval"),
        rows=tuple(rows),
        notes=(explain_metrics(metrics), f"interval: {metrics.interval}", *_undefined_notes(metrics)),
        name="measures",
    )


def _sentence(metrics: "HeadMetrics") -> str:
    """The accuracy, and the class that is found least often."""
    value = with_interval(f"{metrics.accuracy:.3f}", metrics.accuracy_ci)
    found = [row for row in metrics.per_class if row.recall is not None]
    worst = min(found, key=lambda row: row.recall or 0.0, default=None)
    least = f"; lowest recall: {worst.name}, {show_number(worst.recall)}" if worst and len(found) > 1 else ""
    return f"The accuracy is {value} on {metrics.n:,} images{least}."


def _undefined_notes(metrics: "HeadMetrics") -> Iterator[str]:
    """For each reason, the compared measures and intervals that it makes undefined."""
    by_reason: dict[str, list[str]] = {}
    for name in compared_measures(metrics):
        for field, title in ((name, MEASURE_TITLES[name]), (f"{name}_ci", f"interval of {MEASURE_TITLES[name]}")):
            if field in metrics.undefined:
                by_reason.setdefault(metrics.undefined[field], []).append(title)
    for reason, titles in by_reason.items():
        yield f"no {', '.join(titles)}: {reason}"


def _classes_section(classes: "Sequence[ClassMetrics]") -> Section:
    rows = tuple(
        (
            row.name,
            str(row.n),
            show_number(row.precision),
            show_number(row.recall),
            show_interval(row.recall_ci),
            show_number(row.f1),
            show_number(row.auroc),
            show_number(row.average_precision),
        )
        for row in classes
    )
    columns = ("class", "images", "precision", "recall", "of recall 95 %", "F1", "AUROC", "AP")
    spans = tuple(
        Span.within(row.name, row.recall, row.recall_ci, note=f"{row.n:,} images")
        for row in classes
        if row.recall is not None
    )
    return Section(columns=columns, rows=rows, figure=Bars("recall of each class", "recall", spans), name="classes")


def _confusion_sections(metrics: "HeadMetrics") -> "Iterator[Section]":
    """The pairs of classes that are confused most often; nothing where there is no confusion matrix."""
    if metrics.confusion is None or metrics.labels == "several":
        return
    names = tuple(row.name for row in metrics.per_class)
    wrong = [
        (count, true, predicted)
        for true, row in enumerate(metrics.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    wrong.sort(key=lambda cell: (-cell[0], *cell[1:]))
    rows = tuple((names[true], names[predicted], f"{count:,}") for count, true, predicted in wrong[:_PAIRS_SHOWN])
    left = len(wrong) - len(rows)
    yield Section(
        sentence="" if wrong else "No image is predicted wrongly.",
        columns=("true", "predicted", "images") if rows else (),
        rows=rows,
        figure=Matrix("confusion", names, metrics.confusion),
        notes=(f"the {_PAIRS_SHOWN} most frequent confusions; {left} more pairs are in --json",) if left else (),
        name="confusion",
    )


def _groups_section(groups: "Sequence[GroupMetrics]") -> Section:
    """The groups with the lowest accuracy, the worst first."""
    known = sorted((group for group in groups if group.accuracy is not None), key=lambda group: group.accuracy or 0.0)
    rows = tuple(
        (group.name, str(group.n), show_number(group.accuracy), show_interval(group.accuracy_ci))
        for group in known[:_GROUPS_SHOWN]
    )
    left = len(known) > _GROUPS_SHOWN
    notes = (f"the {_GROUPS_SHOWN} worst of {len(known)} groups; --json lists all",) if left else ()
    columns = ("group", "images", "accuracy", "95 % interval")
    return Section(columns=columns, rows=rows, notes=notes, name="groups")
