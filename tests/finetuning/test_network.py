"""Tails of real networks in torch: what they compute, their gradients, and what is written back of them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from featx.backbones import Backbone, Cut, find_cut, list_cuts, load_backbone, open_session, write_model
from featx.backbones.graph.tail import plain_node
from featx.errors import BackboneError, FeatxError, FineTuningError
from featx.finetuning.network import read_network, write_network
from tests.support.graphs import (
    FIXTURES,
    FLOAT16,
    ZOO,
    Graph,
    assert_same,
    classifier,
    describe,
    random_pixels,
    rewrite,
)

torch = pytest.importorskip("torch", reason="the interpreter computes with torch, which is not installed")

EXPORTED = sorted(path.stem for path in FIXTURES.glob("*.onnx"))
LITE0, CUT = "efficientnet-lite0", "/_blocks.13/Add_output_0"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def exported(name: str) -> Backbone:
    return describe(FIXTURES / f"{name}.onnx", size=32)


def features_of(backbone: Backbone, pixels: Any) -> Any:
    return open_session(backbone.with_outputs(backbone.card.all_outputs[:1]), device="cpu", threads=1)(pixels)


def torch_features(backbone: Backbone, network: Any, pixels: Any) -> Any:
    from featx.finetuning.network.writing import maps_of, run_network

    return run_network(network, maps_of(backbone, network, pixels))


def assert_tails_compute_the_feature(backbone: Backbone, cuts: tuple[Cut, ...], *, images: int = 3) -> None:
    pixels = random_pixels(images, backbone.card.input.pixels.size)
    expected = features_of(backbone, pixels)
    for cut in cuts:
        assert_same(torch_features(backbone, read_network(backbone, cut.name), pixels), expected)


def change(network: Any) -> None:
    """Change every weight by some percent, as training might."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=generator))


def written(backbone: Backbone, network: Any, folder: Path) -> Backbone:
    """The backbone with the weights of the network, in another folder."""
    pixels = random_pixels(2, backbone.card.input.pixels.size)
    model = write_network(backbone, network, pixels=pixels)
    write_model(model, folder / "tuned.onnx", path=backbone.path)
    return replace(backbone, path=folder / "tuned.onnx")


@pytest.mark.parametrize(
    "name", ["encoder-script-free", "resnet-dynamo-fixed", "squeezenet-dynamo-free", "vit-script-free"]
)
def test_the_whole_of_each_architecture_computes_the_feature_of_onnx_runtime(name: str) -> None:
    backbone = exported(name)
    assert_tails_compute_the_feature(backbone, (find_cut(backbone, backbone.card.input.name),))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EXPORTED)
def test_every_tail_of_every_export_computes_the_feature_of_onnx_runtime(name: str) -> None:
    backbone = exported(name)
    assert_tails_compute_the_feature(backbone, list_cuts(backbone))


def test_the_tail_of_the_bundled_network_computes_its_feature() -> None:
    backbone = load_backbone(LITE0)
    network = read_network(backbone, CUT)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1487360
    pixels = random_pixels(2, 224)
    assert_same(torch_features(backbone, network, pixels), features_of(backbone, pixels))


@pytest.mark.exhaustive
def test_all_tails_of_the_bundled_network_compute_its_feature() -> None:
    backbone = load_backbone(LITE0)
    assert_tails_compute_the_feature(backbone, list_cuts(backbone))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name", ["bvlc_alexnet", "densenet121", "inception_v1", "resnet50", "shufflenet", "squeezenet"]
)
def test_architectures_of_the_onnx_zoo_are_understood(name: str) -> None:
    backbone = describe(ZOO / f"light_{name}.onnx", size=224)
    cuts = list_cuts(backbone)
    assert_tails_compute_the_feature(backbone, cuts[len(cuts) // 2 :][:1], images=1)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")  # of torch's exporter about itself, and of tracing
@pytest.mark.parametrize(
    "name",
    [
        *("test_byobnet", "test_convnext", "test_convnext2", "test_efficientnet", "test_efficientnet_gn"),
        *("test_efficientnet_ln", "test_mambaout", "test_nfnet", "test_resnet", "test_vit", "test_vit2"),
    ],
)
def test_small_networks_of_timm_are_understood_and_written_back(name: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm makes these networks, and is not installed", exc_type=ImportError)
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    size = model.default_cfg["input_size"][-1]
    torch.onnx.export(
        model,
        torch.zeros(2, 3, size, size),
        tmp_path / "model.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        dynamic_axes={"image": {0: "batch"}},
    )
    backbone = describe(tmp_path / "model.onnx", size=size)
    cuts = list_cuts(backbone)
    assert_tails_compute_the_feature(backbone, (cuts[0], *cuts[1::3]))
    network = read_network(backbone, cuts[len(cuts) // 2].name)
    change(network)
    written(backbone, network, tmp_path)


@pytest.mark.parametrize("name", ["resnet-script-free", "vit-script-free"])
def test_gradients_of_a_whole_network_are_those_of_finite_differences(name: str) -> None:
    backbone = exported(name)
    network = read_network(backbone, backbone.card.input.name).double()
    rng = np.random.default_rng(0)
    maps = torch.tensor(rng.normal(size=(2, 3, 32, 32)))
    share = torch.tensor(rng.normal(size=(2, backbone.card.dim)))

    def _loss() -> Any:
        return (network(maps) * share).sum()

    _loss().backward()
    for parameter in list(network.parameters())[:: max(1, len(list(network.parameters())) // 8)]:
        place = tuple(int(rng.integers(side)) for side in parameter.shape)
        with torch.no_grad():
            step = 1e-6
            parameter[place] += step
            above = float(_loss())
            parameter[place] -= 2 * step
            difference = (above - float(_loss())) / (2 * step)
            parameter[place] += step
        assert difference == pytest.approx(float(parameter.grad[place]), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["resnet-script-free", "vit-dynamo-free", "external"])
def test_changed_weights_are_written_and_nothing_else(name: str, tmp_path: Path) -> None:
    backbone = exported(name)
    network = read_network(backbone, list_cuts(backbone)[1].name)
    change(network)
    pixels = random_pixels(4, 32)
    tuned = written(backbone, network, tmp_path)
    assert_same(features_of(tuned, pixels), torch_features(backbone, network, pixels))
    assert np.abs(features_of(tuned, pixels) - features_of(backbone, pixels)).max() > 1e-3

    before = onnx.load(str(backbone.path), load_external_data=False)
    after: ModelProto = write_network(backbone, network, pixels=pixels)
    old = {tensor.name: tensor for tensor in before.graph.initializer}
    changed = {tensor.name for tensor in after.graph.initializer if tensor != old[tensor.name]}
    assert changed == set(network.initializers.values())
    for tensor in after.graph.initializer:
        tensor.CopyFrom(old[tensor.name])
    assert after.SerializeToString(deterministic=True) == before.SerializeToString(deterministic=True)


def test_weights_that_did_not_change_are_written_as_they_were(tmp_path: Path) -> None:
    backbone = exported("resnet-script-free")
    network = read_network(backbone, backbone.card.input.name)
    model = write_network(backbone, network, pixels=random_pixels(2, 32))
    assert model.SerializeToString(deterministic=True) == onnx.load(str(backbone.path)).SerializeToString(
        deterministic=True
    )


def test_weights_in_constant_nodes_are_written_where_they_are(tmp_path: Path) -> None:
    def _move(model: ModelProto) -> None:
        nodes = [helper.make_node("Constant", [], [one.name], value=one) for one in model.graph.initializer]
        kept = [*nodes, *model.graph.node]
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.node.extend(kept)

    path = Path(shutil.copy(FIXTURES / "squeezenet-script-free.onnx", tmp_path / "made.onnx"))
    backbone = describe(rewrite(path, _move), size=32)
    network = read_network(backbone, list_cuts(backbone)[1].name)
    assert network.initializers
    change(network)
    assert not np.allclose(
        features_of(written(backbone, network, tmp_path), random_pixels(2, 32)),
        features_of(backbone, random_pixels(2, 32)),
    )


def stacked(folder: Path, change: Callable[[Graph], str]) -> Backbone:
    """A backbone of a convolution, called `low`, what `change` adds to it, and a mean over the map."""
    graph = Graph()
    graph.store(graph.rng.normal(size=(3, 3, 1, 1)).astype(np.float32), "kernel")
    graph.add("Conv", graph.image, "kernel", into="low")
    end = graph.add("Flatten", graph.add("GlobalAveragePool", change(graph)), into="feature")
    return describe(graph.save(folder / "made.onnx", end), "feature")


def test_a_weight_of_both_parts_stays_for_the_frozen_one_and_is_copied_for_the_tail(tmp_path: Path) -> None:
    backbone = stacked(tmp_path, lambda graph: graph.add("Conv", graph.add("Relu", "low"), "kernel"))
    network = read_network(backbone, "low")
    change(network)
    tuned = written(backbone, network, tmp_path)
    names = {tensor.name for tensor in onnx.load(str(tuned.path), load_external_data=False).graph.initializer}
    assert names == {"kernel", "kernel_tuned"}
    pixels = random_pixels(2)
    assert_same(features_of(tuned, pixels), torch_features(backbone, network, pixels))


def test_a_weight_that_the_tail_reads_twice_is_one_parameter(tmp_path: Path) -> None:
    def _twice(graph: Graph) -> str:
        graph.store(graph.rng.normal(size=(3, 3, 1, 1)).astype(np.float32), "twice")
        return graph.add("Conv", graph.add("Relu", graph.add("Conv", "low", "twice")), "twice")

    backbone = stacked(tmp_path, _twice)
    network = read_network(backbone, "low")
    assert list(network.initializers.values()) == ["twice"]
    change(network)
    written(backbone, network, tmp_path)


def test_a_weight_behind_a_transpose_is_the_parameter_itself(tmp_path: Path) -> None:
    def _behind(graph: Graph) -> str:
        graph.store(graph.rng.normal(size=(3, 5, 1, 1)).astype(np.float32), "turned")
        turned = graph.add("Identity", graph.add("Transpose", "turned", perm=[1, 0, 2, 3]))
        return graph.add("Conv", "low", turned)

    backbone = stacked(tmp_path, _behind)
    network = read_network(backbone, "low")
    assert [tuple(parameter.shape) for parameter in network.parameters()] == [(3, 5, 1, 1)]
    change(network)
    written(backbone, network, tmp_path)


def test_weights_may_have_any_names(tmp_path: Path) -> None:
    names = ["1", "_1", "w_1", "tail", "training", "initializers", "a.b", "a_b", "a_b_2", "für"]

    def _named(graph: Graph) -> str:
        data = "low"
        for name in names:
            graph.store(graph.rng.normal(size=(3, 3, 1, 1)).astype(np.float32), name)
            data = graph.add("Conv", data, name)
        return data

    backbone = stacked(tmp_path, _named)
    network = read_network(backbone, "low")
    assert list(network.initializers.values()) == names
    assert len([*network.parameters()]) == len(names)
    change(network)
    written(backbone, network, tmp_path)


def test_a_mask_of_constants_that_nothing_reads_is_left_out(tmp_path: Path) -> None:
    def _dropped(graph: Graph) -> str:
        graph.add("Dropout", graph.store(np.array([2.0], np.float32)), into=["kept", "mask"])
        return graph.add("Mul", "low", "kept")

    read_network(stacked(tmp_path, _dropped), "low")(torch.ones(2, 3, 16, 16))


def test_what_is_no_weight_is_no_parameter(tmp_path: Path) -> None:
    def _other(graph: Graph) -> str:
        numbers = [graph.store(np.full(3, 1, np.float32), name) for name in ("scale", "shift", "mean", "variance")]
        normal = graph.add("BatchNormalization", "low", *numbers)
        mask = graph.store(np.where(np.eye(16) > 0, 0, -np.inf).astype(np.float32), "mask")
        masked = graph.add("Softmax", graph.add("Add", normal, mask))
        return graph.add("Mul", masked, graph.store(np.full((1,), 2, np.float32), "number"))

    network = read_network(stacked(tmp_path, _other), "low")
    assert list(network.initializers.values()) == ["scale", "shift"]


def refused(tmp_path: Path, step: Callable[[Graph], str]) -> str:
    """The one line with which a tail of this step is refused."""
    with pytest.raises(FeatxError) as caught:
        read_network(stacked(tmp_path, step), "low")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_quantised_tail_is_refused(tmp_path: Path) -> None:
    def _quantised(graph: Graph) -> str:
        scale, zero = graph.store(np.float32(0.1)), graph.store(np.uint8(128))
        return graph.add("DequantizeLinear", graph.add("QuantizeLinear", "low", scale, zero), scale, zero)

    assert "int8" in refused(tmp_path, _quantised)


def test_an_operator_without_gradient_here_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, lambda graph: graph.add("Shrink", "low"))
    assert "is a Shrink" in message
    assert "--from" in message
    assert "Conv, " in message


def test_a_choice_at_run_time_is_refused() -> None:
    made = [helper.make_empty_tensor_value_info("made")]
    branch = helper.make_graph([helper.make_node("Relu", ["low"], ["made"])], "branch", [], made)
    node = helper.make_node("If", ["asked"], ["chosen"], then_branch=branch, else_branch=branch)
    with pytest.raises(BackboneError, match="'chosen' is a If, which chooses at run time"):
        plain_node(node, source="made.onnx")


def test_a_tail_in_float16_is_refused(tmp_path: Path) -> None:
    def _halves(graph: Graph) -> str:
        half = graph.add("Cast", "low", to=FLOAT16)
        kernel = graph.store(graph.rng.normal(size=(3, 3, 1, 1)).astype(np.float16))
        return graph.add("Cast", graph.add("Conv", half, kernel), to=TensorProto.FLOAT)

    assert "float16" in refused(tmp_path, _halves)


def test_a_further_output_that_is_not_computed_here_is_named(tmp_path: Path) -> None:
    def _places(graph: Graph) -> str:
        graph.add("Dropout", "low", into=["kept", "mask"])
        return graph.add("Where", "mask", "kept", "low")

    backbone = stacked(tmp_path, _places)
    with pytest.raises(FineTuningError, match="'mask', which is a further output"):
        read_network(backbone, "low")(torch.ones(2, 3, 16, 16))


def test_a_tensor_that_not_all_pass_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, lambda graph: graph.add("Add", "low", graph.image))
    assert "cross" in message


def test_a_feature_that_depends_on_the_batch_is_refused(tmp_path: Path) -> None:
    backbone = stacked(tmp_path, lambda graph: graph.add("Sub", "low", graph.add("ReduceMean", "low", axes=[0])))
    with pytest.raises(BackboneError, match="images at a time"):
        read_network(backbone, "low")


def test_weights_that_diverged_are_not_written(tmp_path: Path) -> None:
    backbone = describe(classifier(tmp_path))
    network = read_network(backbone, backbone.card.input.name)
    with torch.no_grad():
        next(network.parameters()).fill_(np.nan)
    with pytest.raises(FineTuningError, match="smaller rate"):
        write_network(backbone, network, pixels=random_pixels(1))


def test_a_model_that_computes_something_else_than_torch_is_not_written(tmp_path: Path) -> None:
    backbone = describe(classifier(tmp_path))
    network = read_network(backbone, backbone.card.input.name)
    network.tail.nodes[0].attributes["pads"] = (0, 0, 0, 0)  # type: ignore[index]
    with pytest.raises(FineTuningError, match="nothing was written"):
        write_network(backbone, network, pixels=random_pixels(1))


def test_a_tail_without_weights_gives_the_feature_as_it_is() -> None:
    backbone = exported("resnet-script-free")
    network = read_network(backbone, backbone.card.feature)
    maps = torch.ones(2, backbone.card.dim)
    assert not list(network.parameters())
    assert torch.equal(network(maps), maps)
