"""The feature file, the contract between extracting and learning; format 1 is written down in docs/cache.md."""

from featx.cache.creating import Provenance, create_partial
from featx.cache.describing import CacheInfo, describe_cache
from featx.cache.exporting import Export, export_cache
from featx.cache.file import DONE, MAKERS, PENDING, Cache, Storage, feature_path, new_path, partial_path
from featx.cache.locking import locked
from featx.cache.merging import merge_caches
from featx.cache.opening import is_cache, open_cache
from featx.cache.reading import list_outputs, read_features
from featx.cache.table import FailedImage, FeatureTable, Part, Source, as_choice, label_sources
from featx.cache.verifying import verify_cache
from featx.cache.writing import CacheWriter, Kept, Rows, copy_rows, seal, storable

__all__ = [
    "DONE",
    "MAKERS",
    "PENDING",
    "Cache",
    "CacheInfo",
    "CacheWriter",
    "Export",
    "FailedImage",
    "FeatureTable",
    "Kept",
    "Part",
    "Provenance",
    "Rows",
    "Source",
    "Storage",
    "as_choice",
    "copy_rows",
    "create_partial",
    "describe_cache",
    "export_cache",
    "feature_path",
    "is_cache",
    "label_sources",
    "list_outputs",
    "locked",
    "merge_caches",
    "new_path",
    "open_cache",
    "partial_path",
    "read_features",
    "seal",
    "storable",
    "verify_cache",
]
