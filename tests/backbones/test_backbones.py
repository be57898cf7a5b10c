"""Cards and folders of backbones: a wrong card is refused with its file, its key and what to put there."""

import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from featx.backbones import open_session
from featx.backbones.card import Card
from featx.backbones.model_inputs import ImageInput
from featx.backbones.reading import parse_card, read_card
from featx.backbones.store import Backbone, bundled_folder, list_backbones, load_backbone
from featx.errors import BackboneError
from featx.inputs import PixelSpec
from featx.settings import FILTERS
from tests.conftest import Tiny

BUNDLED = "efficientnet-lite0"

VALUES: dict[str, Any] = {
    "name": "mine",
    "file": "mine.onnx",
    "sha256": "0123456789abcdef" * 4,
    "input": "image",
    "size": 224,
    "resize": 256,
    "mean": [127.0, 127.0, 127.0],
    "std": [128.0, 128.0, 128.0],
    "feature": "features",
    "dim": 1280,
}
"""A card with the keys that must be there and no other."""

OTHER: dict[str, Any] = {
    "name": "other",
    "file": "other.onnx",
    "sha256": "f" * 64,
    "data": "other.onnx.data",
    "data_sha256": "e" * 64,
    "source": "there",
    "licence": "MIT",
    "reference": "top-1 1 %",
    "golden": "other.npz",
    "input": "pixels",
    "layout": "NHWC",
    "dtype": "float16",
    "size": 200,
    "channels": "BGR",
    "batch": 1,
    "resize": 300,
    "crop_mode": "squash",
    "filter": "bilinear",
    "mean": [1.0, 2.0, 3.0],
    "std": [4.0, 5.0, 6.0],
    "exif_orientation": True,
    "feature": "other",
    "dim": 7,
    "pool": "gem",
    "outputs": [{"name": "layer3:gem", "dim": 5, "pool": "gem"}, {"name": "pooled", "dim": 3, "pool": ""}],
    "classifier": "scores",
    "precision": "int8",
    "classifier_kind": "softmax",
    "baseline": "random weights",
    "quantized": {
        "source": "mine",
        "source_hash": "d" * 64,
        "method": "MinMax",
        "images": 128,
        "images_hash": "c" * 64,
        "held_out": 64,
        "mean_cosine": 0.999,
        "lowest_cosine": 0.99,
        "speed": 2.0,
        "measured_on": "a processor",
    },
}
"""For every key a valid value that is not the usual one."""


VALUES_OF_QUANTIZED = OTHER["quantized"]


def card(**changes: Any) -> Card:
    """A valid card with these keys changed."""
    return parse_card(VALUES | changes, source="mine.toml")


# ---- one card


def test_the_keys_that_may_be_left_out_have_their_defaults() -> None:
    found = card().input
    assert (found.layout, found.pixels.filter, found.pixels.exif_orientation) == ("NCHW", "bicubic", False)


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(
        BackboneError, match=r"mine\.toml: unknown key 'filtre' \(did you mean filter.*correct or remove"
    ):
        card(filtre="bicubic")


def test_an_unknown_key_far_from_any_other_gets_no_hint() -> None:
    with pytest.raises(BackboneError, match=r"mine\.toml: unknown key 'xyzzy'; correct or remove it"):
        card(xyzzy=1)


@pytest.mark.parametrize("key", VALUES)
def test_a_missing_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(BackboneError, match=rf"mine\.toml: key '{key}' is missing; add it"):
        parse_card({name: value for name, value in VALUES.items() if name != key}, source="mine.toml")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("name", 1, "a name of letters.*"),
        ("size", "224", "a whole number above 0.*"),
        ("size", 224.0, "a whole number above 0.*"),
        ("size", True, "a whole number above 0.*"),
        ("dim", [1280], "a whole number above 0.*"),
        ("licence", 1, "text in quotes"),
        ("exif_orientation", 1, "true or false"),
        ("mean", 127.0, "three finite numbers.*"),
        ("mean", ["127", "127", "127"], "three finite numbers.*"),
        ("std", [True, True, True], "three numbers above 0.*"),
        ("quantized", {"source": "mine"}, r"a table \{ source, .* \}.*"),
        ("outputs", [{"name": "other", "dim": 3, "dims": 3}], r"a list of tables \{ name, dim, pool \}.*"),
    ],
)
def test_a_value_of_another_type_is_refused(key: str, value: object, wanted: str) -> None:
    with pytest.raises(BackboneError, match=rf"mine\.toml: {key} = .* should be {wanted}; correct the card"):
        card(**{key: value})


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("name", "", "a name of letters"),
        ("name", "a/b", "a name of letters"),
        ("name", "a b", "a name of letters"),
        ("name", "a\n", "a name of letters"),
        ("file", "", "a file name without a folder"),
        ("file", ".", "a file name without a folder"),
        ("file", "..", "a file name without a folder"),
        ("file", "../mine.onnx", "a file name without a folder"),
        ("file", "/tmp/mine.onnx", "a file name without a folder"),
        ("golden", "there/mine.npz", "a file name without a folder"),
        ("sha256", "0" * 63, "64 hexadecimal digits"),
        ("sha256", "F" * 64, "64 hexadecimal digits"),
        ("sha256", "", "64 hexadecimal digits"),
        ("layout", "CHWN", "NCHW or NHWC"),
        ("dtype", "complex64", "float32 or float16 or .*uint8"),
        ("filter", "cubic", "nearest or box or bilinear or hamming or bicubic or lanczos"),
        ("feature", "/", "the name of a tensor that can have a place"),
        ("feature", "a/./b", "the name of a tensor that can have a place"),
        ("feature", "a\0b", "the name of a tensor that can have a place"),
        ("channels", "GBR", "RGB or BGR or L"),
        ("crop_mode", "border", "center or squash"),
        ("pool", "min", "mean or max or gem or cls, or left out"),
        ("outputs", [{"name": "features", "dim": 3}], "outputs of different names"),
        ("outputs", [{"name": "other", "dim": 0}], "a list of tables .* dim above 0"),
        ("outputs", ["other"], "a list of tables"),
        ("outputs", "other", "a list of tables"),
        ("data", "../weights", "a file name without a folder"),
        ("data_sha256", "e" * 64, "the sha256 of `data`"),
        ("size", 0, "a whole number above 0"),
        ("size", -1, "a whole number above 0"),
        ("resize", 223, "at least size = 224"),
        ("dim", 0, "a whole number above 0"),
        ("mean", [127.0, 127.0], "three finite numbers"),
        ("mean", [127.0] * 4, "three finite numbers"),
        ("mean", [float("nan"), 0.0, 0.0], "three finite numbers"),
        ("mean", [float("inf"), 0.0, 0.0], "three finite numbers"),
        ("std", [], "three numbers above 0"),
        ("std", [1.0, 0.0, 1.0], "three numbers above 0"),
        ("std", [1.0, -1.0, 1.0], "three numbers above 0"),
        ("std", [1.0, 1.0, float("inf")], "three numbers above 0"),
        ("size", 2**40, ".*at most 16384"),
        ("dim", 2**40, ".*at most 67108864"),
        ("batch", 2**40, ".*at most 65536"),
        # 0 and infinity in float32
        ("std", [1e-300] * 3, ".*at least 1e-06"),
        ("mean", [1e300] * 3, r".*at most 1e\+06"),
        ("file", "a\0b", "a file name without a folder"),
        ("file", "a\nb", "a file name without a folder"),
        ("file", "a" * 256, "a file name without a folder"),
        ("name", "a" * 250, "a name of letters"),
        ("outputs", [{"name": f"o{place}", "dim": 1} for place in range(1001)], ".*at most 1000"),
        ("quantized", VALUES_OF_QUANTIZED | {"mean_cosine": float("nan")}, ".*cosines up to 1"),
        ("quantized", VALUES_OF_QUANTIZED | {"speed": float("inf")}, ".*a finite speed"),
        ("quantized", VALUES_OF_QUANTIZED | {"images": -1}, ".*numbers of images from 0"),
        # above what a float can hold, though TOML has no largest integer
        ("mean", [10**400, 0, 0], "three finite numbers"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(key: str, value: object, wanted: str) -> None:
    with pytest.raises(BackboneError, match=rf"(?s)mine\.toml: {key} = .* should be {wanted}.*; correct the card"):
        card(**{key: value})


def test_two_files_of_a_card_have_two_names() -> None:
    with pytest.raises(BackboneError, match=r"mine\.toml: file = 'mine\.onnx' should be another file than `data`"):
        card(golden="mine.onnx")


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(BackboneError) as caught:
        card(licence=["x" * 10_000])
    assert len(str(caught.value)) < 500


def test_many_outputs_are_compared_with_their_neighbours_alone() -> None:
    outputs = [{"name": f"o{place}/a", "dim": 1} for place in range(1000)]
    assert len(card(outputs=outputs).all_outputs) == 1001
    with pytest.raises(BackboneError, match="none within another"):
        card(outputs=[*outputs[:-1], {"name": "o500", "dim": 1}])


def test_a_kind_of_input_that_featx_does_not_know_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"mine\.toml: kind = 'text' should be image; correct the card"):
        card(kind="text")


def test_a_card_that_names_the_kind_of_its_input_is_one_that_does_not() -> None:
    assert card(kind="image") == card()
    assert "kind" not in card(kind="image").to_dict()


@pytest.mark.parametrize("key", ["mean", "std"])
def test_a_model_of_bytes_whose_pixels_would_be_scaled_is_refused(key: str) -> None:
    values = {"mean": [0.0] * 3, "std": [1.0] * 3} | {key: [2.0] * 3}
    with pytest.raises(BackboneError, match=rf"mine\.toml: {key} = .* should be three times . for a model .* uint8"):
        card(dtype="uint8", **values)


def test_a_baseline_of_an_unknown_kind_is_refused_and_the_kinds_are_named() -> None:
    wanted = r"baseline = 'chance' should be pixels or histogram or random weights or left out; correct the card"
    with pytest.raises(BackboneError, match=rf"mine\.toml: {wanted}"):
        card(baseline="chance")


def test_whole_numbers_are_numbers_too() -> None:
    assert card(mean=[127, 127, 127]).input.pixels.mean == (127.0, 127.0, 127.0)


def test_no_crop_at_all_is_allowed() -> None:
    assert card(size=224, resize=224).input.pixels.resize == 224


# ---- identity


def test_the_other_values_cover_every_key_and_differ() -> None:
    usual = card().to_dict()
    assert usual.keys() == OTHER.keys()
    assert all(usual[key] != OTHER[key] for key in usual)


# Written down again: a key that moves from one side to the other would make old caches look like new ones.
DESCRIPTIVE = {
    *("name", "file", "data", "source", "licence", "reference", "golden", "classifier"),
    *("classifier_kind", "precision", "quantized", "baseline"),
}


WEIGHTS = {"data": "mine.onnx.data", "data_sha256": "a" * 64}
"""Keys that are given together or not at all."""


@pytest.mark.parametrize("key", sorted(DESCRIPTIVE))
def test_a_descriptive_key_does_not_change_the_identity(key: str) -> None:
    changed = Backbone(card(**WEIGHTS | {key: OTHER[key]}), Path("there"))
    assert changed.hash == Backbone(card(**WEIGHTS), Path("here")).hash


def test_a_card_of_the_first_format_has_the_identity_that_its_caches_carry() -> None:
    first = "5285ebf6f22f05b298fedfd3882a0fbb321d3a4b7819820a034d0a955994f5b9"
    assert Backbone(card(), Path("here")).hash == first


@pytest.mark.parametrize("key", sorted(set(OTHER) - DESCRIPTIVE))
def test_every_other_key_changes_the_identity(key: str) -> None:
    changed = Backbone(card(**WEIGHTS | {key: OTHER[key]}), Path("here"))
    assert changed.hash != Backbone(card(**WEIGHTS), Path("here")).hash


def test_a_key_left_out_and_its_default_are_the_same_identity() -> None:
    assert card(layout="NCHW", filter="bicubic").identity() == card().identity()


# ---- the file of a card

# Surrogates cannot be written as UTF-8; an empty text is the same as a key left out.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text("aZ0ß_.-", min_size=1, max_size=8)
FILE = st.text("aZ0ß_ -", min_size=1, max_size=8)
FINITE = st.floats(-1e6, 1e6)
SIZES = st.integers(1, 2**14 - 99)

PIXEL_SPECS = st.builds(
    lambda size, more, **values: PixelSpec(size=size, resize=size + more, **values),
    size=SIZES,
    more=st.integers(0, 99),
    filter=st.sampled_from(FILTERS),
    mean=st.tuples(FINITE, FINITE, FINITE),
    std=st.tuples(*[st.floats(1e-6, 1e6)] * 3),
    exif_orientation=st.booleans(),
)
CARDS = st.builds(
    Card,
    name=NAME,
    file=FILE,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    source=TEXT,
    licence=TEXT,
    reference=TEXT,
    golden=st.one_of(st.just(""), FILE),
    input=st.builds(ImageInput, name=TEXT.filter(bool), layout=st.sampled_from(["NCHW", "NHWC"]), pixels=PIXEL_SPECS),
    feature=TEXT.filter(lambda name: name.strip("/") and "." not in name and "\0" not in name),
    dim=SIZES,
    classifier=TEXT,
    baseline=st.sampled_from(["", "pixels", "histogram", "random weights"]),
).filter(lambda made: made.file != made.golden)


@settings(deadline=None, max_examples=100)
@given(made=CARDS)
@example(made=card(feature="/a//b.c/d"))
@example(made=card(source="what JSON leaves and TOML forbids: \x7f"))
def test_a_card_written_and_read_is_the_same_card(made: Card) -> None:
    assert parse_card(tomllib.loads(made.to_toml()), source="made.toml") == made


def test_a_card_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(card(licence="Überlassen ©").to_toml(), encoding="utf-8")
    assert read_card(tmp_path / "mine.toml") == card(licence="Überlassen ©")


@pytest.mark.parametrize(
    "content",
    [b"name = ", b'name = "a"\nname = "b"', b"\xff", b"size = " + b"[" * 5000, b"size = " + b"9" * 5000],
    ids=["cut short", "a key twice", "not UTF-8", "nested too deep", "too many digits"],
)
def test_a_file_that_is_no_card_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(BackboneError, match=r"bad\.toml: not a readable card \(.*\); correct the file"):
        list_backbones(tmp_path)


def test_a_file_larger_than_any_card_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BackboneError, match=r"large\.toml: not a readable card \(more than 262144 bytes\)"):
        read_card(tmp_path / "large.toml")


def test_a_pipe_called_like_a_card_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BackboneError, match=r"pipe\.toml: not a readable card \(not a file\)"):
        read_card(tmp_path / "pipe.toml")


def test_a_folder_called_like_a_card_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(BackboneError, match=r"folder\.toml: not a readable card"):
        list_backbones(tmp_path)


# ---- the folder of cards


def test_own_cards_stand_beside_the_bundled_one(tiny: Tiny, models: Path) -> None:
    assert {BUNDLED, "tiny"} <= {backbone.name for backbone in list_backbones(models)}
    assert load_backbone("tiny", folder=models) == tiny.backbone


def test_backbones_are_listed_by_name(models: Path, make_tiny: Callable[..., Tiny]) -> None:
    for name in ("zebra", "ant"):
        make_tiny(models, name=name)
    found = [backbone.name for backbone in list_backbones(models)]
    assert found == sorted(found)


def test_the_name_on_the_card_counts_and_not_the_name_of_the_file(tiny: Tiny, models: Path) -> None:
    (models / "tiny.toml").rename(models / "renamed.toml")
    assert load_backbone("tiny", folder=models).path == tiny.backbone.path


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(
        BackboneError, match=r"'eficientnet-lite0' \(did you mean efficientnet-lite0.*; choose from .*lite0"
    ):
        load_backbone("eficientnet-lite0")


def test_two_cards_of_one_name_are_refused_by_both_files(tiny: Tiny, models: Path) -> None:
    shutil.copy(models / f"{tiny.backbone.name}.toml", models / "twin.toml")
    with pytest.raises(BackboneError, match=r"twin\.toml and .*tiny\.toml have the same name; rename one"):
        list_backbones(models)


def test_a_card_with_the_name_of_a_bundled_one_is_refused(models: Path, make_tiny: Callable[..., Tiny]) -> None:
    make_tiny(models, name=BUNDLED)
    with pytest.raises(BackboneError, match=rf"models/{BUNDLED}\.toml and .*have the same name"):
        list_backbones(models)


def test_the_bundled_folder_may_be_named_too() -> None:
    assert list_backbones(bundled_folder()) == list_backbones()
    assert list_backbones(str(bundled_folder())) == list_backbones()
    assert load_backbone(BUNDLED, folder=str(bundled_folder())) == load_backbone(BUNDLED)


def test_a_missing_folder_of_cards_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"nowhere: no such folder of cards; name one with --models"):
        list_backbones(tmp_path / "nowhere")


def test_a_missing_model_is_refused_by_name(tiny: Tiny, models: Path) -> None:
    tiny.backbone.path.unlink()
    with pytest.raises(BackboneError, match=r"tiny\.onnx: missing, although the card of 'tiny' names it; export it"):
        load_backbone("tiny", folder=models)


def test_a_model_changed_by_one_byte_is_refused_with_both_hashes(tiny: Tiny, models: Path) -> None:
    path, known = tiny.backbone.path, tiny.backbone.card.sha256[:12]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(
        BackboneError,
        match=rf"tiny\.onnx: sha256 is [0-9a-f]{{12}}… but the card says {known}…; replace the file or correct",
    ):
        load_backbone("tiny", folder=models)


def test_a_broken_model_does_not_keep_another_from_being_used(
    tiny: Tiny, models: Path, make_tiny: Callable[..., Tiny]
) -> None:
    make_tiny(models, name="other")
    tiny.backbone.path.unlink()
    assert load_backbone("other", folder=models).name == "other"


# ---- the bundled backbone


def test_the_bundled_model_is_the_one_on_its_card() -> None:
    assert load_backbone(BUNDLED).card.dim == 1280


def test_the_bundled_backbone_gives_the_features_that_torch_gave() -> None:
    backbone = load_backbone(BUNDLED)
    with np.load(backbone.path.with_name(backbone.card.golden)) as golden:
        pixels, expected = golden["pixels"], golden["features"]
    assert np.abs(open_session(backbone, device="cpu")(pixels) - expected).max() < 1e-4
