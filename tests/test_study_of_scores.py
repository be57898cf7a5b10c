"""The study of benchmarks/transfer.py, as far as it needs no package of data."""

import csv
import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from featx.suites import Prediction, read_suite

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not (BENCHMARKS / "targets").is_dir():
    pytest.skip("benchmarks are in the repository, not in its packages", allow_module_level=True)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """A function that imports a module by the name by which scripts in benchmarks/ import it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    own = {path.stem for path in BENCHMARKS.iterdir()}
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in own:
            del sys.modules[name]


@pytest.fixture
def targets(study: Callable[[str], ModuleType]) -> ModuleType:
    """What targets are made of."""
    return study("targets.target")


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


def test_the_suite_of_the_study_is_one_that_featx_reads(study: Callable[[str], ModuleType], tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(study("transfer").suite_text(), encoding="utf-8")
    suite = read_suite(path)
    fresh = [name for name, target in study("targets").TARGETS.items() if not target.seen]
    assert len(suite.targets) - len(fresh) == 9
    assert len(fresh) >= 3
    assert sum(len(source.outputs) for source in suite.sources) >= 20


def test_points_lost_are_those_below_the_best_of_each_split(study: Callable[[str], ModuleType]) -> None:
    truths = {"one": {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}, "other": {"a": 0.5, "b": 0.7, "c": 0.6, "d": 0.8}}
    places = {"a": -1.0, "b": -2.0, "c": -3.0, "d": -4.0}
    known = [
        Prediction("target", split, source, 1, False, truth, {"default ranking": places[source]})
        for split, found in truths.items()
        for source, truth in found.items()
    ]
    agreeing = study("agreeing")
    always = agreeing.regrets_of_one(known)
    assert always["a"] == pytest.approx({"mean": 15, "most": 30})
    assert always["d"] == pytest.approx({"mean": 15, "most": 30})
    assert agreeing.regret_of_three(known) == pytest.approx({"mean": 5, "most": 10})
    assert agreeing.accuracies(known)["target"]["b"] == pytest.approx(0.75)
    other = {(one.split, one.source): one.scores[agreeing.OTHER_HALF] for one in agreeing.add_other_half(known)}
    assert other["one", "a"] == truths["other"]["a"]
    assert other["other", "d"] == truths["one"]["d"]
    by_other_half = agreeing.regret_by_other_half(known, "default ranking")
    assert by_other_half["mean"] == pytest.approx((0.6 - 0.9 + 0.5 - 0.5) / 2 * 100)
    assert by_other_half["ci"] is None


def test_the_mean_rank_is_largest_for_the_source_that_most_scores_prefer(study: Callable[[str], ModuleType]) -> None:
    values = {"a": (0.9, 0.9, 0.1), "b": (0.8, 0.8, 0.8), "c": (0.1, 0.1, 0.9)}
    known = [
        Prediction("target", "split", source, 1, False, 0.5, dict(zip(("ridge", "press", "knn"), scores, strict=True)))
        for source, scores in values.items()
    ]
    agreeing = study("agreeing")
    ranks = {one.source: one.scores[agreeing.MEAN_RANK] for one in agreeing.add_mean_ranks(known)}
    assert ranks == pytest.approx({"a": 7 / 3, "b": 2, "c": 5 / 3})
