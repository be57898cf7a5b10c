"""Every operator of the interpreter: its numbers against ONNX Runtime, its gradients against finite differences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from featx.backbones.graph.tail import Tail, learned, plain_node

torch = pytest.importorskip("torch", reason="the interpreter computes with torch, which is not installed")

RNG = np.random.default_rng(0)
Array = Any


def floats(*sides: int) -> Array:
    """Random numbers, none of them near 0, where many operators have a kink."""
    drawn = RNG.normal(size=sides)
    return np.asarray(np.where(np.abs(drawn) < 0.02, 0.3, drawn), np.float32)


def positive(*sides: int) -> Array:
    return np.abs(floats(*sides)) + np.float32(0.5)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class Case:
    """A node; its first input is given to the network, the others are stored."""

    operator: str
    inputs: tuple[Array | None, ...]
    opset: int
    domain: str
    outputs: int
    settings: dict[str, Any]

    def node(self) -> Any:
        names = ["" if one is None else f"i{place}" for place, one in enumerate(self.inputs)]
        made = [f"o{place}" for place in range(self.outputs)]
        return helper.make_node(self.operator, names, made, domain=self.domain, **self.settings)

    def by_onnxruntime(self) -> Array:
        typed = [
            helper.make_tensor_value_info(f"i{place}", helper.np_dtype_to_tensor_dtype(one.dtype), one.shape)
            for place, one in enumerate(self.inputs)
            if one is not None and not place
        ]
        stored = [
            numpy_helper.from_array(one, f"i{place}")
            for place, one in enumerate(self.inputs)
            if one is not None and place
        ]
        made = [helper.make_empty_tensor_value_info(f"o{place}") for place in range(self.outputs)]
        graph = helper.make_graph([self.node()], "one", typed, made, stored)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset < 21 else 10)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"i0": self.inputs[0]})[-1])

    def tail(self) -> Tail:
        node = self.node()
        constants = {f"i{place}": one for place, one in enumerate(self.inputs) if one is not None and place}
        return Tail(
            source="one node",
            tensor="i0",
            shape=(),
            feature=node.output[-1],
            opset=self.opset,
            nodes=(plain_node(node, source="one node"),),
            constants=constants,
            weights=learned([node], constants),
            shapes={},
        )


def case(
    operator: str, *inputs: Array | None, opset: int = 17, domain: str = "", outputs: int = 1, **settings: Any
) -> Case:
    return Case(operator, inputs, opset, domain, outputs, settings)


def pair(operator: str) -> list[Case]:
    return [case(operator, floats(2, 3, 4), floats(3, 1)), case(operator, floats(2, 3), np.float32(1.5))]


MAP, ODD, EVEN = floats(2, 4, 4, 6), floats(2, 3, 7, 5), floats(2, 3, 6, 6)
SMOOTH = [
    *(case("Conv", MAP, floats(5, 4, 3, 3), floats(5)), case("Conv", MAP, floats(5, 4, 3, 3), pads=[1, 1, 1, 1])),
    case("Conv", MAP, floats(8, 1, 3, 3), floats(8), group=4, strides=[2, 1], pads=[0, 1, 1, 0]),
    case("Conv", MAP, floats(4, 2, 2, 2), group=2, dilations=[2, 3], pads=[1, 2, 1, 2]),
    *(case("Conv", ODD, floats(2, 3, 3, 2), auto_pad=way, strides=[2, 2]) for way in ("SAME_UPPER", "SAME_LOWER")),
    *(case("Conv", ODD, floats(2, 3, 2, 2), auto_pad="VALID"), case("Conv", floats(2, 3, 7), floats(2, 3, 3))),
    case("Conv", floats(1, 2, 4, 4, 4), floats(2, 2, 2, 2, 2)),
    *(case(name, MAP) for name in ("GlobalAveragePool", "GlobalMaxPool")),
    case("MaxPool", MAP, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("MaxPool", ODD, kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 1, 2]),
    case("MaxPool", ODD, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("MaxPool", ODD, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[0, 0, 1, 1]),
    case("MaxPool", ODD, kernel_shape=[2, 2], dilations=[2, 2]),
    case("MaxPool", ODD, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    *(
        case("AveragePool", ODD, kernel_shape=[3, 3], strides=[2, 2], count_include_pad=counted, pads=pads)
        for counted in (0, 1)
        for pads in ([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0])
    ),
    *(case("AveragePool", ODD, kernel_shape=[2, 2], strides=[2, 2], auto_pad=way) for way in ("SAME_LOWER", "VALID")),
    case("AveragePool", ODD, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, opset=19),
    case("AveragePool", floats(2, 3, 8), kernel_shape=[3], strides=[2]),
    case("MaxPool", EVEN, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1),
    case("MaxPool", EVEN, kernel_shape=[2, 3], strides=[3, 2], pads=[1, 0, 0, 2], ceil_mode=1, opset=22),
    *(
        case(
            "AveragePool",
            EVEN,
            opset=19,
            kernel_shape=[2, 3],
            strides=strides,
            ceil_mode=1,
            count_include_pad=counted,
            pads=[0, 0, 1, 1],
        )
        for counted in (0, 1)
        for strides in ([2, 2], [3, 2])
    ),
    case("Pad", MAP, whole(0, 0, -1, 2, 0, 0, 2, -1), mode="wrap", opset=19),
    *(
        case(name, floats(2, 3), opset=18, noop_with_empty_axes=1)
        for name in ("ReduceL1", "ReduceL2", "ReduceSumSquare")
    ),
    case("ReduceSum", floats(2, 3), opset=18, noop_with_empty_axes=1),
    case("Squeeze", floats(2, 1, 3, 1), whole()),
    case("Pad", MAP, whole(0, 0, 1, 2, 0, 1, 0, 1), np.float32(0.5)),
    case("Pad", MAP, whole(0, 0, -1, 0, 0, 0, 1, -1)),
    *(case("Pad", MAP, whole(0, 0, 1, 2, 0, 0, 2, 3), mode=mode) for mode in ("reflect", "edge")),
    case("Pad", MAP, pads=[0, 0, 1, 0, 0, 0, 0, 1], value=0.25, opset=10),
    case("Pad", MAP, whole(1, 2), None, whole(3), opset=18),
    *(case(name, floats(3, 4)) for name in ("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign", "Erf")),
    *(case(name, floats(3, 4)) for name in ("Neg", "Exp", "Abs", "Sin", "Cos", "Elu", "Celu", "Selu", "LeakyRelu")),
    *(case(name, positive(3, 4)) for name in ("Sqrt", "Reciprocal", "Log")),
    *(case(name, floats(3, 4)) for name in ("HardSigmoid", "ThresholdedRelu", "Identity", "Dropout")),
    *(case("Mish", floats(3, 4), opset=18), case("Gelu", floats(3, 4), opset=20)),
    case("Swish", floats(3, 4), opset=24, alpha=1.2),
    *(case("Elu", floats(3, 4), alpha=0.5), case("LeakyRelu", floats(3, 4), alpha=0.2)),
    *(case("Selu", floats(3, 4), alpha=1.5, gamma=1.2), case("HardSigmoid", floats(3, 4), alpha=0.3, beta=0.4)),
    case("Gelu", floats(3, 4), opset=20, approximate="tanh"),
    *(case(name, floats(3, 4), domain="com.microsoft") for name in ("Gelu", "QuickGelu", "FastGelu")),
    case("FastGelu", floats(3, 4), floats(4), domain="com.microsoft"),
    *(case("PRelu", MAP, floats(4, 1, 1)), case("PRelu", MAP, floats(1))),
    case("Clip", floats(3, 4), np.float32(-0.5), np.float32(0.75)),
    *(case("Clip", floats(3, 4), np.float32(0)), case("Clip", floats(3, 4), None, np.float32(0.4))),
    *(case("Clip", floats(3, 4), opset=6, min=-0.5, max=0.5), case("Clip", floats(3, 4))),
    *(one for name in ("Add", "Sub", "Mul") for one in pair(name)),
    *(case("Div", floats(2, 3, 4), positive(3, 1)), case("Pow", positive(3, 4), np.float32(1.5))),
    *(case("Pow", floats(3, 4), np.float32(2)), case("Pow", positive(3, 4), floats(3, 4))),
    *(case(name, floats(2, 3), floats(2, 3), floats(3)) for name in ("Sum", "Max", "Min")),
    case("Where", np.array([[True], [False]]), floats(2, 3), floats(3)),
    *(case(name, MAP, axes=[2, 3]) for name in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1")),
    *(case(name, MAP, axes=[1], keepdims=0) for name in ("ReduceProd", "ReduceSumSquare", "ReduceLogSumExp")),
    *(case(name, MAP, whole(-1, 1), keepdims=0, opset=18) for name in ("ReduceMean", "ReduceMax", "ReduceL2")),
    *(case("ReduceSum", MAP, whole(2)), case("ReduceSum", MAP), case("ReduceMean", MAP)),
    case("ReduceSum", MAP, noop_with_empty_axes=1),
    *(case("Gemm", floats(3, 4), floats(4, 5), floats(5)), case("Gemm", floats(3, 4), floats(5, 4), transB=1)),
    case("Gemm", floats(4, 3), floats(4, 5), floats(3, 1), transA=1, alpha=0.5, beta=2.0),
    *(
        case("Gemm", floats(4, 3), floats(5, 4), floats(1), transA=1, transB=1),
        case("Gemm", floats(3, 4), floats(4, 2)),
    ),
    *(case("MatMul", floats(2, 3, 4), floats(4, 5)), case("MatMul", floats(2, 3, 4), floats(2, 4, 2))),
    *(case("MatMul", floats(3, 4), floats(4)), case("Einsum", floats(2, 3, 4), floats(4, 5), equation="bij,jk->bik")),
    case("BatchNormalization", MAP, positive(4), floats(4), floats(4), positive(4), epsilon=1e-3),
    *(case("LayerNormalization", floats(2, 3, 8), floats(8), floats(8)),),
    *(case("LayerNormalization", floats(2, 3, 8), floats(3, 8), axis=1, epsilon=1e-3),),
    case("SimplifiedLayerNormalization", floats(2, 3, 8), floats(8), epsilon=1e-3, axis=-1),
    case("RMSNormalization", floats(2, 3, 8), floats(8), epsilon=1e-3, axis=-1, opset=23),
    case("InstanceNormalization", MAP, floats(4), floats(4)),
    *(case("GroupNormalization", MAP, floats(2), floats(2), num_groups=2, opset=18),),
    *(case("GroupNormalization", MAP, floats(4), floats(4), num_groups=2, opset=21),),
    *(case("LRN", floats(2, 7, 3, 3), size=size, alpha=0.1, beta=0.6, bias=1.2) for size in (3, 5)),
    *(case("LpNormalization", floats(3, 4), p=order) for order in (1, 2)),
    *(case(name, floats(2, 3, 4), opset=opset) for name in ("Softmax", "LogSoftmax") for opset in (11, 17)),
    case("Softmax", floats(2, 3, 4), axis=1),
    *(case("Reshape", MAP, whole(0, -1, 6)), case("Reshape", MAP, whole(2, 2, 2, -1)), case("Flatten", MAP)),
    *(case("Flatten", MAP, axis=0), case("Flatten", MAP, axis=2), case("Flatten", MAP, axis=-1)),
    *(case("Squeeze", floats(2, 1, 3, 1), whole(1, 3)), case("Squeeze", floats(2, 1, 3, 1), opset=11, axes=[3])),
    *(case("Squeeze", floats(2, 1, 3, 1)), case("Unsqueeze", floats(2, 3), whole(1, -1))),
    *(case("Unsqueeze", floats(2, 3), opset=11, axes=[0]), case("Transpose", floats(2, 3, 4))),
    *(case("Transpose", floats(2, 3, 4), perm=[0, 2, 1]), case("Concat", floats(2, 3), floats(2, 4), axis=-1)),
    *(case("Split", floats(6, 3), whole(2, 4), outputs=2), case("Split", floats(6, 4), axis=1, outputs=2)),
    *(case("Split", floats(7, 3), opset=18, num_outputs=3, outputs=3),),
    *(case("Split", floats(6, 3), opset=11, split=[1, 5], outputs=2),),
    case("Slice", MAP, whole(1, 0), whole(3, 100), whole(1, -1)),
    case("Slice", MAP, whole(-1, 5), whole(-100, 0), whole(2, 3), whole(-1, -2)),
    *(case("Slice", MAP, whole(1), whole(-1), whole(2)), case("Slice", MAP, opset=9, starts=[1], ends=[3], axes=[1])),
    *(case("Gather", floats(4, 5), np.int64(-1), axis=1), case("Gather", floats(4, 5), np.array([[0, -1], [2, 2]]))),
    *(case("Expand", floats(3, 1), whole(2, 1, 4)), case("Tile", floats(2, 3), whole(2, 1))),
    *(case("DepthToSpace", floats(1, 8, 2, 3), blocksize=2, mode=mode) for mode in ("DCR", "CRD")),
    case("SpaceToDepth", floats(1, 2, 4, 6), blocksize=2),
]
WITHOUT_GRADIENT = [
    case("LpNormalization", np.concatenate([floats(2, 4), np.zeros((1, 4), np.float32)])),
    *(case("Shape", MAP), case("Shape", MAP, opset=15, start=1, end=-1), case("Size", MAP)),
    case("ConstantOfShape", whole(2, 3)),
    case("ConstantOfShape", whole(2), value=helper.make_tensor("value", 7, [1], [4])),
    *(case(name, whole(1, 2, 3), whole(3, 2, 1)) for name in ("Equal", "Greater", "Less", "LessOrEqual")),
    *(case("GreaterOrEqual", whole(1, 2, 3), whole(3, 2, 1)), case("Not", np.array([True, False]))),
    *(case(name, np.array([True, False]), np.array([True, True])) for name in ("And", "Or")),
    *(case("Pow", whole(7, -2), whole(2)), case("Clip", whole(1, 5, 9), np.int64(2), np.int64(7))),
    *(case("Div", whole(7, -7), whole(2, 2)), case("Mod", whole(7, -7), whole(3, 3))),
    *(case("Mod", floats(4), floats(4), fmod=1), case("Floor", floats(4)), case("Ceil", floats(4))),
    *(case("Sign", floats(4)), case("Cast", floats(4), to=7), case("Cast", whole(1, 2), to=1)),
    *(case("Cast", floats(4), to=1), case("CastLike", whole(1, 2), floats(1), opset=15)),
    *(case("Gather", whole(5, 6, 7), np.int64(1)), case("Add", whole(1, 2), whole(3))),
]


def label(one: Case) -> str:
    return f"{one.operator}-{one.opset}-{'-'.join(map(str, one.settings.values()))}"


def network_of(one: Case) -> Any:
    from featx.finetuning.network.interpreter import Network

    return Network(one.tail())


@pytest.mark.parametrize("one", [*SMOOTH, *WITHOUT_GRADIENT], ids=label)
def test_an_operator_computes_what_onnx_runtime_computes(one: Case) -> None:
    expected = one.by_onnxruntime()
    with torch.no_grad():
        found = network_of(one)(torch.tensor(one.inputs[0])).numpy()
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def first_of_each(cases: list[Case]) -> list[Any]:
    """The cases; all but the first of each operator are exhaustive."""
    first = {one.operator: one for one in reversed(cases)}
    return [
        pytest.param(one, id=label(one), marks=() if first[one.operator] is one else pytest.mark.exhaustive)
        for one in cases
    ]


@pytest.mark.parametrize("one", first_of_each(SMOOTH))
def test_gradients_are_those_of_finite_differences(one: Case) -> None:
    network = network_of(one).double()
    names = list(dict(network.named_parameters()))
    given = torch.tensor(one.inputs[0])
    moving = given.is_floating_point()
    maps = given.double().requires_grad_() if moving else given

    def run(maps: Any, *parameters: Any) -> Any:
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (maps,))

    weights = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    assert moving or weights
    assert torch.autograd.gradcheck(run, (maps, *weights), eps=1e-6, atol=1e-4, rtol=1e-4)


def test_a_range_of_numbers_ends_before_its_end() -> None:
    from featx.finetuning.network.operators import OPERATORS
    from featx.finetuning.network.operators.registry import Call

    node = plain_node(helper.make_node("Range", ["start", "end", "step"], ["o"]), source="one node")
    found = OPERATORS["Range"](Call(node, 17, [torch.tensor(number) for number in (1, 9, 3)]))
    assert found.tolist() == [1, 4, 7]


def test_every_operator_has_a_case() -> None:
    from featx.finetuning.network.operators import OPERATORS

    tried = {f"{one.domain}.{one.operator}".lstrip(".") for one in (*SMOOTH, *WITHOUT_GRADIENT)}
    assert OPERATORS.keys() - tried == {"Constant", "Range"}  # the value of a constant is read with the file
