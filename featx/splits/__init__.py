"""A table in; training, validation and test rows out, and folds to tune on: seeded, as row indices, without a leak."""

from featx.splits.duplicates import Duplicates, Twins, find_duplicates
from featx.splits.few_shot import SHOTS
from featx.splits.pool import Pool, check_any, taking_part
from featx.splits.rules import FOLDS, RULES, make_splits, split_table
from featx.splits.split import Rows, Split
from featx.splits.tuning import make_folds, tuning_folds

__all__ = [
    "FOLDS",
    "RULES",
    "SHOTS",
    "Duplicates",
    "Pool",
    "Rows",
    "Split",
    "Twins",
    "check_any",
    "find_duplicates",
    "make_folds",
    "make_splits",
    "split_table",
    "taking_part",
    "tuning_folds",
]
