"""What featx is compared with: Pillow and ONNX Runtime in a plain loop, as one would write it in an afternoon."""

import io
from collections.abc import Iterator

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from featx.backbones.store import Backbone
from featx.inputs import ImageSet


def plain_features(images: ImageSet, backbone: Backbone, *, batch: int) -> NDArray[np.float32]:
    """Features (n, dim): decode a batch, then run it, then the next."""
    session = onnxruntime.InferenceSession(str(backbone.path), providers=["CPUExecutionProvider"])
    card = backbone.card
    found = [session.run([card.feature], {card.input.name: pixels})[0] for pixels in _batches(images, backbone, batch)]
    return np.concatenate(found)


def _batches(images: ImageSet, backbone: Backbone, batch: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(images), batch):
        rows = range(start, min(start + batch, len(images)))
        yield np.stack([plain_pixels(images, row, backbone) for row in rows])


def plain_pixels(images: ImageSet, row: int, backbone: Backbone) -> NDArray[np.float32]:
    """Normalised pixels (3, size, size) of one image: to RGB, shorter side resized, centre cropped."""
    card = backbone.card
    with Image.open(io.BytesIO(bytes(images.read(row)))) as image:
        rgb = image.convert("RGB")
    shorter = min(rgb.size)
    width, height = (card.input.pixels.resize * side // shorter for side in rgb.size)
    left, top = (round((side - card.input.pixels.size) / 2) for side in (width, height))
    resized = rgb.resize((width, height), Image.Resampling.BICUBIC)
    cropped = resized.crop((left, top, left + card.input.pixels.size, top + card.input.pixels.size))
    normalised = (np.asarray(cropped, np.float32) - np.array(card.input.pixels.mean, np.float32)) / np.array(
        card.input.pixels.std, np.float32
    )
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def agreement(left: NDArray[np.float32], right: NDArray[np.float32]) -> dict[str, float]:
    """Lowest cosine of a row and largest difference of a number."""
    difference = np.abs(left.astype(np.float64) - right)
    return {"lowest_cosine": float(cosines(left, right).min()), "largest_difference": float(difference.max())}


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each row with the same row of the other (n,)."""
    one, other = left.astype(np.float64), right.astype(np.float64)
    found: NDArray[np.float64] = (
        np.sum(one * other, axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    )
    return found
