"""A recipe and a name in; an ONNX model with card and golden vectors of torch, in the folder of backbones, out."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featx.backbones import (
    Backbone,
    Card,
    Inspection,
    inspect_model,
    is_embedding_width,
    user_folder,
)
from featx.convert.adding import (
    Description,
    reserve_name,
    describe_model,
    install,
)
from featx.convert.export.libraries import (
    errors_reported,
    import_library,
    quiet,
    silent,
)
from featx.convert.export.models import (
    FEATURE_OUTPUT,
    SCORES_OUTPUT,
    UNDECIDED_OUTPUT,
    BuiltModel,
    Recipe,
    build_model,
)
from featx.convert.export.reference import TorchRun, run_torch
from featx.convert.preprocessing import Preprocessing, complete
from featx.convert.verify import Check, verify_backbone
from featx.errors import BackboneError, InferenceError
from featx.inputs import PixelSpec

IMAGE = "image"
"""Name of the model's input."""
TRACED = 2
"""Images with which a model is traced: 1 would let the exporter take the batch for a constant."""


@dataclass(frozen=True)
class Exported:
    """A backbone that was exported, what was taken for granted, and how near it is to torch."""

    backbone: Backbone
    notes: tuple[str, ...]
    checks: tuple[Check, ...]
    """Of which the first is the one against torch."""


def export_model(recipe: Recipe, said: Description, *, into: Path | None = None, overwrite: bool = False) -> Exported:
    """The backbone made of this model of torch, written into the folder of cards `into` (the user's by default).

    A FILE.py is run, with all that stands in it: export only what you trust. Raises BackboneError where the model
    cannot be made or exported, its feature is not certain, the name is taken, or ONNX Runtime and torch do not agree:
    then nothing is written.
    """
    folder = user_folder() if into is None else into
    if said.outputs:
        raise BackboneError("an export finds the feature itself; take others by --output of `featx extract`")
    with reserve_name(said.name, folder, overwrite=overwrite), quiet(), tempfile.TemporaryDirectory() as place:
        built = build_model(recipe, size=said.pixels.size)
        pixels = _complete(said.pixels.over(built.pixels), recipe)
        seen = run_torch(built.model, pixels, source=recipe.source)
        built = replace(built, output=_name_output(built, seen, recipe))
        path = _write_onnx(built, Path(place) / f"{said.name}.onnx", pixels=pixels, recipe=recipe)
        card, notes = _describe(path, said, built, recipe)
        golden = path.with_suffix(".golden.npz")
        own = card.all_outputs[0].tensor == built.output
        np.savez_compressed(golden, pixels=seen.pixels, features=seen.features(card, own=own))
        card = replace(card, golden=golden.name)
        checks = _verify(Backbone(card, path), against="output" if own else seen.layer, recipe=recipe)
        return Exported(install(path, card, folder, golden=golden), (*built.notes, *notes), checks)


def _complete(pixels: Preprocessing, recipe: Recipe) -> PixelSpec:
    if pixels.size is None:
        raise BackboneError(
            f"{recipe.source}: takes images of a size that nothing tells; say it with --size, such as 224"
        )
    return complete(pixels, size=pixels.size, dtype="float32")[0]


def _name_output(built: BuiltModel, seen: TorchRun, recipe: Recipe) -> str:
    """What to call the output, by which the inspection of the graph then knows what it is."""
    width = seen.output.shape[-1]
    if recipe.classes and width != recipe.classes:
        raise BackboneError(f"{recipe.source}: gives {width} numbers but --classes says {recipe.classes}; correct one")
    if built.output == UNDECIDED_OUTPUT and seen.ends_in_layer and not is_embedding_width(width):
        return SCORES_OUTPUT
    return built.output


def _write_onnx(built: BuiltModel, path: Path, *, pixels: PixelSpec, recipe: Recipe) -> Path:
    """The file of the ONNX model, which takes any number of images and gives its own output alone."""
    torch = import_library("torch")
    images = torch.zeros(TRACED, 3, pixels.size, pixels.size)
    what = f"{recipe.source}: torch cannot export it to opset {recipe.opset}"
    with errors_reported(what, "try another --opset, or change the model"), silent():
        torch.onnx.export(
            built.model,
            (images,),
            str(path),
            input_names=[IMAGE],
            output_names=[built.output],
            dynamic_axes={name: {0: "batch"} for name in (IMAGE, built.output)},
            opset_version=recipe.opset,
            dynamo=False,
        )
    return path


def _describe(path: Path, said: Description, built: BuiltModel, recipe: Recipe) -> tuple[Card, Sequence[str]]:
    """The card, as of any other ONNX model, with what the library says where the user says nothing."""
    if built.output == FEATURE_OUTPUT:
        said = replace(said, outputs=(FEATURE_OUTPUT,))
    else:
        _check_certain(inspect_model(path, size=said.pixels.size), built, recipe)
    try:
        return describe_model(
            path,
            replace(
                said,
                pixels=said.pixels.over(built.pixels),
                source=said.source or built.source,
                licence=said.licence or built.licence,
                reference=said.reference or built.reference,
            ),
        )
    except BackboneError as error:
        raise BackboneError(str(error).replace(str(path), recipe.source)) from error


def _check_certain(found: Inspection, built: BuiltModel, recipe: Recipe) -> None:
    """Raise BackboneError where the graph leaves open which tensor is the feature."""
    if found.certain:
        return
    if built.output == UNDECIDED_OUTPUT:
        raise BackboneError(
            f"{recipe.source}: whether its output is class scores or the feature is not certain; say --classes with "
            "the number of classes, or --classes 0 for the feature"
        )
    why = "; ".join(note.partition(":")[0] for note in found.notes) or "no last layer was found"
    raise BackboneError(
        f"{recipe.source}: its feature is not certain ({why}); take its output before the last layer by --classes 0, "
        "or wrap it in a FILE.py:ATTRIBUTE that returns the feature"
    )


def _verify(backbone: Backbone, *, against: str, recipe: Recipe) -> tuple[Check, ...]:
    """Every check of the backbone, all of them passed."""
    try:
        checks = verify_backbone(backbone, device="cpu")
    except InferenceError as error:
        raise BackboneError(
            f"{recipe.source}: its ONNX model runs on {TRACED} images alone; let its forward take the batch from the "
            "shape of what it is given, and loop over no images"
        ) from error
    for check in checks:
        if not check.ok:
            raise BackboneError(
                f"{recipe.source}: nothing was written, for ONNX Runtime and torch ({against!r}) do not agree: "
                f"{check.name}: difference {check.largest_difference:.1e} of the largest feature but at most "
                f"{check.largest_allowed:.0e} is allowed, cosine {check.lowest_cosine:.6f} but at least "
                f"{check.lowest_allowed} is; try another --opset, or mend the model"
            )
    return checks
