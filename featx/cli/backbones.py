"""The commands about models: inspect, backbones, export."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from featx.cli.options import (
    as_json,
    list_given,
    logger,
    option,
    print_json,
    with_decode,
    with_device,
    with_models,
    with_outputs,
    with_pixels,
)
from featx.settings import (
    CALIBRATING,
    LOWER_PRECISIONS,
    Decode,
    Device,
)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--size", type=click.IntRange(1), help="Height and width, where the model leaves them free.")
@as_json
def inspect(*, model: Path, size: int | None, json_: bool) -> None:
    """Say what goes in and out of the ONNX file MODEL, and where its features are."""
    from featx.backbones import inspect_model
    from featx.report import out, print_inspection

    found = inspect_model(model, size=size)
    return print_json(found.to_dict()) if json_ else print_inspection(found, to=out())


@click.group(invoke_without_command=True)
@with_models
@as_json
@click.pass_context
def backbones(context: click.Context, *, models: Path | None, json_: bool) -> None:
    """List the backbones, show, add, quantize or verify one."""
    context.obj = {"models": models, "json_": json_, "output": context.obj}
    if not context.invoked_subcommand:
        context.invoke(list_, models=models, json_=json_)


def _of_group(context: click.Context, models: Path | None, json_: bool) -> tuple[Path | None, bool]:
    """The two options as given behind the command, or behind `backbones` before it."""
    return models or context.obj["models"], json_ or context.obj["json_"]


@backbones.command("list")
@with_models
@as_json
@click.pass_context
def list_(context: click.Context, /, *, models: Path | None, json_: bool) -> None:
    """List the backbones."""
    from featx.backbones import list_backbones

    models, json_ = _of_group(context, models, json_)
    cards = [backbone.card for backbone in list_backbones(models)]
    if json_:
        return print_json([card.to_dict() for card in cards])
    for card in cards:
        pixels = f"{card.size} x {card.size} pixels"
        click.echo(f"{card.name:24} {card.dim:5} features, {pixels}, {card.computes_in}, {card.licence}")
    return None


@backbones.command()
@click.argument("name")
@with_models
@as_json
@click.pass_context
def show(context: click.Context, /, *, name: str, models: Path | None, json_: bool) -> None:
    """Show the card of the backbone NAME, its model checked against it."""
    from featx.backbones import load_backbone

    models, json_ = _of_group(context, models, json_)
    card = load_backbone(name, folder=models).card
    return print_json(card.to_dict()) if json_ else click.echo(card.to_toml(), nl=False)


@backbones.command()
@click.argument("model")
@click.option("--name", required=True, help="What the backbone is to be called.")
@with_outputs
@with_pixels
@click.option("--exif-orientation", is_flag=True, help="Turn photographs upright first.")
@click.option("--sha256", default="", metavar="HEX", help="Of MODEL; an address needs it.")
@click.option("--source", default="", help="Where the model comes from.")
@click.option("--licence", default="", help="Its licence.")
@click.option("--reference", default="", help="Its published accuracy on the source task.")
@click.option("--overwrite", is_flag=True, help="Replace a backbone of yours of this name.")
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
    **said: Any,
) -> None:
    """Make a backbone of MODEL, an ONNX file or its HTTP(S) address.

    The penultimate feature is found unless --output names another. How pixels are prepared is taken from the options,
    else from a preprocessor_config.json or timm config.json beside MODEL, else from its ONNX metadata, else assumed.
    """
    from featx.convert import Description, add_backbone

    description = Description(outputs=outputs, **said)
    models, json_ = _of_group(context, models, json_)
    added = add_backbone(model, description, into=models, sha256=sha256, overwrite=overwrite)
    for note in added.notes:
        logger.warning("%s", note)
    card = added.backbone.card
    if json_:
        return print_json(card.to_dict())
    taken = ", ".join(f"{output.name} ({output.dim})" for output in card.taken)
    return click.echo(f"{added.backbone.path.with_suffix('.toml')}: backbone {card.name}, feature {taken}")


@backbones.command()
@click.argument("name")
@click.option("--images", required=True, metavar="IMAGES", help="Images like those to come, as of `featx extract`.")
@click.option("--name", "new", default="", metavar="NEW", help="What it is to be called.  [default: NAME-int8]")
@option("--precision", type=click.Choice(LOWER_PRECISIONS), default=LOWER_PRECISIONS[0], help="float16 is for GPUs.")
@option("--count", type=click.IntRange(2), default=CALIBRATING, help="Images to measure with; half as many to test.")
@click.option("--force", is_flag=True, help="Write it although its features agree badly with float32.")
@click.option("--overwrite", is_flag=True, help="Replace a backbone of yours of this name.")
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
    **chosen: Any,
) -> None:
    """Make a faster backbone of NAME, in int8 for CPUs or float16 for GPUs.

    Several ways are tried; the one whose features agree best with those in float32, on images of the set that were not
    measured with, is kept. Its card tells how well they agree and how much faster it is here.
    """
    from featx.backbones import load_backbone
    from featx.convert import quantize_backbone

    models, json_ = _of_group(context, models, json_)
    source = load_backbone(name, folder=models if models and models.is_dir() else None)  # it may be yet to be made
    made = quantize_backbone(source, list_given(images, None), name=new, into=models, **chosen)
    for note in made.notes:
        logger.warning("%s", note)
    card = made.backbone.card
    if json_:
        return print_json(card.to_dict() | {"tries": [one.to_dict() for one in made.tries], "notes": list(made.notes)})
    return click.echo(f"{made.backbone.path.with_suffix('.toml')}: backbone {card.name}, {card.quantized}")


@backbones.command()
@click.argument("name")
@with_device
@with_decode
@click.option("--images", metavar="IMAGES", help="With --decode fast: your own, instead of photographs that are drawn.")
@with_models
@as_json
@click.pass_context
def verify(
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
    """Check that the backbone NAME gives the features that it should, on this machine.

    With --decode fast, tell also how far the features of fast decoding are from exact ones.
    """
    from featx.backbones import load_backbone
    from featx.convert import measure_fast, verify_backbone
    from featx.report import (
        out,
        print_checks,
        print_effects,
    )

    if images and decode != "fast":
        raise click.UsageError("--images are what --decode fast is tried on; give both.")
    models, json_ = _of_group(context, models, json_)
    backbone, found = load_backbone(name, folder=models), list_given(images, None) if images else None
    checks = verify_backbone(backbone, device=device)
    effects = measure_fast(backbone, images=found, device=device) if decode == "fast" else ()
    ok = all(check.ok for check in checks)
    if json_:
        fast = {"fast": [asdict(effect) for effect in effects]} if decode == "fast" else {}
        print_json({"name": name, "ok": ok, "checks": [check.to_dict() for check in checks]} | fast)
    elif not context.obj["output"].quiet:
        print_checks(checks, to=out())
        print_effects(effects, to=out())
    for check in checks:
        if not check.ok:
            click.echo(f"featx: {name}: {check.name} of {check.output} is out of tolerance", err=True)
    return 0 if ok else 1
