"""Adds a backbone: finds the feature of a model, checks it on random images, writes its card, and installs both."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from featx.apart import Allow
from featx.backbones import (
    WHOLE_NUMBERS,
    Backbone,
    Card,
    ImageInput,
    Inspection,
    Output,
    check_card,
    describe_format,
    expand_layers,
    find_precision,
    inspect_model,
    read_metadata,
    remember,
    resolve_outputs,
    run_foreign,
    save_model,
    try_outputs,
    user_folder,
    with_class_scores,
)
from featx.convert.fetch import fetch_model, is_url, public_address
from featx.convert.own_folder import ReservedName, files_on, not_writable, reserve_name
from featx.convert.preprocessing import Preprocessing, complete, consider_normalisation, find_preprocessing
from featx.errors import BackboneError
from featx.hashing import hash_file
from featx.inputs import PixelSpec
from featx.settings import LAYERS

_UNKNOWN_SHA256 = "0" * 64
"""On the card of a model that is still being checked."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the user says about a backbone that its model does not contain.

    >>> import featx
    >>> featx.Description(name="mine", outputs=("features",), licence="MIT").pixels.size is None
    True
    """

    name: str
    outputs: tuple[str, ...] = ()
    """Tensors to take, the feature first; if empty, the input of the model's last layer."""
    pixels: Preprocessing = field(default_factory=Preprocessing)
    exif_orientation: bool = False
    """Whether images are turned upright as their EXIF orientation says."""
    source: str = ""
    """Where the model comes from; if empty, its web address."""
    licence: str = ""
    reference: str = ""
    """Published accuracy on the source task."""


@dataclass(frozen=True)
class AddedBackbone:
    """What add_backbone returns: the new backbone, and notes about it."""

    backbone: Backbone
    notes: tuple[str, ...]
    """What was found and what had to be assumed, one sentence each."""


def add_backbone(
    model: Path | str,
    description: Description,
    *,
    into: Path | str | None = None,
    sha256: str = "",
    overwrite: bool = False,
) -> AddedBackbone:
    """Make a backbone of this model, in the folder of cards `into` (the user's by default).

    `model` is a file, or a web address whose content must have this `sha256`. Raises BackboneError if the model is
    unusable, its feature or its preprocessing is not certain, or the name is taken.

    >>> import featx
    >>> model = featx.load_backbone("efficientnet-lite0").path
    >>> added = featx.add_backbone(model, featx.Description(name="mine"), into="models")
    >>> added.backbone.card.feature, added.backbone.card.dim
    ('features', 1280)
    >>> added.notes
    ('assumed mean (123.675, 116.28, 103.53) and std ...; set them with flags if that is wrong',)
    """
    folder = user_folder() if into is None else Path(into)
    with reserve_name(description.name, folder, overwrite=overwrite, source=model) as reserved:
        return _add(model, description, reserved, sha256=sha256)


def _add(model: Path | str, description: Description, /, reserved: ReservedName, *, sha256: str) -> AddedBackbone:
    with _on_disk(str(model), sha256) as path:
        source = description.source or public_address(str(model))
        described = partial(_describe, path, replace(description, source=source))
        card, found = run_foreign(described, model=path)
        notes = tuple(note.replace(str(path), public_address(str(model)) or str(path)) for note in found)
        backbone = install(path, card, reserved, notes=notes)
        remember(backbone)
        return AddedBackbone(backbone, notes)


@contextmanager
def _on_disk(model: str, sha256: str) -> Iterator[Path]:
    """The model as a file: downloaded if it is a web address, its hash checked if one is given."""
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise BackboneError(
            f"--sha256 {sha256!r} should be 64 hexadecimal digits; copy it from the page that offers the model"
        )
    if not is_url(model):
        if sha256 and Path(model).is_file() and (actual := hash_file(Path(model))) != sha256:
            raise BackboneError(f"{model}: its sha256 is {actual} but {sha256} was expected; download it again")
        yield Path(model)
        return
    address = public_address(model)
    if not sha256:
        raise BackboneError(f"{address}: a web address needs the hash of its file; give it with --sha256")
    with tempfile.TemporaryDirectory(prefix="featx-") as folder:
        path = fetch_model(model, sha256=sha256, into=Path(folder))
        try:
            yield path
        except BackboneError as error:
            raise BackboneError(str(error).replace(str(path), address)) from error


def _describe(path: Path, description: Description, allow: Allow) -> tuple[Card, tuple[str, ...]]:
    return describe_model(path, description, allow=allow)


def describe_model(path: Path, description: Description, *, allow: Allow | None = None) -> tuple[Card, tuple[str, ...]]:
    """The card of the model in this file, after its outputs were checked, and notes on what was found and assumed.

    The card has no hash yet. `allow` sets the limits of a process in which the model is tried, once its size is known.
    """
    inspection = inspect_model(path, size=description.pixels.size)
    found = find_preprocessing(path, read_metadata(path))
    given = _with_channels(inspection, description.pixels)
    size = _choose_size(inspection, given, found=found.pixels, origin=found.origin)
    dtype = inspection.input.dtype
    if dtype in WHOLE_NUMBERS and (given.mean or given.std):
        raise BackboneError(f"{path}: takes {dtype} pixels as they are, so --mean and --std do nothing; leave them out")
    exif_orientation = description.exif_orientation
    pixels, own = consider_normalisation(given, found, inspection)
    spec, assumed = complete(pixels, size=size, dtype=dtype, exif_orientation=exif_orientation)
    names = description.outputs or (_certain_feature(inspection),)
    if LAYERS in names:
        feature = Output(name=_certain_feature(inspection), dim=1, pool=inspection.feature_pool)
        names = expand_layers(names, path, size=size, feature=feature)
    outputs = resolve_outputs(path, names, size=size, classifier=inspection.classifier_output or "")
    backbone = Backbone(_card(description, inspection, spec, outputs), path)
    card, tried = try_outputs(with_class_scores(backbone) if description.outputs else backbone, allow=allow)
    notes = [f"preprocessing from {found.origin}"] if found.origin else []
    notes += [*found.notes, *own, *filter(None, [describe_format(path)])]
    notes += [f"assumed {', '.join(assumed)}; set them with flags if that is wrong"] if assumed else []
    checked = check_card(card, source=f"{path} with these options", step="choose another")
    return checked, (*inspection.notes, *tried, *notes)


def _with_channels(inspection: Inspection, given: Preprocessing) -> Preprocessing:
    """What the user gave, with the channel of a grey model filled in. Raises BackboneError on a mismatch."""
    count = inspection.input.channels
    if count == 1 and given.channels is None:
        return replace(given, channels="L")
    if count not in (None, 1 if given.channels == "L" else 3):
        raise BackboneError(
            f"{inspection.model}: input {inspection.input.name!r} takes {count} channels but featx gives "
            f"{given.channels or 'RGB'}; correct --channels, or export it for RGB"
        )
    return given


def _choose_size(inspection: Inspection, given: Preprocessing, *, found: Preprocessing, origin: str) -> int:
    """Height and width: the model's if it fixes them, else those of the flags, else those in its trainers' files."""
    height, width = inspection.input.size
    if height != width and None not in (height, width):
        raise BackboneError(
            f"{inspection.model}: input {inspection.input.name!r} takes {height} x {width} but featx gives squares; "
            "export it for a square"
        )
    fixed = height or width
    wanted = given.size or found.size
    if fixed and wanted and fixed != wanted:
        raise BackboneError(
            f"{inspection.model}: takes {fixed} pixels but {'--size' if given.size else origin} says {wanted}; "
            f"correct it with --size {fixed}"
        )
    size = fixed or wanted
    if not size:
        raise BackboneError(
            f"{inspection.model}: height and width of {inspection.input.name!r} are free; choose them: --size 224"
        )
    return size


def _certain_feature(inspection: Inspection) -> str:
    """Name of the feature. Raises BackboneError if more than one tensor could be it."""
    if inspection.certain and inspection.feature_output:
        pool = inspection.feature_pool
        return f"{inspection.feature_output}:{pool}" if pool else inspection.feature_output
    candidates = inspection.candidates[::-1]
    listed = "; ".join(f"{candidate.name} ({candidate.dim}, {candidate.kind})" for candidate in candidates)
    why = f": {inspection.notes[-1]}" if inspection.notes else ""
    raise BackboneError(f"{inspection.model}: its feature is not certain{why}; choose with --output: {listed}")


def _card(description: Description, inspection: Inspection, spec: PixelSpec, outputs: Sequence[Output]) -> Card:
    image = inspection.input
    card = Card(
        name=description.name,
        file=f"{description.name}.onnx",
        sha256=_UNKNOWN_SHA256,
        source=description.source,
        licence=description.licence,
        reference=description.reference,
        input=ImageInput(name=image.name, layout=image.layout, dtype=image.dtype, pixels=spec),
        feature=outputs[0].name,
        dim=outputs[0].dim,
        classifier=inspection.classifier_output or "",
        classifier_kind=inspection.classifier_kind,
        precision="int8" if find_precision(Path(inspection.model)) == "int8" else "",
    )
    return card.with_outputs(outputs)


def install(
    path: Path, card: Card, into: ReservedName | Path, *, golden: Path | None = None, notes: Sequence[str] = ()
) -> Backbone:
    """Copy model, golden vectors and card into the folder, the card last, so that its files exist when it does.

    The notes become comments in the file of the card. `into` is a name that was reserved in a folder of cards, or such
    a folder, in which the files of a backbone with this name are replaced without asking.
    """
    reserved = ReservedName(card.name, into) if isinstance(into, Path) else into
    folder = reserved.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = files_on(folder / f"{card.name}.toml")
        with reserved.new_folder() as place:
            card = _gather(path, card, place, golden=golden)
            (place / f"{card.name}.toml").write_text(_comments(notes) + card.to_toml(), encoding="utf-8")
            names = [name for name in (card.data, card.golden, card.file, f"{card.name}.toml") if name]
            for name in names:
                reserved.publish(place / name)
        for name in before - set(names):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error
    return Backbone(card, folder / card.file)


def _comments(notes: Sequence[str]) -> str:
    """The notes as comments of TOML, which may not contain control characters."""
    lines = ["".join(one if one.isprintable() else "?" for one in note) for note in notes]
    return "".join(f"# {line}\n" for line in lines)


def _gather(path: Path, card: Card, place: Path, *, golden: Path | None) -> Card:
    """Copy model, weights and golden vectors to this place; returns the card with their names and hashes."""
    model = place / card.file
    weights = save_model(path, model)
    if weights:
        card = replace(card, data=weights.name, data_sha256=hash_file(weights))
    if golden:
        card = replace(card, golden=f"{card.name}.golden.npz")
        shutil.copyfile(golden, place / card.golden)
    return replace(card, sha256=hash_file(model))
