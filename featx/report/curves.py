"""Learning curves as tables: one row for each point, and the labels that a target needs."""

from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.drawings import Line, Lines, Point
from featx.report.measures import show_interval, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import CurvePoint, LabelsNeeded, LabelsSaved, LearningCurve

_MOST_SAID = 3
"""Most curves whose last points a sentence names."""
_NAMES = ("backbone", "output", "head")


def curve_sections(curve: "LearningCurve") -> list[Section]:
    """The points, and a table of the labels needed if there is a target."""
    needed = [_needed_section(curve)] if curve.labels_needed else []
    return [_points_section(curve), *needed]


def _points_section(curve: "LearningCurve") -> Section:
    saved = {(one.backbone, one.output, one.head, one.shots): one for one in curve.labels_saved}
    title = _measure(curve)
    last = most_shots(curve)
    rows = []
    for row in curve.rows:
        cells = (row.backbone, row.output, row.head, str(row.shots), f"{row.value:.3f}", show_interval(row.ci))
        one = saved.get((row.backbone, row.output, row.head, row.shots))
        rows.append((*cells, *(_show_saved(one, last) if saved else ())))
    columns = (*_NAMES, "shots", title, "95 % interval", *(("the baseline needs", "times as many") if saved else ()))
    return Section(
        title="learning curves",
        sentence=_sentence(curve),
        columns=columns,
        rows=tuple(rows),
        figure=curve_figure(curve),
        notes=curve.notes,
        name="curves",
    )


def curve_figure(curve: "LearningCurve") -> Lines:
    """A line for each source and head, with the band of its intervals and the accuracy that is wanted."""
    lines = dict[str, list[Point]]()
    for row in curve.rows:
        lines.setdefault(_line_name(row, curve), []).append(Point(row.shots, row.value, *row.ci))
    return Lines(
        title="learning curves",
        x_title="training images of each class",
        y_title=f"{_measure(curve)}, with its 95 % interval",
        lines=tuple(Line(name, tuple(points)) for name, points in lines.items()),
        logarithmic=True,
        references=tuple(dict.fromkeys(one.target for one in curve.labels_needed)),
    )


def _measure(curve: "LearningCurve") -> str:
    return MEASURE_TITLES[curve.rows[0].measure] if curve.rows else "accuracy"


def _line_name(row: "CurvePoint", curve: "LearningCurve") -> str:
    """The name of a line, which has only what tells the lines apart."""
    several = any(other.backbone == row.backbone and other.output != row.output for other in curve.rows)
    source = f"{row.backbone}:{row.output}" if several else row.backbone
    return f"{source}, {row.head}" if any(other.head != row.head for other in curve.rows) else source


def _sentence(curve: "LearningCurve") -> str:
    """The labels of the source that needs fewest, if an accuracy is wanted; else the last points of few curves."""
    needed = [one for one in curve.labels_needed if one.labels is not None]
    if needed:
        one = min(needed, key=lambda one: one.labels or 0)
        reached = f"{_measure(curve)} {one.target:g}"
        return f"{one.backbone} with {one.head} needs the fewest labels to reach {reached}: {one.labels:,}."
    if curve.labels_needed:
        target = curve.labels_needed[0].target
        return f"No source reaches {_measure(curve)} {target:g} with {most_shots(curve)} images of each class."
    last = [row for row in curve.rows if row.shots == most_shots(curve)]
    if not last or len(last) > _MOST_SAID:
        return ""
    values = "; ".join(f"{_line_name(row, curve)} {with_interval(f'{row.value:.3f}', row.ci)}" for row in last)
    return f"With {last[0].shots} images of each class, {_measure(curve)} is: {values}."


def _needed_section(curve: "LearningCurve") -> Section:
    target = curve.labels_needed[0].target
    title = _measure(curve)
    last = most_shots(curve)
    rows = tuple(_show_needed(one, last) for one in curve.labels_needed)
    columns = (*_NAMES, "shots", "95 % interval", "labels")
    return Section(title=f"labels needed for {title} {target:g}", columns=columns, rows=rows)


def most_shots(curve: "LearningCurve") -> int:
    """The largest number of shots that was measured."""
    return max((row.shots for row in curve.rows), default=0)


def _show_needed(one: "LabelsNeeded", last: int) -> tuple[str, ...]:
    return (
        one.backbone,
        one.output,
        one.head,
        _show_shots(one.shots, last),
        _show_ends(one.ci, last),
        "–" if one.labels is None else f"{one.labels:,}",
    )


def _show_saved(one: "LabelsSaved | None", last: int) -> tuple[str, str]:
    """Shots of the baseline, and how many times as many these are with the interval of that; empty for baselines."""
    if one is None:
        return "", ""
    low, high = one.ratio_ci
    interval = f"{low:.1f} or more" if high is None else f"{low:.1f} – {high:.1f}"
    times = interval if one.ratio is None else f"{one.ratio:.1f} ({interval})"
    return _show_shots(one.against_shots, last), times


def _show_shots(shots: int | None, last: int) -> str:
    return f"more than {last}" if shots is None else str(shots)


def _show_ends(ends: tuple[int, int | None], last: int) -> str:
    """Both ends; a single text if the largest number that was measured is surely not enough."""
    low, high = ends
    if high is None and low >= last:
        return f"more than {last}"
    return f"{low} – {_show_shots(high, last)}"
