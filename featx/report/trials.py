"""The sources that were tried on a sample of the images, as one table in the order of the ranking."""

from datetime import timedelta
from typing import TYPE_CHECKING

from featx.report.drawings import Bars, Span
from featx.report.scores import explain_marks, rank_sentence, show_cost, show_difference, show_score
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.choosing import SourceTrials, TriedSource


def trials_sections(trials: "SourceTrials") -> list[Section]:
    """One row for each source."""
    names = tuple(dict.fromkeys(row.score for row in trials.rows))
    found = {(row.backbone, row.score): row for row in trials.rows}
    rows = tuple(
        (
            f"{one.rank}{' =' if one.tied else ''}",
            one.backbone,
            *(show_score(found[one.backbone, name]) for name in names),
            show_difference(one),
            f"{one.images:,}",
            show_cost(one),
            _show_time(one),
            "" if one.dropped_in is None else f"round {one.dropped_in}",
        )
        for one in trials.ranking
    )
    columns = ("rank", "backbone", *names, "against the highest", "images", "ms an image", "all images", "dropped")
    notes = (*trials.notes, "all images: how long their extraction may still take", *explain_marks(trials.ranking))
    spans = tuple(
        Span.within(one.backbone, one.accuracy, one.accuracy_ci, note="tied" if one.tied else "")
        for one in trials.ranking
        if one.accuracy is not None
    )
    figure = Bars("sources that were tried", "accuracy of ridge regression on images that were left out", spans)
    sentence = rank_sentence(trials.ranking)
    return [
        Section(
            title="sources", sentence=sentence, columns=columns, rows=rows, figure=figure, notes=notes, name="tried"
        )
    ]


def _show_time(one: "TriedSource") -> str:
    return "" if one.seconds_for_all is None else str(timedelta(seconds=round(one.seconds_for_all)))
