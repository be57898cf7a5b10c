"""The command `compare`: caches x heads x fusions x splits."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.options import as_json, examples, option, together, with_balanced, with_seed, with_tuning
from featx.cli.output import Verbosity, print_json
from featx.cli.splitting import check_domains, with_domains
from featx.cli.tables import TableChoice, read_chosen, with_choice
from featx.cli.types import Jobs, Names, WholeNumbers
from featx.settings import FUSION_NAMES, HEAD_NAMES, SPLIT_RULES, VIEW_RULES, ViewRule

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import Candidate, ComparisonResults, FailedCandidate, Ranking
    from featx.tables import Duplicates, Split


@dataclass(frozen=True)
class ComparisonPlan:
    """What a comparison tries, and on which splits."""

    heads: tuple[str, ...]
    fusions: tuple[str, ...]
    views: tuple[ViewRule, ...]
    splits: tuple[str, ...]
    repeats: int | None
    folds: int | None
    shots: tuple[int, ...] | None
    source_domains: tuple[str, ...] | None
    target_domain: str | None
    tuning: str
    balanced: bool
    seed: int

    def __post_init__(self) -> None:
        """Raise click's UsageError for an option of a split rule that was not asked for."""
        given = ",".join(self.splits)
        if self.folds is not None and "k-fold" not in self.splits:
            raise click.UsageError(
                f"--folds is for k-fold splits, but --splits is {given}; add k-fold, or --tuning folds:{self.folds}."
            )
        if self.shots is not None and "few-shot" not in self.splits:
            raise click.UsageError(f"--shots is for few-shot splits, but --splits is {given}; add few-shot.")
        check_domains(self.source_domains, self.target_domain, rules=self.splits, given_by="--splits")

    def list_candidates(self, caches: Sequence[Path], choice: TableChoice) -> "list[Candidate]":
        """The candidates of these caches: every head, fusion and split. Raises what featx.list_candidates raises."""
        from featx.compare import list_candidates
        from featx.heads import FUSIONS, HEADS, STACKED

        return list_candidates(
            read_chosen(caches, choice),
            heads=tuple(HEADS) if self.heads == ("all",) else self.heads,
            fusions=(*FUSIONS, STACKED) if self.fusions == ("all",) else self.fusions,
            splits=self._make_splits,
            tuning=self.tuning,
            balanced=self.balanced,
            views=self.views,
            seed=self.seed,
        )

    def _make_splits(self, table: "FeatureTable") -> "list[Split]":
        """The splits of all rules, each once."""
        from featx.tables import FOLDS, SHOTS, make_splits

        make = functools.partial(
            make_splits,
            table,
            folds=self.folds or FOLDS,
            shots=self.shots or SHOTS,
            seed=self.seed,
            source_domains=self.source_domains or (),
            target_domain=self.target_domain,
        )
        found = [split for rule in self.splits for split in make(rule, repeats=self._repeats_of(rule, table))]
        return list({split.key: split for split in found}.values())

    def _repeats_of(self, rule: str, table: "FeatureTable") -> int | None:
        """The repeats of this rule; next to other rules, the image set's own split is used once."""
        fixed = rule in ("official", "auto") and table.splits is not None and len(self.splits) > 1
        return None if fixed else self.repeats


with_plan = together(
    ComparisonPlan,
    "plan",
    option("--heads", type=Names(), default="logreg", help=f"Heads: {', '.join(HEAD_NAMES)}; or all."),
    option("--fusions", type=Names(), default="concat", help=f"Fusions: {', '.join(FUSION_NAMES)}; or all."),
    option(
        "--views", type=Names(), default=VIEW_RULES[0], help=f"How views of images are used: {', '.join(VIEW_RULES)}."
    ),
    option("--splits", type=Names(), default="auto", help=f"Split rules: auto, {', '.join(SPLIT_RULES)}."),
    click.option(
        "--repeats", type=click.IntRange(1), metavar="N", help="Draws of each split.  [default: few-shot 5, else 1]"
    ),
    click.option("--folds", type=click.IntRange(2), metavar="K", help="Folds of k-fold splits.  [default: 5]"),
    click.option(
        "--shots",
        type=WholeNumbers(),
        help="Training images per class of few-shot splits.  [default: 1,2,4,8,16,32,64]",
    ),
    with_domains,
    with_tuning,
    with_balanced,
    with_seed,
)


@click.command(
    epilog=examples(
        "featx compare photos.h5 --heads logreg,ridge,knn --into results.jsonl",
        "featx compare photos.h5 --views first,mean --repeats 10",
        "featx compare a.h5 b.h5 --fusions all --splits stratified --repeats 5",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_plan
@with_choice
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="R.jsonl", help="Write results here, and continue from them."
)
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes that share the work.  [default: one per core]")
@with_documents
@with_overwrite
@as_json
@click.pass_obj
def compare(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    plan: ComparisonPlan,
    choice: TableChoice,
    into: Path | None,
    jobs: int | None,
    documents: DocumentPlan,
    overwrite: bool,
    json_: bool,
) -> int:
    """Compare heads, fusions and backbones on CACHES.

    Every head is tried on each cache alone and, by every fusion, on all of them, always with the same images and
    splits. Where caches have several views of each image, --views says by which rules they are used. Each result
    becomes a line of --into as soon as it is computed; run the same command again to continue. Every head is compared
    with the best single-backbone head by a paired test. Candidates that fail are listed at the end, and the exit code
    is then 1.
    """
    from featx.compare import compare_backbones, rank_candidates
    from featx.report import comparison_progress, err, out, print_sections, ranking_sections

    write = documents.reserve(overwrite=overwrite)
    candidates = plan.list_candidates(caches, choice)
    with comparison_progress(quiet=output.quiet) as report:
        compared = compare_backbones(candidates, into=into, jobs=jobs, report=report)
    ranking = rank_candidates(candidates, compared.results)
    keys = {result.key for result in compared.results}
    duplicates = _find_duplicates([candidate for candidate in candidates if candidate.key in keys])
    sections = ranking_sections(ranking, duplicates=duplicates)
    if json_:
        values = _describe(compared, ranking, duplicates)
        print_json(values | {"into": str(into) if into else None} | documents.to_dict())
    elif not output.quiet:
        print_sections(sections, to=out())
    for failure in compared.failures:
        err().print(f"featx: no result of {failure.candidate}: {failure.reason}", markup=False)
    write(sections)
    documents.announce(silent=json_ or output.quiet)
    return 1 if compared.failures else 0


def _describe(
    compared: "ComparisonResults", ranking: "Ranking", duplicates: "Mapping[str, Duplicates]"
) -> dict[str, Any]:
    """The comparison as plain JSON values."""
    return {
        "results": [result.to_dict() for result in compared.results],
        "standings": [place.to_dict() for place in ranking],
        "duplicates": {key: asdict(found) for key, found in duplicates.items()},
        "failures": [_describe_failure(failure) for failure in compared.failures],
    }


def _describe_failure(failure: "FailedCandidate") -> dict[str, Any]:
    return {"contest": failure.candidate, "reason": failure.reason}


def _find_duplicates(candidates: "Sequence[Candidate]") -> "dict[str, Duplicates]":
    """Near-duplicates by the key of the first split of each rule, in the widest table that uses this split."""
    from featx.tables import find_duplicates

    first = {candidate.split.kind: candidate.split.key for candidate in reversed(candidates)}
    widest = {}
    for candidate in sorted(candidates, key=lambda one: one.table.dim):
        if candidate.split.key in first.values():
            widest[candidate.split.key] = candidate
    return {key: find_duplicates(candidate.table, candidate.split) for key, candidate in widest.items()}
