"""A deployed file holds the backbones and the head, is checked before it is written, and runs without featx."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import checker
from sklearn.pipeline import Pipeline

from featx.backbones import Backbone, open_session, select_outputs
from featx.deploy import Deployed, deploy_head, predict_images, reserve_model
from featx.deploy.checking import change_by_rounding
from featx.errors import BackboneError, HeadError
from featx.estimators import (
    BlockPCA,
    BlockScaler,
    CosineNeighbors,
    FeatureScaler,
    LinearSVM,
    OneVsRest,
    StackedBlocks,
)
from featx.hashing import hash_file
from featx.heads import Head, save_head
from featx.inputs import list_images
from tests.backbones.test_batch_axis import a_mean_over_the_batch, places_across_the_batch
from tests.conftest import Ran, Tiny
from tests.support.cards import with_keys
from tests.support.deployed import CLASSES, head_on, pixels_of
from tests.support.graphs import Graph, describe


def run(path: Path, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)  # type: ignore[no-any-return]


def own_probabilities(head: Head, *given: tuple[Backbone, NDArray[np.uint8]]) -> NDArray[np.float64]:
    blocks = [open_session(backbone, device="cpu")(pixels) for backbone, pixels in given]
    return head.predict_probabilities(np.hstack(blocks))


def names(deployed: Deployed) -> list[str]:
    return [tensor.name for tensor in (*deployed.inputs, *deployed.outputs)]


def metadata(path: Path) -> dict[str, Any]:
    stored = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    return {key: json.loads(text) for key, text in stored.items() if key != "featx.version"}


def test_the_file_gives_the_labels_and_probabilities_of_the_head(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert names(deployed) == ["pixels", "label", "probabilities"]
    assert deployed.inputs[0].shape == (None, 16, 16, 3)
    assert deployed.largest_difference < 1e-5
    pixels = pixels_of(tiny.backbone, 7, seed=3)
    labels, probabilities = run(deployed.path, pixels=pixels)
    own = own_probabilities(head, (tiny.backbone, pixels))
    assert labels.tolist() == [CLASSES[best] for best in own.argmax(axis=1)]
    np.testing.assert_allclose(probabilities, own, atol=1e-6)
    assert probabilities.dtype == np.float32


def test_the_file_is_a_valid_model_without_what_lies_behind_the_features(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    deployed = deploy_head(head_on(tiny.backbone), into=tmp_path / "m.onnx", models=models)
    model = onnx.load(str(deployed.path))
    checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not [tensor.name for tensor in model.graph.initializer if tensor.name.endswith("/classifier")]
    assert deployed.opset == 13
    assert deployed.size == deployed.path.stat().st_size


def test_the_metadata_says_how_to_prepare_an_image_and_how_good_the_head_is(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    deployed = deploy_head(head_on(tiny.backbone), into=tmp_path / "m.onnx", models=models)
    about = metadata(deployed.path)
    assert about["featx.classes"] == list(CLASSES)
    assert about["featx.preprocessing"] == {
        "size": 16,
        "resize": 18,
        "filter": "bicubic",
        "crop": "center",
        "exif": False,
        "dtype": "uint8",
        "layout": "NHWC",
        "channels": "RGB",
        "decode": "exact",
    }
    assert about["featx.result"] == {"accuracy": 0.9, "interval": [0.8, 1.0], "n": 15, "split": "a quarter"}
    assert about["featx.backbones"][0]["sha256"] == tiny.backbone.card.sha256


def test_float_input_is_what_the_backbones_own_model_takes(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models, takes="float")
    assert [(one.name, one.dtype, one.shape) for one in deployed.inputs] == [
        ("pixels", "tensor(float)", (None, 3, 16, 16))
    ]
    pixels = pixels_of(tiny.backbone, 5)
    spec = tiny.backbone.card.input.pixels
    normalised = (pixels.astype(np.float32) - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    _, probabilities = run(deployed.path, pixels=np.ascontiguousarray(normalised.transpose(0, 3, 1, 2)))
    own = own_probabilities(head, (tiny.backbone, pixels))
    np.testing.assert_allclose(probabilities, own, atol=1e-6)
    assert metadata(deployed.path)["featx.preprocessing"]["mean"] == list(spec.mean)


def test_backbones_that_see_the_same_pixels_share_one_input(
    tiny: Tiny, make_tiny: Callable[..., Tiny], models: Path, tmp_path: Path
) -> None:
    """Their own normalisation and layout are inside the graph."""
    other = make_tiny(models, name="pixels", dim=5, seed=1, layout="NHWC").backbone
    stacked = StackedBlocks((8, 5), Pipeline([("scaler", FeatureScaler()), ("classifier", LinearSVM())]))
    head = head_on(tiny.backbone, other, classifier=stacked)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert names(deployed) == ["pixels", "label", "probabilities"]
    pixels = pixels_of(tiny.backbone, 5, seed=9)
    _, probabilities = run(deployed.path, pixels=pixels)
    own = own_probabilities(head, (tiny.backbone, pixels), (other, pixels))
    np.testing.assert_allclose(probabilities, own, atol=1e-6)


def test_backbones_of_other_sizes_have_an_input_each(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    larger = saved(models, Graph("batch", 3, 20, 20, opset=17), size=20)
    steps = [BlockScaler((8, 8)), BlockPCA((8, 8)), FeatureScaler("overall")]
    head = head_on(tiny.backbone, larger, steps=steps)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert names(deployed) == ["pixels_tiny", "pixels_made", "label", "probabilities"]
    small, large = pixels_of(tiny.backbone, 4), pixels_of(larger, 4)
    _, probabilities = run(deployed.path, pixels_tiny=small, pixels_made=large)
    own = own_probabilities(head, (tiny.backbone, small), (larger, large))
    np.testing.assert_allclose(probabilities, own, atol=1e-6)
    prepared = metadata(deployed.path)["featx.preprocessing"]["inputs"]
    assert {name: values["size"] for name, values in prepared.items()} == {"pixels_tiny": 16, "pixels_made": 20}


def saved(models: Path, graph: Graph, **said: Any) -> Backbone:
    """A backbone `made` with a convolution, its card in the folder."""
    path = graph.save(models / "made.onnx", graph.dense(graph.pooled(8), 8, 5, into="logits"))
    return in_folder(describe(path, **said))


def in_folder(backbone: Backbone) -> Backbone:
    """The backbone, whose card is written beside its model."""
    stored = replace(backbone, card=with_keys(backbone.card, sha256=hash_file(backbone.path)))
    stored.path.with_suffix(".toml").write_text(stored.card.to_toml(), encoding="utf-8")
    return stored


def test_several_outputs_of_a_backbone_are_computed_by_one_copy_of_it(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    both = select_outputs(tiny.backbone, ["logits", "features"])
    head = head_on(both)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    pixels = pixels_of(both, 4)
    _, probabilities = run(deployed.path, pixels=pixels)
    own = own_probabilities(head, (both, pixels))
    np.testing.assert_allclose(probabilities, own, atol=1e-6)
    assert sum(node.op_type == "ReduceMean" for node in onnx.load(str(deployed.path)).graph.node) == 1


def test_a_backbone_whose_jpegs_are_decoded_in_two_ways_has_two_inputs(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    head = head_on(tiny.backbone, tiny.backbone, decodes=("exact", "fast"))
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert names(deployed)[:2] == ["pixels_tiny_exact", "pixels_tiny_fast"]


def test_a_backbone_of_old_operators_is_converted_to_those_of_the_head(models: Path, tmp_path: Path) -> None:
    backbone = saved(models, Graph("batch", 3, 16, 16, opset=11), size=16)
    deployed = deploy_head(head_on(backbone), into=tmp_path / "m.onnx", models=models)
    assert deployed.opset == 13
    assert deployed.largest_difference < 1e-5


def test_a_batch_axis_that_the_exporter_fixed_is_free_in_the_file(models: Path, tmp_path: Path) -> None:
    backbone = saved(models, Graph(1, 3, 16, 16), size=16)
    deployed = deploy_head(head_on(backbone), into=tmp_path / "m.onnx", models=models)
    assert len(run(deployed.path, pixels=pixels_of(backbone, 3))[0]) == 3


def test_a_backbone_that_takes_one_image_at_a_time_makes_a_file_that_does_and_says_so(
    models: Path, tmp_path: Path
) -> None:
    backbone = saved(models, Graph("batch", 3, 16, 16), size=16)
    alone = in_folder(replace(backbone, card=with_keys(backbone.card, batch=1)))
    deployed = deploy_head(head_on(alone), into=tmp_path / "m.onnx", models=models)
    assert deployed.inputs[0].shape[0] == 1
    assert any("takes exactly 1 images at a time" in note for note in deployed.notes)


def keeping_its_batch(models: Path, name: str, make: Callable[[Graph, int], str]) -> Backbone:
    """A backbone whose graph fixes four images."""
    graph = Graph(4, 3, 16, 16)
    return in_folder(describe(graph.save(models / f"{name}.onnx", make(graph, 4)), "read", size=16))


def test_a_batch_axis_that_cannot_be_freed_stays_in_the_file(models: Path, tmp_path: Path) -> None:
    backbone = keeping_its_batch(models, "made", places_across_the_batch)
    deployed = deploy_head(head_on(backbone), into=tmp_path / "m.onnx", models=models)
    assert deployed.inputs[0].shape[0] == 4
    assert any("takes exactly 4 images at a time" in note for note in deployed.notes)


def test_a_fixed_batch_whose_images_change_each_others_features_is_refused(models: Path, tmp_path: Path) -> None:
    backbone = keeping_its_batch(models, "made", a_mean_over_the_batch)
    alone = in_folder(replace(backbone, card=with_keys(backbone.card, batch=1)))
    with pytest.raises(BackboneError, match="takes 4 images at a time, but features depend on the others"):
        deploy_head(head_on(alone), into=tmp_path / "m.onnx", models=models)


def test_a_head_of_several_labels_has_an_output_of_them(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone, classifier=OneVsRest(), multilabel=True)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert names(deployed) == ["pixels", "labels", "probabilities"]
    labels, probabilities = run(deployed.path, pixels=pixels_of(tiny.backbone, 5))
    assert labels.dtype == bool
    assert np.array_equal(labels, probabilities > 0.5)


def test_it_is_compared_with_what_predict_says_of_real_images(
    tiny: Tiny, models: Path, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    head = head_on(tiny.backbone)
    images = list_images(make_folder((4, 4)))
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models, images=images)
    assert (deployed.images, deployed.drawn, deployed.notes) == (8, False, ())
    assert len(list(predict_images(head, images, models=models))) == 8


def test_images_that_cannot_be_read_are_no_comparison(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    with pytest.raises(HeadError, match="none of 1 images to compare predictions on can be read"):
        deploy_head(
            head_on(tiny.backbone), into=tmp_path / "m.onnx", models=models, images=list_images(tmp_path / "bad")
        )
    assert not (tmp_path / "m.onnx").exists()


def test_a_head_whose_backbone_is_not_at_hand_is_refused_by_name(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone)
    models.joinpath("tiny.toml").unlink()
    with pytest.raises(HeadError, match=r"backbone tiny .* not among those here, .*; name the folder"):
        deploy_head(head, into=tmp_path / "m.onnx", models=models)


def test_a_classifier_of_raw_features_has_no_backbone_to_deploy(tiny: Tiny, tmp_path: Path) -> None:
    alone: Any = head_on(tiny.backbone).pipeline
    with pytest.raises(HeadError, match="a Pipeline does not say which backbone its features come from"):
        deploy_head(alone, into=tmp_path / "m.onnx")


def test_a_backbone_that_has_changed_is_refused(
    tiny: Tiny, make_tiny: Callable[..., Tiny], models: Path, tmp_path: Path
) -> None:
    head = head_on(tiny.backbone)
    make_tiny(models, seed=5)
    with pytest.raises(HeadError, match="was trained on backbone tiny"):
        deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert list(tmp_path.glob("*.onnx*")) == []


def test_a_head_that_onnx_runtime_would_contradict_is_not_written(
    tiny: Tiny, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here featx itself is made to say something else, since no real head is known to differ."""
    monkeypatch.setattr(Head, "predict_probabilities", lambda self, features: np.full((len(features), 3), 1 / 3))
    with pytest.raises(HeadError, match=r"cannot be deployed exactly: in ONNX Runtime a probability of image"):
        deploy_head(head_on(tiny.backbone), into=tmp_path / "m.onnx", models=models)
    assert list(tmp_path.glob("*.onnx*")) == []


def test_a_nearest_neighbour_hinges_on_rounding_only_where_two_are_equally_near(tiny: Tiny) -> None:
    head = head_on(tiny.backbone, classifier=CosineNeighbors(1))
    near, far = head.pipeline[-1].rows_[0], head.pipeline[-1].rows_[1]
    between, beside = near + far, near + np.float32(0.1) * far
    head.pipeline[-1].rows_[2:] = -between  # none but these two is near
    changes = change_by_rounding(head, np.stack([between, beside]))
    assert changes[0] > 0.5
    assert changes[1] < 1e-6


def test_only_a_model_that_featx_deployed_is_replaced(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone)
    with pytest.raises(HeadError, match="already exists and is not a model that featx deployed"):
        deploy_head(head, into=models / "tiny.onnx", models=models, overwrite=True)
    deploy_head(head, into=tmp_path / "m.onnx", models=models)
    with pytest.raises(HeadError, match="already exists"):
        deploy_head(head, into=tmp_path / "m.onnx", models=models)
    deploy_head(head, into=tmp_path / "m.onnx", models=models, overwrite=True)


def test_the_command_prints_one_document(
    tiny: Tiny, models: Path, tmp_path: Path, featx: Callable[..., Ran], make_folder: Callable[..., Path]
) -> None:
    save_head(head_on(tiny.backbone), tmp_path / "h.featx")
    images = make_folder((2, 2))
    given = ("deploy", tmp_path / "h.featx", "--models", models, "--images", images)
    done = featx(*given, "--into", "m.onnx", "--json")
    assert done.code == 0, done.err
    assert {"path", "inputs", "outputs", "largest_difference"} <= done.json.keys()
    assert done.json["images"] == 4
    said = featx(*given, "--into", "m.onnx", "--overwrite")
    assert "m.onnx: pixels -> label, probabilities, opset 13" in said.out
    assert featx("deploy", tmp_path / "h.featx", "--into", "n.onnx", "--root", images).code == 2


def test_a_name_without_the_ending_of_models_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"ends in \.onnx; choose .*cells\.onnx"), reserve_model(tmp_path / "cells"):
        pass
    assert not list(tmp_path.iterdir())
