"""A folder as the Hugging Face Hub shows it: a README with its metadata, two configurations, and the model."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featx.deploy.deployed import MARK, Deployed
from featx.deploy.layouts.folders import Layout
from featx.errors import HeadError
from featx.heads import Head

RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Filter -> its number in Pillow, which Hugging Face writes."""
LICENCES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail", "unlicense"),
}
"""Licences that the Hub knows by these names."""
BYTE = 255.0
"""The largest value of a pixel; Hugging Face's means and deviations are on the scale 0 to 1."""
HUB = (re.compile(r"\Atimm:([\w.-]+)\Z"), re.compile(r"huggingface\.co/([\w.-]+/[\w.-]+)"))
"""Sources of a backbone that name a model of the Hub."""


def write_files(name: str, head: Head, deployed: Deployed, about: Mapping[str, str]) -> dict[str, str]:
    """The text of each file beside the model. Raises HeadError for an input that they cannot describe."""
    known = {key: json.loads(text) for key, text in about.items() if key != "featx.version"}
    prepared = known["featx.preprocessing"]
    if "inputs" in prepared:
        raise HeadError(
            "the backbones see different pixels, but preprocessor_config.json describes those of one input; "
            "deploy to a file, or with --layout triton"
        )
    if "views" in prepared:
        raise HeadError(
            f"preprocessor_config.json cannot describe {len(prepared['views'])} views of an image, such as "
            f"{prepared['views'][-1]}; deploy to a file, or with --layout triton"
        )
    if prepared["channels"] != "RGB":
        raise HeadError(
            f"preprocessor_config.json cannot say that images become {prepared['channels']}; deploy to a file, or with "
            "--layout triton"
        )
    written = f"{MARK} {about['featx.version']}"
    return {
        "README.md": _readme(name, head, deployed=deployed, known=known, written=written),
        "config.json": _as_json(_config(head, written)),
        "preprocessor_config.json": _as_json(_preprocessor(prepared, written)),
    }


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _config(head: Head, written: str) -> dict[str, Any]:
    return {
        "written_by": written,
        "architectures": [f"{head.name} on {' + '.join(dict.fromkeys(source.name for source in head.sources))}"],
        "problem_type": "multi_label_classification" if head.multilabel else "single_label_classification",
        "num_labels": len(head.classes),
        "id2label": {str(place): name for place, name in enumerate(head.classes)},
        "label2id": {name: place for place, name in enumerate(head.classes)},
    }


def _preprocessor(prepared: Mapping[str, Any], written: str) -> dict[str, Any]:
    """How an image becomes the input, in the words of Hugging Face's image processors."""
    resize, size = prepared["resize"], prepared["size"]
    squashed = prepared["crop"] == "squash"
    found = {
        "written_by": written,
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": resize, "width": resize} if squashed else {"shortest_edge": resize},
        "resample": RESAMPLE[prepared["filter"]],
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "data_format": "channels_first" if prepared["layout"] == "NCHW" else "channels_last",
    }
    if prepared["dtype"] == "uint8":
        return found | {"do_rescale": False, "do_normalize": False}
    return found | {
        "do_rescale": True,
        "rescale_factor": 1 / BYTE,
        "do_normalize": True,
        "image_mean": [number / BYTE for number in prepared["mean"]],
        "image_std": [number / BYTE for number in prepared["std"]],
    }


def _readme(name: str, head: Head, *, deployed: Deployed, known: Mapping[str, Any], written: str) -> str:
    front = "\n".join(["---", f"# Written by {written}", *_front_matter(name, known), "---"])
    return f"{front}\n\n# {_one_line(name)}\n\n" + "\n\n".join(_paragraphs(head, deployed, known)) + "\n"


def _front_matter(name: str, known: Mapping[str, Any]) -> Iterator[str]:
    """Lines of YAML; every text is in quotes, as JSON, which YAML contains."""
    backbones = known["featx.backbones"]
    yield "library_name: onnx"
    yield "pipeline_tag: image-classification"
    yield from _licence([one["licence"] for one in backbones])
    if models := [model for one in backbones if (model := _hub_model(one["source"]))]:
        yield f"base_model: {json.dumps(models, ensure_ascii=False)}"
    yield 'tags: ["onnx", "transfer-learning", "featx"]'
    yield from _model_index(name, known["featx.result"])


def _licence(licences: Sequence[str]) -> Iterator[str]:
    """The licence of the backbones, if all have one that the Hub knows."""
    different = sorted({licence.strip() for licence in licences})
    if len(different) == 1 and different[0].lower() in LICENCES:
        yield f"license: {different[0].lower()}"
    elif any(different):
        yield "license: other"
        yield f"license_name: {json.dumps(' and '.join(filter(None, different)), ensure_ascii=False)}"


def _hub_model(source: str) -> str:
    """The name of a model of the Hub that the source of a backbone names; else empty."""
    timm, address = HUB
    if found := timm.search(source):
        return f"timm/{found[1]}"
    return found[1] if (found := address.search(source)) else ""


def _model_index(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """What the head reached; nothing if it was not measured."""
    measure = next((one for one in ("accuracy", "average_precision") if one in result), "")
    if not measure or result[measure] is None:
        return
    yield "model-index:"
    yield f"- name: {json.dumps(name, ensure_ascii=False)}"
    yield "  results:"
    yield '  - task: {"type": "image-classification"}'
    yield f"    dataset: {json.dumps({'type': 'own', 'name': _one_line(_split(result))}, ensure_ascii=False)}"
    yield "    metrics:"
    yield f"    - {json.dumps({'type': measure, 'value': result[measure], 'name': _measured(measure, result)})}"


def _split(result: Mapping[str, Any]) -> str:
    return f"{result['n']} test images ({result['split']})" if result["split"] else f"{result['n']} test images"


def _measured(measure: str, result: Mapping[str, Any]) -> str:
    words = measure.replace("_", " ")
    if not result["interval"]:
        return words
    low, high = result["interval"]
    return f"{words} (95 % interval {low:.3f} to {high:.3f})"


def _paragraphs(head: Head, deployed: Deployed, known: Mapping[str, Any]) -> Iterator[str]:
    backbones = "; ".join(_backbone_in_words(one) for one in known["featx.backbones"])
    yield f"A classifier of images with {len(head.classes)} classes: the head `{head.name}` on {backbones}."
    result = known["featx.result"]
    measure = next((one for one in ("accuracy", "average_precision") if result.get(one) is not None), "")
    if measure:
        yield f"{_measured(measure, result).capitalize()}: {result[measure]:.4f} on {_one_line(_split(result))}."
    inputs = ", ".join(f"`{one.name}` {one.dtype}, shape {_shape(one.shape)}" for one in deployed.inputs)
    outputs = "; ".join(f"`{one.name}` {one.dtype}, shape {_shape(one.shape)}" for one in deployed.outputs)
    yield f"`onnx/model.onnx` (opset {deployed.opset}) takes {inputs}. It gives {outputs}; n is the number of images."
    prepared = known["featx.preprocessing"]
    yield _preparation_in_words(prepared)
    yield "The classes, in the order of the probabilities, are in `config.json`."
    if head.multilabel:
        yield "An image may have several classes: `labels` says which have a probability above 0.5."


def _backbone_in_words(one: Mapping[str, Any]) -> str:
    licence = f", licence {_one_line(one['licence'])}" if one["licence"] else ""
    return f"`{one['name']}` ({one['precision']}{licence}, sha256 {one['sha256'][:12]})"


def _shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join('n' if side is None else str(side) for side in shape)}{',' if len(shape) == 1 else ''})"


def _preparation_in_words(prepared: Mapping[str, Any]) -> str:
    resize, size = prepared["resize"], prepared["size"]
    turned = "turned upright as its EXIF orientation says, " if prepared["exif"] else ""
    to = f"{resize} x {resize} pixels" if prepared["crop"] == "squash" else f"{resize} pixels on the shorter side"
    how = f"resized to {to} by Pillow's {prepared['filter']} filter, and cropped to {size} x {size} in the middle"
    if prepared["dtype"] == "uint8":
        return f"Each image is {turned}{how}."
    numbers = f"{prepared['mean']} is subtracted from its {prepared['channels']} channels, which are divided by"
    return f"Each image is {turned}{how}; then {numbers} {prepared['std']}."


def _one_line(text: str) -> str:
    """The text without what Markdown or a terminal would obey."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(plain.split()))


HUGGINGFACE = Layout(
    model="onnx/model.onnx", files=("README.md", "config.json", "preprocessor_config.json"), write=write_files
)
