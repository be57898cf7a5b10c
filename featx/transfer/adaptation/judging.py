"""Measures what each method reached on the test images of the target, and judges it against the plain head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from featx.cache import FeatureTable
from featx.compare import SplitImages
from featx.measures import Comparison
from featx.tables import Split, select_rows
from featx.transfer.adaptation.adaptation import AdaptationRow, Versus
from featx.transfer.adaptation.making import Made
from featx.transfer.adaptation.methods import NONE, TARGET
from featx.transfer.adaptation.target_rows import TargetRows
from featx.transfer.domains import Pair
from featx.transfer.gains.constant import settle
from featx.transfer.gains.gain import correct_p, decide
from featx.transfer.gains.judging import interval_of, why_no_p
from featx.transfer.gains.predictors import Predictor
from featx.transfer.gains.source_heads import SourceHead


@dataclass(frozen=True)
class Named:
    """What a method made, under the name by which it was asked for."""

    name: str
    made: Made


def rows_of(
    named: Sequence[Named], *, source: FeatureTable, rows: TargetRows, balanced: bool, seed: int, chosen: str | None
) -> tuple[AdaptationRow, ...]:
    """One row for each method; all measures are None if there is no split of the target."""
    plain = [_unmeasured(one, rows, chosen=one.name == chosen) for one in named]
    if rows.split is None:
        return tuple(plain)
    images = _test_images(rows.table, rows.split, balanced=balanced, seed=seed)
    predictors = {one.name: _predict(one, source, images) for one in named}
    measured = [
        replace(
            row,
            n=len(images.rows[0]),
            accuracy=float(predictors[row.method].values[0]),
            accuracy_ci=interval_of(predictors[row.method], images),
            balanced_accuracy=_balanced(one, source, images),
        )
        for row, one in zip(plain, named, strict=True)
    ]
    against_none = compare_with(NONE, predictors, images)
    against_target = compare_with(TARGET, predictors, images)
    return tuple(_judged(row, against_none.get(row.method), against_target.get(row.method)) for row in measured)


def _unmeasured(one: Named, rows: TargetRows, *, chosen: bool) -> AdaptationRow:
    result = one.made.result
    return AdaptationRow(
        method=one.name,
        stands_for=one.made.method.name,
        n=0,
        accuracy=None,
        accuracy_ci=None,
        balanced_accuracy=None,
        source_accuracy=result.value,
        difference=None,
        ci=None,
        p=None,
        p_holm=None,
        verdict=None,
        why="",
        test="",
        unsupervised=one.made.target_labels == 0,
        target_labels=one.made.target_labels,
        transductive=rows.transductive and one.made.method.base != TARGET,
        chosen=chosen,
    )


def _test_images(target: FeatureTable, split: Split, *, balanced: bool, seed: int) -> SplitImages:
    """The test images as a table of their own, so that nothing else is predicted."""
    tested = select_rows(target, split.test)
    none = np.empty(0, np.int64)
    alone = replace(split, train=none, validation=none, test=np.arange(len(tested)), shots=None)
    return SplitImages.of(tested, [alone], balanced=balanced, seed=seed)


def _predict(one: Named, source: FeatureTable, images: SplitImages) -> Predictor:
    found = SourceHead(Pair(one.name, source, images.table), one.made.head, one.made.result).predictor(images)
    return replace(found, label=one.name)


def _balanced(one: Named, source: FeatureTable, images: SplitImages) -> float | None:
    """The mean recall of the classes that some test image has; None for several labels."""
    if images.multilabel:
        return None
    return float(_predict(one, source, replace(images, balanced=True)).values[0])


def compare_with(reference: str, predictors: Mapping[str, Predictor], images: SplitImages) -> dict[str, Versus]:
    """Every method against this one, p corrected over all; empty if it is not among the methods."""
    if reference not in predictors:
        return {}
    best = predictors[reference]
    others = [name for name in predictors if name != reference]
    outcomes = {one.name: one.outcomes for one in predictors.values()}
    pairs = [(predictors[name].name, best.name) for name in others]
    compared = images.compare(outcomes, pairs)
    settled = [settle(one, images, predictors[name], best) for name, one in zip(others, compared, strict=True)]
    corrected = correct_p([one.p for one in settled])
    return {
        name: _versus(one, p_holm=p_holm, same=_same(predictors[name], best))
        for name, one, p_holm in zip(others, settled, corrected, strict=True)
    }


def _same(one: Predictor, other: Predictor) -> bool:
    """Whether both give the same on every test image."""
    return all(np.array_equal(mine.each, its.each) for mine, its in zip(one.outcomes, other.outcomes, strict=True))


def _versus(compared: Comparison, *, p_holm: float | None, same: bool) -> Versus:
    why = "" if compared.p is not None else "no p-value: both are the same" if same else why_no_p(compared)
    return Versus(
        difference=compared.difference,
        ci=compared.interval,
        p=compared.p,
        p_holm=p_holm,
        verdict=decide(compared.difference, p_holm),
        why=why,
        test=compared.test,
    )


def _judged(row: AdaptationRow, against_none: Versus | None, against_target: Versus | None) -> AdaptationRow:
    if against_none is None:
        return replace(row, versus_target=against_target)
    return replace(
        row,
        difference=against_none.difference,
        ci=against_none.ci,
        p=against_none.p,
        p_holm=against_none.p_holm,
        verdict=against_none.verdict,
        why=against_none.why,
        test=against_none.test,
        versus_target=against_target,
    )
