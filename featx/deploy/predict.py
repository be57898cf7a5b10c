"""A head and images (or caches of them) in; a label and its probability for every image, or why there is none, out."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones import (
    Backbone,
    Output,
    load_backbone,
)
from featx.cache import (
    FailedImage,
    FeatureTable,
    Source,
    list_outputs,
    read_features,
)
from featx.errors import HeadError
from featx.extract import FeatureBatch, StageClock, open_at_pace, stream_features
from featx.heads import ROWS_AT_ONCE, Head
from featx.inputs import ImageSet
from featx.measures import THRESHOLD
from featx.settings import DEFAULTS, Settings
from featx.tables import SEPARATOR, fuse_tables

ROWS_AS_THEY_COME = 64
"""Of images that are still being extracted, at least."""


@dataclass(frozen=True)
class Prediction:
    """What the head says of one image."""

    name: str
    label: str | None
    """The most probable class; of several labels all above 0.5, joined by |, if any. None where the image failed."""
    probability: float | None
    """Of the label; of several that of the least probable, and of none that of the most probable being wrong."""
    failed: str | None
    """Why there is no label."""


def predict_images(
    head: Head, images: ImageSet, *, models: Path | None = None, settings: Settings = DEFAULTS
) -> Iterator[Prediction]:
    """A prediction for every image, in order, as the batches come; the head's own backbones make the features.

    Images are decoded as those that the head was trained on, whatever the settings say.
    Raises BackboneError or HeadError where a backbone of the head is missing or another one, DeviceError and
    InferenceError as sessions do.
    """
    passes = [
        (_find_backbone(head, sources, models), replace(settings, decode=sources[0].decode))
        for sources in _passes(head.sources)
    ]
    rows, streams, size = range(len(images)), [], None
    count = len(images) if len(passes) == 1 else 0
    with ExitStack() as open_streams:
        for backbone, lane in passes:
            session, pace = open_at_pace(backbone, images, lane, count=len(images), batch_size=size)
            size = pace.batch_size  # batches of several backbones are taken side by side
            found = stream_features(
                images, backbone, session, rows=rows, count=count, pace=pace, settings=lane, clock=StageClock()
            )
            streams.append(open_streams.enter_context(closing(found)))
        for group in _gather(zip(*streams, strict=True)):
            rows = np.concatenate([parts[0].rows for parts in group]).tolist()
            features = np.vstack([np.hstack([part.features for part in parts]) for parts in group])
            details = {row: reason for parts in group for part in parts for row, reason in part.details.items()}
            yield from _predict(head, features, [images.name(row) for row in rows], [details.get(row) for row in rows])


def _gather(found: Iterable[tuple[FeatureBatch, ...]]) -> Iterator[list[tuple[FeatureBatch, ...]]]:
    """Batches of all backbones, some at a time: batches may be of two images, and heads take long for each call."""
    group, rows = list[tuple[FeatureBatch, ...]](), 0
    for parts in found:
        group.append(parts)
        rows += len(parts[0].rows)
        if rows >= ROWS_AS_THEY_COME:
            yield group
            group, rows = [], 0
    if group:
        yield group


def predict_tables(head: Head, tables: Sequence[FeatureTable]) -> Iterator[Prediction]:
    """A prediction for every image of the caches, in the order of the first. Raises HeadError, TableError."""
    table = fuse_tables(tables)
    head.check(table.sources)
    lost = ((position, _failed(image)) for position, image in sorted(table.failed.items()))
    for _, prediction in heapq.merge(_predict_table(head, table), lost, key=itemgetter(0)):
        yield prediction


def _predict_table(head: Head, table: FeatureTable) -> Iterator[tuple[int, Prediction]]:
    """Position and prediction of every row, in the order of the positions, some rows at a time."""
    order = np.argsort(table.positions, kind="stable")
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE]
        names = [table.name(int(row)) for row in rows]
        made = _predict(head, table.take(rows), names, [None] * len(rows))
        yield from zip(table.positions[rows].tolist(), made, strict=True)


def _failed(image: FailedImage) -> Prediction:
    return Prediction(image.name, None, None, image.reason)


def _passes(sources: Sequence[Source]) -> list[list[Source]]:
    """The sources in their order, neighbours of one backbone and decoding together: they are made in one pass."""
    return [list(group) for _, group in groupby(sources, key=lambda source: (source.name, source.decode))]


def _find_backbone(head: Head, sources: Sequence[Source], models: Path | None) -> Backbone:
    """The backbone of these sources, taking their outputs in this order."""
    backbone = load_backbone(sources[0].name, folder=models)
    outputs = [
        Output(name=source.output, dim=source.card["dim"], pool=source.card.get("pool", "")) for source in sources
    ]
    for source, output in zip(sources, outputs, strict=True):
        if (found := backbone.taking([output]).hash) != source.backbone:
            raise HeadError(
                f"head {head.name!r} was trained on backbone {source.name} {source.backbone[:12]} "
                f"but the one here is {found[:12]}; name the folder of its card with --models, or train again"
            )
    return backbone.taking(outputs)


def read_tables(
    head: Head, caches: Sequence[Path], *, split: str | None = None, labels: Sequence[str] = ()
) -> list[FeatureTable]:
    """The tables of these caches, each with the outputs that the head reads; with its feature where it reads none.

    `split` and `labels` keep images as read_features does. Raises CacheError as that does.
    """
    wanted = {(source.output, source.backbone): None for source in head.sources}
    tables = []
    for path in caches:
        there = list_outputs(path)
        chosen = [output for output, digest in wanted if there.get(output) == digest]
        tables.append(read_features(path, outputs=chosen, split=split, labels=labels))
    return tables


def _predict(
    head: Head, features: NDArray[np.float32], names: Sequence[str], failed: Sequence[str | None]
) -> Iterator[Prediction]:
    good = np.flatnonzero([reason is None for reason in failed])
    probabilities = dict(zip(good, head.predict_probabilities(features[good]), strict=True)) if len(good) else {}
    for row, (name, reason) in enumerate(zip(names, failed, strict=True)):
        if reason is not None:
            yield Prediction(name, None, None, reason)
        else:
            yield _decide(head, name, probabilities[row])


def _decide(head: Head, name: str, probabilities: NDArray[np.float64]) -> Prediction:
    named = probabilities > THRESHOLD if head.multilabel else np.arange(len(head.classes)) == probabilities.argmax()
    sure = probabilities[named].min() if named.any() else 1 - probabilities.max()
    return Prediction(name, SEPARATOR.join(np.array(head.classes)[named]), float(sure), None)
