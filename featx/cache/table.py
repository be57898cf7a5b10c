"""Defines the feature table: features and labels of images, in memory maps that are copied only when they are used."""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.cache.costs import Cost
from featx.columns import FURTHER_COLUMNS, take
from featx.labels import Labels
from featx.settings import CENTER, Decode, ViewRule
from featx.showing import Overview, Shown, shorten, show_counts, show_views

VIEWS_BYTES = 2**26
"""About this many bytes of views are in memory at once while they become the columns of a table."""

RowIndex: TypeAlias = slice | NDArray[np.int64]
"""Rows of an array: a slice if they are consecutive, so that indexing with it copies nothing."""


@dataclass(frozen=True)
class Source:
    """Where the columns `start` to `stop` of a table come from: one output of one backbone."""

    backbone: str
    """sha256 of the card's identity."""
    provider: str
    card: Mapping[str, Any]
    start: int
    stop: int
    decode: Decode = "exact"
    """How JPEGs were decoded."""
    cost: Cost | None = field(default=None, compare=False)
    """What an image has cost, which the features do not depend on; None if the cache does not say."""
    views: tuple[str, ...] = (CENTER,)
    """The views of each image that these columns are made of."""
    view_rule: ViewRule = "first"
    """How these views become columns: `first` is view 0 alone, `mean` their mean, `rows` all of them side by side."""

    @property
    def name(self) -> str:
        """The backbone's name."""
        return str(self.card["name"])

    @property
    def output(self) -> str:
        """Name of the output."""
        return str(self.card["feature"])

    @property
    def view_use(self) -> str:
        """How views are used, in words; empty for view 0 alone."""
        return "" if self.view_rule == "first" else f"{self.view_rule} of {len(self.views)} views"

    @property
    def kind(self) -> tuple[str, ViewRule, tuple[str, ...]]:
        """What is equal if features of two sources are of one kind: the backbone's hash, and how views are used."""
        return self.backbone, self.view_rule, self.views


def identify_source(source: Source) -> str:
    """Backbone, output, the beginning of the hash and the use of views, for messages on features of two kinds.

    >>> import featx
    >>> from featx.cache import identify_source
    >>> identify_source(featx.read_features("photos.h5").sources[0])[:28]
    'efficientnet-lite0:features '
    """
    views = "" if source.view_rule == "first" else f", {source.view_rule} of {show_views(source.views)}"
    return f"{source.name}:{source.output} ({source.backbone[:12]}{views})"


def label_sources(sources: Sequence[Source]) -> tuple[str, ...]:
    """A distinct label for each source: its backbone, with its output if several sources have that backbone.

    Labels that are still equal, such as those of the same output from two caches, are numbered.
    """
    names = [source.name for source in sources]
    labels = []
    for source in sources:
        label = f"{source.name}:{source.output}" if names.count(source.name) > 1 else source.name
        details = ", ".join(_details(source))
        labels.append(f"{label} ({details})" if details else label)
    return tuple(
        f"{label} #{labels[:place].count(label) + 1}" if labels.count(label) > 1 else label
        for place, label in enumerate(labels)
    )


def _details(source: Source) -> Iterator[str]:
    """What tells the features of this source from those of the same output made in the usual way."""
    if source.decode != "exact":
        yield source.decode
    if source.view_use:
        yield source.view_use


@dataclass(frozen=True)
class FailedImage:
    """An image without a feature."""

    name: str
    reason: str
    """Why it failed, in words."""


@dataclass(frozen=True)
class Part:
    """A block of columns of a table: the features of one output of one backbone, and which of their rows are used."""

    values: NDArray[np.float32] | NDArray[np.float16]
    """(N, d), or (N, V, d) with V views of each image, as stored; a memory map if it comes from a file."""
    rows: RowIndex = field(default_factory=lambda: slice(None))
    """The n rows of `values` that are in the table."""
    known_views: tuple[str, ...] = (CENTER,)
    """The names of the V views that are stored."""
    views: tuple[str, ...] = (CENTER,)
    """Those that are used."""
    view_rule: ViewRule = "first"
    """How they become columns."""

    @property
    def width(self) -> int:
        """Number of columns."""
        views = len(self.views) if self.view_rule == "rows" else 1
        return int(self.values.shape[-1]) * views

    @property
    def plain(self) -> NDArray[np.float32] | NDArray[np.float16] | None:
        """(N, width): the columns of all rows as they are stored, or None if they have to be computed from views."""
        if self.values.ndim == 2:
            return self.values
        return self.values[:, 0] if self.view_rule == "first" else None

    def read(self, rows: NDArray[np.int64], *, out: NDArray[np.float32]) -> None:
        """Copy the columns of these rows of the table into `out` (n, width), a block of rows at a time."""
        located = self.locate(rows)
        plain = self.plain
        if plain is not None:
            out[:] = plain[compact_rows(located)]
            return
        places = [self.known_views.index(view) for view in self.views]
        at_once = max(1, VIEWS_BYTES // (4 * self.values.shape[1] * self.values.shape[2]))
        for start in range(0, len(located), at_once):
            some = slice(start, start + at_once)
            stored = self.values[compact_rows(located[some])]
            out[some] = join_views(stored[:, places].astype(np.float32), self.view_rule)
            if len(located) > at_once:
                self.release()  # else all views of all rows would count as memory of the process

    def locate(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions in `values` of these rows of the table."""
        return rows + (self.rows.start or 0) if isinstance(self.rows, slice) else self.rows[rows]

    def release(self) -> None:
        """Let the system take back the memory of what was read from a file; it is read again when it is used."""
        pages = getattr(self.values, "_mmap", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

    def take(self, rows: NDArray[np.int64]) -> "Part":
        """The block with only these rows, in this order; no feature is copied."""
        return replace(self, rows=compact_rows(self.locate(rows)))


@dataclass(frozen=True, repr=False)
class FeatureTable(Shown):
    """Features of n images, one row each, with the images' names, labels, splits, groups, domains and weights.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> table.features.shape, table.classes
    ((60, 1280), ('circle', 'cross', 'square', 'star', 'triangle'))
    >>> table.name(0), int(table.labels[0])
    ('circle/000.png', 0)
    """

    parts: tuple[Part, ...]
    """The blocks of columns, from left to right."""
    names: NDArray[np.bytes_]
    """(n,): UTF-8, `/`-separated."""
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    """(n,): positions in `classes`; -1 for images without a label."""
    splits: NDArray[np.bytes_] | None
    """(n,): train, validation or test, or None if the image set has no split."""
    groups: NDArray[np.bytes_] | None
    """(n,): images of one group are never in two parts of a split."""
    weights: NDArray[np.float32] | None
    """(n,): 0 or more; an image of weight 0 is neither trained nor tested on."""
    sources: tuple[Source, ...]
    """Where the columns of each part come from."""
    positions: NDArray[np.int64]
    """(n,): position of each row's image in the image set."""
    failed: Mapping[int, FailedImage]
    """Position in the image set -> image that has no feature and so no row."""
    digest: str
    """sha256 over the backbone, the image set, the checksums of all rows and the choice of rows."""
    shares: NDArray[np.float32] | None = None
    """(n, classes): soft labels, or 0 and 1 for each class if images have several; NaN for images without a label."""
    multilabel: bool = False
    """Whether images have several labels: then `shares` are 0 or 1 and all `labels` -1. Soft labels sum to 1."""
    domains: NDArray[np.bytes_] | None = None
    """(n,): where each image comes from, such as a camera or a site; None if the image set does not say."""
    learned: NDArray[np.bool_] | None = None
    """(n,): whether a backbone of the table was fine-tuned on the image; None if none of them was fine-tuned."""

    def __len__(self) -> int:
        return len(self.names)

    def overview(self) -> Overview:
        """The numbers of images, features and classes, the columns of the images, and the backbones."""
        labels = f"{len(self.classes)} classes" if self.classes else "no classes"
        facts = (
            ("images", "; ".join(filter(None, _describe_images(self)))),
            ("features", " + ".join(label_sources(self.sources))),
            ("views", _describe_unused_views(self.parts)),
        )
        return Overview(f"FeatureTable: {len(self)} images x {self.dim} features, {labels}", facts)

    def name(self, row: int) -> str:
        """Name of the image in this row."""
        return bytes(self.names[row]).decode()

    @cached_property
    def image_names(self) -> NDArray[np.str_]:
        """(n,): the names as text."""
        return np.char.decode(self.names, "utf-8") if len(self.names) else np.empty(0, "U1")

    @cached_property
    def label_names(self) -> NDArray[np.object_]:
        """(n,): the label of each image as text; None for images without a label, or with several."""
        names = np.array([*self.classes, None], object)
        return np.asarray(names[self.labels])

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(n,): whether each row has a label, soft labels or several labels."""
        return np.asarray(self.labels >= 0 if self.shares is None else np.isfinite(self.shares).all(axis=1))

    def labels_of(self, rows: NDArray[np.int64]) -> Labels:
        """The labels, weights and groups of these rows, all of which must be labelled."""
        codes = self.labels[rows].astype(np.int64)
        shares = None if self.shares is None else self.shares[rows].astype(np.float64)
        if shares is not None and not self.multilabel:
            codes = shares.argmax(axis=1)
        weights = None if self.weights is None else self.weights[rows].astype(np.float64)
        return Labels(self.classes, codes, shares, weights, take(self.groups, rows), self.multilabel)

    def domain_of(self, rows: NDArray[np.int64]) -> str | None:
        """The domain that all of these rows are of; None if there are several of them, or none."""
        names = set() if self.domains is None else set(self.domains[rows].tolist())
        return bytes(names.pop()).decode() if len(names) == 1 else None

    @property
    def dim(self) -> int:
        """Number of columns."""
        return sum(part.width for part in self.parts)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """(n, d): all features: a memory map if they are float32 in one dataset, else a copy from the first access."""
        first = self.parts[0]
        plain = first.plain
        if len(self.parts) > 1 or plain is None or plain.dtype != np.float32:
            return self.take(np.arange(len(self)))
        return plain[first.rows]  # type: ignore[return-value]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d): a copy of the features of these rows, converted to float32 if they are stored otherwise."""
        taken = np.empty((len(rows), self.dim), np.float32)
        start = 0
        for part in self.parts:
            stop = start + part.width
            part.read(rows, out=taken[:, start:stop])
            start = stop
        return taken

    def release(self) -> None:
        """Let the system take back the memory of features that were read from files; nothing else changes."""
        for part in self.parts:
            part.release()


def join_views(features: NDArray[np.float32], rule: ViewRule) -> NDArray[np.float32]:
    """The columns (n, width) that the features (n, V, d) of V views become by this rule.

    >>> import numpy as np
    >>> from featx.cache import join_views
    >>> views = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    >>> join_views(views, "mean").tolist(), join_views(views, "rows").tolist()
    ([[2.0, 3.0]], [[1.0, 2.0, 3.0, 4.0]])
    """
    if rule == "mean":
        return np.asarray(features.mean(axis=1, dtype=np.float32))
    return features[:, 0] if rule == "first" else features.reshape(len(features), -1)


def compact_rows(rows: NDArray[np.int64]) -> RowIndex:
    """These rows as a slice if they are consecutive and ascending, else unchanged."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return rows


def _describe_images(table: FeatureTable) -> Iterator[str]:
    """The images of each class, the names of other columns, and the numbers of images without a label or feature."""
    if table.shares is not None and not table.multilabel:
        yield "soft labels of " + shorten(table.classes)
    elif table.classes:
        several = " (several per image)" if table.multilabel else ""
        counts = zip(table.classes, _count_classes(table), strict=True)
        yield shorten(show_counts(counts)) + several
    columns = [name for name in FURTHER_COLUMNS if getattr(table, name) is not None]
    yield f"with {', '.join(columns)}" if columns else ""
    unlabelled = len(table) - int(np.count_nonzero(table.labelled))
    yield f"{unlabelled} without a label" if unlabelled else ""
    yield f"{len(table.failed)} failed" if table.failed else ""


def _describe_unused_views(parts: Sequence[Part]) -> str:
    """That the caches have views which the table does not use; empty if they have not."""
    stored = [len(part.known_views) for part in parts if part.view_rule == "first"]
    most = max(stored, default=1)
    return f"view 0 of {most} views; featx.use_views takes the others too" if most > 1 else ""


def _count_classes(table: FeatureTable) -> list[int]:
    """Images of each class."""
    if table.shares is not None:
        return [int(count) for count in np.count_nonzero(table.shares > 0, axis=0)]
    known = table.labels[table.labels >= 0]
    return [int(count) for count in np.bincount(known, minlength=len(table.classes))]
