"""Runs a suite: extracts, scores, trains and measures what is missing, into one folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from featx.compare import ComparisonProgress, compare_backbones
from featx.errors import FeatxError
from featx.heads import Result
from featx.suites.caching import extract_missing
from featx.suites.concluding import conclude
from featx.suites.failures import SuiteFailure
from featx.suites.files import LinesFile, locked_folder
from featx.suites.outcomes import SuiteOutcome
from featx.suites.preparing import PreparedSuite, PreparedTarget, prepare_suite
from featx.suites.progress import SuiteProgress, Work
from featx.suites.published import write_splits
from featx.suites.reading import check_suite, read_suite
from featx.suites.scoring import ScoreRow, score_target
from featx.suites.suite import Suite
from featx.suites.tabling import SuiteCandidate, TargetTables, count_splits, read_target


def run_suite(
    suite: Suite | Path | str,
    *,
    into: Path | str,
    jobs: int | None = None,
    models: Path | str | None = None,
    report: Callable[[SuiteProgress], None] = lambda progress: None,
) -> SuiteOutcome:
    """Run a suite, or that of a file, into the folder `into`: what it came to.

    Features that are missing are extracted into `caches/TARGET/BACKBONE.h5`. Every source is scored on the images to
    learn from of every split (`scores.jsonl`); every head is trained and measured on every source and split
    (`results.jsonl`); `splits.csv` says which image is in which part. Whatever is there already is not computed again,
    so that the same call continues a run that was interrupted. `leaderboard.csv`, `leaderboard.json`, `gain.jsonl` and
    `agreement.json` follow from these, and are written anew. What fails for one target or source is listed in
    `failures`, and tried again by the next call; all else is computed.

    Args:
        suite: the suite, or the path of its file.
        into: the folder.
        jobs: number of processes that train heads; by default one for each core.
        models: folder of further backbones.
        report: called with the progress, often.

    Raises SuiteError if the suite names what does not exist, before anything is computed; CacheLockedError if another
    process runs a suite into the folder.

    >>> import featx
    >>> target = featx.Target(name="shapes", images=("photos",))
    >>> source = featx.SourceModel(backbone="efficientnet-lite0", outputs=("features",))
    >>> suite = featx.Suite(targets=(target,), sources=(source,), protocol=featx.Protocol(heads=("ridge",)))
    >>> outcome = featx.run_suite(suite, into="study", jobs=1)
    >>> [(result.head, result.metrics.accuracy > 0.5) for result in outcome.results]
    [('ridge', True)]
    """
    suite = suite if isinstance(suite, Suite) else read_suite(suite)
    check_suite(suite)
    with locked_folder(Path(into)) as folder:
        prepared = prepare_suite(suite, models=models)
        return _Run(prepared, folder, Work(report), [], []).finish(jobs)


@dataclass(frozen=True)
class _Run:
    """A run of a suite into its folder."""

    prepared: PreparedSuite
    folder: Path
    work: Work
    failures: list[SuiteFailure]
    notes: list[str]

    def finish(self, jobs: int | None) -> SuiteOutcome:
        """Do all that is missing."""
        self._plan()
        targets = self._read_targets()
        self._write_splits(targets)
        candidates = self._list_candidates(targets)
        scores = self._score(targets, candidates)
        results = self._train(candidates, jobs)
        protocol = self.prepared.suite.protocol
        self.work.tell("the leaderboard")
        found = conclude(targets, candidates, results, scores, protocol=protocol, about=self.prepared.about)
        found.write(self.folder)
        return SuiteOutcome(
            folder=self.folder,
            results=results,
            scores=scores,
            leaderboard=found.leaderboard,
            predictions=found.predictions,
            agreement=found.agreement,
            gain=found.gain,
            failures=tuple(self.failures),
            notes=(*self.notes, *found.notes),
        )

    def _plan(self) -> None:
        """How much work there will be, as far as it is known before any image is read."""
        suite = self.prepared.suite
        images = [len(target.images) for target in self.prepared.targets if target.images is not None]
        outputs = sum(max(1, len(source.outputs)) for source in suite.sources)
        splits = sum(count_splits(target.splits or suite.protocol.splits, suite.protocol) for target in suite.targets)
        self.work.plan("extraction", sum(images) * len(suite.sources))
        self.work.plan("scores", splits * outputs)
        self.work.plan("heads", splits * outputs * len(suite.protocol.heads))

    def _read_targets(self) -> list[TargetTables]:
        """The tables of every target that has a cache; what is missing is extracted."""
        found = [self._read_target(target) for target in self.prepared.targets]
        return [target for target in found if target is not None]

    def _read_target(self, target: PreparedTarget) -> TargetTables | None:
        self.work.begin("extraction")
        extraction = extract_missing(self.prepared, target, self.folder, self.work)
        self.failures.extend(extraction.failures)
        self.notes.extend(extraction.notes)
        if not extraction.caches:
            return None
        try:
            tables = read_target(target, extraction.caches, self.prepared.suite.protocol)
        except FeatxError as error:
            self.failures.append(SuiteFailure(target.target.name, "", "tables", str(error)))
            return None
        if tables.left_out:
            shots = ", ".join(map(str, tables.left_out))
            self.notes.append(f"{tables.target}: a class has too few images for {shots} shots, which are left out")
        return tables

    def _write_splits(self, targets: Sequence[TargetTables]) -> None:
        """Publish the splits, unless the suite reads its splits from the very file."""
        path = self.folder / "splits.csv"
        read = [Path(file) for file in self.prepared.suite.split_files.values()]
        if not any(path.exists() and file.samefile(path) for file in read):
            write_splits({target.target: (target.joined, target.splits) for target in targets}, path)

    def _list_candidates(self, targets: Sequence[TargetTables]) -> list[SuiteCandidate]:
        found = list[SuiteCandidate]()
        for target in targets:
            try:
                found += target.candidates(self.prepared.suite.protocol)
            except FeatxError as error:
                self.failures.append(SuiteFailure(target.target, "", "heads", str(error)))
        return found

    def _score(self, targets: Sequence[TargetTables], candidates: Sequence[SuiteCandidate]) -> tuple[ScoreRow, ...]:
        """All scores; those that are missing are computed."""
        self.work.plan("scores", sum(len(target.blocks) * len(target.splits) for target in targets))
        self.work.plan("heads", len(candidates))
        file = LinesFile(self.folder / "scores.jsonl")
        rows = list[ScoreRow]()
        for target in targets:
            found, failures = score_target(target, self.prepared.suite.protocol, file, self.work)
            rows += found
            self.failures.extend(failures)
        return tuple(rows)

    def _train(self, candidates: Sequence[SuiteCandidate], jobs: int | None) -> tuple[Result, ...]:
        """The results of all candidates; those that are missing are computed."""
        self.work.begin("heads")
        counted = _Heads(self.work)
        compared = compare_backbones(candidates, into=self.folder / "results.jsonl", jobs=jobs, report=counted)
        targets = {candidate.name: candidate.target for candidate in candidates}
        for failure in compared.failures:
            target = targets[failure.candidate]
            source = failure.candidate.removeprefix(f"{target}: ")
            self.failures.append(SuiteFailure(target, source, "heads", failure.reason))
        return compared.results


@dataclass
class _Heads:
    """Counts heads that are trained."""

    work: Work
    finished: int = -1

    def __call__(self, progress: ComparisonProgress) -> None:
        if self.finished < 0:
            self.work.plan("heads", progress.total)
            self.work.found(progress.finished)
            self.work.tell("")
        else:
            self.work.done(progress.finished - self.finished, progress.last)
        self.finished = progress.finished
