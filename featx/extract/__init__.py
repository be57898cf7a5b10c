"""images -> batches -> session -> cache, each stage timed; only what is missing is computed."""

from featx.extract.extracting import ExtractionSummary, Progress, extract_features, find_complete
from featx.extract.streaming import FeatureBatch, stream_features

__all__ = ["ExtractionSummary", "FeatureBatch", "Progress", "extract_features", "find_complete", "stream_features"]
