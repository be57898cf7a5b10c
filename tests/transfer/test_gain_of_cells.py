"""Real images whose domains differ: heads of monocrystalline cells harm on polycrystalline ones, and featx says so."""

import csv
from pathlib import Path

import pytest

import featx
from featx.settings import Settings

CLEAR = 0.1
"""Cells whose defect is less probable than this, or more than 1 minus this, are clear."""


def write_cells(folder: Path, kind: str, count: int) -> Path:
    """A manifest of some clear cells of this kind, and the cache of their features."""
    package = pytest.importorskip("elpv_dataset", reason="needs elpv-dataset (extra demo)")
    pictures = Path(package.__file__).parent / "data"
    lines = [line.split() for line in (pictures / "labels.csv").read_text().splitlines() if line.strip()]
    cells = [(path, float(p)) for path, p, of_cell in lines if of_cell == kind and not CLEAR <= float(p) <= 1 - CLEAR]
    chosen = cells[:: max(1, len(cells) // count)][:count]
    with (folder / f"{kind}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        writer.writerows((path, "defective" if p > 0.5 else "functional") for path, p in chosen)
    cache = folder / f"{kind}.h5"
    featx.extract_features(
        featx.list_images(folder / f"{kind}.csv", root=pictures),
        featx.load_backbone("efficientnet-lite0"),
        into=cache,
        settings=Settings(device="cpu"),
    )
    return cache


@pytest.mark.exhaustive
def test_a_head_of_monocrystalline_cells_harms_on_polycrystalline_ones(tmp_path: Path) -> None:
    mono, poly = (write_cells(tmp_path, kind, count) for kind, count in (("mono", 200), ("poly", 320)))
    gain = featx.measure_gain([mono], to=[poly], heads=["ridge"], shots=(), jobs=1)
    (row,) = gain.rows
    assert (row.baseline, row.verdict) == ("majority", "harms")
    assert row.baseline_accuracy > 0.6
    assert row.source_accuracy is not None
    assert row.source_accuracy > row.accuracy
    assert row.target_log_loss is not None
    assert row.source_log_loss is not None
    assert row.target_log_loss > row.source_log_loss
