"""Tells what the class scores of a model are: probabilities, or numbers that an activation turns into probabilities."""

from collections.abc import Container, Iterator, Sequence

from onnx import NodeProto

from featx.backbones.card import ClassifierKind
from featx.backbones.graph.last_layers import find_last_layers
from featx.backbones.graph.layers import SAME_NUMBERS, STEPS
from featx.backbones.graph.view import View
from featx.errors import BackboneError
from featx.settings import CLASS_SCORES

_OF_OPERATOR: dict[str, ClassifierKind] = {
    "Softmax": "softmax",
    "LogSoftmax": "logits",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
}


def kind_of_scores(view: View, name: str) -> ClassifierKind:
    """What the numbers of this tensor are, if they are class scores; empty if the graph does not tell.

    `softmax`: probabilities that sum to 1. `sigmoid`: for each class its own probability. `logits`: their softmax is
    probabilities; the logarithms of probabilities count as such. `sigmoid logits`: their sigmoid is, class by class.
    """
    node = _maker(view, name)
    if node is None:
        return ""
    if node.op_type in _OF_OPERATOR:
        return _OF_OPERATOR[node.op_type]
    if _divides_by_sum(view, node):
        return "softmax"
    last = find_last_layers(view, name)
    if last is None or last.scored or last.only_best:
        return ""
    followed = {_OF_OPERATOR.get(reader.op_type) for reader in _readers(view, name)}
    return "sigmoid logits" if "sigmoid" in followed else "logits"


def with_classifier(names: Sequence[str], classifier: str, tensors: Container[str]) -> list[str]:
    """The names, with the classifier in the place of `logits` if no tensor is called so.

    Raises BackboneError if the classifier is then named twice.
    """
    if not classifier or CLASS_SCORES in tensors or CLASS_SCORES not in names:
        return list(names)
    if classifier in names:
        raise BackboneError(f"--output {CLASS_SCORES!r} is {classifier!r}, which is given too; name it once")
    return [classifier if name == CLASS_SCORES else name for name in names]


def same_scores(view: View, name: str) -> list[str]:
    """The tensors with the class scores of this one: itself, and those before its activation or its last shape."""
    found = [name]
    while len(found) < STEPS and (node := view.producers.get(found[-1])) is not None:
        if node.op_type not in SAME_NUMBERS | _OF_OPERATOR.keys():
            break
        found.append(node.input[0])
    return found


def _maker(view: View, name: str) -> NodeProto | None:
    """The node that computed the numbers of this tensor, whose shape or precision others may have changed since."""
    for _ in range(STEPS):
        node = view.producers.get(name)
        if node is None or node.op_type not in SAME_NUMBERS:
            return node
        name = node.input[0]
    return None


def _divides_by_sum(view: View, node: NodeProto) -> bool:
    """Whether the node is the last one of a softmax that is written as arithmetic."""
    makers = [view.producers.get(name) for name in node.input]
    return node.op_type == "Div" and [maker.op_type for maker in makers if maker] == ["Exp", "ReduceSum"]


def _readers(view: View, name: str, steps: int = STEPS) -> Iterator[NodeProto]:
    """The nodes that read the numbers of this tensor, also in another shape or precision."""
    for node in view.consumers.get(name, ()):
        yield node
        if node.op_type in SAME_NUMBERS and steps:
            yield from _readers(view, node.output[0], steps - 1)
