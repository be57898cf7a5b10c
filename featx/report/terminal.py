"""What people see: progress on standard error, results on standard output."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from featx.cache import MAKERS
from featx.report.markdown import (
    STANDING_COLUMNS,
    TITLES,
    columns,
    compared_measures,
    interval,
    measured_as,
    measured_how,
    number,
    standing_row,
    standings_measured_how,
    table_row,
)

if TYPE_CHECKING:
    from featx.backbones import Inspection
    from featx.cache import CacheInfo
    from featx.compare import Standing, Tally
    from featx.convert import Check, FastEffect
    from featx.extract import ExtractionSummary, Progress as Extracted
    from featx.heads import Result
    from featx.measures import (
        ClassMetrics,
        GroupMetrics,
        HeadMetrics,
    )
    from featx.tables import Duplicates

WIDTH = 120
"""Columns where standard output is no terminal."""
CLASSES_SHOWN, REASONS_SHOWN, NAMES_SHOWN, GROUPS_SHOWN = 10, 3, 3, 10
"""Of how many a cache's page tells, and leaves the others to --json."""
SECONDS_BETWEEN_LINES = 15.0
"""How often progress is told where standard error is no terminal."""


def out() -> Console:
    """Standard output, without colours of our own choosing in what is piped on."""
    return Console(
        highlight=False, soft_wrap=True, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDTH
    )


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def progress_bar(*, quiet: bool) -> "Iterator[Callable[[Extracted], None]]":
    """A callback that shows how far an extraction is: a bar on a terminal, else a line every now and then."""
    if quiet:
        yield lambda extracted: None
    elif err().is_terminal:
        bar = _BarReport()
        try:
            yield bar
        finally:
            bar.stop()
    else:
        yield _LineReport()


@contextmanager
def tally_bar(*, quiet: bool) -> "Iterator[Callable[[Tally], None]]":
    """A callback that shows how far a comparison is: a bar on a terminal, else a line every now and then."""
    if quiet:
        yield lambda tally: None
    elif err().is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=err()) as bar:
            task = bar.add_task("", total=None)
            yield lambda tally: bar.update(task, completed=tally.finished, total=tally.total, description=tally.last)
    else:
        yield _TallyLines()


class _TallyLines:
    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, tally: "Tally") -> None:
        if time.monotonic() - self._told >= SECONDS_BETWEEN_LINES or tally.finished == tally.total:
            self._told = time.monotonic()
            err().print(f"{tally.finished} of {tally.total} heads: {tally.last or 'there already'}")


def _bar() -> Progress:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} images/s"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=err())


class _Rate:
    """Images per second since the first report."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def __call__(self, finished: int) -> float:
        now = time.monotonic()
        self._first = self._first or (now, finished)
        return (finished - self._first[1]) / max(now - self._first[0], 1e-9)


class _BarReport:
    """A bar that appears with the first report: a run with nothing to do shows none."""

    def __init__(self) -> None:
        self._bar, self._rate = _bar(), _Rate()
        self._task = self._bar.add_task("", total=None, rate=0.0)

    def __call__(self, extracted: "Extracted") -> None:
        self._bar.start()
        failed = f", {extracted.failed} failed" if extracted.failed else ""
        rate, note = self._rate(extracted.finished), f"{extracted.note}{failed}"
        self._bar.update(self._task, completed=extracted.finished, total=extracted.total, rate=rate, description=note)

    def stop(self) -> None:
        """Leave the bar as it is."""
        if self._bar.live.is_started:
            self._bar.stop()


class _LineReport:
    def __init__(self) -> None:
        self._rate, self._told = _Rate(), time.monotonic()

    def __call__(self, extracted: "Extracted") -> None:
        rate = self._rate(extracted.finished)
        if time.monotonic() - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = time.monotonic()
        left = f"{(extracted.total - extracted.finished) / rate:.0f} s left, " if rate else ""
        err().print(
            f"{extracted.finished} of {extracted.total} images, {rate:.0f} images/s, {left}"
            f"{extracted.note}, {extracted.failed} failed"
        )


def print_extraction(summary: "ExtractionSummary", *, to: Console) -> None:
    """What was extracted, from where to where, and what limited it."""
    counts = f"{summary.done} of {summary.images} images done, {summary.failed} failed, {summary.reused} reused"
    counts += f", {summary.duplicates} duplicates" if summary.duplicates else ""
    to.print(f"{summary.cache}: {counts}")
    if summary.reused < summary.images and summary.pace:
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in summary.stages.items())
        to.print(
            f"{summary.seconds:.1f} s on {summary.provider}, {summary.images_per_second:.0f} images/s, "
            f"in batches of {summary.pace.batch_size} ({stages} of work)"
        )
        to.print(": ".join([f"bound by {summary.bound_by}", *filter(None, ["; ".join(summary.advice)])]))


def print_failures(summary: "ExtractionSummary", *, most: int | None) -> None:
    """Every image that failed and why, on standard error; at most so many."""
    for name, reason in summary.failures[:most]:
        err().print(f"  failed: {name}: {reason}")
    if most is not None and len(summary.failures) > most:
        err().print(f"  … and {len(summary.failures) - most} more; --json lists all")


def print_info(about: "CacheInfo", *, to: Console) -> None:
    """What is in a cache, from which model, made how, and what failed: at a glance."""
    to.print(f"{about.cache}: {about.done} of {about.rows} images done, {about.failed} failed, {_completeness(about)}")
    for key, value in _info_lines(about):
        to.print(f"{key:9} {value}")


def _completeness(about: "CacheInfo") -> str:
    if about.sealed:
        return "complete"
    return f"{about.pending} pending: not complete, the same `featx extract` goes on"


def _info_lines(about: "CacheInfo") -> "Iterator[tuple[str, str]]":
    made, card, width = about.provenance, about.card, 2 if about.storage == "float16" else 4
    dims = about.outputs.items()
    yield (
        "features",
        "; ".join(f"{name} {dim} x {about.storage}, {_size(about.rows * dim * width)}" for name, dim in dims),
    )
    yield "file", f"{_size(about.bytes)}, format {made['format_version']}"
    side = f", {card['size']} x {card['size']} pixels" if "size" in card else ""
    yield "backbone", f"{card['name']}{side}, model sha256 {card['sha256'][:12]}"
    yield "made", f"{made['started']} to {made['sealed'] if about.sealed else 'now'}, by {_versions(made['versions'])}"
    how = f"{made['precision']}, batches of {made['batch_size']}, {made['decode']} decoding"
    yield "run", f"{made['provider']} on {made['device']}, {how}"
    for what, counts in (("classes", about.classes), ("splits", about.splits)):
        if counts:
            yield what, _counts(counts)
    if about.groups is not None:
        yield "groups", str(about.groups)
    for reason, count in list(about.failures.items())[:REASONS_SHOWN]:
        names = [image.name for image in about.failed_images if image.reason == reason][:NAMES_SHOWN]
        more = ", …" if count > len(names) else ""
        yield "failed", f"{count}: {reason}: {', '.join(names)}{more}"
    if len(about.failures) > REASONS_SHOWN:
        yield "", f"… and for {len(about.failures) - REASONS_SHOWN} more reasons; --json lists all"


def _versions(found: "Mapping[str, str]") -> str:
    return ", ".join(f"{name} {found[name]}" for name in ("featx", *MAKERS) if name in found)


def _counts(counts: "Mapping[str, int]") -> str:
    shown = ", ".join(f"{name or 'none'} {count}" for name, count in list(counts.items())[:CLASSES_SHOWN])
    more = f" … and {len(counts) - CLASSES_SHOWN} more" if len(counts) > CLASSES_SHOWN else ""
    return f"{len(counts)}: {shown}{more}"


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.4g} {unit}"


def print_inspection(found: "Inspection", *, to: Console) -> None:
    """What goes in and out of a model, and a table of its features."""
    given = found.input
    to.print(f"{found.model}: input {given.name} {_sides(given.shape)} {given.layout} {given.dtype}")
    if None in given.size:
        to.print("height and width are free: `featx backbones add` needs --size")
    if given.shape[0] is not None:
        to.print(f"the batch axis is fixed at {given.shape[0]}: it is freed where the graph allows")
    to.print(f"classifier: {found.classifier_output or 'none, the model ends in features'}")
    to.print(f"feature: {found.feature_output}{'' if found.certain else ', but that is not certain'}")
    for note in found.notes:
        to.print(f"  {note}")
    table = Table("", "tensor", "dim", "shape", "kind", "taken as", box=SIMPLE)
    for one in found.candidates:
        mark = "*" if one.name == found.feature_output else ""
        dim = "?" if one.dim is None else str(one.dim)
        table.add_row(mark, one.name, dim, _sides(one.shape), one.kind, one.pool or "it is")
    to.print(table)


def _sides(shape: "Sequence[int | None] | None") -> str:
    return "?" if shape is None else " x ".join("n" if side is None else str(side) for side in shape)


def print_checks(checks: "Sequence[Check]", *, to: Console) -> None:
    """Every check of a backbone, with what was measured and what is allowed."""
    table = Table("check", "output", "difference", "allowed", "lowest cosine", "allowed", "", box=SIMPLE)
    for check in checks:
        measured = f"{check.largest_difference:.1e}", f"{check.largest_allowed:.0e}", f"{check.lowest_cosine:.7f}"
        table.add_row(check.name, check.output, *measured, f"{check.lowest_allowed:g}", "ok" if check.ok else "FAILED")
    to.print(table)
    to.print("differences are relative to the largest feature")


def print_effects(effects: "Sequence[FastEffect]", *, to: Console) -> None:
    """What fast decoding does to features, nothing where it was not tried."""
    if not effects:
        return
    table = Table("fast decoding", "output", "images", "mean cosine", "lowest", "pixels differ by", box=SIMPLE)
    for effect in effects:
        read = "exact" if effect.part == 1 else f"read at 1/{effect.part}"
        cosines = f"{effect.mean_cosine:.4f}", f"{effect.lowest_cosine:.4f}"
        table.add_row(read, effect.output, str(effect.images), *cosines, f"{effect.pixel_difference:.1f} of 255")
    to.print(table)


def print_results(results: "Sequence[Result]", *, to: Console) -> None:
    """The results as a table, and under it how they were measured."""
    table = Table(box=SIMPLE)
    for column in columns(results[0]):
        table.add_column(column, no_wrap=column != "tuned", overflow="fold")
    for result in results:
        table.add_row(*(cell.replace(", ", "\n") for cell in table_row(result)))
    to.print(table)
    for line in measured_how(results):
        to.print(line)


def print_standings(standings: "Sequence[Standing]", *, duplicates: "Mapping[str, Duplicates]", to: Console) -> None:
    """Where each head stands, kind of split by kind, and under it how that was measured.

    Duplicates by the key of the first split of each kind.
    """
    for kind, found in groupby(standings, key=lambda standing: standing.splits):
        table = Table(title=kind, box=SIMPLE)
        for column in STANDING_COLUMNS:
            table.add_column(column, no_wrap=column != "backbones", overflow="fold")
        rows = list(found)
        for standing in rows:
            table.add_row(*standing_row(standing))
        to.print(table)
        for line in standings_measured_how(rows):
            to.print(line)
        first, *others = (result.split_key for result in rows[0].results)
        to.print(f"- {duplicates[first].text}{', in the first of these splits' if others else ''}")


def print_metrics(metrics: "HeadMetrics", *, to: Console) -> None:
    """One evaluation: overall, class by class, and how the groups differ."""
    table = Table("measure", f"of {metrics.n} images", "95 % interval", box=SIMPLE)
    for name, title in TITLES.items():
        if (value := getattr(metrics, name)) is not None:
            table.add_row(title, number(value), interval(getattr(metrics, f"{name}_ci")))
    table.add_row("most frequent", number(metrics.majority_accuracy), "")
    to.print(table)
    for line in (measured_as(metrics), f"interval: {metrics.interval}", *_undefined_lines(metrics)):
        to.print(line)
    to.print(_class_table(metrics.per_class))
    if metrics.per_group:
        _print_groups(metrics.per_group, to=to)
    elif "too many" in (reason := metrics.undefined.get("per_group", "")):
        to.print(f"no table of groups: {reason}")


def _undefined_lines(metrics: "HeadMetrics") -> "Iterator[str]":
    """Why a measure that is compared by is not there, once for all of the same reason."""
    reasons: dict[str, list[str]] = {}
    for name in compared_measures(metrics):
        for field, what in ((name, TITLES[name]), (f"{name}_ci", f"interval of {TITLES[name]}")):
            if field in metrics.undefined:
                reasons.setdefault(metrics.undefined[field], []).append(what)
    for reason, names in reasons.items():
        yield f"no {', '.join(names)}: {reason}"


def _class_table(rows: "Sequence[ClassMetrics]") -> Table:
    table = Table("class", "images", "precision", "recall", "of recall 95 %", "F1", "AUROC", "AP", box=SIMPLE)
    for row in rows:
        ranked = number(row.auroc), number(row.average_precision)
        decided = number(row.precision), number(row.recall), interval(row.recall_ci), number(row.f1)
        table.add_row(row.name, str(row.n), *decided, *ranked)
    return table


def _print_groups(groups: "Sequence[GroupMetrics]", *, to: Console) -> None:
    """The groups that fare worst."""
    known = sorted((group for group in groups if group.accuracy is not None), key=lambda group: group.accuracy or 0.0)
    table = Table("group", "images", "accuracy", "95 % interval", box=SIMPLE)
    for group in known[:GROUPS_SHOWN]:
        table.add_row(group.name, str(group.n), number(group.accuracy), interval(group.accuracy_ci))
    to.print(table)
    if len(known) > GROUPS_SHOWN:
        to.print(f"the {GROUPS_SHOWN} worst of {len(known)} groups; --json lists all")
