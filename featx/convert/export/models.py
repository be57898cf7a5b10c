"""Builds the torch model that a recipe names, with its weights, and collects what its library says about it."""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from featx.convert.export.libraries import errors_reported, import_library
from featx.convert.export.weights import load_weights, read_weights
from featx.convert.preprocessing import Preprocessing
from featx.errors import BackboneError, did_you_mean
from featx.hashing import hash_file
from featx.provenance import installed_version

SOURCE_FORMS = "timm:NAME, torchvision:NAME or FILE.py:ATTRIBUTE"
SCORES_OUTPUT = "logits"
FEATURE_OUTPUT = "features"
UNDECIDED_OUTPUT = "output"
"""Names of a model's output: class scores, the feature, or either of them, as the inspection will decide."""
_TRANSFORM_INPUT = ("inception_v3", "googlenet")
"""Models whose published weights need `transform_input`, which torchvision sets only if it loads them itself."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A torch model, and how to export it."""

    source: str
    """`timm:NAME`, `torchvision:NAME`, or `FILE.py:ATTRIBUTE`: a torch.nn.Module or a function that returns one."""
    weights: Path | None = None
    """File with its state dict; None for the published weights, or those that FILE.py sets."""
    random: bool = False
    """Whether weights are random instead; only for timm and torchvision."""
    seed: int = 0
    """Seed of torch, set before the model is built."""
    classes: int | None = None
    """Number of its class scores; 0 if its output is the feature; None for the published number."""
    opset: int = 17

    @property
    def published(self) -> bool:
        """Whether the weights are those that the library publishes."""
        return not (self.weights or self.random)


@dataclass(frozen=True, kw_only=True)
class BuiltModel:
    """A torch model, ready for inference on the CPU, and what its library says about it."""

    model: Any
    output: str
    """Name of its output."""
    source: str
    """Where model and weights come from, for the card."""
    pixels: Preprocessing = field(default_factory=Preprocessing)
    notes: tuple[str, ...] = ()
    licence: str = ""
    reference: str = ""


def build_model(recipe: Recipe, *, size: int | None) -> BuiltModel:
    """Build the model that the recipe names, with its weights, for images of this size if one is given.

    Raises BackboneError if the model is unknown, if its weights cannot be loaded, or if its library is missing.
    """
    kind, _, name = recipe.source.partition(":")
    file, _, attribute = recipe.source.rpartition(":")
    if not (file.endswith(".py") and attribute) and not (kind in ("timm", "torchvision") and name):
        raise BackboneError(f"SOURCE {recipe.source!r} should be {SOURCE_FORMS}; correct it")
    import_library("torch").manual_seed(recipe.seed)
    if kind == "timm":
        built = _from_timm(name, recipe, size)
    elif kind == "torchvision":
        built = _from_torchvision(name, recipe, size)
    else:
        built = _from_file(Path(file), attribute, recipe)
    built.model.cpu().float().eval()
    return built


def _check_known(name: str, known: Sequence[str], of: str) -> None:
    if name not in known:
        raise BackboneError(f"{of} has no model {name!r}{did_you_mean(name, known)}; {of}.list_models() lists all")


def _make_sized(make: Callable[..., Any], key: str, size: int | None) -> Any:
    """The model, built for this size if it accepts one: transformers do, most convolutional networks do not."""
    if size is None:
        return make()
    try:
        return make(**{key: size})
    except TypeError:
        return make()


def _fetching(recipe: Recipe, where: str) -> AbstractContextManager[None]:
    """Reports errors of a download of published weights, with the next step."""
    step = f"download them from {where} and give the file with --weights, or use --random"
    return errors_reported(f"{recipe.source}: its published weights cannot be loaded", step)


def _origin(recipe: Recipe, published: str) -> str:
    """Where model and weights come from, for the card."""
    kind = recipe.source.partition(":")[0]
    if recipe.weights:
        weights = f"{recipe.weights.name} of sha256 {hash_file(recipe.weights)}"
    else:
        weights = f"random of seed {recipe.seed}" if recipe.random else published
    return f"{recipe.source} of {kind} {installed_version(kind)}, weights {weights}"


def _noted(recipe: Recipe, origin: str, *others: str) -> tuple[str, ...]:
    """Notes for the user: on random weights, then the others, then where the preprocessing comes from."""
    notes = [*others, f"preprocessing from {origin}"]
    if recipe.random:
        notes.insert(0, f"weights are random (seed {recipe.seed}): their features are a baseline, no more")
    return tuple(notes)


# ---- timm


def _from_timm(name: str, recipe: Recipe, size: int | None) -> BuiltModel:
    timm = import_library("timm")
    _check_known(name, [*timm.list_models(), *timm.list_pretrained()], "timm")
    published = timm.get_pretrained_cfg(name)
    model = _make_timm(partial(timm.create_model, name, exportable=True), recipe, size, _timm_address(published))
    if recipe.classes == 0:
        model.reset_classifier(0)
    new = recipe.published and recipe.classes not in (None, 0, published.num_classes)
    new_head = [f"its last layer, for {recipe.classes} classes, is random; the feature is not"] if new else []
    return BuiltModel(
        model=model,
        output=SCORES_OUTPUT if model.num_classes else FEATURE_OUTPUT,
        source=_origin(recipe, _timm_address(published)),
        pixels=_timm_pixels(import_library("timm.data").resolve_model_data_config(model), recipe),
        notes=_noted(recipe, f"timm's configuration of {name}", *new_head),
        licence=(published.license or "") if recipe.published else "",
    )


def _make_timm(create: Callable[..., Any], recipe: Recipe, size: int | None, address: str) -> Any:
    classes = {"num_classes": recipe.classes} if recipe.classes else {}
    if recipe.weights is None:
        with _fetching(recipe, address):
            return _make_sized(partial(create, pretrained=not recipe.random, **classes), "img_size", size)
    state = read_weights(recipe.weights)
    model = _make_sized(partial(create, **classes), "img_size", size)
    try:
        load_weights(model, state, path=recipe.weights)
    except BackboneError as error:
        try:  # timm itself reads weights with other names, or with positions for another size
            overlay = {"state_dict": state, **classes}
            return _make_sized(
                partial(create, pretrained=True, pretrained_cfg_overlay=overlay, **classes), "img_size", size
            )
        except Exception:  # noqa: BLE001 - its filters raise anything; the first error already says what does not fit
            raise error from None
    return model


def _timm_address(published: Any) -> str:
    if published.hf_hub_id:
        return f"https://huggingface.co/{published.hf_hub_id}"
    return str(published.url or "where it was trained (timm offers none)")


def _timm_pixels(config: Mapping[str, Any], recipe: Recipe) -> Preprocessing:
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise BackboneError(
            f"{recipe.source}: takes {channels} x {height} x {width} but featx has square RGB images; choose another"
        )
    if config["crop_mode"] not in ("center", "squash"):
        raise BackboneError(
            f"{recipe.source}: timm's crop mode is {config['crop_mode']!r} but featx has only center and squash; "
            "give --crop-mode"
        )
    return Preprocessing(
        size=height,
        resize=int(height // config["crop_pct"]),
        crop_mode=config["crop_mode"],
        filter="bilinear" if config["interpolation"] == "random" else config["interpolation"],
        mean=_on_255(config["mean"]),
        std=_on_255(config["std"]),
    )


def _on_255(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(255 * float(value), 6) for value in values)


# ---- torchvision


def _from_torchvision(name: str, recipe: Recipe, size: int | None) -> BuiltModel:
    models = import_library("torchvision").models
    _check_known(name, models.list_models(module=models), "torchvision.models")
    if recipe.classes == 0:
        raise BackboneError(f"{recipe.source}: torchvision builds no model without classes; leave out --classes 0")
    published = models.get_model_weights(name).DEFAULT
    given = {"num_classes": recipe.classes} if recipe.classes else {}
    if recipe.weights and name in _TRANSFORM_INPUT:
        given["transform_input"] = True
    make = partial(models.get_model, name, weights=published if recipe.published else None, **given)
    pixels = _torchvision_pixels(published.transforms())
    with _fetching(recipe, published.url):  # with published weights torchvision knows the size itself
        model = _make_sized(make, "image_size", size or (None if recipe.published else pixels.size))
    if recipe.weights:
        load_weights(model, read_weights(recipe.weights), path=recipe.weights)
    return BuiltModel(
        model=model,
        output=SCORES_OUTPUT,
        source=_origin(recipe, published.url),
        pixels=pixels,
        notes=_noted(recipe, f"the transforms of torchvision's {published}"),
        reference=_accuracy(published.meta) if recipe.published else "",
    )


def _torchvision_pixels(transforms: Any) -> Preprocessing:
    return Preprocessing(
        size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        crop_mode="center",
        filter=transforms.interpolation.value,
        mean=_on_255(transforms.mean),
        std=_on_255(transforms.std),
    )


def _accuracy(meta: Mapping[str, Any]) -> str:
    """The published top-1 accuracy; empty if torchvision has none."""
    measured = meta.get("_metrics", {}).get("ImageNet-1K", {})
    return f"ImageNet-1k top-1 {measured['acc@1']} %" if "acc@1" in measured else ""


# ---- a Python file


def _from_file(path: Path, attribute: str, recipe: Recipe) -> BuiltModel:
    if recipe.random:
        raise BackboneError(f"{recipe.source}: sets its weights itself; leave out --random, or give --weights")
    module = _run_file(path)
    known = [name for name in vars(module) if not name.startswith("_")]
    if attribute not in vars(module):
        raise BackboneError(f"{path}: defines no {attribute!r}{did_you_mean(attribute, known)}; correct SOURCE")
    model = getattr(module, attribute)
    module_type = import_library("torch").nn.Module
    if not isinstance(model, module_type) and callable(model):
        with (
            errors_reported(f"{recipe.source}: failed when called without arguments", "fix it"),
            _importing_neighbours(path),
        ):
            model = model()
    if not isinstance(model, module_type):
        raise BackboneError(
            f"{recipe.source}: is of type {type(model).__name__} but a torch.nn.Module, or a function that returns "
            "one, is needed"
        )
    if recipe.weights:
        load_weights(model, read_weights(recipe.weights), path=recipe.weights)
    output = {None: UNDECIDED_OUTPUT, 0: FEATURE_OUTPUT}.get(recipe.classes, SCORES_OUTPUT)
    weights = f", weights {recipe.weights.name} of sha256 {hash_file(recipe.weights)}" if recipe.weights else ""
    source = f"{attribute} of {path.name}, sha256 {hash_file(path)}{weights}"
    return BuiltModel(model=model, output=output, source=source)


def _run_file(path: Path) -> ModuleType:
    """The user's file, executed as a module."""
    if not path.is_file():
        raise BackboneError(f"{path}: no such file; SOURCE should be {SOURCE_FORMS}")
    name = f"featx_export_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with errors_reported(f"{path}: failed when it was run", "fix it"), _importing_neighbours(path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importing_neighbours(path: Path) -> Iterator[None]:
    """Let the user's file import files next to it while it runs."""
    place = str(path.parent.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        if place in sys.path:
            sys.path.remove(place)
