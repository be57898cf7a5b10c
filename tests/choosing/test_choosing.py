"""Choosing a source before extraction: what is dropped, what is kept, and that nothing is computed twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featx.backbones import Backbone
from featx.cache import DONE, PENDING, open_cache, partial_path, read_features
from featx.choosing import SourceTrials, TriedSource, choose_source
from featx.errors import BackboneError, ChoiceError, TableError
from featx.extract import Progress, extract_features
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from featx.tables import split_table
from tests.conftest import build_tiny, write_folder
from tests.extract.test_extract import StoppedError, masked, stop_after

FOUR = Settings(device="cpu", batch_size=4)
SAMPLE = 48
FIRST = 20
"""Images in the first round."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Images of two colours."""
    return list_images(write_folder(tmp_path_factory.mktemp("images"), (60, 60)))


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    """Two backbones that see colours, and one that sees nothing."""
    folder = tmp_path_factory.mktemp("models")
    made = {"sees": {}, "other": {"seed": 1}, "blind": {"scale": 0.0}}
    return {name: build_tiny(folder, name=name, **how).backbone for name, how in made.items()}  # type: ignore[arg-type]


def choose(images: ImageSet, backbones: dict[str, Backbone], into: Path, **options: object) -> SourceTrials:
    """Try these backbones on the CPU in batches of four."""
    known = {"sample": SAMPLE, "settings": FOUR} | options
    return choose_source(images, list(backbones.values()), into=into, **known)  # type: ignore[arg-type]


def tried(cache: Path) -> set[int]:
    """The rows that an unfinished cache has."""
    return set(np.flatnonzero(open_cache(partial_path(cache)).status == DONE).tolist())


def test_a_source_that_sees_nothing_is_dropped_in_the_first_round_and_the_best_never(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    found = choose(images, backbones, tmp_path)
    assert [one.backbone for one in found.dropped] == ["blind"]
    blind = found.dropped[0]
    assert (blind.round, blind.images) == (1, FIRST)
    assert blind.against in ("sees", "other")
    assert blind.ci[1] < 0
    assert [one.dropped_in for one in found.ranking] == [None, None, 1]
    assert found.ranking[0].accuracy is not None
    assert found.ranking[0].accuracy > 0.9
    assert [one.rank for one in found.ranking] == [1, 2, 3]
    assert [one.images for one in found.ranking] == [SAMPLE, SAMPLE, FIRST]
    assert len(tried(tmp_path / "sees.h5")) == SAMPLE
    assert len(tried(tmp_path / "blind.h5")) == FIRST


def test_the_trial_ends_once_the_first_cannot_be_overtaken(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    two = {name: backbones[name] for name in ("sees", "blind")}
    found = choose(images, two, tmp_path)
    assert found.notes[1] == "stopped after round 1: sees cannot be overtaken"
    assert len(tried(tmp_path / "sees.h5")) == FIRST


def test_no_test_image_is_looked_at(images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path) -> None:
    choose(images, backbones, tmp_path, sample=10_000, seed=3)
    extract_features(images, backbones["other"], into=tmp_path / "whole.h5", settings=FOUR)
    split = split_table(read_features(tmp_path / "whole.h5"), seed=3)
    assert tried(tmp_path / "sees.h5") == set(split.development.tolist())


def test_an_extraction_goes_on_from_what_was_tried_to_the_bytes_of_one_run(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    found = choose(images, backbones, tmp_path / "tried")
    for name, backbone in backbones.items():
        extract_features(images, backbone, into=tmp_path / f"{name}.h5", settings=FOUR)
        summary = extract_features(images, backbone, into=found.caches[name], settings=FOUR)
        assert summary.reused == (FIRST if name == "blind" else SAMPLE)
        assert masked(Path(found.caches[name])) == masked(tmp_path / f"{name}.h5")


def test_the_same_call_computes_nothing_again_also_after_an_interrupt(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        choose(images, backbones, tmp_path, report=stop_after(5))
    first = sum(len(tried(path.with_suffix(""))) for path in tmp_path.glob("*.partial"))
    assert first > 0
    computed: list[Progress] = []
    found = choose(images, backbones, tmp_path, report=computed.append)
    assert computed[-1].finished == 2 * SAMPLE + FIRST - first
    again = choose(images, backbones, tmp_path, report=lambda progress: pytest.fail("something is computed again"))
    assert list(map(without_times, again.ranking)) == list(map(without_times, found.ranking))


def without_times(source: TriedSource) -> TriedSource:
    """The source without what follows from measured times: those of rounds that are over are not those of the end."""
    return replace(source, seconds_for_all=None, seconds_per_image=None, pareto=None)


def test_a_complete_cache_is_used_as_it_is(images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path) -> None:
    extract_features(images, backbones["sees"], into=tmp_path / "sees.h5", settings=FOUR)
    before = (tmp_path / "sees.h5").read_bytes()
    found = choose(images, backbones, tmp_path)
    assert (tmp_path / "sees.h5").read_bytes() == before
    assert next(one for one in found.ranking if one.backbone == "sees").seconds_for_all == 0


def test_a_budget_of_nothing_ends_after_the_first_round_and_says_so(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    found = choose(images, backbones, tmp_path, budget=0)
    assert found.notes[1] == ("stopped after 20 images, as the time of the budget is spent: the order may still change")
    assert len(tried(tmp_path / "sees.h5")) == FIRST


def test_a_candidate_that_fails_is_told_and_the_rest_goes_on(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    broken = build_tiny(tmp_path / "models", name="broken").backbone
    broken.path.write_bytes(b"no model")
    found = choose(images, {"broken": broken, **backbones}, tmp_path / "tried")
    assert [one.backbone for one in found.failed] == ["broken"]
    assert {one.backbone for one in found.ranking} == set(backbones)
    assert any(note.startswith("failed: broken: ") for note in found.notes)
    with pytest.raises(BackboneError, match="no candidate could be run; the first failed: broken: "):
        choose(images, {"broken": broken}, tmp_path / "tried")


def test_an_unknown_name_fails_alone(images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path) -> None:
    found = choose_source(images, ["nowhere", backbones["sees"]], sample=SAMPLE, into=tmp_path, settings=FOUR)
    assert found.failed[0].reason.startswith("no backbone is called 'nowhere'")
    assert found.notes[1] == "stopped after round 1: there is nothing to compare sees with"


def test_a_model_whose_features_are_not_numbers_fails_alone(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    wrong = build_tiny(tmp_path / "models", name="wrong", scale=float("inf")).backbone
    found = choose(images, {"wrong": wrong, **backbones}, tmp_path / "tried")
    assert [one.backbone for one in found.failed] == ["wrong"]
    again = choose(images, {"wrong": wrong, **backbones}, tmp_path / "tried")
    assert [one.backbone for one in again.failed] == ["wrong"]


def test_images_without_labels_are_refused_with_the_step(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    unlabelled = replace(images, labels=None, classes=())
    with pytest.raises(TableError, match=r"none of the images has a label.*class folders.*--label-column"):
        choose(unlabelled, backbones, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_tried_is_refused(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="there is no backbone to try; name at least one"):
        choose(images, {}, tmp_path)
    with pytest.raises(ChoiceError, match=r"there is no score 'logm' \(did you mean logme\?\)"):
        choose_source(images, ["raw-pixels"], scores=["logm"], into=tmp_path)


def test_groups_are_tried_as_wholes(images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path) -> None:
    groups = np.array([f"g{row // 3}".encode() for row in range(len(images))])
    found = choose(replace(images, groups=groups), backbones, tmp_path)
    rows = sorted(tried(tmp_path / "sees.h5"))
    assert set(np.bincount(np.array(rows) // 3)) <= {0, 3}
    assert "in whole groups" in found.notes[0]


def test_images_that_fail_are_left_out_of_every_source(
    backbones: dict[str, Backbone], tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    root = make_folder((60, 60))
    for number in range(0, 60, 5):
        (root / "class0" / f"{number:04}.png").write_bytes(b"no image")
    found = choose(list_images(root), backbones, tmp_path / "tried", sample=10_000)
    status = open_cache(partial_path(tmp_path / "tried" / "sees.h5")).status
    assert found.ranking[0].images == int(np.sum(status == DONE)) < int(np.sum(status != PENDING))


def test_nothing_is_dropped_on_a_handful_of_images(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    assert not choose(images, backbones, tmp_path, sample=8).dropped


def test_a_folder_of_other_images_is_left_alone_and_the_step_is_told(
    images: ImageSet, backbones: dict[str, Backbone], tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    choose(images, backbones, tmp_path / "tried")
    before = {path: path.read_bytes() for path in (tmp_path / "tried").iterdir()}
    other = list_images(make_folder((30, 30), name="new", seed=7))
    other = replace(other, names=np.char.add(b"new-", other.names))
    with pytest.raises(BackboneError, match=r"choose another --into, or let `featx extract --overwrite`"):
        choose(other, backbones, tmp_path / "tried")
    assert {path: path.read_bytes() for path in (tmp_path / "tried").iterdir()} == before
