"""A model in; a backbone out: its feature found, its card written, tried on pixels, in the user's folder."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from featx.backbones import (
    Backbone,
    Card,
    ImageInput,
    Inspection,
    Output,
    bundled_folder,
    check_card,
    find_precision,
    inspect_model,
    read_card,
    read_metadata,
    resolve_outputs,
    save_model,
    try_outputs,
    user_folder,
)
from featx.convert.fetch import (
    fetch_model,
    is_url,
    public_address,
)
from featx.convert.preprocessing import (
    Preprocessing,
    complete,
    find_preprocessing,
)
from featx.errors import BackboneError
from featx.hashing import hash_file
from featx.inputs import PixelSpec

UNFINISHED = ".featx-"
"""How folders begin in which a backbone is put together; a killed process leaves them."""
UNKNOWN = "0" * 64
"""The sha256 of a card whose model is still being tried."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is said of a backbone that its model does not tell."""

    name: str
    outputs: tuple[str, ...] = ()
    """Tensors to take, the feature first; none for the penultimate feature."""
    pixels: Preprocessing = field(default_factory=Preprocessing)
    exif_orientation: bool = False
    source: str = ""
    licence: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Registered:
    """A backbone that was added, and what was taken for granted."""

    backbone: Backbone
    notes: tuple[str, ...]


def add_backbone(
    model: Path | str, said: Description, *, into: Path | None = None, sha256: str = "", overwrite: bool = False
) -> Registered:
    """The backbone made of this model, written into the folder of cards `into` (the user's by default).

    `model` is a file, or an HTTP address whose content must have this `sha256`. Raises BackboneError where the model is
    unusable, its feature or its preprocessing is not certain, or the name is taken.
    """
    folder = user_folder() if into is None else into
    with claimed(said.name, folder, overwrite=overwrite):
        return _add(model, said, folder=folder, sha256=sha256, overwrite=overwrite)


def _add(model: Path | str, said: Description, *, folder: Path, sha256: str, overwrite: bool) -> Registered:
    target = folder / f"{said.name}.onnx"
    if target.exists() and not overwrite and not (Path(model).exists() and target.samefile(model)):
        raise BackboneError(f"{target}: is there already, without a card; choose another --name, or --overwrite it")
    with _on_disk(str(model), sha256) as path:
        card, notes = describe_model(path, replace(said, source=said.source or public_address(str(model))))
        backbone = install(path, card, folder)
    return Registered(backbone, notes)


@contextmanager
def claimed(name: str, folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Hold the folder for adding a backbone of this name; others wait. Raises BackboneError where the name is taken."""
    _check_name(name, folder, overwrite=overwrite)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise BackboneError(
            f"{folder}: cannot be written ({error.strerror or error}); name another --models"
        ) from error
    try:
        _check_name(name, folder, overwrite=overwrite)
        for left in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(lock)
        if made:
            with suppress(OSError):
                folder.rmdir()


def _check_name(name: str, folder: Path, *, overwrite: bool) -> None:
    """Raise BackboneError where a backbone may not be called so, or is there already."""
    if not re.fullmatch(r"[\w.-]{1,100}", name) or name.startswith("."):
        raise BackboneError(f"--name {name!r} should be letters, digits, '.', '_' and '-', at most 100; choose another")
    if folder.exists() and not folder.is_dir():
        raise BackboneError(f"{folder}: is there and is no folder; name another with --models")
    if (bundled_folder() / f"{name}.toml").exists() and bundled_folder().resolve() != folder.resolve():
        raise BackboneError(f"--name {name!r} is that of a bundled backbone; choose another")
    own = folder / f"{name}.toml"
    if own.exists() and not overwrite:
        raise BackboneError(f"{own}: backbone {name!r} is there already; choose another --name, or --overwrite it")
    for path in folder.glob("*.toml"):
        if path != own and _name_on(path) == name:
            raise BackboneError(f"{path}: backbone {name!r} is there already; choose another --name")


def _name_on(card: Path) -> str:
    try:
        return read_card(card).name
    except BackboneError:
        return ""


@contextmanager
def _on_disk(model: str, sha256: str) -> Iterator[Path]:
    """The model as a file, fetched where it is an address, its hash checked where one is given."""
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise BackboneError(
            f"--sha256 {sha256!r} should be 64 hexadecimal digits; copy it from where the model is offered"
        )
    if not is_url(model):
        if sha256 and Path(model).is_file() and (actual := hash_file(Path(model))) != sha256:
            raise BackboneError(f"{model}: its sha256 is {actual} but {sha256} was expected; fetch it again")
        yield Path(model)
        return
    address = public_address(model)
    if not sha256:
        raise BackboneError(f"{address}: an address needs the hash of its file; give it with --sha256")
    with tempfile.TemporaryDirectory(prefix="featx-") as folder:
        path = fetch_model(model, sha256=sha256, into=Path(folder))
        try:
            yield path
        except BackboneError as error:
            raise BackboneError(str(error).replace(str(path), address)) from error


def describe_model(path: Path, said: Description) -> tuple[Card, tuple[str, ...]]:
    """The card of the model in this file, still without its hash, once its outputs were tried; and what was assumed."""
    inspection = inspect_model(path, size=said.pixels.size)
    found, origin = find_preprocessing(path, read_metadata(path))
    said = _fit_channels(inspection, said)
    size = _choose_size(inspection, said.pixels, found, origin)
    if inspection.input.dtype == "uint8" and (said.pixels.mean or said.pixels.std):
        raise BackboneError(f"{path}: takes uint8 pixels as they are, so --mean and --std do nothing; leave them out")
    pixels, assumed = complete(
        said.pixels.over(found),
        size=size,
        dtype=inspection.input.dtype,
        exif_orientation=said.exif_orientation,
    )
    outputs = resolve_outputs(path, said.outputs or (_certain_feature(inspection),), size=size)
    card = _card(said, inspection, pixels, outputs)
    notes = [f"preprocessing from {origin}"] if origin else []
    notes += [f"assumed {', '.join(assumed)}: say otherwise with flags"] if assumed else []
    card, told = try_outputs(Backbone(card, path))
    return check_card(card, source=f"{path} with these options", step="choose another"), (
        *inspection.notes,
        *told,
        *notes,
    )


def _fit_channels(inspection: Inspection, said: Description) -> Description:
    """The same, said of a model of one channel that it takes grey."""
    count, channels = inspection.input.channels, said.pixels.channels
    if count == 1 and channels is None:
        return replace(said, pixels=replace(said.pixels, channels="L"))
    if count not in (None, 1 if channels == "L" else 3):
        raise BackboneError(
            f"{inspection.model}: input {inspection.input.name!r} takes {count} channels but featx gives "
            f"{channels or 'RGB'}; correct --channels, or export it for RGB"
        )
    return said


def _choose_size(inspection: Inspection, flags: Preprocessing, found: Preprocessing, origin: str) -> int:
    """Height and width: the model's own where it fixes them, else as said."""
    height, width = inspection.input.size
    if height != width and None not in (height, width):
        raise BackboneError(
            f"{inspection.model}: input {inspection.input.name!r} takes {height} x {width} but featx gives squares; "
            "export it for a square"
        )
    fixed = height or width
    said, by = (flags.size, "--size") if flags.size else (found.size, origin)
    if fixed and said and fixed != said:
        raise BackboneError(
            f"{inspection.model}: takes {fixed} pixels but {by} says {said}; correct it with --size {fixed}"
        )
    if not (fixed or said):
        raise BackboneError(
            f"{inspection.model}: height and width of {inspection.input.name!r} are free; say them: --size 224"
        )
    return fixed or said or 0


def _certain_feature(inspection: Inspection) -> str:
    if inspection.certain and inspection.feature_output:
        name, pool = inspection.feature_output, inspection.feature_pool
        return f"{name}:{pool}" if pool else name
    listed = "; ".join(f"{one.name} ({one.dim}, {one.kind})" for one in inspection.candidates[::-1])
    why = f": {inspection.notes[-1]}" if inspection.notes else ""
    raise BackboneError(f"{inspection.model}: its feature is not certain{why}; choose with --output: {listed}")


def _card(given: Description, inspection: Inspection, pixels: PixelSpec, outputs: Sequence[Output]) -> Card:
    image = inspection.input
    card = Card(
        name=given.name,
        file=f"{given.name}.onnx",
        sha256=UNKNOWN,
        source=given.source,
        licence=given.licence,
        reference=given.reference,
        input=ImageInput(name=image.name, layout=image.layout, dtype=image.dtype, pixels=pixels),
        feature=outputs[0].name,
        dim=outputs[0].dim,
        classifier=inspection.classifier_output or "",
        precision="int8" if find_precision(Path(inspection.model)) == "int8" else "",
    )
    return card.with_outputs(outputs)


def install(path: Path, card: Card, folder: Path, *, golden: Path | None = None) -> Backbone:
    """The backbone of this model, card and golden vectors in the folder: the card last, so that it never lacks them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _files_of(folder / f"{card.name}.toml")
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as place:
            card = _gather(path, card, Path(place), golden)
            (Path(place) / f"{card.name}.toml").write_text(card.to_toml(), encoding="utf-8")
            made = [name for name in (card.data, card.golden, card.file, f"{card.name}.toml") if name]
            for name in made:
                os.replace(Path(place) / name, folder / name)
        for name in before - set(made):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise BackboneError(
            f"{folder}: cannot be written ({error.strerror or error}); name another --models"
        ) from error
    return Backbone(card, folder / card.file)


def _files_of(path: Path) -> set[str]:
    """The files that an earlier card of this name brought, which a new one may not need."""
    try:
        card = read_card(path)
    except BackboneError:
        return set()
    return {name for name in (card.data, card.golden) if name}


def _gather(path: Path, card: Card, place: Path, golden: Path | None) -> Card:
    """The card with its hashes, once model, weights and golden vectors are copied to this place."""
    model = place / card.file
    weights = save_model(path, model)
    if weights:
        card = replace(card, data=weights.name, data_sha256=hash_file(weights))
    if golden:
        card = replace(card, golden=f"{card.name}.golden.npz")
        shutil.copyfile(golden, place / card.golden)
    return replace(card, sha256=hash_file(model))
