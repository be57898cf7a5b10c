"""The command `deploy`."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from featx.cli.options import as_json, examples, option, with_models, with_root
from featx.cli.output import logger, print_json, say
from featx.cli.sources import list_given

if TYPE_CHECKING:
    from featx.deploy import Deployed, LayoutName


@click.command(
    epilog=examples(
        "featx deploy photos.featx --into photos.onnx --images new",
        "featx deploy photos.featx --into photos-hub --layout huggingface",
        "featx deploy photos.featx --into site/photos.onnx --page site/demo.html",
    )
)
@click.argument("head", type=click.Path(path_type=Path))
@click.option(
    "--into",
    required=True,
    type=click.Path(path_type=Path),
    metavar="M.onnx",
    help="The model to write; with --layout its folder.",
)
@click.option(
    "--images",
    multiple=True,
    metavar="IMAGES",
    help="Images like those that it will be used for, to compare predictions on up to 200 of them; anything that "
    "`featx extract` takes. Repeat it for several.  [default: images of random colours]",
)
@with_root
@option(
    "--input",
    "takes",
    type=click.Choice(("uint8", "float")),
    default="uint8",
    help="uint8: pixels, which the model normalises; float: what the backbone's own model takes.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path),
    metavar="DIR/P.html",
    help="Also write a page that classifies images in the browser. npm downloads onnxruntime-web into its folder.",
)
@option(
    "--layout",
    type=click.Choice(("file", "huggingface", "triton")),
    default="file",
    help="file: the model alone; huggingface, triton: a folder with the model and what describes it there.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model, or a page, that featx wrote.")
@with_models
@as_json
def deploy(
    *,
    head: Path,
    into: Path,
    images: tuple[str, ...],
    root: str | None,
    takes: Literal["uint8", "float"],
    page: Path | None,
    layout: "LayoutName",
    overwrite: bool,
    models: Path | None,
    json_: bool,
) -> None:
    """Write the saved HEAD and its backbones as one ONNX model, which runs without featx.

    The model takes pixels, uint8 (n, size, size, 3), of images that are resized and cropped as its metadata says. It
    gives the label of each image as text, and the probabilities of all classes. It is written only if ONNX Runtime
    gives the same labels and probabilities as `featx predict`.
    """
    from featx.deploy import deploy_head
    from featx.serving import reserve_page

    if root and not images:
        raise click.UsageError("--root is an option for --images; name them too.")
    listed = list_given(images, root) if images else None
    with reserve_page(page, overwrite=overwrite) if page else nullcontext() as target:
        deployed = deploy_head(
            head, into=into, images=listed, models=models, takes=takes, layout=layout, overwrite=overwrite
        )
        written = target.write(deployed.path) if target else None
    for note in deployed.notes:
        logger.warning("%s", note)
    if json_:
        pages = {"page": str(written)} if written else {}
        print_json(asdict(deployed) | {"path": str(deployed.path)} | pages)
    else:
        say(_in_words(deployed))
        if written:
            say(f"{written}: run `python -m http.server` in its folder, and open http://localhost:8000/{written.name}")


def _in_words(deployed: "Deployed") -> str:
    inputs = ", ".join(tensor.name for tensor in deployed.inputs)
    outputs = ", ".join(tensor.name for tensor in deployed.outputs)
    return (
        f"{deployed.path}: {inputs} -> {outputs}, opset {deployed.opset}, {deployed.size / 1e6:.1f} MB; as `featx "
        f"predict` on {deployed.images} images (largest difference of a probability {deployed.largest_difference:.1e})"
    )
