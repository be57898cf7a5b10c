"""preprocessing: from flags, from what trainers leave beside a model, or from habit; never silently another."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from PIL import Image

from featx.backbones import read_metadata
from featx.backbones.store import load_backbone
from featx.convert import preprocessing
from featx.convert.adding import (
    Description,
    add_backbone,
    describe_model,
)
from featx.convert.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocessing,
    complete,
)
from featx.errors import BackboneError
from featx.inputs import PixelSpec
from featx.inputs.decode import decode_image
from featx.settings import FILTERS, Filter
from tests.conftest import Ran
from tests.support.graphs import (
    FLOAT,
    MEAN,
    STD,
    UINT8,
    Graph,
    classifier,
    rewrite,
)

HALF = (127.5, 127.5, 127.5)
MEAN_01, STD_01 = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

TIMM = {
    "architecture": "resnet50",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": MEAN_01,
        "std": STD_01,
        "test_input_size": [3, 288, 288],
        "num_classes": 1000,
    },
}
"""The config.json of timm/resnet50.a1_in1k, as far as it matters."""
VIT = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}
CLIP = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
CONVNEXT = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "image_mean": MEAN_01,
    "image_std": STD_01,
    "resample": 3,
    "size": {"shortest_edge": 224},
}
"""The preprocessor_config.json of google/vit-base-patch16-224, openai/clip-vit-base-patch32, convnext-tiny-224."""


def find_preprocessing(model: Path, metadata: Mapping[str, str]) -> tuple[Preprocessing, str]:
    """What is found for a model, and the file that says so."""
    found = preprocessing.find_preprocessing(model, metadata)
    return found.pixels, found.origin


def beside(folder: Path, config: Mapping[str, Any] | str, name: str = "preprocessor_config.json") -> Path:
    """The place of a model that has this file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / "model.onnx"


def timm(folder: Path, **changes: Any) -> Preprocessing:
    """What is found beside a model of timm with these keys changed."""
    config = TIMM | {"pretrained_cfg": TIMM["pretrained_cfg"] | changes}  # type: ignore[operator]
    return find_preprocessing(beside(folder, config, "config.json"), {})[0]


def hugging_face(folder: Path, config: Mapping[str, Any], **changes: Any) -> Preprocessing:
    """What is found beside a model of transformers with these keys changed; None takes a key away."""
    values = {key: value for key, value in {**config, **changes}.items() if value is not None}
    return find_preprocessing(beside(folder, values), {})[0]


def geometry(said: Preprocessing | PixelSpec) -> tuple[int | None, int | None, str | None]:
    """Size, resize and crop."""
    return said.size, said.resize, said.crop_mode


# ---- timm


def test_the_config_of_timm_is_read_on_the_scale_of_pixels(tmp_path: Path) -> None:
    said, origin = find_preprocessing(beside(tmp_path, TIMM, "config.json"), {})
    assert geometry(said) == (224, 235, "center")
    assert (said.filter, said.channels) == ("bicubic", None)
    assert said.mean == pytest.approx(IMAGENET_MEAN)
    assert said.std == pytest.approx(IMAGENET_STD)
    assert origin == str(tmp_path / "config.json")


def test_a_config_without_the_outer_level_is_read_too(tmp_path: Path) -> None:
    flat = find_preprocessing(beside(tmp_path, TIMM["pretrained_cfg"], "config.json"), {})[0]  # type: ignore[arg-type]
    assert flat == timm(tmp_path)


@pytest.mark.parametrize(
    ("share", "resize"), [(0.875, 256), (0.9, 248), (0.95, 235), (1.0, 224), (0.965, 232), (None, 256)]
)
def test_the_resize_is_that_of_timm_for_every_share(tmp_path: Path, share: float | None, resize: int) -> None:
    assert timm(tmp_path, crop_pct=share).resize == resize


def test_squash_is_squash(tmp_path: Path) -> None:
    assert geometry(timm(tmp_path, crop_mode="squash", crop_pct=1.0)) == (224, 224, "squash")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop_mode": "border"}, ["crop_mode", "'border'", "center, squash"]),
        ({"interpolation": "quintic"}, ["interpolation", "'quintic'"]),
        ({"input_size": [3, 224, 256]}, ["input_size", "[3, 224, 256]"]),
        ({"input_size": [1, 28, 28]}, ["input_size", "[1, 28, 28]"]),
        ({"mean": [0.5, 0.5]}, ["mean", "three numbers"]),
        ({"std": "large"}, ["std", "'large'"]),
        ({"crop_pct": "most"}, ["crop_pct", "'most'"]),
        ({"mean": [float("nan"), 0.5, 0.5]}, ["mean", "nan"]),
    ],
)
def test_what_timm_may_say_and_featx_cannot_do_is_refused_by_key(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(BackboneError) as caught:
        timm(tmp_path, **changes)
    for word in ["config.json", *words]:
        assert word in str(caught.value)


def test_a_random_interpolation_was_bilinear_in_the_end(tmp_path: Path) -> None:
    assert timm(tmp_path, interpolation="random").filter == "bilinear"


def test_another_config_json_says_nothing(tmp_path: Path) -> None:
    config = {"architectures": ["ViTForImageClassification"], "hidden_size": 768, "image_size": 224}
    assert find_preprocessing(beside(tmp_path, config, "config.json"), {}) == (Preprocessing(), "")


# ---- Hugging Face


def test_a_vit_squashes_to_its_height_and_width(tmp_path: Path) -> None:
    said = hugging_face(tmp_path, VIT)
    assert geometry(said) == (224, 224, "squash")
    assert (said.filter, said.mean, said.std) == ("bilinear", HALF, HALF)


def test_a_clip_resizes_the_shorter_side_and_crops(tmp_path: Path) -> None:
    said = hugging_face(tmp_path, CLIP)
    assert geometry(said) == (224, 224, "center")
    assert said.filter == "bicubic"
    assert said.mean == pytest.approx([255 * value for value in (0.48145466, 0.4578275, 0.40821073)])


def test_a_shorter_side_above_the_crop_is_resized_to(tmp_path: Path) -> None:
    assert geometry(hugging_face(tmp_path, CLIP, size={"shortest_edge": 256})) == (224, 256, "center")


def test_a_deit_squashes_to_256_and_crops(tmp_path: Path) -> None:
    assert geometry(hugging_face(tmp_path, CLIP, size={"height": 256, "width": 256})) == (224, 256, "squash")


@pytest.mark.parametrize(("side", "expected"), [(224, (224, 256, "center")), (383, (383, 437, "center"))])
def test_a_convnext_below_384_resizes_by_its_share_and_crops(
    tmp_path: Path, side: int, expected: tuple[int, int, str]
) -> None:
    assert geometry(hugging_face(tmp_path, CONVNEXT, size={"shortest_edge": side})) == expected
    assert geometry(hugging_face(tmp_path, CONVNEXT, size=side)) == expected


@pytest.mark.parametrize("side", [384, 512])
def test_a_convnext_from_384_on_squashes(tmp_path: Path, side: int) -> None:
    assert geometry(hugging_face(tmp_path, CONVNEXT, size={"shortest_edge": side})) == (side, side, "squash")


def test_sizes_of_old_files_are_single_numbers(tmp_path: Path) -> None:
    assert geometry(hugging_face(tmp_path, VIT, size=224)) == (224, 224, "squash")
    assert geometry(hugging_face(tmp_path, CLIP, size=224, crop_size=224)) == (224, 224, "center")


def test_a_crop_that_is_switched_off_is_none(tmp_path: Path) -> None:
    assert geometry(hugging_face(tmp_path, CLIP, do_center_crop=False))[:2] == (224, 224)


def test_pixels_that_are_not_rescaled_keep_mean_and_std_as_they_stand(tmp_path: Path) -> None:
    said = hugging_face(tmp_path, VIT, do_rescale=False, image_mean=[120, 110, 100], image_std=[60, 50, 40])
    assert (said.mean, said.std) == ((120.0, 110.0, 100.0), (60.0, 50.0, 40.0))


def test_another_factor_rescales_mean_and_std_by_it(tmp_path: Path) -> None:
    said = hugging_face(tmp_path, VIT, rescale_factor=1 / 127.5)
    assert (said.mean, said.std) == ((63.75,) * 3, (63.75,) * 3)


def test_pixels_that_are_only_rescaled_are_on_0_to_1(tmp_path: Path) -> None:
    said = hugging_face(tmp_path, VIT, do_normalize=False)
    assert (said.mean, said.std) == ((0.0,) * 3, (255.0,) * 3)


def test_pixels_that_are_left_alone_are_left_alone(tmp_path: Path) -> None:
    said = hugging_face(tmp_path, VIT, do_normalize=False, do_rescale=False)
    assert (said.mean, said.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("number", "name"), list(enumerate(("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")))
)
def test_a_number_of_a_filter_is_that_of_pillow(tmp_path: Path, number: int, name: str) -> None:
    assert hugging_face(tmp_path, VIT, resample=number).filter == name == Image.Resampling(number).name.lower()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resample": 7}, ["resample", "7"]),
        ({"resample": "quintic"}, ["resample", "'quintic'"]),
        ({"size": {"height": 224, "width": 256}}, ["size", "256", "square"]),
        ({"size": {"longest_edge": 224}}, ["size", "longest_edge"]),
        ({"size": {"shortest_edge": 0}}, ["size", "0"]),
        ({"size": "large"}, ["size", "'large'"]),
        ({"image_mean": [0.5, 0.5]}, ["image_mean", "three numbers"]),
        ({"image_std": ["a", "b", "c"]}, ["image_std", "'a'"]),
        ({"rescale_offset": True}, ["rescale_offset", "--mean"]),
        ({"include_top": True}, ["include_top", "--mean"]),
    ],
)
def test_what_a_processor_may_say_and_featx_cannot_do_is_refused_by_key(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(BackboneError) as caught:
        hugging_face(tmp_path, VIT, **changes)
    for word in ["preprocessor_config.json", *words]:
        assert word in str(caught.value)


def test_the_processor_goes_before_the_config(tmp_path: Path) -> None:
    beside(tmp_path, TIMM, "config.json")
    assert find_preprocessing(beside(tmp_path, VIT), {})[1] == str(tmp_path / "preprocessor_config.json")


def test_a_model_in_a_folder_called_onnx_is_described_above_it(tmp_path: Path) -> None:
    beside(tmp_path, VIT)
    (tmp_path / "onnx").mkdir()
    said, origin = find_preprocessing(tmp_path / "onnx" / "model.onnx", {})
    assert (said.mean, origin) == (HALF, str(tmp_path / "preprocessor_config.json"))


def test_a_model_in_another_folder_is_not_described_above_it(tmp_path: Path) -> None:
    beside(tmp_path, VIT)
    (tmp_path / "other").mkdir()
    assert find_preprocessing(tmp_path / "other" / "model.onnx", {}) == (Preprocessing(), "")


@pytest.mark.parametrize("text", ["{", "", "[" * 5000, '{"size": '], ids=["cut", "empty", "nested", "half"])
@pytest.mark.parametrize("name", ["preprocessor_config.json", "config.json"])
def test_a_file_that_is_no_json_is_refused_by_name(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(BackboneError, match=rf"{name}: not readable JSON .*; correct it or move it away"):
        find_preprocessing(beside(tmp_path, text, name), {})


# ---- the model's own metadata


def metadata(folder: Path, **entries: str) -> tuple[Preprocessing, str]:
    """What is found in a model's metadata, read back from its file."""

    def note(model: ModelProto) -> None:
        for key, value in entries.items():
            model.metadata_props.add(key=key.replace("__", "."), value=value)

    path = rewrite(classifier(folder), note)
    return find_preprocessing(path, read_metadata(path))


@pytest.mark.parametrize(
    ("scale", "mean", "std"),
    [
        ("NominalRange_0_255", 0.0, 1.0),
        ("Normalized_0_1", 0.0, 255.0),
        ("Normalized_1_1", 127.5, 127.5),
    ],
)
def test_the_pixel_range_of_onnx_is_a_mean_and_a_std(tmp_path: Path, scale: str, mean: float, std: float) -> None:
    said, origin = metadata(tmp_path, Image__NominalPixelRange=scale, Image__BitmapPixelFormat="Bgr8")
    assert (said.mean, said.std, said.channels) == ((mean,) * 3, (std,) * 3, "BGR")
    assert "metadata" in origin


@pytest.mark.parametrize(("kind", "channels"), [("Rgb8", "RGB"), ("Bgr8", "BGR"), ("Gray8", "L")])
def test_the_pixel_format_of_onnx_is_an_order_of_channels(tmp_path: Path, kind: str, channels: str) -> None:
    assert metadata(tmp_path, Image__BitmapPixelFormat=kind)[0].channels == channels


@pytest.mark.parametrize(
    ("key", "value"),
    [("Image__BitmapPixelFormat", "Rgba16"), ("Image__NominalPixelRange", "NominalRange_16_235")],
)
def test_an_unknown_pixel_format_or_range_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(BackboneError, match=rf"{key.partition('__')[2]} = '{value}' is not known.*set it with flags"):
        metadata(tmp_path, **{key: value})


@pytest.mark.parametrize("form", ["[0.5, 0.25, 0.125]", "0.5, 0.25, 0.125", "(0.5, 0.25, 0.125)"])
def test_keys_of_timm_are_read_from_metadata_however_they_are_written(tmp_path: Path, form: str) -> None:
    said, _ = metadata(
        tmp_path, mean=form, std=form, input_size="[3, 16, 16]", crop_pct="0.8", interpolation="bilinear"
    )
    assert said.mean == said.std == (127.5, 63.75, 31.875)
    assert geometry(said) == (16, 20, "center")
    assert said.filter == "bilinear"


def test_other_metadata_says_nothing(tmp_path: Path) -> None:
    assert metadata(tmp_path, author="somebody", description="a model") == (Preprocessing(), "")


# ---- what is said counts before what is found, and that before habit


def test_flags_go_before_everything() -> None:
    found = Preprocessing(size=224, resize=256, filter="bilinear", mean=HALF, std=HALF, crop_mode="center")
    flags = Preprocessing(filter="lanczos", mean=(1.0, 2.0, 3.0), crop_mode="squash", resize=240, channels="BGR")
    both = flags.over(found)
    assert (both.filter, both.mean, both.std) == ("lanczos", (1.0, 2.0, 3.0), HALF)
    assert (geometry(both), both.channels) == ((224, 240, "squash"), "BGR")


@pytest.mark.parametrize(("size", "resize"), [(112, 128), (288, 329), (224, 256)])
def test_another_size_keeps_the_share_of_the_crop(size: int, resize: int) -> None:
    both = Preprocessing(size=size).over(Preprocessing(size=224, resize=256))
    assert (both.size, both.resize) == (size, resize)


def test_a_resize_of_ones_own_is_not_rescaled() -> None:
    both = Preprocessing(size=112, resize=150).over(Preprocessing(size=224, resize=256))
    assert (both.size, both.resize) == (112, 150)


def test_nothing_said_is_imagenets_habit_and_told() -> None:
    done, assumed = complete(Preprocessing(), size=224, dtype="float32")
    assert (done.mean, done.std, done.filter) == (IMAGENET_MEAN, IMAGENET_STD, "bicubic")
    assert (geometry(done), done.channels) == ((224, 256, "center"), "RGB")
    told = " ".join(assumed)
    for word in ("mean", "std", "ImageNet", "bicubic", "resize 256"):
        assert word in told


def test_everything_said_is_taken_and_nothing_assumed() -> None:
    said = Preprocessing(size=224, resize=240, crop_mode="squash", filter="box", mean=HALF, std=HALF, channels="BGR")
    done, assumed = complete(said, size=224, dtype="float32")
    assert all(getattr(done, field.name) == getattr(said, field.name) for field in fields(said))
    assert not assumed


def test_a_model_that_takes_bytes_is_given_bytes() -> None:
    done, assumed = complete(Preprocessing(), size=224, dtype="uint8")
    assert (done.mean, done.std) == ((0.0,) * 3, (1.0,) * 3)
    assert not any("mean" in one for one in assumed)


def test_a_squashed_picture_is_not_cropped() -> None:
    done, assumed = complete(Preprocessing(crop_mode="squash"), size=224, dtype="float32")
    assert geometry(done) == (224, 224, "squash")
    assert not any("resize" in one for one in assumed)


def test_what_lies_beside_a_model_reaches_its_card(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    beside(tmp_path, VIT | {"size": {"height": 16, "width": 16}})
    card, notes = describe_model(path, Description(name="made"))
    assert (card.input.pixels.mean, card.input.pixels.std, card.input.pixels.filter, card.input.pixels.crop_mode) == (
        HALF,
        HALF,
        "bilinear",
        "squash",
    )
    assert (card.input.pixels.size, card.input.pixels.resize) == (16, 16)
    assert any("preprocessor_config.json" in note for note in notes)
    assert not any("assumed" in note for note in notes)


def test_a_size_beside_a_model_that_takes_another_is_refused_with_both(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    beside(tmp_path, VIT)
    with pytest.raises(BackboneError, match=r"takes 16 pixels but .*preprocessor_config\.json says 224"):
        describe_model(path, Description(name="made"))


def test_a_free_height_and_width_take_the_size_beside_the_model(tmp_path: Path) -> None:
    graph = Graph("batch", 3, "height", "width")
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))
    beside(tmp_path, VIT | {"size": {"height": 24, "width": 24}})
    assert describe_model(path, Description(name="made"))[0].input.pixels.size == 24


def test_a_free_height_and_width_ask_for_size(tmp_path: Path) -> None:
    graph = Graph("batch", 3, "height", "width")
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))
    with pytest.raises(BackboneError, match=r"m\.onnx: height and width of 'image' are free.*--size"):
        describe_model(path, Description(name="made"))
    assert describe_model(path, Description(name="made", pixels=Preprocessing(size=32)))[0].input.pixels.size == 32


def test_a_size_other_than_the_models_is_refused_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"made\.onnx: takes 16 x 16 pixels but --size is 32; leave --size out"):
        describe_model(classifier(tmp_path), Description(name="made", pixels=Preprocessing(size=32)))


def test_a_model_that_takes_no_square_is_refused_with_both_sides(tmp_path: Path) -> None:
    graph = Graph("batch", 3, 16, 24)
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))
    with pytest.raises(BackboneError, match=r"m\.onnx: input 'image' takes 16 x 24 .*export it for a square"):
        describe_model(path, Description(name="made"))


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_that_featx_does_not_give_are_refused_with_both(tmp_path: Path, channels: int) -> None:
    graph = Graph("batch", channels, 16, 16)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv("image", channels, 8)))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))
    with pytest.raises(BackboneError, match=rf"m\.onnx: input 'image' takes {channels} channels .*RGB"):
        describe_model(path, Description(name="made", pixels=Preprocessing(channels="RGB")))


def test_bytes_are_neither_shifted_nor_scaled(tmp_path: Path) -> None:
    graph = Graph(dtype=UINT8)
    floats = graph.add("Cast", "image", to=1)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(floats, 3, 8)))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))
    card, _ = describe_model(path, Description(name="made"))
    assert (card.input.dtype, card.input.pixels.mean, card.input.pixels.std) == ("uint8", (0.0,) * 3, (1.0,) * 3)


# ---- pixels

SPEC = PixelSpec(size=16, resize=16, crop_mode="squash", mean=HALF, std=HALF)


def picture(size: tuple[int, int]) -> tuple[Image.Image, bytes]:
    """A picture of noise, and its file."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    return image, file.getvalue()


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("size", [(40, 30), (30, 40), (9, 50), (16, 16)])
def test_a_squashed_picture_is_what_pillow_makes_of_it(size: tuple[int, int], kind: Filter) -> None:
    image, data = picture(size)
    expected = image.resize((16, 16), Image.Resampling[kind.upper()])
    assert np.array_equal(decode_image(data, replace(SPEC, filter=kind)), np.asarray(expected))


def test_a_squashed_picture_is_cropped_where_the_card_resizes_to_more() -> None:
    image, data = picture((40, 30))
    expected = image.resize((20, 20), Image.Resampling.BICUBIC).crop((2, 2, 18, 18))
    assert np.array_equal(decode_image(data, replace(SPEC, resize=20)), np.asarray(expected))


# ---- the command


@pytest.mark.parametrize(
    ("flags", "right"),
    [
        (["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"], "--std 58.395,57.12,57.375"),
        (["--mean", "0.5", "--std", "0.5"], "--std 127.5"),
    ],
)
def test_numbers_on_the_scale_of_0_to_1_are_refused_with_the_right_ones(
    tmp_path: Path, featx: Callable[..., Ran], flags: list[str], right: str
) -> None:
    ran = featx("backbones", "add", classifier(tmp_path), "--name", "made", "--models", tmp_path / "models", *flags)
    assert ran.code == 2
    assert right in " ".join(ran.err.split())
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("numbers", ["1,2", "1,2,3,4", "a,b,c", "", "1;2;3"])
def test_a_mean_that_is_neither_one_number_nor_three_is_refused(
    tmp_path: Path, featx: Callable[..., Ran], numbers: str
) -> None:
    ran = featx("backbones", "add", classifier(tmp_path), "--name", "made", "--mean", numbers)
    assert ran.code == 2
    assert "--mean" in ran.err


def test_every_flag_reaches_the_card(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    beside(tmp_path, VIT)
    flags = {
        "--size": 16,
        "--resize": 20,
        "--crop-mode": "squash",
        "--filter": "lanczos",
        "--mean": "120,110,100",
        "--std": "60",
        "--channels": "BGR",
        "--source": "there",
        "--licence": "MIT",
        "--reference": "none",
    }
    given = [part for pair in flags.items() for part in pair]
    place = ["--models", tmp_path / "models"]
    ran = featx(
        "backbones", "add", classifier(tmp_path), "--name", "made", "--exif-orientation", *given, *place, "--json"
    )
    assert ran.code == 0
    card = load_backbone("made", folder=tmp_path / "models").card
    assert ran.json == card.to_dict()
    assert (
        card.input.pixels.size,
        card.input.pixels.resize,
        card.input.pixels.crop_mode,
        card.input.pixels.filter,
    ) == (16, 20, "squash", "lanczos")
    assert (card.input.pixels.mean, card.input.pixels.std, card.input.pixels.channels) == (
        (120.0, 110.0, 100.0),
        (60.0,) * 3,
        "BGR",
    )
    assert (card.source, card.licence, card.reference, card.input.pixels.exif_orientation) == (
        "there",
        "MIT",
        "none",
        True,
    )


def test_what_had_to_be_assumed_is_said_aloud(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("backbones", "add", classifier(tmp_path), "--name", "made", "--models", tmp_path / "models")
    assert ran.code == 0
    for word in ("assumed", "mean", "ImageNet", "bicubic", "resize 18"):
        assert word in ran.err


PIXELS = Preprocessing(mean=(MEAN,) * 3, std=(STD,) * 3)


HALF_CLIP: dict[str, Any] = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "resample": 3,
    "size": {"shortest_edge": 224},
}


@pytest.mark.parametrize(
    ("changes", "geometry"),
    [
        # resizes to int(256 / 224 * size)
        ({"image_processor_type": "LevitImageProcessor"}, (224, 256)),
        # resizes to int(size / crop_pct), and crops all the same
        ({"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0.9}, (224, 248)),
        # crops first, then resizes
        ({"image_processor_type": "PerceiverImageProcessor", "crop_size": {"height": 256, "width": 256}}, None),
        # pads with black up to the crop
        ({"crop_size": {"height": 256, "width": 256}}, None),
    ],
    ids=["Levit", "PoolFormer", "Perceiver", "a crop larger than the picture"],
)
def test_a_processor_of_its_own_geometry_is_followed_or_refused(
    tmp_path: Path, changes: dict[str, Any], geometry: tuple[int, int] | None
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(HALF_CLIP | changes))
    try:
        said, _ = find_preprocessing(tmp_path / "m.onnx", {})
    except BackboneError:
        return
    assert (said.size, said.resize) == geometry


def test_channels_that_a_processor_flips_are_flipped_or_refused(tmp_path: Path) -> None:
    """As apple/mobilevit-small has it."""
    changes = {"do_flip_channel_order": True, "do_normalize": False, "size": {"shortest_edge": 288}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(HALF_CLIP | changes))
    try:
        said, _ = find_preprocessing(tmp_path / "m.onnx", {})
    except BackboneError:
        return
    assert said.channels == "BGR"


@pytest.mark.parametrize("said", [{"mean": (120.0,) * 3}, {"std": (60.0,) * 3}])
def test_half_of_a_normalisation_is_not_dropped_unseen(tmp_path: Path, said: dict[str, Any]) -> None:
    path = classifier(tmp_path)
    try:
        added = add_backbone(path, Description(name="x", pixels=Preprocessing(**said)), into=tmp_path / "m")
    except BackboneError:
        return
    assert all(getattr(added.backbone.card, key) == value for key, value in said.items())


def test_a_normalisation_for_a_model_that_takes_bytes_is_not_dropped_unseen(tmp_path: Path) -> None:
    graph = Graph(dtype=UINT8)
    floats = graph.add("Cast", "image", to=FLOAT)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(floats, 3, 8)))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))
    with pytest.raises(BackboneError, match="uint8"):
        add_backbone(path, Description(name="x", pixels=PIXELS), into=tmp_path / "models")
