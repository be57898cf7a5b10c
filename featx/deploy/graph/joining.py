"""Joins the graphs of backbones and the nodes of a head to one model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, ValueInfoProto, checker, helper, version_converter

from featx.backbones import RESERVED, opset
from featx.deploy.deployed import MARK
from featx.deploy.graph.classifiers import add_scores
from featx.deploy.graph.ending import add_ending, describe_outputs
from featx.deploy.graph.nodes import LEAST_OPSET, Nodes
from featx.deploy.graph.views import Axes, add_views, can_make, mean_over_views, pool_scores, stack_views
from featx.errors import HeadError, one_line
from featx.heads import Head

MOST_BYTES = 2**31 - 2**20
"""The largest model that fits in one file."""


@dataclass(frozen=True)
class Trunk:
    """The graph of one backbone in a model."""

    name: str
    """The beginning of the names of its tensors, which no other trunk has."""
    model: ModelProto
    """It has one input, and one output for each vector of features."""
    input: str
    """What its input is called in the joined model; trunks with the same one share it."""
    batch: int | None
    """The number of images that it must be given at once; None if that is free."""
    axes: Axes
    """Where the sides of images are in its input."""
    views: tuple[str, ...]
    """The views of each image that it runs on."""
    averaged: bool = False
    """Whether its features are averaged over the views; else each view of an image stays a row."""

    @property
    def takes_views(self) -> bool:
        """Whether the joined model is given all views of its images, and not view 0 alone."""
        return not can_make(self.views)


def join(head: Head, trunks: Sequence[Trunk], *, columns: Sequence[tuple[int, int]]) -> ModelProto:
    """The model from the inputs of all trunks to the head's labels and probabilities.

    `columns` names the trunk and its output for each block of the head's columns. Raises HeadError if a part of the
    head has no nodes, the trunks do not fit together, or the model is too large for one file.
    """
    version = max(LEAST_OPSET, *(opset(trunk.model) for trunk in trunks))
    models = [_named(_at_opset(trunk.model, version), trunk) for trunk in trunks]
    inputs = {trunk.input: _input_of(model, trunk) for model, trunk in zip(models, trunks, strict=True)}
    fronts = [
        _front(trunk, model, place, version) for place, (trunk, model) in enumerate(zip(trunks, models, strict=True))
    ]
    nodes = Nodes(opset=version)
    rows = nodes.joined([_block(nodes, trunks[trunk], models[trunk], place) for trunk, place in columns])
    scores = add_scores(nodes, head.pipeline, rows)
    if head.view_columns.count > 1:
        classes = len(head.classes)
        scores = pool_scores(nodes, scores, count=head.view_columns.count, classes=classes, multilabel=head.multilabel)
    outputs = add_ending(nodes, scores, head.classes, temperature=head.temperature, multilabel=head.multilabel)
    graph = GraphProto(name=f"{head.name} on {' + '.join(trunk.name for trunk in trunks)}")
    batch = _common_batch(trunks)
    for front, model in zip(fronts, models, strict=True):
        graph.node.extend([*front.nodes, *model.graph.node])
        graph.initializer.extend([*front.constants, *model.graph.initializer])
    graph.node.extend(nodes.nodes)
    graph.initializer.extend(nodes.constants)
    graph.input.extend(inputs.values())
    graph.output.extend(describe_outputs(outputs, batch or "batch"))
    return _finished(graph, models)


def _input_of(model: ModelProto, trunk: Trunk) -> ValueInfoProto:
    """The input of the joined model from which this trunk takes its images."""
    found = ValueInfoProto()
    found.CopyFrom(model.graph.input[0])
    found.name = trunk.input
    if trunk.takes_views:
        dims = found.type.tensor_type.shape.dim
        sides = [dim.dim_value for dim in dims]
        dims.add()
        for dim, side in zip(dims[1:], [len(trunk.views), *sides[1:]], strict=True):
            dim.dim_value = side
    return found


def _front(trunk: Trunk, model: ModelProto, place: int, version: int) -> Nodes:
    """The nodes that make, or stack, the views of the images that a trunk runs on; none if it runs on view 0 alone."""
    nodes = Nodes(opset=version, part=f"views_{place}")
    if len(trunk.views) == 1:
        return nodes
    if trunk.takes_views:
        sides = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        views = stack_views(nodes, trunk.input, sides=sides)
    else:
        views = add_views(nodes, trunk.input, trunk.views, axes=trunk.axes)
    nodes.add("Identity", views, into=_taken(trunk))
    return nodes


def _taken(trunk: Trunk) -> str:
    """The name of the tensor that a trunk runs on: an input of the model, or the views of its images."""
    return trunk.input if len(trunk.views) == 1 else f"{trunk.name}/{RESERVED}views"


def _block(nodes: Nodes, trunk: Trunk, model: ModelProto, place: int) -> str:
    """An output of a trunk as a block of the head's columns."""
    output = model.graph.output[place]
    if not trunk.averaged:
        return str(output.name)
    columns = output.type.tensor_type.shape.dim[1].dim_value
    return mean_over_views(nodes, output.name, count=len(trunk.views), columns=columns)


def _common_batch(trunks: Sequence[Trunk]) -> int | None:
    for trunk in trunks:
        if trunk.batch is not None and len(trunk.views) > 1:
            raise HeadError(
                f"backbone {trunk.name} takes {trunk.batch} images at a time, so it cannot run on {len(trunk.views)} "
                "views of an image in one graph; export it with a free batch axis, or train with --views first"
            )
    fixed = sorted({trunk.batch for trunk in trunks if trunk.batch is not None})
    if len(fixed) > 1:
        raise HeadError(
            f"one backbone takes {fixed[0]} images at a time and another {fixed[1]}, so they cannot be one graph; "
            "export them with a free batch axis"
        )
    return fixed[0] if fixed else None


def _at_opset(model: ModelProto, version: int) -> ModelProto:
    """The model in the operators of this opset. Raises HeadError if it cannot be converted to them."""
    if opset(model) == version:
        return model
    try:
        return version_converter.convert_version(model, version)
    except Exception as error:  # onnx's C++ code has no error types of its own
        raise HeadError(
            f"a backbone of opset {opset(model)} cannot be converted to opset {version} ({one_line(error)}); "
            f"export it to opset {version}"
        ) from error


def _named(model: ModelProto, trunk: Trunk) -> ModelProto:
    """A copy of the model in which every name but that of the input begins with the name of the trunk."""
    copy = ModelProto()
    copy.CopyFrom(model)
    own = copy.graph.input[0].name

    def _name(name: str) -> str:
        return _taken(trunk) if name == own else f"{trunk.name}/{name}" if name else ""

    _rename(copy.graph, _name)
    return copy


def _rename(graph: GraphProto, name: Callable[[str], str]) -> None:
    for node in graph.node:
        node.name = name(node.name)
        node.input[:] = [name(one) for one in node.input]
        node.output[:] = [name(one) for one in node.output]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, name)
    for named in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        named.name = name(named.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = name(sparse.values.name)
    del graph.quantization_annotation[:]


def _finished(graph: GraphProto, models: Sequence[ModelProto]) -> ModelProto:
    """The checked model of this graph."""
    opsets: Mapping[str, int] = {entry.domain: entry.version for model in models for entry in model.opset_import}
    model = helper.make_model(
        graph,
        producer_name=MARK,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=max(model.ir_version for model in models),
    )
    if (size := model.ByteSize()) > MOST_BYTES:
        raise HeadError(f"backbones and head have {size} bytes, but one ONNX file has at most {MOST_BYTES}")
    checker.check_model(model)
    return model
