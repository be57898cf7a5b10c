"""Checks the images, computes the maps of their views into a cache, and reads what training needs of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, Cut, Output, find_cut, map_backbone, select_outputs
from featx.cache import FeatureTable, Part, read_features, use_views
from featx.errors import CacheError, FineTuningError, TableError
from featx.extract import Progress, extract_features
from featx.finetuning.maps import CachedMaps, DecodedImages, TailInputs
from featx.finetuning.network import read_network
from featx.finetuning.tail import run_module
from featx.hashing import hash_settings
from featx.inputs import ImageSet
from featx.settings import DEFAULT_STORAGE, LAYERS, Settings, Storage, ViewRule
from featx.tables import RowIndices, Split, eligible_rows, make_folds, make_splits, table_without_features

LEAST_OF_A_CLASS = 4
"""Number of images for each class, on average, below which nothing is tuned."""
FEWEST_FOLDS = 2
"""Number of folds that heads on frozen features are tuned in, at least."""
AT_ONCE = 1024
"""Number of images whose views are in memory while their mean is computed."""


@dataclass(frozen=True)
class Prepared:
    """The images of a fine-tuning, as far as the frozen part of the backbone has brought them."""

    backbone: Backbone
    table: FeatureTable
    """The frozen feature of each image, as the mean over its views."""
    of_views: FeatureTable
    """The frozen features of all views of each image, side by side."""
    inputs: TailInputs
    split: Split
    cache: Path

    def features(self, rows: RowIndices, *, most: int | None = None, seed: int = 0) -> NDArray[np.float32]:
        """The frozen features (n, k, d) of k views of each row: all, or drawn ones, so that n k is at most `most`.

        Of more rows than `most`, each has one view.
        """
        views = self.inputs.views
        count = views if most is None else min(views, max(1, most // len(rows)))
        every = np.tile(np.arange(views), (len(rows), 1))
        drawn = every if most is None else np.random.default_rng(seed).permuted(every, axis=1)[:, :count]
        found = np.empty((len(rows), count, self.table.dim), np.float32)
        for start in range(0, len(rows), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            stored = self.of_views.take(rows[some]).reshape(len(rows[some]), views, -1)
            found[some] = np.take_along_axis(stored, drawn[some, :, None], axis=1)
        return found


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
        return 0 if self.trains_all else self._views_in_all * self.cut.dim * self._bytes

    @property
    def _bytes(self) -> int:
        """Bytes of a stored number."""
        return np.dtype(self.storage).itemsize

    @property
    def _views_in_all(self) -> int:
        return len(self.images) * len(self.settings.views)

    def announcement(self, *, layers: bool) -> str:
        """What the images take on disk, in words."""
        what = f"{len(self.images):,} images x {len(self.settings.views)} views"
        of_layers = (
            self._views_in_all * select_outputs(self.backbone, [LAYERS]).card.width * self._bytes if layers else 0
        )
        beside = f", and {of_layers / 1e6:,.1f} MB of layers" if layers else ""
        if self.trains_all:
            return f"{what} are decoded again in every epoch{beside} in {self.folder}"
        return f"{what}: {self.bytes_of_maps / 1e6:,.1f} MB of maps ({self.storage}){beside} in {self.folder}"

    def check(self) -> None:
        """Raise an error if the backbone cannot be cut there and trained, or the images not split and learned from."""
        network = read_network(self.backbone, self.tensor)
        run_module(network, np.zeros((2, *self.cut.shape), np.float32), device="cpu")
        table = table_without_features(self.images)
        split = split_images(table, self.hold_out, seed=self.seed)
        try:
            make_folds(table, split.train, folds=FEWEST_FOLDS, seed=self.seed)
        except TableError as error:
            raise TableError(f"of the images that train, {error}") from error

    def run(self, report: Callable[[Progress], None]) -> Prepared:
        """Compute the maps and frozen features that the cache does not have yet. Raises as extract_features does."""
        feature = self.backbone.card.all_outputs[0]
        outputs = [feature]
        if not self.trains_all:
            outputs += [output for output in self._map_outputs() if output != feature]
        path = self.extract("maps", self.backbone.with_outputs(outputs), report)
        table = read_features(path, outputs=[feature.name])
        of_views = use_all(table, "rows")
        split = split_images(table, self.hold_out, seed=self.seed)
        return Prepared(self.backbone, mean_of_views(table), of_views, self._inputs(path, table), split, path)

    def extract(self, kind: str, backbone: Backbone, report: Callable[[Progress], None]) -> Path:
        """The cache of these outputs of the backbone for all views; rows that it has already are not computed again.

        Other outputs, views or storage have a cache of their own in the folder. Raises as extract_features does.
        """
        storage = DEFAULT_STORAGE if self.trains_all and kind == "maps" else self.storage
        about = [backbone.hash, *self.settings.views, storage, self.settings.decode]
        path = self.folder / f"{kind}-{hash_settings({'of': about})[:8]}.h5"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FineTuningError(f"{self.folder}: cannot be made ({error.strerror}); choose another --work") from error
        try:
            extract_features(self.images, backbone, into=path, settings=self.settings, storage=storage, report=report)
        except CacheError as error:
            raise CacheError(str(error).replace("another --into", "another --work")) from error
        return path

    def extract_layers(self, report: Callable[[Progress], None]) -> Path:
        """The cache of several layers of the frozen backbone for all views. Raises as extract_features does."""
        return self.extract(LAYERS, select_outputs(self.backbone, [LAYERS]), report)

    def _map_outputs(self) -> tuple[Output, ...]:
        return map_backbone(self.backbone, self.tensor).card.all_outputs

    def _inputs(self, path: Path, table: FeatureTable) -> TailInputs:
        if self.trains_all:
            return DecodedImages(self.images, table.positions, self.backbone.card, self.settings.views, self.settings)
        maps = read_features(path, outputs=[self._map_outputs()[0].name])
        return CachedMaps(maps.parts[0], tuple(self.cut.shape))


def split_images(table: FeatureTable, hold_out: str, *, seed: int) -> Split:
    """The split of the table by this rule. Raises TableError or FineTuningError if the images do not do."""
    if not table.labelled.any():
        raise FineTuningError(
            "none of the images has a label; put them into class folders, or give a manifest with a column of labels "
            "(--label-column)"
        )
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


def mean_of_views(table: FeatureTable) -> FeatureTable:
    """The table whose features are the mean over views, computed once and in memory."""
    joined = use_all(table, "mean")
    if joined is table:
        return table
    starts = range(0, len(joined), AT_ONCE)
    rows: list[RowIndices] = [np.arange(start, min(start + AT_ONCE, len(joined))) for start in starts]
    means = np.concatenate([joined.take(some) for some in rows])
    return replace(joined, parts=(Part(means),))


def use_all(table: FeatureTable, rule: ViewRule) -> FeatureTable:
    """The table that uses all views by this rule; as it is if its cache has one view."""
    return table if len(table.parts[0].known_views) == 1 else use_views(table, rule)
