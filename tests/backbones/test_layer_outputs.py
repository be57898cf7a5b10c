"""The outputs that `layers` stands for: the feature and the pooled ends of blocks, in one pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.backbones import Backbone, list_cuts, list_layers, open_session, select_outputs
from featx.errors import BackboneError
from tests.support.graphs import FIXTURES, Graph, assert_same, describe, normalised, random_pixels, run

POOLINGS: dict[str, Callable[..., Any]] = {"mean": np.mean, "max": np.max}


def fixture(name: str) -> Backbone:
    return describe(FIXTURES / f"{name}-script-free.onnx", size=32)


def test_layers_are_the_feature_and_each_end_of_a_block_pooled_twice() -> None:
    backbone = fixture("resnet")
    names = list_layers(backbone)
    ends = [cut.name for cut in list_cuts(backbone)[1:-1]]
    assert names[0] == backbone.card.feature
    assert [name for name in names if name.rpartition(":")[0] in ends] == [
        f"{end}:{pool}" for end in ends for pool in POOLINGS
    ]


def test_layers_of_maps_are_what_numpy_pools() -> None:
    backbone = fixture("resnet")
    chosen = select_outputs(backbone, ["layers"])
    pixels = random_pixels(2, 32)
    features = open_session(chosen, device="cpu")(pixels)
    stops = np.cumsum([output.dim for output in chosen.card.all_outputs])
    for output, found in zip(chosen.card.all_outputs, np.split(features, stops[:-1], axis=1), strict=True):
        (maps,) = run(backbone.path, normalised(pixels), output.tensor)
        assert_same(found, POOLINGS[output.pool](maps, axis=(2, 3)) if output.pool else maps.reshape(2, -1))


def test_layers_of_tokens_are_their_mean_and_their_class_token() -> None:
    names = list_layers(fixture("vit"))
    assert {name.rpartition(":")[2] for name in names[1:]} == {"mean", "cls"}
    assert len(names) == 11


def test_the_widest_map_inside_a_block_is_a_layer_too(tmp_path: Path) -> None:
    graph = Graph()
    maps = graph.maps(into="maps")
    wide = graph.add("Relu", graph.conv(maps, 8, 24, into="expanded"), into="wide")
    block = graph.add("Add", maps, graph.conv(wide, 24, 8), into="block")
    last = graph.add("Relu", graph.conv(block, 8, 16), into="last")
    pool = graph.add("Flatten", graph.add("GlobalAveragePool", last), into="pooled")
    path = graph.save(tmp_path / "m.onnx", graph.dense(pool, 16, 5, into="logits"))
    blocks = ("maps:mean", "maps:max", "block:mean", "block:max", "wide:mean", "wide:max")
    assert list_layers(describe(path)) == ("pooled", *blocks, "last:max")


def test_the_layer_that_is_the_feature_is_not_repeated(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", graph.maps(into="maps"))
    names = list_layers(describe(path, "maps"))
    assert names[0] == "maps"
    assert "maps:mean" not in names
    assert "maps:max" in names


def test_other_outputs_can_stand_beside_the_layers() -> None:
    backbone = fixture("resnet")
    feature = backbone.card.feature
    chosen = select_outputs(backbone, ["logits", feature, "layers"])
    names = [output.name for output in chosen.card.all_outputs]
    assert names == ["logits", *list_layers(backbone)]


def test_layers_twice_are_refused() -> None:
    with pytest.raises(BackboneError, match="'layers' is given twice"):
        select_outputs(fixture("resnet"), ["layers", "layers"])


def test_a_backbone_can_be_added_with_its_layers() -> None:
    backbone = describe(FIXTURES / "resnet-script-free.onnx", "layers", size=32)
    assert tuple(output.name for output in backbone.card.all_outputs) == list_layers(fixture("resnet"))
