from .extracting import (
    ExtractedRows as ExtractedRows,
    extract_features as extract_features,
    extract_rows as extract_rows,
)
from .pixels import read_pixels as read_pixels
from .shards.distributing import extract_shards as extract_shards
from .shards.workers import on_cluster as on_cluster
from .streaming import FeatureBatch as FeatureBatch, FeatureStream as FeatureStream, open_stream as open_stream
from .summary import ExtractionSummary as ExtractionSummary, Progress as Progress
from .transformer import FeatureExtractor as FeatureExtractor
