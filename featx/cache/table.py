"""Features of images as the heads take them: a table that copies no feature until it is asked for one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.columns import take
from featx.labels import Labels
from featx.settings import Decode
from featx.showing import Overview, Shown, shorten

RowChoice: TypeAlias = slice | NDArray[np.int64]
"""Rows of an array: a slice where they follow one another, so that taking them copies nothing."""


@dataclass(frozen=True)
class Source:
    """Where some columns of a table come from."""

    backbone: str
    """sha256 of the card's identity."""
    provider: str
    card: Mapping[str, Any]
    start: int
    stop: int
    decode: Decode = "exact"
    """How JPEGs were decoded."""

    @property
    def name(self) -> str:
        """The backbone's name."""
        return str(self.card["name"])

    @property
    def output(self) -> str:
        """Name of the output."""
        return str(self.card["feature"])


def label_sources(sources: Sequence[Source]) -> tuple[str, ...]:
    """What to call these sources, each by another name: by their backbone, and the output where it gives several.

    What is still alike, as features of one output that are stored in two ways, is numbered.
    """
    names = [source.name for source in sources]
    plain = (f"{one.name}:{one.output}" if names.count(one.name) > 1 else one.name for one in sources)
    labels = [
        label if one.decode == "exact" else f"{label} ({one.decode})" for label, one in zip(plain, sources, strict=True)
    ]
    return tuple(
        f"{label} #{labels[:place].count(label) + 1}" if labels.count(label) > 1 else label
        for place, label in enumerate(labels)
    )


@dataclass(frozen=True)
class FailedImage:
    """An image that has no feature."""

    name: str
    reason: str


@dataclass(frozen=True)
class Part:
    """Some columns of a table: the features of one output, and which of their rows are meant."""

    values: NDArray[np.float32] | NDArray[np.float16]
    """(N, d), as it is stored; mapped where it comes from a file."""
    rows: RowChoice = field(default_factory=lambda: slice(None))

    def choose(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where these rows of the part lie in its values."""
        return rows + (self.rows.start or 0) if isinstance(self.rows, slice) else self.rows[rows]

    def select(self, rows: NDArray[np.int64]) -> "Part":
        """The part of these rows alone, in this order."""
        return Part(self.values, as_choice(self.choose(rows)))


@dataclass(frozen=True, repr=False)
class FeatureTable(Shown):
    """Features of images, one row each, with what is known of the images."""

    parts: tuple[Part, ...]
    """The features, column by column; all have the table's rows."""
    names: NDArray[np.bytes_]
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    """(n,): positions in `classes`; -1 where an image has no label."""
    splits: NDArray[np.bytes_] | None
    groups: NDArray[np.bytes_] | None
    weights: NDArray[np.float32] | None
    sources: tuple[Source, ...]
    positions: NDArray[np.int64]
    """(n,): where each row's image stands in the image set."""
    failed: Mapping[int, FailedImage]
    """By position, the images that have no feature and so no row here."""
    digest: str
    """sha256 over the backbone, the image set, the checksums of all rows and which are chosen: what the table is."""
    shares: NDArray[np.float32] | None = None
    """(n, classes): how much of each class an image is, where one label does not say it; NaN where it is not known."""
    multilabel: bool = False
    """Whether `shares` are 0 or 1 for each class alone, and `labels` all -1; else they sum to 1 and are soft labels."""

    def __len__(self) -> int:
        return len(self.names)

    def overview(self) -> Overview:
        """The numbers of images, features and classes, what is known of the images, and the backbones."""
        labels = f"{len(self.classes)} classes" if self.classes else "no classes"
        facts = (
            ("images", "; ".join(filter(None, _describe_images(self)))),
            ("features", " + ".join(label_sources(self.sources))),
        )
        return Overview(f"FeatureTable: {len(self)} images x {self.dim} features, {labels}", facts)

    def name(self, row: int) -> str:
        """Name of the image in this row."""
        return bytes(self.names[row]).decode()

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(n,): which rows are known to be something."""
        return np.asarray(self.labels >= 0 if self.shares is None else np.isfinite(self.shares).all(axis=1))

    def labels_of(self, rows: NDArray[np.int64]) -> Labels:
        """The labels, weights and groups of these rows, all of which are labelled."""
        given = None if self.shares is None else self.shares[rows].astype(np.float64)
        hard = given is None or self.multilabel
        return Labels(
            self.classes,
            self.labels[rows].astype(np.int64) if hard else given.argmax(axis=1),  # type: ignore[union-attr]
            given,
            None if self.weights is None else self.weights[rows].astype(np.float64),
            take(self.groups, rows),
            self.multilabel,
        )

    @property
    def dim(self) -> int:
        """Number of columns."""
        return sum(part.values.shape[1] for part in self.parts)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """(n, d): a memory map where they lie so in one file, else a copy that is made when it is first asked for."""
        first = self.parts[0]
        if len(self.parts) > 1 or first.values.dtype != np.float32:
            return self.take(np.arange(len(self)))
        return first.values[first.rows]  # type: ignore[return-value]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d): the features of these rows, copied, as float32 however they are stored: what heads compute with."""
        taken, start = np.empty((len(rows), self.dim), np.float32), 0
        for part in self.parts:
            stop = start + part.values.shape[1]
            taken[:, start:stop] = part.values[as_choice(part.choose(rows))]
            start = stop
        return taken


def as_choice(rows: NDArray[np.int64]) -> RowChoice:
    """The same rows, as a slice where they follow one another."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return rows


def _describe_images(table: FeatureTable) -> Iterator[str]:
    """The images of each class, which columns there are, and how many images have no label or no feature."""
    if table.shares is not None and not table.multilabel:
        yield "soft labels of " + shorten(table.classes)
    elif table.classes:
        several = " (several per image)" if table.multilabel else ""
        counts = zip(table.classes, _count_classes(table), strict=True)
        yield shorten(f"{name} {count}" for name, count in counts) + several
    columns = [name for name in ("splits", "groups", "weights") if getattr(table, name) is not None]
    yield f"with {', '.join(columns)}" if columns else ""
    unlabelled = len(table) - int(np.count_nonzero(table.labelled))
    yield f"{unlabelled} without a label" if unlabelled else ""
    yield f"{len(table.failed)} failed" if table.failed else ""


def _count_classes(table: FeatureTable) -> list[int]:
    """Images of each class."""
    if table.shares is not None:
        return [int(count) for count in np.count_nonzero(table.shares > 0, axis=0)]
    known = table.labels[table.labels >= 0]
    return [int(count) for count in np.bincount(known, minlength=len(table.classes))]
