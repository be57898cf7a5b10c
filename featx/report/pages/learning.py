"""Curves: what more labels give, with bands, and how many labels a target needs."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from featx.compare import RankedCandidate
from featx.errors import FeatxError
from featx.measures import MEASURE_TITLES
from featx.report.curves import curve_sections
from featx.report.drawings import Line, Lines, Point
from featx.report.pages.material import Material
from featx.report.section import Section
from featx.transfer import LearningCurve, draw_curve

_FEW_SHOT = re.compile(r"few-shot-(\d+)")
MOST_LINES = 12


def learning_sections(material: Material) -> Iterator[Section]:
    """The curves that `curve` printed, and those of results on few-shot splits."""
    curves = [*material.of(LearningCurve), *_of_candidates(material)]
    for curve in curves:
        for section in curve_sections(curve):
            yield replace(section, title=f"Curves: {section.title}", name=section.name or "curves")
    if not curves:
        for ranking in material.ranked.rankings:
            yield from _of_means(ranking)


def _of_candidates(material: Material) -> list[LearningCurve]:
    """The curves of results on few-shot splits, if their images are at hand."""
    of_images = dict[str, list[int]]()
    candidates = material.ranked.candidates
    for place, one in enumerate(candidates):
        if one.split.shots and len(one.backbones) == 1 and one.result is not None:
            of_images.setdefault(f"{one.result.images}{one.balanced}", []).append(place)
    found = []
    for places in of_images.values():
        own = [candidates[place] for place in places]
        try:
            curve = draw_curve(own, [one.result for one in own if one.result is not None])
        except FeatxError:
            continue
        if len({row.shots for row in curve.rows}) > 1:
            found.append(curve)
    return found


def _of_means(ranking: Sequence[RankedCandidate]) -> Iterator[Section]:
    """The means over draws of results on few-shot splits, without bands: these need the labels of the images."""
    lines = dict[str, list[tuple[int, float]]]()
    for one in ranking:
        found = _FEW_SHOT.match(one.splits)
        value = float(one.values.mean())
        if found and math.isfinite(value):
            lines.setdefault(one.name, []).append((int(found[1]), value))
    lines = {name: sorted(points) for name, points in lines.items() if len(points) > 1}
    if not lines:
        return
    best = max(lines, key=lambda name: lines[name][-1][1])
    measure = MEASURE_TITLES[ranking[0].results[0].measure]
    drawn = sorted(lines, key=lambda name: -lines[name][-1][1])[:MOST_LINES]
    notes = ["no bands: they need the labels of the images; add the caches of these results"]
    if len(drawn) < len(lines):
        notes.append(f"the figure has the {MOST_LINES} highest of {len(lines)} curves, the table all")
    yield Section(
        title="Curves: learning curves",
        sentence=f"{best} reaches the most: {lines[best][-1][1]:.3f} with {lines[best][-1][0]} images of each class.",
        columns=("candidate", "training images of each class", measure),
        rows=tuple((name, str(shots), f"{value:.3f}") for name, points in lines.items() for shots, value in points),
        figure=Lines(
            "learning curves",
            "training images of each class",
            measure,
            tuple(Line(name, tuple(Point(x, y) for x, y in lines[name])) for name in drawn),
            logarithmic=True,
        ),
        notes=tuple(notes),
        name="curves",
    )
