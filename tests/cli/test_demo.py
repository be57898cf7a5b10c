"""The demo, whole: on shapes that it draws, and on a stand-in for the photographs, which tests do not need."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest

from featx import demo
from featx.demo import list_cells, run_demo
from featx.errors import DemoError
from featx.settings import Settings
from tests.conftest import draw_image, run_featx

HEADS = ("logreg", "linear-svm", "rbf-svm", "pca-logreg", "pca-svm")
SETTINGS = Settings(device="cpu", batch_size=4, streams=1)


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `elpv_dataset` of 48 images and a labels.csv in its format."""
    package = tmp_path / "site" / "elpv_dataset"
    (package / "data" / "images").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    lines = []
    for number in range(48):
        probability = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")[number % 4]
        name = f"images/cell{number:04}.png"
        draw_image(number, colour=int(float(probability) > 0.5)).convert("RGB").save(package / "data" / name)
        lines.append(f"{name}  {probability}  mono\n")
    (package / "data" / "labels.csv").write_text("".join(lines))
    monkeypatch.syspath_prepend(package.parent)


@pytest.fixture
def no_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package `elpv_dataset`, wherever the tests run."""
    monkeypatch.setattr(demo, "find_spec", lambda name: None)


@pytest.fixture
def in_threads() -> Iterator[None]:
    """Heads are tuned in threads: to start processes takes longer than these few images."""
    with joblib.parallel_config("threading"):
        yield


@pytest.mark.exhaustive
@pytest.mark.usefixtures("cells")
def test_the_demo_leaves_cache_heads_results_and_report_and_reuses_them(tmp_path: Path) -> None:
    first = run_featx("demo", cwd=tmp_path)
    assert first.code == 0, first.err
    folder = tmp_path / "featx-demo"
    written = {path.name for path in folder.iterdir()}
    heads = {f"{name}.featx" for name in HEADS}
    assert written == heads | {"elpv.csv", "elpv-efficientnet-lite0.h5", "results.jsonl", "report.md", "report.html"}
    assert [line for line in first.out.splitlines() if line.startswith("  featx ")] == [
        "  featx extract FOLDER --backbone efficientnet-lite0 --into my.h5",
        "  featx train my.h5 --head logreg --into my.featx",
        "  featx predict my.featx NEW_IMAGES > predictions.csv",
    ]
    assert "95 % interval" in (folder / "report.md").read_text()
    again = run_featx("demo", "--json", cwd=tmp_path).json
    assert again["extraction"]["reused"] == 48
    assert len(again["reused_heads"]) == 5


@pytest.mark.usefixtures("cells")
def test_the_label_rule_is_a_probability_above_one_half(tmp_path: Path) -> None:
    images = list_cells(tmp_path / "elpv.csv")
    labels = [images.classes[label] for label in images.labels[:4]]  # type: ignore[index]
    assert labels == ["functional", "functional", "defective", "defective"]
    with (tmp_path / "elpv.csv").open() as file:
        assert next(csv.reader(file)) == ["path", "label"]


@pytest.mark.usefixtures("no_cells", "in_threads")
def test_without_photographs_the_demo_draws_shapes_and_says_how_photographs_are_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SHAPES_OF_A_CLASS", 8)
    monkeypatch.setattr(demo, "DEMO_HEADS", ("linear-svm", "rbf-svm"))
    summary = run_demo(tmp_path / "demo", settings=SETTINGS)
    assert summary.extraction.done == 40
    report = (tmp_path / "demo" / "report.md").read_text()
    assert "pip install 'featx[demo]'" in report
    assert len((tmp_path / "demo" / "results.jsonl").read_text().splitlines()) == 2
    assert Path(summary.page).read_text(encoding="utf-8").count("<img ") > 5


@pytest.mark.usefixtures("cells", "in_threads")
def test_noise_asks_for_shapes_even_where_photographs_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SHAPES_OF_A_CLASS", 8)
    monkeypatch.setattr(demo, "DEMO_HEADS", ("linear-svm",))
    summary = run_featx("demo", "--noise", "1", "--json", cwd=tmp_path).json
    result = json.loads((tmp_path / "featx-demo" / "results.jsonl").read_text())
    assert summary["extraction"]["done"] == 40
    assert result["classes"] == ["circle", "cross", "square", "star", "triangle"]


@pytest.mark.usefixtures("no_cells")
def test_the_list_of_cells_without_its_package_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"pip install 'featx\[demo\]'"):
        list_cells(tmp_path / "elpv.csv")


def test_a_demo_that_cannot_write_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="choose another --into"):
        run_demo(tmp_path / "file" / "demo", noise=0.0)


@pytest.mark.parametrize("name", ["notes.txt", "report.md", "logreg.featx"])
def test_the_demo_writes_nothing_into_a_folder_of_somebody_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(DemoError, match=r"already (contains other files|exists and is not a report of the demo)"):
        run_demo(tmp_path, noise=0.0)
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
