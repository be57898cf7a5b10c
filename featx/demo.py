"""The demo: the main job from end to end, on images that need no download, with a report of five heads."""

import csv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from featx.backbones import load_backbone
from featx.cache import FeatureTable, read_features
from featx.errors import DemoError, FeatxError
from featx.extract import ExtractionSummary, Progress, extract_features
from featx.hardware import hardware
from featx.heads import Result, load_head, read_results, save_head, train_head, write_results
from featx.inputs import ImageSet, draw_shapes, list_images
from featx.provenance import versions
from featx.report import render_results, write_report
from featx.settings import BUNDLED, DEFAULTS, Settings
from featx.targets import Kind, check_replaceable, explain_failure, reserve

DEMO_HEADS = ("logreg", "linear-svm", "rbf-svm", "pca-logreg", "pca-svm")
REPORT = "report.md"
PAGE = "report.html"
REPORT_START = "# featx demo"
SEED = 0
SHAPES_OF_A_CLASS = 60
HOW_TO_GET_PHOTOGRAPHS = (
    "For the real images, 2,624 photographs of solar cells (CC BY-NC-SA 4.0, for non-commercial use): "
    "pip install 'featx[demo]'"
)


def _begins_with(start: str) -> Callable[[Path], bool]:
    """A function that says whether a file begins with this text."""

    def _begins(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(start.encode())) == start.encode()

    return _begins


REPORTS = Kind(
    name="a report of the demo",
    endings=(".md",),
    is_own=_begins_with(REPORT_START),
    error=DemoError,
    locked=DemoError,
    writing="running the demo here",
)
MANIFESTS = replace(REPORTS, name="a manifest of the demo", endings=(".csv",), is_own=_begins_with("path,label"))


@dataclass(frozen=True)
class DemoImages:
    """The images of a demo, and what its report says about them."""

    name: str
    """Beginning of the name of the demo's cache."""
    images: ImageSet
    title: str
    what: str
    """What the images are and where they come from."""
    rule: str
    """How an image gets its label."""
    caution: str
    """What a reader of the accuracies must know."""


@dataclass(frozen=True)
class DemoSummary:
    """What the demo did."""

    folder: str
    """Folder of its files."""
    extraction: ExtractionSummary
    results: tuple[Result, ...]
    """One for each head."""
    reused_heads: tuple[str, ...]
    """Names of the heads that a previous demo had trained."""
    page: str = ""
    """The report as one HTML file."""


def run_demo(
    folder: Path | str,
    *,
    noise: float | None = None,
    settings: Settings = DEFAULTS,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
) -> DemoSummary:
    """Run the demo, write its cache, heads, results and reports into the folder, and return a summary.

    The images are those of the package `elpv-dataset` if it is installed, else shapes that featx draws. With `noise`
    they are shapes in any case, and this share of each pixel is random: 0 is clear, 1 leaves nothing to see. A second
    run reuses what the first one computed. Raises DemoError if the folder cannot be created, or if it contains
    something else than a demo.
    """
    folder = Path(folder)
    _claim(folder)
    demo = _choose_images(folder, noise)
    announce(f"{len(demo.images)} images: {demo.what}; classes {', '.join(demo.images.classes)}")
    cache = folder / f"{demo.name}-{BUNDLED}.h5"
    extraction = extract_features(demo.images, load_backbone(BUNDLED), into=cache, settings=settings, report=report)
    table = read_features(cache)
    known = _previous_results(folder, table)
    results = []
    for name in DEMO_HEADS:
        announce(f"head {name}: " + ("reused" if name in known else "tuning and fitting"))
        results.append(known.get(name) or _train(folder, table, name))
    write_results(results, folder / "results.jsonl", overwrite=True)
    _write(folder / REPORT, _render(demo, extraction, results), kind=REPORTS)
    announce("report")
    page = _write_page(folder, cache, demo, results)
    return DemoSummary(str(folder), extraction, tuple(results), tuple(known), str(page))


def _write_page(folder: Path, cache: Path, demo: DemoImages, results: list[Result]) -> Path:
    """Write the report as one HTML file, with what the best head by validation images predicts."""
    best = max(results, key=lambda result: result.validated)
    inputs = [folder / "results.jsonl", folder / f"{best.head}.featx", cache]
    page = folder / PAGE
    write_report(inputs, page, images=demo.images, title=f"featx demo: {demo.title}", overwrite=True)
    return page


def _claim(folder: Path) -> None:
    """Create the folder and a first report, which marks it as a demo's own.

    Raises DemoError if the folder cannot be created, or if it contains something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = all(found.name.startswith(f"{REPORT}.") for found in folder.iterdir())  # what a kill leaves
    except OSError as error:
        raise DemoError(f"{folder}: cannot be created ({error.strerror}); choose another --into") from error
    if not is_new and not (folder / REPORT).is_file():
        raise DemoError(f"{folder}: already contains other files than those of a demo; choose another --into")
    if is_new:
        _write(folder / REPORT, f"{REPORT_START}, which is not complete\n", kind=REPORTS)
    check_replaceable(folder / REPORT, REPORTS)


def _write(path: Path, text: str, *, kind: Kind) -> None:
    """Write a file of the demo, and replace an older one. Raises DemoError."""
    try:
        with reserve(path, kind, overwrite=True) as target, target.new_file() as new:
            new.write_text(text, encoding="utf-8")
            target.publish(new)
    except OSError as error:
        raise DemoError(explain_failure(path, error)) from error


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
        rule="the class of an image is its shape; colours, position, size and rotation are random",
        caution=f"Drawn shapes show that featx works, and nothing more. {HOW_TO_GET_PHOTOGRAPHS}",
    )


def list_cells(manifest: Path) -> ImageSet:
    """Write a manifest of the solar cells of `elpv-dataset` to this file, and return their image set.

    Raises DemoError if that package is not installed.
    """
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DemoError(f"elpv-dataset is not installed. {HOW_TO_GET_PHOTOGRAPHS}")
    data = Path(spec.origin).parent / "data"
    lines = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines() if line.strip()]
    table = StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "label"))
    for path, probability, _ in lines:
        writer.writerow((path, "defective" if float(probability) > 0.5 else "functional"))
    _write(manifest, table.getvalue(), kind=MANIFESTS)
    return list_images(manifest, root=data)


def _previous_results(folder: Path, table: FeatureTable) -> dict[str, Result]:
    """Head -> result of a previous demo in this folder, if its features, versions and head file are still the same."""
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
    save_head(head, folder / f"{name}.featx", overwrite=True)
    return result


def _render(demo: DemoImages, extraction: ExtractionSummary, results: list[Result]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in hardware().items())
    numbers = ", ".join(f"{package} {number}" for package, number in versions().items())
    return "\n".join(
        [
            f"{REPORT_START}: {demo.title}",
            "",
            f"{extraction.done} images ({demo.what}); {extraction.failed} failed; "
            f"features by {extraction.backbone} on {extraction.provider}.",
            f"Label rule: {demo.rule}.",
            "",
            render_results(results),
            demo.caution,
            "",
            f"Machine: {machine}. Versions: {numbers}.",
            "",
        ]
    )
