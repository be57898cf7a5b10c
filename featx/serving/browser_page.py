"""Writes a page that classifies images in the browser with a deployed model, without featx."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featx.deploy import reserve_model
from featx.errors import ServingError
from featx.serving.deployed import DeployedModel, open_deployed
from featx.serving.preparing import ModelInput
from featx.serving.runtime_files import bring_runtime
from featx.targets import Kind, Target, reserve

SOURCES = Path(__file__).parent / "browser"
MARK = b'<meta name="generator" content="featx">'
IN_BROWSERS = ("uint8", "float32")
"""Types of inputs for which the page has code."""


@dataclass(frozen=True)
class PageTarget:
    """A page that can be written: its folder has what runs a model in a browser."""

    target: Target
    overwrite: bool

    def write(self, model: Path | str) -> Path:
        """The page, written for this deployed model, which is copied beside it if it lies elsewhere.

        Raises ServingError if the model is not a deployed one or the page cannot be written, and HeadError if the copy
        cannot be.
        """
        deployed = open_deployed(model, device="cpu")
        beside = self._copy_beside(Path(model))
        text = _render(deployed, beside.name)
        with self.target.written() as new:
            new.write_text(text, encoding="utf-8")
        return self.target.path

    def _copy_beside(self, model: Path) -> Path:
        """The model in the folder of the page: itself, or a copy. Raises HeadError if that must not be written."""
        beside = self.target.path.parent / model.name
        if not (beside.exists() and os.path.samefile(beside, model)):
            with reserve_model(beside, overwrite=self.overwrite) as target, target.written() as new:
                shutil.copyfile(model, new)
        return beside


@contextmanager
def reserve_page(path: Path | str, *, overwrite: bool = False) -> Iterator[PageTarget]:
    """Hold the file of a page until the block ends, once its folder has onnxruntime-web, from its npm package.

    Raises ServingError if the page must not be written there, or the package cannot be had.
    """
    with reserve(path, PAGE, overwrite=overwrite) as target:
        bring_runtime(target.path.parent)
        yield PageTarget(target, overwrite)


def _render(model: DeployedModel, file: str) -> str:
    about = {
        "title": f"{model.name}: classify an image",
        "model": file,
        "classes": model.classes,
        "multilabel": model.multilabel,
        "inputs": [describe_input(one) for one in model.inputs],
        "lines": list(_facts(model)),
    }
    parts = {
        "about": json.dumps(about).replace("<", "\\u003c"),
        "pixels": (SOURCES / "pixels.js").read_text(encoding="utf-8"),
        "page": (SOURCES / "page.js").read_text(encoding="utf-8"),
    }
    page = (SOURCES / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)


def describe_input(one: ModelInput) -> dict[str, Any]:
    """What the page's script needs to know of an input. Raises ServingError."""
    if one.dtype not in IN_BROWSERS:
        raise ServingError(f"input {one.name} takes {one.dtype}, which the page cannot make; deploy with --input uint8")
    if len(one.views) > 1:
        raise ServingError(
            f"input {one.name} takes {len(one.views)} views of an image, and the page cannot make {one.views[-1]}; "
            "train on mirrors and turns, or use `featx serve` without --page"
        )
    spec = asdict(one.spec)
    return {
        "name": one.name,
        "dtype": one.dtype,
        "layout": "NCHW" if one.channels_first else "NHWC",
        "crop": spec["crop_mode"],
        "exif": spec["exif_orientation"],
        **{key: spec[key] for key in ("size", "resize", "filter", "channels", "mean", "std")},
    }


def _facts(model: DeployedModel) -> Iterator[str]:
    """What a reader of the page should know of the model, a line each."""
    yield f"{len(model.classes)} classes, {'any number of' if model.multilabel else 'one of'} which an image has"
    for backbone in _list(model, "featx.backbones"):
        licence = f", licence {backbone['licence']}" if backbone.get("licence") else ""
        yield f"Backbone {backbone.get('name', '')}{licence}"
    result = _json(model, "featx.result")
    if isinstance(result, dict) and "accuracy" in result:
        low, high = (100 * float(bound) for bound in result["interval"])
        yield (
            f"Right for {100 * float(result['accuracy']):.1f} % of {result['n']} test images "
            f"(95 % interval {low:.1f} to {high:.1f} %)"
        )
    if any(one.decode_as == "fast" for one in model.inputs):
        yield "Its training images were decoded fast, which browsers do not do: probabilities differ a little"


def _list(model: DeployedModel, key: str) -> list[dict[str, Any]]:
    value = _json(model, key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _json(model: DeployedModel, key: str) -> Any:
    try:
        return json.loads(model.metadata.get(key, "null"))
    except ValueError:
        return None


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK in file.read(1000)


PAGE = Kind(
    name="a page that featx wrote",
    endings=(".html", ".htm"),
    is_own=_is_own,
    error=ServingError,
    locked=ServingError,
    writing="writing this page",
    instead="choose another --page",
)
