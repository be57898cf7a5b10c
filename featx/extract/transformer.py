"""A scikit-learn transformer: paths or pixels of images in, features out, as a step of a Pipeline."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from featx.backbones import Backbone, load_backbone, select_outputs
from featx.errors import ImageSetError
from featx.extract.batches import StageClock
from featx.extract.pace import open_at_pace
from featx.extract.streaming import stream_features
from featx.inputs import ImageSet, hold_images
from featx.settings import (
    BUNDLED,
    DEFAULTS,
    Decode,
    Device,
    Settings,
)

NAMED = 5
"""Images that failed which an error names; it tells how many there are in all."""


class FeatureExtractor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns images into features of a backbone, inside a scikit-learn Pipeline.

    Images are an array of paths, (n,) or (n, 1), or of pixels, (n, h, w) or (n, h, w, 3) of uint8 or uint16. Nothing
    is learnt from them: `fit` checks images and parameters, and `transform` works without it. Every call makes features
    anew: `Pipeline(memory=...)` pays in a grid search, and a cache (`extract_features`) where many heads are tried.
    """

    def __init__(
        self,
        backbone: str = BUNDLED,
        *,
        outputs: Sequence[str] = (),
        models: Path | str | None = None,
        root: Path | str | None = None,
        device: Device = DEFAULTS.device,
        batch_size: int | None = DEFAULTS.batch_size,
        decode: Decode = DEFAULTS.decode,
    ) -> None:
        """Choose the backbone.

        Args:
            backbone: its name; `featx backbones` lists them.
            outputs: tensors to take in one pass, side by side, as `--output` has them; none for the card's own.
            models: folder of the backbone's card, where it is not the user's own.
            root: what relative paths are relative to: a folder or an address.
            device: as `--device`.
            batch_size: images that are run at once; None for what a short calibration finds fastest.
            decode: `exact`, or `fast` for large JPEGs.
        """
        self.backbone = backbone
        self.outputs = outputs
        self.models = models
        self.root = root
        self.device = device
        self.batch_size = batch_size
        self.decode = decode

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803
        """Itself, once these are images and the backbone is there; neither is run.

        Raises ImageSetError or BackboneError otherwise.
        """
        hold_images(X, root=self.root)
        self._load()
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Features (n, d) float32, row by row those of the images: every output of the backbone, side by side.

        Raises ImageSetError naming the images that failed, if only one did; BackboneError, DeviceError and
        InferenceError as extracting does.
        """
        images, backbone = hold_images(X, root=self.root), self._load()
        settings = Settings(device=self.device, batch_size=self.batch_size, decode=self.decode)
        session, pace = open_at_pace(backbone, images, settings, count=len(images))
        features, failed = np.empty((len(images), backbone.card.width), np.float32), dict[int, str]()
        found = stream_features(
            images,
            backbone,
            session,
            rows=range(len(images)),
            count=len(images),
            pace=pace,
            settings=settings,
            clock=StageClock(),
        )
        with closing(found):
            for batch in found:
                features[batch.rows] = batch.features
                failed |= batch.details
        _refuse_failures(images, failed)
        return features

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names (d,) of the features: backbone, output and column, as in `efficientnet-lite0/features/0`."""
        outputs = self._load().card.all_outputs
        names = [f"{self.backbone}/{output.name}/{column}" for output in outputs for column in range(output.dim)]
        return np.array(names, object)

    def _load(self) -> Backbone:
        folder = None if self.models is None else Path(self.models)
        return select_outputs(load_backbone(self.backbone, folder=folder), tuple(self.outputs))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.one_d_array = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _refuse_failures(images: ImageSet, failed: Mapping[int, str]) -> None:
    """Raise ImageSetError where images failed: rows that are left out would no longer be those of the labels."""
    if failed:
        first = "; ".join(f"{images.name(row)}: {reason}" for row, reason in sorted(failed.items())[:NAMED])
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        raise ImageSetError(
            f"{len(failed)} of {len(images)} images have no features: {first}{more}; mend or remove them, or make a "
            "cache with extract_features, which keeps failures apart"
        )
