"""A session in; how many of its nodes it left to the CPU, told once, out."""

import logging
from functools import cache
from typing import TYPE_CHECKING

from featx.devices import PROVIDERS

if TYPE_CHECKING:
    import onnxruntime

    from featx.backbones.graph.contents import GraphContents

logger = logging.getLogger(__name__)

_OPERATORS_NAMED = 5
"""Operators that are named where many nodes run on the CPU."""


def warn_of_nodes_on_cpu(session: "onnxruntime.InferenceSession", contents: "GraphContents", *, name: str) -> None:
    """Warn of nodes that touch pixels and run on the CPU; those that only compute shapes belong there."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        logger.info("%s: where its nodes run is only told by onnxruntime 1.24 and later", name)
        return
    placed = [
        (part.ep_name, node) for part in session.get_provider_graph_assignment_info() for node in part.get_nodes()
    ]
    left = [
        node.op_type
        for provider, node in placed
        if provider == PROVIDERS["cpu"] and (node.name, node.op_type) not in contents.shape_nodes
    ]
    if left:
        operators = sorted(set(left), key=lambda operator: (-left.count(operator), operator))
        named = ", ".join(operators[:_OPERATORS_NAMED]) + (", ..." if len(operators) > _OPERATORS_NAMED else "")
        where = session.get_providers()[0]
        _warn_once(f"{name} on {where}: {len(left)} of {len(placed)} nodes run on the CPU: {named}")


@cache
def _warn_once(message: str) -> None:
    """The same model is opened again while the best share of the cores is sought, or on a second GPU."""
    logger.warning("%s", message)
