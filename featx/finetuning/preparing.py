"""Checks the images, computes the maps of their views into a cache, and reads what training needs of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featx.backbones import Backbone, Cut, Output, find_cut, map_backbone
from featx.cache import FeatureTable, Part, read_features, use_views
from featx.errors import FineTuningError, TableError
from featx.extract import Progress, extract_features
from featx.finetuning.maps import CachedMaps, DecodedImages, TailInputs
from featx.inputs import ImageSet
from featx.settings import DEFAULT_STORAGE, Settings, Storage
from featx.tables import RowIndices, Split, eligible_rows, make_splits

LEAST_OF_A_CLASS = 4
"""Number of images for each class, on average, below which nothing is tuned."""
MAPS = "maps.h5"
"""The cache in the folder of the work."""
AT_ONCE = 1024
"""Number of images whose views are in memory while their mean is computed."""


@dataclass(frozen=True)
class Prepared:
    """The images of a fine-tuning, as far as the frozen part of the backbone has brought them."""

    backbone: Backbone
    table: FeatureTable
    """The frozen feature of each image, as the mean over its views."""
    inputs: TailInputs
    split: Split
    cache: Path


@dataclass(frozen=True)
class Preparing:
    """What is computed of the images before training, and where it is kept."""

    backbone: Backbone
    images: ImageSet
    tensor: str
    hold_out: str
    seed: int
    settings: Settings
    storage: Storage
    folder: Path

    @property
    def cut(self) -> Cut:
        """Where the backbone is cut."""
        return find_cut(self.backbone, self.tensor)

    @property
    def trains_all(self) -> bool:
        """Whether the cut is the image itself, so that there are no maps."""
        return self.tensor == self.backbone.card.input.name

    @property
    def bytes_of_maps(self) -> int:
        """Bytes of the maps of all views of all images in the cache; 0 if there are none."""
        size = {"float16": 2, "float32": 4}[self.storage]
        return 0 if self.trains_all else len(self.images) * len(self.settings.views) * self.cut.dim * size

    def check(self) -> None:
        """Raise TableError or FineTuningError if these images cannot be split and learned from."""
        split_images(_without_features(self.images), self.hold_out, seed=self.seed)

    def run(self, report: Callable[[Progress], None]) -> Prepared:
        """Compute the maps and frozen features that the cache does not have yet. Raises as extract_features does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / MAPS
        feature = self.backbone.card.all_outputs[0]
        outputs = [feature]
        if not self.trains_all:
            outputs += [output for output in self._map_outputs() if output != feature]
        extract_features(
            self.images,
            self.backbone.with_outputs(outputs),
            into=path,
            settings=self.settings,
            storage=self._storage,
            report=report,
        )
        table = read_features(path, outputs=[feature.name])
        split = split_images(table, self.hold_out, seed=self.seed)
        return Prepared(self.backbone, _mean_of_views(table), self._inputs(path, table), split, path)

    @property
    def _storage(self) -> Storage:
        """Where only features are stored they take no room, and keep all their digits."""
        return DEFAULT_STORAGE if self.trains_all else self.storage

    def _map_outputs(self) -> tuple[Output, ...]:
        return map_backbone(self.backbone, self.tensor).card.all_outputs

    def _inputs(self, path: Path, table: FeatureTable) -> TailInputs:
        if self.trains_all:
            return DecodedImages(self.images, table.positions, self.backbone.card, self.settings.views, self.settings)
        maps = read_features(path, outputs=[self._map_outputs()[0].name])
        return CachedMaps(maps.parts[0], tuple(self.cut.shape))


def split_images(table: FeatureTable, hold_out: str, *, seed: int) -> Split:
    """The split of the table by this rule. Raises TableError or FineTuningError if the images do not do."""
    if table.multilabel:
        raise FineTuningError(
            "images with several labels cannot be tuned on; name the column of one class with --label-column, and tune "
            "one class at a time"
        )
    rows = eligible_rows(table).rows
    classes = len(np.unique(table.labels[rows]))
    if len(rows) < LEAST_OF_A_CLASS * classes:
        raise FineTuningError(
            f"{len(rows)} images have labels of {classes} classes, but tuning needs {LEAST_OF_A_CLASS * classes}, "
            f"{LEAST_OF_A_CLASS} for each; label more, or train a head with `featx train`, which does more with so few"
        )
    split = make_splits(table, hold_out, seed=seed)[0]
    if not split.refit:
        raise TableError(f"{hold_out} splits do not learn from their validation images; choose another --hold-out")
    return split


def _without_features(images: ImageSet) -> FeatureTable:
    return FeatureTable(
        parts=(),
        names=images.names,
        classes=images.classes,
        labels=np.full(len(images), -1, np.int32) if images.labels is None else images.labels,
        splits=images.splits,
        groups=images.groups,
        domains=images.domains,
        weights=images.weights,
        sources=(),
        positions=np.arange(len(images)),
        failed={},
        digest="",
    )


def _mean_of_views(table: FeatureTable) -> FeatureTable:
    """The table whose features are the mean over views, computed once and in memory."""
    if len(table.parts[0].known_views) == 1:
        return table
    joined = use_views(table, "mean")
    starts = range(0, len(joined), AT_ONCE)
    rows: list[RowIndices] = [np.arange(start, min(start + AT_ONCE, len(joined))) for start in starts]
    means = np.concatenate([joined.take(some) for some in rows])
    return replace(joined, parts=(Part(means),))
