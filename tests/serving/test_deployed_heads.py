"""Heads that `featx deploy` wrote: the server says of an image file what `featx predict` says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from featx.backbones import Backbone
from featx.deploy import deploy_head, predict_images
from featx.errors import ServingError
from featx.estimators import OneVsRest
from featx.extract import extract_features
from featx.hashing import hash_file
from featx.heads import Head, save_head, train_head
from featx.inputs import list_images, parse_views
from featx.serving.deployed import open_deployed
from featx.serving.runtime_files import FILES, PACKAGE
from featx.settings import Settings
from tests.conftest import Ran, Tiny, draw_image, write_folder
from tests.support.cards import with_keys
from tests.support.deployed import head_on
from tests.support.graphs import Graph, describe
from tests.support.serving import serving


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of several sizes and formats."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(4):
        draw_image(seed, size=(20 + 11 * seed, 37), colour=seed % 3).save(folder / f"{seed}.png")
    draw_image(7, size=(50, 40)).save(folder / "7.jpg")
    draw_image(8, size=(50, 40)).convert("L").save(folder / "8.png")
    clear = draw_image(9, size=(45, 30)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(folder / "9.png")
    return folder


def put(backbone: Backbone, **changes: object) -> Backbone:
    """The backbone with these keys of its card changed, its file too."""
    changed = replace(backbone, card=with_keys(backbone.card, **changes))
    changed.path.with_suffix(".toml").write_text(changed.card.to_toml(), encoding="utf-8")
    return changed


def check(head: Head, model: Path, images: Path, models: Path) -> None:
    """The model, opened as the server does it, says of each image what featx predicts."""
    deployed = open_deployed(model, device="cpu")
    predicted = list(predict_images(head, list_images(images), models=models))
    assert len(predicted) == len(list(images.iterdir()))
    for one in predicted:
        said = deployed.to_document(deployed.run(deployed.decode((images / one.name).read_bytes())))
        assert said["label"] == one.label, one.name
        assert said["probability"] == pytest.approx(one.probability, abs=1e-5), one.name


@pytest.mark.parametrize("takes", ["uint8", pytest.param("float", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("multilabel", [False, True])
def test_a_head_says_what_predict_says(
    tiny: Tiny, models: Path, images: Path, tmp_path: Path, *, takes: str, multilabel: bool
) -> None:
    head = head_on(tiny.backbone, classifier=OneVsRest() if multilabel else None, multilabel=multilabel)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models, takes=takes)  # type: ignore[arg-type]
    check(head, deployed.path, images, models)


def test_a_head_on_crops_gets_all_views_of_an_image_file(
    tiny: Tiny, models: Path, images: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "crops.h5"
    settings = Settings("cpu", views=parse_views("hflip,five-crop,random-crop:2"))
    labelled = list_images(write_folder(tmp_path / "labelled", (8, 8)))
    extract_features(labelled, tiny.backbone, into=cache, settings=settings)
    head, _ = train_head(cache, "logreg", views="mean", jobs=1)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", images=list_images(images), models=models)
    check(head, deployed.path, images, models)
    with serving(deployed.path) as server:
        described = server.ask("/v2/models/m").json
        assert described["inputs"][0]["shape"][:2] == [-1, 8]


def test_backbones_whose_images_are_prepared_differently_each_get_theirs(
    tiny: Tiny, make_tiny: Callable[..., Tiny], models: Path, images: Path, tmp_path: Path
) -> None:
    other = put(make_tiny(models, name="other", seed=1, layout="NHWC").backbone, resize=31, crop_mode="squash")
    head = head_on(tiny.backbone, other)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    assert len(deployed.inputs) == 2
    check(head, deployed.path, images, models)


def test_a_backbone_that_takes_grey_gets_colours_as_grey(models: Path, images: Path, tmp_path: Path) -> None:
    graph = Graph("batch", 1, 16, 16, opset=17)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", graph.conv("image", 1, 8)))
    path = graph.save(models / "made.onnx", graph.dense(pooled, 8, 5, into="logits"))
    backbone = put(describe(path, channels="L", size=16, resize=19), sha256=hash_file(path))
    head = head_on(backbone)
    deployed = deploy_head(head, into=tmp_path / "m.onnx", models=models)
    check(head, deployed.path, images, models)


def test_the_server_of_a_head_says_what_predict_says(tiny: Tiny, models: Path, images: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone)
    path = deploy_head(head, into=tmp_path / "m.onnx", models=models).path
    with serving(path) as server:
        for one in predict_images(head, list_images(images), models=models):
            said = server.ask("/classify", (images / one.name).read_bytes()).json
            assert said["label"] == one.label
            assert said["probability"] == pytest.approx(one.probability, abs=1e-5)


def test_deploy_writes_a_page_beside_the_model_and_says_how_to_open_it(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    save_head(head_on(tiny.backbone), tmp_path / "h.featx")
    site = tmp_path / "site"
    (site / PACKAGE).mkdir(parents=True)
    for name in FILES:
        (site / PACKAGE / name).write_text("the runtime")
    arguments = ("--into", site / "m.onnx", "--page", site / "demo.html", "--models", models)
    ran = featx("deploy", tmp_path / "h.featx", *arguments, "--json")
    assert ran.code == 0
    assert ran.json["page"] == str(site / "demo.html")
    assert sorted(path.name for path in site.iterdir()) == ["demo.html", "m.onnx", PACKAGE]
    again = featx("deploy", tmp_path / "h.featx", *arguments, "--overwrite")
    assert "http://localhost:8000/demo.html" in again.out
    assert json.dumps("m.onnx") in (site / "demo.html").read_text()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "m: not a model that featx deployed, but an empty file; name a model that `featx deploy"),
        (b"featx cache", "but a featx cache; name a model that"),
        (b"hello", "but text; name a model that"),
        (b"PK\3\4" + bytes(26) + b"head.json", "but a featx head; `featx deploy .*m --into m.onnx` makes one of it"),
    ],
    ids=["empty", "cache", "text", "head"],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ServingError, match=named):
        open_deployed(tmp_path / "m", device="cpu")
