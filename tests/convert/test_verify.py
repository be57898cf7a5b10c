"""verify: what a backbone gives here is what it should give, each difference beside its tolerance."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.apart import Limits
from featx.backbones.store import Backbone, load_backbone
from featx.convert import verifying
from featx.convert.adding import Description, describe_model, install
from featx.convert.fast_decoding import measure_fast
from featx.convert.preprocessing import Preprocessing
from featx.convert.verifying import Check, verify_backbone, verify_here
from featx.devices import DeviceSpec
from featx.errors import BackboneError
from featx.inputs import ImageSet, list_images
from featx.inputs.decode import decode_image
from featx.settings import DECODES
from tests.conftest import Ran, Tiny, draw_image
from tests.support.cards import with_card
from tests.support.graphs import (
    FIXTURES,
    FLOAT,
    FLOAT16,
    MEAN,
    STD,
    UINT8,
    Graph,
    describe,
    random_pixels,
)
from tests.support.sizes import as_exhaustive

BUNDLED = "efficientnet-lite0"


def give_golden(tiny: Tiny, models: Path, **changes: Any) -> Backbone:
    """The tiny backbone with golden vectors on its card, some of their arrays changed or (None) taken away."""
    pixels = random_pixels(3)
    arrays: dict[str, Any] = {"pixels": pixels, "features": tiny.expected(pixels)} | changes
    np.savez(models / "tiny.npz", **{key: value for key, value in arrays.items() if value is not None})
    backbone = replace(tiny.backbone, card=replace(tiny.backbone.card, golden="tiny.npz"))
    (models / "tiny.toml").write_text(backbone.card.to_toml(), encoding="utf-8")
    return backbone


def names(checks: tuple[Check, ...]) -> list[str]:
    """What was checked, in order."""
    return [check.name for check in checks]


# ---- what passes


def test_a_device_that_compiles_models_has_the_time_for_it(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[Limits] = []
    monkeypatch.setattr(verifying, "choose_devices", lambda device: (DeviceSpec("tensorrt", 0),))
    monkeypatch.setattr(verifying, "open_session", lambda *_, **__: None)
    monkeypatch.setattr(verifying, "_checks", lambda *_: iter(()))
    verify_here(tiny.backbone, device="tensorrt", allow=allowed.append)
    assert allowed[-1].seconds >= 1800
    monkeypatch.setattr(verifying, "choose_devices", lambda device: (DeviceSpec("cpu", None),))
    verify_here(tiny.backbone, device="cpu", allow=allowed.append)
    assert allowed[-1].seconds < 120


def test_a_backbone_without_golden_vectors_is_checked_against_itself(tiny: Tiny) -> None:
    checks = verify_backbone(tiny.backbone, device="cpu")
    assert all(check.ok for check in checks)
    assert names(checks) == ["batch 1 against 6", "cut graph against whole"]
    assert {check.output for check in checks} == {"features"}


def test_golden_vectors_are_the_first_check(tiny: Tiny, models: Path) -> None:
    checks = verify_backbone(give_golden(tiny, models), device="cpu")
    assert all(check.ok for check in checks)
    assert names(checks) == ["golden vectors", "batch 1 against 3", "cut graph against whole"]


def test_the_bundled_backbone_passes(tmp_path: Path) -> None:
    checks = verify_here(load_backbone(BUNDLED), device="cpu")
    assert all(check.ok for check in checks)
    assert names(checks)[0] == "golden vectors"


def test_every_check_gives_its_figures_and_its_tolerances(tiny: Tiny) -> None:
    for check in verify_here(tiny.backbone, device="cpu"):
        assert 0 <= check.largest_difference <= check.largest_allowed == 1e-4
        assert 1.0001 >= check.lowest_cosine >= check.lowest_allowed == 0.99999


def test_every_output_is_checked_on_its_own(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.maps(into="maps")
    graph.add("Flatten", graph.add("GlobalAveragePool", maps), into="pooled")
    path = graph.save(tmp_path / "m.onnx", graph.dense("pooled", 8, 5, into="logits"))
    outputs = ["pooled", "maps:mean", "maps:max", "maps:gem", "logits"]
    checks = verify_here(describe(path, *outputs), device="cpu")
    assert all(check.ok for check in checks)
    assert [check.output for check in checks] == outputs * 2


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_the_model_as_exported_is_given_what_the_card_says(
    models: Path, make_tiny: Callable[..., Tiny], layout: str, channels: str
) -> None:
    backbone = make_tiny(models, layout=layout).backbone
    changed = with_card(backbone, channels=channels)
    assert all(check.ok for check in verify_here(changed, device="cpu"))


@pytest.mark.parametrize("dtype", [FLOAT16, UINT8])
def test_models_that_take_other_types_pass(tmp_path: Path, dtype: int) -> None:
    graph = Graph(dtype=dtype)
    floats = graph.add("Cast", "image", to=FLOAT)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv(floats, 3, 8)))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))
    scale: dict[str, Any] = {"mean": None, "std": None} if dtype == UINT8 else {}
    assert all(check.ok for check in verify_here(describe(path, **scale), device="cpu"))


def test_a_model_of_one_channel_passes(tmp_path: Path) -> None:
    graph = Graph("batch", 1, 16, 16)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv("image", 1, 8)))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"))
    assert all(check.ok for check in verify_here(describe(path), device="cpu"))


EXPORTED = sorted(path.stem for path in FIXTURES.glob("*.onnx"))
FIRST_EXPORTED = (
    *("embedding-dynamo-free", "encoder-script-fixed", "external", "resnet-script-free"),
    *("squeezenet-dynamo-fixed", "vgg-script-fixed", "vit-dynamo-free"),
)
"""One of each architecture, two of each way to export one."""


@pytest.mark.parametrize("model", [name if name in FIRST_EXPORTED else as_exhaustive(name) for name in EXPORTED])
def test_what_torch_exported_passes_once_it_is_registered(models: Path, model: str) -> None:
    path = FIXTURES / f"{model}.onnx"
    if model == "external":
        checks = verify_here(describe(path, size=32), device="cpu")
    else:
        said = Description(name="made", pixels=Preprocessing(mean=(MEAN,) * 3, std=(STD,) * 3))
        card, notes = describe_model(path, said)  # as add_backbone does in a process of its own
        checks = verify_here(install(path, card, models, notes=notes), device="cpu")
    assert all(check.ok for check in checks)
    assert len(checks) == 2


def test_tokens_and_the_maps_of_a_transformer_pass(tmp_path: Path) -> None:
    outputs = ["last_hidden_state:cls", "last_hidden_state:mean", "last_hidden_state:max", "last_hidden_state:gem"]
    checks = verify_here(describe(FIXTURES / "encoder-dynamo-fixed.onnx", *outputs, size=32), device="cpu")
    assert all(check.ok for check in checks)


@pytest.mark.parametrize(("channels", "last"), [(6, True), (6, False), (8, False)], ids=["NHWC", "NCHW", "cubic NCHW"])
def test_maps_are_pooled_along_the_same_axes_on_both_sides(tmp_path: Path, channels: int, last: bool) -> None:
    graph = Graph()
    maps = graph.conv(graph.maps(), 8, channels)
    graph.add("Transpose", maps, into="tensor", perm=[0, 2, 3, 1] if last else [0, 1, 2, 3])
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", maps))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, channels, 5, into="logits"), "tensor")
    checks = verify_here(describe(path, "tensor:mean"), device="cpu")
    assert all(check.ok for check in checks)


# ---- what fails


def off_by(difference: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A change of one number by this share of the largest."""

    def change(features: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = features.copy()
        changed[1, 2] += difference * np.abs(features).max()
        return changed

    return change


@pytest.mark.parametrize(("difference", "ok"), [(0.0, True), (5e-5, True), (2e-4, False), (0.1, False)])
def test_golden_vectors_that_differ_by_more_than_the_tolerance_fail(
    tiny: Tiny, models: Path, difference: float, ok: bool
) -> None:
    features = off_by(difference)(tiny.expected(random_pixels(3)))
    first, *others = verify_here(give_golden(tiny, models, features=features), device="cpu")
    assert (first.name, first.ok) == ("golden vectors", ok)
    assert first.largest_difference == pytest.approx(difference, rel=0.02, abs=1e-5)
    assert all(check.ok for check in others)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_golden_vectors_that_are_no_numbers_fail(tiny: Tiny, models: Path, value: float) -> None:
    features = tiny.expected(random_pixels(3))
    features[0, 0] = value
    with np.errstate(invalid="ignore"):
        checks = verify_here(give_golden(tiny, models, features=features), device="cpu")
    assert not checks[0].ok


def test_golden_vectors_in_another_order_fail(tiny: Tiny, models: Path) -> None:
    features = tiny.expected(random_pixels(3))[::-1]
    assert not verify_here(give_golden(tiny, models, features=features), device="cpu")[0].ok


def test_a_backbone_whose_card_lies_about_the_scale_fails_by_its_golden_vectors(tiny: Tiny, models: Path) -> None:
    backbone = give_golden(tiny, models)
    lying = with_card(backbone, mean=[121.0, 110.0, 100.0])
    first, *others = verify_here(lying, device="cpu")
    assert not first.ok
    assert all(check.ok for check in others)


def test_features_that_depend_on_their_neighbours_fail(tmp_path: Path) -> None:
    graph = Graph()
    data = graph.pooled()
    graph.add("Sub", data, graph.add("ReduceMean", data, axes=[0], keepdims=1), into="read")
    path = graph.save(tmp_path / "m.onnx", graph.dense("read", 8, 5, into="logits"))
    backbone = describe(path, "read")
    first, second = verify_here(replace(backbone, card=replace(backbone.card, batch=0)), device="cpu")
    assert (first.name, first.ok, second.ok) == ("batch 1 against 6", False, True)


def test_features_that_depend_on_their_neighbours_are_made_one_at_a_time(tmp_path: Path) -> None:
    graph = Graph()
    data = graph.pooled()
    graph.add("Add", data, graph.add("ReduceMean", data, axes=[0], keepdims=1), into="read")
    path = graph.save(tmp_path / "m.onnx", graph.dense("read", 8, 5, into="logits"))
    backbone = describe(path, "read")
    assert backbone.card.batch == 1
    assert all(check.ok for check in verify_here(backbone, device="cpu"))


# ---- golden vectors that cannot be used


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": random_pixels(3, 8)},
        {"pixels": random_pixels(2)},
        {"pixels": random_pixels(3).astype(np.float32)},
        {"pixels": random_pixels(3)[..., :1]},
        {"features": np.zeros((3, 7), np.float32)},
        {"features": np.zeros((4, 8), np.float32)},
        {"features": np.zeros(8, np.float32)},
    ],
    ids=["size", "count", "type", "channels", "width", "rows", "axes"],
)
def test_golden_vectors_of_another_shape_are_refused(tiny: Tiny, models: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BackboneError, match=r"tiny\.npz: pixels .* and features .* do not fit the card \(16 pixels, 8"):
        verify_here(give_golden(tiny, models, **changes), device="cpu")


@pytest.mark.parametrize("key", ["pixels", "features"])
def test_golden_vectors_that_lack_an_array_are_refused(tiny: Tiny, models: Path, key: str) -> None:
    with pytest.raises(BackboneError, match=rf"tiny\.npz: cannot read golden vectors .*{key}.*; restore the file"):
        verify_here(give_golden(tiny, models, **{key: None}), device="cpu")


def test_missing_golden_vectors_are_refused_by_name(tiny: Tiny, models: Path) -> None:
    backbone = give_golden(tiny, models)
    (models / "tiny.npz").unlink()
    with pytest.raises(
        BackboneError, match=r"tiny\.npz: cannot read golden vectors .*restore the file, or remove it from the card"
    ):
        verify_here(backbone, device="cpu")


def test_golden_vectors_that_unpack_to_more_than_any_are_refused_unread(tiny: Tiny, models: Path) -> None:
    backbone = give_golden(tiny, models)
    with ZipFile(models / "tiny.npz", "w") as archive:
        archive.writestr("pixels.npy", b"")
        archive.getinfo("pixels.npy").file_size = 257 * 2**20
    with pytest.raises(BackboneError, match=r"tiny\.npz: cannot read golden vectors \(269484032 bytes, more than"):
        verify_here(backbone, device="cpu")


def test_golden_vectors_that_would_run_code_are_refused(tiny: Tiny, models: Path) -> None:
    objects = np.array([{"a": 1}, None, 3], dtype=object)
    with pytest.raises(BackboneError, match=r"tiny\.npz: cannot read golden vectors"):
        verify_here(give_golden(tiny, models, features=objects), device="cpu")


# ---- the command


def test_the_command_lists_its_checks_with_their_figures(tiny: Tiny, models: Path, featx: Callable[..., Ran]) -> None:
    give_golden(tiny, models)
    ran = featx("backbones", "verify", "tiny", "--models", models, "--device", "cpu", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["name"], ran.json["ok"], "fast" in ran.json) == ("tiny", True, False)
    assert [check["name"] for check in ran.json["checks"]] == [
        "golden vectors",
        "batch 1 against 3",
        "cut graph against whole",
    ]
    for check in ran.json["checks"]:
        assert check["ok"] is True
        assert check["output"] == "features"
        assert check["largest_difference"] <= check["largest_allowed"] == 1e-4
        assert check["lowest_cosine"] >= check["lowest_allowed"] == 0.99999


def test_the_command_fails_with_1_where_golden_vectors_are_wrong(
    tiny: Tiny, models: Path, featx: Callable[..., Ran]
) -> None:
    give_golden(tiny, models, features=tiny.expected(random_pixels(3)) + 1)
    ran = featx("backbones", "verify", "tiny", "--models", models, "--device", "cpu", "--json")
    assert (ran.code, ran.json["ok"]) == (1, False)
    assert [check["ok"] for check in ran.json["checks"]] == [False, True, True]


def test_the_command_shows_people_the_bundled_backbone(featx: Callable[..., Ran]) -> None:
    ran = featx("backbones", "verify", BUNDLED, "--device", "cpu")
    assert ran.code == 0
    for word in ("golden vectors", "batch 1 against", "cut graph against whole"):
        assert word in " ".join(ran.out.split())


def test_the_command_refuses_missing_golden_vectors_in_one_line(
    tiny: Tiny, models: Path, featx: Callable[..., Ran]
) -> None:
    give_golden(tiny, models)
    (models / "tiny.npz").unlink()
    ran = featx("backbones", "verify", "tiny", "--models", models, "--device", "cpu", "--json")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "tiny.npz" in ran.err


def test_the_command_refuses_an_unknown_name_with_the_nearest(featx: Callable[..., Ran]) -> None:
    ran = featx("backbones", "verify", "eficientnet-lite0")
    assert ran.code == 1
    assert f"did you mean {BUNDLED}" in ran.err


def test_maps_as_wide_as_they_are_high_and_deep_are_pooled_alike_on_both_sides(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.conv(graph.maps(), 8, 8)
    graph.add("Transpose", maps, into="tensor", perm=[0, 2, 3, 1])
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", maps))
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5, into="logits"), "tensor")
    assert all(check.ok for check in verify_here(describe(path, "tensor:mean"), device="cpu"))


# ---- what fast decoding does


def photographs(root: Path, *sizes: tuple[int, int]) -> ImageSet:
    """A folder of one JPEG of each size."""
    root.mkdir()
    for number, size in enumerate(sizes):
        draw_image(number, size=size).save(root / f"{number}.jpg", quality=90)
    return list_images(root)


def test_fast_decoding_is_measured_on_photographs_that_are_drawn(tiny: Tiny) -> None:
    effects = measure_fast(tiny.backbone, device="cpu")
    assert [(effect.part, effect.output, effect.images) for effect in effects] == [
        (2, "features", 3),
        (4, "features", 3),
    ]
    assert all(0.9 < effect.lowest_cosine <= effect.mean_cosine < 1 for effect in effects)
    assert all(0 < effect.pixel_difference < 20 for effect in effects)


def test_images_of_ones_own_are_told_by_the_part_at_which_they_are_read(tiny: Tiny, tmp_path: Path) -> None:
    images = photographs(tmp_path / "own", (30, 30), (36, 36), (160, 160), (80, 72), (20, 900), (71, 73))
    effects = measure_fast(tiny.backbone, images=images, device="cpu")
    assert [(effect.part, effect.images) for effect in effects] == [(1, 2), (2, 2), (4, 1), (8, 1)]
    assert (effects[0].lowest_cosine, effects[0].pixel_difference) == (1, 0)


def test_what_is_told_of_fast_decoding_is_what_extraction_would_give(tiny: Tiny, tmp_path: Path) -> None:
    images = photographs(tmp_path / "own", (100, 80), (90, 75))
    pixels = [
        np.stack([decode_image(images.read(row), tiny.backbone.card.input.pixels, decode=lane) for row in range(2)])
        for lane in DECODES
    ]
    exact, fast = map(tiny.expected, pixels)
    cosines = np.sum(exact * fast, axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(fast, axis=1)
    (effect,) = measure_fast(tiny.backbone, images=images, device="cpu")
    assert np.isclose(effect.mean_cosine, cosines.mean())
    assert np.isclose(effect.lowest_cosine, cosines.min())
    assert np.isclose(effect.pixel_difference, np.abs(pixels[0].astype(float) - pixels[1]).mean())


def test_an_image_that_fails_is_left_out_and_named(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = photographs(tmp_path / "own", (100, 80), (90, 75))
    (tmp_path / "own" / "0.jpg").write_bytes(b"no image")
    assert [effect.images for effect in measure_fast(tiny.backbone, images=images, device="cpu")] == [1]
    assert [record.message for record in caplog.records] == [
        "0.jpg is skipped: not an image in a known format (text; check where it comes from)"
    ]


def test_verify_tells_of_fast_decoding_when_asked(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    photographs(tmp_path / "own", (100, 80), (30, 30))
    command = ("backbones", "verify", "tiny", "--models", models, "--device", "cpu")
    asked = (*command, "--decode", "fast", "--images", tmp_path / "own")
    ran = featx(*asked, "--json")
    assert (ran.code, ran.json["ok"]) == (0, True)
    assert [(effect["part"], effect["images"]) for effect in ran.json["fast"]] == [(1, 1), (4, 1)]
    assert "read at 1/4" in featx(*asked).out


def test_images_without_fast_decoding_are_wrong_usage(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    ran = featx("backbones", "verify", "tiny", "--models", models, "--images", tmp_path)
    assert ran.code == 2
    assert "--images is an option of --decode fast; give both." in ran.err
