"""The scores of sources as one table in the order of the ranking, with notes on how sure it is."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.measures import show_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import RankedSource, SourceScore, TransferScores


def scores_sections(scores: "TransferScores") -> list[Section]:
    """One row for each source."""
    names = tuple(dict.fromkeys(row.score for row in scores.rows))
    found = {(row.backbone, row.output, row.score): row for row in scores.rows}
    rows = tuple(
        (
            f"{one.rank}{' =' if one.tied else ''}",
            one.backbone,
            one.output,
            *(show_score(found[one.backbone, one.output, name]) for name in names),
            show_difference(one),
            "" if one.first_in is None else f"{one.first_in:.0%}",
            show_cost(one),
        )
        for one in scores.ranking
    )
    columns = ("rank", "backbone", "output", *names, "against the highest", "first in", "ms an image")
    notes = (*scores.notes, *explain_marks(scores.ranking))
    return [Section(title="sources", columns=columns, rows=rows, notes=notes)]


def explain_marks(ranking: "Sequence[RankedSource]") -> Iterator[str]:
    """What the signs in a table of sources mean."""
    yield "=: tied with the highest, by the accuracy of ridge regression; press orders those"
    if any(one.pareto for one in ranking):
        yield "*: no other source is at least as accurate and cheaper; tied ones are as accurate as the first"


def show_score(row: "SourceScore") -> str:
    """The value, with its interval if it has one."""
    if row.value is None:
        return ""
    return f"{row.value:.3f} {show_interval(row.ci)}".rstrip() if row.ci else f"{row.value:.3f}"


def show_difference(one: "RankedSource") -> str:
    """How far the source is from the highest, with the interval."""
    if one.difference == 0:
        return "is the highest"
    return f"{one.difference:+.3f} {show_interval(one.ci)}".rstrip() if one.ci else f"{one.difference:+.3f}"


def show_cost(one: "RankedSource") -> str:
    """What an image costs in milliseconds, with a star on the Pareto front."""
    if one.seconds_per_image is None:
        return ""
    return f"{1000 * one.seconds_per_image:.3g}{' *' if one.pareto else ''}"
