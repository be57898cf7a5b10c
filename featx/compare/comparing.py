"""Runs candidates in parallel and saves each result as soon as it is computed."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.compare.candidates import Candidate, CandidateOutcome, FailedCandidate
from featx.heads import Result, ResultsFile, to_records
from featx.processes import run_parallel
from featx.showing import Overview, Shown, shorten

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparisonProgress:
    """How far a comparison is."""

    finished: int
    """Number of candidates that have ended, including those that failed."""
    total: int
    last: str
    """Name of the candidate that ended last; empty before the first one."""


@dataclass(frozen=True, repr=False)
class ComparisonResults(Shown):
    """The results of a comparison, and the candidates without a result, in the order of the candidates.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["class-mean"], splits=featx.make_splits)
    >>> compared = featx.compare_backbones(candidates, jobs=1)
    >>> [(record["head"], record["split"]) for record in compared.to_records()]
    [('class-mean', 'stratified/0')]
    >>> compared.failures
    ()
    """

    results: tuple[Result, ...]
    failures: tuple[FailedCandidate, ...]

    def to_records(self) -> list[dict[str, Any]]:
        """One flat row for each result, as `featx.to_records` gives them."""
        return to_records(self.results)

    def overview(self) -> Overview:
        """How many results there are, of which heads and backbones, and which candidates failed."""
        heads = dict.fromkeys(result.head for result in self.results)
        backbones = dict.fromkeys(" + ".join(result.backbones) for result in self.results)
        facts = (
            ("heads", shorten(heads)),
            ("backbones", shorten(backbones)),
            ("failed", shorten([failure.candidate for failure in self.failures], most=3)),
        )
        return Overview(f"ComparisonResults: {len(self.results)} results, {len(self.failures)} failures", facts)


def compare_backbones(
    candidates: Sequence[Candidate],
    *,
    into: Path | str | None = None,
    jobs: int | None = None,
    report: Callable[[ComparisonProgress], None] = lambda progress: None,
) -> ComparisonResults:
    """Train and measure every candidate: its result, or the reason why it has none.

    Each result is appended to the file `into` as soon as it is computed (or at the end, if the joblib backend hands
    all results over at once). Candidates with a result in that file are not run again; those that failed are. `jobs`
    processes, or the workers of the active joblib backend, share the work: by default one for each core, and one with
    all cores for candidates with large features. Raises TableError if `into` is not a file of results.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> candidates = featx.list_candidates([table], heads=["ridge", "class-mean"], splits=featx.make_splits)
    >>> featx.compare_backbones(candidates, jobs=1)
    ComparisonResults: 2 results, 0 failures
      heads: ridge, class-mean
      backbones: efficientnet-lite0
    """
    failures = dict[str, FailedCandidate]()
    logged = set[str]()
    with ResultsFile(into) as saved:
        missing = {candidate.key: candidate for candidate in candidates if candidate.key not in saved.results}
        total = len({candidate.key for candidate in candidates})
        finished = total - len(missing)
        report(ComparisonProgress(finished, total, ""))
        for count, ended in enumerate(_run(list(missing.values()), jobs), start=finished + 1):
            outcome = ended.outcome if ended.key in missing else _reject_other_versions(ended)
            if isinstance(outcome, FailedCandidate):
                failures[ended.name] = outcome
            else:
                saved.append(outcome)
            _log_warnings(ended, logged)
            report(ComparisonProgress(count, total, ended.name))
        results = [saved.results[candidate.key] for candidate in candidates if candidate.key in saved.results]
    failed = [failures[candidate.name] for candidate in missing.values() if candidate.name in failures]
    return ComparisonResults(tuple(results), tuple(failed))


def _run(candidates: Sequence[Candidate], jobs: int | None) -> Iterator[CandidateOutcome]:
    """The outcomes in the order in which they end: small candidates in parallel, then large ones, each on all cores."""
    small = [candidate for candidate in candidates if jobs or not candidate.large]
    large = [candidate for candidate in candidates if not jobs and candidate.large]
    yield from run_parallel([candidate.run for candidate in small], jobs=jobs, ordered=False)
    for candidate in large:
        yield candidate.run()


def _log_warnings(ended: CandidateOutcome, logged: set[str]) -> None:
    """Log each warning of a candidate once, however many candidates have it."""
    for text in ended.warnings:
        if text not in logged:
            logger.warning("%s: %s", ended.name, text)
            logged.add(text)


def _reject_other_versions(ended: CandidateOutcome) -> FailedCandidate:
    """The failure that replaces a result of a worker with other package versions."""
    if isinstance(ended.outcome, FailedCandidate):
        return ended.outcome
    found = ended.key.partition("featx ")[2]
    reason = f"a worker with other package versions computed it ({found}); install the same versions on every worker"
    return FailedCandidate(ended.name, reason)
