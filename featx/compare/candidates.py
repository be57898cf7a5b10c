"""The candidates of a comparison: which heads are trained on which features and splits, and how one of them is run."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from featx.cache import FeatureTable, label_sources, use_views
from featx.errors import FeatxError, HeadError, TableError
from featx.heads import (
    AUTO,
    BY_ROWS_ALONE,
    STACKED,
    STACKED_HEADS,
    Result,
    choose_tuning,
    find_fusion,
    find_recipe,
    is_large,
    join_tuning,
    key_of,
    train_head,
)
from featx.processes import collect_warnings
from featx.provenance import versions
from featx.settings import VIEW_RULES, ViewRule
from featx.showing import Overview, Shown
from featx.tables import GivenTables, Split, as_tables, fuse_tables, separate_blocks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FailedCandidate:
    """A candidate that has no result."""

    candidate: str
    """Name of the candidate."""
    reason: str


@dataclass(frozen=True)
class CandidateOutcome:
    """What a process returns that ran a candidate."""

    key: str
    """Key of the result, with the package versions of that process."""
    name: str
    """Name of the candidate."""
    outcome: Result | FailedCandidate
    warnings: tuple[str, ...]
    """Messages that were logged while the candidate ran."""


@dataclass(frozen=True, repr=False)
class Candidate(Shown):
    """One head to be trained and measured on one table and one split.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge"], splits=featx.make_splits)
    >>> candidates[0].name
    'ridge on efficientnet-lite0, stratified/0'
    """

    table: FeatureTable
    backbones: tuple[str, ...]
    """Label of each block of columns; contains the output's name if several blocks are of one backbone."""
    head: str
    fusion: str
    """How the blocks are joined; empty if there is nothing to join or the head does that itself."""
    split: Split
    tuning: str
    """Where parameters are chosen: `auto`, `validation` or `folds:K`, as featx.train_head describes it."""
    balanced: bool
    """Whether all classes have the same weight in fitting and tuning, whatever their number of images."""
    seed: int

    @cached_property
    def folds(self) -> int | None:
        """Number of folds in which parameters are tuned; None to tune on the validation rows."""
        tuned = choose_tuning(
            self.table, self.split, head=self.head, fusion=self.fusion, tuning=self.tuning, seed=self.seed
        )
        return tuned.folds

    @cached_property
    def key(self) -> str:
        """Key of the result: candidates with equal keys have equal results."""
        return key_of(
            self.table.digest,
            head=self.head,
            fusion=self.fusion,
            split=self.split.key,
            folds=self.folds,
            balanced=self.balanced,
            seed=self.seed,
            versions=versions(),
        )

    @property
    def variant(self) -> str:
        """Head, fusion and backbones, such as `ridge (concat) on lite0 + lite1`: the name without the split."""
        fusion = f" ({self.fusion})" if self.fusion else ""
        return f"{self.head}{fusion} on {' + '.join(self.backbones)}"

    @property
    def name(self) -> str:
        """The name that messages use."""
        return f"{self.variant}, {self.split.key}"

    @property
    def large(self) -> bool:
        """Whether a single fit keeps every core busy."""
        return is_large(len(self.split.development), self.table.dim)

    def overview(self) -> Overview:
        """The head and its features, the split and how parameters are tuned."""
        sizes = f"{len(self.split.train)} train, {len(self.split.validation)} validate, {len(self.split.test)} test"
        tuning = f"in {self.folds} folds" if self.folds else "on validation images"
        balance = ", balanced" if self.balanced else ""
        facts = (
            ("split", f"{self.split.key}: {sizes}"),
            ("tuned", f"{tuning}{balance}, seed {self.seed}"),
        )
        return Overview(f"Candidate: {self.variant}", facts)

    def run(self) -> CandidateOutcome:
        """Train and measure in this process: the result, or why there is none, and the warnings that were logged."""
        with collect_warnings() as logged:
            try:
                outcome: Result | FailedCandidate = self._train()
            except FeatxError as error:
                outcome = FailedCandidate(self.name, str(error))
        key = outcome.key if isinstance(outcome, Result) else self.key
        return CandidateOutcome(key, self.name, outcome, tuple(logged))

    def _train(self) -> Result:
        _, result = train_head(
            self.table,
            self.head,
            fusion=self.fusion,
            split=self.split,
            tuning=self.tuning,
            balanced=self.balanced,
            seed=self.seed,
            jobs=1,
        )
        return replace(result, backbones=self.backbones)


def list_candidates(
    tables: GivenTables,
    *,
    heads: Sequence[str],
    fusions: Sequence[str] = ("concat",),
    splits: Callable[[FeatureTable], Sequence[Split]],
    tuning: str = AUTO,
    folds: int | None = None,
    balanced: bool = False,
    views: Sequence[ViewRule] = ("first",),
    seed: int = 0,
) -> list[Candidate]:
    """The candidates: every head on every block alone and, with every fusion, on all blocks; for every split.

    A block is the columns of one output of one backbone. `splits` draws the splits of the joined table. `tuning` and
    `folds` say where parameters are chosen, as in featx.train_head. All candidates use the same images: those with a
    feature in every table. `views` are rules by which the views of each image are used, `first`, `mean` and `rows` (see
    featx.train_head): every head is tried with each. Impossible combinations are skipped with a warning: other fusions
    of a head that has its own, stacked heads on images with several labels, `mlp` on views as rows, and a supervised
    choice of columns from one training image per class.

    Raises TableError if the tables do not fit together, cannot be split or cannot be balanced, or have one view where
    several are asked for; HeadError for an unknown head, fusion or rule.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge", "knn"], splits=featx.make_splits)
    >>> [candidate.head for candidate in candidates]
    ['ridge', 'knn']
    """
    _check_names(heads, fusions, views)
    tuning = join_tuning(tuning, folds)
    tables = as_tables(tables)
    joined = fuse_tables(tables)
    if balanced and joined.multilabel:
        raise TableError("class balancing does not support images with several labels; drop --balanced (balanced=True)")
    blocks = separate_blocks(tables, joined)
    # the columns of a single block are concatenated already
    asked = [fusion for fusion in fusions if len(blocks) > 1 or fusion != "concat"]
    drawn = splits(joined)
    _warn_of_skipped(heads, asked, joined, drawn, views=views)
    variants = {
        variant.key: variant
        for rule in views
        for variant in _list_variants(
            [_read_by(block, rule) for block in blocks],
            _read_by(joined, rule),
            heads=[head for head in heads if rule != "rows" or head not in BY_ROWS_ALONE],
            fusions=asked,
        )
    }
    return [
        variant.candidate(split, tuning=tuning, balanced=balanced, seed=seed)
        for split in drawn
        for variant in variants.values()
        if _has_enough_shots(variant.fusion, split)
    ]


@dataclass(frozen=True)
class _Variant:
    """What candidates that differ only in their split have in common."""

    table: FeatureTable
    backbones: tuple[str, ...]
    head: str
    fusion: str

    @property
    def key(self) -> tuple[str, tuple[str, ...], str, str]:
        """Equal for variants that would train the same heads on the same features."""
        return self.table.digest, self.backbones, self.head, self.fusion

    def candidate(self, split: Split, *, tuning: str, balanced: bool, seed: int) -> Candidate:
        """The candidate of this split."""
        return Candidate(
            table=self.table,
            backbones=self.backbones,
            head=self.head,
            fusion=self.fusion,
            split=split,
            tuning=tuning,
            balanced=balanced,
            seed=seed,
        )


def _read_by(table: FeatureTable, rule: ViewRule) -> FeatureTable:
    """The table with its views used by this rule; `first` is the table as it is. Raises TableError."""
    return table if rule == "first" else use_views(table, rule)


def _check_names(heads: Sequence[str], fusions: Sequence[str], views: Sequence[str]) -> None:
    for rule in views:
        if rule not in VIEW_RULES:
            raise HeadError(f"views {rule!r} is not known; choose from {', '.join(VIEW_RULES)}")
    for head in heads:
        find_recipe(head)
    for fusion in fusions:
        if fusion != STACKED:
            find_fusion(fusion)


def _list_variants(
    blocks: Sequence[FeatureTable], joined: FeatureTable, *, heads: Sequence[str], fusions: Sequence[str]
) -> Iterator[_Variant]:
    """Every head on every block alone, then every head and fusion on all blocks."""
    labels = label_sources(joined.sources)
    for block, label in zip(blocks, labels, strict=True):
        for head in heads:
            yield _Variant(block, (label,), head, "")
    whole = joined if len(blocks) > 1 else blocks[0]
    for head in heads:
        for fusion in _fusions_of(head, fusions, joined):
            yield _Variant(whole, labels, head, fusion)


def _fusions_of(head: str, fusions: Sequence[str], table: FeatureTable) -> list[str]:
    """The fusions that can be combined with this head; only an empty name if the head has a fusion of its own."""
    if find_recipe(head).fusion:
        return [""]
    stacked = head in STACKED_HEADS and not table.multilabel
    return [fusion for fusion in fusions if fusion != STACKED or stacked]


def _has_enough_shots(fusion: str, split: Split) -> bool:
    """Whether the fusion is defined for the number of training images per class in this split."""
    return fusion in ("", STACKED) or split.shots is None or split.shots >= find_fusion(fusion).least_shots


def _warn_of_skipped(
    heads: Sequence[str],
    fusions: Sequence[str],
    table: FeatureTable,
    splits: Sequence[Split],
    *,
    views: Sequence[ViewRule],
) -> None:
    """Log which combinations are skipped, but not concatenation, the default, for a head that has its own fusion."""
    own = [head for head in heads if find_recipe(head).fusion]
    skipped = list[str]()
    if own and set(fusions) - {"concat"}:
        skipped.append(f"other fusions of {', '.join(own)}, which have their own")
    if STACKED in fusions and table.multilabel:
        skipped.append("stacked heads of images with several labels")
    if "rows" in views and {*heads} & {*BY_ROWS_ALONE}:
        skipped.append(f"{', '.join(BY_ROWS_ALONE)} on views as rows")
    for fusion in fusions:
        few = {split.shots for split in splits if not _has_enough_shots(fusion, split)}
        if few:
            skipped.append(f"{fusion} at {few.pop()} shot")
    if skipped:
        logger.warning("skipped combinations that are not possible: %s", "; ".join(skipped))
