from .batches import StageClock as StageClock
from .extracting import (
    ExtractionSummary as ExtractionSummary,
    Progress as Progress,
    extract_features as extract_features,
    find_complete as find_complete,
)
from .pace import open_at_pace as open_at_pace
from .resuming import shards_folder as shards_folder
from .shards.distributing import extract_shards as extract_shards
from .streaming import FeatureBatch as FeatureBatch, stream_features as stream_features
from .transformer import FeatureExtractor as FeatureExtractor
