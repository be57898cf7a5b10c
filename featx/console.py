"""What people see: progress on standard error, results on standard output."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from featx.report import COLUMNS, measured_how, table_row

if TYPE_CHECKING:
    from featx.evaluate import HeadMetrics
    from featx.extract import ExtractionSummary
    from featx.extract import Progress as Extracted
    from featx.graph import Inspection
    from featx.results import Result
    from featx.verify import Check

WIDTH = 120
"""Columns where standard output is no terminal."""
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
        self._start = time.monotonic()

    def __call__(self, finished: int) -> float:
        return finished / max(time.monotonic() - self._start, 1e-9)


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
        if time.monotonic() - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told, rate = time.monotonic(), self._rate(extracted.finished)
        left = (extracted.total - extracted.finished) / rate
        err().print(
            f"{extracted.finished} of {extracted.total} images, {rate:.0f} images/s, {left:.0f} s left, "
            f"{extracted.note}, {extracted.failed} failed"
        )


def print_extraction(summary: "ExtractionSummary", *, to: Console) -> None:
    """What was extracted, from where to where, and what limited it."""
    counts = f"{summary.done} of {summary.images} images done, {summary.failed} failed, {summary.reused} reused"
    counts += f", {summary.duplicates} duplicates" if summary.duplicates else ""
    to.print(f"{summary.cache}: {counts}")
    if summary.reused < summary.images:
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in summary.stages.items())
        to.print(
            f"{summary.seconds:.1f} s on {summary.provider}, {summary.images_per_second:.0f} images/s, "
            f"bound by {summary.bound_by} ({stages} of work)"
        )


def print_failures(summary: "ExtractionSummary", *, most: int | None) -> None:
    """Every image that failed and why, on standard error; at most so many."""
    for name, reason in summary.failures[:most]:
        err().print(f"  failed: {name}: {reason}")
    if most is not None and len(summary.failures) > most:
        err().print(f"  … and {len(summary.failures) - most} more; --json lists all")


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


def print_results(results: "Sequence[Result]", *, to: Console) -> None:
    """The results as a table, and under it how they were measured."""
    table = Table(box=SIMPLE)
    for column in COLUMNS:
        table.add_column(column, no_wrap=column != "tuned", overflow="fold")
    for result in results:
        table.add_row(*(cell.replace(", ", "\n") for cell in table_row(result)))
    to.print(table)
    for line in measured_how(results):
        to.print(line)


def print_metrics(metrics: "HeadMetrics", *, to: Console) -> None:
    """One evaluation: overall, and class by class."""
    low, high = metrics.accuracy_ci
    to.print(f"accuracy {metrics.accuracy:.3f} (95 % bootstrap interval {low:.3f} – {high:.3f}) on {metrics.n} images")
    to.print(
        f"balanced {metrics.balanced_accuracy:.3f}, macro F1 {metrics.macro_f1:.3f}, log loss {metrics.log_loss:.3f}"
    )
    to.print(f"naming the most frequent class always: {metrics.majority_accuracy:.3f}")
    table = Table("class", "images", "precision", "recall", "F1", box=SIMPLE)
    for row in metrics.per_class:
        recall = "–" if row.recall is None else f"{row.recall:.3f}"
        table.add_row(row.name, str(row.n), f"{row.precision:.3f}", recall, f"{row.f1:.3f}")
    to.print(table)
