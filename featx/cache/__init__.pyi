from .creating import Provenance as Provenance, create_partial as create_partial
from .describing import CacheInfo as CacheInfo, describe_cache as describe_cache
from .exporting import Export as Export, export_cache as export_cache
from .file import (
    DONE as DONE,
    MAKERS as MAKERS,
    PENDING as PENDING,
    Cache as Cache,
    Storage as Storage,
    feature_path as feature_path,
    new_path as new_path,
    partial_path as partial_path,
)
from .locking import check_replaceable as check_replaceable, locked as locked
from .merging import merge_caches as merge_caches
from .opening import is_cache as is_cache, open_cache as open_cache
from .reading import list_outputs as list_outputs, read_features as read_features
from .table import (
    FailedImage as FailedImage,
    FeatureTable as FeatureTable,
    Part as Part,
    Source as Source,
    as_choice as as_choice,
    label_sources as label_sources,
)
from .verifying import verify_cache as verify_cache
from .writing import (
    CacheWriter as CacheWriter,
    Kept as Kept,
    Rows as Rows,
    copy_rows as copy_rows,
    seal as seal,
    storable as storable,
)
