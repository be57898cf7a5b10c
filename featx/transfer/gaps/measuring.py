"""Measures the gap between two domains, without any label of the target."""

from collections.abc import Iterator

import numpy as np

from featx.measures import bbse_interval, em_interval
from featx.showing import shorten
from featx.tables import GivenTables, as_tables
from featx.transfer.domains import Domains
from featx.transfer.gaps.class_shift import ClassShift, predictions
from featx.transfer.gaps.columns import compare_columns
from featx.transfer.gaps.drawing import Drawn, draw_rows
from featx.transfer.gaps.gap import ClassShare, Gap
from featx.transfer.gaps.judging import CHANCE, THRESHOLD, Judgement, judge_rows
from featx.transfer.gaps.permuting import mean_discrepancy

MOST_CLASSES = 200
"""Shares of more classes are not told: of 2,000 images each would have ten at most."""
FEW = 30
"""With fewer images of the target, shares of classes and shifts of columns are hardly known."""


def measure_gap(source: GivenTables, target: GivenTables, *, seed: int = 0) -> Gap:
    """What lies between two domains, as a verdict and numbers, without any label of the target.

    Columns are divided by their standard deviations over both domains. A cross-fitted logistic regression then tries to
    tell the domains apart, once plainly and once with source images weighted so that classes have the shares that they
    seem to have in the target (`em_shares`, of a calibrated head of the source). Whole groups are in one fold; so is an
    identity that both domains have. Verdicts:

    - `domain shift` if both areas under the ROC curve are above 0.75, beyond their intervals. Adapting is advised.
    - `undecided` if both may be above 0.75, or if the source has no labels, so that classes may be the reason.
    - `label shift` if the plain area is above 0.5 beyond its interval and the weighted one is not; or if classes are
      predicted with different frequencies (permutation test, p below 0.01).
    - `same` otherwise: nothing was found, or too little for adapting to help.

    At most 2,000 seeded rows of each domain are looked at, the classifiers along 64 principal axes. With several
    caches a domain, their columns are joined.

    Raises TableError if the target lacks a backbone of the source, or if a domain has no image with a feature.

    >>> import featx
    >>> gap = featx.measure_gap("photos.h5", "photos.h5")
    >>> gap.verdict, gap.adapts, round(gap.auroc, 2)
    ('same', False, 0.5)
    >>> gap.notes[0]
    'same: the domains cannot be told apart'
    """
    domains = Domains.of_features(as_tables(source), as_tables(target))
    drawn = draw_rows(domains, seed=seed)
    judged = judge_rows(drawn.rows, seed=seed)
    mmd, p = mean_discrepancy(drawn.rows, seed=seed)
    columns, blocks = compare_columns(drawn.rows, domains.source.sources)
    known = judged.shift if judged.shift is not None and len(judged.shift.labels.classes) <= MOST_CLASSES else None
    shares = () if known is None else _shares(drawn, known, seed=seed)
    return Gap(
        verdict=judged.verdict,
        adapts=judged.verdict == "domain shift",
        auroc=None if judged.plain is None else judged.plain.auroc,
        ci=None if judged.plain is None else judged.plain.ci,
        weighted_auroc=None if judged.weighted is None else judged.weighted.auroc,
        weighted_ci=None if judged.weighted is None else judged.weighted.ci,
        mmd=mmd,
        p=p,
        class_p=judged.class_p,
        shares=shares,
        columns=columns,
        blocks=blocks,
        source_rows=len(drawn.rows.source),
        target_rows=len(drawn.rows.target),
        notes=tuple(_notes(domains, drawn, judged, shares)),
    )


def _shares(drawn: Drawn, shift: ClassShift, *, seed: int) -> tuple[ClassShare, ...]:
    """The shares of classes in the target, with intervals from resamples of whole units."""
    units = drawn.rows.source_units[shift.labelled].astype("S"), drawn.rows.target_units.astype("S")
    em = em_interval(shift.target_probabilities, shift.source_shares, groups=units[1], seed=seed)
    bbse = bbse_interval(
        predictions(shift.target_probabilities),
        predictions(shift.source_probabilities),
        shift.labels.codes,
        groups=units[1],
        source_groups=units[0],
        seed=seed,
    )
    return tuple(
        ClassShare(
            name=name,
            source=float(shift.source_shares[number]),
            em=float(shift.em[number]),
            em_ci=(float(em[number, 0]), float(em[number, 1])),
            bbse=float(shift.bbse[number]),
            bbse_ci=(float(bbse[number, 0]), float(bbse[number, 1])),
        )
        for number, name in enumerate(shift.labels.classes)
    )


def _notes(domains: Domains, drawn: Drawn, judged: Judgement, shares: tuple[ClassShare, ...]) -> Iterator[str]:
    """What the verdict means, what it could not take into account, and what was noticed."""
    yield _meaning(judged)
    yield from _notes_on_rows(domains, drawn)
    if judged.shift is None:
        yield (
            "the source has no labels of two classes with two images each (several labels an image do not count), so "
            "shares of classes are unknown, and what tells the domains apart may be these alone"
        )
        return
    if not shares:
        yield f"shares of more than {MOST_CLASSES} classes are used for the weights, but not told one by one"
    left_out = [name for name in domains.source.classes if name not in judged.shift.labels.classes]
    if left_out:
        yield f"classes of the source with too few images to be estimated: {shorten(left_out)}"
    absent = [one.name for one in shares if one.em_ci[0] == 0 and one.bbse_ci[0] == 0 and one.em < one.source / 10]
    if absent:
        yield f"classes of the source that the target may lack: {shorten(absent)}"
    if judged.verdict == "domain shift":
        yield "after a domain shift, estimated shares of classes may be far off: the head may be wrong in the target"


def _meaning(judged: Judgement) -> str:
    if judged.plain is None:
        return "the domains are not told apart: a domain has a single image or group, or no column varies"
    if judged.verdict == "domain shift":
        return "domain shift: images of the same classes differ; adapt the head, as `featx adapt` does"
    if judged.verdict == "label shift":
        return "label shift: classes have other shares, and nothing else was found; adapting features would harm"
    if judged.verdict == "undecided":
        return (
            f"undecided: a shift that matters (AUROC above {THRESHOLD}) may be there; more images, or labels, show it"
        )
    apart = judged.plain.ci[0] > CHANCE
    return (
        f"same: the domains differ, but too little (AUROC not above {THRESHOLD}) for adapting to help"
        if apart
        else "same: the domains cannot be told apart"
    )


def _notes_on_rows(domains: Domains, drawn: Drawn) -> Iterator[str]:
    for kind, count, looked in (
        ("source", drawn.of_source, len(drawn.rows.source)),
        ("target", drawn.of_target, len(drawn.rows.target)),
    ):
        if looked < count:
            yield f"{looked:,} of {count:,} images of the {kind} were looked at"
    if drawn.same_names:
        yield f"{drawn.same_names:,} images have the same name in source and target"
    if drawn.same_features:
        yield f"{drawn.same_features:,} images of the target have the same features as one of the source"
    if len(drawn.rows.target) < FEW:
        yield f"the target has {len(drawn.rows.target)} images: only a strong shift can be seen"
    constant = domains.source.dim - len(drawn.rows.columns)
    if constant:
        yield f"{constant:,} columns have the same value everywhere, and say nothing"
    only = int(np.count_nonzero(drawn.rows.source.std(axis=0) == 0)) if len(drawn.rows.source) > 1 else 0
    if only:
        yield f"{only:,} columns vary in the target only"
