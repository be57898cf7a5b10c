"""Quantises a backbone and installs the result, with a card that states its agreement with float32."""

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
    try_apart,
    user_folder,
)
from featx.convert.adding import install
from featx.convert.own_folder import ReservedName, reserve_name
from featx.convert.quantize.integers import best_integers
from featx.convert.quantize.ort_quantizer import find_extremes, fold, quantiser_errors_reported, to_halves
from featx.convert.quantize.sample import Sample, draw_sample
from featx.convert.quantize.tries import Agreement, Try, agreement, features_on_cpu, measure_speed
from featx.convert.verifying import DRAWN_IMAGES, draw_pixels, model_input
from featx.errors import BackboneError
from featx.hardware import processor
from featx.inputs import ImageSet
from featx.settings import CALIBRATION_IMAGES, LowerPrecision

LEAST_AGREEMENT = 0.99
"""Lowest mean cosine that is accepted: features of solar cells lost 0.5 points of accuracy at 0.978, none at 0.997."""
_LARGEST_FLOAT16 = 65504.0
_WORTHWHILE = 1.1
"""Speed relative to float32 below which a note says that int8 is hardly faster."""


@dataclass(frozen=True)
class Quantization:
    """What quantize_backbone returns: the new backbone, the ways that were tried, and notes about images and speed.

    >>> import featx
    >>> list(featx.Quantization.__dataclass_fields__)
    ['backbone', 'tries', 'notes']
    """

    backbone: Backbone
    tries: tuple[Try, ...]
    notes: tuple[str, ...]


def quantize_backbone(
    backbone: Backbone,
    images: ImageSet,
    *,
    name: str = "",
    precision: LowerPrecision = "int8",
    count: int = CALIBRATION_IMAGES,
    into: Path | str | None = None,
    force: bool = False,
    overwrite: bool = False,
) -> Quantization:
    """Quantise a backbone to int8 or float16, into the folder of cards `into` (the user's by default).

    Ranges are measured on `count` of the images, agreement with float32 on half as many others. Of several ways to
    int8, the one that agrees best is kept. Raises BackboneError if the model cannot be quantised, if the name is taken,
    or if the agreement is below LEAST_AGREEMENT without `force`; ImageSetError if too few images can be read.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> early = featx.select_outputs(backbone, ["/_blocks.1/_swish/Clip_output_0"])  # few layers, for a fast example
    >>> quantized = featx.quantize_backbone(early, featx.list_images("photos"), count=2, into="models")
    >>> quantized.backbone.name, quantized.backbone.card.computes_in
    ('efficientnet-lite0-int8', 'int8')
    """
    folder = user_folder() if into is None else Path(into)
    name = name or f"{backbone.name}-{precision}"
    _check_source(backbone)
    with (
        reserve_name(name, folder, overwrite=overwrite) as reserved,
        tempfile.TemporaryDirectory(prefix="featx-") as place,
    ):
        try_apart(backbone)
        sample = draw_sample(images, backbone.card.input.pixels, count=count)
        work = _Quantizing(backbone, sample, Path(place), name)
        tries = work.to_integers() if precision == "int8" else work.to_halves()
        chosen = next(attempt for attempt in tries if attempt.chosen)
        if chosen.mean_cosine < LEAST_AGREEMENT and not force:
            raise BackboneError(
                f"{backbone.name}: nothing was written, because {precision} and float32 agree with a mean cosine of "
                f"{chosen.mean_cosine:.4f} on {len(sample.held_out)} held-out images, below {LEAST_AGREEMENT}; try "
                "more images, or write it anyway with --force"
            )
        backbone = work.install(chosen, precision, reserved)
        return Quantization(backbone, tries, (*sample.notes, *_slow(backbone.card)))


def _slow(card: Card) -> tuple[str, ...]:
    """A note if int8 is hardly faster, as it is on some processors and for some operators."""
    about = card.quantized
    if about is None or card.precision != "int8" or about.speed >= _WORTHWHILE:
        return ()
    return (f"int8 is {about.speed:.2f} times as fast as float32 on this processor ({about.measured_on})",)


def _check_source(backbone: Backbone) -> None:
    """Refuse backbones that are not float32, or whose features depend on other images of the batch."""
    precisions = {find_precision(backbone.path), backbone.card.input.dtype} - {"float32"}
    if precisions:
        raise BackboneError(
            f"{backbone.name}: already computes in {' and '.join(sorted(precisions))}; quantise the float32 model"
        )
    if backbone.card.batch:
        raise BackboneError(
            f"{backbone.name}: its features depend on the other images of a batch; quantise another backbone"
        )


@dataclass(frozen=True)
class _Quantizing:
    """The quantisation of a backbone in a temporary folder."""

    source: Backbone
    sample: Sample
    place: Path
    name: str

    @property
    def target(self) -> Backbone:
        """The new backbone, whose card lacks what is not known yet."""
        path = self.place / f"{self.name}.onnx"
        changes: dict[str, Any] = dict.fromkeys(
            ("data", "data_sha256", "golden", "reference", "classifier", "classifier_kind"), ""
        )
        return Backbone(replace(self.source.card, name=self.name, file=path.name, **changes), path)

    def to_integers(self) -> tuple[Try, ...]:
        """Write the int8 model that agrees best; returns all tries."""
        images = model_input(self.source.card, self.sample.calibration)
        with quantiser_errors_reported(str(self.source.path)):
            model, tries = best_integers(
                feature_model(self.source), self.source.card, images, place=self.place, measure=self._measure()
            )
            onnx.save(model, str(self.target.path))
        return tries

    def to_halves(self) -> tuple[Try, ...]:
        """Write the float16 model; returns the only try."""
        with quantiser_errors_reported(str(self.source.path)):
            folded = fold(feature_model(self.source), self.place / "folded.onnx")
            self._check_halves(folded)
            found = self._measure()(to_halves(folded))
        return (Try("float16", found.mean, found.lowest, chosen=True),)

    def _check_halves(self, folded: ModelProto) -> None:
        """Refuse values beyond float16, which a CPU would not notice, as it computes in float32 in between."""
        images = model_input(self.source.card, self.sample.calibration)
        ranges = find_extremes(self.place / "folded.onnx", images)
        reached = {name: max(map(abs, ends)) for name, ends in ranges.items()} | {
            tensor.name: float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0))
            for tensor in folded.graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT
        }
        for name, largest in reached.items():
            if not largest <= _LARGEST_FLOAT16:
                raise BackboneError(
                    f"{self.source.name}: tensor {name!r} reaches {largest:.3g} but float16 ends at "
                    f"{_LARGEST_FLOAT16:.0f}: features would be infinite; use --precision int8"
                )

    def _measure(self) -> Callable[[ModelProto], Agreement]:
        """A function that saves a model as the new backbone's, and measures its agreement on the held-out images."""
        session = open_session(self.source, device="cpu")
        if session.batch is not None:
            raise BackboneError(
                f"{self.source.path}: its graph fixes the batch at {session.batch}; export it with a dynamic batch axis"
            )
        wanted = features_on_cpu(self.source, self.sample.held_out)

        def _agreement(model: ModelProto) -> Agreement:
            onnx.save(model, str(self.target.path))
            return agreement(features_on_cpu(self.target, self.sample.held_out), wanted)

        return _agreement

    def install(self, chosen: Try, precision: LowerPrecision, reserved: ReservedName) -> Backbone:
        """Install the new backbone with its own golden vectors, with which other machines can be compared."""
        pixels = draw_pixels(self.source.card.input.pixels.size, count=DRAWN_IMAGES)
        golden = self.place / "golden.npz"
        features = features_on_cpu(self.target, pixels)[:, : self.source.card.dim]
        np.savez_compressed(golden, pixels=pixels, features=features)
        about = Quantized(
            source=self.source.name,
            source_hash=self.source.hash,
            method=chosen.method,
            images=len(self.sample.calibration),
            images_hash=self.sample.hash,
            held_out=len(self.sample.held_out),
            mean_cosine=chosen.mean_cosine,
            lowest_cosine=chosen.lowest_cosine,
            speed=measure_speed(self.target, self.source, self.sample.held_out),
            measured_on=processor(),
        )
        card = replace(self.target.card, precision=precision, quantized=about)
        return install(self.target.path, card, reserved, golden=golden)
