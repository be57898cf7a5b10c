"""Renders sections in the terminal: results on standard output, failures on standard error."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from featx.report.adaptations import adaptation_sections
from featx.report.caches import extraction_section, info_section
from featx.report.clusters import cluster_sections
from featx.report.curves import curve_sections
from featx.report.gains import gain_sections
from featx.report.gaps import gap_sections
from featx.report.labelling import label_plan_section
from featx.report.metrics import metrics_sections
from featx.report.models import checks_section, effects_section, inspection_sections
from featx.report.ranking import ranking_sections
from featx.report.results import results_section
from featx.report.scores import scores_section
from featx.report.section import Section
from featx.report.suites import suite_sections
from featx.report.trials import trials_section
from featx.showing import visible

if TYPE_CHECKING:
    from featx.backbones import Inspection
    from featx.cache import CacheInfo
    from featx.choosing import SourceTrials
    from featx.compare import RankedCandidate
    from featx.convert import Check, FastEffect
    from featx.extract import ExtractionSummary
    from featx.heads import Result
    from featx.measures import HeadMetrics
    from featx.suites import SuiteOutcome
    from featx.tables import Duplicates
    from featx.transfer import Adaptation, Clustering, Gain, Gap, LabelPlan, LearningCurve, TransferScores

_PIPED_WIDTH = 120
"""Columns of standard output if it is not a terminal."""
_BETWEEN = 3
"""Columns between two columns of a table."""
_NAME_WIDTH = 9
"""Columns for the name of a fact."""


class LineConsole(Console):
    """A console in which every text that is printed is one line, without control characters of its own."""

    def print(self, *texts: Any, **how: Any) -> None:
        """Print the texts, or tables made by this module, whose cells are escaped already."""
        super().print(*(visible(text) if isinstance(text, str) else text for text in texts), **how)


def out() -> LineConsole:
    """Standard output, without colours that featx chooses, so that it can be piped on."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return LineConsole(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width)


def err() -> LineConsole:
    """Standard error."""
    return LineConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_sections(sections: Iterable[Section], *, to: Console) -> None:
    """Print each section: a table with its notes as a list below it, or else the title, facts and notes as lines."""
    for section in sections:
        if section.columns:
            table, width = _as_table(section)
            _wide_enough(to, width).print(table)
            lines = [f"- {note}" for note in section.notes]
        else:
            facts = [f"{name:{_NAME_WIDTH}} {fact}" for name, fact in section.rows]
            lines = [*filter(None, [section.title]), *facts, *section.notes]
        for line in lines:
            to.print(line)


def _wide_enough(console: Console, width: int) -> Console:
    """The console, or a wider one on the same stream: a terminal wraps long lines, where a table would break words."""
    if width <= console.width:
        return console
    return LineConsole(file=console.file, width=width, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _as_table(section: Section) -> tuple[Table, int]:
    """The section as a table, and the number of terminal columns without which it would break words."""
    table = Table(title=visible(section.title) or None, box=SIMPLE)
    rows = [
        [_cell(text, column, section) for text, column in zip(row, section.columns, strict=True)]
        for row in section.rows
    ]
    widths = []
    for place, column in enumerate(section.columns):
        whole = section.wrapped not in (None, column)
        cells = [visible(column), *(row[place] for row in rows)]
        widths.append(max(_unbroken_width(cell, whole=whole) for cell in cells))
        table.add_column(cells[0], no_wrap=whole, overflow="fold", min_width=widths[-1])
    for row in rows:
        table.add_row(*row)
    return table, sum(widths) + _BETWEEN * len(widths) + 1


def _unbroken_width(cell: str, *, whole: bool) -> int:
    """Terminal columns of the longest line of a cell, or of its longest word if lines may be broken."""
    return max(map(cell_len, cell.splitlines() if whole else cell.split()), default=0)


def _cell(text: str, column: str, section: Section) -> str:
    """The cell; one line for each value of a list in the column that may be broken into lines."""
    return visible(text).replace(", ", "\n") if column == section.wrapped else visible(text)


def print_trials(trials: "SourceTrials", *, to: Console) -> None:
    """Print the sources that were tried, in their order, and why others were dropped."""
    print_sections([trials_section(trials)], to=to)


def print_extraction(summary: "ExtractionSummary", *, to: Console) -> None:
    """Print what an extraction did, and what limited it."""
    print_sections([extraction_section(summary)], to=to)


def print_failures(summary: "ExtractionSummary", *, most: int | None) -> None:
    """Print the first `most` images that failed, or all if it is None, with their reasons on standard error."""
    for name, reason in summary.failures[:most]:
        err().print(f"  failed: {name}: {reason}")
    if most is not None and len(summary.failures) > most:
        err().print(f"  … and {len(summary.failures) - most} more; --json lists all")


def print_info(info: "CacheInfo", *, to: Console) -> None:
    """Print what a cache contains, which model and software it comes from, and which images failed."""
    print_sections([info_section(info)], to=to)


def print_inspection(inspection: "Inspection", *, to: Console) -> None:
    """Print the input and outputs of a model, and a table of the tensors that could be the feature."""
    print_sections(inspection_sections(inspection), to=to)


def print_scores(scores: "TransferScores", *, to: Console) -> None:
    """Print the sources in the order of the ranking, with their scores."""
    print_sections([scores_section(scores)], to=to)


def print_curve(curve: "LearningCurve", *, to: Console) -> None:
    """Print every point of the learning curves, and the labels that the target needs."""
    print_sections(curve_sections(curve), to=to)


def print_gain(gain: "Gain", *, to: Console) -> None:
    """Print what each source is worth, and the classes and groups that are harmed."""
    print_sections(gain_sections(gain), to=to)


def print_gap(gap: "Gap", *, to: Console) -> None:
    """Print what lies between two domains, with the shares of classes and the columns that move."""
    print_sections(gap_sections(gap), to=to)


def print_clusters(found: "Clustering", *, to: Console) -> None:
    """Print the clusters, and how well they agree with labels, if there are any."""
    print_sections(cluster_sections(found), to=to)


def print_label_plan(plan: "LabelPlan", *, to: Console) -> None:
    """Print which images to label next, and why."""
    print_sections([label_plan_section(plan)], to=to)


def print_adaptation(adaptation: "Adaptation", *, to: Console) -> None:
    """Print the gap between two domains, and what each method of adaptation is worth."""
    print_sections(adaptation_sections(adaptation), to=to)


def print_suite(outcome: "SuiteOutcome", *, to: Console) -> None:
    """Print the leaderboard of each comparability group of a suite, and how well scores predict it."""
    print_sections(suite_sections(outcome), to=to)


def print_checks(checks: "Sequence[Check]", *, to: Console) -> None:
    """Print every check of a backbone, with what was measured and what is allowed."""
    print_sections([checks_section(checks)], to=to)


def print_effects(effects: "Sequence[FastEffect]", *, to: Console) -> None:
    """Print how far features of fast decoding are from exact ones; nothing if that was not measured."""
    if effects:
        print_sections([effects_section(effects)], to=to)


def print_results(results: "Sequence[Result]", *, to: Console) -> None:
    """Print the results as a table, with notes on how they were measured."""
    print_sections([results_section(results)], to=to)


def print_ranking(ranking: "Iterable[RankedCandidate]", *, duplicates: "Mapping[str, Duplicates]", to: Console) -> None:
    """Print a table for each kind of split, with notes on how candidates were measured and tested.

    `duplicates` has the near-duplicates in the first split of each kind, under the key of that split.
    """
    print_sections(ranking_sections(ranking, duplicates=duplicates), to=to)


def print_metrics(metrics: "HeadMetrics", *, to: Console) -> None:
    """Print the metrics of one evaluation: overall, for each class, and for the worst groups."""
    print_sections(metrics_sections(metrics), to=to)
