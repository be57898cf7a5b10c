"""What follows from the results of a suite: gain, leaderboard and agreement, computed anew and written as wholes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featx.csv_columns import CsvWriter
from featx.errors import TableError
from featx.heads import Result
from featx.suites.agreement import Agreement, Prediction, measure_agreement, predict_fields
from featx.suites.files import write_json, written
from featx.suites.groups import group_fields
from featx.suites.leaderboard import Leaderboard, rank_sources_over_targets, to_columns
from featx.suites.scoring import ScoreRow
from featx.suites.standing import list_fields
from featx.suites.suite import Protocol
from featx.suites.tabling import SuiteCandidate, TargetTables
from featx.transfer import Gain, judge_gain


@dataclass(frozen=True)
class TargetGain:
    """What transfer is worth on one target."""

    target: str
    gain: Gain

    def to_records(self) -> list[dict[str, Any]]:
        """One flat row for each source and number of labels, with the name of the target."""
        return [{"target": self.target, **record} for record in self.gain.to_records()]


@dataclass(frozen=True)
class GroupAgreement:
    """How well one score predicts what the sources of one comparability group reach."""

    group: str
    agreement: Agreement

    def to_dict(self) -> dict[str, Any]:
        """The agreement as plain JSON values, with the name of the group."""
        return {"group": self.group, **asdict(self.agreement)}


@dataclass(frozen=True)
class Conclusions:
    """Gain, leaderboard and agreement of a suite."""

    leaderboard: Leaderboard
    predictions: Mapping[str, tuple[Prediction, ...]]
    """Name of each comparability group -> what was known of its sources before training, and what they reached."""
    agreement: tuple[GroupAgreement, ...]
    gain: tuple[TargetGain, ...]
    notes: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write `leaderboard.csv`, `leaderboard.json`, `agreement.json` and `gain.jsonl`. Raises SuiteError."""
        _write_table(to_columns(self.leaderboard), folder / "leaderboard.csv")
        write_json(self.leaderboard.to_dict(), folder / "leaderboard.json")
        write_json({"agreement": [one.to_dict() for one in self.agreement]}, folder / "agreement.json")
        with written(folder / "gain.jsonl", begins='{"target": "') as new:
            lines = [{"target": one.target, **asdict(row)} for one in self.gain for row in one.gain.rows]
            new.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def conclude(
    targets: Sequence[TargetTables],
    candidates: Sequence[SuiteCandidate],
    results: Sequence[Result],
    scores: Sequence[ScoreRow],
    *,
    protocol: Protocol,
    about: Mapping[tuple[str, str], Mapping[str, float]],
) -> Conclusions:
    """What follows from these results and scores; `about` says more of a source that may predict what it reaches."""
    fields = list_fields(targets, candidates, results)
    gain, notes = _judge(candidates, results)
    predictions = {
        grouped.group.name: tuple(predict_fields(grouped.fields, scores, about))
        for grouped in group_fields(fields, protocol)
    }
    return Conclusions(
        leaderboard=rank_sources_over_targets(fields, protocol),
        predictions=predictions,
        agreement=tuple(_agree(predictions)),
        gain=gain,
        notes=notes,
    )


def _judge(
    candidates: Sequence[SuiteCandidate], results: Sequence[Result]
) -> tuple[tuple[TargetGain, ...], tuple[str, ...]]:
    """The gain on each target, and notes on targets where there is none."""
    gains = []
    notes = []
    for target in dict.fromkeys(candidate.target for candidate in candidates):
        own = [candidate for candidate in candidates if candidate.target == target]
        try:
            gains.append(TargetGain(target, judge_gain(own, results)))
        except TableError as error:
            notes.append(f"{target}: no gain, for {error}")
    return tuple(gains), tuple(notes)


def _agree(predictions: Mapping[str, Sequence[Prediction]]) -> Iterable[GroupAgreement]:
    for group, known in predictions.items():
        for found in measure_agreement(known):
            yield GroupAgreement(group, found)


def _write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with written(path, begins="group,") as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.write(list(rows[0]) if rows else ["group", "place"])
        for row in rows:
            writer.write(["" if value is None else value for value in row.values()])
