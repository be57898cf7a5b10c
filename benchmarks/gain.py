"""Verdicts of `featx gain`: how often harm is found where there is none, and what it says of solar cells.

    python benchmarks/gain.py [none] [cells] [--rounds N] [--work FOLDER] [--models FOLDER]

`none` judges sources of pure noise against pixels of pure noise, with random labels: every `harms` and `helps` is
false, and at most 5 % should be. `cells` needs the extra `demo`: ELPV, defective where the probability of a defect is
above 0.9, functional where it is below 0.1; Lite0, its random twin and the baselines on monocrystalline cells, on
polycrystalline ones, and from each to the other; open-nsfw too, a source of another task, if `--models` has it, as
`sources.py` makes it. Features are kept in the folder `--work`.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import elpv_dataset
import numpy as np
from numpy.typing import NDArray
from record import keep, read

import featx
from featx.cache import FeatureTable, Part, Source
from featx.extract import extract_features
from featx.inputs import list_images
from featx.processes import run_parallel
from featx.transfer import Gain, measure_gain

PARTS = ("none", "cells")
ROUNDS = 200
IMAGES = 240
"""Of two classes, a half each; a quarter is tested where there is one split."""
COLUMNS = 8
SHOTS = (4, 16)
QUICK = ["class-mean"]
"""The head of noise."""
HEADS = ["ridge"]
"""The head of cells."""
KINDS = ("mono", "poly")
SOURCES = ("efficientnet-lite0", "random:efficientnet-lite0", "raw-pixels", "color-histogram", "gradient-histogram")
OTHER_TASK = "open-nsfw"


def noise_table(labels: NDArray[np.int32], *, name: str, baseline: str, seed: int) -> FeatureTable:
    """A source whose features say nothing."""
    rows = np.random.default_rng(seed).normal(size=(len(labels), COLUMNS)).astype(np.float32)
    card = {"name": name, "dim": COLUMNS, "feature": "pooled", "baseline": baseline}
    source = Source(name[0] * 64, "CPUExecutionProvider", card, 0, COLUMNS)
    names = np.array([f"{row:05}".encode() for row in range(len(labels))])
    order = np.arange(len(labels))
    return FeatureTable(
        (Part(rows),), names, ("a", "b"), labels, None, None, None, (source,), order, {}, f"{name}{seed}"
    )


def judge_noise(seed: int, *, shots: Sequence[int]) -> Gain:
    """The gain of a source without effect, against pixels without effect."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(2, dtype=np.int32), IMAGES // 2))
    source = noise_table(labels, name="source", baseline="", seed=2 * seed + 10_000)
    pixels = noise_table(labels, name="pixels", baseline="pixels", seed=2 * seed + 10_001)
    return measure_gain([source, pixels], heads=QUICK, shots=shots, tuning="validation", seed=seed, jobs=1)


def count_false(rounds: int) -> dict[str, Any]:
    """How often each verdict is given where nothing has an effect: of rows alone, and of whole calls."""
    found: dict[str, Any] = {"rounds": rounds, "images": IMAGES, "columns": COLUMNS}
    for name, shots in (("one split", ()), ("few-shot draws", SHOTS)):
        gains = list(run_parallel([partial(judge_noise, seed, shots=shots) for seed in range(rounds)]))
        rows = [row for gain in gains for row in gain.rows]
        for kind in dict.fromkeys(row.shots for row in rows):
            of_kind = [row for row in rows if row.shots == kind]
            below = np.mean([row.p is not None and row.p < 0.05 and row.difference < 0 for row in of_kind])
            found[f"{name}, {kind or 'all'} shots: harms before Holm's correction"] = float(below)
        parts = [part.verdict for row in rows for part in row.per_class]
        calls = [{row.verdict for row in gain.rows} for gain in gains]
        found[name] = {
            "calls with a false harms": float(np.mean(["harms" in call for call in calls])),
            "calls with a false helps": float(np.mean(["helps" in call for call in calls])),
            "verdicts of rows": dict(Counter(row.verdict for row in rows)),
            "verdicts of classes": dict(Counter(parts)),
        }
        print(name, found[name])
    return found


def write_manifests(work: Path) -> Path:
    """One manifest of the clear cells for each kind; the folder of the pictures."""
    pictures = Path(elpv_dataset.__file__).parent / "data"
    text = (pictures / "labels.csv").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for kind in KINDS:
        with (work / f"{kind}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label"))
            for path, probability, of_cell in lines:
                if of_cell == kind and not 0.1 <= float(probability) <= 0.9:
                    writer.writerow((path, "defective" if float(probability) > 0.9 else "functional"))
    return pictures


def extract(work: Path, models: Path) -> dict[tuple[str, str], Path]:
    """The cache of each kind of cell and source."""
    pictures = write_manifests(work)
    known = {backbone.name for backbone in featx.list_backbones(models)}
    found = {}
    for kind in KINDS:
        for source in (*SOURCES, *({OTHER_TASK} & known)):
            cache = work / f"{kind}-{source.replace(':', '-')}.h5"
            if not cache.exists():
                images = list_images(work / f"{kind}.csv", root=pictures)
                extract_features(images, featx.load_backbone(source, folder=models), into=cache)
            found[kind, source] = cache
    return found


def describe(gain: Gain) -> dict[str, Any]:
    """The rows without what was skipped, and the baselines."""
    whole = gain.to_dict()
    rows = [row | {"per_group": len(row["per_group"])} for row in whole["rows"]]
    for row in rows:
        reached = f"{row['accuracy']:.3f} {row['difference']:+.3f}"
        print(row["backbone"], row["shots"], row["baseline"], reached, row["verdict"])
    return {"rows": rows, "baselines": whole["baselines"], "notes": whole["notes"]}


def measure_cells(work: Path, models: Path) -> dict[str, Any]:
    """Gain within each kind of cell, and from each to the other."""
    caches = extract(work, models)
    found = {}
    for kind in KINDS:
        own = [cache for (of_kind, _), cache in caches.items() if of_kind == kind]
        found[kind] = describe(measure_gain(own, heads=HEADS, into=work / f"{kind}.jsonl"))
    for kind, other in (KINDS, KINDS[::-1]):
        source, target = ([caches[one, SOURCES[0]]] for one in (kind, other))
        found[f"{kind} to {other}"] = describe(measure_gain(source, to=target, heads=HEADS))
    return found


def main() -> None:
    """Measure what was asked for, and keep it beside what was measured before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="none, cells (default: both)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--work", type=Path, default=Path("gain-work"))
    parser.add_argument("--models", type=Path)
    given = parser.parse_args()
    measured = dict(read("gain") or {})
    parts = given.parts or PARTS
    if "none" in parts:
        measured["without effect"] = count_false(given.rounds)
    if "cells" in parts:
        models = given.models or given.work / "models"
        models.mkdir(parents=True, exist_ok=True)
        given.work.mkdir(exist_ok=True)
        measured["cells"] = measure_cells(given.work, models)
    known = {part: measured[part] for part in ("without effect", "cells") if part in measured}
    keep("gain", known, beside=["elpv-dataset"])


if __name__ == "__main__":
    main()
