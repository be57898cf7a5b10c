"""The command `compare`: caches x heads x fusions x splits."""

from pathlib import Path

import click

from featx.cli.options import (
    MAX_SEED,
    Counts,
    Names,
    Output,
    as_json,
    option,
    print_json,
    with_annotations,
    with_chosen_rows,
    with_outputs,
    with_tuning_folds,
)
from featx.cli.tables import read_tables


@click.command()
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("--heads", type=Names(), default="logreg", help="Between commas, or all.")
@option("--fusions", type=Names(), default="concat", help="Ways to join several caches or outputs, or all.")
@option("--splits", type=Names(), default="auto", help="auto, official, stratified, grouped, blocks, k-fold, few-shot.")
@click.option("--repeats", type=click.IntRange(1), help="Draws of each kind of split.  [default: few-shot 5, others 1]")
@option("--folds", type=click.IntRange(2), default=5, help="Of k-fold splits.")
@option("--shots", type=Counts(), default="1,2,4,8,16,32,64", help="Training images a class, of few-shot splits.")
@with_tuning_folds
@with_outputs
@with_chosen_rows
@with_annotations
@click.option("--into", type=click.Path(path_type=Path), metavar="R.jsonl", help="Keep results here; go on from there.")
@option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Of splits, folds and heads.")
@click.option("--jobs", type=click.IntRange(1), help="Processes that share the work.  [default: one a core]")
@as_json
@click.pass_obj
def compare(
    output: Output,
    *,
    caches: tuple[Path, ...],
    heads: tuple[str, ...],
    fusions: tuple[str, ...],
    splits: tuple[str, ...],
    repeats: int | None,
    folds: int,
    shots: tuple[int, ...],
    tuning_folds: int | None,
    outputs: tuple[str, ...],
    split: str | None,
    labels: tuple[str, ...],
    annotations: Path | None,
    into: Path | None,
    seed: int,
    jobs: int | None,
    json_: bool,
) -> None:
    """Train and measure heads on each of CACHES alone and on all of them fused, on the same images and splits.

    Each result is a JSON line of --into as soon as it is made; the same command goes on from what is there. Fusions are
    held against the best single backbone, with a paired test of the difference.
    """
    from featx.compare import compare_backbones, list_contests
    from featx.console import out, print_standings, tally_bar
    from featx.heads import FUSIONS, HEADS
    from featx.splits import make_splits
    from featx.standings import stand
    from featx.train import STACKED

    tables = read_tables(caches, outputs, annotations=annotations, split=split, labels=labels)
    contests = list_contests(
        tables,
        heads=tuple(HEADS) if heads == ("all",) else heads,
        fusions=(*FUSIONS, STACKED) if fusions == ("all",) else fusions,
        splits=lambda table: [
            made
            for rule in splits
            for made in make_splits(table, rule, repeats=repeats, folds=folds, shots=shots, seed=seed)
        ],
        folds=tuning_folds,
        seed=seed,
    )
    with tally_bar(quiet=output.quiet) as report:
        results = compare_backbones(contests, into=into, jobs=jobs, report=report)
    standings = stand(contests, results)
    if json_:
        print_json(
            {
                "results": [result.to_dict() for result in results],
                "standings": [standing.to_dict() for standing in standings],
                "into": str(into) if into else None,
            }
        )
    elif not output.quiet:
        print_standings(standings, to=out())
