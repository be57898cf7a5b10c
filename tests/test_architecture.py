"""The order of the flow, as a test: a module imports only from the lines above its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "featx"

FLOW = [
    "errors provenance settings",
    "columns devices processes",
    "fingerprints",
    "images backbones fetch preprocessing",
    "decode graph",
    "session cache",
    "batches calibrate trial",
    "register verify",
    "extract export quantize",
    "distribute",
    "extractor",
    "estimators truth cosines",
    "measures",
    "splits annotations fusion heads",
    "evaluate",
    "results",
    "train",
    "compare label_errors",
    "standings",
    "report",
    "predict demo",
    "console",
    "cli",
    "__main__",
]
MODULES = " ".join(FLOW).split()

EXTRACTING = {
    *("images", "backbones", "fetch", "preprocessing", "decode", "graph", "batches", "calibrate", "session", "trial"),
    *("register", "verify", "quantize"),
    *("extract", "export", "distribute", "extractor"),
}
LEARNING = {
    *("estimators", "truth", "cosines", "measures", "splits", "annotations", "fusion", "heads", "evaluate", "results"),
    *("train", "compare", "standings", "report", "label_errors"),
}

DOORS = {
    "PIL": {"decode"},
    "onnx": {"graph", "quantize"},
    "platformdirs": {"backbones"},
    "pooch": {"fetch"},
    "timm": {"export"},
    "torch": {"export"},
    "torchvision": {"export"},
    "onnxruntime": {"session", "quantize"},
    "h5py": {"cache", "images"},
    "pyarrow": {"cache", "images"},
    "fsspec": {"images"},
    "joblib": {"distribute", "processes"},
    "dask": {"distribute"},
    "distributed": {"distribute"},
    "sklearn": {"extractor", "estimators", "heads", "train", "label_errors", "processes"},
    "threadpoolctl": {"train"},
    "scipy": {"estimators", "measures"},
    "skops": {"heads"},
    "click": {"cli"},
    "rich": {"console"},
}


def files_of(module: str) -> Iterator[Path]:
    """The file of a module, or all files of a folder that is one."""
    single = PACKAGE / f"{module}.py"
    yield from [single] if single.exists() else sorted((PACKAGE / module).glob("*.py"))


def imports_of(module: str) -> set[str]:
    """Every module that the files import, `featx.` ones in full, also inside functions."""
    found: set[str] = set()
    for node in (node for path in files_of(module) for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            assert node.module is not None
            found |= {f"featx.{alias.name}" for alias in node.names} if node.module == "featx" else {node.module}
    return found


def featx_imports_of(module: str) -> set[str]:
    """The other featx modules that the files import."""
    return {name.split(".")[1] for name in imports_of(module) if name.startswith("featx.")} - {module}


def test_every_module_has_its_place_in_the_flow() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} | folders == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_up_the_flow(module: str) -> None:
    line = next(index for index, modules in enumerate(FLOW) if module in modules.split())
    assert featx_imports_of(module) <= set(" ".join(FLOW[:line]).split())


@pytest.mark.parametrize("module", sorted(EXTRACTING))
def test_extracting_knows_nothing_of_learning(module: str) -> None:
    assert not featx_imports_of(module) & LEARNING


@pytest.mark.parametrize("module", sorted(LEARNING))
def test_learning_knows_nothing_of_extracting(module: str) -> None:
    assert not featx_imports_of(module) & EXTRACTING


@pytest.mark.parametrize("module", MODULES)
def test_each_library_has_its_door(module: str) -> None:
    strange = {name for name in imports_of(module) if module not in DOORS.get(name.split(".")[0], {module})}
    assert not strange


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_past_400_lines_and_no_function_past_45(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = (ast.get_docstring(node) or "").count("\n") + 1
            assert (node.end_lineno or 0) - node.lineno + 1 - docstring <= 45, node.name
