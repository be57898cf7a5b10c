"""The main job from end to end, on images that need no download: features, five heads and a table of accuracies."""

import csv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from featx.backbones import load_backbone
from featx.cache import FeatureTable, read_features
from featx.errors import DemoError, FeatxError
from featx.extract import ExtractionSummary, Progress, extract_features
from featx.hardware import hardware
from featx.heads import Result, load_head, read_results, save_head, train_head, write_results
from featx.inputs import ImageSet, draw_shapes, list_images
from featx.provenance import versions
from featx.report import render_results
from featx.settings import BUNDLED, DEFAULTS, Settings

BACKBONE = BUNDLED
DEMO_HEADS = ("logreg", "linear-svm", "rbf-svm", "pca-logreg", "pca-svm")
SEED = 0
SHAPES_OF_A_CLASS = 60
HOW_TO_GET_PHOTOGRAPHS = (
    "For the real images, 2,624 photographs of solar cells (CC BY-NC-SA 4.0, for non-commercial use): "
    "pip install 'featx[demo]'"
)


@dataclass(frozen=True)
class DemoImages:
    """The images of a demo, and what its report says about them."""

    name: str
    """The beginning of the file names of the demo."""
    images: ImageSet
    title: str
    what: str
    """What the images are and where they come from."""
    rule: str
    """How an image gets its label."""
    caution: str
    """What must be known to read the accuracies rightly."""


@dataclass(frozen=True)
class DemoSummary:
    """What the demo did."""

    folder: str
    extraction: ExtractionSummary
    results: tuple[Result, ...]
    reused_heads: tuple[str, ...]


def run_demo(
    folder: Path | str,
    *,
    noise: float | None = None,
    settings: Settings = DEFAULTS,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
) -> DemoSummary:
    """The summary of the demo, which leaves its cache, heads, results and report in the folder.

    The images are those of the package `elpv-dataset` if it is installed, else shapes that featx draws. `noise` asks
    for shapes, and says how much of each pixel is random: from 0 (clear) to 1 (nothing to see). A second run reuses
    what the first one computed. Raises DemoError if the folder cannot be created.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"{folder}: cannot be created ({error.strerror}); choose another --into") from error
    shown = _choose_images(folder, noise)
    announce(f"{len(shown.images)} images: {shown.what}; classes {', '.join(shown.images.classes)}")
    cache = folder / f"{shown.name}-{BACKBONE}.h5"
    extraction = extract_features(shown.images, load_backbone(BACKBONE), into=cache, settings=settings, report=report)
    table = read_features(cache)
    known = _previous_results(folder, table)
    results = []
    for name in DEMO_HEADS:
        announce(f"head {name}: " + ("reused" if name in known else "tuning and fitting"))
        results.append(known.get(name) or _train(folder, table, name))
    write_results(results, folder / "results.jsonl")
    (folder / "report.md").write_text(_render(shown, extraction, results), encoding="utf-8")
    return DemoSummary(str(folder), extraction, tuple(results), tuple(known))


def _choose_images(folder: Path, noise: float | None) -> DemoImages:
    if noise is not None or find_spec("elpv_dataset") is None:
        return _draw_shapes(folder, noise=noise or 0.0)
    return DemoImages(
        name="elpv",
        images=list_cells(folder / "elpv.csv"),
        title="defects in solar cells",
        what="electroluminescence images of solar cells (elpv-dataset, CC BY-NC-SA 4.0)",
        rule="a cell is defective if its probability of a defect is above 0.5; every cell weighs the same",
        caution="Cells of one module are in the training and in the test set of this split, and the data do not name "
        "the module: on cells of modules never seen, expect less.",
    )


def _draw_shapes(folder: Path, *, noise: float) -> DemoImages:
    return DemoImages(
        name="shapes",
        images=list_images(draw_shapes(folder / "shapes", count=SHAPES_OF_A_CLASS, noise=noise)),
        title="shapes",
        what=f"drawn shapes with {noise:.0%} noise",
        rule="an image is of the class of its shape; colours, place, size and turn are random",
        caution=f"Drawn shapes show that featx works, and nothing more. {HOW_TO_GET_PHOTOGRAPHS}",
    )


def list_cells(manifest: Path) -> ImageSet:
    """The solar cells of `elpv-dataset`, whose manifest is written to this file.

    Raises DemoError if that package is not installed.
    """
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DemoError(f"elpv-dataset is not installed. {HOW_TO_GET_PHOTOGRAPHS}")
    data = Path(spec.origin).parent / "data"
    lines = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines() if line.strip()]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        for path, probability, _ in lines:
            writer.writerow((path, "defective" if float(probability) > 0.5 else "functional"))
    return list_images(manifest, root=data)


def _previous_results(folder: Path, table: FeatureTable) -> dict[str, Result]:
    """The results of a previous demo by head, if its features, versions and head files are still the same."""
    found: list[Result] = []
    with suppress(FeatxError):
        found = read_results(folder / "results.jsonl")
    wanted = (table.digest, SEED, versions())
    return {
        result.head: result
        for result in found
        if (result.table, result.seed, result.versions) == wanted and _is_result_of_file(result, folder)
    }


def _is_result_of_file(result: Result, folder: Path) -> bool:
    with suppress(FeatxError):
        return Result.from_dict(load_head(folder / f"{result.head}.featx").training) == result
    return False


def _train(folder: Path, table: FeatureTable, name: str) -> Result:
    head, result = train_head(table, name, seed=SEED)
    save_head(head, folder / f"{name}.featx")
    return result


def _render(shown: DemoImages, extraction: ExtractionSummary, results: list[Result]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in hardware().items())
    numbers = ", ".join(f"{package} {number}" for package, number in versions().items())
    return "\n".join(
        [
            f"# featx demo: {shown.title}",
            "",
            f"{extraction.done} images ({shown.what}); {extraction.failed} failed; "
            f"features by {extraction.backbone} on {extraction.provider}.",
            f"Label rule: {shown.rule}.",
            "",
            render_results(results),
            shown.caution,
            "",
            f"Machine: {machine}. Versions: {numbers}.",
            "",
        ]
    )
