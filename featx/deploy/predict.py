"""Predicts the label of every image, from the images themselves or from caches of their features."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.cache import (
    FeatureTable,
    Source,
    join_views,
)
from featx.deploy.passes import find_backbone
from featx.errors import HeadError
from featx.extract import FeatureBatch, open_stream
from featx.heads import ROWS_AT_ONCE, Head, join_classes, label_probability, predicted_classes
from featx.inputs import ImageSet, order_views
from featx.settings import DEFAULTS, Settings
from featx.tables import GivenTables, as_table

_LEAST_ROWS = 64
"""Heads are slow for few rows, so batches are joined until they have this number."""


@dataclass(frozen=True)
class Prediction:
    """What a head predicts for one image.

    >>> import featx
    >>> head = featx.load_head("photos.featx")
    >>> prediction = next(featx.predict_tables(head, [featx.read_features("photos.h5")]))
    >>> prediction.name, prediction.label, prediction.failed
    ('circle/000.png', 'circle', None)
    """

    name: str
    """Name of the image."""
    label: str | None
    """The most probable class. If the head allows several labels: all classes with a probability above 0.5, joined by
    `|`, or an empty text if there is none. None if the image failed."""
    probability: float | None
    """Probability of the label; of several labels the lowest; 1 minus the highest of all classes if there is no label;
    None if the image failed."""
    failed: str | None
    """Why the image failed; None if it did not."""
    probabilities: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    """(classes,): that of each class of the head, in their order; None if not asked for, or if the image failed."""


@dataclass(frozen=True)
class _Columns:
    """The columns of a head that one pass gives, of some images."""

    rows: NDArray[np.int64]
    """(n,): positions in the image set."""
    features: NDArray[np.float32]
    """(n, d); NaN if an image failed."""
    reasons: Mapping[int, str]
    """Position -> why the image failed."""

    def part(self, places: slice) -> "_Columns":
        """Those of the rows at these places."""
        return replace(self, rows=self.rows[places], features=self.features[places])


def predict_images(
    head: Head,
    images: ImageSet,
    *,
    models: Path | str | None = None,
    settings: Settings = DEFAULTS,
    all_probabilities: bool = False,
) -> Iterator[Prediction]:
    """A prediction for every image, in their order; the head's own backbones compute the features on the way.

    Images are decoded in the way the head was trained on, and have the views that it was trained on, whatever the
    settings say. With `all_probabilities`, each prediction has those of every class. Raises BackboneError or HeadError
    if a backbone of the head is missing or differs, DeviceError and InferenceError from sessions.

    >>> import featx
    >>> head = featx.load_head("photos.featx")
    >>> [prediction.name for prediction in featx.predict_images(head, featx.list_images("new"))]
    ['circle.png', 'cross.png', 'square.png', 'star.png', 'triangle.png']
    """
    with ExitStack() as opened:
        streams = list(_open_streams(head, images, models=models, settings=settings, opened=opened))
        for batches in _join_batches(_keep_in_step(streams)):
            rows = np.concatenate([blocks[0].rows for blocks in batches]).tolist()
            features = np.vstack([np.hstack([block.features for block in blocks]) for blocks in batches])
            reasons = {row: reason for blocks in batches for block in blocks for row, reason in block.reasons.items()}
            names = [images.name(row) for row in rows]
            failed = [reasons.get(row) for row in rows]
            yield from _predict(head, features, names, failed, every=all_probabilities)


def predict_tables(head: Head, tables: GivenTables, *, all_probabilities: bool = False) -> Iterator[Prediction]:
    """A prediction for every image of the tables, or caches at these paths, in the order of the first table.

    With `all_probabilities`, each prediction has those of every class. Raises HeadError if the tables are not of the
    head's backbones, TableError if they do not fit together.

    >>> import featx
    >>> head = featx.load_head("photos.featx")
    >>> predictions = featx.predict_tables(head, "photos.h5")
    >>> len(list(predictions))
    60
    """
    table = as_table(tables, sources=head.sources)
    head.check(table.sources)
    failed = (
        (position, Prediction(image.name, None, None, image.reason)) for position, image in sorted(table.failed.items())
    )
    rows = _predict_rows(head, table, every=all_probabilities)
    for _, prediction in heapq.merge(rows, failed, key=itemgetter(0)):
        yield prediction


def _open_streams(
    head: Head, images: ImageSet, *, models: Path | str | None, settings: Settings, opened: ExitStack
) -> Iterator[Iterator[_Columns]]:
    """The columns that each pass gives, batch by batch; `opened` closes the streams."""
    passes = _list_passes(head.sources)
    backbones = [find_backbone(head, sources, models) for sources in passes]
    count = len(images) if len(passes) == 1 else 0
    batch_size = None
    for sources, backbone in zip(passes, backbones, strict=True):
        own_settings = replace(settings, decode=sources[0].decode, views=_views_to_read(head, sources[0].views))
        stream = opened.enter_context(open_stream(images, backbone, own_settings, batch_size=batch_size))
        batch_size = stream.pace.batch_size
        yield map(partial(_take_columns, sources=sources, views=own_settings.views), stream.batches(count=count))


def _views_to_read(head: Head, views: Sequence[str]) -> tuple[str, ...]:
    """View 0 and these views, in the order of a pass. Raises HeadError for names that featx does not give."""
    found = order_views(views)
    if unknown := set(views) - set(found):
        raise HeadError(
            f"head {head.name!r} names a view {unknown.pop()!r}, which featx spells otherwise; train it again"
        )
    return found


def _list_passes(sources: Sequence[Source]) -> list[list[Source]]:
    """The sources in their order, in groups of neighbours with the same backbone, decoding and views: a pass each."""
    return [list(group) for _, group in groupby(sources, key=lambda source: (source.name, source.decode, source.views))]


def _take_columns(batch: FeatureBatch, *, sources: Sequence[Source], views: Sequence[str]) -> _Columns:
    """What these sources, all of one pass, have in a batch that was computed with these views."""
    blocks = []
    start = 0
    for source in sources:
        stop = start + int(source.card["dim"])
        places = [views.index(view) for view in source.views]
        blocks.append(join_views(batch.features[:, places, start:stop], source.view_rule))
        start = stop
    return _Columns(batch.rows, np.hstack(blocks), batch.details)


def _keep_in_step(passes: Sequence[Iterator[_Columns]]) -> Iterator[tuple[_Columns, ...]]:
    """The columns of all passes for the same rows, whatever the sizes of their batches; all have the same images."""
    waiting = [next(batches, None) for batches in passes]
    while blocks := [one for one in waiting if one is not None]:
        count = min(len(block.rows) for block in blocks)
        yield tuple(block.part(slice(count)) for block in blocks)
        waiting = [
            block.part(slice(count, None)) if len(block.rows) > count else next(batches, None)
            for block, batches in zip(blocks, passes, strict=True)
        ]


def _join_batches(batches: Iterable[tuple[_Columns, ...]]) -> Iterator[list[tuple[_Columns, ...]]]:
    """Batches of all backbones, joined until they have enough rows for one call of the head."""
    joined = list[tuple[_Columns, ...]]()
    rows = 0
    for blocks in batches:
        joined.append(blocks)
        rows += len(blocks[0].rows)
        if rows >= _LEAST_ROWS:
            yield joined
            joined = []
            rows = 0
    if joined:
        yield joined


def _predict_rows(head: Head, table: FeatureTable, *, every: bool) -> Iterator[tuple[int, Prediction]]:
    """Position and prediction of every row, in the order of the positions, computed a chunk of rows at a time."""
    order = np.argsort(table.positions, kind="stable")
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE]
        names = [table.name(int(row)) for row in rows]
        predictions = _predict(head, table.take(rows), names, [None] * len(rows), every=every)
        yield from zip(table.positions[rows].tolist(), predictions, strict=True)


def _predict(
    head: Head,
    features: NDArray[np.float32],
    names: Sequence[str],
    reasons: Sequence[str | None],
    *,
    every: bool,
) -> Iterator[Prediction]:
    """The predictions of these rows; a row with a reason failed and has no features."""
    good = np.flatnonzero([reason is None for reason in reasons])
    probabilities = head.predict_probabilities(features[good]) if len(good) else np.empty((0, len(head.classes)))
    predicted = zip(probabilities, predicted_classes(head, probabilities), strict=True)
    for name, reason in zip(names, reasons, strict=True):
        if reason is None:
            row, chosen = next(predicted)
            label, probability = join_classes(head, chosen), label_probability(row, chosen)
            yield Prediction(name, label, probability, None, row if every else None)
        else:
            yield Prediction(name, None, None, reason)
