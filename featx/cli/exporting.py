"""The command about models of torch: export."""

from pathlib import Path
from typing import Any

import click

from featx.cli.options import (
    MAX_SEED,
    as_json,
    logger,
    option,
    print_json,
    with_models,
    with_pixels,
)

RECIPE = ("weights", "random", "seed", "classes", "opset")


@click.command()
@click.argument("source")
@click.option("--name", required=True, help="What the backbone is to be called.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="A state dict; .safetensors as well.")
@click.option("--random", is_flag=True, help="Random weights instead, for timm and torchvision.")
@option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Of random weights.")
@click.option("--classes", type=click.IntRange(0), help="Class scores that it gives; 0 where it gives the feature.")
@option("--opset", type=click.IntRange(7), default=17, help="The version of ONNX's operators.")
@with_pixels
@click.option("--source", "origin", default="", help="What the card says of where the model comes from.")
@click.option("--licence", default="", help="Its licence.")
@click.option("--reference", default="", help="Its published accuracy on the source task.")
@click.option("--overwrite", is_flag=True, help="Replace a backbone of yours of this name.")
@with_models
@as_json
def export(
    *, source: str, name: str, models: Path | None, json_: bool, overwrite: bool, origin: str, **said: Any
) -> None:
    """Make a backbone of SOURCE, a model of PyTorch.

    SOURCE is timm:NAME, torchvision:NAME, or FILE.py:ATTRIBUTE: that file is run, and its attribute is a
    torch.nn.Module, or a function without arguments that returns one. timm and torchvision fetch their published
    weights, unless --weights or --random is said. How pixels are prepared is taken from the options, else from timm or
    torchvision, else assumed. The ONNX model is written if its features are those of torch, with golden vectors by
    which they can be verified anywhere.
    """
    from featx.convert import Description, Recipe, export_model

    if said["weights"] and said["random"]:
        raise click.UsageError("--weights and --random exclude each other.")
    recipe = Recipe(source=source, **{key: said.pop(key) for key in RECIPE})
    exported = export_model(recipe, Description(name=name, source=origin, **said), into=models, overwrite=overwrite)
    for note in exported.notes:
        logger.warning("%s", note)
    card, golden = exported.backbone.card, exported.checks[0]
    if json_:
        checks = [check.to_dict() for check in exported.checks]
        return print_json(card.to_dict() | {"notes": list(exported.notes), "checks": checks})
    return click.echo(
        f"{exported.backbone.path.with_suffix('.toml')}: backbone {card.name}, feature {card.feature} ({card.dim}), "
        f"as in torch (largest difference {golden.largest_difference:.1e} of the largest feature)"
    )
