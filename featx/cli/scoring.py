"""The command `score`: which source is likely to transfer, before any head is trained, or anything is extracted."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.choosing import TrialOptions, check_caches, check_usage, try_backbones, with_trial
from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.options import as_json, examples, option, with_seed, with_settings_and_decode
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import TableChoice, read_chosen, with_choice_and_views
from featx.cli.types import Jobs, Names
from featx.settings import SCORE_NAMES, Settings

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import Ranking
    from featx.report import Section
    from featx.transfer import RankedSource


@click.command(
    epilog=examples(
        "featx score lite0.h5 lite1.h5 lite2.h5",
        "featx score lite0.h5 lite1.h5 --scores ridge,logme,knn --check 2 --json",
        "featx score photos --backbones lite0,lite1 --sample 500 --budget 10m",
    )
)
@click.argument("sources", nargs=-1, required=True, metavar="CACHES|IMAGES...")
@option("--scores", type=Names(), default="ridge,press,logme", help=f"Scores: {', '.join(SCORE_NAMES)}; or all.")
@click.option("--check", type=click.IntRange(1), metavar="N", help="Then train logreg on the first N sources.")
@with_choice_and_views
@with_seed
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes of --check.  [default: one per core]")
@with_trial
@with_settings_and_decode
@with_documents
@with_overwrite
@as_json
@click.pass_obj
def score(
    output: Verbosity,
    *,
    sources: tuple[str, ...],
    scores: tuple[str, ...],
    check: int | None,
    choice: TableChoice,
    seed: int,
    jobs: int | None,
    trial: TrialOptions,
    settings: Settings,
    documents: DocumentPlan,
    overwrite: bool,
    json_: bool,
) -> int:
    """Rank the sources in CACHES by how well they may transfer, or try --backbones on IMAGES.

    A source is one output of one backbone, such as those of `featx extract --output`. Every source is scored on the
    same images, those that a head would learn from; no head is trained, and no test image is looked at. Sources that
    the images cannot tell from the first are called tied: these are the ones to train.

    With --backbones, IMAGES are as for `featx extract`, and nothing needs to be extracted. A sample goes through every
    backbone, in rounds of a quarter, half and all of it; those that are surely worse than the first are dropped after
    each round. The features are kept in --into: `featx extract` into DIR/NAME.h5 computes only the other images, and so
    does the same command. The exit code is 1 if a backbone could not be run.
    """
    from featx.report import out, print_sections, trials_sections
    from featx.transfer import SCORES

    check_usage(click.get_current_context(), images=bool(trial.backbones))
    write = documents.reserve(overwrite=overwrite)
    names = tuple(SCORES) if scores == ("all",) else scores
    if trial.backbones:
        tried = try_backbones(output, sources, trial=trial, settings=settings, scores=names, seed=seed)
        values, sections, code = asdict(tried), trials_sections(tried), 1 if tried.failed else 0
    else:
        check_caches(sources)
        tables = read_chosen([Path(one) for one in sources], choice)
        values, sections = _score_tables(tables, scores=names, check=check, seed=seed, jobs=jobs)
        code = 0
    write(sections)
    if json_:
        print_json(values | documents.to_dict())
    elif not output.quiet:
        print_sections(sections, to=out())
    documents.announce(silent=json_ or output.quiet)
    return code


def _score_tables(
    tables: "Sequence[FeatureTable]", *, scores: Sequence[str], check: int | None, seed: int, jobs: int | None
) -> "tuple[dict[str, Any], list[Section]]":
    """The scores of all outputs of these tables, and of heads that were trained on the first ones: JSON and report."""
    from featx.report import ranking_sections, scores_sections
    from featx.transfer import score_transferability

    found = score_transferability(tables, scores=scores, seed=seed)
    checked = None if check is None else _train_first(tables, found.ranking[:check], seed=seed, jobs=jobs)
    if checked is None:
        return asdict(found), scores_sections(found)
    trained = {"checked": [place.to_dict() for place in checked]}
    return asdict(found) | trained, [*scores_sections(found), *ranking_sections(checked)]


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
