"""Every example of README and of the documentation is run: those of a page in their order, in one directory."""

import contextlib
import importlib.util
import io
import logging
import re
import shlex
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import featx
from featx.cli import cli
from featx.inputs import draw_shapes
from featx.settings import Settings
from tests.support.sizes import as_exhaustive

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README_BYTES = 8000
EXAMPLE = re.compile(r"(?:<!-- (needs|not run): ([^>]+) -->\n)?```(console|python)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Example:
    """A block of code on a page."""

    language: str
    source: str
    line: int
    """Number of its first line on the page."""
    needs: str
    """The package that it imports and that featx does not install; empty for most."""
    skipped: str
    """Why it is not run; empty for most."""


@dataclass(frozen=True)
class Command:
    """A line of a console and the output that the page shows for it, which may be none."""

    line: str
    output: str


def read_examples(page: Path) -> list[Example]:
    """The examples of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in EXAMPLE.finditer(text):
        mark, words, language, source = match.groups()
        line = text.count("\n", 0, match.start(4)) + 1
        needs = words if mark == "needs" else ""
        found.append(Example(language, source, line, needs=needs, skipped=words if mark == "not run" else ""))
    return found


def read_commands(source: str) -> list[Command]:
    """The commands of a console."""
    found = list[Command]()
    for line in source.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], ""))
        else:
            found[-1] = Command(found[-1].line, f"{found[-1].output}{line}\n")
    return found


def name_of(page: Path) -> str:
    """How the tests call a page."""
    return page.relative_to(ROOT).with_suffix("").as_posix()


FIRST_PAGE = ROOT / "README.md"
"""The page whose examples `make test` runs; `make check` runs those of all."""
WITH_EXAMPLES = [page for page in PAGES if any(not example.skipped for example in read_examples(page))]
IN_NEED = [(page, example) for page in PAGES for example in read_examples(page) if example.needs]


def build_resnet(path: Path) -> None:
    """Write a model with the tensors that the examples name."""
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


def build_images(folder: Path) -> None:
    """Write the folders, tars and the manifest that the pages speak of."""
    photos = draw_shapes(folder / "photos", count=8, size=64)
    draw_shapes(folder / "new-photos", count=4, size=64, seed=1)
    draw_shapes(folder / "featx-demo" / "shapes", count=6, size=64, seed=2)
    draw_shapes(folder / "sites" / "clean", count=6, size=64, seed=3)
    draw_shapes(folder / "sites" / "noisy", count=6, size=64, seed=4, noise=0.5)
    (folder / "new").mkdir()
    (folder / "shards").mkdir()
    for path in sorted((folder / "new-photos").rglob("000.png")):
        shutil.copy(path, folder / "new" / f"{path.parent.name}.png")
    names = sorted(path.relative_to(photos) for path in photos.rglob("*.png"))
    for part in ("photos.tar", "shards/train-000.tar", "shards/train-001.tar"):
        with tarfile.open(folder / part, "w") as tar:
            for name in names[int(part[-5]) :: 2] if part.startswith("shards") else names:
                tar.add(photos / name, name.as_posix())
    lines = [f"{name.as_posix()},{name.parent.name}\n" for name in names]
    (folder / "photos.csv").write_text("".join(["path,label\n", *lines]))


def read_suite_of_docs() -> str:
    """The suite that docs/suites.md shows."""
    page = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    return page.partition("```toml\n")[2].partition("```")[0]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of the pages is taken to have: images, a model, and a cache and a head of `photos`."""
    folder = tmp_path_factory.mktemp("home")
    build_images(folder)
    build_resnet(folder / "resnet.onnx")
    (folder / "suite.toml").write_text(read_suite_of_docs())
    images = featx.list_images(folder / "photos")
    featx.extract_features(
        images,
        featx.load_backbone("efficientnet-lite0"),
        into=folder / "photos.h5",
        settings=Settings(device="cpu", batch_size=4, streams=1),
    )
    head, _ = featx.train_head(featx.read_features(folder / "photos.h5"), "ridge", tuning="validation", jobs=1)
    featx.save_head(head, folder / "photos.featx")
    return folder


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of a page's own, with all of that in it, and with no backbones of other pages."""
    folder = tmp_path / "here"
    shutil.copytree(home, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    level = logging.getLogger("featx").level
    yield folder
    logging.getLogger("featx").setLevel(level)


def run_command(command: Command, where: str) -> None:
    """Run the command, which must end with 0 and print what the page shows."""
    words = shlex.split(command.line, comments=True)
    assert words[0] == "featx", f"{where}: only featx is run; mark the others with <!-- not run: why -->"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = cli.main(_before_redirection(words)[1:], prog_name="featx", standalone_mode=False)
    assert not code, f"{where}: {command.line} ended with {code}"
    if ">" in words:
        Path(words[-1]).write_text(printed.getvalue(), encoding="utf-8")
    if command.output:
        options = ELLIPSIS | NORMALIZE_WHITESPACE
        assert OutputChecker().check_output(command.output, printed.getvalue(), options), (
            f"{where}: {printed.getvalue()}"
        )


def _before_redirection(words: Sequence[str]) -> list[str]:
    return list(words[: words.index(">")]) if ">" in words else list(words)


def run_example(example: Example, page: Path) -> None:
    """Run the example as a reader would."""
    where = f"{name_of(page)}:{example.line}"
    if example.language == "python":
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile("\n" * (example.line - 1) + example.source, str(page), "exec"), {"__name__": where})
        return
    for command in read_commands(example.source):
        run_command(command, where)


@pytest.mark.parametrize(
    "page", [page if page == FIRST_PAGE else as_exhaustive(page) for page in WITH_EXAMPLES], ids=name_of
)
def test_the_examples_of_a_page_run_in_their_order(page: Path, here: Path) -> None:
    if "--into photos.featx" in page.read_text():  # a page that makes the head does not have it yet
        (here / "photos.featx").unlink()
    for example in read_examples(page):
        if not example.needs and not example.skipped:
            run_example(example, page)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("page", "wanted"), IN_NEED, ids=[f"{name_of(page)}-{one.needs}" for page, one in IN_NEED])
def test_an_example_that_needs_another_package_runs_where_it_is_installed(
    page: Path, wanted: Example, here: Path
) -> None:
    if importlib.util.find_spec(wanted.needs) is None:
        pytest.skip(f"{wanted.needs} is not installed")
    for example in read_examples(page):
        if example == wanted or (not example.needs and not example.skipped and example.line < wanted.line):
            run_example(example, page)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "models" / "README.md"], ids=name_of)
def test_every_link_to_a_file_finds_it(page: Path) -> None:
    assert not [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]


def test_the_figure_is_what_its_script_draws() -> None:
    spec = importlib.util.spec_from_file_location("draw_flow", ROOT / "docs" / "draw_flow.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs" / "flow.svg").read_text(encoding="utf-8") == script.draw_flow()


def test_every_public_name_is_in_the_reference() -> None:
    stub = Path(featx.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    rooms = set(re.findall(r"^from \.(\w+) import", stub, flags=re.MULTILINE)) - {"provenance"}
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.rst"))
    assert rooms <= set(re.findall(r"^\.\. room:: (\w+)$", pages, flags=re.MULTILINE))
