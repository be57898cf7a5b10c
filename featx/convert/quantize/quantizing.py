"""A backbone in float32 and an image set in; a backbone of int8 or float16, its card and its agreement, out."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from featx.backbones import (
    Backbone,
    Card,
    Quantized,
    feature_model,
    find_precision,
    open_session,
    user_folder,
)
from featx.convert.adding import reserve_name, install
from featx.convert.quantize.integers import best_integers
from featx.convert.quantize.ort_quantizer import (
    find_extremes,
    fold,
    quantiser_errors_reported,
    to_halves,
)
from featx.convert.quantize.sample import Sample, draw_sample
from featx.convert.quantize.tries import (
    Agreement,
    Try,
    agreement,
    features_on_cpu,
    measure_speed,
)
from featx.convert.verify import (
    DRAWN_IMAGES,
    draw_pixels,
    model_input,
)
from featx.errors import BackboneError
from featx.hardware import processor
from featx.inputs import ImageSet
from featx.settings import CALIBRATING, LowerPrecision

LEAST_AGREEMENT = 0.99
"""Mean cosine: features of solar cells lost 0.5 points of accuracy at 0.978, and nothing measurable at 0.997."""
LARGEST_HALF = 65504.0
WORTH_WHILE = 1.1
"""Times as fast as float32, below which int8 is told to gain nothing."""


@dataclass(frozen=True)
class Quantization:
    """A backbone that was made of another, the ways that were tried, and what there is to say of the images."""

    backbone: Backbone
    tries: tuple[Try, ...]
    notes: tuple[str, ...]


def quantize_backbone(
    backbone: Backbone,
    images: ImageSet,
    *,
    name: str = "",
    precision: LowerPrecision = "int8",
    count: int = CALIBRATING,
    into: Path | None = None,
    force: bool = False,
    overwrite: bool = False,
) -> Quantization:
    """The backbone in fewer bits, written into the folder of cards `into` (the user's by default).

    Ranges are measured on `count` of the images, agreement with float32 on half as many others. Raises BackboneError
    where the model cannot be quantised, the name is taken, or the agreement is below LEAST_AGREEMENT without `force`;
    ImageSetError where no image can be read.
    """
    folder = user_folder() if into is None else into
    name = name or f"{backbone.name}-{precision}"
    _check_source(backbone)
    with reserve_name(name, folder, overwrite=overwrite), tempfile.TemporaryDirectory(prefix="featx-") as place:
        sample = draw_sample(images, backbone.card.input.pixels, count=count)
        made = _Making(backbone, sample, Path(place), name)
        tries = made.integers() if precision == "int8" else made.halves()
        chosen = next(one for one in tries if one.chosen)
        if chosen.mean_cosine < LEAST_AGREEMENT and not force:
            raise BackboneError(
                f"{backbone.name}: nothing was written, for {precision} agrees with float32 by a mean cosine of "
                f"{chosen.mean_cosine:.4f} on {len(sample.held_out)} held-out images, below {LEAST_AGREEMENT}; try "
                "more images, or write it all the same with --force"
            )
        backbone = made.install(chosen, precision, folder)
        return Quantization(backbone, tries, (*sample.notes, *_slow(backbone.card)))


def _slow(card: Card) -> tuple[str, ...]:
    """That int8 gains nothing, where it does not: on processors, and for operators, that it was not made for."""
    about = card.quantized
    if about is None or card.precision != "int8" or about.speed >= WORTH_WHILE:
        return ()
    return (f"int8 is {about.speed:.2f} times as fast as float32 on this processor ({about.measured_on})",)


def _check_source(backbone: Backbone) -> None:
    """Refuse what is not a model in float32 of images that do not depend on each other."""
    card, found = backbone.card, find_precision(backbone.path)
    if found != "float32" or card.input.dtype != "float32":
        raise BackboneError(
            f"{backbone.name}: computes in {found if found != 'float32' else card.input.dtype} already; quantise the model "
            "that it was made of"
        )
    if card.batch:
        raise BackboneError(
            f"{backbone.name}: its features depend on the other images of a batch; it cannot be quantised"
        )


@dataclass(frozen=True)
class _Making:
    """A backbone that is being made, in a folder of its own."""

    source: Backbone
    sample: Sample
    place: Path
    name: str

    @property
    def made(self) -> Backbone:
        """The new model, with the card as it will be but for what is not known yet."""
        path = self.place / f"{self.name}.onnx"
        changes: dict[str, Any] = dict.fromkeys(("data", "data_sha256", "golden", "reference", "classifier"), "")
        return Backbone(replace(self.source.card, name=self.name, file=path.name, **changes), path)

    def integers(self) -> tuple[Try, ...]:
        """Write the int8 model that agrees best."""
        images = model_input(self.source.card, self.sample.calibration)
        with quantiser_errors_reported(str(self.source.path)):
            model, tries = best_integers(
                feature_model(self.source), self.source.card, images, place=self.place, measure=self._measure()
            )
            onnx.save(model, str(self.made.path))
        return tries

    def halves(self) -> tuple[Try, ...]:
        """Write the float16 model."""
        with quantiser_errors_reported(str(self.source.path)):
            folded = fold(feature_model(self.source), self.place / "folded.onnx")
            self._check_halves(folded)
            found = self._measure()(to_halves(folded))
        return (Try("float16", found.mean, found.lowest, chosen=True),)

    def _check_halves(self, folded: ModelProto) -> None:
        """Refuse numbers that float16 does not hold; on a CPU they may pass, as it computes in float32 between."""
        images = model_input(self.source.card, self.sample.calibration)
        ranges = find_extremes(self.place / "folded.onnx", images)
        reached = {name: max(map(abs, ends)) for name, ends in ranges.items()} | {
            tensor.name: float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0))
            for tensor in folded.graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT
        }
        for name, largest in reached.items():
            if not largest <= LARGEST_HALF:
                raise BackboneError(
                    f"{self.source.name}: tensor {name!r} reaches {largest:.3g} but float16 ends at "
                    f"{LARGEST_HALF:.0f}: features would be infinite; take --precision int8"
                )

    def _measure(self) -> Callable[[ModelProto], Agreement]:
        session = open_session(self.source, device="cpu")
        if session.batch is not None:
            raise BackboneError(
                f"{self.source.path}: its graph fixes the batch at {session.batch}; export it for a free batch"
            )
        wanted = features_on_cpu(self.source, self.sample.held_out)

        def _agreement(model: ModelProto) -> Agreement:
            onnx.save(model, str(self.made.path))
            return agreement(features_on_cpu(self.made, self.sample.held_out), wanted)

        return _agreement

    def install(self, chosen: Try, precision: LowerPrecision, folder: Path) -> Backbone:
        """The new backbone in its folder, with golden vectors of its own, by which another machine is told."""
        pixels, golden = draw_pixels(self.source.card.input.pixels.size, count=DRAWN_IMAGES), self.place / "golden.npz"
        of_feature = features_on_cpu(self.made, pixels)[:, : self.source.card.dim]
        np.savez_compressed(golden, pixels=pixels, features=of_feature)
        about = Quantized(
            source=self.source.name,
            source_hash=self.source.hash,
            method=chosen.method,
            images=len(self.sample.calibration),
            images_hash=self.sample.hash,
            held_out=len(self.sample.held_out),
            mean_cosine=chosen.mean_cosine,
            lowest_cosine=chosen.lowest_cosine,
            speed=measure_speed(self.made, self.source, self.sample.held_out),
            measured_on=processor(),
        )
        card = replace(self.made.card, precision=precision, quantized=about)
        return install(self.made.path, card, folder, golden=golden)
