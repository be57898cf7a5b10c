"""devices: `--device` in, which devices are meant out; and what each provider is told about them."""

import mmap
import re
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from featx.backbones import open_session
from featx.backbones.graph.contents import GraphContents
from featx.backbones.graph.surgery import prepare_graph
from featx.backbones.session.engines import keep_engines
from featx.backbones.session.nvidia import gpus
from featx.backbones.session.providers import (
    Options,
    SessionPlan,
    provider_options,
    streams_of,
)
from featx.devices import (
    PROVIDERS,
    DeviceSpec,
    parse_device,
    provider_of,
)
from featx.errors import DeviceError
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings
from tests.conftest import Ran, Tiny

FLOATS = GraphContents(frozenset(), float16=False, quantised=False)


def told(device: str, contents: GraphContents = FLOATS) -> dict[str, Options]:
    """Provider -> options, in order, for the first device, two streams of three threads."""
    return dict(provider_options(parse_device(device)[0], SessionPlan(3, 2, Path("engines")), contents))


# ---- names


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("auto", ()),
        ("cpu", (DeviceSpec("cpu", None),)),
        ("cuda", (DeviceSpec("cuda", 0),)),
        ("cuda:1", (DeviceSpec("cuda", 1),)),
        ("cuda:1,cuda:0", (DeviceSpec("cuda", 1), DeviceSpec("cuda", 0))),
        ("tensorrt:12", (DeviceSpec("tensorrt", 12),)),
        ("openvino", (DeviceSpec("openvino", None),)),
        ("openvino:0", (DeviceSpec("openvino", 0),)),
        ("coreml", (DeviceSpec("coreml", None),)),
        ("directml", (DeviceSpec("directml", 0),)),
    ],
)
def test_a_device_is_read_as_its_kind_and_index(text: str, targets: tuple[DeviceSpec, ...]) -> None:
    assert parse_device(text) == targets


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_kind_is_a_device_and_reads_as_it_is_written(kind: str) -> None:
    (target,) = parse_device(kind)
    assert parse_device(str(target)) == (target,)
    assert provider_of(kind) == PROVIDERS[kind]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown device ''; give auto, one of cpu, cuda"),
        ("gpu", "unknown device 'gpu'; .* cuda:1 for the second GPU"),
        ("CUDA", "unknown device 'CUDA'"),
        ("cuda:", "'cuda:' is not a device"),
        ("cuda:-1", "'cuda:-1' is not a device"),
        ("cuda:1.5", "'cuda:1.5' is not a device"),
        ("cuda:99999", "'cuda:99999' is not a device"),
        ("cuda: 1", "'cuda: 1' is not a device"),
        ("cuda:٣", "'cuda:٣' is not a device"),
        ("cpu:0", "'cpu:0' is not a device"),
        ("cuda,", "unknown device ''"),
        ("auto,cuda", "unknown device 'auto'"),
        ("cuda,cuda:0", "'cuda,cuda:0' names a device twice"),
        ("cuda:0,tensorrt:1", "several kinds, whose features differ"),
        ("openvino,openvino:0", "several kinds, whose features differ"),
    ],
)
def test_what_is_no_device_is_refused_with_what_there_is(text: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        parse_device(text)


@pytest.mark.parametrize("command", ["extract . --backbone x --into c.h5", "backbones verify x", "predict h.featx ."])
def test_every_command_with_a_device_refuses_what_is_none(featx: Callable[..., Ran], command: str) -> None:
    ran = featx(*command.split(), "--device", "cuda:x")
    assert ran.code == 2
    assert "'cuda:x' is not a device" in ran.err


def test_a_bad_device_is_refused_in_python_too(tiny: Tiny) -> None:
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        open_session(tiny.backbone, device="gpu")


def test_a_device_of_another_build_of_the_runtime_is_refused_with_what_brings_it(tiny: Tiny) -> None:
    if PROVIDERS["directml"] in onnxruntime.get_available_providers():
        pytest.skip("this build has DirectML")
    with pytest.raises(DeviceError, match=r"--device directml was asked .*; pip install onnxruntime-directml"):
        open_session(tiny.backbone, device="directml")


def test_without_a_runtime_the_error_says_what_installs_one(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain `pip install featx` brings none."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r"ONNX Runtime cannot be imported \(.*\); pip install 'featx\[cpu\]', or"):
        open_session(tiny.backbone)


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(tiny: Tiny) -> None:
    with pytest.raises(DeviceError, match=r"--device cuda:0,cuda:99 was asked for, but ") as caught:
        open_session(tiny.backbone, device="cuda:0,cuda:99")
    if gpus():
        assert "there is no cuda:99; choose from cuda:0 (" in str(caught.value)


def test_no_gpu_is_visible_where_cuda_may_see_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


# ---- a complete cache


def test_a_complete_cache_is_what_was_asked_for_on_auto_and_on_its_own_device(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    for device, reused in (("cpu", 0), ("cpu", 24), ("auto", 24)):
        summary = extract_features(images, tiny.backbone, into=tmp_path / "c.h5", settings=Settings(device=device))
        assert summary.reused == reused


@pytest.mark.parametrize("device", ["cuda:1", "cuda:0,cuda:1", "tensorrt", "coreml", "nonsense"])
def test_a_complete_cache_of_the_cpu_is_not_what_was_asked_for_on_another(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, device: str
) -> None:
    images = list_images(make_folder())
    extract_features(images, tiny.backbone, into=tmp_path / "c.h5", settings=Settings(device="cpu"))
    with pytest.raises(DeviceError):
        extract_features(images, tiny.backbone, into=tmp_path / "c.h5", settings=Settings(device=device))


# ---- what providers are told


def test_cuda_is_told_nothing_that_changes_features_from_run_to_run() -> None:
    (options,) = told("cuda:1").values()
    assert options["device_id"] == "1"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["use_tf32"] == "0"


def test_cuda_stands_behind_tensorrt_on_the_same_gpu() -> None:
    options = told("tensorrt:2")
    assert list(options) == [PROVIDERS["tensorrt"], PROVIDERS["cuda"]]
    assert {told["device_id"] for told in options.values()} == {"2"}


def test_tensorrt_keeps_its_engines_and_timings() -> None:
    options = told("tensorrt")[PROVIDERS["tensorrt"]]
    assert (options["trt_engine_cache_enable"], options["trt_engine_cache_path"]) == ("True", "engines")
    assert (options["trt_timing_cache_enable"], options["trt_timing_cache_path"]) == ("True", "engines")


def test_engines_have_a_folder_of_their_own_once_they_are_built(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    prepared = prepare_graph(tiny.backbone)
    with pytest.raises(KeyboardInterrupt), keep_engines(tiny.backbone, prepared, 4) as folder:
        (folder / "half.engine").write_bytes(b"half")
        raise KeyboardInterrupt
    assert not list((tmp_path / "caches").rglob("*.engine"))
    with keep_engines(tiny.backbone, prepared, 4) as folder:
        (folder / "whole.engine").write_bytes(b"whole")
    with keep_engines(tiny.backbone, prepared, 4) as again, keep_engines(tiny.backbone, prepared, 8) as other:
        assert [path.name for path in again.iterdir()] == ["whole.engine"]
        assert not list(other.iterdir())


@pytest.mark.parametrize(("float16", "quantised"), [(False, False), (True, False), (False, True)])
def test_tensorrt_goes_below_float32_only_where_the_backbone_does(float16: bool, quantised: bool) -> None:
    options = told("tensorrt", GraphContents(frozenset(), float16=float16, quantised=quantised))[PROVIDERS["tensorrt"]]
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == (str(float16), str(quantised))


def test_openvino_has_a_stream_for_every_call_and_the_threads_of_all() -> None:
    assert told("openvino")[PROVIDERS["openvino"]] == {
        "device_type": "CPU",
        "precision": "FP32",
        "num_streams": "2",
        "num_of_threads": "6",
    }
    assert told("openvino:1")[PROVIDERS["openvino"]]["device_type"] == "GPU.1"


@pytest.mark.parametrize(("kind", "index"), [("directml", "0"), ("migraphx", "0"), ("rocm", "0")])
def test_other_numbered_kinds_are_told_which(kind: str, index: str) -> None:
    assert told(kind) == {PROVIDERS[kind]: {"device_id": index}}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_option_is_text(kind: str) -> None:
    for options in told(kind).values():
        assert all(type(key) is type(value) is str for key, value in options.items())


@pytest.mark.parametrize(
    ("device", "streams"), [("cpu", 5), ("openvino", 5), ("cuda:1", 2), ("tensorrt", 2), ("directml", 1), ("coreml", 1)]
)
def test_calls_at_once_are_as_asked_on_the_processor_and_two_on_a_gpu(device: str, streams: int) -> None:
    assert streams_of(parse_device(device)[0], 5) == streams


@pytest.mark.parametrize("kind", ["cuda", "tensorrt", "openvino"])
def test_the_installed_provider_knows_every_option_by_this_name(kind: str) -> None:
    library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{kind}.so"
    if not library.exists():
        pytest.skip(f"this build of ONNX Runtime has no {library.name}")
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for name in told(kind)[PROVIDERS[kind]]:
            assert re.search(re.escape(name.encode()) + rb"\0", text), name
