"""Transfer learning by features.

A source model, exported to ONNX and cut before its last layer, is a backbone: it turns an image into a feature.

    images = list_images("photos")                                  # which images, in a fixed order
    backbone = load_backbone("efficientnet-lite0")                  # an exported model and its card
    summary = extract_features(images, backbone, into="photos.h5")  # features into a cache; resumes
    table = fuse_tables([read_features("photos.h5")])               # one table from one cache or several
    head, result = train_head(table, "logreg")                      # tuned on training rows, measured on others
    save_head(head, "photos.featx")
    predictions = predict_images(load_head("photos.featx"), list_images("new"))

Names are imported when they are first used, so that `import featx` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from featx.provenance import __version__

if TYPE_CHECKING:
    from featx.annotations import annotate, read_annotations
    from featx.backbones import list_backbones, load_backbone
    from featx.cache import FeatureTable, describe_cache, export_cache, merge_caches, read_features, verify_cache
    from featx.compare import Contest, compare_backbones, list_contests
    from featx.distribute import extract_shards
    from featx.errors import FeatxError
    from featx.evaluate import evaluate_head
    from featx.extract import ExtractionSummary, extract_features
    from featx.extractor import FeatureExtractor
    from featx.fusion import fuse_tables
    from featx.graph import Inspection, inspect_model
    from featx.heads import Head, build_head, load_head, save_head
    from featx.images import ImageSet, list_images
    from featx.label_errors import LabelError, find_label_errors
    from featx.measures import HeadMetrics
    from featx.predict import Prediction, predict_images, predict_tables
    from featx.preprocessing import Preprocessing
    from featx.quantize import Quantization, quantize_backbone
    from featx.register import Description, add_backbone, select_outputs
    from featx.results import Result
    from featx.session import open_session
    from featx.settings import Settings
    from featx.splits import Split, find_duplicates, make_splits
    from featx.standings import Standing, stand
    from featx.train import train_head
    from featx.verify import Check, verify_backbone

_HOMES = {
    "Check": "verify",
    "Contest": "compare",
    "Description": "register",
    "ExtractionSummary": "extract",
    "FeatureExtractor": "extractor",
    "FeatureTable": "cache",
    "FeatxError": "errors",
    "Head": "heads",
    "HeadMetrics": "measures",
    "ImageSet": "images",
    "Inspection": "graph",
    "LabelError": "label_errors",
    "Prediction": "predict",
    "Preprocessing": "preprocessing",
    "Quantization": "quantize",
    "Result": "results",
    "Settings": "settings",
    "Split": "splits",
    "Standing": "standings",
    "add_backbone": "register",
    "annotate": "annotations",
    "build_head": "heads",
    "compare_backbones": "compare",
    "describe_cache": "cache",
    "evaluate_head": "evaluate",
    "export_cache": "cache",
    "extract_features": "extract",
    "extract_shards": "distribute",
    "find_duplicates": "splits",
    "find_label_errors": "label_errors",
    "fuse_tables": "fusion",
    "inspect_model": "graph",
    "list_backbones": "backbones",
    "list_contests": "compare",
    "list_images": "images",
    "load_backbone": "backbones",
    "load_head": "heads",
    "make_splits": "splits",
    "merge_caches": "cache",
    "open_session": "session",
    "predict_images": "predict",
    "predict_tables": "predict",
    "quantize_backbone": "quantize",
    "read_annotations": "annotations",
    "read_features": "cache",
    "save_head": "heads",
    "select_outputs": "register",
    "stand": "standings",
    "train_head": "train",
    "verify_backbone": "verify",
    "verify_cache": "cache",
}

__all__ = [
    "Check",
    "Contest",
    "Description",
    "ExtractionSummary",
    "FeatureExtractor",
    "FeatureTable",
    "FeatxError",
    "Head",
    "HeadMetrics",
    "ImageSet",
    "Inspection",
    "LabelError",
    "Prediction",
    "Preprocessing",
    "Quantization",
    "Result",
    "Settings",
    "Split",
    "Standing",
    "__version__",
    "add_backbone",
    "annotate",
    "build_head",
    "compare_backbones",
    "describe_cache",
    "evaluate_head",
    "export_cache",
    "extract_features",
    "extract_shards",
    "find_duplicates",
    "find_label_errors",
    "fuse_tables",
    "inspect_model",
    "list_backbones",
    "list_contests",
    "list_images",
    "load_backbone",
    "load_head",
    "make_splits",
    "merge_caches",
    "open_session",
    "predict_images",
    "predict_tables",
    "quantize_backbone",
    "read_annotations",
    "read_features",
    "save_head",
    "select_outputs",
    "stand",
    "train_head",
    "verify_backbone",
    "verify_cache",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featx' has no attribute {name!r}")
    return getattr(import_module(f"featx.{_HOMES[name]}"), name)
