"""Puts the nodes of a graph in an order in which each can be computed, and refuses graphs that have none."""

from collections import deque

from onnx import GraphProto, NodeProto

from featx.backbones.graph.view import assign, captured


class OrderError(ValueError):
    """A tensor is computed twice, or from itself."""


def sort_nodes(graph: GraphProto) -> None:
    """Sort the nodes so that each follows those whose outputs it reads; nodes in such an order keep it.

    Raises OrderError if two nodes compute a tensor of one name, or if a tensor is computed from itself.
    """
    makers = _makers(graph)
    needed = [_needed(node, makers) for node in graph.node]
    if all(max(places, default=-1) < place for place, places in enumerate(needed)):
        return
    assign(graph.node, [graph.node[place] for place in _sorted(needed)])


def _makers(graph: GraphProto) -> dict[str, int]:
    """Tensor -> place of the node that computes it."""
    makers = dict[str, int]()
    given = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    for place, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers or name in given:
                raise OrderError(f"tensor {name!r} is computed by a node although it has its values already")
            makers[name] = place
    return makers


def _needed(node: NodeProto, makers: dict[str, int]) -> set[int]:
    """The places of the nodes whose outputs the node reads."""
    return {makers[name] for name in {*node.input, *captured(node)} if name in makers}


def _sorted(needed: list[set[int]]) -> list[int]:
    """The places in an order in which each follows those that it needs (Kahn 1962)."""
    readers: list[list[int]] = [[] for _ in needed]
    for place, places in enumerate(needed):
        for other in places:
            readers[other].append(place)
    lacking = [len(places) for places in needed]
    ready = deque(place for place, count in enumerate(lacking) if not count)
    found = list[int]()
    while ready:
        found.append(ready.popleft())
        for reader in readers[found[-1]]:
            lacking[reader] -= 1
            if not lacking[reader]:
                ready.append(reader)
    if len(found) < len(needed):
        raise OrderError("a tensor is computed from itself")
    return found
