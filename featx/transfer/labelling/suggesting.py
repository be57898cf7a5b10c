"""Suggests which images to label first, and says of each why."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.cache import FeatureTable
from featx.errors import TableError, did_you_mean
from featx.heads import Head, load_head
from featx.settings import LABELLING_STRATEGIES
from featx.showing import Overview, Shown, shorten
from featx.tables import GivenTables, as_table, hash_names, shuffle_keys
from featx.transfer.labelling.coverage import suggest_covering
from featx.transfer.labelling.pool import Pool, Turns, make_pool
from featx.transfer.labelling.typicality import suggest_typical
from featx.transfer.labelling.uncertainty import (
    Doubts,
    can_be_learnt,
    doubts_of_head,
    doubts_of_labels,
    suggest_uncertain,
)
from featx.transfer.space import PlacingProgress, Report, place_images

ENOUGH_LABELS = 20
"""From this number of labels on, `mixed` looks at where a head is unsure; of fewer it learns too little."""
WITH_A_HEAD = ("mixed", "uncertain")
"""Strategies that look at a head."""
COUNT = 20
"""Number of images that are suggested if none is given."""


@dataclass(frozen=True)
class LabelSuggestion:
    """An image to label.

    >>> import featx
    >>> from dataclasses import replace
    >>> table = featx.read_features("photos.h5")
    >>> unlabelled = replace(table, labels=table.labels * 0 - 1)
    >>> first = featx.suggest_labels(unlabelled, count=5).suggestions[0]
    >>> first.rank, first.why
    (1, 'centre of the largest cluster without a label (... images)')
    """

    name: str
    """Name of the image."""
    rank: int
    """1 for the image to label first."""
    why: str
    """Why it was chosen, in words."""


@dataclass(frozen=True, repr=False)
class LabelPlan(Shown):
    """The images to label next, in their order.

    >>> import featx
    >>> from dataclasses import replace
    >>> table = featx.read_features("photos.h5")
    >>> featx.suggest_labels(replace(table, labels=table.labels * 0 - 1), count=5)
    LabelPlan: 5 of 60 images without a label, by typical
      first: ...
    """

    suggestions: tuple[LabelSuggestion, ...]
    strategy: str
    """The strategy that chose them: `mixed` becomes `typical` while there are too few labels."""
    labelled: int
    """Number of images that have a label already."""
    unlabelled: int
    """Number of images without a label."""
    notes: tuple[str, ...]

    def overview(self) -> Overview:
        """How many are suggested, and the first ones."""
        first = shorten((one.name for one in self.suggestions), most=3)
        return Overview(
            f"LabelPlan: {len(self.suggestions)} of {self.unlabelled} images without a label, by {self.strategy}",
            (("first", first),),
        )

    def to_records(self) -> list[dict[str, Any]]:
        """One row for each image. `pandas.DataFrame` and `polars.DataFrame` take them."""
        return [asdict(one) for one in self.suggestions]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)


def suggest_labels(
    table: GivenTables,
    *,
    count: int = COUNT,
    strategy: str = "mixed",
    head: Head | Path | str | None = None,
    seed: int = 0,
    report: Report = lambda progress: None,
) -> LabelPlan:
    """The images without a label that are worth labelling first, so that few labels make a good head.

    Images that have labels count as labelled. No image is suggested that equals one with a label or one suggested
    before, and of a group no second image before every group has one. The order of the rows does not matter. Images
    are compared as points: standardised features along their first 50 principal components, divided by their length.

    - `typical`: the centre of each large cluster without a label (TypiClust: Hacohen, Dekel and Weinshall 2022).
    - `cover`: images that bring all others near to a label (greedy facility location: Wei, Iyer and Bilmes 2015).
    - `uncertain`: where the two most probable classes of a head differ least (Scheffer, Decomain and Wrobel 2001).
    - `mixed` (default): `typical` while there are fewer than 20 labels; then `cover` with the uncertainty of the head
      as the weight of each image, so that suggestions are near to many images of which the head is unsure.
    - `random`: drawn by the seed.

    `head` is a trained head, or the path of one, for `uncertain` and `mixed`; without it they learn one from the labels
    so far. `mixed` uses a given head from the first label on. If fewer than `count` images are left, all of them are
    suggested, and a note says so.

    Raises TableError if all images have labels, for an unknown strategy, a count below 1, a head that the strategy does
    not look at, or if `uncertain` has neither head nor labels of two classes; HeadError for a head of another backbone.

    >>> import featx
    >>> from dataclasses import replace
    >>> table = featx.read_features("photos.h5")
    >>> plan = featx.suggest_labels(replace(table, labels=table.labels * 0 - 1), count=10)
    >>> len({one.name for one in plan.suggestions})
    10
    """
    _check_arguments(count, strategy, head)
    loaded = load_head(head) if isinstance(head, Path | str) else head
    joined = as_table(table, sources=loaded.sources if loaded else ())
    if loaded:
        loaded.check(joined.sources)
    placed = place_images(joined, seed=seed, report=report)
    pool = make_pool(joined, placed)
    given = int(joined.labelled[placed.rows].sum())
    chosen, doubts = _choose_strategy(strategy, pool, head=loaded, labels=given)
    wanted = min(count, len(pool.free))
    suggested = _STRATEGIES[chosen](_Task(pool, Turns(pool), count=wanted, seed=seed, doubts=doubts))
    suggestions = []
    for rank, (place, why) in enumerate(suggested, start=1):
        report(PlacingProgress("choosing images", rank, wanted))
        suggestions.append(LabelSuggestion(pool.name(place), rank, why))
    return LabelPlan(
        suggestions=tuple(suggestions),
        strategy=chosen,
        labelled=given,
        unlabelled=len(placed.rows) - given,
        notes=tuple(_notes(joined, pool, count=count, strategy=strategy, chosen=chosen, labels=given)),
    )


def _check_arguments(count: int, strategy: str, head: Head | Path | str | None) -> None:
    if count < 1:
        raise TableError(f"the number of images to label must be 1 or more, not {count}")
    if strategy not in LABELLING_STRATEGIES:
        raise TableError(
            f"no strategy is called {strategy!r}{did_you_mean(strategy, LABELLING_STRATEGIES)}; choose from "
            f"{', '.join(LABELLING_STRATEGIES)}"
        )
    if head is not None and strategy not in WITH_A_HEAD:
        raise TableError(f"strategy {strategy!r} looks at no head; leave the head out, or choose uncertain or mixed")


@dataclass(frozen=True)
class _Task:
    """What a strategy is asked for."""

    pool: Pool
    turns: Turns
    count: int
    seed: int
    doubts: Doubts | None


def _choose_strategy(strategy: str, pool: Pool, *, head: Head | None, labels: int) -> tuple[str, Doubts | None]:
    """The strategy that is used, and what the head says of all images, if it looks at one."""
    if head is not None:
        return strategy, doubts_of_head(head, pool)
    if strategy == "mixed" and (labels < ENOUGH_LABELS or not can_be_learnt(pool.table)):
        return "typical", None
    if strategy not in WITH_A_HEAD:
        return strategy, None
    if not can_be_learnt(pool.table):
        raise TableError(
            "strategy 'uncertain' learns from labels of two classes or more, one for each image, and there are none; "
            "label the images that strategy typical suggests first, or give a head"
        )
    return strategy, doubts_of_labels(pool)


def _mix(task: _Task) -> Iterator[tuple[int, str]]:
    assert task.doubts is not None
    found = suggest_covering(task.pool, task.turns, count=task.count, weights=task.doubts.degrees)
    for place, nearer in found:
        yield place, f"{_nearer(nearer)}; the head says of it: {task.doubts.text(place)}"


def _cover(task: _Task) -> Iterator[tuple[int, str]]:
    for place, nearer in suggest_covering(task.pool, task.turns, count=task.count):
        yield place, _nearer(nearer)


def _nearer(images: int) -> str:
    """How many images a suggested image brings near to a label."""
    are = "image is" if images == 1 else "images are"
    return f"{images:,} {are} nearer to it than to any with a label"


def _doubt(task: _Task) -> Iterator[tuple[int, str]]:
    assert task.doubts is not None
    return suggest_uncertain(task.pool, task.turns, doubts=task.doubts, count=task.count)


def _draw(task: _Task) -> Iterator[tuple[int, str]]:
    """Images in the order of their hashed names, mixed with the seed."""
    pool = task.pool
    keys = shuffle_keys(hash_names(pool.table.names[pool.rows]), task.seed)
    order = np.argsort(keys, kind="stable")
    for _ in range(task.count):
        place = int(order[task.turns.allowed()[order]][0])
        task.turns.take(place)
        yield place, "drawn at random"


_STRATEGIES: Mapping[str, Callable[[_Task], Iterator[tuple[int, str]]]] = {
    "mixed": _mix,
    "typical": lambda task: suggest_typical(task.pool, task.turns, count=task.count, seed=task.seed),
    "cover": _cover,
    "uncertain": _doubt,
    "random": _draw,
}


def _notes(table: FeatureTable, pool: Pool, *, count: int, strategy: str, chosen: str, labels: int) -> Iterator[str]:
    """What was not done as asked, and why."""
    left = len(pool.free)
    if count > left:
        yield f"{count:,} images were asked for, but only {left:,} different ones have no label: these are all"
    if pool.left_out:
        yield f"{pool.left_out:,} images without a label are left out: their features equal those of another image"
    if table.failed:
        yield f"{len(table.failed):,} images failed and have no features, so they cannot be suggested"
    if chosen != strategy:
        few = f"needs a head, or {ENOUGH_LABELS} images with one label each, of two classes or more"
        yield f"chosen by {chosen}: {strategy} {few}; {labels} images have labels"
