"""The gain across domains: heads of a source, tested on a target, against what the target reaches without them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from featx.compare import (
    Candidate,
    ComparisonProgress,
    FailedCandidate,
    SplitImages,
    compare_backbones,
)
from featx.errors import ChoiceError, FeatxError, did_you_mean
from featx.heads import Result, choose_tuning, train_head
from featx.tables import Split, split_table
from featx.transfer.domains import Domains
from featx.transfer.gains.gain import MAJORITY, Gain, correct_rows
from featx.transfer.gains.judging import Judged, judge
from featx.transfer.gains.options import GainOptions
from featx.transfer.gains.parts import notes_on_parts
from featx.transfer.gains.predictors import Predictor, join_results, majority_predictor
from featx.transfer.gains.source_heads import SourceHead

TARGET = "target"
"""Name of the baseline of heads that are trained on all labels of the target."""


def measure_across(
    domains: Domains,
    *,
    options: GainOptions,
    against: Sequence[str],
    jobs: int | None,
    into: Path | str | None,
    report: Callable[[ComparisonProgress], None],
) -> Gain:
    """The gain of each head of the source on the target. Raises ChoiceError for an unknown baseline."""
    _check_baselines(against)
    candidates = [] if tuple(against) == (MAJORITY,) else options.list_candidates(domains.targets)
    candidates = [one for one in candidates if one.split.shots or TARGET in against]
    compared = compare_backbones(candidates, into=into, jobs=jobs, report=report)
    heads, failures = _train(domains, options, jobs=jobs)
    by_key = {result.key: result for result in compared.results}
    judged, notes = list[Judged](), list[str]()
    for images in _images(domains, options, few_shot=bool(candidates)):
        own = _own_heads(candidates, by_key, images)
        judged.append(_judge(images, heads, [*own, _majority(domains, images, options)]))
        notes += notes_on_parts(images)
    return Gain(
        rows=correct_rows([row for one in judged for row in one.rows]),
        baselines=tuple(baseline for one in judged for baseline in one.baselines),
        measure=_measure(domains, options),
        notes=(*_notes(domains), *domains.notes(), *dict.fromkeys(notes), *options.notes(domains.target)),
        failures=(*compared.failures, *failures),
    )


def _images(domains: Domains, options: GainOptions, *, few_shot: bool) -> Iterator[SplitImages]:
    """The test images of the target for each kind of split."""
    splits = [split for split in options.draw(domains.target) if few_shot or not split.shots]
    for kind in dict.fromkeys(split.kind for split in splits):
        drawn = [split for split in splits if split.kind == kind]
        yield SplitImages.of(domains.target, drawn, balanced=options.balanced, seed=options.seed)


def _measure(domains: Domains, options: GainOptions) -> str:
    if domains.target.multilabel:
        return "average_precision"
    return "balanced_accuracy" if options.balanced else "accuracy"


def _check_baselines(against: Sequence[str]) -> None:
    for name in against:
        if name not in (TARGET, MAJORITY):
            hint = did_you_mean(name, (TARGET, MAJORITY))
            raise ChoiceError(f"across domains there is no baseline {name!r}{hint}; choose {TARGET} or {MAJORITY}")


def _train(
    domains: Domains, options: GainOptions, *, jobs: int | None
) -> tuple[list[SourceHead], list[FailedCandidate]]:
    """The heads of the source, tuned on its own images; and those that could not be trained."""
    split = split_table(domains.source, seed=options.seed)
    heads, failures = [], []
    for pair in domains.pairs:
        for name in options.heads:
            try:
                head, result = train_head(
                    pair.source,
                    name,
                    split=split,
                    tuning=options.tuning,
                    balanced=options.balanced,
                    seed=options.seed,
                    jobs=jobs,
                )
            except FeatxError as error:
                failures.append(FailedCandidate(f"{name} on {pair.label}, the source", str(error)))
            else:
                heads.append(SourceHead(pair, head, result))
    return heads, failures


def _own_heads(
    candidates: Sequence[Candidate], results: Mapping[str, Result], images: SplitImages
) -> Iterator[Predictor]:
    """Heads that were trained on labels of the target."""
    kind = images.splits[0].kind
    groups = dict[str, list[Candidate]]()
    for candidate in (one for one in candidates if one.split.kind == kind):
        groups.setdefault(candidate.variant, []).append(candidate)
    for group in groups.values():
        found = join_results(group, results, images)
        if found is not None and np.isfinite(found.values).all():
            yield replace(found, label=f"own labels on {found.label}")


def _majority(domains: Domains, images: SplitImages, options: GainOptions) -> Predictor:
    folds = [_folds(domains, split, options) for split in images.splits]
    return majority_predictor(domains.target, images, folds=folds)


def _folds(domains: Domains, split: Split, options: GainOptions) -> int | None:
    """The folds in which a head of the target is tuned on this split."""
    head = options.heads[0]
    return choose_tuning(domains.target, split, head=head, fusion="", tuning=options.tuning, seed=options.seed).folds


def _judge(images: SplitImages, heads: Sequence[SourceHead], baselines: Sequence[Predictor]) -> Judged:
    """The heads of the source against the best baseline, with their losses in both domains."""
    judged = judge(images, [head.predictor(images) for head in heads], baselines)
    rows = tuple(
        replace(
            row,
            source_accuracy=head.result.value,
            source_log_loss=head.result.metrics.log_loss,
            target_log_loss=head.log_loss(images),
        )
        for row, head in zip(judged.rows, heads, strict=True)
    )
    return replace(judged, rows=rows)


def _notes(domains: Domains) -> Iterator[str]:
    """How to read the rows."""
    yield (
        f"heads are trained on {int(domains.source.labelled.sum()):,} labelled images of the source, less its test "
        "images, and on no label of the target; intervals hold for these heads"
    )
    yield (
        "baselines: the majority class of the target, and heads trained on its own few labels, as many a class as "
        f"shots says; on all its labels with --against {TARGET}; the best one on validation images counts"
    )
    yield "E and E': mean log loss in nats of the head, on test images of the source and of the target"
    yield "p: Holm's correction over all rows; of classes and of groups, within each row"
