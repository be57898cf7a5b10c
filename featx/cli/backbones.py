"""The commands of models: inspect, and backbones list, show, add, remove, quantize, randomize and verify."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import (
    as_json,
    examples,
    option,
    with_decode,
    with_device,
    with_models,
    with_outputs,
    with_pixels,
)
from featx.cli.output import logger, print_json, say
from featx.cli.sources import list_given
from featx.cli.types import BackboneName
from featx.settings import CALIBRATION_IMAGES, LOWER_PRECISIONS, Decode, Device
from featx.showing import visible

if TYPE_CHECKING:
    from featx.backbones import Inspection
    from featx.convert import Check, Removal

with_name = click.argument("name", type=BackboneName())
with_overwrite = click.option("--overwrite", is_flag=True, help="Replace a backbone of yours that has this name.")


@click.command(epilog=examples("featx inspect resnet.onnx", "featx inspect efficientnet-lite0 --json"))
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--size", type=click.IntRange(1), metavar="N", help="Height and width, if the model leaves them free.")
@with_models
@as_json
def inspect(*, model: Path, size: int | None, models: Path | None, json_: bool) -> None:
    """Show the inputs, outputs and features of MODEL, an ONNX file or a backbone, and where fine-tuning can cut it."""
    from featx.report import inspection_sections, out, print_sections

    found = _inspect(model, size, models)
    return print_json(found.to_dict()) if json_ else print_sections(inspection_sections(found), to=out())


def _inspect(model: Path, size: int | None, models: Path | None) -> "Inspection":
    """The inspection of the model in a file, or of the backbone with this name; its cuts lead to its own feature."""
    from featx.backbones import inspect_apart, list_backbones, list_cuts, load_backbone

    if model.exists() or str(model) not in {backbone.name for backbone in list_backbones(models)}:
        return inspect_apart(model, size=size)
    backbone = load_backbone(str(model), folder=models)
    found = inspect_apart(backbone.path, size=size or backbone.card.input.pixels.size)
    return replace(found, cuts=list_cuts(backbone))


@click.group(
    invoke_without_command=True,
    epilog=examples("featx backbones", "featx backbones add resnet.onnx --name resnet"),
)
@with_models
@as_json
@click.pass_context
def backbones(context: click.Context, *, models: Path | None, json_: bool) -> None:
    """List, show, add, remove, quantize, randomize or verify backbones."""
    context.obj = {"models": models, "json_": json_, "output": context.obj}
    if not context.invoked_subcommand:
        context.invoke(list_, models=models, json_=json_)


def _of_group(context: click.Context, models: Path | None, json_: bool) -> tuple[Path | None, bool]:
    """The options --models and --json, which may be given after the command or after `backbones`."""
    return models or context.obj["models"], json_ or context.obj["json_"]


@backbones.command("list", epilog=examples("featx backbones list", "featx backbones list --models my-models --json"))
@with_models
@as_json
@click.pass_context
def list_(context: click.Context, /, *, models: Path | None, json_: bool) -> None:
    """List the bundled backbones and your own."""
    from featx.backbones import list_backbones

    models, json_ = _of_group(context, models, json_)
    cards = [backbone.card for backbone in list_backbones(models)]
    if json_:
        return print_json([card.to_dict() for card in cards])
    for card in cards:
        baseline = f", baseline: {card.baseline}" if card.baseline else ""
        tuned = f", tuned from {card.tuned.source}" if card.tuned else ""
        say(f"{card.name:24} {card.dim:5} features, {card.input}, {card.computes_in}, {card.licence}{baseline}{tuned}")
    return None


@backbones.command(
    epilog=examples("featx backbones show efficientnet-lite0", "featx backbones show efficientnet-lite0 --json")
)
@with_name
@with_models
@as_json
@click.pass_context
def show(context: click.Context, /, *, name: str, models: Path | None, json_: bool) -> None:
    """Show the card of the backbone NAME, and check that its model is the one on the card."""
    from featx.convert import load_backbone

    models, json_ = _of_group(context, models, json_)
    card = load_backbone(name, folder=models).card
    if json_:
        return print_json(card.to_dict())
    if card.tuned:
        card = replace(card, tuned=replace(card.tuned, memory=f"memory of {card.tuned.images} images"))
    for line in card.to_toml().splitlines():
        say(line)
    return None


@backbones.command(
    epilog=examples(
        "featx backbones add resnet.onnx --name resnet",
        "featx backbones add vit.onnx --name vit --output tokens:cls --size 224",
    )
)
@click.argument("model")
@click.option("--name", required=True, help="The name of the new backbone.")
@with_outputs
@with_pixels
@click.option("--exif-orientation", is_flag=True, help="Turn photographs upright first.")
@click.option("--sha256", default="", metavar="HEX", help="Expected hash of MODEL; required for an address.")
@click.option("--source", default="", help="Where the model comes from, for the card.")
@click.option("--licence", default="", help="Its licence, for the card.")
@click.option("--reference", default="", help="Its published accuracy on the source task, for the card.")
@with_overwrite
@with_models
@as_json
@click.pass_context
def add(
    context: click.Context,
    /,
    *,
    model: str,
    models: Path | None,
    json_: bool,
    sha256: str,
    overwrite: bool,
    outputs: tuple[str, ...],
    **given: Any,
) -> None:
    """Make a backbone from MODEL, an ONNX file or its HTTP(S) address.

    featx finds the penultimate feature, unless --output names another tensor. The preprocessing comes from the options,
    else from a preprocessor_config.json or timm config.json next to MODEL, else from its ONNX metadata; the rest is
    assumed, and featx lists every assumption.
    """
    from featx.convert import Description, add_backbone

    description = Description(outputs=outputs, **given)
    models, json_ = _of_group(context, models, json_)
    added = add_backbone(model, description, into=models, sha256=sha256, overwrite=overwrite)
    _warn(added.notes)
    card = added.backbone.card
    if json_:
        return print_json(card.to_dict())
    taken = ", ".join(f"{output.name} ({output.dim})" for output in card.all_outputs)
    return say(f"{added.backbone.path.with_suffix('.toml')}: backbone {card.name}, feature {taken}")


@backbones.command(
    epilog=examples(
        "featx backbones remove resnet",
        "featx backbones remove resnet --models my-models --yes",
    )
)
@with_name
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_models
@as_json
@click.pass_context
def remove(context: click.Context, /, *, name: str, yes: bool, models: Path | None, json_: bool) -> None:
    """Remove the backbone NAME of yours: its card, and the files that featx wrote for it.

    featx lists these files and asks, unless --yes is given. Files that another card names, that have another name than
    featx gives, or that were changed since, are kept. Caches and heads stay readable; images that are added to a cache
    need the backbone again.
    """
    from featx.convert import plan_removal, remove_backbone

    models, json_ = _of_group(context, models, json_)
    if not yes:
        _ask_to_remove(plan_removal(name, folder=models))
    removed = remove_backbone(name, folder=models)
    _warn([f"kept {kept}" for kept in removed.kept])
    files = [str(path) for path in (removed.card, *removed.files)]
    if json_:
        return print_json({"name": name, "removed": files, "kept": list(removed.kept)})
    return say(f"removed backbone {name}: {', '.join(files)}")


def _ask_to_remove(removal: "Removal") -> None:
    """List the files and ask. Raises click's UsageError if nobody can answer, BackboneError if the answer is no."""
    from featx.errors import BackboneError

    if not sys.stdin.isatty():
        raise click.UsageError("--yes is needed where featx cannot ask.")
    for path in (removal.card, *removal.files):
        say(f"  {path}", err=True)
    try:
        agreed = click.confirm(f"Remove backbone {visible(removal.name)}?", err=True)
    except click.Abort:  # the input ended
        agreed = False
    if not agreed:
        raise BackboneError(f"{removal.name}: was not removed, as you did not agree")


@backbones.command(
    epilog=examples(
        "featx backbones quantize efficientnet-lite0 --images photos",
        "featx backbones quantize resnet --images photos --precision float16",
    )
)
@with_name
@click.option("--images", required=True, metavar="IMAGES", help="Images like those you will extract from.")
@click.option("--name", "new", default="", metavar="NEW", help="The new name.  [default: NAME-int8]")
@option("--precision", type=click.Choice(LOWER_PRECISIONS), default=LOWER_PRECISIONS[0], help="float16 is for GPUs.")
@option(
    "--count",
    type=click.IntRange(2),
    metavar="N",
    default=CALIBRATION_IMAGES,
    help="Images to calibrate with; half as many test.",
)
@click.option("--force", is_flag=True, help="Write it even if its features agree badly with float32.")
@with_overwrite
@with_models
@as_json
@click.pass_context
def quantize(
    context: click.Context,
    /,
    *,
    name: str,
    images: str,
    new: str,
    models: Path | None,
    json_: bool,
    **how: Any,
) -> None:
    """Make a faster backbone from NAME: int8 for CPUs, or float16 for GPUs.

    featx tries several ways to quantise, and keeps the one whose features agree best with float32 on held-out images.
    The card of the new backbone has its agreement and its speed.
    """
    from featx.backbones import load_backbone
    from featx.convert import quantize_backbone

    models, json_ = _of_group(context, models, json_)
    source = load_backbone(name, folder=models if models and models.is_dir() else None)  # it may not exist yet
    quantized = quantize_backbone(source, list_given(images, None), name=new, into=models, **how)
    _warn(quantized.notes)
    card = quantized.backbone.card
    if json_:
        tries = [one.to_dict() for one in quantized.tries]
        return print_json(card.to_dict() | {"tries": tries, "notes": list(quantized.notes)})
    return say(f"{quantized.backbone.path.with_suffix('.toml')}: backbone {card.name}, {card.quantized}")


@backbones.command(
    epilog=examples(
        "featx backbones randomize efficientnet-lite0",
        "featx backbones randomize resnet --seed 3 --name untrained",
    )
)
@with_name
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the weights.")
@click.option("--name", "new", default="", metavar="NEW", help="The new name.  [default: random-NAME[-seedS]]")
@with_overwrite
@with_models
@as_json
@click.pass_context
def randomize(
    context: click.Context,
    /,
    *,
    name: str,
    seed: int,
    new: str,
    overwrite: bool,
    models: Path | None,
    json_: bool,
) -> None:
    """Make a baseline from NAME: the same graph, its weights drawn anew as before any training.

    A source that is not better than its own graph with random weights transfers nothing. Wherever a backbone is named,
    random:NAME (or random:NAME:SEED) stands for it, and makes it at the first use.
    """
    from featx.backbones import load_backbone
    from featx.convert import randomize_backbone

    models, json_ = _of_group(context, models, json_)
    source = load_backbone(name, folder=models if models and models.is_dir() else None)  # it may not exist yet
    drawn = randomize_backbone(source, seed=seed, name=new, into=models, overwrite=overwrite)
    if json_:
        return print_json(drawn.card.to_dict())
    return say(f"{drawn.path.with_suffix('.toml')}: backbone {drawn.name}, {drawn.card.source}")


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        logger.warning("%s", note)


@backbones.command(
    "verify",
    epilog=examples(
        "featx backbones verify efficientnet-lite0",
        "featx backbones verify efficientnet-lite0 --decode fast --images photos",
    ),
)
@with_name
@with_device
@with_decode
@click.option("--images", metavar="IMAGES", help="With --decode fast: your images.  [default: drawn photographs]")
@with_models
@as_json
@click.pass_context
def verify_features(
    context: click.Context,
    /,
    *,
    name: str,
    device: Device,
    decode: Decode,
    images: str | None,
    models: Path | None,
    json_: bool,
) -> int:
    """Check on this machine that the backbone NAME computes the features that it should.

    With --decode fast, also measure how far the features of fast decoding are from exact ones. The exit code is 1 if a
    check fails.
    """
    from featx.convert import load_backbone, measure_fast, verify_backbone
    from featx.report import checks_sections, effects_sections, out, print_sections

    if images and decode != "fast":
        raise click.UsageError("--images is an option of --decode fast; give both.")
    models, json_ = _of_group(context, models, json_)
    backbone = load_backbone(name, folder=models)
    found = list_given(images, None) if images else None
    checks = verify_backbone(backbone, device=device)
    effects = measure_fast(backbone, images=found, device=device) if decode == "fast" else ()
    ok = all(check.ok for check in checks)
    if json_:
        fast = {"fast": [asdict(effect) for effect in effects]} if decode == "fast" else {}
        print_json({"name": name, "ok": ok, "checks": [check.to_dict() for check in checks]} | fast)
    elif not context.obj["output"].quiet:
        print_sections(checks_sections(checks), to=out())
        print_sections(effects_sections(effects), to=out())
    _report_failures(name, checks)
    return 0 if ok else 1


def _report_failures(name: str, checks: "Sequence[Check]") -> None:
    for check in checks:
        if not check.ok:
            say(f"featx: {name}: {check.name} of {check.output} is out of tolerance", err=True)
