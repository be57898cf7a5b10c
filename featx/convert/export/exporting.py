"""Exports a torch model to ONNX and installs it as a backbone, once its features agree with torch."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featx.backbones import Backbone, Card, Inspection, inspect_model, is_embedding_width, user_folder
from featx.convert.adding import Description, describe_model, install
from featx.convert.export.libraries import discard_output, errors_reported, import_library, quiet
from featx.convert.export.models import FEATURE_OUTPUT, SCORES_OUTPUT, UNDECIDED_OUTPUT, BuiltModel, Recipe, build_model
from featx.convert.export.reference import TorchRun, run_torch
from featx.convert.own_folder import reserve_name
from featx.convert.preprocessing import Preprocessing, complete
from featx.convert.verifying import Check, verify_here
from featx.errors import BackboneError, InferenceError
from featx.inputs import PixelSpec

_IMAGE = "image"
"""Name of the model's input."""
_TRACED = 2
"""Number of images with which a model is traced: with 1, the exporter could take the batch size for a constant."""


@dataclass(frozen=True)
class Exported:
    """What export_model returns: the new backbone, notes about it, and the checks that it passed."""

    backbone: Backbone
    notes: tuple[str, ...]
    """What was found and what had to be assumed, one sentence each."""
    checks: tuple[Check, ...]
    """The first one compares the backbone with torch."""


def export_model(
    recipe: Recipe, description: Description, *, into: Path | str | None = None, overwrite: bool = False
) -> Exported:
    """Export a torch model as a backbone, in the folder of cards `into` (the user's by default).

    A FILE.py is executed: export only files that you trust. Raises BackboneError if the model cannot be built or
    exported, if its feature is not certain, if the name is taken, or if ONNX Runtime and torch do not agree; then
    nothing is written.
    """
    folder = user_folder() if into is None else Path(into)
    if description.outputs:
        raise BackboneError("an export finds the feature itself; choose other outputs with --output of `featx extract`")
    with (
        reserve_name(description.name, folder, overwrite=overwrite) as reserved,
        quiet(),
        tempfile.TemporaryDirectory() as place,
    ):
        built = build_model(recipe, size=description.pixels.size)
        pixels = _complete(description.pixels.over(built.pixels), recipe)
        reference = run_torch(built.model, pixels, source=recipe.source)
        built = replace(built, output=_name_output(built, reference, recipe))
        path = _write_onnx(built, Path(place) / f"{description.name}.onnx", pixels=pixels, recipe=recipe)
        card, notes = _describe(path, description, built, recipe)
        if card.input.pixels != pixels:  # the model normalises pixels itself
            reference = run_torch(built.model, card.input.pixels, source=recipe.source)
        golden = path.with_suffix(".golden.npz")
        is_output = card.all_outputs[0].tensor == built.output
        features = reference.features(card, from_output=is_output)
        np.savez_compressed(golden, pixels=reference.pixels, features=features)
        card = replace(card, golden=golden.name)
        checks = _verify(Backbone(card, path), against="output" if is_output else reference.layer, recipe=recipe)
        return Exported(install(path, card, reserved, golden=golden), (*built.notes, *notes), checks)


def _complete(pixels: Preprocessing, recipe: Recipe) -> PixelSpec:
    if pixels.size is None:
        raise BackboneError(f"{recipe.source}: its input size is unknown; give it with --size, such as --size 224")
    return complete(pixels, size=pixels.size, dtype="float32")[0]


def _name_output(built: BuiltModel, reference: TorchRun, recipe: Recipe) -> str:
    """The name of the model's output, which tells the inspection of the graph what it is."""
    width = reference.output.shape[-1]
    if recipe.classes and width != recipe.classes:
        raise BackboneError(
            f"{recipe.source}: its output has {width} values but --classes is {recipe.classes}; correct one"
        )
    if built.output == UNDECIDED_OUTPUT and reference.ends_in_layer and not is_embedding_width(width):
        return SCORES_OUTPUT
    return built.output


def _write_onnx(built: BuiltModel, path: Path, *, pixels: PixelSpec, recipe: Recipe) -> Path:
    """Write the model as ONNX, for any number of images and with one output; returns its path."""
    torch = import_library("torch")
    images = torch.zeros(_TRACED, 3, pixels.size, pixels.size)
    what = f"{recipe.source}: torch cannot export it to opset {recipe.opset}"
    with errors_reported(what, "try another --opset, or change the model"), discard_output():
        torch.onnx.export(
            built.model,
            (images,),
            str(path),
            input_names=[_IMAGE],
            output_names=[built.output],
            dynamic_axes={name: {0: "batch"} for name in (_IMAGE, built.output)},
            opset_version=recipe.opset,
            dynamo=False,
        )
    return path


def _describe(path: Path, description: Description, built: BuiltModel, recipe: Recipe) -> tuple[Card, Sequence[str]]:
    """The card, as for any other ONNX model, and notes; the library fills in what the user left out."""
    if built.output == FEATURE_OUTPUT:
        description = replace(description, outputs=(FEATURE_OUTPUT,))
    else:
        _check_certain(inspect_model(path, size=description.pixels.size), built, recipe)
    completed = replace(
        description,
        pixels=description.pixels.over(built.pixels),
        source=description.source or built.source,
        licence=description.licence or built.licence,
        reference=description.reference or built.reference,
    )
    try:
        return describe_model(path, completed)
    except BackboneError as error:
        raise BackboneError(str(error).replace(str(path), recipe.source)) from error


def _check_certain(found: Inspection, built: BuiltModel, recipe: Recipe) -> None:
    """Raise BackboneError if it is not certain which tensor of the graph is the feature."""
    if found.certain:
        return
    if built.output == UNDECIDED_OUTPUT:
        raise BackboneError(
            f"{recipe.source}: it is not certain whether its output is class scores or the feature; give --classes "
            "with the number of classes, or --classes 0 if it is the feature"
        )
    why = "; ".join(note.partition(":")[0] for note in found.notes) or "no last layer was found"
    raise BackboneError(
        f"{recipe.source}: its feature is not certain ({why}); take its output before the last layer with "
        "--classes 0, or wrap it in a FILE.py:ATTRIBUTE that returns the feature"
    )


def _verify(backbone: Backbone, *, against: str, recipe: Recipe) -> tuple[Check, ...]:
    """Run every check of the backbone. Raises BackboneError unless all of them pass."""
    try:
        checks = verify_here(backbone, device="cpu")
    except InferenceError as error:
        raise BackboneError(
            f"{recipe.source}: its ONNX model only runs on {_TRACED} images; let its forward take the batch size "
            "from the shape of its input, without loops over images"
        ) from error
    for check in checks:
        if not check.ok:
            raise BackboneError(
                f"{recipe.source}: nothing was written, because ONNX Runtime and torch ({against!r}) do not agree: "
                f"{check.name}: difference {check.largest_difference:.1e} of the largest feature but at most "
                f"{check.largest_allowed:.0e} is allowed, cosine {check.lowest_cosine:.6f} but at least "
                f"{check.lowest_allowed} is; try another --opset, or fix the model"
            )
    return checks
