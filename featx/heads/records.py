"""Results as flat rows, for tables of any library."""

import json
from collections.abc import Iterable
from typing import Any

from featx.heads.results import Result
from featx.measures import MEASURE_TITLES


def to_records(results: Iterable[Result]) -> list[dict[str, Any]]:
    """One flat dict per result, as `pandas.DataFrame` and `polars.DataFrame` take them.

    All dicts have the same keys, and their values are numbers, strings, booleans or None. Every measure X of the test
    images has its 95 % interval in `X_low` and `X_high`; `measure` and `value` are the one that heads are compared by.
    Several backbones are joined by ` + `, and `params` is JSON. `domain` is None unless all test images are of one.
    `views` is the rule by which the views of images are used. `way` and `gamma` say what a head took over from heads
    of other images, and are None if it was trained without any.

    >>> import featx
    >>> _, result = featx.train_head(featx.read_features("photos.h5"), "class-mean", jobs=1)
    >>> (record,) = featx.to_records([result])
    >>> record["head"], record["backbones"], record["split"], record["n_test"]
    ('class-mean', 'efficientnet-lite0', 'stratified/0', 15)
    >>> record["accuracy_low"] <= record["accuracy"] <= record["accuracy_high"]
    True
    """
    return [_to_record(result) for result in results]


def _to_record(result: Result) -> dict[str, Any]:
    penalty = result.penalty
    return {
        "head": result.head,
        "fusion": result.fusion,
        "backbones": " + ".join(result.backbones),
        "split": result.split_key,
        "shots": result.shots,
        "domain": result.domain,
        "seed": result.seed,
        "measure": result.measure,
        "value": getattr(result.metrics, result.measure),
        **_measures(result),
        "majority_accuracy": result.metrics.majority_accuracy,
        "validated": result.validated,
        "validated_loss": result.validated_loss,
        **{f"n_{kind}": count for kind, count in result.rows.items()},
        "n_classes": len(result.classes),
        "labels": result.metrics.labels,
        "balanced": result.balanced,
        "folds": result.folds,
        "params": json.dumps(dict(result.params)),
        "l2": penalty.l2 if penalty else None,
        "C": penalty.C if penalty else None,
        "edge": result.edge,
        "temperature": result.temperature,
        "way": result.transferred.way if result.transferred else None,
        "gamma": result.transferred.gamma if result.transferred else None,
        "views": result.views.rule if result.views else "first",
        "seconds": result.seconds,
        "featx": result.versions["featx"],
        "table_digest": result.table,
        "test_digest": result.test,
        "key": result.key,
    }


def _measures(result: Result) -> dict[str, float | None]:
    """Every measure of the test images, with the ends of its interval."""
    columns = dict[str, float | None]()
    for name in MEASURE_TITLES:
        low, high = getattr(result.metrics, f"{name}_ci") or (None, None)
        columns |= {name: getattr(result.metrics, name), f"{name}_low": low, f"{name}_high": high}
    return columns
