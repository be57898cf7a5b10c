"""Candidates: scores before training, how they agree with accuracy, and what an image costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from featx.report.drawings import Bars, Cloud, Dot, Span
from featx.report.pages.material import Material
from featx.report.pages.printed import PrintedSuite
from featx.report.scores import scores_sections
from featx.report.section import Section
from featx.report.split_rankings import SplitRanking
from featx.report.suites import suite_sections
from featx.suites import SuiteOutcome
from featx.transfer import TransferScores


def source_sections(material: Material, rankings: Sequence[SplitRanking]) -> Iterator[Section]:
    """Scores, score against accuracy, costs, and the leaderboards of suites."""
    for scores in material.of(TransferScores):
        for section in scores_sections(scores):
            yield replace(section, title=f"Candidates: {section.title or 'scores'}", name="scores")
        against = _against_accuracy(scores, rankings)
        if against is not None:
            yield against
    if len(costs := _costs(material)) > 1:
        yield _cost_section(costs)
    for suite in [*material.suites, *map(_as_outcome, material.of(PrintedSuite))]:
        for section in suite_sections(suite):
            title = f"Candidates: {section.title}" if section.title else "Candidates: notes on the suite"
            if section.title or section.notes:
                yield replace(section, title=title, name=section.name or "suite")


def _as_outcome(printed: PrintedSuite) -> SuiteOutcome:
    return SuiteOutcome(
        folder=Path(),
        results=(),
        scores=(),
        leaderboard=printed.leaderboard,
        predictions={},
        agreement=printed.agreement,
        gain=(),
        failures=(),
        notes=printed.notes,
    )


def _against_accuracy(scores: TransferScores, rankings: Sequence[SplitRanking]) -> Section | None:
    """What each source scored before training, and what its best head reached; None if no source has both."""
    reached = _reached(rankings)
    dots = tuple(
        Dot(row.value, reached[source], source, (row.score,))
        for row in scores.rows
        for source in [_known(f"{row.backbone}:{row.output}", row.backbone, reached)]
        if row.value is not None and source
    )
    if len({dot.name for dot in dots}) < 2:
        return None
    first = dots[0].categories[0]
    own = tuple(dot for dot in dots if dot.categories[0] == first)
    best = max(own, key=lambda dot: dot.x)
    most = max(own, key=lambda dot: dot.y)
    found = "it also reaches the highest accuracy" if best.name == most.name else f"{most.name} reaches more"
    return Section(
        title="Candidates: score against accuracy",
        sentence=f"{best.name} has the highest {first}, and {found}.",
        columns=("source", "score", "value", "accuracy of its best head"),
        rows=tuple((dot.name, dot.categories[0], f"{dot.x:.3f}", f"{dot.y:.3f}") for dot in dots),
        figure=Cloud(f"{first} against accuracy", first, "accuracy of its best head", own, ("score",)),
        notes=("the best head of a source is that of the highest accuracy on validation images",),
        name="score-against-accuracy",
    )


def _known(source: str, backbone: str, reached: Mapping[str, float]) -> str:
    """The name under which results have this source; empty if they do not have it."""
    return next((name for name in (source, backbone) if name in reached), "")


def _reached(rankings: Sequence[SplitRanking]) -> dict[str, float]:
    """Single backbone -> the measure of its best head on test images, in the ranking of the most candidates."""
    found = dict[str, float]()
    for one in rankings[0].candidates if rankings else ():
        if len(one.backbones) == 1:
            found.setdefault(one.backbones[0], float(one.values.mean()))
    return found


def _costs(material: Material) -> dict[str, float]:
    """Backbone -> milliseconds of an image, as caches say."""
    return {
        source.name: 1000 * source.cost.seconds_per_image
        for one in material.caches
        for source in one.table.sources
        if source.cost is not None
    }


def _cost_section(costs: Mapping[str, float]) -> Section:
    cheapest = min(costs, key=lambda name: costs[name])
    spans = tuple(Span(name, cost) for name, cost in costs.items())
    return Section(
        title="Candidates: cost",
        sentence=f"{cheapest} is the cheapest: {costs[cheapest]:.3g} ms an image.",
        columns=("backbone", "ms an image", "times the cheapest"),
        rows=tuple((name, f"{cost:.3g}", f"{cost / costs[cheapest]:.1f}") for name, cost in costs.items()),
        figure=Bars("cost of an image", "milliseconds of the backbone", spans),
        notes=("measured while the caches were extracted; compare only what ran on the same machine",),
        name="cost",
    )
