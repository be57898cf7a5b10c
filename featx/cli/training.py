"""The command `train`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import (
    as_json,
    examples,
    option,
    together,
    with_balanced,
    with_seed,
    with_tuning,
)
from featx.cli.output import Verbosity, print_json, say
from featx.cli.splitting import HeldOut, with_held_out
from featx.cli.tables import TableChoice, read_chosen, with_choice
from featx.cli.types import Jobs, Name
from featx.settings import CENTER, FUSION_NAMES, HEAD_NAMES, VIEW_RULES

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.heads import Head, Result, ViewChoice
    from featx.tables import Duplicates


@dataclass(frozen=True)
class TransferSources:
    """What a head may take over parameters from."""

    heads: tuple[Path, ...]
    pool: tuple[Path, ...]

    def __post_init__(self) -> None:
        """Raise click's UsageError for images of a source without a head of it."""
        if self.pool and not self.heads:
            raise click.UsageError("--pool adds images of a source to its head; name the head with --from too.")

    def train(
        self, table: "FeatureTable", head: str, *, fusion: str, outputs: Sequence[str], views: "ViewChoice", **how: Any
    ) -> "tuple[Head, Result]":
        """The head and its result, with these sources if there are any. Raises what transfer_head raises."""
        from featx.heads import train_head
        from featx.tables import read_tables

        if not self.heads:
            return train_head(table, head, fusion=fusion, views=views, **how)
        from featx.transfer import transfer_head

        if fusion:
            raise click.UsageError("--from needs features as they are; leave --fusion out.")
        if views != "first":
            raise click.UsageError(f"--from reads view 0, as its sources do; leave --views {views} out.")
        pool = read_tables(self.pool, outputs=outputs) if self.pool else None
        return transfer_head(table, head, sources=self.heads, pool=pool, **how)


with_sources = together(
    TransferSources,
    "sources",
    click.option(
        "--from",
        "heads",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="SOURCE.featx",
        help="Draw the head towards this head of other images, if that helps. Repeat it for several.",
    ),
    click.option(
        "--pool",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="SOURCE.h5",
        help="With --from: labelled images of the source, which may be fitted too, if that helps more.",
    ),
)


@click.command(
    epilog=examples(
        "featx train photos.h5 --head logreg --into photos.featx",
        "featx train photos.h5 --head pca-svm --tuning folds:10 --into svm.featx",
        "featx train photos.h5 --head logreg --views auto --into views.featx",
        "featx train poly.h5 --from mono.featx --head logreg --into poly.featx",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--head", required=True, type=Name(HEAD_NAMES), help=f"The head: {', '.join(HEAD_NAMES)}.")
@click.option(
    "--fusion",
    default="",
    type=Name(FUSION_NAMES),
    help=f"How caches and outputs are joined: {', '.join(FUSION_NAMES)}.",
)
@with_sources
@option(
    "--views",
    type=click.Choice([*VIEW_RULES, "auto"]),
    default=VIEW_RULES[0],
    help="How views of an image in the caches are used: view 0 alone, the mean of their features, each as a row, or "
    "what is best on validation images.",
)
@with_held_out
@with_tuning
@with_balanced
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="H.featx", help="The head to write.")
@click.option("--overwrite", is_flag=True, help="Replace the head if it exists.")
@with_choice
@with_seed
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes that tune at the same time.  [default: one per core]")
@as_json
@click.pass_obj
def train(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    head: str,
    fusion: str,
    sources: TransferSources,
    views: "ViewChoice",
    held_out: HeldOut,
    tuning: str,
    balanced: bool,
    choice: TableChoice,
    into: Path,
    overwrite: bool,
    seed: int,
    jobs: int | None,
    json_: bool,
) -> None:
    """Tune, fit and measure a head on CACHES.

    Tuning and fitting never see the test images. These are the test images of the image set's own split; without a
    split they are a random quarter, in whole groups if there are groups. Several caches of the same images are fused by
    image name. A cache with several outputs gives the one that its card calls the feature, unless --output names
    others. With --from the head begins at the coefficients of heads of other images, by the names of classes; a source
    is not used if validation images speak against it, and the text says so.

    Caches may have several views of each image. --views mean or rows makes a head of them, which is tested against one
    of view 0 alone, and predict makes the same views of new images; --views auto uses them only if validation images
    are predicted better.
    """
    from featx.heads import find_recipe, reserve_head, save_head
    from featx.tables import find_duplicates, fuse_tables

    find_recipe(head)
    target = click.get_current_context().with_resource(reserve_head(into, overwrite=overwrite))
    table = fuse_tables(read_chosen(caches, choice))
    split = held_out.split(table, seed=seed)
    fitted, result = sources.train(
        table,
        head,
        fusion=fusion,
        outputs=choice.outputs,
        views=views,
        split=split,
        tuning=tuning,
        balanced=balanced,
        seed=seed,
        jobs=jobs,
    )
    save_head(fitted, target)
    duplicates = find_duplicates(table, split)
    if json_:
        print_json(result.to_dict() | {"duplicates": asdict(duplicates), "into": str(into)})
    elif not output.quiet:
        _print_result(result, duplicates)
        if unused := _describe_unused(table, views):
            say(f"- {unused}")
        say(f"{into}: saved")


def _print_result(result: "Result", duplicates: "Duplicates") -> None:
    from featx.report import out, print_sections, results_sections

    print_sections(results_sections([result]), to=out())
    say(f"- {duplicates.text}")


def _describe_unused(table: "FeatureTable", views: str) -> str:
    """That the caches have views which were not tried, and how to try them; empty if there are none."""
    known = dict.fromkeys(view for part in table.parts for view in part.known_views if view != CENTER)
    if views != "first" or not known:
        return ""
    return f"view 0 is used; the caches also have {', '.join(known)}, which --views auto tries"
