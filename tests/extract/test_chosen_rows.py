"""Some rows of an image set, extracted before the others: the finished cache is that of one run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.cache import PENDING, open_cache, partial_path, read_features, read_rows
from featx.errors import CacheError, ImageSetError
from featx.extract import extract_rows
from featx.inputs import list_images
from tests.conftest import Tiny
from tests.extract.test_extract import FOUR, StoppedError, extract, masked, stop_after

CHOSEN = np.array([1, 4, 5, 9, 11, 13])


def test_only_these_rows_are_computed_and_the_cache_stays_unfinished(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    found = extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR)
    assert (found.computed, found.cache) == (len(CHOSEN), partial_path(tmp_path / "c.h5"))
    assert np.array_equal(np.flatnonzero(open_cache(found.cache).status != PENDING), CHOSEN)
    assert not (tmp_path / "c.h5").exists()


@pytest.mark.parametrize("stopped", [False, True])
def test_an_extraction_goes_on_from_chosen_rows_to_the_bytes_of_one_run(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, stopped: bool
) -> None:
    images = list_images(make_folder())
    extract(images, tiny, tmp_path / "whole.h5")
    if stopped:
        with pytest.raises(StoppedError):
            extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR, report=stop_after(1))
    extract_rows(images, tiny.backbone, CHOSEN[:4], into=tmp_path / "c.h5", settings=FOUR)
    again = extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR)
    assert again.computed == 2
    summary = extract(images, tiny, tmp_path / "c.h5")
    assert summary.reused == len(CHOSEN)
    assert masked(tmp_path / "c.h5") == masked(tmp_path / "whole.h5")


def test_rows_that_exist_are_not_computed_again(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    images = list_images(make_folder())
    extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR)
    assert extract_rows(images, tiny.backbone, CHOSEN[2:], into=tmp_path / "c.h5", settings=FOUR).computed == 0
    extract(images, tiny, tmp_path / "c.h5")
    complete = extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR)
    assert (complete.computed, complete.cache) == (0, tmp_path / "c.h5")


def test_chosen_rows_are_read_from_an_unfinished_cache_as_from_the_finished_one(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    (root / "class0" / "0004.png").write_bytes(b"no image")
    images = list_images(root)
    found = extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR)
    table = read_rows(found.cache, CHOSEN)
    assert table.positions.tolist() == [row for row in CHOSEN if row != 4]
    assert [image.name for image in table.failed.values()] == ["class0/0004.png"]
    extract(images, tiny, tmp_path / "c.h5")
    whole = read_features(tmp_path / "c.h5")
    assert np.array_equal(table.features, whole.features[np.isin(whole.positions, CHOSEN)])
    assert np.array_equal(table.labels, whole.labels[np.isin(whole.positions, CHOSEN)])
    same = read_rows(tmp_path / "c.h5", CHOSEN)
    assert same.digest == table.digest != read_rows(tmp_path / "c.h5", CHOSEN[1:]).digest


def test_rows_that_are_not_extracted_yet_are_not_left_out_unnoticed(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    found = extract_rows(images, tiny.backbone, CHOSEN, into=tmp_path / "c.h5", settings=FOUR)
    with pytest.raises(CacheError, match="2 of the rows asked for are not extracted yet"):
        read_rows(found.cache, np.array([0, 1, 2]))


def test_an_error_tells_why_none_of_the_chosen_images_has_a_feature(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    root = make_folder()
    (root / "class0" / "0004.png").write_bytes(b"no image")
    with pytest.raises(ImageSetError, match=r"none of the 1 images has a feature \(1 as class0/0004.png: "):
        extract_rows(list_images(root), tiny.backbone, np.array([4]), into=tmp_path / "c.h5", settings=FOUR)
    assert not list(tmp_path.glob("c.h5*"))
