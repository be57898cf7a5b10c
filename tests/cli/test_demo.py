"""The demo, whole, on a stand-in for its images: the real ones need not be installed for the tests."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, draw_image, run_featx


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder to import `elpv_dataset` from: 48 images and a labels.csv in its format."""
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
    return package.parent


def test_the_demo_leaves_cache_heads_results_and_report_and_reuses_them(cells: Path, tmp_path: Path) -> None:
    def demo(*options: str) -> Ran:
        return run_featx("demo", *options, cwd=tmp_path, PYTHONPATH=os.pathsep.join([str(cells)]))

    first = demo()
    assert first.code == 0, first.err
    folder = tmp_path / "featx-demo"
    made = {path.name for path in folder.iterdir()}
    heads = {f"{name}.featx" for name in ("logreg", "linear-svm", "rbf-svm", "pca-logreg", "pca-svm")}
    assert made == heads | {"elpv.csv", "elpv-efficientnet-lite0.h5", "results.jsonl", "report.md"}
    assert [line for line in first.out.splitlines() if line.startswith("  featx ")] == [
        "  featx extract FOLDER --backbone efficientnet-lite0 --into my.h5",
        "  featx train my.h5 --head logreg --into my.featx",
        "  featx predict my.featx NEW_IMAGES > predictions.csv",
    ]
    assert "95 % interval" in (folder / "report.md").read_text()
    again = demo("--json").json
    assert again["extraction"]["reused"] == 48
    assert len(again["reused_heads"]) == 5


def test_the_label_rule_is_a_probability_above_one_half(cells: Path, tmp_path: Path) -> None:
    from featx.demo import list_cells

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(cells)
        images = list_cells(tmp_path / "elpv.csv")
    labels = [images.classes[label] for label in images.labels[:4]]  # type: ignore[index]
    assert labels == ["functional", "functional", "defective", "defective"]
    with (tmp_path / "elpv.csv").open() as file:
        assert next(csv.reader(file)) == ["path", "label"]


def test_without_its_images_the_demo_names_the_extra(featx: Callable[..., Ran], tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'elpv_dataset' else found(name, *rest)\n"
    )
    ran = featx("demo", PYTHONPATH=str(hidden))
    assert ran.code == 1
    assert "pip install 'featx[demo]'" in ran.err
