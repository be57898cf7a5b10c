"""The summary: the answer in one sentence, and what a reader must know before believing it."""

from collections.abc import Iterator, Sequence

from featx.provenance import __version__
from featx.report.measures import show_p, with_interval
from featx.report.pages.data import FEW_IMAGES, DataOfReport
from featx.report.pages.domains import list_gains, list_harm
from featx.report.pages.material import Material
from featx.report.pages.printed import PrintedSuite, SuspectedLabels
from featx.report.section import Section
from featx.report.split_rankings import SplitRanking, recommend, recommend_in_facts
from featx.suites import Leaderboard
from featx.transfer import Adaptation, Gap, LearningCurve, TransferScores


def answer_of(material: Material, rankings: Sequence[SplitRanking]) -> str:
    """The answer of the page in one sentence: what to take, and how sure that is."""
    for board in _boards(material):
        for _, text in _of_leaderboard(board):
            return text
    if rankings:
        return recommend(rankings[0])
    return next((text for _, text in _further(material)), "Nothing was measured that could be recommended.")


def summary_section(material: Material, rankings: Sequence[SplitRanking], data: DataOfReport) -> Section:
    """What was found, as facts; and what a reader must know, as notes."""
    facts = [fact for board in _boards(material) for fact in _of_leaderboard(board)]
    facts += [fact for one in rankings[:1] for fact in recommend_in_facts(one)]
    return Section(
        title="Summary",
        rows=(*facts, *_further(material)),
        notes=(*_caveats(material, rankings, data), *_additions(material, rankings)),
        name="summary",
    )


def _boards(material: Material) -> list[Leaderboard]:
    printed = [one.leaderboard for one in material.of(PrintedSuite)]
    return [*(one.leaderboard for one in material.suites), *printed]


def _further(material: Material) -> Iterator[tuple[str, str]]:
    """Answers to other questions than which candidate is best."""
    for scores in material.of(TransferScores):
        tied = [f"{one.backbone}:{one.output}" for one in scores.ranking if one.tied]
        yield "which source to train?", f"By scores before training: {', '.join(tied)}."
    yield from _of_transfer(material)
    for curve in material.of(LearningCurve):
        yield from _of_curve(curve)
    for suspected in material.of(SuspectedLabels):
        found = f"{suspected.preferred_other} of {suspected.images} images look more like another class."
        yield "are labels wrong?", found


def _of_leaderboard(board: Leaderboard) -> Iterator[tuple[str, str]]:
    for group in board.groups:
        rows = [row for row in board.rows if row.group == group.name and row.place is not None]
        first = next((row for row in rows if row.place == 1), None)
        if first is None or first.mean is None:
            continue
        same = [row.source for row in rows if row is not first and set(row.letters) & set(first.letters)]
        against = f"; the ranks do not tell it from {', '.join(same[:3])}" if same else ""
        mean = with_interval(f"{first.mean:.3f}", first.ci)
        on = f"{len(group.targets)} targets" if len(group.targets) > 1 else "its only target"
        text = f"{first.source} has the lowest mean rank on {on}, mean {mean}{against}."
        yield f"which source with {group.name}?", text


def _of_transfer(material: Material) -> Iterator[tuple[str, str]]:
    for target, gain in list_gains(material):
        verdicts = [row.verdict for row in gain.rows]
        counted = f"helps in {verdicts.count('helps')}, harms in {verdicts.count('harms')}"
        on = f" on {target}" if target else ""
        yield f"does transfer help{on}?", f"It {counted} of {len(verdicts)} cases{on}; the others are undecided."
    for gap in material.of(Gap):
        advice = "adapting is advised" if gap.adapts else "adapting is not advised"
        yield "are the domains the same?", f"The verdict is {gap.verdict}; {advice}."
    for adaptation in material.of(Adaptation):
        chosen = adaptation.chosen
        if chosen is not None and chosen.accuracy is not None and chosen.difference is not None:
            measured = with_interval(f"{chosen.accuracy:.3f}", chosen.accuracy_ci)
            change = f"{chosen.difference:+.3f}, p {show_p(chosen.p_holm)}"
            yield "does adapting help?", f"{chosen.method} is kept: {measured} on the target ({change})."


def _of_curve(curve: LearningCurve) -> Iterator[tuple[str, str]]:
    for needed in curve.labels_needed:
        if needed.shots is not None:
            text = f"{needed.backbone}, {needed.head}: {needed.shots} images of each class."
        else:
            text = f"{needed.backbone}, {needed.head}: more than were tried."
        yield f"labels for {needed.target:g}?", text


def _caveats(material: Material, rankings: Sequence[SplitRanking], data: DataOfReport) -> Iterator[str]:
    found = data.duplicates
    if found is not None and found.count:
        yield f"near-duplicates: {found.count} of {found.tested} test images are nearly equal to a training image"
    if data.cache is not None and data.cache.table.groups is None:
        yield "groups are not given: images of one object may be in training and test, and then accuracy is too high"
    for one in rankings[:1]:
        yield from _caveats_of(one)
    harm = list_harm(material)
    if harm:
        yield f"harm: {len(harm)} cases, the first of which is {harm[0][0]}, {harm[0][1]}: {harm[0][2]}"
    if data.cache is not None and data.cache.images.failed:
        yield f"{len(data.cache.images.failed):,} of {data.cache.images.rows:,} images failed and are in no number"
    yield from dict.fromkeys(material.ranked.notes)


def _caveats_of(ranking: SplitRanking) -> Iterator[str]:
    result = ranking.first.results[0]
    if result.metrics.n < FEW_IMAGES:
        yield f"few images: intervals of {result.metrics.n} test images are wide"
    if any(not one.n for one in result.metrics.per_class):
        empty = [one.name for one in result.metrics.per_class if not one.n]
        yield f"no test image of {len(empty)} classes: {', '.join(empty[:5])}{' …' if len(empty) > 5 else ''}"
    if ranking.first.chosen_per_split is not None:
        yield (
            "the best candidate was chosen by images that other splits test on, so that its mean is slightly too "
            f"high; chosen anew for each split it is {ranking.first.chosen_per_split:.3f}"
        )
    older = sorted({one.versions["featx"] for one in ranking.first.results} - {__version__})
    if older:
        yield f"results were computed by featx {', '.join(older)}"


def _additions(material: Material, rankings: Sequence[SplitRanking]) -> Iterator[str]:
    """Which commands would add what this page lacks."""
    for what, command in _missing(material, rankings):
        yield f"not on this page: {what}; {command} adds it"


def _missing(material: Material, rankings: Sequence[SplitRanking]) -> Iterator[tuple[str, str]]:
    if not rankings and not material.suites:
        yield "results of candidates", "`featx compare C.h5... --into results.jsonl`"
    if not material.caches and not material.suites:
        yield "failures, near-duplicates and a map of features", "a cache of these images (C.h5)"
    if not any(one.examined for one in material.heads):
        yield "mistakes image by image", "a head with the cache of its training (H.featx C.h5)"
    if not material.of(TransferScores) and not material.suites:
        yield "scores before training", "`featx score C.h5... --json > scores.json`"
    if not material.of(LearningCurve):
        yield "what more labels give", "`featx curve C.h5 --json > curve.json`"
    if not material.of(SuspectedLabels):
        yield "labels that may be wrong", "`featx label-errors C.h5 --json > label-errors.json`"
    if not list_gains(material):
        yield "what transfer is worth", "`featx gain C.h5 PIXELS.h5 --json > gain.json`"
