"""images -> batches -> session -> cache, each stage timed; only what is missing is computed."""

from featx.extract.earlier import check_target, shards_folder
from featx.extract.extracting import ExtractionSummary, Progress, extract_features, find_complete
from featx.extract.streaming import FeatureBatch, stream_features

__all__ = [
    "ExtractionSummary",
    "FeatureBatch",
    "Progress",
    "check_target",
    "extract_features",
    "find_complete",
    "shards_folder",
    "stream_features",
]
