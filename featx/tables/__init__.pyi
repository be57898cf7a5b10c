from .annotations.joining import annotate as annotate
from .annotations.reading import (
    SEPARATOR as SEPARATOR,
    Annotations as Annotations,
    read_annotations as read_annotations,
)
from .given import GivenTables as GivenTables, as_tables as as_tables
from .joining import (
    as_table as as_table,
    fuse_tables as fuse_tables,
    separate_blocks as separate_blocks,
    table_without_features as table_without_features,
)
from .ranges import check_not_tiny as check_not_tiny, check_range as check_range
from .reading import read_tables as read_tables
from .rows import list_domains as list_domains, select_domains as select_domains, select_rows as select_rows
from .similarity import directions as directions
from .splits.beginning import first_rows as first_rows
from .splits.duplicates import Duplicates as Duplicates, find_duplicates as find_duplicates
from .splits.eligible import check_not_empty as check_not_empty, eligible_rows as eligible_rows
from .splits.few_shot import FEW_SHOT_REPEATS as FEW_SHOT_REPEATS, SHOTS as SHOTS, possible_shots as possible_shots
from .splits.folds import make_folds as make_folds, tuning_folds as tuning_folds
from .splits.rules import (
    FOLDS as FOLDS,
    QUARTERS as QUARTERS,
    make_splits as make_splits,
    split_table as split_table,
)
from .splits.sampling import hash_names as hash_names, shuffle_keys as shuffle_keys
from .splits.split import (
    LEAVE_ONE_DOMAIN_OUT as LEAVE_ONE_DOMAIN_OUT,
    SOURCE_TARGET as SOURCE_TARGET,
    RowIndices as RowIndices,
    Split as Split,
)
from .splits.unlearned import (
    learned_rows as learned_rows,
    tuned_names as tuned_names,
    unlearned_of as unlearned_of,
    without_learned as without_learned,
)
