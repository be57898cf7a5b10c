"""The feature file, the contract between extracting and learning; format 1 is written down in docs/cache.md."""

from featx.cache.file import DONE, PENDING, Cache, is_cache, open_cache, partial_path
from featx.cache.reading import (
    FailedImage,
    FeatureTable,
    Source,
    describe_cache,
    label_sources,
    list_outputs,
    read_features,
    verify_cache,
)
from featx.cache.writing import (
    CacheWriter,
    Kept,
    Provenance,
    Rows,
    create_partial,
    locked,
    seal,
)

__all__ = [
    "DONE",
    "PENDING",
    "Cache",
    "CacheWriter",
    "FailedImage",
    "FeatureTable",
    "Kept",
    "Provenance",
    "Rows",
    "Source",
    "create_partial",
    "describe_cache",
    "is_cache",
    "label_sources",
    "list_outputs",
    "locked",
    "open_cache",
    "partial_path",
    "read_features",
    "seal",
    "verify_cache",
]
