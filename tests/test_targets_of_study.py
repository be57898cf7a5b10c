"""The targets of benchmarks/transfer.py, as far as they need no package of data."""

import csv
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not (BENCHMARKS / "targets").is_dir():
    pytest.skip("benchmarks are in the repository, not in its packages", allow_module_level=True)


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package `targets`, which scripts in benchmarks/ import."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("targets.target")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("targets", "fashion")]:
        del sys.modules[name]


def test_a_small_class_gives_all_and_the_others_share_the_rest_equally(targets: ModuleType) -> None:
    assert targets.share_out(100, {"few": 10, "many": 500, "most": 900}) == {"few": 10, "many": 45, "most": 45}
    assert targets.share_out(1000, {"few": 10, "many": 500}) == {"few": 10, "many": 500}


def test_the_draw_depends_on_names_alone(targets: ModuleType) -> None:
    pictures = [targets.Picture(f"{n:03}", "ab"[n % 2], Image.Image) for n in range(100)]
    drawn = targets.draw_pictures(pictures, most=40)
    assert drawn == targets.draw_pictures(pictures[::-1], most=40)
    assert [picture.name for picture in drawn] == sorted(picture.name for picture in drawn)
    assert Counter(picture.label for picture in drawn) == {"a": 20, "b": 20}


def test_a_class_below_the_least_number_of_images_is_left_out(targets: ModuleType) -> None:
    few = [targets.Picture(f"few{n}", "few", Image.Image) for n in range(targets.LEAST - 1)]
    enough = [targets.Picture(f"enough{n}", "enough", Image.Image) for n in range(targets.LEAST)]
    assert {picture.label for picture in targets.draw_pictures(few + enough, most=1000)} == {"enough"}


def test_every_group_gives_one_picture_before_any_gives_two(targets: ModuleType) -> None:
    """All classes take groups in the same order, so that a group that several classes share stays whole."""
    pictures = [
        targets.Picture(f"{label}{group}{n}", label, Image.Image, f"g{group}")
        for label in "ab"
        for group in range(20)
        for n in range(3)
    ]
    drawn = targets.draw_pictures(pictures, most=60)
    counts = Counter((picture.label, picture.group) for picture in drawn)
    assert set(counts.values()) == {1, 2}
    assert len(counts) == 40
    assert {group for (label, group), n in counts.items() if label == "a" and n == 2} == {
        group for (label, group), n in counts.items() if label == "b" and n == 2
    }


def test_a_target_is_a_folder_of_images_without_transparency_and_their_manifest(
    targets: ModuleType, tmp_path: Path
) -> None:
    def draw() -> Image.Image:
        return Image.new("RGBA", (4, 4), (0, 0, 0, 0))

    def pictures(packages: Path) -> list[object]:
        return [targets.Picture(f"{label}{n}", label, draw, str(n)) for label in "ab" for n in range(30)]

    target = targets.Target("made up", "nowhere", "none", (), pictures)
    manifest = targets.write_target(target, tmp_path, tmp_path / "images", most=50)
    with manifest.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert list(rows[0]) == ["path", "label", "group"]
    for row in rows:
        with Image.open(manifest.parent / row["path"]) as image:
            assert image.mode == "RGB"
            assert image.getpixel((0, 0)) == (255, 255, 255)
