"""The main job on real images: 2,624 solar cells to features, five heads, and a table of honest accuracies."""

import csv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from featx.backbones import load_backbone
from featx.cache import FeatureTable, read_features
from featx.errors import DemoError, FeatxError
from featx.extract import (
    ExtractionSummary,
    Progress,
    extract_features,
)
from featx.hardware import hardware
from featx.heads import (
    Result,
    load_head,
    read_results,
    save_head,
    train_head,
    write_results,
)
from featx.inputs import ImageSet, list_images
from featx.provenance import versions
from featx.report import render_results
from featx.settings import (
    BUNDLED,
    DEFAULTS,
    Settings,
)

BACKBONE = BUNDLED
HEADS = ("logreg", "linear-svm", "rbf-svm", "pca-logreg", "pca-svm")
RULE = "a cell is defective where its probability of a defect is above 0.5; every cell weighs the same"
SEED = 0


@dataclass(frozen=True)
class DemoFiles:
    """What the demo leaves in its folder."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """The image set as a manifest."""
        return self.folder / "elpv.csv"

    @property
    def cache(self) -> Path:
        """The features."""
        return self.folder / f"elpv-{BACKBONE}.h5"

    @property
    def results(self) -> Path:
        """One JSON line a head."""
        return self.folder / "results.jsonl"

    @property
    def report(self) -> Path:
        """The table, in Markdown."""
        return self.folder / "report.md"

    def head(self, name: str) -> Path:
        """The fitted head of this name."""
        return self.folder / f"{name}.featx"


@dataclass(frozen=True)
class DemoSummary:
    """What the demo did."""

    folder: str
    extraction: ExtractionSummary
    results: tuple[Result, ...]
    reused_heads: tuple[str, ...]


def run_demo(
    folder: Path,
    *,
    settings: Settings = DEFAULTS,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
) -> DemoSummary:
    """Summary of the demo, whose cache, heads, results and report then lie in the folder; what is there is reused.

    Raises DemoError where the images are not installed.
    """
    files = DemoFiles(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"{folder}: cannot be made ({error.strerror}); choose another --into") from error
    images = list_cells(files.manifest)
    announce(f"{len(images)} images of solar cells, classes {', '.join(images.classes)}")
    extraction = extract_features(images, load_backbone(BACKBONE), into=files.cache, settings=settings, report=report)
    table = read_features(files.cache)
    known = {result.head: result for result in _earlier_results(files, table)}
    results = []
    for name in HEADS:
        announce(f"head {name}: " + ("reused" if name in known else "tuning and fitting"))
        results.append(known.get(name) or _train(files, table, name))
    write_results(results, files.results)
    files.report.write_text(_render(extraction, results), encoding="utf-8")
    return DemoSummary(str(folder), extraction, tuple(results), tuple(known))


def list_cells(manifest: Path) -> ImageSet:
    """Write the cells' manifest into the demo's folder and list it."""
    data = _find_data()
    lines = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines() if line.strip()]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        writer.writerows(
            (path, "defective" if float(probability) > 0.5 else "functional") for path, probability, _ in lines
        )
    return list_images(manifest, root=data)


def _find_data() -> Path:
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DemoError(
            "the demo's images are not installed (CC BY-NC-SA 4.0, for non-commercial use); pip install 'featx[demo]'"
        )
    return Path(spec.origin).parent / "data"


def _earlier_results(files: DemoFiles, table: FeatureTable) -> list[Result]:
    """Results of an earlier demo whose features, versions and head file are still these."""
    found = []
    with suppress(FeatxError):
        found = read_results(files.results)
    return [r for r in found if (r.table, r.seed, r.versions) == (table.digest, SEED, versions()) and _holds(files, r)]


def _holds(files: DemoFiles, result: Result) -> bool:
    with suppress(FeatxError):
        return Result.from_dict(load_head(files.head(result.head)).training) == result
    return False


def _train(files: DemoFiles, table: FeatureTable, name: str) -> Result:
    head, result = train_head(table, name, seed=SEED)
    save_head(head, files.head(name))
    return result


def _render(extraction: ExtractionSummary, results: list[Result]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in hardware().items())
    numbers = ", ".join(f"{package} {number}" for package, number in versions().items())
    return "\n".join(
        [
            "# featx demo: defects in solar cells",
            "",
            f"{extraction.done} electroluminescence images (elpv-dataset, CC BY-NC-SA 4.0); "
            f"{extraction.failed} failed; features by {extraction.backbone} on {extraction.provider}.",
            f"Label rule: {RULE}.",
            "",
            render_results(results),
            "Cells of one module lie on both sides of this split, and no module is named in the data: "
            "on cells of modules never seen, expect less.",
            "",
            f"Machine: {machine}. Versions: {numbers}.",
            "",
        ]
    )
