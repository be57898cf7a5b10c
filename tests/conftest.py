"""What the tests share: a real ONNX backbone small enough for numpy to recompute, and folders of real images."""

import contextlib
import importlib.metadata
import io
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from joblib.externals.loky import reusable_executor
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from featx.backbones.card import Card
from featx.backbones.model_inputs import ImageInput, Layout
from featx.backbones.store import Backbone
from featx.cli import INTERRUPTS, main
from featx.hashing import hash_file
from featx.inputs import PixelSpec

os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="featx-tests-")
"""No test sees the backbones of whoever runs it."""
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["FEATX_TESTS"] = tempfile.mkdtemp(prefix="featx-tests-")
SHARED = Path(os.environ["FEATX_TESTS"])
"""A folder that is the same in every process of one run, so that tests named after it have one name."""
os.environ["XDG_CACHE_HOME"] = str(SHARED / "caches")
"""Backbones that were tried on this machine are those of this run."""

PACKAGES = ("numpy", "h5py", "onnx", "pillow", "scikit-learn", "skops", "click", "onnxruntime", "onnxruntime-gpu")


@pytest.fixture(autouse=True, scope="module")
def no_worker_stays_behind() -> Iterator[None]:
    """Processes that joblib keeps for the next call are ended with the tests that started them.

    They are not waited for: joblib's thread that ends them can hang if a test killed one of them.
    """
    yield
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=False, kill_workers=True)


def pytest_report_header() -> str:
    """Versions and providers, so that a failure seen elsewhere can be placed."""
    import onnxruntime

    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    versions = ", ".join(f"{name} {found[name]}" for name in PACKAGES if name in found)
    return f"{versions}; built-in providers: {', '.join(onnxruntime.get_available_providers())}"


@dataclass(frozen=True)
class Tiny:
    """A backbone whose feature numpy computes: mean over the picture, then a matrix."""

    backbone: Backbone
    matrix: NDArray[np.float32]

    def expected(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (n, dim) of pixels (n, size, size, 3)."""
        card = self.backbone.card
        normalised = (pixels.astype(np.float32) - np.array(card.input.pixels.mean, np.float32)) / np.array(
            card.input.pixels.std, np.float32
        )
        return np.asarray(normalised.mean(axis=(1, 2)) @ self.matrix, np.float32)


def build_tiny(
    folder: Path, *, name: str = "tiny", dim: int = 8, seed: int = 0, layout: Layout = "NCHW", scale: float = 1.0
) -> Tiny:
    """Write model and card of a tiny backbone into the folder; with scale 0 it sees nothing in any image."""
    rng = np.random.default_rng(seed)
    matrix = scale * rng.normal(size=(3, dim)).astype(np.float32)
    weights = {"matrix": matrix, "classifier": rng.normal(size=(dim, 5)).astype(np.float32)}
    channels_first = layout == "NCHW"
    shape: list[str | int] = ["batch", 3, 16, 16] if channels_first else ["batch", 16, 16, 3]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["pooled"], axes=[2, 3] if channels_first else [1, 2], keepdims=0),
        helper.make_node("MatMul", ["pooled", "matrix"], ["features"]),
        helper.make_node("MatMul", ["features", "classifier"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / f"{name}.onnx"))
    spec = PixelSpec(size=16, resize=18, mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 70.0))
    card = Card(
        name=name,
        file=f"{name}.onnx",
        sha256=hash_file(folder / f"{name}.onnx"),
        input=ImageInput(name="image", layout=layout, pixels=spec),
        feature="features",
        dim=dim,
        classifier="logits",
    )
    (folder / f"{name}.toml").write_text(card.to_toml(), encoding="utf-8")
    return Tiny(Backbone(card, folder / f"{name}.onnx"), matrix)


def pytest_configure(config: pytest.Config) -> None:
    """Write the backbone that all processes share, before there are several."""
    if not hasattr(config, "workerinput"):
        build_tiny(SHARED / "models")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of the user's own cards and models."""
    return tmp_path / "models"


@pytest.fixture
def tiny(models: Path) -> Tiny:
    """The tiny backbone, its card in `models`."""
    return build_tiny(models)


@pytest.fixture
def make_tiny() -> Callable[..., Tiny]:
    """Build further tiny backbones."""
    return build_tiny


def draw_image(seed: int, *, size: tuple[int, int] = (24, 20), colour: int = 0) -> Image.Image:
    """A picture with structure, of which one colour is the stronger."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 160, (3, 4, 3), dtype=np.uint8)
    coarse[:, :, colour] += 90
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_folder(root: Path, counts: Sequence[int] = (12, 12), *, seed: int = 0) -> Path:
    """Write a folder with one sub-folder a class, whose images tell their class by colour."""
    for colour, count in enumerate(counts):
        folder = root / f"class{colour}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            draw_image(seed + 1000 * colour + number, colour=colour).save(folder / f"{number:04}.png")
    return root


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write folders of images into this test's own."""

    def make(counts: Sequence[int] = (12, 12), name: str = "images", seed: int = 0) -> Path:
        return write_folder(tmp_path / name, counts, seed=seed)

    return make


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output as its one JSON document."""
        return json.loads(self.out)  # type: ignore[no-any-return]


def run_featx(*arguments: object, cwd: Path | None = None, process: bool = False, **environment: str) -> Ran:
    """Run `featx` in this process, or in one of its own where the test is about processes or their environment."""
    if process or environment:
        return _run_process(list(map(str, arguments)), cwd, environment)
    return _run_here(list(map(str, arguments)), cwd)


def _run_process(arguments: Sequence[str], cwd: Path | None, environment: dict[str, str]) -> Ran:
    command = [sys.executable, "-m", "featx", *arguments]
    env = os.environ | {"PYTHONWARNINGS": "default"} | environment
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def _run_here(arguments: Sequence[str], cwd: Path | None) -> Ran:
    """What a process would leave behind: its streams, logging, warnings and signals are this command's alone."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with ExitStack() as alone:
        alone.enter_context(contextlib.chdir(cwd or Path.cwd()))
        alone.enter_context(contextlib.redirect_stdout(out))
        alone.enter_context(contextlib.redirect_stderr(err))
        alone.enter_context(warnings.catch_warnings())
        alone.enter_context(fresh_logging())
        alone.enter_context(same_signals())
        warnings.simplefilter("default")
        code = main(arguments)
    return Ran(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    written: io.BytesIO = stream.buffer  # type: ignore[assignment]
    return written.getvalue().decode()


@contextlib.contextmanager
def fresh_logging() -> Iterator[None]:
    """Loggers as a new process has them, within the block; afterwards those of the tests again."""
    root, own = logging.getLogger(), logging.getLogger("featx")
    handlers, levels = root.handlers[:], (root.level, own.level)
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])


@contextlib.contextmanager
def same_signals() -> Iterator[None]:
    """Signals are handled after the block as before it."""
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def featx(tmp_path: Path) -> Callable[..., Ran]:
    """Run `featx` in an empty directory."""
    here = tmp_path / "cwd"
    here.mkdir()
    return partial(run_featx, cwd=here)
