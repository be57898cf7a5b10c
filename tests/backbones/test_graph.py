"""graph and session: a backbone in, features out, equal to what numpy makes of the same pixels."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from featx.backbones import FeatureSession, diagnose, open_session
from featx.backbones.graph.front import PIXEL_INPUT
from featx.backbones.graph.surgery import prepare_graph, smallest_model
from featx.backbones.session.nvidia import cuda_problem, gpus
from featx.backbones.store import Backbone, load_backbone
from featx.errors import (
    BackboneError,
    DeviceError,
    InferenceError,
)
from tests.conftest import Tiny
from tests.support.cards import with_card
from tests.support.sizes import shortened

LAYOUTS = ("NCHW", "NHWC")


def random_pixels(count: int, size: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Noise, as the decoder would hand it over."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def prepared(backbone: Backbone) -> ModelProto:
    """The graph that a session is given."""
    model = ModelProto()
    model.ParseFromString(prepare_graph(backbone).model)
    return model


def rewrite(backbone: Backbone, change: Callable[[ModelProto], object]) -> Backbone:
    """The same card, its model changed."""
    model = onnx.load(str(backbone.path))
    change(model)
    backbone.path.write_bytes(model.SerializeToString())
    return backbone


# ---- features


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_those_of_numpy(models: Path, make_tiny: Callable[..., Tiny], layout: str) -> None:
    tiny, pixels = make_tiny(models, layout=layout), random_pixels(5)
    np.testing.assert_allclose(open_session(tiny.backbone, device="cpu")(pixels), tiny.expected(pixels), atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_normalisation_is_the_one_on_the_card(models: Path, make_tiny: Callable[..., Tiny], layout: str) -> None:
    tiny = make_tiny(models, layout=layout)
    other = replace(tiny, backbone=with_card(tiny.backbone, mean=(0.0, 50.0, 255.0), std=(1.0, 2.0, 300.0)))
    pixels = random_pixels(3)
    np.testing.assert_allclose(open_session(other.backbone, device="cpu")(pixels), other.expected(pixels), rtol=1e-4)


def test_both_layouts_give_the_same_features(models: Path, make_tiny: Callable[..., Tiny]) -> None:
    first, second = (
        open_session(make_tiny(models, name=layout, layout=layout).backbone, device="cpu")(random_pixels(3))
        for layout in LAYOUTS
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_any_number_of_images_goes_through_one_session(tiny: Tiny, count: int) -> None:
    features = open_session(tiny.backbone, device="cpu")(random_pixels(count))
    assert features.shape == (count, tiny.backbone.card.dim)


def test_features_are_float32(tiny: Tiny) -> None:
    assert open_session(tiny.backbone, device="cpu")(random_pixels(1)).dtype == np.float32


@cache
def bundled_session() -> FeatureSession:
    """The real backbone, opened once."""
    return open_session(load_backbone("efficientnet-lite0"), device="cpu")


@pytest.mark.parametrize("place", shortened([0, 3, 1, 2], most=2))
def test_a_feature_is_the_same_to_the_bit_whatever_its_neighbours_and_place(place: int) -> None:
    size = load_backbone("efficientnet-lite0").card.input.pixels.size
    alone, crowd = random_pixels(4, size, seed=1), random_pixels(4, size, seed=2)
    crowd[place] = alone[0]
    assert np.array_equal(bundled_session()(crowd)[place], bundled_session()(alone)[0])


# ---- the graph


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_graph_takes_bytes_and_ends_at_the_feature(models: Path, make_tiny: Callable[..., Tiny], layout: str) -> None:
    graph = prepared(make_tiny(models, layout=layout).backbone).graph
    assert [(value.name, value.type.tensor_type.elem_type) for value in graph.input] == [
        (PIXEL_INPUT, TensorProto.UINT8)
    ]
    assert len(graph.output) == 1
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_what_lies_behind_the_feature_is_dropped(tiny: Tiny) -> None:
    graph = prepared(tiny.backbone).graph
    assert "logits" not in {name for node in graph.node for name in node.output}
    assert "classifier" not in {tensor.name for tensor in graph.initializer}


def test_an_earlier_tensor_can_be_the_feature(tiny: Tiny) -> None:
    earlier, pixels = with_card(tiny.backbone, feature="pooled", dim=3), random_pixels(2)
    expected = (pixels.mean(axis=(1, 2)) - earlier.card.input.pixels.mean) / earlier.card.input.pixels.std
    np.testing.assert_allclose(open_session(earlier, device="cpu")(pixels), expected, atol=1e-5)
    assert "matrix" not in {tensor.name for tensor in prepared(earlier).graph.initializer}


def test_the_model_file_is_left_alone(tiny: Tiny) -> None:
    before = tiny.backbone.path.read_bytes()
    prepare_graph(tiny.backbone)
    assert tiny.backbone.path.read_bytes() == before


def branch(name: str) -> onnx.GraphProto:
    """A branch that reads a weight of the graph around it."""
    end = helper.make_tensor_value_info("added", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Add", ["pooled", "shift"], ["added"])], name, [], [end])


def put_a_branch_in(model: ModelProto) -> None:
    """Add `shift` to what is pooled, inside an If."""
    weights = {"shift": np.array([1, 2, 3], np.float32), "always": np.array(True)}
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items())
    choice = helper.make_node(
        "If", ["always"], ["shifted"], then_branch=branch("then"), else_branch=branch("otherwise")
    )
    model.graph.node[1].input[0] = "shifted"
    model.graph.node.insert(1, choice)


def test_weights_that_only_a_branch_reads_are_kept(tiny: Tiny) -> None:
    backbone, pixels = rewrite(tiny.backbone, put_a_branch_in), random_pixels(2)
    expected = tiny.expected(pixels) + np.array([1, 2, 3], np.float32) @ tiny.matrix
    np.testing.assert_allclose(open_session(backbone, device="cpu")(pixels), expected, atol=1e-5)


# ---- a card and a model that do not fit


def test_an_unknown_feature_is_refused_with_what_there_is(tiny: Tiny) -> None:
    with pytest.raises(
        BackboneError,
        match=r"no tensor 'pool5' \(did you mean pooled\?\); its outputs are logits; correct its",
    ):
        prepare_graph(with_card(tiny.backbone, feature="pool5"))


def test_the_input_cannot_be_the_feature(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"tiny\.onnx: no tensor 'image'; its outputs are logits"):
        prepare_graph(with_card(tiny.backbone, feature="image"))


def test_a_wrong_input_is_refused_with_the_right_one(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"tiny\.onnx: inputs are \['image'\] but the card says 'data'; correct"):
        prepare_graph(with_card(tiny.backbone, input="data"))


def read_a_second_input(model: ModelProto) -> None:
    """Let the feature depend on something that is no image."""
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 3]))
    model.graph.node[1].input[0] = "masked"
    model.graph.node.insert(1, helper.make_node("Mul", ["pooled", "mask"], ["masked"]))


def test_a_feature_that_needs_a_second_input_is_refused_with_both(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"tiny\.onnx: inputs \['mask'\] are needed for 'features'.*'image'"):
        prepare_graph(rewrite(tiny.backbone, read_a_second_input))


def test_a_second_input_that_the_feature_does_not_need_is_left_out(tiny: Tiny) -> None:
    mask, pixels = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]), random_pixels(2)
    backbone = rewrite(tiny.backbone, lambda model: model.graph.input.append(mask))
    np.testing.assert_allclose(open_session(backbone, device="cpu")(pixels), tiny.expected(pixels), atol=1e-5)


@pytest.mark.parametrize("change", [{"size": 8}, {"layout": "NHWC"}], ids=["size", "layout"])
def test_a_card_of_another_size_or_layout_than_the_model_is_refused(tiny: Tiny, change: dict[str, Any]) -> None:
    with pytest.raises(BackboneError, match=r"tiny\.onnx: .*image"):
        prepare_graph(with_card(tiny.backbone, **change))


def free_sides(model: ModelProto) -> None:
    """Let the model take pictures of any height and width."""
    for place in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = "side"


def test_a_model_of_any_size_takes_that_of_the_card(tiny: Tiny) -> None:
    backbone, pixels = with_card(rewrite(tiny.backbone, free_sides), size=8), random_pixels(2, size=8)
    np.testing.assert_allclose(open_session(backbone, device="cpu")(pixels), tiny.expected(pixels), atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"no model\n", bytes(100), b"<html></html>"])
def test_what_is_no_onnx_file_is_refused_by_name(tiny: Tiny, content: bytes) -> None:
    tiny.backbone.path.write_bytes(content)
    with pytest.raises(BackboneError, match=r"tiny\.onnx: "):
        prepare_graph(tiny.backbone)


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.9])
def test_an_onnx_file_cut_short_is_refused_by_name(tiny: Tiny, kept: float) -> None:
    data = tiny.backbone.path.read_bytes()
    tiny.backbone.path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BackboneError, match=r"tiny\.onnx: not a readable ONNX model .*; export it again"):
        prepare_graph(tiny.backbone)


def test_a_missing_model_is_refused_by_name(tiny: Tiny) -> None:
    tiny.backbone.path.unlink()
    with pytest.raises(BackboneError, match=r"tiny\.onnx: no such model"):
        prepare_graph(tiny.backbone)


def without_opset(model: ModelProto) -> None:
    """As if the file were cut short just behind the graph."""
    del model.opset_import[:]


def with_an_unknown_operator(model: ModelProto) -> None:
    """As if the model were of a later ONNX, or of another runtime."""
    model.graph.node[0].op_type = "NoSuchOperator"


@pytest.mark.parametrize("change", [without_opset, with_an_unknown_operator])
def test_a_model_that_the_runtime_refuses_is_named_and_the_device_is_not_blamed(
    tiny: Tiny, change: Callable[[ModelProto], object]
) -> None:
    with pytest.raises(BackboneError, match="tiny"):
        open_session(rewrite(tiny.backbone, change), device="cpu")


def test_a_wrong_dimension_is_told_with_both(tiny: Tiny) -> None:
    session = open_session(with_card(tiny.backbone, dim=5), device="cpu")
    with pytest.raises(
        InferenceError,
        match=r"'features' of tiny has shape \(2, 8\) but its card says \(2, 5\); correct the card",
    ):
        session(random_pixels(2))


def keep_dims(model: ModelProto) -> None:
    """Let the pool leave two axes of length 1."""
    model.graph.node[0].attribute[1].CopyFrom(helper.make_attribute("keepdims", 1))


def test_a_pooled_map_of_one_place_is_a_vector(tiny: Tiny) -> None:
    pixels, card = random_pixels(2), tiny.backbone.card
    rewrite(tiny.backbone, keep_dims)
    features = open_session(with_card(tiny.backbone, feature="pooled", dim=3), device="cpu")(pixels)
    np.testing.assert_allclose(
        features, (pixels.mean(axis=(1, 2)) - card.input.pixels.mean) / card.input.pixels.std, atol=1e-5
    )


@pytest.mark.parametrize(
    "pixels", [random_pixels(1, size=8), random_pixels(1).astype(np.float32)], ids=["size", "float"]
)
def test_wrong_pixels_are_an_error_that_names_the_backbone(tiny: Tiny, pixels: NDArray[Any]) -> None:
    with pytest.raises(InferenceError, match="backbone 'tiny' failed on 1 images "):
        open_session(tiny.backbone, device="cpu")(pixels)


# ---- devices


def test_a_session_on_the_cpu_says_so(tiny: Tiny) -> None:
    assert open_session(tiny.backbone, device="cpu").provider == "CPUExecutionProvider"


def test_threads_do_not_change_a_feature_of_the_tiny_backbone(tiny: Tiny) -> None:
    one, two = (open_session(tiny.backbone, device="cpu", threads=count)(random_pixels(4)) for count in (1, 2))
    assert np.array_equal(one, two)


@pytest.fixture
def no_cuda() -> str:
    """What keeps CUDA from this machine; skips where nothing does."""
    problem = cuda_problem()
    if problem is None:
        pytest.skip("CUDA is really there")
    return problem


def test_cuda_where_there_is_none_is_refused_with_what_is_missing(tiny: Tiny, no_cuda: str) -> None:
    with pytest.raises(DeviceError, match="--device cuda was asked for, but ") as caught:
        open_session(tiny.backbone, device="cuda")
    assert str(caught.value).endswith(no_cuda)


def test_what_is_missing_for_cuda_is_told_with_the_next_step(no_cuda: str) -> None:
    if gpus() or "nvidia-smi" not in no_cuda:
        assert "pip install" in no_cuda
        assert "featx[gpu]" in no_cuda
    else:
        assert "install the NVIDIA driver, or use --device cpu" in no_cuda


@pytest.mark.usefixtures("no_cuda")
def test_auto_without_cuda_takes_the_cpu(tiny: Tiny) -> None:
    assert open_session(tiny.backbone).provider == "CPUExecutionProvider"


@pytest.mark.usefixtures("no_cuda")
def test_the_diagnosis_lists_only_what_a_session_really_gets() -> None:
    assert "CUDAExecutionProvider" not in diagnose().providers


def test_the_smallest_graph_is_a_valid_model() -> None:
    onnx.checker.check_model(smallest_model(), full_check=True)
