"""quantize: a backbone of fewer bits agrees with its original, tells how well, or is not written."""

import json
import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from featx.backbones import open_session, remember
from featx.backbones.store import Backbone, list_backbones, load_backbone
from featx.cache import describe_cache
from featx.convert import Quantization, quantize_backbone
from featx.convert.quantize.layers import correct_biases, find_layers
from featx.convert.quantize.ort_quantizer import (
    find_extremes,
    fold,
    run_model,
    to_integers,
)
from featx.convert.quantize.quantizing import LEAST_AGREEMENT
from featx.convert.quantize.sample import draw_sample
from featx.convert.quantize.tries import agreement, features_on_cpu
from featx.convert.verifying import verify_here
from featx.errors import (
    BackboneError,
    DeviceError,
    ImageSetError,
)
from featx.extract import extract_features
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.conftest import Ran, Tiny, draw_image, write_folder
from tests.support.cards import BUNDLED_NAMES
from tests.support.graphs import FLOAT, FLOAT16, INT64, MEAN, SIZE, STD, Graph, classifier, describe, random_pixels

BUNDLED = "efficientnet-lite0"
SIDES = (3, SIZE, SIZE)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Twenty-four small pictures."""
    return list_images(write_folder(tmp_path_factory.mktemp("images")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A small convolutional network whose feature is its global average."""
    described = describe(classifier(tmp_path_factory.mktemp("source"), made=32))
    remember(described)  # so that no cache of its features is preceded by a trial of the model
    return described


@pytest.fixture(scope="module")
def made(source: Backbone, images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Quantization:
    """The network in int8, in a folder that tests read but do not change."""
    quantized = quantize(source, images, tmp_path_factory.mktemp("int8"))
    remember(quantized.backbone)
    return quantized


@pytest.fixture(scope="module")
def halved(source: Backbone, images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Quantization:
    """The network in float16, in a folder that tests read but do not change."""
    return quantize(source, images, tmp_path_factory.mktemp("float16"), precision="float16")


def quantize(source: Backbone, images: ImageSet, into: Path, **said: Any) -> Quantization:
    """The same with few images."""
    return quantize_backbone(source, images, into=into, **({"count": 12} | said))


def hard_to_quantize(folder: Path) -> Backbone:
    """A network with a channel so large that eight bits hold nothing of the others, which alone count."""
    graph, large = Graph(), np.array([1e4, *[1.0] * 7], np.float32).reshape(8, 1, 1, 1)
    kernel = (graph.rng.normal(size=(8, 3, 3, 3)) * large).astype(np.float32)
    unread = graph.rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
    unread[:, 0] = 0
    maps = graph.add("Relu", graph.add("Conv", graph.image, graph.store(kernel), pads=[1] * 4))
    maps = graph.add("Relu", graph.add("Conv", maps, graph.store(unread), pads=[1] * 4))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", maps), into="pooled")
    return describe(graph.save(folder / "hard.onnx", graph.dense(pooled, 16, 5, into="logits")))


# ---- what comes out


def test_int8_agrees_with_float32_on_images_that_it_was_not_measured_with(
    source: Backbone, images: ImageSet, made: Quantization
) -> None:
    sample = draw_sample(images, source.card.input.pixels, count=12)
    found = agreement(features_on_cpu(made.backbone, sample.held_out), features_on_cpu(source, sample.held_out))
    about = made.backbone.card.quantized
    assert about is not None
    assert found.mean > LEAST_AGREEMENT
    assert (about.mean_cosine, about.lowest_cosine) == (found.mean, found.lowest)


def test_the_card_tells_what_the_backbone_was_made_of(source: Backbone, made: Quantization) -> None:
    card, about = made.backbone.card, made.backbone.card.quantized
    assert about is not None
    assert (card.name, card.precision, card.computes_in) == ("made-int8", "int8", "int8")
    assert (about.source, about.source_hash, about.images, about.held_out) == ("made", source.hash, 12, 6)
    assert about.speed > 0
    assert [one.method for one in made.tries if one.chosen] == [about.method]
    assert load_backbone("made-int8", folder=made.backbone.path.parent) == made.backbone


def test_the_way_that_agrees_best_is_chosen(made: Quantization) -> None:
    tries = made.tries
    assert len({one.method for one in tries}) == len(tries) >= 3
    assert [one.mean_cosine for one in tries if one.chosen] == [max(one.mean_cosine for one in tries)]


def test_pixels_are_prepared_as_for_the_original(source: Backbone, made: Quantization) -> None:
    found, card = made.backbone.card, source.card
    assert (found.input, found.feature, found.dim) == (card.input, card.feature, card.dim)


def test_a_byte_in_the_graph_is_a_pixel(made: Quantization) -> None:
    model = onnx.load(str(made.backbone.path))
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scale, zero = (stored[name].item() for name in first.input[1:3])
    assert (scale, zero) == (pytest.approx(1 / STD), MEAN)


def test_the_same_images_give_the_same_bytes(
    source: Backbone, images: ImageSet, made: Quantization, models: Path
) -> None:
    one, other = made.backbone, quantize(source, images, models).backbone
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.hash == other.hash


def test_a_quantized_backbone_verifies_and_a_changed_one_does_not(made: Quantization, models: Path) -> None:
    checks = verify_here(made.backbone, device="cpu")
    assert checks[0].name == "golden vectors"
    assert all(check.ok for check in checks)
    shutil.copytree(made.backbone.path.parent, models)
    changed = load_backbone(made.backbone.name, folder=models)
    golden = changed.path.with_name(changed.card.golden)
    with np.load(golden) as stored:
        np.savez(golden, pixels=stored["pixels"], features=stored["features"][::-1])
    assert not verify_here(changed, device="cpu")[0].ok


def test_a_cache_says_in_what_its_features_were_computed(
    source: Backbone, images: ImageSet, made: Quantization, tmp_path: Path
) -> None:
    for name, backbone in (("float32", source), ("int8", made.backbone)):
        extract_features(images, backbone, into=tmp_path / f"{name}.h5", settings=Settings(device="cpu"))
        assert describe_cache(tmp_path / f"{name}.h5").provenance["precision"] == name


FREE, FIXED = ("batch", *SIDES), (1, *SIDES)


@pytest.mark.parametrize(
    ("opset", "sides"),
    [
        pytest.param(11, FIXED, id="11-fixed"),
        pytest.param(18, FREE, id="18-free"),
        *(pytest.param(opset, FREE, id=f"{opset}-free", marks=pytest.mark.exhaustive) for opset in (11, 13)),
        *(pytest.param(opset, FIXED, id=f"{opset}-fixed", marks=pytest.mark.exhaustive) for opset in (13, 18)),
    ],
)
def test_graphs_of_any_opset_and_batch_are_quantized(
    tmp_path: Path, images: ImageSet, sides: tuple[Any, ...], opset: int
) -> None:
    graph = Graph(*sides, opset=opset)
    path = graph.save(tmp_path / "made.onnx", graph.dense(graph.pooled(32), 32, 5, into="logits"))
    made = quantize(describe(path), images, tmp_path / "models").backbone
    session, pixels = open_session(made, device="cpu"), random_pixels(5)
    assert agreement(session(pixels), features_on_cpu(describe(path), pixels)).mean > LEAST_AGREEMENT


def test_several_outputs_and_their_pooling_are_kept(tmp_path: Path, images: ImageSet) -> None:
    graph = Graph()
    maps = graph.add("Relu", graph.conv(graph.maps(8), 8, 24), into="maps")
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", maps), into="pooled")
    source = describe(
        graph.save(tmp_path / "made.onnx", graph.dense(pooled, 24, 5, into="logits")), "pooled", "maps:gem", "maps:max"
    )
    made = quantize(source, images, tmp_path / "models").backbone
    assert made.card.all_outputs == source.card.all_outputs
    assert open_session(made, device="cpu")(random_pixels(3)).shape == (3, 72)


def test_a_dense_network_with_its_bias_in_an_add_is_quantized(tmp_path: Path, images: ImageSet) -> None:
    graph = Graph()
    tokens = graph.add("Reshape", graph.image, graph.integers(-1, 12, 64))
    hidden = graph.add("Relu", graph.add("Add", graph.add("MatMul", tokens, graph.draw(64, 32)), graph.draw(32)))
    pooled = graph.add("ReduceMean", hidden, into="pooled", axes=[1], keepdims=0)
    path = graph.save(tmp_path / "made.onnx", graph.dense(pooled, 32, 5, into="logits"))
    made = quantize(describe(path, "pooled"), images, tmp_path / "models").backbone
    assert made.card.quantized is not None
    assert made.card.quantized.mean_cosine > LEAST_AGREEMENT


def test_what_works_out_a_shape_is_not_rounded(tmp_path: Path, images: ImageSet) -> None:
    graph = Graph()
    maps = graph.maps(32)
    third, three, little = (graph.store(np.float32(number)) for number in (1 / 3, 3, 0.01))
    sides = graph.add("Mul", graph.add("Cast", graph.add("Shape", maps), to=FLOAT), third)
    sides = graph.add("Floor", graph.add("Add", graph.add("Mul", sides, three), little))
    rounded = graph.add("Cast", sides, to=INT64)
    again = graph.add("Relu", graph.conv(graph.add("Reshape", maps, rounded), 32, 32))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", again), into="pooled")
    path = graph.save(tmp_path / "made.onnx", graph.dense(pooled, 32, 5, into="logits"))
    made = quantize(describe(path, "pooled"), images, tmp_path / "models").backbone
    assert open_session(made, device="cpu")(random_pixels(7)).shape == (7, 32)


def test_attention_is_tried_with_layers_alone(images: ImageSet, tmp_path: Path) -> None:
    graph = Graph()
    tokens = graph.add("Reshape", graph.image, graph.integers(-1, 12, 64))
    keys = graph.add("Transpose", graph.add("MatMul", tokens, graph.draw(64, 64)), perm=[0, 2, 1])
    weights = graph.add("Softmax", graph.add("MatMul", tokens, keys), axis=-1)
    mixed = graph.add("Add", tokens, graph.add("MatMul", weights, tokens))
    pooled = graph.add("ReduceMean", mixed, into="pooled", axes=[1], keepdims=0)
    path = graph.save(tmp_path / "made.onnx", graph.dense(pooled, 64, 5, into="logits"))
    made = quantize(describe(path, "pooled"), images, tmp_path / "models", force=True)
    assert [one.method for one in made.tries][-1].endswith("layers alone")


def test_biases_are_corrected_until_every_channel_has_its_mean(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.add("Relu", graph.conv(graph.maps(8), 8, 24))
    path = graph.save(tmp_path / "made.onnx", graph.conv(maps, 24, 16, into="end"))
    images = np.random.default_rng(0).normal(size=(8, *SIDES)).astype(np.float32)
    model = fold(onnx.load(str(path)), tmp_path / "folded.onnx")
    ranges = find_extremes(tmp_path / "folded.onnx", images)
    # a third of what is inside is cut off: an error that does not average out
    ranges = {name: (low, high) if name == "end" else (low / 1.5, high / 1.5) for name, (low, high) in ranges.items()}
    layers = find_layers(model, SIDES)
    rough = to_integers(model, ranges, without=[], layers_alone=False)
    corrected = to_integers(correct_biases(model, rough, layers, images), ranges, without=[], layers_alone=False)
    wanted, before, after = (run_model(one, images)[0] for one in (model, rough, corrected))

    def error(found: NDArray[np.float32]) -> float:
        return float(np.abs(found.mean(axis=(0, 2, 3)) - wanted.mean(axis=(0, 2, 3))).mean())

    assert error(after) < error(before) / 3


@pytest.mark.exhaustive
def test_the_bundled_backbone_loses_almost_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(18):
        draw_image(seed, size=(300, 260), colour=seed % 3).save(folder / f"{seed}.png")
    made = quantize(load_backbone(BUNDLED), list_images(folder), tmp_path / "models")
    about = made.backbone.card.quantized
    assert about is not None
    assert about.mean_cosine > LEAST_AGREEMENT
    assert made.backbone.path.stat().st_size < load_backbone(BUNDLED).path.stat().st_size / 4


# ---- float16


def test_float16_agrees_and_takes_half_the_bytes(halved: Quantization) -> None:
    made = halved.backbone
    about = made.card.quantized
    assert about is not None
    assert about.mean_cosine > 0.9999
    assert (made.name, made.card.computes_in, made.card.input.dtype) == ("made-float16", "float16", "float32")
    assert {tensor.data_type for tensor in onnx.load(str(made.path)).graph.initializer} == {FLOAT16}
    assert all(check.ok for check in verify_here(made, device="cpu"))


def test_numbers_beyond_float16_are_refused_by_their_tensor(tmp_path: Path, images: ImageSet) -> None:
    graph = Graph()
    large = graph.add("Mul", graph.maps(8), graph.store(np.float32(1e6)), into="large")
    small = graph.add("Mul", large, graph.store(np.float32(1e-6)))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", small), into="pooled")
    source = describe(graph.save(tmp_path / "made.onnx", graph.dense(pooled, 8, 5, into="logits")))
    with pytest.raises(BackboneError, match=r"made: tensor '.*' reaches .* float16 ends at 65504.*--precision int8"):
        quantize(source, images, tmp_path / "models", precision="float16", force=True)


# ---- what is refused


def test_bad_agreement_is_refused_and_nothing_written(tmp_path: Path, images: ImageSet, models: Path) -> None:
    with pytest.raises(
        BackboneError, match=rf"made: nothing was written, .* cosine of 0\.\d+ on 6 .*below {LEAST_AGREEMENT}.*--force"
    ):
        quantize(hard_to_quantize(tmp_path), images, models)
    assert not models.exists()


def test_bad_agreement_is_written_where_one_insists(tmp_path: Path, images: ImageSet, models: Path) -> None:
    about = quantize(hard_to_quantize(tmp_path), images, models, force=True).backbone.card.quantized
    assert about is not None
    assert about.mean_cosine < LEAST_AGREEMENT


@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_what_has_fewer_bits_already_is_refused(
    made: Quantization, halved: Quantization, images: ImageSet, models: Path, precision: str
) -> None:
    backbone = (made if precision == "int8" else halved).backbone
    with pytest.raises(
        BackboneError, match=f"made-{precision}: already computes in {precision}; quantise the float32 model"
    ):
        quantize(backbone, images, models)


def test_a_quantized_model_of_another_maker_is_told_from_its_graph(
    tmp_path: Path, images: ImageSet, made: Quantization
) -> None:
    found = describe(made.backbone.path, "pooled")
    assert found.card.computes_in == "int8"
    with pytest.raises(BackboneError, match="already computes in int8"):
        quantize(found, images, tmp_path / "models", name="again")


def test_features_that_depend_on_their_neighbours_are_refused(source: Backbone, images: ImageSet, models: Path) -> None:
    with pytest.raises(BackboneError, match="made: its features depend on the other images of a batch"):
        quantize(replace(source, card=replace(source.card, batch=1)), images, models)


def test_a_model_without_layers_is_refused(tmp_path: Path, images: ImageSet) -> None:
    graph = Graph()
    graph.add("Flatten", graph.add("GlobalAveragePool", graph.image), into="pooled")
    source = describe(graph.save(tmp_path / "made.onnx", "pooled"), "pooled")
    with pytest.raises(BackboneError, match=r"made\.onnx: has no convolution or dense layer to quantise"):
        quantize(source, images, tmp_path / "models")


def test_a_name_that_is_taken_is_refused_unless_one_overwrites(
    source: Backbone, images: ImageSet, made: Quantization, models: Path
) -> None:
    shutil.copytree(made.backbone.path.parent, models)
    with pytest.raises(BackboneError, match=r"'made-int8' already exists; .*--overwrite"):
        quantize(source, images, models)
    quantize(source, images, models, overwrite=True)
    with pytest.raises(BackboneError, match=f"'{BUNDLED}' is the name of a bundled backbone"):
        quantize(source, images, models, name=BUNDLED)
    assert {"made-int8"} == {backbone.name for backbone in list_backbones(models)} - BUNDLED_NAMES


# ---- the images


def test_fewer_images_than_asked_for_are_told(
    source: Backbone, images: ImageSet, made: Quantization, models: Path
) -> None:
    told = "24 different images, held-out ones included, instead of the 192 asked for"
    assert told not in made.notes
    assert told in quantize(source, images, models, count=128).notes


def test_images_that_cannot_be_read_are_told_and_left_out(source: Backbone, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", (12,))
    (folder / "class0" / "0001.png").write_bytes(b"no picture")
    made = quantize(source, list_images(folder), tmp_path / "models", count=8)
    assert made.notes[0].startswith("1 images skipped, the first: class0/0001.png: not an image in a known format")
    assert made.backbone.card.quantized is not None
    assert made.backbone.card.quantized.images + made.backbone.card.quantized.held_out == 11


def test_no_readable_image_is_refused_by_the_first(source: Backbone, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", (4,))
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(ImageSetError, match=r"0 different images can be read .* 3; class0/0000\.png: not an image"):
        quantize(source, list_images(folder), tmp_path / "models")


def test_no_image_is_both_measured_with_and_held_out(source: Backbone, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", (6,))
    for path in sorted(folder.rglob("*.png")):
        shutil.copy(path, path.with_name(f"twin-{path.name}"))
    sample = draw_sample(list_images(folder), source.card.input.pixels, count=8)
    both = np.concatenate([sample.calibration, sample.held_out])
    assert len(np.unique(both.reshape(len(both), -1), axis=0)) == len(both) == 6


# ---- the command


def test_the_command_writes_a_backbone_and_prints_one_document(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, make_folder: Callable[..., Path]
) -> None:
    given = ("tiny", "--images", make_folder(), "--models", models, "--count", 12)
    ran = featx("backbones", "quantize", *given, "--json")
    assert ran.code == 0
    assert all(line.startswith("featx: int8 is ") for line in ran.err.splitlines())
    assert ran.json["quantized"]["source"] == "tiny"
    assert set(ran.json["tries"][0]) == {"method", "mean_cosine", "lowest_cosine", "chosen"}
    listed = featx("backbones", "--models", models).out
    assert [line.split(", ")[2] for line in listed.splitlines() if line.startswith("tiny")] == ["float32", "int8"]
    shown = json.loads(featx("backbones", "show", "tiny-int8", "--models", models, "--json").out)
    assert {**shown, "tries": ran.json["tries"], "notes": ran.json["notes"]} == ran.json


def test_the_command_tells_speed_and_agreement_in_a_line(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, make_folder: Callable[..., Path]
) -> None:
    ran = featx("backbones", "quantize", "tiny", "--images", make_folder(), "--models", models, "--name", "fast")
    assert ran.code == 0
    assert "fast.toml: backbone fast, " in ran.out
    assert " times as fast as tiny on " in ran.out
    assert ran.err.startswith("featx: 24 different images, held-out ones included, instead of the 192 asked for\n")


def test_a_library_that_lacks_something_is_told(
    source: Backbone, images: ImageSet, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(DeviceError, match=r"onnxruntime\.quantization cannot be imported .*; install what it lacks"):
        quantize(source, images, models)


@pytest.mark.exhaustive
def test_the_folder_of_cards_may_be_yet_to_be_made(
    featx: Callable[..., Ran], make_folder: Callable[..., Path], models: Path
) -> None:
    ran = featx(
        "backbones", "quantize", BUNDLED, "--images", make_folder(), "--models", models, "--count", 3, "--force"
    )
    assert (ran.code, (models / f"{BUNDLED}-int8.toml").is_file()) == (0, True)


def test_the_library_leaves_no_logging_behind(source: Backbone, images: ImageSet, models: Path) -> None:
    before = (list(logging.root.handlers), list(logging.root.filters), logging.root.manager.disable)
    quantize(source, images, models)
    assert (list(logging.root.handlers), list(logging.root.filters), logging.root.manager.disable) == before
