"""Reads back what the commands `gain`, `curve`, `gap`, `adapt` and `score` print as JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec

from featx.compare import FailedCandidate
from featx.transfer.adaptation.adaptation import Adaptation, AdaptationRow
from featx.transfer.curves.needed import LabelsNeeded, LabelsSaved
from featx.transfer.curves.points import CurvePoint
from featx.transfer.curves.tracing import LearningCurve
from featx.transfer.gains.gain import Gain
from featx.transfer.gaps.gap import Gap
from featx.transfer.scores.scoring import TransferScores


def read_gain(values: Mapping[str, Any]) -> Gain:
    """The gain from plain JSON values. Raises msgspec.ValidationError for other values.

    >>> import featx
    >>> from featx.transfer import read_gain
    >>> gain = featx.measure_gain(["photos.h5"], heads=["ridge"], shots=[2], jobs=1)
    >>> read_gain(gain.to_dict()) == gain
    True
    """
    return msgspec.convert(values, Gain)


def read_gap(values: Mapping[str, Any]) -> Gap:
    """The gap from plain JSON values. Raises msgspec.ValidationError for other values.

    >>> import featx
    >>> from featx.transfer import read_gap
    >>> gap = featx.measure_gap("photos.h5", "photos.h5")
    >>> read_gap(gap.to_dict()) == gap
    True
    """
    return msgspec.convert(values, Gap)


def read_scores(values: Mapping[str, Any]) -> TransferScores:
    """The scores from plain JSON values. Raises msgspec.ValidationError for other values.

    >>> import featx
    >>> from dataclasses import asdict
    >>> from featx.transfer import read_scores
    >>> scores = featx.score_transferability(["photos.h5"])
    >>> read_scores(asdict(scores)) == scores
    True
    """
    return msgspec.convert(values, TransferScores)


def read_adaptation(values: Mapping[str, Any]) -> Adaptation:
    """The adaptation from plain JSON values, without its head. Raises msgspec.ValidationError for other values.

    >>> import featx
    >>> from featx.transfer import read_adaptation
    >>> adaptation = featx.adapt_head("photos.h5", "photos.h5", head="ridge", jobs=1)
    >>> read_adaptation(adaptation.to_dict()).rows == adaptation.rows
    True
    """
    return Adaptation(
        rows=msgspec.convert(values["rows"], tuple[AdaptationRow, ...]),
        gap=read_gap(values["gap"]),
        head=None,
        measure=msgspec.convert(values["measure"], str),
        notes=msgspec.convert(values["notes"], tuple[str, ...]),
    )


def read_curve(values: Mapping[str, Any]) -> LearningCurve:
    """The learning curves from plain JSON values. Raises msgspec.ValidationError or KeyError for other values.

    >>> import featx
    >>> from featx.transfer import read_curve
    >>> curve = featx.trace_curve(["photos.h5"], heads=["class-mean"], shots=[1, 4], repeats=3, jobs=1)
    >>> read_curve(curve.to_dict()) == curve
    True
    """
    rows = [{**row, "value": row[row["measure"]]} for row in values["rows"]]
    return LearningCurve(
        rows=msgspec.convert(rows, tuple[CurvePoint, ...]),
        labels_needed=msgspec.convert(values["labels_needed"], tuple[LabelsNeeded, ...]),
        labels_saved=msgspec.convert(values["labels_saved"], tuple[LabelsSaved, ...]),
        failures=msgspec.convert(values["failures"], tuple[FailedCandidate, ...]),
        notes=msgspec.convert(values["notes"], tuple[str, ...]),
    )
