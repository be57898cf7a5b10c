"""Cuts: tensors from which alone the feature follows, the maps there, and why other tensors are none."""

from collections.abc import Callable
from math import prod
from pathlib import Path

import onnx
import pytest

from featx.backbones import Backbone, find_cut, inspect_model, list_cuts, map_backbone, open_session
from featx.errors import BackboneError
from tests.conftest import Ran
from tests.support.graphs import FIXTURES, Graph, assert_same, classifier, describe, normalised, random_pixels, run

NETWORKS = ["resnet-script-free", "resnet-dynamo-fixed", "vit-script-free", "vgg-script-free", "encoder-dynamo-free"]


def fixture(name: str) -> Backbone:
    return describe(FIXTURES / f"{name}.onnx", size=32)


def tail(backbone: Backbone, tensor: str, folder: Path) -> Path:
    """The model from this tensor alone to the feature, as onnx cuts it out."""
    path = folder / "tail.onnx"
    onnx.utils.extract_model(str(backbone.path), str(path), [tensor], [backbone.card.feature], check_model=False)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_the_feature_follows_from_the_map_at_every_cut_alone(tmp_path: Path, name: str) -> None:
    backbone = fixture(name)
    images = normalised(random_pixels(1, 32))
    (feature,) = run(backbone.path, images, backbone.card.feature)
    cuts = list_cuts(backbone)
    assert len(cuts) >= 4
    for cut in cuts[1:-1]:
        (maps,) = run(backbone.path, images, cut.name)
        assert maps.shape[1:] == cut.shape
        assert cut.map_bytes == 2 * maps[0].size
        (found,) = run(tail(backbone, cut.name, tmp_path), maps, backbone.card.feature)
        assert_same(found, feature)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_can_be_trained_after_a_cut_are_the_weights_that_its_tail_holds(tmp_path: Path, name: str) -> None:
    backbone = fixture(name)
    for cut in list_cuts(backbone)[1:-1]:
        graph = onnx.load(tail(backbone, cut.name, tmp_path)).graph
        statistics = {name for node in graph.node if node.op_type == "BatchNormalization" for name in node.input[3:]}
        weights = [one for one in graph.initializer if one.data_type == 1 and one.dims and one.name not in statistics]
        assert cut.parameters == sum(prod(one.dims) for one in weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_cuts_go_from_the_image_to_the_feature_with_ever_fewer_parameters(name: str) -> None:
    backbone = fixture(name)
    cuts = list_cuts(backbone)
    assert (cuts[0].name, cuts[-1].name) == (backbone.card.input.name, backbone.card.feature)
    assert [one.parameters for one in cuts] == sorted((one.parameters for one in cuts), reverse=True)
    assert (cuts[-1].parameters, cuts[-1].nodes) == (0, 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_backbone_cut_at_a_map_gives_that_map_flattened(name: str) -> None:
    backbone = fixture(name)
    pixels = random_pixels(2, 32)
    cut = list_cuts(backbone)[-2]
    whole = open_session(map_backbone(backbone, cut.name), device="cpu")(pixels)
    batch = 1 if name.endswith("fixed") else 2
    (maps,) = run(backbone.path, normalised(pixels), cut.name, batch=batch)
    assert_same(whole, maps.reshape(2, -1))


def test_a_pooled_feature_can_be_cut_at_its_own_map(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", graph.maps(into="maps"))
    backbone = describe(path, "maps:gem")
    assert find_cut(backbone, "maps").shape == (8, 8, 8)
    assert map_backbone(backbone, "maps").card.dim == 512


def branched(folder: Path) -> Backbone:
    """A block of two branches, `left` and `right`, that are joined."""
    graph = Graph()
    maps = graph.maps(into="maps")
    left, right = graph.conv(maps, 8, 8, into="left"), graph.conv(maps, 8, 8, into="right")
    pool = graph.add("GlobalAveragePool", graph.add("Add", left, right, into="block"))
    logits = graph.dense(graph.add("Flatten", pool, into="pooled"), 8, 5, into="logits")
    return describe(graph.save(folder / "branched.onnx", logits))


def test_a_tensor_of_one_branch_is_refused_with_the_name_of_the_other(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"'right': two tensors cross there, it and 'left'"):
        find_cut(branched(tmp_path), "right")
    assert [one.name for one in list_cuts(branched(tmp_path))] == ["image", "relu_1", "maps", "pooled"]


def test_other_tensors_are_refused_with_the_reason(tmp_path: Path) -> None:
    backbone = branched(tmp_path)
    with pytest.raises(BackboneError, match=r"no such tensor \(did you mean block"):
        find_cut(backbone, "blok")
    with pytest.raises(BackboneError, match="feature 'pooled' is not computed from it"):
        find_cut(backbone, "logits")
    with pytest.raises(BackboneError, match="is the image, and has no maps"):
        map_backbone(backbone, "image")


def test_a_model_of_images_of_any_size_is_inspected_and_has_no_cuts(tmp_path: Path) -> None:
    graph = Graph("batch", 3, "height", "width")
    end = graph.add("Relu", graph.conv(graph.image, 3, 4), into="end")
    assert inspect_model(graph.save(tmp_path / "free.onnx", end)).cuts == ()


def test_a_tensor_of_which_only_the_shape_is_asked_later_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.maps(into="maps")
    graph.add("Sigmoid", maps, into="aside")
    shape = graph.add("Shape", "aside")
    pool = graph.add("GlobalAveragePool", graph.add("Reshape", maps, shape))
    backbone = describe(graph.save(tmp_path / "made.onnx", graph.add("Flatten", pool, into="pooled")), "pooled")
    with pytest.raises(BackboneError, match="the feature 'pooled' is not computed from it"):
        find_cut(backbone, "aside")


def test_inspect_shows_where_a_model_or_a_backbone_can_be_cut(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    path = classifier(tmp_path)
    cuts = inspect_model(path).cuts
    found = featx("inspect", path, "--json").json["cuts"]
    assert [one["name"] for one in found] == [cut.name for cut in cuts]
    assert found[1] == cuts[1].to_dict() | {"shape": list(cuts[1].shape)}
    assert cuts[1].name in featx("inspect", path).out


def test_inspect_takes_the_name_of_a_backbone(featx: Callable[..., Ran]) -> None:
    found = featx("inspect", "efficientnet-lite0", "--json").json
    assert found["cuts"][14] == {
        "name": "/_blocks.13/Add_output_0",
        "shape": [192, 7, 7],
        "parameters": 1_487_360,
        "nodes": 17,
        "bytes": 18_816,
    }
