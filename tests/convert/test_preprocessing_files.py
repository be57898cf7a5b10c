"""files beside a model: each that a big exporter writes is read in full, or named as not read; never a half of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.backbones import load_backbone
from featx.convert.adding import Description, add_backbone, describe_model
from featx.convert.preprocessing import Found, Preprocessing, find_preprocessing
from featx.errors import BackboneError
from tests.support.graphs import Graph, classifier

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
SCALED_MEAN = pytest.approx([255 * value for value in CLIP_MEAN], abs=1e-5)
SCALED_STD = pytest.approx([255 * value for value in CLIP_STD], abs=1e-5)
CLIP = {
    "crop_size": {"height": 16, "width": 16},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 16},
}
FAST = CLIP | {
    "data_format": "channels_first",
    "default_to_square": False,
    "device": None,
    "disable_grouping": None,
    "do_convert_rgb": True,
    "do_pad": None,
    "pad_size": None,
    "image_processor_type": "CLIPImageProcessorFast",
    "input_data_format": None,
    "return_tensors": None,
    "size": {"height": None, "longest_edge": None, "shortest_edge": 16, "width": None},
}
"""As transformers 5 writes it, with a null for what the class decides."""
TIMM = {
    "input_size": [3, 16, 16],
    "crop_pct": 1.0,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": CLIP_MEAN,
    "std": CLIP_STD,
}
OPEN_CLIP = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "shortest"}
KERAS = {
    "module": "keras_hub.src.layers.preprocessing.image_converter",
    "class_name": "ImageConverter",
    "config": {
        "name": "image_converter",
        "trainable": True,
        "image_size": [16, 16],
        "scale": [1 / 255 / value for value in CLIP_STD],
        "offset": [-mean / std for mean, std in zip(CLIP_MEAN, CLIP_STD, strict=True)],
        "interpolation": "bilinear",
        "crop_to_aspect_ratio": True,
        "pad_to_aspect_ratio": False,
    },
}


def beside(folder: Path, **files: Mapping[str, Any] | str) -> Found:
    """What is found for a model beside which these files lie; `a__json` is a.json."""
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return find_preprocessing(folder / "model.onnx", {})


def shown(pixels: Preprocessing) -> tuple[Any, ...]:
    """Size, resize, crop mode, filter, mean and standard deviation."""
    return pixels.size, pixels.resize, pixels.crop_mode, pixels.filter, list(pixels.mean or ()), list(pixels.std or ())


AS_CLIP = (16, 16, "center", "bicubic", SCALED_MEAN, SCALED_STD)
AS_CLIP_SQUASHED = (16, 16, "squash", "bicubic", SCALED_MEAN, SCALED_STD)
AS_KERAS = (16, 16, "center", "bilinear", SCALED_MEAN, SCALED_STD)
IN_OPEN_CLIP = {"model_cfg": {"vision_cfg": {"image_size": 16}}, "preprocess_cfg": OPEN_CLIP}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("preprocessor_config__json", FAST, AS_CLIP),
        ("processor_config__json", {"image_processor": FAST, "processor_class": "CLIPProcessor"}, AS_CLIP),
        ("processor_config__json", {"feature_extractor": CLIP}, AS_CLIP),
        ("preprocessor_config__json", {"image_processor": CLIP}, AS_CLIP),
        ("preprocessor_config__json", {"image_processor_type": "TimmWrapper", "pretrained_cfg": TIMM}, AS_CLIP),
        ("config__json", {"data_config": TIMM}, AS_CLIP),
        ("open_clip_config__json", IN_OPEN_CLIP, AS_CLIP),
        ("preprocess_cfg__json", OPEN_CLIP | {"size": [16, 16], "mode": "RGB", "fill_color": 0}, AS_CLIP),
        ("preprocess_cfg__json", {"size": 16, "resize_mode": "squash"}, AS_CLIP_SQUASHED),
        ("image_converter__json", KERAS, AS_KERAS),
        ("preprocessor__json", {"config": {"image_converter": KERAS}}, AS_KERAS),
    ],
)
def test_every_file_is_read_in_full(
    tmp_path: Path, name: str, content: Mapping[str, Any], expected: tuple[Any, ...]
) -> None:
    found = beside(tmp_path, **{name: content})
    assert shown(found.pixels) == expected
    assert found.origin == str(tmp_path / name.replace("__", "."))
    assert not found.notes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size": 16}, (16, 16, "center")),
        ({"size": [16, 16], "do_center_crop": False}, (16, 16, "squash")),
        ({"size": 20, "crop_size": 16}, (16, 20, "center")),
        ({"size": {"height": 20, "width": 20}, "crop_size": [16, 16]}, (16, 20, "squash")),
        ({"size": {"height": 16, "width": 16}, "do_center_crop": None, "crop_size": None}, (16, 16, "squash")),
    ],
)
def test_sizes_are_read_in_every_spelling(
    tmp_path: Path, changes: dict[str, Any], expected: tuple[int, int, str]
) -> None:
    pixels = beside(tmp_path, preprocessor_config__json=CLIP | changes).pixels
    assert (pixels.size, pixels.resize, pixels.crop_mode) == expected


@pytest.mark.parametrize("name", ["bicubic", "BICUBIC", "PIL.Image.BICUBIC", "Resampling.BICUBIC", 3])
def test_filters_are_read_in_every_spelling(tmp_path: Path, name: object) -> None:
    assert beside(tmp_path, preprocessor_config__json=CLIP | {"resample": name}).pixels.filter == "bicubic"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"do_pad": True}, "do_pad"),
        ({"do_thumbnail": True}, "do_thumbnail"),
        ({"do_align_long_axis": True}, "do_align_long_axis"),
        ({"size": {"shortest_edge": 16, "longest_edge": 32}}, "longest_edge"),
        ({"size": {"max_height": 16, "max_width": 16}}, "max_height"),
        ({"crop_size": None}, "crop_size"),
        ({"image_std": None}, "image_std"),
        ({"do_rescale": "yes"}, "do_rescale"),
    ],
)
def test_what_featx_cannot_do_is_refused_by_key(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(BackboneError, match=word):
        beside(tmp_path, preprocessor_config__json=CLIP | changes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config__json", CLIP | {"do_sharpen": True}),
        ("open_clip_config__json", {"preprocess_cfg": OPEN_CLIP | {"do_sharpen": 0.5}}),
        ("config__json", {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "do_sharpen": 1}}),
        ("image_converter__json", {"config": KERAS["config"] | {"do_sharpen": 1}}),  # type: ignore[operator]
    ],
)
def test_a_key_that_may_change_pixels_is_named(tmp_path: Path, name: str, content: Mapping[str, Any]) -> None:
    (note,) = beside(tmp_path, **{name: content}).notes
    assert "'do_sharpen' not read" in note
    assert name.replace("__", ".") in note


def test_files_that_differ_are_both_named_with_their_values(tmp_path: Path) -> None:
    timm = {"pretrained_cfg": {"input_size": [3, 16, 16], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}}
    found = beside(tmp_path, preprocessor_config__json=CLIP, config__json=timm)
    assert list(found.pixels.mean or ()) == SCALED_MEAN
    (note,) = found.notes
    for word in ("preprocessor_config.json and", "config.json differ", "mean (122.771, ", "(127.5, 127.5, 127.5)"):
        assert word in note


ON_255 = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


@pytest.mark.parametrize(("name", "content"), [("config__json", ON_255), ("preprocess_cfg__json", {"std": 58})])
def test_numbers_on_another_scale_than_that_of_the_tool_are_refused(
    tmp_path: Path, name: str, content: Mapping[str, Any]
) -> None:
    with pytest.raises(BackboneError, match=r"(mean|std) = .* should be on the scale 0 to 1"):
        beside(tmp_path, **{name: content})


def test_other_files_without_preprocessing_are_not_spoken_of(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Whitespace"}}')
    (tmp_path / "card.toml").write_text("mean = [0.0, 0.0, 0.0]\n")
    (tmp_path / "labels.txt").write_text("meanwhile\nmeans of transport\n")
    (tmp_path / "config.json").write_text('{"hidden_size": 768, "layer_norm_eps": 1e-12}')
    assert not beside(tmp_path).notes


def test_files_that_agree_are_not_spoken_of(tmp_path: Path) -> None:
    found = beside(tmp_path, preprocessor_config__json=CLIP, processor_config__json={"image_processor": CLIP})
    assert not found.notes


def test_a_processor_of_sound_or_of_texts_alone_says_nothing(tmp_path: Path) -> None:
    sound = {"feature_extractor_type": "WhisperFeatureExtractor", "sampling_rate": 16000}
    texts = {"processor_class": "CLIPProcessor"}
    found = beside(tmp_path, preprocessor_config__json=sound, processor_config__json=texts)
    assert found == Found(Preprocessing(), "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("inference.yml", "PreProcess:\n  - NormalizeImage:\n      mean: [0.485, 0.456, 0.406]\n"),
        ("pipeline.json", '{"transforms": [{"type": "Normalize", "mean": [123.675, 116.28, 103.53]}]}'),
        ("metadata_properties.json", '{"CustomVision.Preprocess.NormalizeMean": "[0.0, 0.0, 0.0]"}'),
        ("config_infer_primary.txt", "net-scale-factor=0.0173\noffsets=123.675;116.28;103.53\n"),
        ("environment.json", '{"PREPROCESSING": "{}"}'),
        ("deploy.prototxt", "transform_param { mean_value: 104 mean_value: 117 }"),
    ],
)
def test_another_file_that_says_how_pixels_are_prepared_is_named_as_not_read(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    (note,) = beside(tmp_path).notes
    assert note.startswith(f"{tmp_path / name}: ")
    assert "does not read this file" in note


def test_the_converter_of_openvino_is_followed(tmp_path: Path) -> None:
    entries = '<mean_values value="[123.675,116.28,103.53]" /><scale_values value="[58.395,57.12,57.375]" />'
    (tmp_path / "model.xml").write_text(
        f"<net><rt_info><conversion_parameters>{entries}</conversion_parameters></rt_info></net>"
    )
    found = beside(tmp_path)
    assert found.pixels == Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    assert found.origin == str(tmp_path / "model.xml")


def test_the_metadata_of_ultralytics_are_followed(tmp_path: Path) -> None:
    entries = {"author": "Ultralytics", "task": "classify", "imgsz": "[16, 16]", "names": "{0: 'a'}", "stride": "1"}
    pixels = find_preprocessing(tmp_path / "m.onnx", entries).pixels
    assert shown(pixels) == (16, 16, "center", "bilinear", [0.0] * 3, [255.0] * 3)
    found = find_preprocessing(tmp_path / "m.onnx", entries | {"task": "detect"})
    assert (found.pixels.size, found.pixels.std) == (None, (255.0,) * 3)
    assert "'imgsz' not read" in found.notes[0]


def test_the_metadata_of_openvinos_model_api_are_followed(tmp_path: Path) -> None:
    entries = {
        "model_info mean_values": "123.675 116.28 103.53",
        "model_info scale_values": "58.395 57.12 57.375",
        "model_info resize_type": "standard",
        "model_info reverse_input_channels": "True",
        "model_info labels": "a b",
    }
    found = find_preprocessing(tmp_path / "m.onnx", entries)
    assert found.pixels.mean == (123.675, 116.28, 103.53)
    assert (found.pixels.crop_mode, found.pixels.channels) == ("squash", "RGB")
    assert not found.notes


def test_metadata_about_pixels_that_are_not_known_are_named(tmp_path: Path) -> None:
    (note,) = find_preprocessing(tmp_path / "m.onnx", {"rgb_mean": "1 2 3", "Image.ColorSpaceGamma": "Linear"}).notes
    assert "'Image.ColorSpaceGamma', 'rgb_mean' not read" in note


# ---- models that normalise pixels themselves


def normalising(folder: Path, scale: float, shift: float) -> Path:
    """A classifier that scales and shifts its image before its first convolution."""
    graph = Graph()
    scaled = graph.add(
        "Add", graph.add("Mul", graph.image, graph.store(np.float32(scale))), graph.store(np.float32(shift))
    )
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.add("Relu", graph.conv(scaled, 3, 8))))
    return graph.save(folder / "model.onnx", graph.dense(pooled, 8, 5, into="logits"))


@pytest.mark.parametrize(
    ("scale", "shift", "mean", "std"),
    [(1 / 127.5, -1.0, 0.0, 1.0), (2.0, -1.0, 0.0, 255.0), (127.5, 127.5, 127.5, 127.5)],
)
def test_a_model_that_normalises_pixels_itself_is_given_what_it_takes(
    tmp_path: Path, scale: float, shift: float, mean: float, std: float
) -> None:
    card, notes = describe_model(normalising(tmp_path, scale, shift), Description(name="made"))
    assert (card.input.pixels.mean, card.input.pixels.std) == ((mean,) * 3, (std,) * 3)
    assert any("normalises them itself (Mul, Add)" in note for note in notes)
    assert not any("ImageNet" in note for note in notes)


def test_a_model_whose_means_are_those_of_blue_green_and_red_is_given_that_order(tmp_path: Path) -> None:
    graph = Graph()
    means = graph.store(np.array([103.939, 116.779, 123.68], np.float32).reshape(1, 3, 1, 1))
    pooled = graph.add("GlobalAveragePool", graph.conv(graph.add("Sub", graph.image, means), 3, 8))
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.add("Flatten", pooled), 8, 5, into="logits"))
    card, notes = describe_model(path, Description(name="made"))
    assert (card.input.pixels.channels, card.input.pixels.std) == ("BGR", (1.0,) * 3)
    assert any("in the order blue, green, red" in note for note in notes)


def test_pixels_are_not_normalised_twice_unless_it_was_said(tmp_path: Path) -> None:
    path = normalising(tmp_path, 1 / 127.5, -1.0)
    beside(tmp_path, preprocessor_config__json=CLIP)
    with pytest.raises(BackboneError, match=r"itself .* but .*preprocessor_config\.json says mean and std .*--mean 0"):
        describe_model(path, Description(name="made"))
    given = Preprocessing(mean=(127.0,) * 3, std=(64.0,) * 3)
    card, notes = describe_model(path, Description(name="made", pixels=given))
    assert card.input.pixels.mean == (127.0,) * 3
    assert any("normalised twice" in note for note in notes)


def test_a_file_that_only_resizes_agrees_with_a_model_that_normalises(tmp_path: Path) -> None:
    path = normalising(tmp_path, 1 / 127.5, -1.0)
    beside(tmp_path, preprocessor_config__json=CLIP | {"do_rescale": False, "do_normalize": False})
    card, _ = describe_model(path, Description(name="made"))
    assert (card.input.pixels.mean, card.input.pixels.std) == ((0.0,) * 3, (1.0,) * 3)


def test_a_scale_that_fits_no_range_of_pixels_asks_for_mean_and_std(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"itself .*a range that featx does not know; give --mean and --std"):
        describe_model(normalising(tmp_path, 20.0, 0.0), Description(name="made"))


def test_the_file_of_a_card_says_why_its_pixels_are_prepared_so(tmp_path: Path) -> None:
    added = add_backbone(normalising(tmp_path, 2.0, -1.0), Description(name="made"), into=tmp_path / "models")
    text = (tmp_path / "models" / "made.toml").read_text(encoding="utf-8")
    assert "# pixels: the model normalises them itself" in text
    assert load_backbone("made", folder=tmp_path / "models") == added.backbone


def test_what_was_not_read_is_said_when_a_model_is_described(tmp_path: Path) -> None:
    beside(tmp_path, preprocessor_config__json=CLIP | {"do_sharpen": True})
    _, notes = describe_model(classifier(tmp_path), Description(name="made"))
    assert any("'do_sharpen' not read" in note for note in notes)
