"""A file of weights in; a model that has them, every one, out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featx.convert.export.libraries import errors_reported, import_library
from featx.errors import BackboneError

WRAPPED = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the state dict."""
PARALLEL = "module."
"""What stands before every name where several GPUs were trained on."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""How torchvision's files of DenseNet name what its models call norm1, conv1, ..."""
MISMATCH = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)")
"""What torch says of a weight of another shape: its name, the file's and the model's."""


def read_weights(path: Path) -> dict[str, Any]:
    """The state dict in this file, as torch.save or safetensors wrote it.

    No code that a file holds is run. Raises BackboneError where it is missing, or holds something else.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such file; name a state dict with --weights")
    with errors_reported(f"{path}: no state dict", "write one with torch.save(model.state_dict(), FILE)"):
        if path.suffix == ".safetensors":
            values = import_library("safetensors.torch").load_file(path, device="cpu")
        else:
            values = import_library("torch").load(path, map_location="cpu", weights_only=True)
    values = _unwrapped(values)
    if not values:
        raise BackboneError(f"{path}: holds no state dict; write one with torch.save(model.state_dict(), FILE)")
    return {OLD_DENSENET.sub(r"\1\2", key): value for key, value in values.items()}


def _unwrapped(values: Any) -> dict[str, Any]:
    """The state dict within what a file holds; empty where there is none."""
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
    """Give the model these weights. Raises BackboneError naming the first that does not fit."""
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise BackboneError(f"{path}: {_of_another_shape(error)}") from error
    if missing or unexpected:
        told = [f"has no {missing[0]!r}, which the model has"] if missing else []
        told += [f"has {unexpected[0]!r}, which the model has not"] if unexpected else []
        raise BackboneError(
            f"{path}: {', and '.join(told)} ({len(missing) + len(unexpected)} such names); name weights of this model"
        )


def _of_another_shape(error: RuntimeError) -> str:
    """The first weight of which torch says that its shape is another one."""
    found = MISMATCH.search(" ".join(str(error).split()))
    if not found:
        return f"does not fit the model ({' '.join(str(error).split())}); name weights of this very model"
    name, file, model = found.groups()
    return f"{name!r} has shape {file} but the model's has {model}; name their model, or say --classes or --size"
