"""The command `compare`: caches x heads x fusions x splits."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import (
    FUSION_NAMES,
    HEAD_NAMES,
    MAX_SEED,
    Counts,
    Names,
    Output,
    as_json,
    option,
    print_json,
    with_balanced,
    with_tuning_folds,
)
from featx.cli.tables import (
    Choice,
    read_tables,
    with_choice,
)

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import Contest
    from featx.tables import Duplicates, Split


@dataclass(frozen=True)
class Contents:
    """What is compared, and on which splits."""

    heads: tuple[str, ...]
    fusions: tuple[str, ...]
    splits: tuple[str, ...]
    repeats: int | None
    folds: int | None
    shots: tuple[int, ...] | None
    tuning_folds: int | None
    balanced: bool
    seed: int

    def contests(self, caches: Sequence[Path], choice: Choice) -> "list[Contest]":
        """Every head, fusion and split of these caches. Raises as list_contests."""
        from featx.compare import list_contests
        from featx.heads import FUSIONS, HEADS, STACKED

        return list_contests(
            read_tables(caches, choice),
            heads=tuple(HEADS) if self.heads == ("all",) else self.heads,
            fusions=(*FUSIONS, STACKED) if self.fusions == ("all",) else self.fusions,
            splits=self._splits,
            folds=self.tuning_folds,
            balanced=self.balanced,
            seed=self.seed,
        )

    def check(self) -> None:
        """Raise click's UsageError for an option of splits that are not asked for."""
        for name, rule, more in (("folds", "k-fold", ", or --tuning-folds"), ("shots", "few-shot", "")):
            if getattr(self, name) is not None and rule not in self.splits:
                raise click.UsageError(
                    f"--{name} is of {rule} splits, but --splits is {','.join(self.splits)}; add it{more}"
                )

    def _splits(self, table: "FeatureTable") -> "list[Split]":
        from featx.tables import (
            FOLDS,
            SHOTS,
            make_splits,
        )

        folds, shots = self.folds or FOLDS, self.shots or SHOTS
        draw = functools.partial(make_splits, table, folds=folds, shots=shots, seed=self.seed)
        # beside others, the image set's own split is there once however often they are drawn
        once = ("official", "auto") if table.splits is not None and len(self.splits) > 1 else ()
        drawn = [split for rule in self.splits for split in draw(rule, repeats=None if rule in once else self.repeats)]
        return list({split.key: split for split in drawn}.values())


def with_contents(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is compared; they reach the command as one Contents."""

    @functools.wraps(command)
    def _gather(*args: Any, **given: Any) -> Any:
        contents = Contents(**{field.name: given.pop(field.name) for field in fields(Contents)})
        return command(*args, contents=contents, **given)

    decorated: Callable[..., Any] = _gather
    rules = "auto, official, stratified, grouped, blocks, k-fold, few-shot; several between commas."
    for decorate in (
        option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Of splits, folds and heads."),
        with_balanced,
        with_tuning_folds,
        click.option(
            "--shots", type=Counts(), help="Training images a class, of few-shot splits.  [default: 1,2,4,8,16,32,64]"
        ),
        click.option("--folds", type=click.IntRange(2), help="Of k-fold splits.  [default: 5]"),
        click.option("--repeats", type=click.IntRange(1), help="Draws of each split.  [default: few-shot 5, else 1]"),
        option("--splits", type=Names(), default="auto", help=rules),
        option(
            "--fusions", type=Names(), default="concat", help=f"Ways to join caches or outputs: {FUSION_NAMES}; or all."
        ),
        option("--heads", type=Names(), default="logreg", help=f"Between commas: {HEAD_NAMES}; or all."),
    ):
        decorated = decorate(decorated)
    return decorated


@click.command()
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_contents
@with_choice
@click.option("--into", type=click.Path(path_type=Path), metavar="R.jsonl", help="Keep results here; go on from there.")
@click.option("--jobs", type=click.IntRange(1), help="Processes that share the work.  [default: one a core]")
@as_json
@click.pass_obj
def compare(
    output: Output,
    *,
    caches: tuple[Path, ...],
    contents: Contents,
    choice: Choice,
    into: Path | None,
    jobs: int | None,
    json_: bool,
) -> int:
    """Train and measure heads on each of CACHES alone and on all of them fused, on the same images and splits.

    Each result is a JSON line of --into as soon as it is made; the same command goes on from what is there. Fusions are
    held against the best single backbone, with a paired test of the difference, as are all other heads. What cannot be
    made is told at the end, and the exit code is then 1.
    """
    from featx.compare import compare_backbones, stand
    from featx.report import (
        err,
        out,
        print_standings,
        tally_bar,
    )

    contents.check()
    contests = contents.contests(caches, choice)
    with tally_bar(quiet=output.quiet) as report:
        made = compare_backbones(contests, into=into, jobs=jobs, report=report)
    standings = stand(contests, made.results)
    there = {result.key for result in made.results}
    finished = [contest for contest in contests if contest.key in there]
    if json_:
        print_json(
            {
                "results": [result.to_dict() for result in made.results],
                "standings": [standing.to_dict() for standing in standings],
                "duplicates": {key: asdict(found) for key, found in _find_duplicates(finished).items()},
                "failures": [asdict(failure) for failure in made.failures],
                "into": str(into) if into else None,
            }
        )
    elif not output.quiet:
        print_standings(standings, duplicates=_find_duplicates(finished), to=out())
    for failure in made.failures:
        err().print(f"featx: no result of {failure.contest}: {failure.reason}", markup=False)
    return 1 if made.failures else 0


def _find_duplicates(contests: "Sequence[Contest]") -> "dict[str, Duplicates]":
    """By the key of the first split of each kind, as the widest table that could be learnt from has them."""
    from featx.tables import find_duplicates

    first = {contest.split.kind: contest.split.key for contest in reversed(contests)}
    widest = {}
    for contest in sorted(contests, key=lambda one: one.table.dim):
        if contest.split.key in first.values():
            widest[contest.split.key] = contest
    return {key: find_duplicates(contest.table, contest.split) for key, contest in widest.items()}
