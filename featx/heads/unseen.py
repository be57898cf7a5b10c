"""Finds the test images of a head again in the table that it was trained on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import HeadError, TableError
from featx.hashing import hash_columns
from featx.heads.evaluate import predict_rows
from featx.heads.head import Head
from featx.heads.results import unpack_guesses
from featx.labels import Labels
from featx.measures import correctness, log_losses
from featx.tables import QUARTERS, SOURCE_TARGET, RowIndices, Split, make_splits

LEAST_EQUAL = 0.8
"""Least share of test images that are predicted as after the training, if they are the same images."""
MOST_CHANGED = 0.1
"""Part of its log loss by which that may differ on the same images, because features were computed again."""
LEAST_CHANGED = 0.01
"""Nats by which a log loss near 0 may differ too."""
ROUNDING = 1e-9


def has_names_of_training(head: Head, table: FeatureTable) -> bool:
    """Whether the images have exactly the names of those that the head's training began with; they may be others."""
    return bool(head.training.get("images") == hash_columns([table.names]))


def is_of_training(head: Head, table: FeatureTable) -> bool:
    """Whether the table has the images of the head's training: their names, and nothing shows that they are others."""
    return has_names_of_training(head, table) and not tell_apart(head, table)


def find_unseen(head: Head, table: FeatureTable) -> RowIndices | None:
    """The test rows of the head in its own training table; None if the table is another, or its split is not known.

    The split is drawn again by its rule and seed, and used only if its test images are those that the head was measured
    on: annotations, for example, could have changed which images have a label. Another set of images may have the
    same names: the head's predictions, which differ from those that it recorded, show that.

    >>> import featx
    >>> from featx.heads import find_unseen
    >>> head, result = featx.train_head("photos.h5", "class-mean", jobs=1)
    >>> len(find_unseen(head, featx.read_features("photos.h5"))), result.metrics.n
    (15, 15)
    """
    rows = find_named(head, table)
    return None if rows is not None and _tell_apart(head, table, rows) else rows


def find_named(head: Head, table: FeatureTable) -> RowIndices | None:
    """The rows with the names of the head's test images, if all have names of its training, whatever they show."""
    if not has_names_of_training(head, table):
        return None
    found = find_split(table, str(head.training.get("split_key", "")), test=str(head.training.get("test", "")))
    return None if found is None else found.test


def tell_apart(head: Head, table: FeatureTable) -> str:
    """How images with the names of the head's training are known to be others, in words; empty if they are not.

    The table's digest settles it if it is that of the training, or of the domain that the head was adapted from. Else
    the images with the names of test images must be predicted as they were: at least 80 % of the classes as recorded,
    and a log loss within 10 % of the one measured then, unless the accuracy says that labels have changed. That is far
    more than another machine or decoder changes.
    Of heads without a record, and of a split that is not known, the names decide.
    """
    rows = find_named(head, table)
    return "" if rows is None else _tell_apart(head, table, rows)


def is_of_source(head: Head, table: FeatureTable) -> bool:
    """Whether the head was adapted from these images to another domain, whose images may have the same names.

    The digests of both domains decide; of another table the names, and how the head predicts its test images.
    """
    source = source_of_adaptation(head)
    if not source or table.digest == head.training.get("table"):
        return False
    if table.digest == source.get("table"):
        return True
    return bool(source.get("images") == hash_columns([table.names])) and not is_of_training(head, table)


def source_of_adaptation(head: Head) -> Mapping[str, Any]:
    """What the head recorded of the domain that it was adapted from; empty if it was not adapted."""
    adaptation = head.training.get("adaptation")
    source = adaptation.get("source") if isinstance(adaptation, dict) else None
    return source if isinstance(source, dict) else {}


def _tell_apart(head: Head, table: FeatureTable, rows: RowIndices) -> str:
    if table.digest == head.training.get("table") or not len(rows):
        return ""
    if table.digest == source_of_adaptation(head).get("table"):
        return "they are those of the domain that it was adapted from"
    if [one.backbone for one in head.sources] != [one.backbone for one in table.sources]:
        return ""
    try:
        probabilities, labels = predict_rows(head, table, rows)
    except (HeadError, TableError):
        return ""
    return _compare(head, probabilities, labels)


def _compare(head: Head, probabilities: NDArray[np.float64], labels: Labels) -> str:
    """What differs too much from the record of the head's test images, in words; empty if nothing does."""
    recorded = head.training.get("metrics")
    recorded = recorded if isinstance(recorded, dict) else {}
    equal = _share_of_equal(head, probabilities.argmax(axis=1))
    if equal is not None and equal < LEAST_EQUAL:
        return f"only {equal:.0%} of its test images have the class that it predicted after its training"
    then, accuracy = recorded.get("log_loss"), recorded.get("accuracy")
    if not isinstance(then, float) or not labels.weights.any():
        return ""
    if equal is not None and isinstance(accuracy, float):
        now = np.average(correctness(probabilities, labels), weights=labels.weights)
        if abs(now - accuracy) > 1 - equal + ROUNDING:
            return ""  # the same predictions are right more or less often: labels have changed, not images
    loss = float(np.average(log_losses(probabilities, labels), weights=labels.weights))
    if abs(loss - then) <= MOST_CHANGED * then + LEAST_CHANGED:
        return ""
    return f"its log loss on the names of its test images is {loss:.3g}, but was {then:.3g} after its training"


def _share_of_equal(head: Head, predicted: NDArray[np.int64]) -> float | None:
    """The share of test images that are predicted as after the training; None if the head does not know that."""
    try:
        guesses = unpack_guesses(str(head.training.get("guesses") or ""))
    except ValueError:
        return None
    return float(np.mean(guesses == predicted)) if len(guesses) == len(predicted) else None


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
