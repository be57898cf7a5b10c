"""Finds the test images of a head again in the table that it was trained on."""

from collections.abc import Mapping
from typing import Any

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.hashing import hash_columns
from featx.heads.head import Head
from featx.tables import QUARTERS, SOURCE_TARGET, RowIndices, Split, make_splits


def is_of_training(head: Head, table: FeatureTable) -> bool:
    """Whether the table has exactly the images that the head's training began with."""
    return bool(head.training.get("images") == hash_columns([table.names]))


def find_unseen(head: Head, table: FeatureTable) -> RowIndices | None:
    """The test rows of the head in its own training table; None if the table is another, or its split is not known.

    The split is drawn again by its rule and seed, and used only if its test images are those that the head was measured
    on: annotations, for example, could have changed which images have a label.

    >>> import featx
    >>> from featx.heads import find_unseen
    >>> head, result = featx.train_head("photos.h5", "class-mean", jobs=1)
    >>> len(find_unseen(head, featx.read_features("photos.h5"))), result.metrics.n
    (15, 15)
    """
    if not is_of_training(head, table):
        return None
    found = find_split(table, str(head.training.get("split_key", "")), test=str(head.training.get("test", "")))
    return None if found is None else found.test


def find_split(table: FeatureTable, key: str, *, test: str) -> Split | None:
    """The split of the table with this key, as results name it; None if the digest of its test images is not `test`.

    >>> import featx
    >>> from featx.heads import find_split
    >>> table = featx.read_features("photos.h5")
    >>> _, result = featx.train_head(table, "class-mean", jobs=1)
    >>> find_split(table, result.split_key, test=result.test)
    Split: 35 training, 10 validation and 15 test images
      rule: stratified quarter held out, seed 0
    """
    if not key:
        return None
    try:
        splits = make_splits(table, **_how_drawn(key))
    except (TableError, ValueError):
        return None
    return next((one for one in splits if one.key == key and hash_columns([table.names[one.test]]) == test), None)


def _how_drawn(key: str) -> Mapping[str, Any]:
    """The arguments of `make_splits` that give, among others, the split with this key. Raises ValueError."""
    name, _, rest = key.partition("/")
    if name == "blocks":
        # the last quarter comes first; an earlier one that was not asked for may be impossible to test
        return {"rule": name, "repeats": QUARTERS - int(rest)}
    seed = int(rest.partition(".")[0] or 0)
    if name.endswith("-fold"):
        return {"rule": "k-fold", "folds": int(name.removesuffix("-fold")), "seed": seed}
    if name == SOURCE_TARGET:
        sources, _, target = rest.partition(".")[2].rpartition(">")
        return {"rule": name, "seed": seed, "source_domains": sources.split("+"), "target_domain": target}
    if name.startswith("few-shot-"):
        return {"rule": "few-shot", "shots": [int(name.removeprefix("few-shot-"))], "repeats": 1, "seed": seed}
    return {"rule": name, "seed": seed}
