"""Warns once of nodes that run on the CPU although the session is on another device."""

import logging
from functools import cache
from typing import TYPE_CHECKING

from featx.devices import PROVIDERS

if TYPE_CHECKING:
    import onnxruntime

    from featx.backbones.graph.contents import GraphContents

logger = logging.getLogger(__name__)

_OPERATORS_NAMED = 5
"""Number of operators that the warning names."""


def warn_of_nodes_on_cpu(session: "onnxruntime.InferenceSession", contents: "GraphContents", *, name: str) -> None:
    """Warn of nodes that read pixels and run on the CPU; nodes that only compute shapes belong there."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        logger.info("%s: onnxruntime before 1.24 does not report where nodes run", name)
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
    """Warn only once: a model is opened again to find the best share of the cores, or on a second GPU."""
    logger.warning("%s", message)
