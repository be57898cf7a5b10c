"""Records in a head how it was adapted, and what it reached on the target's test images, so that a file can say it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from featx.hashing import hash_columns
from featx.heads import Head, evaluate_head
from featx.tables import RowIndices
from featx.transfer.adaptation.judging import Named
from featx.transfer.adaptation.setting import Setting
from featx.transfer.adaptation.target_rows import TargetRows
from featx.transfer.gaps.gap import Gap

OF_SOURCE = ("metrics", "guesses", "drawn", "test", "split", "split_key")
"""What a result says about its test images, which are here of the source."""


def record_adaptation(named: Named, *, setting: Setting, rows: TargetRows, gap: Gap) -> Head:
    """The head with `training` that is about the target: its images, its test images, and the measures on these.

    What its result says of the source's test images is kept under `adaptation`, with method, gap and both domains.
    `featx evaluate` finds the test images again in the target's own cache, so that it measures the same.
    """
    made = named.made
    training = made.result.to_dict()
    of_source = {name: training.pop(name) for name in OF_SOURCE} | {"images": training["images"]}
    training |= {
        "table": rows.table.digest,
        "images": hash_columns([rows.table.names]),
        "rows": {**training["rows"], "test": 0, "unlabelled": len(rows.seen)},
        "adaptation": {
            "method": named.name,
            "stands_for": made.method.name,
            "transductive": rows.transductive,
            "target_labels": made.target_labels,
            "target_shares": setting.target_shares and dict(setting.target_shares),
            "target_images": len(rows.seen),
            "gap": gap.to_dict(),
            "source": {"table": setting.source.digest, **of_source},
        },
    }
    return replace(made.head, training={**training, **_measured(made.head, rows, seed=setting.choice.seed)})


def _measured(head: Head, rows: TargetRows, *, seed: int) -> Mapping[str, Any]:
    """Test images of the target of classes that the head knows, and the measures on them; nothing without a split."""
    if rows.split is None:
        return {}
    tested = known_rows(head, rows)
    found: dict[str, Any] = {"test": hash_columns([rows.table.names[tested]])}
    found |= {"split": rows.split.rule, "split_key": rows.split.key}
    if len(tested):
        found["metrics"] = asdict(evaluate_head(head, rows.table, rows=tested, seed=seed))
    return found


def known_rows(head: Head, rows: TargetRows) -> RowIndices:
    """The test rows of the target whose classes the head knows."""
    assert rows.split is not None
    tested = rows.split.test
    unknown = [place for place, name in enumerate(rows.table.classes) if name not in head.classes]
    shares = rows.table.labels_of(tested).shares
    return np.asarray(tested[(shares[:, unknown] > 0).sum(axis=1) == 0])
