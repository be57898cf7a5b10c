"""Randomising: the same graph with weights as before any training, whose features are finite and differ."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from featx.backbones import Backbone, inspect_model, load_model, open_session, view_model
from featx.convert import add_backbone, load_backbone, randomize_backbone
from featx.convert.adding import Description
from featx.convert.preprocessing import Preprocessing
from featx.convert.randomize.roles import Distribution, find_distributions
from featx.errors import BackboneError
from featx.extract import FeatureExtractor
from tests.conftest import Ran, Tiny, write_folder
from tests.support.cards import with_keys
from tests.support.graphs import FIXTURES, MEAN, SIZE, STD, Graph, classifier, describe, random_pixels
from tests.support.sizes import shortened

BUNDLED = "efficientnet-lite0"
Stored = Mapping[str, NDArray[Any]]


def stored(path: Path) -> Stored:
    """Name -> the stored tensors of a model."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}


def distributions(model: ModelProto, *sides: int) -> dict[str, Distribution]:
    """How each tensor of this model is drawn."""
    return find_distributions(view_model(model, "image", shape=(1, *(sides or (3, SIZE, SIZE)))))


def spread(backbone: Backbone) -> float:
    """The share of the features that differ between drawn images, if all are finite."""
    features = open_session(backbone, device="cpu")(random_pixels(8, backbone.card.input.pixels.size))
    assert np.isfinite(features).all()
    return float((features.std(axis=0) > 0).mean())


@pytest.fixture
def added(tmp_path: Path, models: Path) -> Backbone:
    """A small trained classifier, in the folder of cards."""
    said = Description(
        name="mine", pixels=Preprocessing(mean=(MEAN,) * 3, std=(STD,) * 3), licence="MIT", reference="90 %"
    )
    return add_backbone(classifier(tmp_path), said, into=models).backbone


# ---- what is drawn


def test_weights_are_drawn_by_their_fan_in_and_biases_are_zero(added: Backbone, models: Path) -> None:
    before = stored(added.path)
    after = stored(randomize_backbone(added, into=models).path)
    assert before.keys() == after.keys()
    for name, values in after.items():
        assert (values.shape, values.dtype) == (before[name].shape, before[name].dtype)
        assert not np.array_equal(values, before[name])
        if values.ndim == 1:
            assert not values.any()


@pytest.mark.parametrize(("operator", "gain"), [("Relu", 2.0), ("Clip", 2.0), ("Sigmoid", 1.0), ("", 1.0)])
def test_the_variance_of_a_convolution_is_two_before_a_rectifier_and_else_one_over_its_fan_in(
    operator: str, gain: float
) -> None:
    graph = Graph()
    maps = graph.conv(graph.image, 3, 64)
    ends = graph.add(operator, maps) if operator else maps
    model = graph.model(graph.add("GlobalAveragePool", ends))
    weight = model.graph.node[0].input[1]
    assert distributions(model)[weight].deviation == pytest.approx((gain / 27) ** 0.5)


def test_a_layer_that_follows_a_gate_of_its_own_output_counts_as_rectified() -> None:
    graph = Graph()
    maps = graph.conv(graph.image, 3, 4)
    swish = graph.add("Mul", maps, graph.add("Sigmoid", maps))
    model = graph.model(graph.add("GlobalAveragePool", swish))
    assert distributions(model)[model.graph.node[0].input[1]].deviation == pytest.approx((2 / 27) ** 0.5)


@pytest.mark.parametrize(("transposed", "read"), [(0, 8), (1, 8)])
def test_the_fan_in_of_a_dense_layer_does_not_depend_on_how_its_weights_lie(transposed: int, read: int) -> None:
    graph = Graph()
    weights = graph.draw(*((5, 8) if transposed else (8, 5)), name="dense")
    model = graph.model(graph.add("Gemm", graph.pooled(8), weights, transB=transposed))
    assert distributions(model)["dense"].deviation == pytest.approx(read**-0.5)


def test_the_weights_of_a_product_are_found_behind_a_transposition() -> None:
    graph = Graph()
    weights = graph.add("Transpose", graph.draw(5, 8, name="dense"), perm=[1, 0])
    shift = graph.store(np.arange(5, dtype=np.float32), "shift")
    model = graph.model(graph.add("Add", graph.add("MatMul", graph.pooled(8), weights), shift))
    found = distributions(model)
    assert found["dense"].deviation == pytest.approx(8**-0.5)
    assert found["shift"] == Distribution(0.0)


def test_a_batch_norm_changes_nothing_and_a_folded_one_neither() -> None:
    graph = Graph()
    maps = graph.conv(graph.image, 3, 4)
    numbers = [graph.store(np.arange(1, 5, dtype=np.float32) + place, name) for place, name in enumerate("abcd")]
    normed = graph.add("BatchNormalization", maps, *numbers)
    scale = graph.store(np.arange(4, dtype=np.float32).reshape(4, 1, 1), "scale")
    shift = graph.store(np.arange(4, dtype=np.float32).reshape(4, 1, 1), "shift")
    model = graph.model(graph.add("GlobalAveragePool", graph.add("Add", graph.add("Mul", normed, scale), shift)))
    found = distributions(model)
    assert {name: found[name] for name in [*"abcd", "scale", "shift"]} == {
        name: Distribution(mean) for name, mean in {"a": 1, "b": 0, "c": 0, "d": 1, "scale": 1, "shift": 0}.items()
    }


def test_pixels_are_normalised_as_before_and_single_numbers_and_masks_stay() -> None:
    graph = Graph()
    kept = [graph.store(np.array([1, 2, 3], np.float32).reshape(3, 1, 1), name) for name in ("mean", "std")]
    maps = graph.conv(graph.add("Div", graph.add("Sub", graph.image, kept[0]), kept[1]), 3, 4)
    mask = graph.store(np.array([[0, -100] * 8] * 16, np.float32), "mask")
    half = graph.store(np.array(0.5, np.float32), "half")
    ends = graph.add("Mul", graph.add("Add", maps, mask), half)
    found = distributions(graph.model(graph.add("GlobalAveragePool", ends)))
    assert not {"mean", "std", "mask", "half"} & found.keys()
    assert len(found) == 2


def test_embeddings_that_are_resized_and_joined_are_drawn_and_the_scales_stay() -> None:
    graph = Graph()
    patches = graph.add("Reshape", graph.conv(graph.image, 3, 4, kernel=4, stride=4), graph.integers(0, 4, -1))
    numbers = graph.rng.normal(size=(1, 4, 2, 2)).astype(np.float32)
    scales = graph.store(np.array([1, 1, 2, 2], np.float32), "scales")
    places = graph.add("Resize", graph.store(numbers, "places"), "", scales)
    rows = graph.add("Reshape", places, graph.integers(1, 4, 16))
    first = graph.store(numbers[..., 0, :1], "first")
    token = graph.store(numbers[..., 1, 1:], "token")
    tokens = graph.add("Concat", graph.add("Expand", token, graph.integers(1, 4, 1)), patches, axis=2)
    ends = graph.add("Add", tokens, graph.add("Concat", first, rows, axis=2))
    found = distributions(graph.model(graph.add("ReduceMean", ends, axes=[2])))
    assert {found[name] for name in ("places", "first", "token")} == {Distribution(0.0, 0.02)}
    assert "scales" not in found


def test_a_bias_of_two_classes_is_no_mask() -> None:
    graph = Graph()
    scores = graph.add("MatMul", graph.pooled(8), graph.draw(8, 2))
    model = graph.model(graph.add("Add", scores, graph.store(np.array([0.5, -0.5], np.float32), "shift")))
    assert distributions(model)["shift"] == Distribution(0.0)


@pytest.mark.parametrize("path", shortened(sorted(FIXTURES.glob("*-*-*.onnx")), most=6), ids=lambda path: path.stem)
def test_models_of_real_exporters_have_finite_features_that_differ_between_images(path: Path, models: Path) -> None:
    backbone = describe(path, size=inspect_model(path).input.size[0] or 32)
    assert spread(randomize_backbone(backbone, name="drawn", into=models)) > 0.4


def test_almost_all_features_of_a_deep_network_differ_between_images(models: Path) -> None:
    assert spread(randomize_backbone(load_backbone(BUNDLED), into=models)) > 0.95


def test_no_trained_number_is_left_in_a_transformer() -> None:
    path = FIXTURES / "vit-dynamo-free.onnx"
    model = load_model(path)
    name = inspect_model(path).input.name
    found = find_distributions(view_model(model, name, shape=(1, 3, 32, 32)))
    tables = {tensor.name for tensor in model.graph.initializer if tensor.data_type == 1 and np.prod(tensor.dims) > 1}
    assert tables == found.keys()
    assert {found[name] for name in ("cls_token", "pos_embed")} == {Distribution(0.0, 0.02)}


# ---- the new backbone


def test_the_card_is_that_of_a_baseline_with_its_origin_and_without_what_was_measured(
    added: Backbone, models: Path
) -> None:
    card = randomize_backbone(added, into=models).card
    assert (card.name, card.baseline, card.licence, card.reference, card.golden) == (
        *("random-mine", "random weights", "MIT", "", ""),
    )
    assert card.source == f"the graph of mine (sha256 {added.card.sha256[:12]}), its weights drawn with seed 0"
    assert (card.input, card.all_outputs, card.classifier) == (
        *(added.card.input, added.card.all_outputs, added.card.classifier),
    )


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_weights(added: Backbone, models: Path) -> None:
    first = randomize_backbone(added, into=models)
    again = randomize_backbone(added, into=models, name="again")
    other = randomize_backbone(added, into=models, seed=3)
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
    assert other.name == "random-mine-seed3"


def test_a_model_with_external_weights_keeps_them_external(tmp_path: Path, models: Path) -> None:
    graph = Graph()
    plain = graph.save(tmp_path / "plain.onnx", graph.dense(graph.pooled(8), 8, 4096, into="logits"))
    path = tmp_path / "external.onnx"
    onnx.save(onnx.load(str(plain)), str(path), save_as_external_data=True, location="external.onnx.data")
    drawn = randomize_backbone(describe(path, "pooled", "logits"), name="drawn", into=models)
    assert load_backbone("drawn", folder=models) == drawn
    assert drawn.card.data == "drawn.onnx.data"
    assert spread(drawn) > 0.4
    before, after = stored(path), stored(drawn.path)
    assert before.keys() == after.keys()
    assert not any(np.array_equal(before[name], after[name]) for name in before)
    inside = randomize_backbone(describe(plain, "pooled", "logits"), name="inside", into=models)
    assert not inside.card.data
    assert all(np.array_equal(values, after[name]) for name, values in stored(inside.path).items())


def test_a_name_that_is_taken_is_refused_unless_one_overwrites(added: Backbone, models: Path) -> None:
    randomize_backbone(added, into=models)
    with pytest.raises(BackboneError, match=r"'random-mine' already exists; .*--overwrite"):
        randomize_backbone(added, into=models)
    randomize_backbone(added, into=models, overwrite=True)


# ---- what is refused


@pytest.mark.parametrize("name", ["raw-pixels", "gradient-histogram"])
def test_a_baseline_is_refused(name: str, models: Path) -> None:
    with pytest.raises(BackboneError, match=f"{name}: is a baseline already .*; name a backbone with trained weights"):
        randomize_backbone(load_backbone(name), into=models)


def test_a_quantised_backbone_is_refused_and_its_source_is_named(added: Backbone, models: Path) -> None:
    about = {"source": "float", "source_hash": "0" * 64, "method": "minmax", "images": 2, "images_hash": "0" * 64}
    measured = {"held_out": 1, "mean_cosine": 1.0, "lowest_cosine": 1.0, "speed": 2.0, "measured_on": "here"}
    card = with_keys(added.card, precision="int8", quantized=about | measured)
    with pytest.raises(BackboneError, match=r"mine: is quantised; randomise the backbone .* made from, 'float'"):
        randomize_backbone(Backbone(card, added.path), into=models)


def test_a_model_without_layers_is_refused(tmp_path: Path, models: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "flat.onnx", graph.add("Flatten", graph.image, into="flat"))
    with pytest.raises(BackboneError, match="made: its graph has no layers with stored weights"):
        randomize_backbone(describe(path, "flat"), into=models)


def test_weights_that_the_graph_computes_are_refused(tmp_path: Path, models: Path) -> None:
    graph = Graph()
    weights = graph.add("Tanh", graph.draw(8, 5))
    path = graph.save(tmp_path / "computed.onnx", graph.add("MatMul", graph.pooled(8), weights, into="scores"))
    with pytest.raises(BackboneError, match=r"the weights of 'scores' \(MatMul\) are not stored as such"):
        randomize_backbone(describe(path, "pooled"), into=models)


def test_weights_of_a_kind_that_is_not_drawn_are_refused(tmp_path: Path, models: Path) -> None:
    graph = Graph()
    ends = graph.add("Einsum", graph.pooled(8), graph.draw(8, 5), equation="bi,io->bo", into="scores")
    path = graph.save(tmp_path / "einsum.onnx", ends)
    with pytest.raises(BackboneError, match=r"its weights in 'scores' \(Einsum\) cannot be drawn anew"):
        randomize_backbone(describe(path, "pooled"), into=models)


def test_a_negative_seed_is_refused(added: Backbone, models: Path) -> None:
    with pytest.raises(BackboneError, match="seed -1 should be 0 or above; choose another --seed"):
        randomize_backbone(added, seed=-1, into=models)


# ---- by name


def test_the_name_makes_the_backbone_once_and_says_so(
    added: Backbone, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_backbone("random:mine", folder=models)
    assert [record.getMessage() for record in caplog.records] == [
        f"made backbone random-mine, with weights of seed 0, in {models}"
    ]
    made = first.path.stat().st_mtime_ns
    assert load_backbone("random:mine", folder=models) == first == load_backbone("random-mine", folder=models)
    assert (first.path.stat().st_mtime_ns, len(caplog.records)) == (made, 1)
    assert load_backbone("random:mine:3", folder=models).name == "random-mine-seed3"


def test_two_that_make_it_at_the_same_time_get_the_same(added: Backbone, models: Path) -> None:
    found: list[Backbone] = []

    def _load() -> None:
        found.append(load_backbone("random:mine", folder=models))

    threads = [threading.Thread(target=_load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 4
    assert len({one.hash for one in found}) == 1


def test_a_backbone_of_that_name_with_another_origin_is_refused(
    added: Backbone, models: Path, make_tiny: Callable[..., Tiny]
) -> None:
    make_tiny(models, name="random-mine")
    with pytest.raises(
        BackboneError, match=r"random-mine\.toml: its source is .* remove it with `featx backbones remove"
    ):
        load_backbone("random:mine", folder=models)


@pytest.mark.parametrize("name", ["random:", "random::3", "random:mine:", "random:mine:x", "random:mine:-1"])
def test_a_name_of_another_form_is_refused(name: str, added: Backbone, models: Path) -> None:
    with pytest.raises(BackboneError, match=r"should be random:NAME or random:NAME:SEED|no backbone is called"):
        load_backbone(name, folder=models)


def test_an_unknown_source_is_named(models: Path, tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"no backbone is called 'tinny' .did you mean tiny"):
        load_backbone("random:tinny", folder=models)


def test_the_transformer_takes_the_name(added: Backbone, models: Path) -> None:
    extractor = FeatureExtractor("random:mine", models=models, device="cpu")
    assert extractor.fit_transform(random_pixels(3)).shape == (3, added.card.dim)


# ---- the commands


def test_the_command_makes_it_and_extract_takes_its_name(
    added: Backbone, models: Path, featx: Callable[..., Ran], tmp_path: Path
) -> None:
    made = featx("backbones", "randomize", "mine", "--seed", 2, "--models", models, "--json")
    assert made.json["name"] == "random-mine-seed2"
    shown = featx("backbones", "show", "random:mine:2", "--models", models, "--json")
    assert shown.json == made.json
    images = write_folder(tmp_path / "images", (3, 3))
    common = ["--models", models, "--device", "cpu", "--into", tmp_path / "a.h5"]
    ran = featx("extract", images, "--backbone", "random:mine:2", *common)
    assert ran.code == 0
    info = featx("cache", "info", tmp_path / "a.h5", "--json").json
    assert (info["card"]["name"], info["card"]["baseline"]) == ("random-mine-seed2", "random weights")
    assert json.loads(json.dumps(info["card"]["source"])) == made.json["source"]
