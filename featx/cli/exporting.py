"""The command `export`, which makes a backbone from a PyTorch model."""

from pathlib import Path
from typing import Any

import click

from featx.cli.options import as_json, examples, option, with_models, with_pixels, with_seed
from featx.cli.output import logger, print_json, say

RECIPE_OPTIONS = ("weights", "random", "seed", "classes", "opset")


@click.command(
    "export",
    epilog=examples(
        "featx export timm:resnet50.a1_in1k --name resnet50",
        "featx export model.py:build --weights best.safetensors --name mine",
    ),
)
@click.argument("source")
@click.option("--name", required=True, help="The name of the new backbone.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="A state dict, or .safetensors.")
@click.option("--random", is_flag=True, help="Use random weights, for timm and torchvision.")
@with_seed
@click.option(
    "--classes", type=click.IntRange(0), metavar="N", help="Number of class scores; 0 if the output is the feature."
)
@option("--opset", type=click.IntRange(7), metavar="N", default=17, help="The version of the ONNX operators.")
@with_pixels
@click.option("--source", "origin", default="", help="Where the model comes from, for the card.")
@click.option("--licence", default="", help="Its licence, for the card.")
@click.option("--reference", default="", help="Its published accuracy on the source task, for the card.")
@click.option("--overwrite", is_flag=True, help="Replace a backbone of yours that has this name.")
@with_models
@as_json
def export_command(
    *, source: str, name: str, models: Path | None, json_: bool, overwrite: bool, origin: str, **given: Any
) -> None:
    """Make a backbone from SOURCE, a PyTorch model.

    SOURCE is timm:NAME, torchvision:NAME, or FILE.py:ATTRIBUTE. featx runs that file; the attribute is a
    torch.nn.Module, or a function without arguments that returns one. timm and torchvision download their published
    weights unless --weights or --random is given. The preprocessing comes from the options, else from timm or
    torchvision, else it is assumed. The ONNX model is written only if its features agree with PyTorch's, together with
    golden vectors that verify it on any machine.
    """
    from featx.convert import Description, Recipe, export_model

    if given["weights"] and given["random"]:
        raise click.UsageError("--weights and --random exclude each other.")
    recipe = Recipe(source=source, **{key: given.pop(key) for key in RECIPE_OPTIONS})
    exported = export_model(recipe, Description(name=name, source=origin, **given), into=models, overwrite=overwrite)
    for note in exported.notes:
        logger.warning("%s", note)
    card = exported.backbone.card
    golden = exported.checks[0]
    if json_:
        checks = [check.to_dict() for check in exported.checks]
        return print_json(card.to_dict() | {"notes": list(exported.notes), "checks": checks})
    return say(
        f"{exported.backbone.path.with_suffix('.toml')}: backbone {card.name}, feature {card.feature} ({card.dim}), "
        f"as in torch (largest difference {golden.largest_difference:.1e} of the largest feature)"
    )
