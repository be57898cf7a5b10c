"""What featx is compared with, each as its users write it: images and a network in, features out.

All get the same bytes, make the pixels that the card asks for, and give the features that featx gives: that is checked
before anything is timed. What is missing here is left out, and the table says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from networks import Network
from numpy.typing import NDArray
from plain import agreement, plain_features, plain_pixels

from featx.backbones.store import Backbone
from featx.inputs import ImageSet

LEAST_COSINE = 0.999
BATCH = 16
WORKERS = 2

PACKAGES = ("torch", "timm", "openvino", "scikit-image")
"""Whose versions are kept beside those of featx."""

Peer = Callable[[ImageSet, Network], NDArray[np.float32]]
"""Gives features (n, dim); raises ImportError where its library is missing."""


def serial(images: ImageSet, network: Network, *, batch: int) -> NDArray[np.float32]:
    """Pillow and ONNX Runtime with default options in one loop: decode a batch, then run it."""
    return plain_features(images, network.backbone, batch=batch)


def torch_eager(images: ImageSet, network: Network) -> NDArray[np.float32]:
    """A DataLoader whose workers decode with Pillow, and the network as it is in torch; its building is not timed."""
    import torch

    loader = torch.utils.data.DataLoader(_Pixels(images, network.backbone), batch_size=BATCH, num_workers=WORKERS)
    with torch.inference_mode():
        features: NDArray[np.float32] = torch.cat([network.module(pixels) for pixels in loader]).numpy()
    return features


@dataclass(frozen=True)
class _Pixels:
    """Normalised pixels by row, as a data set of torch."""

    images: ImageSet
    backbone: Backbone

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        return plain_pixels(self.images, row, self.backbone)


def openvino_throughput(images: ImageSet, network: Network) -> NDArray[np.float32]:
    """OpenVINO with its hint for throughput: one image a request, as many at once as it chooses.

    In float32, also where the processor has bfloat16, which OpenVINO would take by itself.
    """
    import openvino

    card, core = network.backbone.card, openvino.Core()
    model = core.read_model(network.backbone.path)
    model.reshape({card.input.name: [1, 3, card.input.pixels.size, card.input.pixels.size]})
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", hints)
    features = np.empty((len(images), card.dim), np.float32)

    def keep(request: Any, row: int) -> None:
        features[row] = request.get_tensor(card.feature).data[0]

    queue = openvino.AsyncInferQueue(compiled)
    queue.set_callback(keep)
    for row in range(len(images)):
        queue.start_async({card.input.name: plain_pixels(images, row, network.backbone)[None]}, row)
    queue.wait_all()
    return features


PEERS: dict[str, Peer] = {
    "Pillow + onnxruntime, batch 1": partial(serial, batch=1),
    f"Pillow + onnxruntime, batch {BATCH}": partial(serial, batch=BATCH),
    f"torch DataLoader, {WORKERS} workers, + eager, batch {BATCH}": torch_eager,
    "Pillow + OpenVINO, throughput mode": openvino_throughput,
}


def agreeing_peers(
    images: ImageSet, network: Network, features: NDArray[np.float32]
) -> tuple[dict[str, Peer], dict[str, dict[str, Any]]]:
    """The peers that can run here, and of each its lowest cosine to these features, or what it misses."""
    found: dict[str, Peer] = {}
    agreements: dict[str, dict[str, Any]] = {}
    for name, peer in PEERS.items():
        try:
            agreements[name] = agreement(peer(images, network), features)
        except ImportError as error:
            agreements[name] = {"missing": error.name}
            continue
        if agreements[name]["lowest_cosine"] < LEAST_COSINE:
            raise SystemExit(
                f"{name}: its features of {network.name} are not featx's ({agreements[name]}); mend peers.py"
            )
        found[name] = peer
    return found, agreements
