"""Scores every source on the development images of every split, and keeps the scores in a file of lines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from featx.cache import FeatureTable
from featx.errors import FeatxError
from featx.measures import Interval
from featx.provenance import versions
from featx.suites.failures import SuiteFailure
from featx.suites.files import LinesFile
from featx.suites.progress import Work
from featx.suites.suite import Protocol
from featx.suites.tabling import TargetTables
from featx.tables import Split
from featx.transfer import SCORES, TransferScores, score_transferability

RANK = "rank"
"""Name of the row with the place of a source in the default ranking."""


@dataclass(frozen=True)
class ScoreRow:
    """One score of one source on the development images of one split, or its place in the ranking.

    >>> from featx.suites import ScoreRow
    >>> ScoreRow("k", "shapes", "stratified/0", None, "lite0", "features", 1280, "ridge", 0.9).tied is None
    True
    """

    key: str
    """Rows with equal keys have equal values."""
    target: str
    split: str
    """Key of the split."""
    shots: int | None
    backbone: str
    output: str
    columns: int
    """Number of columns of the source."""
    score: str
    """Name of the score, or `rank`."""
    value: float | None
    """Larger is better, but for `rank`; None if the score is not defined for such labels or such a source."""
    ci: Interval | None = None
    seconds: float = 0.0
    tied: bool | None = None
    """Of `rank`: whether the images cannot tell the source from the first."""


def score_target(
    target: TargetTables, protocol: Protocol, file: LinesFile, work: Work
) -> tuple[list[ScoreRow], list[SuiteFailure]]:
    """All rows of this target, of which those that the file lacks are computed and added to it; and what failed."""
    rows = []
    failures = []
    work.begin("scores")
    for split in target.splits:
        wanted = _Wanted(target, split, protocol, target.blocks)
        missing = wanted.missing(file)
        work.found(len(target.blocks) - len(missing))
        failures += _score_missing(wanted, file)
        work.done(len(missing), f"{target.target}, {split.key}")
        rows += wanted.rows(file)
    return rows, failures


def _score_missing(wanted: "_Wanted", file: LinesFile) -> list[SuiteFailure]:
    """Compute what is missing; a source that cannot be scored is left out, and returned with the reason."""
    try:
        wanted.add_missing(file)
    except FeatxError as error:
        failed = wanted.find_faulty()
        if not failed:
            return [SuiteFailure(wanted.target.target, "", "scores", f"{wanted.split.key}: {error}")]
        sound = tuple(block for block in wanted.blocks if name_of(block) not in failed)
        others = _score_missing(replace(wanted, blocks=sound), file) if sound else []
        return [*(wanted.failure(name, reason) for name, reason in failed.items()), *others]
    return []


def name_of(block: FeatureTable) -> tuple[str, str]:
    """Backbone and output of the table of one source."""
    return block.sources[0].name, block.sources[0].output


@dataclass(frozen=True)
class _Wanted:
    """The scores of all sources of one target on one split."""

    target: TargetTables
    split: Split
    protocol: Protocol
    blocks: tuple[FeatureTable, ...]
    """The tables of these sources."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores."""
        return tuple(SCORES) if self.protocol.scores == ("all",) else self.protocol.scores

    def key(self, table: FeatureTable, score: str, *, output: str = "") -> str:
        """Identifies a score of this table, or the rank of this source among those of the table."""
        found = versions()
        software = (f"{package} {found[package]}" for package in ("featx", "numpy"))
        about = (self.target.target, table.digest[:16], output, self.split.key, score, str(self.protocol.seed))
        return "/".join((*filter(None, about), *software))

    def keys(self, block: FeatureTable) -> dict[str, str]:
        """Score, and `rank` -> its key, for this source."""
        of_scores = {score: self.key(block, score) for score in self.scores}
        return of_scores | {RANK: self.key(self.target.joined, RANK, output=":".join(name_of(block)))}

    def missing(self, file: LinesFile) -> list[FeatureTable]:
        """The sources of which the file lacks a row."""
        return [block for block in self.blocks if not set(self.keys(block).values()) <= file.lines.keys()]

    def add_missing(self, file: LinesFile) -> None:
        """Add the rows that the file lacks: those of sources without scores, and the ranking of all sources."""
        missing = self.missing(file)
        unscored = [block for block in missing if not self._has_scores(block, file)]
        if unscored and len(unscored) < len(self.blocks):
            self._add(file, self._score(unscored, self.scores))
            unscored = []
        if missing:
            found = self._score(self.blocks, self.scores if unscored else ())
            self._add(file, found, ranked=True)

    def find_faulty(self) -> dict[tuple[str, str], str]:
        """Backbone and output of each source that cannot be scored even alone -> the reason."""
        faulty = {}
        for block in self.blocks:
            try:
                self._score([block], self.scores)
            except FeatxError as error:
                faulty[name_of(block)] = str(error)
        return faulty

    def failure(self, name: tuple[str, str], reason: str) -> SuiteFailure:
        """The failure of a source that cannot be scored."""
        return SuiteFailure(self.target.target, ":".join(name), "scores", f"{self.split.key}: {reason}")

    def _has_scores(self, block: FeatureTable, file: LinesFile) -> bool:
        return all(key in file.lines for score, key in self.keys(block).items() if score != RANK)

    def _score(self, blocks: Sequence[FeatureTable], scores: Sequence[str]) -> TransferScores:
        return score_transferability(blocks, scores=scores, rows=self.split.development, seed=self.protocol.seed)

    def _add(self, file: LinesFile, found: TransferScores, *, ranked: bool = False) -> None:
        """Add these scores to the file, and the ranking if it is of all sources."""
        blocks = {name_of(block): block for block in self.blocks}
        rows = [
            self._row(blocks[one.backbone, one.output], one.score, one.value, ci=one.ci, seconds=one.seconds)
            for one in found.rows
        ]
        if ranked:
            rows += [
                self._row(blocks[one.backbone, one.output], RANK, float(one.rank), tied=one.tied)
                for one in found.ranking
            ]
        file.add([asdict(row) for row in rows])

    def _row(self, block: FeatureTable, score: str, value: float | None, **about: Any) -> ScoreRow:
        backbone, output = name_of(block)
        return ScoreRow(
            key=self.keys(block)[score],
            target=self.target.target,
            split=self.split.key,
            shots=self.split.shots,
            backbone=backbone,
            output=output,
            columns=block.dim,
            score=score,
            value=value,
            **about,
        )

    def rows(self, file: LinesFile) -> list[ScoreRow]:
        """The rows of all sources that the file has."""
        keys = [key for block in self.blocks for key in self.keys(block).values()]
        return [_parse(file.lines[key]) for key in keys if key in file.lines]


def _parse(line: dict[str, Any]) -> ScoreRow:
    ci = line["ci"]
    return ScoreRow(**line | {"ci": None if ci is None else (ci[0], ci[1])})
