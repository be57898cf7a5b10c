"""Recognises the JSON documents that commands print with `--json`, and reads them back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from featx.errors import FeatxError, ReportError, one_line
from featx.heads import LabelError, Result
from featx.measures import Comparison, HeadMetrics
from featx.report.split_rankings import KnownTests
from featx.suites import GroupAgreement, Leaderboard, read_agreement, read_leaderboard
from featx.tables import Duplicates
from featx.transfer import (
    Adaptation,
    Gain,
    Gap,
    LearningCurve,
    TransferScores,
    read_adaptation,
    read_curve,
    read_gain,
    read_gap,
    read_scores,
)

MOST_BYTES = 2**29
"""Larger documents are no output of featx."""
PRINTED_BY = "compare, train, score, gain, curve, gap, adapt, evaluate, label-errors and benchmark"


@dataclass(frozen=True)
class SuspectedLabels:
    """The images whose labels are most likely wrong."""

    images: int
    """Number of images that were looked at."""
    preferred_other: int
    """Number of images that look more like another class than their own."""
    ranking: tuple[LabelError, ...]


@dataclass(frozen=True)
class ComparedResults:
    """What `compare` or `train` printed: results, their tests, and near-duplicates by the key of a split."""

    results: tuple[Result, ...]
    tests: Mapping[tuple[str, str], KnownTests] = field(default_factory=dict)
    """Name of a candidate and its kind of splits -> its tests against the best single backbone."""
    duplicates: Mapping[str, Duplicates] = field(default_factory=dict)


@dataclass(frozen=True)
class PrintedSuite:
    """What `benchmark` printed."""

    leaderboard: Leaderboard
    agreement: tuple[GroupAgreement, ...]
    notes: tuple[str, ...]


Document: TypeAlias = (
    ComparedResults
    | SuspectedLabels
    | PrintedSuite
    | HeadMetrics
    | TransferScores
    | Gain
    | LearningCurve
    | Gap
    | Adaptation
)


def read_document(path: Path) -> Document:
    """What a command printed into this file with `--json`.

    Raises ReportError if the file is no JSON document of featx, or damaged.
    """
    values = _load(path)
    for keys, read in _READERS:
        if keys <= values.keys():
            try:
                return read(values)
            except (FeatxError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise ReportError(
                    f"{path}: looks like what featx prints with --json, but cannot be read "
                    f"({one_line(error)[:200]}); run the command again"
                ) from error
    raise _unknown(path, values)


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ReportError(f"{path}: is larger than {MOST_BYTES:,} bytes, and so is no document that featx printed")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"{path}: not a JSON document ({one_line(error)[:200]}); print it with --json and nothing else"
        ) from error
    if not isinstance(values, dict):
        raise _unknown(path, {})
    return values


def _unknown(path: Path, values: Mapping[str, Any]) -> ReportError:
    keys = f", whose keys are {', '.join(map(str, list(values)[:6]))}" if values else ""
    return ReportError(
        f"{path}: a JSON document that a report does not know{keys}; give what {PRINTED_BY} print with --json"
    )


def _read_compared(values: dict[str, Any]) -> ComparedResults:
    tests = {(str(one["name"]), str(one["splits"])): _read_tests(one) for one in values["standings"]}
    duplicates = msgspec.convert(values["duplicates"], dict[str, Duplicates])
    results = tuple(check_result(Result.from_dict(one)) for one in values["results"])
    return ComparedResults(results, tests, duplicates)


def _read_tests(values: Mapping[str, Any]) -> KnownTests:
    return KnownTests(
        comparison=msgspec.convert(values["comparison"], Comparison | None),
        mcnemar=msgspec.convert(values.get("mcnemar"), Comparison | None),
        chosen_per_split=msgspec.convert(values.get("chosen_per_split"), float | None),
    )


def _read_trained(values: dict[str, Any]) -> ComparedResults:
    result = check_result(Result.from_dict(values))
    return ComparedResults((result,), {}, {result.split_key: msgspec.convert(values["duplicates"], Duplicates)})


def _read_scores(values: dict[str, Any]) -> TransferScores:
    scores = read_scores(values)
    names = {row.score for row in scores.rows}
    known = {(row.backbone, row.output, row.score) for row in scores.rows}
    if not names or {(one.backbone, one.output, name) for one in scores.ranking for name in names} - known:
        raise ValueError("a source of the ranking has no score")
    return scores


def _read_metrics(values: dict[str, Any]) -> HeadMetrics:
    metrics = HeadMetrics.from_dict(values)
    check_confusion(metrics)
    return metrics


def check_result(result: Result) -> Result:
    """The result. Raises ValueError if its parts do not fit each other."""
    check_confusion(result.metrics)
    missing = [name for name in ("featx", "numpy", "scikit-learn") if name not in result.versions]
    if missing:
        raise ValueError(f"the version of {', '.join(missing)} is missing")
    return result


def check_confusion(metrics: HeadMetrics) -> None:
    """Raise ValueError unless the confusion matrix, if there is one, has a row and a column for each class."""
    if metrics.confusion is None:
        return
    classes = len(metrics.per_class)
    if {len(metrics.confusion), *map(len, metrics.confusion)} != {classes}:
        raise ValueError(f"the confusion matrix is not of {classes} classes")
    if any(count < 0 for counts in metrics.confusion for count in counts):
        raise ValueError("a number of images is below 0")


def _read_suite(values: dict[str, Any]) -> PrintedSuite:
    notes = tuple(map(str, values.get("notes", ())))
    return PrintedSuite(read_leaderboard(values["leaderboard"]), read_agreement(values["agreement"]), notes)


_READERS: tuple[tuple[set[str], Callable[[dict[str, Any]], Document]], ...] = (
    ({"results", "standings", "duplicates"}, _read_compared),
    ({"head", "metrics", "split_key", "duplicates"}, _read_trained),
    ({"leaderboard", "agreement"}, _read_suite),
    ({"images", "preferred_other", "ranking"}, lambda values: msgspec.convert(values, SuspectedLabels)),
    ({"rows", "gap", "measure"}, read_adaptation),
    ({"rows", "baselines", "measure"}, read_gain),
    ({"rows", "labels_needed", "labels_saved"}, read_curve),
    ({"gap"}, lambda values: read_gap(values["gap"])),
    ({"rows", "ranking", "notes"}, _read_scores),
    ({"accuracy", "per_class", "confusion"}, _read_metrics),
)
"""The keys by which a document is recognised, and what reads it; the first that fits."""
