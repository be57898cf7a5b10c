"""The command `finetune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import (
    HOW_TO_RUN,
    as_json,
    examples,
    option,
    together,
    with_decode,
    with_label_column,
    with_models,
    with_root,
    with_seed,
)
from featx.cli.output import Verbosity, print_json, say
from featx.cli.sources import list_given
from featx.cli.types import BackboneName, Views
from featx.settings import STORAGES, TUNING_RATE, TUNING_STORAGE, Settings

if TYPE_CHECKING:
    from featx.backbones import Backbone
    from featx.finetuning import FineTuning
    from featx.inputs import ImageSet

HELD_OUT = ("auto", "official", "stratified", "grouped", "blocks")
"""The split rules that give a single split, whose validation images may be learned from at the end."""

with_reading = together(Settings, "settings", *HOW_TO_RUN, with_decode)


def _rates(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    """The learning rates in a list separated by commas."""
    try:
        return tuple(float(one) for one in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number, or several separated by commas.") from None


@click.command(
    epilog=examples(
        "featx finetune resnet photos --from layer4.0 --name mine",
        "featx finetune resnet photos --from layer4.0 --name mine --into mine.featx",
    )
)
@click.argument("backbone", type=BackboneName())
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--from",
    "tensor",
    required=True,
    metavar="TENSOR",
    help="Where the trained part begins: a tensor that `featx inspect` lists, or the model's input for all of it.",
)
@click.option("--name", required=True, help="The name of the new backbone.")
@click.option("--overwrite", is_flag=True, help="Replace a backbone of yours that has this name, and the head.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="H.featx",
    help="Write the linear layer that is trained with it, too, as a head on the new backbone.",
)
@click.option("--force", is_flag=True, help="Write the backbone even if it is not better on validation images.")
@option("--views", type=Views(), default="symmetries", help="The views of each image, as for `featx extract`.")
@option("--storage", type=click.Choice(STORAGES), default=TUNING_STORAGE, help="The type of the stored maps.")
@option(
    "--rate",
    "rates",
    default=f"{TUNING_RATE:g}",
    callback=_rates,
    metavar="A,B",
    help="The largest learning rate; of several, validation images choose.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help="Passes over the training images.  [default: 6, or 8 for fewer than 500 images]",
)
@option("--hold-out", type=click.Choice(HELD_OUT), default="auto", help="How test and validation images are chosen.")
@option("--layers/--no-layers", default=True, help="Whether to measure layers of the frozen backbone beside it.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the maps and of unfinished training.  [default: NAME-finetuning]",
)
@with_root
@with_label_column
@with_models
@with_reading
@with_seed
@as_json
@click.pass_obj
def finetune(
    output: Verbosity,
    /,
    *,
    backbone: str,
    images: tuple[str, ...],
    root: str | None,
    label_column: str | None,
    models: Path | None,
    into: Path | None,
    overwrite: bool,
    json_: bool,
    **how: Any,
) -> None:
    """Train the last layers of BACKBONE on labelled IMAGES, and write the new backbone if it is better.

    The layers before --from run once for each view of each image, and their maps are kept in --work; only what follows
    is trained. Training images teach. On validation images the tuned network is held against a head on the frozen
    feature with the same views: unless it is better, nothing is written. The test images are measured once, at the end.
    Beside it stands what several layers of the frozen backbone give. Run the same command again to continue after an
    interruption. It needs torch: pip install 'featx[finetune]'.
    """
    from featx.convert import load_backbone
    from featx.heads import reserve_head, save_head
    from featx.report import out, print_sections, tuning_sections

    head = click.get_current_context().with_resource(reserve_head(into, overwrite=overwrite)) if into else None
    source = load_backbone(backbone, folder=models)
    found = list_given(images, root, label_column=label_column)
    outcome = _tune(output, source, found, how | {"into": models, "overwrite": overwrite})
    if head is not None and outcome.head is not None:
        save_head(outcome.head, head)
    if json_:
        print_json(outcome.to_dict() | {"into": str(into) if outcome.head is not None and into else None})
    elif not output.quiet:
        print_sections(tuning_sections(outcome), to=out())


def _tune(output: Verbosity, source: "Backbone", images: "ImageSet", how: dict[str, Any]) -> "FineTuning":
    """Fine-tune with these options, and show how far that is, unless the command is to be quiet."""
    from featx.finetuning import finetune_backbone
    from featx.report import tuning_progress

    announce = (lambda text: None) if output.quiet else (lambda text: say(f"featx: {text}", err=True))
    with tuning_progress(quiet=output.quiet) as report:
        return finetune_backbone(source, images, announce=announce, report=report, **how)
