"""Shows on standard error how far a long run is: a bar on a terminal, else a line every few seconds."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from featx.report.terminal import err
from featx.showing import visible

if TYPE_CHECKING:
    from featx.compare import ComparisonProgress
    from featx.extract import Progress as ExtractionProgress
    from featx.finetuning import TuningProgress
    from featx.suites import SuiteProgress
    from featx.transfer import PlacingProgress

_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def extraction_progress(*, quiet: bool) -> "Iterator[Callable[[ExtractionProgress], None]]":
    """A `with` block whose value is a callback that shows how far an extraction is."""
    if quiet:
        yield lambda progress: None
    elif err().is_terminal:
        bar = _ExtractionBar()
        try:
            yield bar
        finally:
            bar.stop()
    else:
        yield _ExtractionLines()


@contextmanager
def comparison_progress(*, quiet: bool) -> "Iterator[Callable[[ComparisonProgress], None]]":
    """A `with` block whose value is a callback that shows how far a comparison is."""
    if quiet:
        yield lambda progress: None
    elif err().is_terminal:
        with _bar() as bar:
            task = bar.add_task("", total=None)
            yield lambda progress: bar.update(
                task, completed=progress.finished, total=progress.total, description=visible(progress.last)
            )
    else:
        yield _ComparisonLines()


@contextmanager
def suite_progress(*, quiet: bool) -> "Iterator[Callable[[SuiteProgress], None]]":
    """A `with` block whose value is a callback that shows how far a suite is, and how long the rest will take."""
    if quiet:
        yield lambda progress: None
    elif err().is_terminal:
        columns = (TextColumn("{task.percentage:.0f} %"), TextColumn("{task.description}", markup=False))
        with _Bar(BarColumn(), *columns, console=err()) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda progress: bar.update(
                task, completed=progress.share, description=visible(_describe_suite(progress))
            )
    else:
        yield _SuiteLines()


@contextmanager
def placing_progress(*, quiet: bool) -> "Iterator[Callable[[PlacingProgress], None]]":
    """A `with` block whose value is a callback that shows what is done with images without labels, and how far."""
    with _stages(quiet=quiet) as report:
        yield report


@contextmanager
def tuning_progress(*, quiet: bool) -> "Iterator[Callable[[TuningProgress], None]]":
    """A `with` block whose value is a callback that shows what a fine-tuning does, and how far it is."""
    with _stages(quiet=quiet) as report:
        yield report


@contextmanager
def _stages(*, quiet: bool) -> "Iterator[Callable[[PlacingProgress | TuningProgress], None]]":
    """A `with` block whose value is a callback that shows the stage of a command, and how far that is."""
    if quiet:
        yield lambda progress: None
    elif err().is_terminal:
        with _bar() as bar:
            task = bar.add_task("", total=None)
            yield lambda progress: bar.update(
                task, completed=progress.finished, total=progress.total, description=progress.stage
            )
    else:
        yield _StageLines()


class _Bar(Progress):
    """Bars that leave room for the ^C of an interrupt, which would otherwise begin a line that nothing clears."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, in lines that end before the last columns of the terminal."""
        yield from map(_Narrower, super().get_renderables())


@dataclass(frozen=True)
class _Narrower:
    """Something that rich can print, in lines that leave room for a ^C."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.inner, options.update_width(max(1, options.max_width - len("^C"))))


def _bar(*columns: ProgressColumn) -> Progress:
    """A bar with counts, these columns, the time left and a description."""
    last = (TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    return _Bar(BarColumn(), MofNCompleteColumn(), *columns, *last, console=err())


class _Rate:
    """Images per second since the first call."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def __call__(self, finished: int) -> float:
        now = time.monotonic()
        if self._start is None:
            self._start = (now, finished)
        seconds, before = self._start
        return (finished - before) / max(now - seconds, 1e-9)


class _Clock:
    """Says when the next line is due."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether enough seconds have passed since the last line; if so, they count from now on."""
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LINES:
            return False
        self._last = now
        return True


class _ExtractionBar:
    """A bar that appears with the first report, so that a run with nothing to do shows none."""

    def __init__(self) -> None:
        self._bar = _bar(TextColumn("{task.fields[rate]:.0f} images/s"))
        self._rate = _Rate()
        self._task = self._bar.add_task("", total=None, rate=0.0)

    def __call__(self, progress: "ExtractionProgress") -> None:
        if not self._bar.live.is_started:
            # what was finished before says nothing about the speed
            self._bar.reset(self._task, completed=progress.earlier, total=progress.total)
            self._bar.start()
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._bar.update(
            self._task,
            completed=progress.finished,
            total=progress.total,
            rate=self._rate(progress.finished),
            description=visible(f"{progress.note}{failed}{_earlier(progress)}"),
        )

    def stop(self) -> None:
        """Leave the bar as it is now."""
        if self._bar.live.is_started:
            self._bar.stop()


class _ExtractionLines:
    def __init__(self) -> None:
        self._rate = _Rate()
        self._clock = _Clock()

    def __call__(self, progress: "ExtractionProgress") -> None:
        rate = self._rate(progress.finished)
        if not self._clock.due():
            return
        left = f"{(progress.total - progress.finished) / rate:.0f} s left, " if rate else ""
        err().print(
            f"{progress.finished} of {progress.total} images, {rate:.0f} images/s, {left}"
            f"{progress.note}, {progress.failed} failed{_earlier(progress)}"
        )


def _earlier(progress: "ExtractionProgress") -> str:
    """How many images were finished before this run; empty if none."""
    return f", {progress.earlier} finished before" if progress.earlier else ""


class _ComparisonLines:
    def __init__(self) -> None:
        self._clock = _Clock()

    def __call__(self, progress: "ComparisonProgress") -> None:
        if self._clock.due() or progress.finished == progress.total:
            last = progress.last or "all results exist already"
            err().print(f"{progress.finished} of {progress.total} heads: {last}")


class _SuiteLines:
    def __init__(self) -> None:
        self._clock = _Clock()

    def __call__(self, progress: "SuiteProgress") -> None:
        if self._clock.due():
            err().print(f"{progress.share:.0%}, {_describe_suite(progress)}")


class _StageLines:
    def __init__(self) -> None:
        self._clock = _Clock()

    def __call__(self, progress: "PlacingProgress | TuningProgress") -> None:
        if self._clock.due():
            err().print(f"{progress.stage}: {progress.finished:,} of {progress.total:,}")


def _describe_suite(progress: "SuiteProgress") -> str:
    """How long the whole suite will still take, and what is done at the moment."""
    left = f"{timedelta(seconds=round(progress.seconds_left))} left"
    return f"{left}, {progress.stage} {progress.finished:,} of {progress.total:,}: {progress.last}".rstrip(": ")
