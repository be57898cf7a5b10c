"""The steps of a fitted pipeline before its classifier, as nodes: rows (n, d) -> rows (n, k)."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from featx.deploy.graph.nodes import Nodes

AddStep: TypeAlias = Callable[[Nodes, Any, str], str]
"""Adds the nodes of a fitted part that reads these rows; returns the name of what it gives: rows, or class scores."""


def scaled(nodes: Nodes, rows: str, *, mean: Any, factor: Any) -> str:
    """(rows - mean) * factor."""
    centred = nodes.add("Sub", rows, nodes.numbers(mean, what="a mean"))
    return nodes.add("Mul", centred, nodes.numbers(factor, what="a factor of a column"))


def rbf_kernel(nodes: Nodes, rows: str, others: Any, *, gamma: float) -> str:
    """exp(-gamma |x - y|^2) (n, m) in float64 of rows and stored rows (m, d), with distances rounded to float32.

    So do the estimators: in float32 alone, the kernels of many support vectors would add up too many rounding errors.
    """
    wide = nodes.wide(rows)
    stored = nodes.wide(nodes.numbers(others, what="a stored row"))
    products = nodes.add("MatMul", wide, nodes.add("Transpose", stored, perm=[1, 0]))
    lengths = nodes.over_columns("ReduceSum", nodes.add("Mul", wide, wide))
    own = nodes.store(np.square(np.asarray(others).astype(np.float32).astype(np.float64)).sum(axis=1))
    twice = nodes.add("Mul", products, nodes.store(np.array([2.0])))
    distances = nodes.add("Sub", nodes.add("Add", lengths, own), twice)
    rounded = nodes.wide(nodes.add("Relu", nodes.narrow(distances)))
    return nodes.add("Exp", nodes.add("Mul", rounded, nodes.store(np.array([-gamma]))))


def _scale(nodes: Nodes, step: Any, rows: str) -> str:
    if step.how == "l2":
        return nodes.to_unit_length(rows)
    return rows if step.how == "none" else scaled(nodes, rows, mean=step.mean_, factor=step.factor_)


def _scale_blocks(nodes: Nodes, step: Any, rows: str) -> str:
    return scaled(nodes, rows, mean=step.mean_, factor=step.factor_)


def _standardise_target(nodes: Nodes, step: Any, rows: str) -> str:
    adapted = scaled(nodes, rows, mean=step.target_mean_, factor=step.factor_)
    return nodes.add("Add", adapted, nodes.numbers(step.source_mean_, what="a mean"))


def _keep(nodes: Nodes, step: Any, rows: str) -> str:
    """Rows of the target stay as they are: only the source was mapped, for training."""
    return rows


def _reduce(nodes: Nodes, step: Any, rows: str) -> str:
    """Products in float64, as those of BlockPCA."""
    mean = nodes.wide(nodes.numbers(step.mean_, what="a mean"))
    centred = nodes.add("Sub", nodes.wide(rows), mean)
    parts = []
    for (start, stop), components in zip(step.blocks_, step.components_, strict=True):
        block = centred if len(step.blocks_) == 1 else nodes.columns(centred, start, stop)
        parts.append(nodes.add("MatMul", block, nodes.wide(nodes.numbers(components))))
    return nodes.narrow(nodes.joined(parts))


def _select(nodes: Nodes, step: Any, rows: str) -> str:
    return nodes.add("Gather", rows, nodes.integers(*np.flatnonzero(step.get_support()).tolist()), axis=1)


def map_by_kernel(nodes: Nodes, step: Any, rows: str) -> str:
    """The columns of a KernelMap: kernels of the rows and its components, times its normalisation."""
    mapping = step.map_
    kernel = rbf_kernel(nodes, rows, mapping.components_, gamma=mapping.gamma)
    normalisation = nodes.wide(nodes.numbers(mapping.normalization_.T))
    return nodes.narrow(nodes.add("MatMul", kernel, normalisation))


STEPS: Mapping[str, AddStep] = {
    "BlockPCA": _reduce,
    "BlockScaler": _scale_blocks,
    "ColumnSelector": _select,
    "CoralAdapter": _keep,
    "DomainStandardiser": _standardise_target,
    "FeatureScaler": _scale,
    "KernelMap": map_by_kernel,
    "TransportAdapter": _keep,
}
"""Name of the type of a step -> what adds its nodes."""
