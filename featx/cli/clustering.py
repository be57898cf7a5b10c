"""The command `cluster`: images in clusters by their features, without labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import as_json, examples, option, together, with_seed
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import TableChoice, read_chosen, with_choice_and_views
from featx.settings import CLUSTER_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from featx.transfer import Clustering, PlacingProgress


class ClusterNumber(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number of clusters above 0, or one of two words."""

    name = "K|auto|classes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number or the word."""
        if value in ("auto", "classes"):
            return value
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} should be a whole number above 0, auto or classes.", param, ctx)
        return int(value)


@dataclass(frozen=True)
class ClusterOptions:
    """How many clusters, and how they are made."""

    clusters: Any
    method: str
    seed: int

    def divide(
        self, caches: tuple[Path, ...], choice: TableChoice, report: "Callable[[PlacingProgress], None]"
    ) -> "Clustering":
        """The clusters. Raises what featx.cluster_features, and reading caches and annotations, raise."""
        from featx.transfer import cluster_features

        tables = read_chosen(caches, choice)
        return cluster_features(tables, clusters=self.clusters, method=self.method, seed=self.seed, report=report)


with_cluster_options = together(
    ClusterOptions,
    "options",
    option(
        "--clusters",
        type=ClusterNumber(),
        default="auto",
        help="Their number; auto: that of the highest silhouette, up to 50; classes: as many as there are classes.",
    ),
    option(
        "--method",
        type=click.Choice(CLUSTER_METHODS),
        default=CLUSTER_METHODS[0],
        help="kmeans assumes round clusters of about equal width; ward allows different sizes, and merges 5,000 images "
        "at most.",
    ),
    with_seed,
)


@click.command(
    epilog=examples(
        "featx cluster photos.h5",
        "featx cluster photos.h5 --clusters 12 --into clusters.csv",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_cluster_options
@with_choice_and_views
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="C.csv", help="Write name and cluster of each image here."
)
@click.option("--overwrite", is_flag=True, help="Replace the list if it exists.")
@as_json
@click.pass_obj
def cluster(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    options: ClusterOptions,
    choice: TableChoice,
    into: Path | None,
    overwrite: bool,
    json_: bool,
) -> None:
    """Divide images into clusters by their features.

    Each cluster has a size, its most typical image, and a silhouette: 1 if its images are far from other clusters, 0 if
    they are as near to the next one. Labels do not influence the clusters. Where images have labels, the usual measures
    say afterwards how well both agree.
    """
    from featx.report import cluster_sections, out, placing_progress, print_sections, reserve_list, write_list

    with reserve_list(into, overwrite=overwrite) as target:
        with placing_progress(quiet=output.quiet) as report:
            found = options.divide(caches, choice, report)
        rows = zip(found.names.tolist(), found.numbers.tolist(), strict=True)
        write_list(target, ("name", "cluster"), rows)
    if json_:
        print_json(found.to_dict() | {"into": into and str(into)})
    elif not output.quiet:
        print_sections(cluster_sections(found), to=out())
