"""The command `score`: which source is likely to transfer, before any head is trained."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import as_json, examples, option, with_seed
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import TableChoice, read_chosen, with_choice
from featx.cli.types import Jobs, Names
from featx.settings import SCORE_NAMES

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import Ranking
    from featx.transfer import RankedSource


@click.command(
    epilog=examples(
        "featx score lite0.h5 lite1.h5 lite2.h5",
        "featx score lite0.h5 lite1.h5 --scores ridge,logme,knn --check 2 --json",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("--scores", type=Names(), default="ridge,press,logme", help=f"Scores: {', '.join(SCORE_NAMES)}; or all.")
@click.option("--check", type=click.IntRange(1), metavar="N", help="Then train logreg on the first N sources.")
@with_choice
@with_seed
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes of --check.  [default: one per core]")
@as_json
@click.pass_obj
def score(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    scores: tuple[str, ...],
    check: int | None,
    choice: TableChoice,
    seed: int,
    jobs: int | None,
    json_: bool,
) -> None:
    """Rank the sources in CACHES by how well they may transfer.

    A source is one output of one backbone, such as those of `featx extract --output`. Every source is scored on the
    same images, those that a head would learn from; no head is trained, and no test image is looked at. Sources that
    the images cannot tell from the first are called tied: these are the ones to train.
    """
    from featx.report import out, print_ranking, print_scores
    from featx.transfer import SCORES, score_transferability

    tables = read_chosen(caches, choice)
    found = score_transferability(tables, scores=tuple(SCORES) if scores == ("all",) else scores, seed=seed)
    checked = None if check is None else _train_first(tables, found.ranking[:check], seed=seed, jobs=jobs)
    if json_:
        trained = {} if checked is None else {"checked": [place.to_dict() for place in checked]}
        return print_json(asdict(found) | trained)
    if not output.quiet:
        print_scores(found, to=out())
        if checked is not None:
            print_ranking(checked, duplicates={}, to=out())
    return None


def _train_first(
    tables: "Sequence[FeatureTable]", ranking: "Sequence[RankedSource]", *, seed: int, jobs: int | None
) -> "Ranking":
    """The ranking of heads that were trained and tested on each of these sources alone."""
    from featx.compare import compare_backbones, list_candidates, rank_candidates
    from featx.tables import make_splits
    from featx.transfer import tables_of

    draw = partial(make_splits, seed=seed)
    sources = tables_of(tables, ranking)
    candidates = [one for table in sources for one in list_candidates(table, heads=["logreg"], splits=draw, seed=seed)]
    return rank_candidates(candidates, compare_backbones(candidates, jobs=jobs).results)
