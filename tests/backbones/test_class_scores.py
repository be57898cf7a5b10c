"""Class scores of a source: what they are is read off the graph, and their output is found under the name `logits`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.backbones import Backbone, inspect_model, select_outputs
from featx.cache import read_features
from featx.convert import Preprocessing, add_backbone
from featx.convert.adding import Description
from featx.errors import BackboneError
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings
from featx.transfer import score_transferability
from tests.conftest import Ran, write_folder
from tests.support.cards import with_card
from tests.support.graphs import MEAN, STD, Graph, describe, normalised, random_pixels, run
from tests.support.sizes import shortened

CLASSES = 5


def dense(graph: Graph, *, into: str = "scores") -> str:
    """Class scores that a dense layer computes."""
    return graph.dense(graph.pooled(), 8, CLASSES, into=into)


def reshaped(graph: Graph, operator: str) -> str:
    """An activation whose output is reshaped."""
    ends = graph.add(operator, dense(graph, into="before"))
    return graph.add("Reshape", ends, graph.integers(0, -1), into="scores")


def arithmetic(graph: Graph) -> str:
    """A softmax that is written as exponentials and their sum."""
    powers = graph.add("Exp", dense(graph, into="before"))
    return graph.add("Div", powers, graph.add("ReduceSum", powers, graph.integers(1)), into="scores")


def scaled(graph: Graph) -> str:
    """Class scores that a temperature divides."""
    return graph.add("Div", dense(graph, into="before"), graph.store(np.float32(2)), into="scores")


KINDS: dict[str, tuple[Callable[[Graph], str], str]] = {
    "a dense layer": (dense, "logits"),
    "a temperature": (scaled, "logits"),
    "Softmax": (lambda graph: graph.add("Softmax", dense(graph, into="before"), into="scores", axis=1), "softmax"),
    "LogSoftmax": (lambda graph: graph.add("LogSoftmax", dense(graph, into="before"), into="scores"), "logits"),
    "Sigmoid": (lambda graph: graph.add("Sigmoid", dense(graph, into="before"), into="scores"), "sigmoid"),
    "a reshaped Softmax": (lambda graph: reshaped(graph, "Softmax"), "softmax"),
    "a reshaped Sigmoid": (lambda graph: reshaped(graph, "Sigmoid"), "sigmoid"),
    "a softmax as arithmetic": (arithmetic, "softmax"),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_the_class_scores_are_is_read_off_the_graph(name: str, tmp_path: Path) -> None:
    end, kind = KINDS[name]
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", end(graph))
    found = inspect_model(path)
    assert (found.classifier_output, found.classifier_kind) == ("scores", kind)
    assert describe(path, "pooled").card.classifier_kind == kind


@pytest.mark.parametrize(("operator", "kind"), [("Sigmoid", "sigmoid logits"), ("Softmax", "logits")])
def test_numbers_before_an_activation_are_told_apart_by_it(operator: str, kind: str, tmp_path: Path) -> None:
    graph = Graph()
    scores = dense(graph)
    after = graph.add(operator, graph.add("Identity", scores), into="after")
    backbone = describe(graph.save(tmp_path / "m.onnx", after, scores), "pooled")
    chosen = select_outputs(with_card(backbone, classifier="scores", classifier_kind=""), ["pooled", "scores"])
    assert chosen.card.classifier_kind == kind


def test_a_scaled_softmax_is_of_no_known_kind(tmp_path: Path) -> None:
    graph = Graph()
    ends = graph.add(
        "Mul", graph.add("Softmax", dense(graph, into="before")), graph.store(np.float32(2)), into="scores"
    )
    assert inspect_model(graph.save(tmp_path / "m.onnx", ends)).classifier_kind == ""


def make(folder: Path, end: Callable[[Graph], str], *, name: str = "m") -> Backbone:
    """A backbone whose model ends like this."""
    graph = Graph()
    path = graph.save(folder / f"{name}.onnx", end(graph))
    said = Description(name=name, pixels=Preprocessing(size=16, resize=16, mean=(MEAN,) * 3, std=(STD,) * 3))
    return add_backbone(path, said, into=folder / "models").backbone


def test_logits_are_the_classifier_whatever_its_tensor_is_called(tmp_path: Path) -> None:
    backbone = make(tmp_path, KINDS["Softmax"][0])
    chosen = select_outputs(backbone, ["pooled", "logits"])
    assert [(output.name, output.dim) for output in chosen.card.all_outputs] == [("pooled", 8), ("scores", CLASSES)]


def test_a_tensor_that_is_called_logits_is_that_tensor(tmp_path: Path) -> None:
    def _end(graph: Graph) -> str:
        return graph.add("Softmax", dense(graph, into="logits"), into="scores")

    chosen = select_outputs(make(tmp_path, _end), ["pooled", "logits", "scores"])
    assert [output.name for output in chosen.card.all_outputs] == ["pooled", "logits", "scores"]
    assert (chosen.card.classifier, chosen.card.classifier_kind) == ("scores", "softmax")


@pytest.mark.parametrize(("operator", "kind"), shortened([("Softmax", "logits"), ("Sigmoid", "sigmoid logits")]))
def test_numbers_before_the_activation_are_the_class_scores_if_only_they_are_taken(
    operator: str, kind: str, tmp_path: Path
) -> None:
    def _end(graph: Graph) -> str:
        return graph.add(operator, graph.add("Identity", dense(graph, into="logits")), into="scores")

    added = make(tmp_path, _end)
    assert (added.card.classifier, added.card.classifier_kind) == ("scores", operator.lower())
    chosen = select_outputs(added, ["pooled", "logits"])
    assert (chosen.card.classifier, chosen.card.classifier_kind) == ("logits", kind)
    described = describe(added.path, "pooled", "logits").card
    assert (described.classifier, described.classifier_kind) == ("logits", kind)
    assert chosen.hash == select_outputs(with_card(added, classifier=""), ["pooled", "logits"]).hash


def test_logits_and_the_classifier_by_name_are_one_output_given_twice(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="--output 'logits' is 'scores', which is given too; name it once"):
        select_outputs(make(tmp_path, dense), ["logits", "scores"])


def test_a_model_without_a_classifier_has_no_logits(tmp_path: Path) -> None:
    graph = Graph()
    backbone = describe(graph.save(tmp_path / "m.onnx", graph.pooled(into="embedding")))
    with pytest.raises(BackboneError, match="no tensor 'logits'"):
        select_outputs(backbone, ["logits"])


def test_a_backbone_can_be_added_with_its_logits(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", dense(graph))
    assert [output.name for output in describe(path, "pooled", "logits").card.all_outputs] == ["pooled", "scores"]


def test_the_command_says_what_the_scores_are(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", KINDS["Sigmoid"][0](graph))
    assert "classifier: scores (sigmoid)" in featx("inspect", path).out


# ---- in a cache


@pytest.mark.parametrize("name", shortened(["a dense layer", "Softmax", "Sigmoid"]))
def test_a_cache_says_what_its_class_scores_are_and_leep_reads_them_as_such(name: str, tmp_path: Path) -> None:
    end, kind = KINDS[name]
    backbone = select_outputs(make(tmp_path, end), ["pooled", "logits"])
    into = tmp_path / "a.h5"
    images = list_images(write_folder(tmp_path / "images", (8, 8)))
    extract_features(images, backbone, into=into, settings=Settings(device="cpu", batch_size=4, streams=1))
    table = read_features(into, outputs=["logits"])
    (source,) = table.sources
    assert (source.output, source.card["classifier"], source.card["classifier_kind"]) == ("scores", "scores", kind)
    (row,) = score_transferability(table, scores=["leep"]).rows
    assert row.value is not None


def test_logits_of_a_cache_are_what_the_model_computes(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    backbone = make(tmp_path, dense)
    np.save(tmp_path / "pixels.npy", random_pixels(4))
    common = ["--models", tmp_path / "models", "--backbone", "m", "--device", "cpu"]
    ran = featx("extract", tmp_path / "pixels.npy", *common, "--output", "logits", "--into", tmp_path / "a.h5")
    assert ran.code == 0, ran.err
    found = read_features(tmp_path / "a.h5", outputs=["logits"]).features
    np.testing.assert_allclose(found, run(backbone.path, normalised(random_pixels(4)), "scores")[0], atol=1e-5)
