"""Adapts a head of a source to a target, by one method or by several, and says what each is worth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from featx.cache import FeatureTable
from featx.compare import ComparisonProgress
from featx.errors import ChoiceError, HeadError, TableError
from featx.heads import AUTO as AUTO_TUNING
from featx.tables import GivenTables, Split, as_tables, fuse_tables, select_rows, split_table
from featx.transfer.adaptation.adaptation import Adaptation
from featx.transfer.adaptation.judging import Named, rows_of
from featx.transfer.adaptation.making import Made, Maker
from featx.transfer.adaptation.methods import AUTO, NONE, STANDARD, Method, expand_methods, parse_method
from featx.transfer.adaptation.priors import check_shares
from featx.transfer.adaptation.recording import record_adaptation
from featx.transfer.adaptation.setting import HeadChoice, Setting
from featx.transfer.adaptation.target_rows import TargetRows, divide_target
from featx.transfer.domains import Domains
from featx.transfer.gaps.measuring import measure_gap


def adapt_head(
    source: GivenTables,
    target: GivenTables,
    *,
    methods: Sequence[str] = (AUTO,),
    head: str = "logreg",
    fusion: str = "",
    target_shares: Mapping[str, float] | None = None,
    shots: int | None = None,
    transductive: bool = False,
    save: str | None = None,
    tuning: str = AUTO_TUNING,
    balanced: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    report: Callable[[ComparisonProgress], None] = lambda progress: None,
) -> Adaptation:
    """A head that learns from labels of the source and fits the target, and what each method of adaptation is worth.

    `source` and `target` are tables, or paths of caches, of the same backbones; several of one domain are fused.
    `methods` are names, `all`, or `auto`, which measures the gap between the domains without labels of the target, and
    does nothing unless that is a domain shift; then it standardises. `+self-training` and `+prior` can be added to
    most. Every method sees the images of the target that are not tested, without their labels, which are removed from
    what it is given; with `transductive` it sees the test images instead. Only the methods that learn from few labels
    are given `shots` labelled images of each class. Test images, by the split of rule `auto` of the target, measure and
    decide nothing. If the target has no labels, nothing is measured.

    `target_shares` gives the share of each class in the target: standardising then weights the source by it, and the
    class probabilities of all methods without labels of the target but `none` are corrected for it.

    The head that is kept is of the method `save`, else of `auto`, else of the only method. It is a pipeline whose step
    `adapter` maps features of the target, so that it predicts further images of the target, and not of the source.

    Every method is compared with `none` on the same test images, and with shots also with the head that is trained on
    the few labels alone; p-values are corrected by Holm's method over all methods.

    Raises ChoiceError for unknown methods or classes, TableError if the domains do not fit together or the source
    cannot be split, HeadError for an unknown head, or if the method whose head is kept cannot be fitted; another one
    that cannot is left out, and a note says why.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> adaptation = featx.adapt_head(table, table, head="ridge", methods=["standardise", "weights"], jobs=1)
    >>> [row.method for row in adaptation.rows], adaptation.gap.verdict
    (['none', 'standardise', 'weights'], 'same')
    """
    names = expand_methods(methods, shots=shots)
    chosen = _choose(names, methods, save)
    domains = pair_domains(source, target)
    _check_methods(names, domains.source)
    choice = HeadChoice(head, fusion, tuning, balanced, seed, jobs)
    rows = divide_target(domains.target, shots=shots, transductive=transductive, seed=seed)
    learnable = without_tested_groups(domains.source, rows)
    split = _split_source(learnable, seed=seed)
    shares = None if target_shares is None else check_shares(target_shares, _classes(learnable, split))
    setting = Setting(learnable, split, rows.seen, rows.few, choice, shares)
    gap = measure_gap(setting.learnt_table, rows.seen, seed=seed)
    left_out = list[str]()
    named = make_all(names, setting, adapts=gap.adapts, chosen=chosen, left_out=left_out, report=report)
    made = next((one for one in named if one.name == chosen), None)
    return Adaptation(
        rows=rows_of(named, source=learnable, rows=rows, balanced=balanced, seed=seed, chosen=chosen),
        gap=gap,
        head=None if made is None else record_adaptation(made, setting=setting, rows=rows, gap=gap),
        measure=_measure(learnable, balanced=balanced),
        notes=(*_notes(domains, setting, rows, named, chosen=chosen), *left_out),
    )


def pair_domains(source: GivenTables, target: GivenTables) -> Domains:
    """The domains, with the columns of the target in the order of the source.

    Raises TableError if the target lacks a backbone, if both have labels but no class in common, or if views of an
    image stand side by side.
    """
    sources, targets = as_tables(source), as_tables(target)
    if any(one.view_rule == "rows" for table in sources for one in table.sources):
        raise TableError("single views cannot be adapted; read both domains with views first or mean")
    labelled = any(table.labelled.any() for table in targets)
    domains = (Domains.of if labelled else Domains.of_features)(sources, targets)
    order = [one.kind for one in domains.source.sources]
    if order == [one.kind for one in domains.target.sources]:
        return domains
    return replace(domains, target=fuse_tables([pair.target for pair in domains.pairs]))


def make_all(
    names: Sequence[str],
    setting: Setting,
    *,
    adapts: bool,
    chosen: str | None,
    left_out: list[str],
    report: Callable[[ComparisonProgress], None],
) -> list[Named]:
    """What each of these methods made; `adapts` says what `auto` does.

    A method that cannot be fitted to these images, such as to the covariance of a single one, is named in
    `left_out` with the reason. Raises HeadError if that is `none`, with which all are compared, or the `chosen` one.
    """
    maker = Maker(setting)
    done: dict[Method, Made] = {}
    named = []
    for place, name in enumerate(names):
        method = _method(name, adapts=adapts, shares_given=setting.target_shares is not None)
        try:
            if method not in done:
                done[method] = maker.make(method)
            named.append(Named(name, done[method]))
        except HeadError as error:
            if name in (NONE, chosen):
                raise
            left_out.append(f"{name} is left out: {error}")
        report(ComparisonProgress(place + 1, len(names), name))
    return named


def _method(name: str, *, adapts: bool, shares_given: bool) -> Method:
    """The method that a name stands for; given shares of classes correct the prior of all that see no labels."""
    if name == NONE:
        return Method(NONE)
    method = Method(STANDARD if adapts else NONE) if name == AUTO else parse_method(name)
    if shares_given and not method.recipe.few_labels:
        return replace(method, prior=True)
    return method


def _choose(names: Sequence[str], asked: Sequence[str], save: str | None) -> str | None:
    """The method whose head is kept. Raises ChoiceError if `save` is not among the methods."""
    if save is not None:
        wanted = save if save == AUTO else parse_method(save).name
        if wanted not in names:
            raise ChoiceError(f"{save} is to be saved but is not among the methods, {', '.join(names)}; add it")
        return wanted
    if AUTO in names:
        return AUTO
    return parse_method(asked[0]).name if len(asked) == 1 else None


def _check_methods(names: Sequence[str], source: FeatureTable) -> None:
    """Raise ChoiceError for methods that images with several labels cannot have."""
    if not source.multilabel:
        return
    for name in names:
        method = Method(NONE) if name == AUTO else parse_method(name)
        if method.self_training or method.prior or method.recipe.few_labels:
            raise ChoiceError(f"{name} needs one label an image, but images of the source have several; leave it out")


def without_tested_groups(source: FeatureTable, rows: TargetRows) -> FeatureTable:
    """The source without images of groups that are tested in the target: no group is both learnt from and tested.

    Raises TableError if none is left.
    """
    if rows.split is None or source.groups is None or rows.table.groups is None:
        return source
    kept = np.flatnonzero(~np.isin(source.groups, rows.table.groups[rows.split.test]))
    if not len(kept):
        raise TableError(
            "every image of the source is of a group that is tested in the target; groups of equal names count as one, "
            "so rename those that are not the same with --annotations"
        )
    return source if len(kept) == len(source) else select_rows(source, kept)


def _split_source(source: FeatureTable, *, seed: int) -> Split:
    try:
        return split_table(source, seed=seed)
    except TableError as error:
        raise TableError(f"the source: {error}") from error


def _classes(source: FeatureTable, split: Split) -> list[str]:
    """The classes of the source that methods learn."""
    totals = source.labels_of(split.development).class_totals
    return [name for name, total in zip(source.classes, totals, strict=True) if total > 0]


def _measure(source: FeatureTable, *, balanced: bool) -> str:
    if source.multilabel:
        return "average_precision"
    return "balanced_accuracy" if balanced else "accuracy"


def _notes(
    domains: Domains, setting: Setting, rows: TargetRows, named: Sequence[Named], *, chosen: str | None
) -> Iterator[str]:
    """How to read the rows."""
    yield from rows.notes()
    yield from domains.notes()
    left_out = len(domains.source) - len(setting.source)
    if left_out:
        yield f"{left_out:,} images of the source are left out, since their groups are tested in the target"
    yield from dict.fromkeys(note for one in named for note in one.made.notes)
    if rows.split is not None:
        yield "difference: the measure of a method minus that of none, on the same test images"
        yield "p: Holm's correction over all methods"
    if chosen is None:
        yield f"no head is kept, for none of several methods is {AUTO}; say with save which one it is"
