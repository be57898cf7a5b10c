"""The backbones on which speed is measured, each with the same network of torch beside it.

Nothing but Lite0 has real weights: for speed random ones do, which both sides then have from the same seed.
"""

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tiny import tiny_matrix, write_tiny

from featx.backbones.store import Backbone, load_backbone

LITE0 = "efficientnet-lite0"
EXPORTER = Path(__file__).parents[1] / "models" / "export_efficientnet_lite.py"
TIMM = {
    "resnet50": "timm:resnet50",
    "vit-s16": "timm:vit_small_patch16_224",
    "vit-b32": "timm:vit_base_patch32_224",
}


@dataclass(frozen=True)
class Network:
    """A backbone, and how the same network is had in torch."""

    backbone: Backbone
    build: Callable[[], Any]
    """A module from pixels (n, 3, size, size) to features (n, dim); raises ImportError where there is no torch."""

    @property
    def name(self) -> str:
        """Of the backbone."""
        return self.backbone.name

    @cached_property
    def module(self) -> Any:
        """The network of torch, built once."""
        return self.build()


def open_network(name: str, folder: Path) -> Network:
    """The network of this name, its model written into the folder unless it is bundled.

    Raises BackboneError or ImportError where a library is missing that exports it.
    """
    if name == "tiny":
        return Network(write_tiny(folder, size=224, resize=256), _build_tiny)
    if name == LITE0:
        return Network(load_backbone(LITE0), _build_lite0)
    return _export(name, TIMM[name], folder)


def _export(name: str, source: str, folder: Path) -> Network:
    from featx.convert import Recipe, export_model
    from featx.convert.adding import Description
    from featx.convert.export.models import build_model

    recipe = Recipe(source=source, random=True, classes=0)
    exported = export_model(recipe, Description(name=name), into=folder)
    return Network(exported.backbone, lambda: build_model(recipe, size=None).model)


def _build_lite0() -> Any:
    exporter = runpy.run_path(str(EXPORTER))
    whole = exporter["load_network"]("lite0", exporter["SIZE"]["lite0"])
    return lambda pixels: whole(pixels)[1]


def _build_tiny() -> Any:
    import torch

    matrix = torch.from_numpy(tiny_matrix())
    return lambda pixels: pixels.mean(dim=(2, 3)) @ matrix
