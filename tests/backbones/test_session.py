"""session: calls at once, memory of the device, memory that runs out, nodes left to the CPU, several devices."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from featx.backbones import diagnose, open_session
from featx.backbones.card import Output
from featx.backbones.graph.contents import read_contents
from featx.backbones.graph.surgery import prepare_graph
from featx.backbones.session.lanes import (
    BoundLane,
    Lanes,
    PlainLane,
)
from featx.backbones.session.nvidia import CudaMemory, HostMemory, cuda_problem, gpus
from featx.backbones.session.runtime import CPU, new_session
from featx.backbones.store import Backbone, load_backbone
from featx.devices import PROVIDERS
from featx.errors import (
    CacheMismatchError,
    DeviceError,
    InferenceError,
)
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings
from tests.conftest import Tiny
from tests.support.graphs import Graph, describe

BUNDLED = "efficientnet-lite0"


def random_pixels(count: int, *, seed: int = 0, size: int = 16) -> NDArray[np.uint8]:
    """Noise, as the decoder would hand it over."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def cpu_session(backbone: Backbone) -> Any:
    """ONNX Runtime's own session of the prepared graph."""
    return new_session(prepare_graph(backbone).model, CPU, name=backbone.name, threads=1)


# ---- many calls at once


def test_calls_at_once_give_each_caller_its_own_features(tiny: Tiny) -> None:
    session = open_session(tiny.backbone, device="cpu", streams=3)
    batches = [random_pixels(1 + seed % 5, seed=seed) for seed in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for batch, features in zip(batches, pool.map(session, batches), strict=True):
            np.testing.assert_allclose(features, tiny.expected(batch), atol=1e-5)


def test_streams_are_as_asked_on_the_cpu(tiny: Tiny) -> None:
    assert [open_session(tiny.backbone, device="cpu", streams=count).streams for count in (1, 3)] == [1, 3]


def test_a_lane_is_given_back_by_a_call_that_fails(tiny: Tiny) -> None:
    session = open_session(tiny.backbone, device="cpu", streams=1)
    for _ in range(3):
        with pytest.raises(InferenceError):
            session(random_pixels(1, size=15))
    assert len(session(random_pixels(2))) == 2


# ---- memory of the device


class FakeCuda:
    """The four calls of CUDA's runtime that are used, on the memory of the host; it counts what it is asked for."""

    def __init__(self, *, limit: int = 1 << 40) -> None:
        self.locked: dict[int, Any] = {}
        self.limit, self.copied, self.devices = limit, 0, set[int]()

    def cudaSetDevice(self, index: int) -> int:  # noqa: N802
        self.devices.add(index)
        return 0

    def cudaHostAlloc(self, address: Any, size: int, flags: int) -> int:  # noqa: N802
        if size > self.limit:
            return 2
        memory = (ctypes.c_uint8 * size)(*b"\xff" * size)
        self.locked[ctypes.addressof(memory)] = memory
        address._obj.value = ctypes.addressof(memory)
        return 0

    def cudaFreeHost(self, address: int) -> int:  # noqa: N802
        del self.locked[address]
        return 0

    def cudaMemcpy(self, into: int, source: int, size: int, kind: int) -> int:  # noqa: N802
        ctypes.memmove(into, source, size)
        self.copied += size
        return 0


def bound(backbone: Backbone, memory: Any, count: int) -> Lanes:
    """So many bound lanes on one session, their device being the CPU."""
    session = cpu_session(backbone)
    lanes = [BoundLane(session, memory, device="cpu", index=0) for _ in range(count)]
    return Lanes(lanes, name="tiny", fixed=None)


@pytest.mark.parametrize("memory", [HostMemory(), CudaMemory(FakeCuda(), 1)], ids=["host", "cuda"])
def test_bound_memory_gives_the_features_of_the_plain_path_to_the_bit(memory: Any) -> None:
    backbone = load_backbone(BUNDLED)
    pixels = random_pixels(3, size=224)
    plain = Lanes([PlainLane(cpu_session(backbone))], name="plain", fixed=None)(pixels)
    (features,) = bound(backbone, memory, 2)(pixels)
    assert np.array_equal(features, plain[0])


def test_several_outputs_come_from_bound_memory_in_the_card_s_order(tiny: Tiny) -> None:
    outputs = [Output(name="pooled", dim=3), *tiny.backbone.card.all_outputs]
    backbone, pixels = tiny.backbone.with_outputs(outputs), random_pixels(5)
    pooled, features = bound(backbone, HostMemory(), 1)(pixels)
    both = open_session(backbone, device="cpu")(pixels)
    assert np.array_equal(np.concatenate([pooled, features], axis=1), both)
    np.testing.assert_allclose(features, tiny.expected(pixels), atol=1e-5)


def test_what_was_returned_is_not_written_over_by_later_batches(tiny: Tiny) -> None:
    run = bound(tiny.backbone, HostMemory(), 1)
    batches = [random_pixels(count, seed=seed) for seed, count in enumerate((4, 4, 2, 4, 1, 0, 4))]
    kept = [run(batch)[0] for batch in batches]
    for batch, features in zip(batches, kept, strict=True):
        np.testing.assert_allclose(features, tiny.expected(batch), atol=1e-5)


def test_two_bound_lanes_of_one_session_do_not_mix_their_batches(tiny: Tiny) -> None:
    run = bound(tiny.backbone, CudaMemory(FakeCuda(), 0), 2)
    batches = [random_pixels(4, seed=seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for batch, made in zip(batches, pool.map(run, batches), strict=True):
            np.testing.assert_allclose(made[0], tiny.expected(batch), atol=1e-5)


def test_pixels_are_copied_to_the_device_once_and_to_the_right_one(tiny: Tiny) -> None:
    cuda = FakeCuda()
    run, pixels = bound(tiny.backbone, CudaMemory(cuda, 3), 1), random_pixels(4)
    for _ in range(5):
        run(pixels)
    assert cuda.copied == 5 * pixels.nbytes
    assert cuda.devices == {3}


def test_the_place_on_the_device_is_made_once_for_batches_of_one_size(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make = [], onnxruntime.OrtValue.ortvalue_from_shape_and_type

    def counting(*arguments: Any) -> Any:
        made.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", staticmethod(counting))
    run = bound(tiny.backbone, HostMemory(), 1)
    for seed in range(5):
        run(random_pixels(4, seed=seed))
    assert len(made) == 1


def test_buffers_are_page_locked_zeros_and_given_back_with_the_last_view() -> None:
    cuda = FakeCuda()
    buffer = CudaMemory(cuda, 0).zeros((2, 16, 16, 3))
    assert buffer.shape == (2, 16, 16, 3)
    assert not buffer.any()
    assert buffer.ctypes.data in cuda.locked
    view = buffer[1:]
    del buffer
    assert len(cuda.locked) == 1
    view[:] = 7
    del view
    assert not cuda.locked


@pytest.mark.parametrize("shape", [(0, 16, 16, 3), (2, 16, 16, 3)])
def test_ordinary_zeros_stand_in_where_no_memory_can_be_locked(shape: tuple[int, ...]) -> None:
    buffer = CudaMemory(FakeCuda(limit=100), 0).zeros(shape)
    assert buffer.shape == shape
    assert not buffer.any()


def test_a_copy_that_fails_is_an_error_and_not_old_pixels(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr(cuda, "cudaMemcpy", lambda *arguments: 700)
    with pytest.raises(InferenceError, match=r"CUDA cannot copy pixels to GPU 1 \(error 700\)"):
        bound(tiny.backbone, CudaMemory(cuda, 1), 1)(random_pixels(2))


def test_a_buffer_of_the_cpu_is_zeros_of_the_card_s_size(tiny: Tiny) -> None:
    buffer = open_session(tiny.backbone, device="cpu").new_buffer(3)
    assert buffer.shape == (3, 16, 16, 3)
    assert buffer.dtype == np.uint8
    assert not buffer.any()


# ---- memory that runs out


class Greedy:
    """A lane that runs out of memory above so many images, in the words of a runtime."""

    def __init__(self, most: int, words: str) -> None:
        self.most, self.words, self.runs = most, words, list[int]()

    def run(self, pixels: NDArray[Any]) -> list[NDArray[Any]]:
        """The first channel, and twice that."""
        self.runs.append(len(pixels))
        if len(pixels) > self.most:
            raise RuntimeError(self.words)
        means = pixels.mean(axis=(1, 2))
        return [means, 2 * means]


SAID = [
    "BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer",
    "Non-zero status code returned while running Expand node. Status Message: std::bad_alloc",
    "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc",
    "CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    "Available memory of 1048576 is smaller than requested bytes of 2097152",
]


@pytest.mark.parametrize("words", SAID)
def test_where_memory_runs_out_half_as_many_are_run_and_every_row_comes(
    words: str, caplog: pytest.LogCaptureFixture
) -> None:
    lane, pixels = Greedy(3, words), random_pixels(21)
    run = Lanes([lane], name="tiny", fixed=None)
    for _ in range(2):
        first, second = run(pixels)
        assert np.array_equal(first, pixels.mean(axis=(1, 2)))
        assert np.array_equal(second, 2 * first)
    assert lane.runs == [21, 10, 5, *[2] * 10, 1, *[2] * 10, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "tiny: out of memory with 21 images at once; continuing with 10",
        "tiny: out of memory with 10 images at once; continuing with 5",
        "tiny: out of memory with 5 images at once; continuing with 2",
    ]


def test_memory_that_one_image_exhausts_is_an_error_with_the_next_step() -> None:
    with pytest.raises(InferenceError, match=r"'tiny' failed on 1 images .*; free memory, or use another device"):
        Lanes([Greedy(0, SAID[0])], name="tiny", fixed=None)(random_pixels(8))


def test_memory_that_a_fixed_batch_exhausts_is_an_error_with_the_next_step() -> None:
    with pytest.raises(InferenceError, match="its batch size is fixed at 8: give a smaller --batch-size"):
        Lanes([Greedy(3, SAID[0])], name="tiny", fixed=8)(random_pixels(8))


def test_another_failure_is_not_taken_for_memory_that_ran_out() -> None:
    lane = Greedy(3, "invalid dimensions")
    with pytest.raises(InferenceError, match="'tiny' failed on 8 images"):
        Lanes([lane], name="tiny", fixed=None)(random_pixels(8))
    assert lane.runs == [8]


def test_threads_that_run_out_together_halve_once(caplog: pytest.LogCaptureFixture) -> None:
    run = Lanes([Greedy(4, SAID[0]) for _ in range(4)], name="tiny", fixed=None)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(run, [random_pixels(8, seed=seed) for seed in range(16)]))
    assert all(len(first) == 8 for first, _ in made)
    assert [record.getMessage() for record in caplog.records] == [
        "tiny: out of memory with 8 images at once; continuing with 4"
    ]


STARVING = """
import logging, resource, sys
from pathlib import Path
import numpy as np
from featx.backbones import open_session
from tests.support.graphs import describe
logging.basicConfig(format="%(message)s", level=logging.WARNING)
session = open_session(describe(Path(sys.argv[1])), device="cpu", threads=1)
pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)
expected = np.concatenate([session(pixels[place : place + 1]) for place in range(32)])
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (600 << 20),) * 2)
print(np.array_equal(session(pixels), expected), np.array_equal(session(pixels), expected))
"""


def wide_graph(path: Path) -> Path:
    """A model whose intermediate takes 50 MB an image, of which two are alive at once."""
    graph = Graph()
    wide = graph.add(
        "Expand", graph.add("Unsqueeze", graph.image, graph.integers(1)), graph.integers(1, 16_384, 1, 1, 1)
    )
    pooled = graph.add("ReduceMean", graph.add("Relu", wide), axes=[1, 3, 4], keepdims=0)
    return graph.save(path, pooled)


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory as Linux does it")
def test_a_process_whose_memory_is_limited_goes_on_with_fewer_images(tmp_path: Path) -> None:
    path = wide_graph(tmp_path / "wide.onnx")
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", STARVING, str(path)], cwd=here, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "True True\n", done.stderr
    told = [line for line in done.stderr.splitlines() if "out of memory" in line]
    assert told[0].endswith("out of memory with 32 images at once; continuing with 16")
    assert len(told) == len(set(told))


# ---- several devices


def test_a_free_device_takes_the_next_batch_and_rows_are_their_callers(tiny: Tiny) -> None:
    taken = [Greedy(8, ""), Greedy(8, "")]
    run = Lanes(taken, name="tiny", fixed=None)
    batches = [random_pixels(4, seed=seed) for seed in range(16)]
    with ThreadPoolExecutor(2) as pool:
        for batch, (first, _) in zip(batches, pool.map(run, batches), strict=True):
            assert np.array_equal(first, batch.mean(axis=(1, 2)))
    assert sum(len(lane.runs) for lane in taken) == 16
    assert all(lane.runs for lane in taken)


# ---- nodes that are left to the CPU


def measured_graph(path: Path) -> Path:
    """A model with nodes that only compute a shape, two without a name, beside those that touch pixels."""
    graph = Graph()
    maps = graph.maps(8)
    count = graph.add("Gather", graph.add("Shape", maps), graph.integers(0), axis=0)
    shape = graph.add("Concat", count, graph.integers(-1), axis=0)
    return graph.save(path, graph.add("Reshape", maps, shape))


def test_nodes_that_only_compute_shapes_are_told_from_those_that_touch_pixels(tmp_path: Path) -> None:
    contents = read_contents(prepare_graph(describe(measured_graph(tmp_path / "m.onnx"))).model)
    operators = {operator for _, operator in contents.shape_nodes}
    assert operators == {"Shape", "Gather", "Concat"}


def with_half(model: ModelProto) -> ModelProto:
    """The same with a weight of half precision."""
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float16), "half"))
    return model


def with_quantiser(model: ModelProto) -> ModelProto:
    """The same with a quantiser."""
    model.graph.node.append(helper.make_node("DequantizeLinear", ["q", "scale"], ["back"]))
    return model


@pytest.mark.parametrize(
    ("change", "expected"),
    [(lambda model: model, (False, False)), (with_half, (True, False)), (with_quantiser, (False, True))],
    ids=["float32", "float16", "int8"],
)
def test_a_graph_below_float32_is_known_as_such(
    tiny: Tiny, change: Callable[[ModelProto], ModelProto], expected: tuple[bool, bool]
) -> None:
    contents = read_contents(change(onnx.load_from_string(prepare_graph(tiny.backbone).model)).SerializeToString())
    assert (contents.float16, contents.quantised) == expected


# ---- OpenVINO, where its build of the runtime is installed


needs_openvino = pytest.mark.skipif(
    PROVIDERS["openvino"] not in onnxruntime.get_available_providers(),
    reason="this onnxruntime is a build without OpenVINO; pip install 'featx[openvino]'",
)


@needs_openvino
@pytest.mark.parametrize("batch_size", [None, 4])
def test_openvino_gives_the_features_of_the_cpu(batch_size: int | None, caplog: pytest.LogCaptureFixture) -> None:
    backbone, pixels = load_backbone(BUNDLED), random_pixels(6, size=224)
    session = open_session(backbone, device="openvino", streams=2, batch_size=batch_size)
    assert session.provider == "OpenVINOExecutionProvider"
    assert (session.step, session.streams, session.on_cpu) == (batch_size, 2, True)
    expected = open_session(backbone, device="cpu")(pixels)
    with ThreadPoolExecutor(2) as pool:
        for features in pool.map(session, [pixels] * 4):
            assert np.abs(features - expected).max() <= 1e-4 * np.abs(expected).max()
    assert not caplog.records


@needs_openvino
@pytest.mark.skipif(
    not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"),
    reason="this onnxruntime is older than 1.24, which tells where nodes run",
)
def test_nodes_that_openvino_leaves_to_the_cpu_are_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = Graph()
    pooled = graph.pooled(8)
    graph.add("Unique", pooled, into=["distinct", "", "", "counts"], axis=0)
    kept = graph.add(
        "Add", pooled, graph.add("Cast", graph.add("ReduceMax", "counts", keepdims=0), to=TensorProto.FLOAT)
    )
    backbone = describe(graph.save(tmp_path / "m.onnx", kept), kept)
    open_session(backbone, device="openvino")
    session, pixels = open_session(backbone, device="openvino"), random_pixels(3)
    assert len(caplog.records) == 1
    assert "on OpenVINOExecutionProvider: " in caplog.text
    assert "nodes run on the CPU: Unique" in caplog.text
    np.testing.assert_allclose(session(pixels), open_session(backbone, device="cpu")(pixels), atol=1e-4)


@needs_openvino
def test_several_outputs_come_from_openvino_in_the_card_s_order(tiny: Tiny) -> None:
    backbone = tiny.backbone.with_outputs([Output(name="pooled", dim=3), *tiny.backbone.card.all_outputs])
    pixels = random_pixels(5)
    made, expected = (open_session(backbone, device=device)(pixels) for device in ("openvino", "cpu"))
    np.testing.assert_allclose(made, expected, atol=1e-4)


@needs_openvino
def test_extraction_on_openvino_is_recorded_and_not_mixed_with_the_cpu_s(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images, into = list_images(make_folder()), tmp_path / "c.h5"
    made = extract_features(images, tiny.backbone, into=into, settings=Settings(device="openvino"))
    assert (made.done, made.provider) == (24, "OpenVINOExecutionProvider")
    assert extract_features(images, tiny.backbone, into=into, settings=Settings(device="openvino")).reused == 24
    with pytest.raises(CacheMismatchError, match="provider is OpenVINOExecutionProvider in the cache but CPU"):
        extract_features(images, tiny.backbone, into=into, settings=Settings(device="cpu"))


@needs_openvino
def test_a_gpu_of_intel_s_that_is_not_there_is_refused_in_one_line(
    tiny: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeviceError, match="no session on openvino:7"):
        open_session(tiny.backbone, device="openvino:7")
    assert capfd.readouterr() == ("", "")


# ---- the diagnosis


def test_every_provider_of_the_diagnosis_opens_the_bundled_backbone() -> None:
    kinds = {provider: kind for kind, provider in PROVIDERS.items()}
    found = diagnose()
    assert "CPUExecutionProvider" in found.providers
    for provider in found.providers:
        assert open_session(load_backbone(BUNDLED), device=kinds[provider]).provider == provider


def test_the_diagnosis_lists_the_cpu_and_every_gpu_by_what_device_calls_it() -> None:
    devices = diagnose().devices
    assert devices[0] == "cpu"
    assert [device.partition(" ")[0] for device in devices[1:]] == [f"cuda:{index}" for index in range(len(gpus()))]


# ---- CUDA, where there is a GPU


@pytest.fixture
def cuda() -> None:
    """Skips where CUDA is not there."""
    if problem := cuda_problem():
        pytest.skip(problem)


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_cuda_gives_the_features_of_the_cpu_from_locked_memory_on_two_lanes() -> None:
    backbone = load_backbone(BUNDLED)
    session = open_session(backbone, device="cuda")
    assert (session.provider, session.streams, session.on_cpu) == ("CUDAExecutionProvider", 2, False)
    batches = [session.new_buffer(8) for _ in range(6)]
    for seed, batch in enumerate(batches):
        batch[:] = random_pixels(8, seed=seed, size=224)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(session, batches))
    for batch, features in zip(batches, made, strict=True):
        expected = open_session(backbone, device="cpu")(batch)
        assert np.abs(features - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_a_gpu_whose_memory_runs_out_goes_on_with_fewer_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_session(describe(wide_graph(tmp_path / "wide.onnx")), device="cuda")
    assert len(session(random_pixels(4096))) == 4096
    assert "out of memory with 4096 images at once; continuing with 2048" in caplog.text
