"""Data: how many images of each class and part there are, what failed, and which images are nearly equal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from featx.cache import FailedImage, FeatureTable
from featx.heads import Result, find_split
from featx.report.drawings import Bars, Span
from featx.report.pages.material import GivenCache, Material
from featx.report.pages.pictures import PictureSource, Shown
from featx.report.section import Section
from featx.tables import Duplicates, RowIndices, Split, find_duplicates

MOST_BARS = 40
MOST_FAILED = 20
FEW_IMAGES = 100
"""With fewer test images, intervals are wide, and the summary says so."""


@dataclass(frozen=True)
class DataOfReport:
    """The images of a report: their caches, the split of the first result, and near-duplicates over it."""

    material: Material

    @property
    def cache(self) -> GivenCache | None:
        """The first cache, preferably of images that were measured."""
        caches = self.material.caches
        tested = {id(one.table) for one in self.material.ranked.candidates}
        return next((one for one in caches if id(one.table) in tested), caches[0] if caches else None)

    @property
    def result(self) -> Result | None:
        """The result that says how the images were split: of the images in the cache, if there is one."""
        results = self.material.results
        if self.split is not None:
            return next(one for one in results if one.split_key == self.split.key)
        return results[0] if results else None

    @cached_property
    def split(self) -> Split | None:
        """The split of the first candidate, or else head, whose images are at hand."""
        return None if self._divided is None else self._divided[1]

    @property
    def table(self) -> FeatureTable | None:
        """The table whose rows the split divides."""
        return None if self._divided is None else self._divided[0]

    @cached_property
    def _divided(self) -> tuple[FeatureTable, Split] | None:
        """A table and its split, as their rows belong together."""
        for candidate in self.material.ranked.candidates[:1]:
            return candidate.table, candidate.split
        for head in self.material.heads:
            if head.examined is not None and head.result is not None:
                table = head.examined.table
                split = find_split(table, head.result.split_key, test=head.result.test)
                return None if split is None else (table, split)
        return None

    @cached_property
    def duplicates(self) -> Duplicates | None:
        """Near-duplicates of test images: those that a command printed, or else found over the first split."""
        if self.material.duplicates:
            return next(iter(self.material.duplicates.values()))
        return None if self.table is None or self.split is None else find_duplicates(self.table, self.split)


def data_sections(data: DataOfReport, pictures: PictureSource) -> Iterator[Section]:
    """What is known of the images; nothing without caches and results."""
    if data.cache is not None:
        yield _images(data.cache, data.result if data.split is not None else None)
        if data.cache.images.failed:
            yield _failures(data.cache.images.failed, data.cache.images.reasons)
    elif data.result is not None:
        yield _images_of_result(data.result)
    if data.table is not None and data.split is not None:
        yield _split(data.table, data.split)
    if data.duplicates is not None:
        yield _duplicates(data.duplicates, pictures)


def _images(cache: GivenCache, result: Result | None) -> Section:
    images = cache.images
    classes = sorted(_labels(cache).items(), key=lambda item: -item[1])
    parts = f"; {_parts(result)}" if result is not None else ""
    notes = [f"the cache is {cache.name}"] if cache.path is not None else []
    if images.splits:
        notes.append(f"parts that the image set names: {_counts(images.splits)}")
    if images.domains:
        notes.append(f"domains: {_counts(images.domains)}")
    if images.groups is None:
        notes.append("groups: not given, so that images of one object or scene may be in several parts of a split")
    else:
        notes.append(f"groups: {images.groups:,}; images of one group are always in one part of a split")
    if len(classes) > MOST_BARS:
        notes.append(f"the figure has the {MOST_BARS} largest of {len(classes)} classes, the table all")
    return Section(
        title="Data: images and classes",
        sentence=f"{images.done:,} of {images.rows:,} images have features, {len(images.failed):,} failed{parts}.",
        columns=("class", "images", "share"),
        rows=tuple((name, f"{count:,}", f"{count / max(1, images.done):.1%}") for name, count in classes),
        figure=Bars("images of each class", "images", tuple(Span(name, count) for name, count in classes[:MOST_BARS])),
        notes=tuple(notes),
        name="data",
    )


def _labels(cache: GivenCache) -> Mapping[str, int]:
    """Class -> number of images that have it, of soft labels as the largest share."""
    table = cache.table
    if table.multilabel and table.shares is not None:
        counts = (table.shares > 0).sum(axis=0)
    elif table.shares is not None:
        known = table.shares[~np.isnan(table.shares).any(axis=1)]
        counts = np.bincount(known.argmax(axis=1), minlength=len(table.classes))
    else:
        counts = np.bincount(table.labels[table.labels >= 0], minlength=len(table.classes))
    return dict(zip(table.classes, counts.tolist(), strict=True))


def _images_of_result(result: Result) -> Section:
    counted = [one for one in result.metrics.per_class if one.n]
    return Section(
        title="Data: images and classes",
        sentence=f"{_parts(result)}.",
        columns=("class", "test images"),
        rows=tuple((one.name, f"{one.n:,}") for one in result.metrics.per_class),
        figure=Bars("test images of each class", "images", tuple(Span(one.name, one.n) for one in counted[:MOST_BARS])),
        notes=(f"split: {result.split}", "the cache of these images (C.h5) adds failures and near-duplicates"),
        name="data",
    )


def _parts(result: Result) -> str:
    rows = result.rows
    return (
        f"{rows['train']:,} to train, {rows['validation']:,} to validate and {rows['test']:,} to test, by the rule: "
        f"{result.split}"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'none'} {count:,}" for name, count in counts.items())


def _split(table: FeatureTable, split: Split) -> Section:
    """How many images of each class are in each part."""
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    counts = {name: _count_classes(table, rows) for name, rows in parts.items()}
    rows = tuple(
        (name, *(f"{counts[part].get(name, 0):,}" for part in parts))
        for name in (*table.classes, *_NONE)
        if any(name in of_part for of_part in counts.values())
    )
    used = sum(map(len, parts.values()))
    left = (f"{len(table) - used:,} images are in no part, as those without a label",) if used < len(table) else ()
    return Section(
        title="Data: split",
        sentence=f"The test images were chosen by the rule: {split.rule}.",
        columns=("class", *parts),
        rows=rows,
        figure=Bars("images of each part", "images", tuple(Span(name, len(rows)) for name, rows in parts.items())),
        notes=("training images fit heads, validation images choose between them, test images only measure", *left),
        name="split",
    )


_NONE = ("no single label",)


def _count_classes(table: FeatureTable, rows: RowIndices) -> dict[str, int]:
    """Class -> number of these images, of soft labels by the largest share."""
    labels = table.labels_of(rows)
    codes, counts = np.unique(labels.codes, return_counts=True)
    names = [labels.classes[code] if code >= 0 else _NONE[0] for code in codes.tolist()]
    return dict(zip(names, counts.tolist(), strict=True))


def _failures(images: Sequence[FailedImage], reasons: Mapping[str, int]) -> Section:
    left = (f"the first {MOST_FAILED} of {len(images):,}; `featx cache info --json` lists all",)
    return Section(
        title="Data: images that failed",
        sentence=f"{len(images):,} images have no features, and are in no number on this page: {_counts(reasons)}.",
        columns=("image", "reason"),
        rows=tuple((one.name, one.reason) for one in images[:MOST_FAILED]),
        notes=left if len(images) > MOST_FAILED else (),
        name="failed",
    )


def _duplicates(found: Duplicates, pictures: PictureSource) -> Section:
    pairs = [("near-duplicate", pair) for pair in found.nearest] + [("suspect", one) for one in found.nearest_suspects]
    shown = [
        Shown(name, f"{kind} {number}, {part} image, cosine {pair.cosine:.4f}")
        for number, (kind, pair) in enumerate(pairs, 1)
        for part, name in (("test", pair.test), ("training", pair.train))
    ]
    drawn = pictures.show(shown)
    return Section(
        title="Data: near-duplicates over the split",
        sentence=f"{found.text[:1].upper()}{found.text[1:]}.",
        columns=("kind", "test image", "training or validation image", "cosine") if pairs else (),
        rows=tuple((kind, pair.test, pair.train, f"{pair.cosine:.4f}") for kind, pair in pairs),
        pictures=drawn,
        notes=(
            "a test image that is nearly in the training set makes heads look better than they are",
            *pictures.notes(shown, drawn),
        ),
        name="duplicates",
    )
