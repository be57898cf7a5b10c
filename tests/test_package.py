"""What is shipped: the public names, the wheel with its backbone, the lower bounds."""

import os
import pickle
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import featx
from featx.convert import export_model
from featx.demo import run_demo
from featx.heads import ResultsFile, write_results
from tests.conftest import run_featx, write_folder
from tests.support.tables import make_table

ROOT = Path(__file__).parents[1]


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
        [sys.executable, "-c", "import featx, sys; print(all(hasattr(featx, name) for name in dir(featx)))"],
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


def functions_with_paths() -> list[Callable[..., Any]]:
    own = [getattr(featx, name) for name in dir(featx)]
    functions = [one for one in own if callable(one) and not isinstance(one, type)]
    return [*functions, featx.FeatureExtractor.__init__, ResultsFile.__init__, write_results, export_model, run_demo]


@pytest.mark.parametrize("function", functions_with_paths(), ids=lambda function: function.__qualname__)
def test_what_takes_a_path_takes_a_text_too(function: Callable[..., Any]) -> None:
    hints = get_type_hints(function)
    returned = hints.pop("return", None)
    assert returned is not None
    for name, hint in hints.items():
        assert "pathlib.Path" not in str(hint) or "pathlib.Path | str" in str(hint), name


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


def test_the_wheel_carries_the_bundled_backbones_the_stubs_and_the_marker_of_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"featx/models/efficientnet-lite0.{ending}" for ending in ("onnx", "toml", "golden.npz")} <= names
    baselines = ("raw-pixels", "color-histogram", "gradient-histogram")
    assert {f"featx/models/{name}.{ending}" for name in baselines for ending in ("onnx", "toml")} <= names
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
