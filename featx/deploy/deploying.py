"""Writes backbones and head as one ONNX model, after a comparison with featx's own predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from onnx import ModelProto, helper

from featx.backbones import deployable_graph, open_model, opset
from featx.convert import model_input
from featx.deploy.about import describe, preparation
from featx.deploy.checking import Comparison, Pixels, compare, own_probabilities, read_checked
from featx.deploy.graph.joining import PRODUCER, Trunk, join
from featx.deploy.graph.nodes import NEWEST_OPSET
from featx.deploy.passes import BackbonePass, load_passes
from featx.errors import HeadError
from featx.heads import Head, load_head
from featx.inputs import ImageSet
from featx.targets import Kind, Target, reserve

InputKind = Literal["uint8", "float"]
"""What a deployed model takes: pixels, or the normalised numbers that the backbone's own model takes."""

PIXELS = "pixels"


@dataclass(frozen=True)
class DeployedTensor:
    """An input or an output of a deployed model."""

    name: str
    dtype: str
    """As ONNX Runtime names it, such as `tensor(uint8)`."""
    shape: tuple[int | None, ...]
    """None for the number of images, if that is free."""


@dataclass(frozen=True)
class Deployed:
    """A head and its backbones as one ONNX file, and how it compares with featx's own predictions.

    >>> import featx
    >>> deployed = featx.deploy_head("photos.featx", into="photos.onnx", images=featx.list_images("new"))
    >>> [tensor.name for tensor in (*deployed.inputs, *deployed.outputs)]
    ['pixels', 'label', 'probabilities']
    >>> deployed.images, deployed.largest_difference < 1e-5
    (5, True)
    """

    path: Path
    inputs: tuple[DeployedTensor, ...]
    outputs: tuple[DeployedTensor, ...]
    opset: int
    """The version of the ONNX operators that it uses."""
    size: int
    """Bytes of the model."""
    images: int
    """Number of images whose predictions were compared."""
    drawn: bool
    """Whether these images were drawn at random, because none were given."""
    largest_difference: float
    """Largest difference of a probability from the one that featx predicts."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Built:
    """A model in memory, and what the comparison needs."""

    model: ModelProto
    inputs: tuple[str, ...]
    """The name of the input of each pass."""
    passes: tuple[BackbonePass, ...]
    columns: tuple[tuple[int, int], ...]
    """The pass and its output for each block of the head's columns."""


def deploy_head(
    head: Head | Path | str,
    *,
    into: Path | str | Target,
    images: ImageSet | None = None,
    models: Path | str | None = None,
    takes: InputKind = "uint8",
    overwrite: bool = False,
) -> Deployed:
    """The head and its backbones, written as one ONNX model `into` a file that needs no featx to run.

    The model takes `pixels`: uint8 (n, size, size, 3), images that are resized and cropped as its metadata says; with
    `takes="float"` it takes the normalised numbers that the backbone's own model takes. It gives `label` (n,), names of
    classes as text, and `probabilities` (n, classes) float32. A head for images with several labels gives `labels`
    (n, classes) instead: whether each class is there. Backbones whose images are prepared differently have an input
    each, `pixels_<backbone>`.

    The file is compared with what featx predicts for up to 200 of the images, or for random ones without images, and is
    written only if all labels are equal and no probability differs by more than 1e-4.

    Raises BackboneError if a backbone is not at hand; HeadError if it is not the one that the head was trained on, if
    the head cannot be deployed exactly, or if the file cannot be written.

    >>> import featx
    >>> deployed = featx.deploy_head("photos.featx", into="shapes.onnx", images=featx.list_images("new"))
    >>> deployed.inputs[0].name, deployed.inputs[0].shape
    ('pixels', (None, 224, 224, 3))
    """
    head = head if isinstance(head, Head) else load_head(head)
    if isinstance(into, Target):
        return _deploy(head, into, images, models=models, takes=takes)
    with reserve_model(into, overwrite=overwrite) as target:
        return _deploy(head, target, images, models=models, takes=takes)


def reserve_model(into: Path | str, *, overwrite: bool = False) -> Any:
    """Hold the file of a deployed model until the block ends, and check that it can be written. Raises HeadError."""
    return reserve(into, MODEL, overwrite=overwrite)


def _deploy(
    head: Head, target: Target, images: ImageSet | None, *, models: Path | str | None, takes: InputKind
) -> Deployed:
    built = _build(head, models=models, as_pixels=takes == "uint8")
    with target.written() as new:
        new.write_bytes(built.model.SerializeToString())
        return _checked(head, built, new, target.path, images, as_pixels=takes == "uint8")


def _build(head: Head, *, models: Path | str | None, as_pixels: bool) -> _Built:
    passes, columns = load_passes(head, models=models)
    inputs = _name_inputs(passes, as_pixels=as_pixels)
    trunks = list[Trunk]()
    for place, (one, name) in enumerate(zip(passes, inputs, strict=True)):
        graph = deployable_graph(one.backbone, from_pixels=as_pixels)
        known = [trunk.name for trunk in trunks]
        own = one.backbone.name if one.backbone.name not in known else f"{one.backbone.name}/{place}"
        trunks.append(Trunk(own, graph.model, name, graph.batch))
    model = join(head, trunks, columns=columns)
    helper.set_model_props(model, describe(head, passes, inputs, as_pixels=as_pixels))
    return _Built(model, inputs, passes, columns)


def _name_inputs(passes: Sequence[BackbonePass], *, as_pixels: bool) -> tuple[str, ...]:
    """The name of the input of each pass: one for all if their images are prepared in the same way."""
    prepared = [preparation(one, as_pixels=as_pixels) for one in passes]
    if all(one == prepared[0] for one in prepared):
        return (PIXELS,) * len(passes)
    names = [f"{PIXELS}_{one.backbone.name}" for one in passes]
    return tuple(
        f"{name}_{one.decode}" if names.count(name) > 1 else name for name, one in zip(names, passes, strict=True)
    )


def _checked(
    head: Head, built: _Built, path: Path, into: Path, images: ImageSet | None, *, as_pixels: bool
) -> Deployed:
    """What was written to `path`, after a comparison with featx's own predictions."""
    opened = open_model(path, device="cpu")
    pixels = read_checked(images, built.passes)
    own = own_probabilities(head, built.passes, built.columns, pixels)
    fed = _feed(built, pixels, as_pixels=as_pixels)
    values = [fed[tensor.name] for tensor in opened.inputs]
    found = compare(head, opened, own=own, inputs=values, drawn=images is None)
    return Deployed(
        path=into,
        inputs=tuple(DeployedTensor(one.name, one.dtype, one.shape) for one in opened.inputs),
        outputs=tuple(DeployedTensor(one.name, one.dtype, one.shape) for one in opened.outputs),
        opset=opset(built.model),
        size=path.stat().st_size,
        images=found.images,
        drawn=found.drawn,
        largest_difference=found.largest_difference,
        notes=tuple(_notes(built, found, opened.inputs[0].shape[0])),
    )


def _feed(built: _Built, pixels: Sequence[Pixels], *, as_pixels: bool) -> dict[str, NDArray[Any]]:
    """The value of each input for these pixels of each pass."""
    given = zip(built.inputs, built.passes, pixels, strict=True)
    return {name: images if as_pixels else _as_taken(one, images) for name, one, images in given}


def _as_taken(one: BackbonePass, pixels: Pixels) -> NDArray[Any]:
    """The value of the model's own input. Raises HeadError for a type that numpy lacks."""
    card = one.backbone.card
    values = model_input(card, pixels)
    if values.dtype.name != card.input.dtype:
        raise HeadError(f"{card.name} takes {card.input.dtype}, a type that NumPy lacks; deploy it with --input uint8")
    return values


def _notes(built: _Built, found: Comparison, batch: int | None) -> list[str]:
    notes = []
    if found.drawn:
        notes.append(
            f"predictions were compared on {found.images} images of random colours, because none were given; give "
            "images like those that it will be used for"
        )
    if batch is not None:
        notes.append(f"a backbone takes exactly {batch} images at a time, so the model does too")
    if (version := opset(built.model)) > NEWEST_OPSET:
        notes.append(f"opset {version} of a backbone needs a newer ONNX Runtime than 1.20, which runs {NEWEST_OPSET}")
    own = sorted({entry.domain for entry in built.model.opset_import} - {"", "ai.onnx"})
    if any(node.domain in own for node in built.model.graph.node):
        notes.append(f"a backbone has operators of {', '.join(own)}, which only ONNX Runtime knows")
    return notes


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        return PRODUCER.encode() in file.read(64)


MODEL = Kind(
    name="a model that featx deployed",
    endings=(".onnx",),
    is_own=_is_own,
    error=HeadError,
    locked=HeadError,
    writing="writing this model",
)
