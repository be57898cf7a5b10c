"""Installs a fine-tuned backbone beside the one that it comes from, with a card that says what it learned from."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from featx.backbones import Backbone, Card, Tuned, try_apart, user_folder, write_model
from featx.convert.adding import install
from featx.convert.own_folder import reserve_name
from featx.convert.quantize.tries import features_on_cpu
from featx.convert.verifying import DRAWN_IMAGES, draw_pixels
from featx.learned import join_memories


def install_tuned(
    backbone: Backbone,
    model: ModelProto,
    about: Tuned,
    *,
    name: str,
    into: Path | str | None = None,
    overwrite: bool = False,
) -> Backbone:
    """The fine-tuned backbone of this name, in the folder of cards `into` (the user's by default).

    `model` is that of the backbone with other weights. Its card is that of the backbone, licence and source included;
    the classifier and the published accuracy are left out, as its features are others. A backbone that is tuned again
    remembers the images of both times. It gets golden vectors of its own, computed on this machine. Raises
    BackboneError if the name is taken, or if the model does not give a finite feature for each image.

    >>> import onnx
    >>> import featx
    >>> from featx.convert import install_tuned
    >>> from featx.backbones import Tuned
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> counts = {"images": 45, "validated": 10, "tested": 15}
    >>> shares = {"validation_frozen": 0.8, "validation_tuned": 0.9, "test_frozen": 0.8, "test_tuned": 0.9}
    >>> origin = {"source": backbone.name, "source_hash": backbone.hash, "tensor": "/_blocks.13/Add_output_0"}
    >>> about = Tuned(**origin, images_hash="", memory="", split="a quarter held out", **counts, **shares)
    >>> tuned = install_tuned(backbone, onnx.load(backbone.path), about, name="mine-tuned", into="models")
    >>> tuned.card.tuned.test_tuned, tuned.card.licence == backbone.card.licence
    (0.9, True)
    """
    folder = user_folder() if into is None else Path(into)
    with (
        reserve_name(name, folder, overwrite=overwrite) as reserved,
        tempfile.TemporaryDirectory(prefix="featx-") as place,
    ):
        path = Path(place) / f"{name}.onnx"
        if backbone.card.data:
            write_model(model, path, path=backbone.path)
        else:  # one file, as the backbone is
            path.write_bytes(model.SerializeToString())
        tuned = Backbone(_card(backbone.card, name, about), path)
        card, _ = try_apart(tuned)
        return install(path, card, reserved, golden=_golden(replace(tuned, card=card), Path(place)))


def check_new_name(name: str, *, into: Path | str | None = None, overwrite: bool = False) -> None:
    """Raise BackboneError if no backbone of this name could be installed, before anything is computed for it."""
    with reserve_name(name, user_folder() if into is None else Path(into), overwrite=overwrite):
        pass


def _card(card: Card, name: str, about: Tuned) -> Card:
    """The card of the backbone as that of the tuned one, whose features a classifier of the source cannot read."""
    changed = card.with_outputs([card.all_outputs[0]])
    if card.tuned is not None:
        about = replace(about, memory=join_memories(card.tuned.memory, about.memory))
    gone: dict[str, Any] = dict.fromkeys(("data", "data_sha256", "golden", "reference", "classifier"), "")
    return replace(changed, name=name, file=f"{name}.onnx", tuned=about, quantized=None, classifier_kind="", **gone)


def _golden(backbone: Backbone, place: Path) -> Path:
    """A file of drawn images and the features that this machine computes for them on its CPU."""
    path = place / "golden.npz"
    pixels = draw_pixels(backbone.card.input.pixels.size, count=DRAWN_IMAGES)
    features = features_on_cpu(backbone, pixels)
    np.savez_compressed(path, pixels=pixels, features=features)
    return path
