"""What is shipped: the public names, the wheel with its backbone, the README and its examples, the lower bounds."""

import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import featx
from tests.conftest import run_featx, write_folder
from tests.support.tables import make_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_public_name_can_be_had_and_is_documented() -> None:
    for name in dir(featx):
        assert getattr(featx, name) is not None
        assert name == "__version__" or getattr(featx, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="extrakt"):
        _ = getattr(featx, "extrakt")  # noqa: B009 - its type is not known either


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Contest", "Candidate"),
        ("Standing", "RankedCandidate"),
        ("list_contests", "list_candidates"),
        ("stand", "rank_candidates"),
    ],
)
def test_an_old_name_warns_of_the_new_one_and_is_the_same_object(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"featx.{old} is now called featx.{new};") as caught:
        assert getattr(featx, old) is getattr(featx, new)
    assert caught[0].filename == __file__
    assert old not in dir(featx)
    assert new in dir(featx)


def test_a_star_import_gives_every_public_name_and_no_other() -> None:
    names: dict[str, object] = {}
    exec("from featx import *", names)
    assert names.keys() - {"__builtins__"} == set(dir(featx))


def test_the_stub_lists_every_public_name() -> None:
    stub = (ROOT / "featx" / "__init__.pyi").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\w+ as (\w+)", stub)) == sorted(dir(featx))


def test_all_public_names_can_be_imported_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import featx, sys; print(all(name in vars(featx) for name in dir(featx)))"],
        env=os.environ | {"EAGER_IMPORT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def test_public_classes_and_functions_are_pickled_by_their_names() -> None:
    found = [getattr(featx, name) for name in dir(featx) if name != "__version__"]
    assert all(pickle.loads(pickle.dumps(one)) is one for one in found)


def test_public_objects_are_pickled_whole() -> None:
    table = make_table()
    split = featx.make_splits(table)[0]
    candidates = featx.list_candidates([table], heads=["class-mean"], splits=lambda one: [split])
    compared = featx.compare_backbones(candidates, jobs=1)
    ranking = featx.rank_candidates(candidates, compared.results)
    backbone = featx.load_backbone("efficientnet-lite0")
    for one in (compared, ranking, backbone, *compared.results):
        assert pickle.loads(pickle.dumps(one)) == one
    for whole in (table, split, candidates[0]):
        assert repr(pickle.loads(pickle.dumps(whole))) == repr(whole)


def test_importing_featx_is_light() -> None:
    script = "import featx, sys; print([m for m in ('numpy', 'onnx', 'sklearn', 'h5py', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_needs_no_runtime_no_images_and_no_onnx() -> None:
    script = (
        "import sys\n"
        "for name in ('onnxruntime', 'onnx', 'PIL'): sys.modules[name] = None\n"
        "from featx import annotate, evaluate_head, fuse_tables, read_features, save_head, train_head\n"
        "from featx.report import render_results"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_extracting_and_showing_progress_need_no_scikit_learn() -> None:
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import featx.report.progress, featx.cli.extracting; from featx import extract_features"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the build backend itself."""
    into = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(into.glob("featx-*.whl"))


def test_the_wheel_carries_the_bundled_backbone_the_stubs_and_the_marker_of_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"featx/models/efficientnet-lite0.{ending}" for ending in ("onnx", "toml", "golden.npz")} <= names
    assert "featx/py.typed" in names
    assert {str(stub.relative_to(ROOT)) for stub in (ROOT / "featx").rglob("*.pyi")} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "models/"))]


def test_the_wheel_alone_extracts_features(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    images = write_folder(tmp_path / "images", (3, 3))
    command = ["extract", images, "--backbone", "efficientnet-lite0", "--into", tmp_path / "c.h5", "--json"]
    ran = run_featx(*command, cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert ran.json["done"] == 6
    where = [sys.executable, "-c", "import featx.backbones as b; print(b.bundled_folder())"]
    found = subprocess.run(
        where,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(tmp_path / "site" / "featx" / "models")


def test_the_lower_bounds_are_those_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    tested = (ROOT / "tests" / "lowest.txt").read_text().split()
    assert {need.replace(">=", "==") for need in needs} <= set(tested)


def build_resnet(path: Path) -> None:
    """Write a model with the tensors that the README's examples name."""
    rng = np.random.default_rng(0)
    weights = {"w3": (8, 3, 3, 3), "w4": (12, 8, 3, 3), "w": (12, 5)}
    nodes = [
        helper.make_node("Conv", ["image", "w3"], ["conv3"], strides=[2, 2]),
        helper.make_node("Relu", ["conv3"], ["layer3"]),
        helper.make_node("Conv", ["layer3", "w4"], ["conv4"], strides=[2, 2]),
        helper.make_node("Relu", ["conv4"], ["layer4"]),
        helper.make_node("GlobalAveragePool", ["layer4"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "resnet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def blocks(language: str) -> list[str]:
    """The README's code blocks in this language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory with the folders that the README's examples speak of."""
    folder = tmp_path_factory.mktemp("home")
    write_folder(folder / "photos", (12, 12))
    with tarfile.open(folder / "photos.tar", "w") as tar:
        tar.add(folder / "photos", "photos")
    write_folder(folder / "new", (2, 2), seed=50)
    build_resnet(folder / "resnet.onnx")
    (folder / "photos.csv").write_text(
        "path,label\n" + "".join(f"class{c}/{n:04}.png,kind{c}\n" for c in (0, 1) for n in range(12))
    )
    return folder


def test_the_readmes_commands_run_in_their_order(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    lines = [line.split("#")[0].strip() for block in blocks("console") for line in block.splitlines()]
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ featx") and "demo" not in line]
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(
            command.replace("featx ", f"{sys.executable} -m featx ", 1),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_readmes_python_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    found = blocks("python")
    assert found
    for block in found:
        exec(compile(block, "README.md", "exec"), {})
