"""A scikit-learn transformer that turns paths or pixels of images into features, as a step of a Pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from featx.backbones import Backbone, select_outputs
from featx.convert import load_backbone
from featx.errors import ImageSetError
from featx.extract.streaming import open_stream
from featx.inputs import ImageSet, images_of_array
from featx.settings import BUNDLED, DEFAULTS, Decode, Device, Settings

FAILURES_NAMED = 5
"""Number of failed images that an error names; it also gives their total."""


class FeatureExtractor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns images into features of a backbone, inside a scikit-learn Pipeline.

    Images are an array of paths, (n,) or (n, 1), or of pixels, (n, h, w) or (n, h, w, 3) of uint8 or uint16. Nothing
    is learnt from them: `fit` checks images and parameters, and `transform` works without it. Every call computes the
    features again, so use `Pipeline(memory=...)` in a grid search, and a cache (`extract_features`) to try many heads.

    >>> import featx
    >>> extractor = featx.FeatureExtractor("efficientnet-lite0", root="new")
    >>> extractor.fit_transform(["circle.png", "cross.png", "star.png"]).shape
    (3, 1280)
    >>> extractor.get_feature_names_out()[0]
    'efficientnet-lite0/features/0'
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
            backbone: name of the backbone; `featx backbones` lists them.
            outputs: tensors to compute in one pass, as for `--output`; by default those of the card.
            models: folder of the backbone's card; by default the user's own folder.
            root: folder or address to which relative paths are relative.
            device: as for `--device`.
            batch_size: number of images that are run at once; by default a short calibration finds the fastest.
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
        """The transformer itself, unchanged, after a check of X and of the parameters.

        Raises ImageSetError if X is not an array of images, BackboneError as load_backbone does.
        """
        images_of_array(X, root=self.root)
        self._load()
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Features (n, d) float32 of the images, one row each, with all outputs of the backbone next to each other.

        Raises ImageSetError naming the images that fail; BackboneError, DeviceError and InferenceError as
        extract_features does.
        """
        images = images_of_array(X, root=self.root)
        backbone = self._load()
        settings = Settings(device=self.device, batch_size=self.batch_size, decode=self.decode)
        features = np.empty((len(images), backbone.card.width), np.float32)
        failed: dict[int, str] = {}
        with open_stream(images, backbone, settings) as stream:
            for batch in stream.batches():
                features[batch.rows] = batch.features[:, 0]
                failed |= batch.details
        _refuse_failures(images, failed)
        return features

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names (d,) of the features: backbone, output and column, such as `efficientnet-lite0/features/0`."""
        outputs = self._load().card.all_outputs
        names = [f"{self.backbone}/{output.name}/{column}" for output in outputs for column in range(output.dim)]
        return np.array(names, object)

    def _load(self) -> Backbone:
        return select_outputs(load_backbone(self.backbone, folder=self.models), tuple(self.outputs))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.one_d_array = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _refuse_failures(images: ImageSet, failed: Mapping[int, str]) -> None:
    """Raise ImageSetError if images failed: without their rows, features would no longer belong to the labels."""
    if failed:
        first = "; ".join(f"{images.name(row)}: {reason}" for row, reason in sorted(failed.items())[:FAILURES_NAMED])
        more = f"; and {len(failed) - FAILURES_NAMED} more" if len(failed) > FAILURES_NAMED else ""
        raise ImageSetError(
            f"{len(failed)} of {len(images)} images have no features: {first}{more}; repair or remove them, or use "
            "extract_features, whose cache keeps failed images without features"
        )
