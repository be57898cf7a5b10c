"""The order of the rooms, as a test: a room imports only from the rooms above it, and by their doors."""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "featx"

GROUND = (
    "moved",
    "file_kinds",
    "errors",
    "settings",
    "locking",
    "targets",
    "provenance",
    "hashing",
    "hardware",
    "devices",
    "processes",
    "apart",
    "columns",
    "csv_columns",
    "labels",
    "learned",
    "showing",
)
ROOMS = (
    *("inputs", "backbones", "convert", "cache", "extract"),
    *("tables", "estimators", "measures", "heads", "compare"),
    *("transfer", "choosing", "finetuning", "suites", "deploy", "serving", "report", "demo", "cli", "__main__"),
)
FLOW = (*GROUND, *ROOMS)

EXTRACTING = {"inputs", "backbones", "convert", "extract"}
LEARNING = {"tables", "estimators", "measures", "heads", "compare", "transfer"}

DOORS = {
    "PIL": {"inputs"},
    "msgspec": {"inputs", "backbones", "cache", "measures", "heads", "transfer", "suites", "report"},
    "onnx": {"backbones", "convert", "deploy"},
    "platformdirs": {"backbones"},
    "pooch": {"convert"},
    "timm": {"convert"},
    "torch": {"convert", "finetuning"},
    "torchvision": {"convert"},
    "onnxruntime": {"backbones", "convert"},
    "filelock": {"locking"},
    "h5py": {"cache", "inputs"},
    "pyarrow": {"cache", "inputs"},
    "fsspec": {"inputs"},
    "aiohttp": {"inputs"},
    "joblib": {"extract", "processes"},
    "dask": {"extract"},
    "distributed": {"extract"},
    "sklearn": {"extract", "estimators", "measures", "heads", "transfer", "processes"},
    "threadpoolctl": {"heads", "transfer"},
    "scipy": {"estimators", "measures"},
    "skops": {"heads"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "prometheus_client": {"serving"},
    "click": {"cli"},
    "rich": {"report"},
    "matplotlib": {"report"},
}
OF_IMAGES = ("PixelSpec", "ImageInput", "decode_image", ".input.pixels")
"""What only code that is about images may use; other kinds of input will share all else."""
SHARED_BY_ALL_INPUTS = (
    *("inputs/sets", "inputs/fingerprints.py", "backbones/card.py", "cache", "tables", "heads", "deploy"),
    *("extract/shards", "extract/resuming.py", "extract/recording.py", "extract/duplicates.py"),
)
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
USUAL_FUNCTION = 20
"""Lines, without the docstring, that nine of ten functions have at most."""


def files_of(room: str) -> list[Path]:
    """The file that is a room, or all files of a folder that is one."""
    single = PACKAGE / f"{room}.py"
    return [single] if single.exists() else sorted((PACKAGE / room).rglob("*.py"))


@cache
def nodes_in(path: Path) -> list[ast.AST]:
    """All that the file says; every file is read by several tests, once."""
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports_in(path: Path) -> list[str]:
    """Every module that the file imports, also inside functions; of `from featx import x`, `featx.x`."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in nodes_in(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            assert node.module is not None
            yield from [f"featx.{alias.name}" for alias in node.names] if node.module == "featx" else [node.module]


def own_imports_in(path: Path) -> set[str]:
    """The modules of featx that the file imports, without the leading `featx.`."""
    return {name.removeprefix("featx.") for name in imports_in(path) if name.startswith("featx.")}


def functions_in(path: Path) -> Iterator[tuple[str, int]]:
    """Name of each function, and its lines without the docstring."""
    for node in nodes_in(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            described = docstring.count("\n") + 1 if docstring else 0
            yield f"{path.name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1 - described


def test_every_room_has_its_place_in_the_flow() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} | folders == set(FLOW)


@pytest.mark.parametrize("room", FLOW)
def test_imports_point_up_the_flow(room: str) -> None:
    above = set(FLOW[: FLOW.index(room)])
    for path in files_of(room):
        others = {module.partition(".")[0] for module in own_imports_in(path)} - {room}
        assert others <= above, path


@pytest.mark.parametrize("room", ROOMS)
def test_other_rooms_are_entered_by_their_doors(room: str) -> None:
    for path in files_of(room):
        deep = {module for module in own_imports_in(path) if "." in module and module.partition(".")[0] != room}
        assert not deep, path


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room / "__init__.pyi").exists()])
def test_every_name_at_a_door_is_there_and_used_by_another_room_or_public(room: str) -> None:
    door = importlib.import_module(f"featx.{room}")
    for name in dir(door):
        assert hasattr(door, name)


def test_no_name_at_a_door_is_also_that_of_a_module_there() -> None:
    """The module, once it is imported, would stand in the place of the name."""
    for stub in PACKAGE.rglob("__init__.pyi"):
        names = [
            alias.name
            for node in ast.walk(ast.parse(stub.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        modules = {path.stem for path in stub.parent.glob("*.py")} | {
            path.name for path in stub.parent.iterdir() if path.is_dir()
        }
        assert not modules & set(names), stub


@pytest.mark.parametrize("room", sorted(EXTRACTING))
def test_extracting_knows_nothing_of_learning(room: str) -> None:
    for path in files_of(room):
        assert not {module.partition(".")[0] for module in own_imports_in(path)} & LEARNING, path


@pytest.mark.parametrize("room", sorted(LEARNING))
def test_learning_knows_nothing_of_extracting(room: str) -> None:
    for path in files_of(room):
        assert not {module.partition(".")[0] for module in own_imports_in(path)} & EXTRACTING, path


@pytest.mark.parametrize("place", SHARED_BY_ALL_INPUTS)
def test_what_all_kinds_of_input_share_knows_nothing_of_pixels(place: str) -> None:
    found = PACKAGE / place
    assert found.exists()
    for path in [found] if found.is_file() else found.rglob("*.py"):
        assert not [name for name in OF_IMAGES if name in path.read_text()], path


@pytest.mark.parametrize("room", FLOW)
def test_each_library_has_its_door(room: str) -> None:
    for path in files_of(room):
        for name in imports_in(path):
            assert room in DOORS.get(name.partition(".")[0], {room}), f"{path} imports {name}"


def test_no_modules_of_a_room_import_each_other_in_a_circle() -> None:
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    left = {module: own_imports_in(path) & paths.keys() for module, path in paths.items()}
    while ready := [module for module, needed in left.items() if not needed & left.keys() - {module}]:
        for module in ready:
            del left[module]
    assert not left


def test_no_file_is_too_long() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if path.read_text().count("\n") > LONGEST_FILE]


def test_no_function_is_too_long_and_nine_of_ten_are_short() -> None:
    lengths = dict(found for path in PACKAGE.rglob("*.py") for found in functions_in(path))
    assert not [name for name, lines in lengths.items() if lines > LONGEST_FUNCTION]
    assert sum(lines <= USUAL_FUNCTION for lines in lengths.values()) >= 0.9 * len(lengths)
