from .choosing import choose_images as choose_images, unknown_name as unknown_name
from .costs import Cost as Cost, cost_of as cost_of
from .creating import Provenance as Provenance, create_partial as create_partial
from .describing import CacheInfo as CacheInfo, describe_cache as describe_cache
from .exporting import Export as Export, export_cache as export_cache
from .file import (
    DECISIVE_PACKAGES as DECISIVE_PACKAGES,
    DONE as DONE,
    PENDING as PENDING,
    Cache as Cache,
    feature_path as feature_path,
    partial_path as partial_path,
)
from .locking import lock_cache as lock_cache
from .merging import merge_caches as merge_caches, merge_into as merge_into
from .opening import is_cache as is_cache, open_cache as open_cache
from .parquet_rows import ParquetRows as ParquetRows, is_parquet_of as is_parquet_of
from .reading import list_outputs as list_outputs, read_features as read_features, read_rows as read_rows
from .table import (
    FailedImage as FailedImage,
    FeatureTable as FeatureTable,
    Part as Part,
    Source as Source,
    compact_rows as compact_rows,
    identify_source as identify_source,
    join_views as join_views,
    label_sources as label_sources,
)
from .verifying import verify_cache as verify_cache
from .views import choose_views as choose_views, replace_parts as replace_parts, use_views as use_views
from .writing import (
    CacheWriter as CacheWriter,
    ComputedRows as ComputedRows,
    KeptRows as KeptRows,
    copy_rows as copy_rows,
    seal as seal,
    storable as storable,
)
