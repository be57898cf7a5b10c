"""The metrics of one evaluation as tables: overall, for each class, and for the groups with the lowest accuracy."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.measures import compared_measures, explain_metrics, show_interval, show_number
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.measures import ClassMetrics, GroupMetrics, HeadMetrics

_GROUPS_SHOWN = 10


def metrics_sections(metrics: "HeadMetrics") -> list[Section]:
    """The measures on all images, on each class and, if there are groups, on those with the lowest accuracy."""
    sections = [_overall_section(metrics), _classes_section(metrics.per_class)]
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
        columns=("measure", f"of {metrics.n} images", "95 % interval"),
        rows=tuple(rows),
        notes=(explain_metrics(metrics), f"interval: {metrics.interval}", *_undefined_notes(metrics)),
    )


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
    return Section(columns=columns, rows=rows)


def _groups_section(groups: "Sequence[GroupMetrics]") -> Section:
    """The groups with the lowest accuracy, the worst first."""
    known = sorted((group for group in groups if group.accuracy is not None), key=lambda group: group.accuracy or 0.0)
    rows = tuple(
        (group.name, str(group.n), show_number(group.accuracy), show_interval(group.accuracy_ci))
        for group in known[:_GROUPS_SHOWN]
    )
    left = len(known) > _GROUPS_SHOWN
    notes = (f"the {_GROUPS_SHOWN} worst of {len(known)} groups; --json lists all",) if left else ()
    return Section(columns=("group", "images", "accuracy", "95 % interval"), rows=rows, notes=notes)
