"""The command `label-next`: which images to label first."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import as_json, examples, option, together, with_outputs, with_seed
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import with_annotations
from featx.settings import LABELLING_STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from featx.transfer import LabelPlan, PlacingProgress


@dataclass(frozen=True)
class LabellingOptions:
    """From which images how many are chosen, and how."""

    count: int
    strategy: str
    head: Path | None
    split: str | None
    outputs: tuple[str, ...]
    annotations: Path | None
    seed: int

    def suggest(self, caches: tuple[Path, ...], report: "Callable[[PlacingProgress], None]") -> "LabelPlan":
        """The images to label. Raises what featx.suggest_labels, and reading caches and annotations, raise."""
        from featx.heads import load_head
        from featx.tables import read_annotations, read_tables
        from featx.transfer import suggest_labels

        if self.head and self.outputs:
            raise click.UsageError("--head reads the outputs that it was trained on; leave --output out.")
        head = load_head(self.head) if self.head else None
        tables = read_tables(
            caches,
            outputs=self.outputs,
            sources=head.sources if head else (),
            annotations=None if self.annotations is None else read_annotations(self.annotations),
            split=self.split,
        )
        return suggest_labels(
            tables, count=self.count, strategy=self.strategy, head=head, seed=self.seed, report=report
        )


with_labelling_options = together(
    LabellingOptions,
    "options",
    option("--count", type=click.IntRange(1), metavar="N", default=20, help="Images to label."),
    option(
        "--strategy",
        type=click.Choice(LABELLING_STRATEGIES),
        default=LABELLING_STRATEGIES[0],
        help="typical: centres of clusters without a label; cover: near to many images; uncertain: where the head is "
        "unsure; mixed: typical for the first 20 labels, then near to many images of which the head is unsure.",
    ),
    click.option(
        "--head",
        type=click.Path(path_type=Path),
        metavar="H.featx",
        help="The head of uncertain and mixed.  [default: learnt from the labels so far]",
    ),
    click.option("--split", metavar="NAME", help="Only the images of this split of the image set."),
    with_outputs,
    with_annotations,
    with_seed,
)


@click.command(
    "label-next",
    epilog=examples(
        "featx label-next photos.h5 --count 50 --into next.csv",
        "featx label-next photos.h5 --annotations labels.csv --into next.csv",
    ),
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_labelling_options
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="N.csv", help="Write the list here, with a column for labels."
)
@click.option("--overwrite", is_flag=True, help="Replace the list if it exists.")
@as_json
@click.pass_obj
def label_next(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    options: LabellingOptions,
    into: Path | None,
    overwrite: bool,
    json_: bool,
) -> None:
    """Choose the images to label first.

    Images that have a label, in the cache or in --annotations, count as labelled; the others are chosen from. No image
    is chosen that equals another one, and every group has an image before any has two. With --into, fill in the column
    label of the list, and give it to --annotations of this command or of `featx train`.
    """
    from featx.report import label_plan_sections, out, placing_progress, print_sections, reserve_list, write_list

    with reserve_list(into, overwrite=overwrite) as target:
        with placing_progress(quiet=output.quiet) as report:
            plan = options.suggest(caches, report)
        rows = ((one.name, "", one.rank, one.why) for one in plan.suggestions)
        write_list(target, ("name", "label", "rank", "why"), rows)
    if json_:
        about = {"strategy": plan.strategy, "labelled": plan.labelled, "unlabelled": plan.unlabelled}
        print_json({"rows": plan.to_records(), **about, "notes": list(plan.notes), "into": into and str(into)})
    elif not output.quiet:
        print_sections(label_plan_sections(plan), to=out())
