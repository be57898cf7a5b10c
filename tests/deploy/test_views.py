"""A head that averages over mirrors and turns is deployed with them: the graph makes the views that featx makes."""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from featx.backbones.store import Backbone, load_backbone
from featx.cache import read_features, use_views
from featx.convert import model_input
from featx.deploy import deploy_head
from featx.deploy.graph.nodes import LEAST_OPSET, NEWEST_OPSET, Nodes
from featx.deploy.graph.views import pool_scores
from featx.errors import HeadError
from featx.extract import extract_features
from featx.heads import Head, train_head
from featx.inputs import ImageSet, decode_image, list_images, parse_views
from featx.measures import pool_views
from featx.serving.deployed import open_deployed
from featx.settings import Settings, ViewRule
from featx.tables import fuse_tables
from tests.conftest import write_folder

Takes = Literal["uint8", "float"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three classes, and caches of their pixels in the eight symmetries and in other views."""
    root = tmp_path_factory.mktemp("views")
    images = list_images(write_folder(root / "images", (10, 10, 10)))
    for name, views in {"symmetries": "symmetries", "crops": "hflip,scale=1.5"}.items():
        settings = Settings(device="cpu", batch_size=4, views=parse_views(views))
        extract_features(images, load_backbone("raw-pixels"), into=root / f"{name}.h5", settings=settings)
    return root


@cache
def trained(folder: Path, rule: ViewRule, *, views: str = "symmetries", head: str = "class-mean") -> Head:
    """A head on these views, trained once for all tests."""
    return train_head(folder / f"{views}.h5", head, views=rule, jobs=1)[0]


def pixels_of(images: ImageSet, backbone: Backbone) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    spec = backbone.card.input.pixels
    return np.stack([decode_image(images.read(row), spec) for row in range(len(images))])


@pytest.mark.parametrize("takes", ["uint8", "float"])
@pytest.mark.parametrize("rule", ["mean", "rows"])
@pytest.mark.parametrize("kind", ["class-mean", pytest.param("knn", marks=pytest.mark.exhaustive)])
def test_the_file_predicts_what_the_head_predicts_from_the_views_in_a_cache(
    folder: Path, tmp_path: Path, rule: ViewRule, takes: Takes, kind: str
) -> None:
    head = trained(folder, rule, head=kind)
    images = list_images(folder / "images")
    deployed = deploy_head(head, into=tmp_path / "m.onnx", images=images, takes=takes)
    assert deployed.largest_difference < 1e-5
    backbone = load_backbone("raw-pixels")
    pixels = pixels_of(images, backbone)
    given = pixels if takes == "uint8" else model_input(backbone.card, pixels)
    session = onnxruntime.InferenceSession(str(deployed.path), providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {deployed.inputs[0].name: given})
    np.testing.assert_allclose(probabilities, head.predict_proba(folder / "symmetries.h5"), atol=1e-5)
    assert labels.tolist() == head.predict(folder / "symmetries.h5").tolist()


def test_the_weights_are_in_the_file_once_and_users_give_the_same_pixels(folder: Path, tmp_path: Path) -> None:
    with_views = deploy_head(trained(folder, "mean"), into=tmp_path / "v.onnx")
    alone = deploy_head(trained(folder, "first"), into=tmp_path / "one.onnx")
    assert with_views.size < alone.size + 6000
    assert with_views.inputs == alone.inputs
    about = {entry.key: entry.value for entry in onnx.load(str(with_views.path)).metadata_props}
    assert '"view_rule": "mean"' in about["featx.backbones"]


def test_a_head_on_view_0_is_deployed_without_views(folder: Path, tmp_path: Path) -> None:
    deployed = deploy_head(trained(folder, "first"), into=tmp_path / "m.onnx")
    assert not [node for node in onnx.load(str(deployed.path)).graph.node if "views" in node.name]


@pytest.mark.parametrize("takes", ["uint8", "float"])
@pytest.mark.parametrize("rule", ["mean", "rows"])
def test_views_that_need_the_whole_image_are_an_axis_of_the_input(
    folder: Path, tmp_path: Path, rule: ViewRule, takes: Takes
) -> None:
    head = trained(folder, rule, views="crops")
    images = list_images(folder / "images")
    deployed = deploy_head(head, into=tmp_path / "m.onnx", images=images, takes=takes)
    (taken,) = deployed.inputs
    assert taken.shape[:2] == (None, 3)
    assert deployed.largest_difference < 1e-5
    model = open_deployed(deployed.path, device="cpu")
    assert model.inputs[0].views == ("center", "hflip", "scale=1.5")
    answers = [model.run(model.decode(images.read(row))) for row in range(len(images))]  # type: ignore[arg-type]
    probabilities = np.concatenate([one.probabilities for one in answers])
    np.testing.assert_allclose(probabilities, head.predict_proba(folder / "crops.h5"), atol=1e-5)


@pytest.mark.parametrize(
    ("views", "names"),
    [
        ("symmetries", ("hflip", "center")),
        ("symmetries", ("rot90", "rot180")),
        ("crops", ("scale=1.5", "hflip")),
        ("crops", ("hflip", "scale=1.5", "center")),
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_views_keep_the_order_that_the_head_read_them_in(
    folder: Path, tmp_path: Path, views: str, names: tuple[str, ...], *, given: bool
) -> None:
    images = list_images(folder / "images")
    head, _ = train_head(use_views(read_features(folder / f"{views}.h5"), "rows", names=names), "class-mean", jobs=1)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", images=images if given else None)
    assert deployed.largest_difference < 1e-5
    model = open_deployed(deployed.path, device="cpu")
    answers = [model.run(model.decode(images.read(row))) for row in range(len(images))]  # type: ignore[arg-type]
    probabilities = np.concatenate([one.probabilities for one in answers])
    np.testing.assert_allclose(probabilities, head.predict_proba(folder / f"{views}.h5"), atol=1e-5)


def test_without_images_a_head_on_crops_is_compared_on_random_views(folder: Path, tmp_path: Path) -> None:
    deployed = deploy_head(trained(folder, "mean", views="crops"), into=tmp_path / "m.onnx")
    assert (deployed.images, deployed.drawn) == (32, True)


def test_heads_on_mirrors_and_on_crops_have_an_input_each(folder: Path, tmp_path: Path) -> None:
    tables = [read_features(folder / f"{name}.h5", views="mean") for name in ("symmetries", "crops")]
    head, _ = train_head(fuse_tables(tables), "class-mean", jobs=1)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", images=list_images(folder / "images"))
    assert {tensor.name: len(tensor.shape) for tensor in deployed.inputs} == {
        "pixels_raw-pixels_exact": 4,
        "pixels_raw-pixels_exact_2": 5,
    }
    assert deployed.largest_difference < 1e-5


def test_a_folder_for_hugging_face_cannot_describe_views(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"3 views of an image, such as scale=1\.5; deploy to a file"):
        deploy_head(trained(folder, "mean", views="crops"), into=tmp_path / "hub", layout="huggingface")
    assert not (tmp_path / "hub").exists()


def test_the_table_of_the_cache_is_read_at_view_0_unless_a_head_asks_for_more(folder: Path) -> None:
    head = trained(folder, "mean")
    assert [len(source.views) for source in head.sources] == [8]
    assert read_features(folder / "symmetries.h5").sources[0].views == ("center",)


@pytest.mark.parametrize("opset", [LEAST_OPSET, NEWEST_OPSET])
@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_of_views_are_pooled_as_featx_pools_them_however_large_they_are(opset: int, multilabel: bool) -> None:
    rng = np.random.default_rng(0)
    views = (rng.normal(size=(5, 3, 4)) * np.array([1, 10, 100, 3000, 1e5])[:, None, None]).astype(np.float32)
    nodes = Nodes(opset=opset)
    pooled = pool_scores(nodes, "scores", count=3, classes=4, multilabel=multilabel)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("scores", pooled)]
    graph = helper.make_graph(nodes.nodes, "pooling", ends[:1], ends[1:], nodes.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"scores": views.transpose(1, 0, 2).reshape(15, 4)})
    np.testing.assert_allclose(found, pool_views(views, multilabel=multilabel), rtol=1e-6, atol=1e-6)
