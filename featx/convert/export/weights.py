"""Reads a file of weights and loads all of them into a torch model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featx.convert.export.libraries import errors_reported, import_library
from featx.errors import BackboneError, one_line

WRAPPED = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts store the state dict."""
PARALLEL = "module."
"""Prefix of all names if the model was trained on several GPUs."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Names in torchvision's DenseNet files of what its models call norm1, conv1, ..."""
MISMATCH = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)")
"""Torch's message about a weight of the wrong shape: its name, its shape in the file and in the model."""


def read_weights(path: Path) -> dict[str, Any]:
    """The state dict in a file that torch.save or safetensors wrote.

    Code in the file is not run. Raises BackboneError if the file is missing or contains anything else.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such file; give a state dict with --weights")
    with errors_reported(f"{path}: not a state dict", "write one with torch.save(model.state_dict(), FILE)"):
        if path.suffix == ".safetensors":
            values = import_library("safetensors.torch").load_file(path, device="cpu")
        else:
            values = import_library("torch").load(path, map_location="cpu", weights_only=True)
    values = _unwrapped(values)
    if not values:
        raise BackboneError(f"{path}: contains no state dict; write one with torch.save(model.state_dict(), FILE)")
    return {OLD_DENSENET.sub(r"\1\2", key): value for key, value in values.items()}


def _unwrapped(values: Any) -> dict[str, Any]:
    """The state dict in the contents of a file; empty if there is none."""
    if not isinstance(values, Mapping):
        return {}
    for key in WRAPPED:
        if isinstance(values.get(key), Mapping):
            return _unwrapped(values[key])
    tensor = import_library("torch").Tensor
    if not all(isinstance(key, str) and isinstance(value, tensor) for key, value in values.items()):
        return {}
    parallel = all(key.startswith(PARALLEL) for key in values)
    return {key.removeprefix(PARALLEL) if parallel else key: value for key, value in values.items()}


def load_weights(model: Any, state: Mapping[str, Any], *, path: Path) -> None:
    """Load these weights into the model. Raises BackboneError that names the first one that does not fit."""
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise BackboneError(f"{path}: {_describe_mismatch(error)}") from error
    if missing or unexpected:
        differences = [f"has no {missing[0]!r}, which the model has"] if missing else []
        differences += [f"has {unexpected[0]!r}, which the model does not have"] if unexpected else []
        count = len(missing) + len(unexpected)
        raise BackboneError(f"{path}: {', and '.join(differences)} ({count} such names); give weights of this model")


def _describe_mismatch(error: RuntimeError) -> str:
    """A message about the first weight that, as torch reports, has the wrong shape."""
    found = MISMATCH.search(one_line(error))
    if not found:
        return f"does not fit the model ({one_line(error)}); give weights of this model"
    name, file, model = found.groups()
    return f"{name!r} has shape {file} but the model's has {model}; name their model, or give --classes or --size"
