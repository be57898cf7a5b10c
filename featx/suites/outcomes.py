"""What a run of a suite comes to, which can be read back from its folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from featx.errors import FeatxError, SuiteError, one_line
from featx.heads import Result, read_results
from featx.showing import Overview, Shown
from featx.suites.agreement import Agreement, Prediction
from featx.suites.concluding import GroupAgreement, TargetGain
from featx.suites.failures import SuiteFailure
from featx.suites.leaderboard import Leaderboard
from featx.suites.scoring import ScoreRow
from featx.transfer import Gain, SourceGain

Kind = TypeVar("Kind")
NEEDED = ("leaderboard.json", "agreement.json", "results.jsonl")
"""Files without which a folder is not that of a finished suite."""


@dataclass(frozen=True, repr=False)
class SuiteOutcome(Shown):
    """What the run of a suite came to, and where it is.

    >>> import featx
    >>> suite = featx.Suite(
    ...     targets=(featx.Target(name="shapes", images=("photos",)),),
    ...     sources=(featx.SourceModel(backbone="raw-pixels"),),
    ...     protocol=featx.Protocol(heads=("ridge", "class-mean"), device="cpu"),
    ... )
    >>> outcome = featx.run_suite(suite, into="study", jobs=1)
    >>> outcome
    SuiteOutcome: 2 results in study, 0 failures
    >>> sorted({row.score for row in outcome.scores})
    ['logme', 'press', 'rank', 'ridge']
    """

    folder: Path
    results: tuple[Result, ...]
    scores: tuple[ScoreRow, ...]
    leaderboard: Leaderboard
    predictions: Mapping[str, tuple[Prediction, ...]]
    """Name of each comparability group -> what was known of its sources before training, and what they reached.

    `featx.suites.measure_agreement` takes them, those of some targets alone too.
    """
    agreement: tuple[GroupAgreement, ...]
    """How well each score predicts what sources reach."""
    gain: tuple[TargetGain, ...]
    """What each source is worth against the best baseline."""
    failures: tuple[SuiteFailure, ...]
    """What has no result; the same command tries it again."""
    notes: tuple[str, ...]
    """What a reader must know."""

    @property
    def results_path(self) -> Path:
        """The file of all results, which `featx.read_results` reads."""
        return self.folder / "results.jsonl"

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain JSON values, with the path of the file of results in place of the results."""
        return {
            "results": str(self.results_path),
            "leaderboard": self.leaderboard.to_dict(),
            "agreement": [one.to_dict() for one in self.agreement],
            "gain": [record for one in self.gain for record in one.to_records()],
            "failures": [asdict(failure) for failure in self.failures],
            "notes": list(self.notes),
        }

    def overview(self) -> Overview:
        """The number of results, their folder and the number of failures."""
        count = len(self.failures)
        return Overview(f"SuiteOutcome: {len(self.results)} results in {self.folder}, {count} failures", ())


def is_suite_folder(folder: Path) -> bool:
    """Whether a suite has finished in this folder.

    >>> from pathlib import Path
    >>> from featx.suites import is_suite_folder
    >>> is_suite_folder(Path("photos"))
    False
    """
    return all((folder / name).is_file() for name in NEEDED)


def read_outcome(folder: Path | str) -> SuiteOutcome:
    """What the suite came to that ran into this folder, without what it printed of failures.

    Predictions are not kept in the folder, and empty. Raises SuiteError if the folder is not that of a finished suite,
    or if a file there is damaged.

    >>> import featx
    >>> target = featx.Target(name="shapes", images=("photos",))
    >>> source = featx.SourceModel(backbone="raw-pixels")
    >>> suite = featx.Suite(targets=(target,), sources=(source,), protocol=featx.Protocol(heads=("class-mean",)))
    >>> outcome = featx.run_suite(suite, into="means", jobs=1)
    >>> found = featx.suites.read_outcome("means")
    >>> found.leaderboard == outcome.leaderboard, len(found.results), len(found.scores) == len(outcome.scores)
    (True, 1, True)
    """
    folder = Path(folder)
    if not is_suite_folder(folder):
        raise SuiteError(
            f"{folder}: not the folder of a finished suite, which has {', '.join(NEEDED)}; give the --into of "
            "`featx benchmark`"
        )
    try:
        board = read_leaderboard(json.loads(_text(folder / "leaderboard.json")))
        return SuiteOutcome(
            folder=folder,
            results=tuple(read_results(folder / "results.jsonl")),
            scores=_lines(folder / "scores.jsonl", ScoreRow),
            leaderboard=board,
            predictions={},
            agreement=read_agreement(json.loads(_text(folder / "agreement.json"))["agreement"]),
            gain=_read_gain(folder / "gain.jsonl", board),
            failures=(),
            notes=(),
        )
    except FeatxError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SuiteError(
            f"{folder}: a file of the suite cannot be read ({one_line(error)[:200]}); run `featx benchmark` again"
        ) from error


def read_leaderboard(values: Mapping[str, Any]) -> Leaderboard:
    """The leaderboard from plain JSON values. Raises msgspec.ValidationError for other values.

    >>> from featx.suites import read_leaderboard
    >>> read_leaderboard({"groups": [], "rows": [], "uninformative": [], "notes": ["none"]}).notes
    ('none',)
    """
    return msgspec.convert(values, Leaderboard)


def read_agreement(values: list[Mapping[str, Any]]) -> tuple[GroupAgreement, ...]:
    """The agreement of scores from plain JSON values. Raises msgspec.ValidationError or KeyError for other values.

    >>> from featx.suites import read_agreement
    >>> read_agreement([])
    ()
    """
    return tuple(GroupAgreement(str(one["group"]), msgspec.convert(one, Agreement)) for one in values)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _lines(path: Path, kind: type[Kind]) -> tuple[Kind, ...]:
    if not path.exists():
        return ()
    return tuple(msgspec.convert(json.loads(line), kind) for line in _text(path).splitlines())


def _read_gain(path: Path, board: Leaderboard) -> tuple[TargetGain, ...]:
    """The gain on each target; what it measures is said by the leaderboard."""
    measures = {target.name: target.measure for group in board.groups for target in group.targets}
    of_target = dict[str, list[SourceGain]]()
    for line in _text(path).splitlines() if path.exists() else []:
        values = json.loads(line)
        of_target.setdefault(str(values["target"]), []).append(msgspec.convert(values, SourceGain))
    return tuple(
        TargetGain(name, Gain(tuple(rows), (), measures.get(name, "accuracy"), ())) for name, rows in of_target.items()
    )
