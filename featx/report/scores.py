"""The scores of sources as one table in the order of the ranking, with notes on how sure it is."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.drawings import Bars, Span
from featx.report.measures import show_interval
from featx.report.section import Section
from featx.showing import shorten

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
    figure = Bars(f"sources by {names[0]}", names[0], _spans(scores, names[0]))
    sentence = rank_sentence(scores.ranking)
    return [
        Section(
            title="sources", sentence=sentence, columns=columns, rows=rows, figure=figure, notes=notes, name="sources"
        )
    ]


def _spans(scores: "TransferScores", name: str) -> tuple[Span, ...]:
    """The value of each source, where this score is defined."""
    found = {(row.backbone, row.output): row for row in scores.rows if row.score == name}
    values = [(one, found[one.backbone, one.output]) for one in scores.ranking]
    return tuple(
        Span.within(f"{one.backbone}:{one.output}", row.value, row.ci, note="tied" if one.tied else "")
        for one, row in values
        if row.value is not None
    )


def rank_sentence(ranking: "Sequence[RankedSource]") -> str:
    """The sources to train: those that the images cannot tell from the first."""
    tied = [f"{one.backbone}:{one.output}" for one in ranking if one.tied]
    return f"To train: {shorten(tied)}, of {len(ranking)}." if tied else ""


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
