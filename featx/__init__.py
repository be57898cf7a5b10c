"""Transfer learning by features.

A backbone is a trained model in ONNX that is cut before its last layer: it turns an image into a feature, a row of
numbers. featx computes the features of all images once, stores them in a cache file, and trains heads, which are
scikit-learn pipelines, on them in seconds.

>>> import featx
>>> images = featx.list_images("photos")  # one folder for each class
>>> backbone = featx.load_backbone("efficientnet-lite0")
>>> summary = featx.extract_features(images, backbone, into="photos.h5")  # continues where it stopped
>>> table = featx.read_features("photos.h5")
>>> table
FeatureTable: 60 images x 1280 features, 5 classes
  images: circle 12, cross 12, square 12, star 12, triangle 12
  features: efficientnet-lite0
>>> head, result = featx.train_head(table, "ridge")  # tuned on training images, measured on test images
>>> result.rows["test"]
15
>>> featx.save_head(head, "shapes.featx")
>>> predictions = list(featx.predict_images(head, featx.list_images("new")))
>>> predictions[0].name
'circle.png'

Names are imported when they are first used, so that `import featx` is fast.
"""

import warnings

import lazy_loader

from featx.moved import find_moved_modules
from featx.showing import NOTEBOOKS, Shown

find_moved_modules()
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _render(shown: Shown) -> str:
    """The tables and figures that a report has of an object, for notebooks."""
    from featx.report import render_shown

    return render_shown(shown)


NOTEBOOKS.render = _render

_RENAMED = {
    "Contest": "Candidate",
    "Standing": "RankedCandidate",
    "list_contests": "list_candidates",
    "stand": "rank_candidates",
}
"""Names of featx 0.1 -> their names now; the old ones work for one release."""


def __getattr__(name: str) -> object:
    """The public object of this name; an old name works too, with a DeprecationWarning. Raises AttributeError."""
    if name in _RENAMED:
        renamed = _RENAMED[name]
        text = f"featx.{name} is now called featx.{renamed}; the old name will be removed in the next release"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return _load(renamed)
    return _load(name)
