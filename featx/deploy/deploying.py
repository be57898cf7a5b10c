"""Writes backbones and head as one ONNX model, after a comparison with featx's own predictions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from onnx import ModelProto, helper

from featx.backbones import deployable_graph, open_model, open_session, opset
from featx.convert import model_input
from featx.deploy.about import describe, preparation
from featx.deploy.checking import Comparison, Pixels, compare, own_features, read_checked, views_of
from featx.deploy.deployed import Deployed, DeployedTensor, reserve_model
from featx.deploy.graph.joining import Trunk, join
from featx.deploy.graph.nodes import NEWEST_OPSET
from featx.deploy.graph.views import Axes, can_make
from featx.deploy.layouts.folders import FolderTargets, Layout, reserve_folder
from featx.deploy.layouts.huggingface import HUGGINGFACE
from featx.deploy.layouts.triton import TRITON
from featx.deploy.passes import BackbonePass, load_passes
from featx.errors import HeadError
from featx.heads import Head, load_head
from featx.inputs import ImageSet
from featx.targets import Target

InputKind = Literal["uint8", "float"]
"""What a deployed model takes: pixels, or the normalised numbers that the backbone's own model takes."""
LayoutName = Literal["file", "huggingface", "triton"]
"""Whether the model is a file of its own, or in a folder as the Hugging Face Hub or Triton expects it."""

LAYOUTS: Mapping[str, Layout] = {"huggingface": HUGGINGFACE, "triton": TRITON}
"""Name of a layout -> the folder that it makes."""
PIXELS = "pixels"


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
    into: Path | str,
    images: ImageSet | None = None,
    models: Path | str | None = None,
    takes: InputKind = "uint8",
    layout: LayoutName = "file",
    overwrite: bool = False,
) -> Deployed:
    """The head and its backbones, written as one ONNX model `into` a file that needs no featx to run.

    The model takes `pixels`: uint8 (n, size, size, 3), images that are resized and cropped as its metadata says; with
    `takes="float"` it takes the normalised numbers that the backbone's own model takes. It gives `label` (n,), names of
    classes as text, and `probabilities` (n, classes) float32. A head for images with several labels gives `labels`
    (n, classes) instead: whether each class is there. Backbones whose images are prepared differently have an input
    each, `pixels_<backbone>`.

    A head on views needs about as many times longer as there are views. Mirrors and turns are made inside the model
    from the same pixels. If there are other views, such as crops, the input has an axis for all of them, (n, views,
    size, size, 3), and the metadata names them: `featx.inputs.decode_views` makes them, as `featx serve` does.

    With `layout="huggingface"` or `"triton"`, `into` is a folder, which gets the model and the files that describe it;
    for Triton it is the model's own folder in the repository. Other files there stay.

    The model is compared with what featx predicts for up to 200 of the images, or for random ones without images. It is
    written only if all labels are equal and no probability differs by more than 1e-4. Images of which a probability
    hinges on the last bits of the features, as where two training images are equally near, may differ: a note counts
    them.

    Raises BackboneError if a backbone is not at hand; HeadError if it is not the one that the head was trained on, if
    the head cannot be deployed exactly, or if the file cannot be written.

    >>> import featx
    >>> deployed = featx.deploy_head("photos.featx", into="shapes.onnx", images=featx.list_images("new"))
    >>> deployed.inputs[0].name, deployed.inputs[0].shape
    ('pixels', (None, 224, 224, 3))
    """
    if not isinstance(head, Head | Path | str):
        raise HeadError(
            f"a {type(head).__name__} does not say which backbone its features come from; give a head that train_head "
            "or load_head returned, or the path of one"
        )
    head = head if isinstance(head, Head) else load_head(head)
    work = _Work(head, images, models, as_pixels=takes == "uint8")
    if layout != "file":
        with reserve_folder(into, LAYOUTS[layout], overwrite=overwrite) as folder:
            return work.write(folder.model, folder)
    with reserve_model(into, overwrite=overwrite) as target:
        return work.write(target)


@dataclass(frozen=True)
class _Work:
    """A head that is to be deployed, and how."""

    head: Head
    images: ImageSet | None
    models: Path | str | None
    as_pixels: bool

    def write(self, target: Target, folder: FolderTargets | None = None) -> Deployed:
        """Write the model to the target after its check, and the other files of the folder before it appears."""
        built = _build(self.head, models=self.models, as_pixels=self.as_pixels)
        with target.written() as new:
            new.write_bytes(built.model.SerializeToString())
            deployed = self._checked(built, new, into=target.path)
            if folder is not None:
                about = {entry.key: entry.value for entry in built.model.metadata_props}
                folder.write(self.head, deployed, about)
        return deployed

    def _checked(self, built: _Built, written: Path, *, into: Path) -> Deployed:
        """What was written, which will stand at `into`, after a comparison with featx's own predictions."""
        opened = open_model(written, device="cpu")
        sessions = [open_session(one.backbone, device="cpu") for one in built.passes]
        pixels = read_checked(self.images, built.passes, sessions)
        features = own_features(sessions, built.passes, pixels, columns=built.columns)
        fed = _feed(built, pixels, as_pixels=self.as_pixels)
        values = [fed[tensor.name] for tensor in opened.inputs]
        found = compare(self.head, opened, features=features, inputs=values, drawn=self.images is None)
        return Deployed(
            path=into,
            inputs=tuple(DeployedTensor(one.name, one.dtype, one.shape) for one in opened.inputs),
            outputs=tuple(DeployedTensor(one.name, one.dtype, one.shape) for one in opened.outputs),
            opset=opset(built.model),
            size=written.stat().st_size,
            images=found.images,
            drawn=found.drawn,
            largest_difference=found.largest_difference,
            notes=tuple(_notes(built, found, opened.inputs[0].shape[0])),
        )


def _build(head: Head, *, models: Path | str | None, as_pixels: bool) -> _Built:
    passes, columns = load_passes(head, models=models)
    inputs = _name_inputs(passes, as_pixels=as_pixels)
    trunks = list[Trunk]()
    for place, (one, name) in enumerate(zip(passes, inputs, strict=True)):
        graph = deployable_graph(one.backbone, from_pixels=as_pixels)
        known = [trunk.name for trunk in trunks]
        own = one.backbone.name if one.backbone.name not in known else f"{one.backbone.name}/{place}"
        axes = _axes_of(one, as_pixels=as_pixels)
        trunks.append(Trunk(own, graph.model, name, graph.batch, axes, one.views, one.view_rule == "mean"))
    model = join(head, trunks, columns=columns)
    helper.set_model_props(model, describe(head, passes, inputs, as_pixels=as_pixels))
    return _Built(model, inputs, passes, columns)


def _axes_of(one: BackbonePass, *, as_pixels: bool) -> Axes:
    """Where the sides of images are in what the graph of this pass takes."""
    last = as_pixels or one.backbone.card.input.layout == "NHWC"
    return Axes(1, 2) if last else Axes(2, 3)


def _name_inputs(passes: Sequence[BackbonePass], *, as_pixels: bool) -> tuple[str, ...]:
    """The name of the input of each pass: one for all if their images are prepared in the same way."""
    prepared = [preparation(one, as_pixels=as_pixels) for one in passes]
    if all(one == prepared[0] for one in prepared):
        return (PIXELS,) * len(passes)
    names = [f"{PIXELS}_{one.backbone.name}" for one in passes]
    decoded = [
        f"{name}_{one.decode}" if names.count(name) > 1 else name for name, one in zip(names, passes, strict=True)
    ]
    return tuple(_number(decoded, prepared))


def _number(names: Sequence[str], prepared: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The names, with a number behind one that was given to images that are prepared in another way."""
    known: dict[str, list[Mapping[str, Any]]] = {}
    for name, one in zip(names, prepared, strict=True):
        others = known.setdefault(name, [])
        if one not in others:
            others.append(one)
        place = others.index(one)
        yield f"{name}_{place + 1}" if place else name


def _feed(built: _Built, pixels: Sequence[Pixels], *, as_pixels: bool) -> dict[str, NDArray[Any]]:
    """The value of each input for these pixels of each pass."""
    given = zip(built.inputs, built.passes, pixels, strict=True)
    return {name: _as_taken(one, views, as_pixels=as_pixels) for name, one, views in given}


def _as_taken(one: BackbonePass, views: Pixels, *, as_pixels: bool) -> NDArray[Any]:
    """The value of the model's input for these views of images. Raises HeadError for a type that numpy lacks."""
    taken = views[:, 0] if can_make(one.views) else views_of(one, views)
    if as_pixels:
        return taken
    card = one.backbone.card
    values = model_input(card, taken.reshape(-1, *taken.shape[-3:]))
    if values.dtype.name != card.input.dtype:
        raise HeadError(f"{card.name} takes {card.input.dtype}, a type that NumPy lacks; deploy it with --input uint8")
    return values.reshape(*taken.shape[:-3], *values.shape[1:])


def _notes(built: _Built, found: Comparison, batch: int | None) -> list[str]:
    notes = []
    if found.drawn:
        notes.append(
            f"predictions were compared on {found.images} images of random colours, because none were given; give "
            "images like those that it will be used for"
        )
    if found.hinging:
        notes.append(
            f"probabilities of {found.hinging} of {found.images} images differ, by up to "
            f"{found.largest_difference:.1e}: they hinge on the last bits of the features, as where two training "
            "images are equally near"
        )
    if batch is not None:
        notes.append(f"a backbone takes exactly {batch} images at a time, so the model does too")
    if (version := opset(built.model)) > NEWEST_OPSET:
        notes.append(f"opset {version} of a backbone needs a newer ONNX Runtime than 1.20, which runs {NEWEST_OPSET}")
    own = sorted({entry.domain for entry in built.model.opset_import} - {"", "ai.onnx"})
    if any(node.domain in own for node in built.model.graph.node):
        notes.append(f"a backbone has operators of {', '.join(own)}, which only ONNX Runtime knows")
    return notes
