"""Models of strangers: what they ask for is bounded before it is computed, and what they compute is ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from featx.apart import Allow, Limits, run_apart
from featx.backbones import Backbone, Card, ImageInput, inspect_apart, inspect_model, vet
from featx.errors import BackboneError
from featx.hashing import hash_file
from featx.inputs import PixelSpec
from tests.conftest import Ran, Tiny
from tests.extract.test_shards import wait_until
from tests.support.graphs import FLOAT, INT64, Graph
from tests.support.sizes import shortened

HUGE = 2**30
SIDE = 2**15


def integer(graph: Graph, value: int) -> str:
    """Keep a single integer."""
    return graph.store(np.int64(value))


def end_in(graph: Graph, big: str) -> str:
    """Add the sum of a tensor to what is pooled, so that the model needs it."""
    pooled = graph.add("ReduceMean", graph.image, axes=[2, 3], keepdims=0)
    total = graph.add("ReduceSum", graph.add("Cast", big, to=FLOAT), keepdims=0)
    return graph.add("Add", pooled, total, into="features")


def range_of_many(graph: Graph) -> str:
    """Every number up to a large one."""
    return graph.add("Range", integer(graph, 0), integer(graph, HUGE), integer(graph, 1))


def doubled(graph: Graph) -> str:
    """A vector that is joined to itself again and again."""
    name = graph.integers(1)
    for _ in range(40):
        name = graph.add("Concat", name, name, axis=0)
    return name


def doubled_in_a_branch(graph: Graph) -> str:
    """The same in a branch."""
    inner = Graph()
    inner.weights.clear()
    end = helper.make_tensor_value_info(doubled(inner), INT64, None)
    branch = helper.make_graph(inner.nodes, "branch", [], [end], inner.weights)
    return graph.add("If", "unknown", then_branch=branch, else_branch=branch)


def random(graph: Graph) -> str:
    """Random numbers."""
    return graph.add("RandomNormal", shape=[SIDE, SIDE])


def one_hot(graph: Graph) -> str:
    """A long row for each of many numbers."""
    places = graph.store(np.zeros(SIDE, np.int64))
    return graph.add("OneHot", places, integer(graph, SIDE), graph.store(np.array([0, 1], np.float32)))


def grown(operator: str, *more: Any) -> Callable[[Graph], str]:
    """One number that an operator makes many of."""

    def _grow(graph: Graph) -> str:
        return graph.add(operator, graph.store(np.zeros((1, 1), np.float32)), *map(graph.store, more))

    return _grow


def filled(graph: Graph) -> str:
    """Zeros."""
    return graph.add("ConstantOfShape", graph.integers(SIDE, SIDE))


BOMBS = {
    "Range": range_of_many,
    "Concat": doubled,
    "Concat in a branch": doubled_in_a_branch,
    "ConstantOfShape": filled,
    "Expand": grown("Expand", np.array([SIDE, SIDE])),
    "Tile": grown("Tile", np.array([SIDE, SIDE])),
    "Pad": grown("Pad", np.array([0, 0, SIDE, SIDE])),
    "OneHot": one_hot,
    "RandomNormal": random,
}


def bomb(folder: Path, name: str) -> Path:
    """A model of a few hundred bytes that asks for gigabytes."""
    graph = Graph(ir=8)
    if "branch" in name:
        graph.inputs.append(helper.make_tensor_value_info("unknown", TensorProto.BOOL, []))
    graph.nodes.clear()
    end = end_in(graph, BOMBS[name](graph))
    path = folder / f"{name}.onnx"
    ends = [helper.make_tensor_value_info(end, FLOAT, ["batch", 3])]
    made = helper.make_graph(graph.nodes, "bomb", graph.inputs, ends, graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def inspect_all(paths: list[Path], allow: Allow) -> dict[str, str]:
    """Inspect the models, and return what was said about each."""
    said = {}
    for path in paths:
        try:
            said[path.stem] = inspect_model(path).feature_output or ""
        except BackboneError as error:
            said[path.stem] = str(error)
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="the system limits memory on Linux only")
def test_sizes_are_known_before_anything_is_computed(tmp_path: Path) -> None:
    paths = [bomb(tmp_path, name) for name in BOMBS]
    said = run_apart(partial(inspect_all, paths), limits=Limits(100, 2**27))
    for name, told in said.items():
        assert "too large for featx" in told or "branch" in name, told
        assert "\n" not in told


def change_and_inspect(folder: Path, change: Callable[[ModelProto], object]) -> None:
    """Inspect a small model after a change."""
    graph = Graph()
    model = graph.model(graph.dense(graph.pooled(), 8, 5, into="logits"))
    change(model)
    path = folder / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    inspect_model(path)


def claim_more(model: ModelProto) -> None:
    """Say that a weight is larger than it is."""
    model.graph.initializer[0].dims[0] = 2**40


def store_sparsely(model: ModelProto) -> None:
    """Store a weight of many zeros in a few bytes."""
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2**40]))


def compute_twice(model: ModelProto) -> None:
    """Compute a tensor from itself, under its own name."""
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["logits"]))


def compute_in_a_circle(model: ModelProto) -> None:
    """Compute a tensor from itself."""
    model.graph.node.append(helper.make_node("Add", ["logits", "b"], ["a"]))
    model.graph.node.append(helper.make_node("Identity", ["a"], ["b"]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (claim_more, "stored values"),
        (store_sparsely, "too large for featx"),
        (compute_twice, "computed by a node although it has its values"),
        (compute_in_a_circle, "computed from itself"),
    ],
)
def test_what_no_exporter_writes_is_refused(tmp_path: Path, change: Callable[[ModelProto], object], told: str) -> None:
    with pytest.raises(BackboneError, match=told):
        change_and_inspect(tmp_path, change)


def test_nodes_in_another_order_are_sorted(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "sorted.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))
    model = onnx.load(str(path))
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])
    path.with_name("reversed.onnx").write_bytes(model.SerializeToString())
    for name in ("sorted", "reversed"):
        assert inspect_model(tmp_path / f"{name}.onnx").feature_output == "pooled"


# ---- time


def chain(graph: Graph, count: int) -> list[str]:
    """Nodes after each other."""
    name = graph.pooled()
    for _ in range(count):
        name = graph.add("Neg", name)
    return [graph.dense(name, 8, 5, into="logits")]


def wide(graph: Graph, count: int) -> list[str]:
    """Nodes beside each other."""
    pooled = graph.pooled()
    joined = graph.add("Concat", *[graph.add("Neg", pooled) for _ in range(count)], axis=1)
    return [graph.dense(joined, 8 * count, 5, into="logits")]


def diamonds(graph: Graph, count: int) -> list[str]:
    """Paths that part and meet again, also after the last layer."""
    name = graph.dense(graph.pooled(), 8, 5)
    for _ in range(count):
        name = graph.add("Add", graph.add("Identity", name), graph.add("Dropout", name))
    return [graph.add("Softmax", name, into="scores")]


def outputs(graph: Graph, count: int) -> list[str]:
    """Many outputs."""
    pooled = graph.pooled()
    return [graph.dense(pooled, 8, 5, into=f"logits{place}") for place in range(count)]


def shapes(graph: Graph, count: int) -> list[str]:
    """Arithmetic on shapes."""
    name = graph.pooled()
    for _ in range(count):
        name = graph.add("Reshape", name, graph.add("Shape", name))
    return [graph.dense(name, 8, 5, into="logits")]


def branches(graph: Graph, count: int) -> list[str]:
    """Branches that shapes decide."""
    name = graph.pooled()
    yes = graph.store(np.array(True))
    for place in range(count):
        ends = [helper.make_tensor_value_info(f"in{place}", FLOAT, None)]
        node = helper.make_node("Neg", [name], [f"in{place}"])
        branch = helper.make_graph([node], "branch", [], ends)
        name = graph.add("If", yes, then_branch=branch, else_branch=branch)
    return [graph.dense(name, 8, 5, into="logits")]


def steps_to_inspect(path: Path) -> int:
    """Number of instructions of featx's own code that run while a model is inspected."""
    count = 0

    def _trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return _trace if "featx" in frame.f_code.co_filename else None

    sys.settrace(_trace)
    try:
        inspect_model(path)
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("form", shortened([diamonds, branches, chain, wide, outputs, shapes], most=2))
def test_a_graph_of_twice_the_nodes_takes_twice_the_steps(
    tmp_path: Path, form: Callable[[Graph, int], list[str]]
) -> None:
    steps = []
    for count in (40, 80, 160):
        graph = Graph()
        steps.append(steps_to_inspect(graph.save(tmp_path / f"{count}.onnx", *form(graph, count))))
    assert steps[2] - steps[1] < 2.3 * (steps[1] - steps[0])


# ---- what runs


def looping(graph: Graph) -> str:
    """A loop whose condition stays true."""
    pooled = graph.add("ReduceMean", graph.image, axes=[2, 3], keepdims=0)
    inputs = [
        helper.make_tensor_value_info("turn", INT64, []),
        helper.make_tensor_value_info("again", TensorProto.BOOL, []),
        helper.make_tensor_value_info("value", FLOAT, None),
    ]
    ends = [
        helper.make_tensor_value_info("again_too", TensorProto.BOOL, []),
        helper.make_tensor_value_info("value_too", FLOAT, None),
    ]
    nodes = [
        helper.make_node("Identity", ["again"], ["again_too"]),
        helper.make_node("Identity", ["value"], ["value_too"]),
    ]
    body = helper.make_graph(nodes, "body", inputs, ends)
    return graph.add("Loop", "", graph.store(np.array(True)), pooled, into="features", body=body)


def hungry(graph: Graph) -> str:
    """A size that only running the model shows, since floats decide it."""
    size = graph.add("Cast", graph.add("Exp", graph.store(np.array([20.0], np.float32))), to=INT64)
    return end_in(graph, graph.add("ConstantOfShape", size))


def write(folder: Path, form: Callable[[Graph], str]) -> Path:
    """The model of this form."""
    graph = Graph()
    path = folder / f"{form.__name__}.onnx"
    end = helper.make_tensor_value_info(form(graph), FLOAT, ["batch", 3])
    return graph.save(path, end)


ADDING = ("--size", "16", "--mean", "1", "--std", "1", "--output", "features")


@pytest.mark.skipif(sys.platform != "linux", reason="the system limits memory on Linux only")
def test_a_model_that_asks_for_gigabytes_while_it_runs_is_refused_in_one_line(
    tmp_path: Path, featx: Callable[..., Ran]
) -> None:
    ran = featx("backbones", "add", write(tmp_path, hungry), "--name", "n", "--models", tmp_path / "models", *ADDING)
    assert ran.code == 1
    assert "hungry.onnx: needs more than" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert not list(tmp_path.glob("models/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("number", shortened([signal.SIGINT, signal.SIGTERM]))
def test_a_model_that_never_ends_is_interrupted_at_once(tmp_path: Path, number: signal.Signals) -> None:
    models = tmp_path / "models"
    command = ["backbones", "add", write(tmp_path, looping), "--name", "n", "--models", models, *ADDING]
    process = subprocess.Popen([sys.executable, "-m", "featx", *map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        running = psutil.Process(process.pid)
        wait_until(lambda: any(child.cpu_times().user > 1 for child in running.children()))
        child = running.children()[0]
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in said) == (130, False)
        wait_until(lambda: not child.is_running())
    finally:
        process.kill()
        process.wait(20)
    assert not list(models.glob("*.toml"))


def test_what_is_inspected_apart_is_what_is_inspected_here(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))
    assert inspect_apart(path) == inspect_model(path)


# ---- cards of strangers


def card_of(folder: Path, form: Callable[[Graph], str]) -> Backbone:
    """A backbone that nobody has added: a stranger wrote its card."""
    path = write(folder, form)
    pixels = PixelSpec(size=16, resize=16, mean=(1.0,) * 3, std=(1.0,) * 3)
    card = Card(
        name=form.__name__,
        file=path.name,
        sha256=hash_file(path),
        input=ImageInput(name="image", pixels=pixels),
        feature="features",
        dim=3,
    )
    path.with_suffix(".toml").write_text(card.to_toml(), encoding="utf-8")
    return Backbone(card, path)


@pytest.mark.skipif(sys.platform != "linux", reason="the system limits memory on Linux only")
def test_a_model_of_a_stranger_is_tried_apart_before_images_are_extracted(
    tmp_path: Path, featx: Callable[..., Ran], make_folder: Callable[..., Path]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    card_of(models, hungry)
    into = tmp_path / "c.h5"
    ran = featx("extract", make_folder((2, 2)), "--backbone", "hungry", "--models", models, "--into", into)
    assert ran.code == 1
    assert "needs more than" in ran.err.splitlines()[-1]
    assert not into.exists()


def test_a_backbone_is_tried_once_on_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    vet(tiny.backbone)
    monkeypatch.setattr("featx.apart.subprocess", None)
    vet(tiny.backbone)
    other = replace(tiny.backbone, card=replace(tiny.backbone.card, sha256="1" * 64))
    with pytest.raises(AttributeError):
        vet(other)
