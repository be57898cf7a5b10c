"""Views: the features of all views of an image are computed in one pass, and are those of images changed before."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from featx.backbones.store import Backbone, load_backbone
from featx.cache import feature_path, merge_caches, open_cache, read_features, use_views, verify_cache
from featx.errors import CacheMismatchError, ImageSetError
from featx.extract import extract_features, extract_shards
from featx.extract.advising import may_be_fast
from featx.extract.streaming import plan_group
from featx.inputs import SYMMETRIES as SYMMETRIES_OF_PIXELS, PixelSpec, decode_image, list_images, parse_views
from featx.settings import Settings
from tests.conftest import Ran, draw_image, write_folder

SYMMETRIES = Settings(device="cpu", batch_size=4, workers=2, views=parse_views("symmetries"))
MIXED = replace(SYMMETRIES, views=parse_views("hflip,scale=1.5,random-crop:2"))


@pytest.fixture(scope="module")
def pixels() -> Backbone:
    """The bundled backbone whose features are the pixels themselves, so that every order of them is seen."""
    return load_backbone("raw-pixels")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine images, two of which have equal bytes, and one that is none."""
    root = write_folder(tmp_path / "images", (4, 3))
    shutil.copy(root / "class0" / "0000.png", root / "class1" / "copy.png")
    (root / "class1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return root


def content(path: Path) -> dict[str, bytes]:
    """The bytes of every dataset of a cache but what its images have cost."""
    cache = open_cache(path)
    return {name: cache.read(name).tobytes() for name in cache.fields if name not in ("cost", "images/stat")}


def test_every_view_has_the_feature_of_an_image_that_was_changed_before(
    pixels: Backbone, folder: Path, tmp_path: Path
) -> None:
    extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=SYMMETRIES)
    stored = views_in(tmp_path / "v.h5")
    names = open_cache(tmp_path / "v.h5").read("images/name").tolist()
    for place, view in enumerate(SYMMETRIES.views[1:], start=1):
        turned = list_images(turn(folder, tmp_path / view, SYMMETRIES_OF_PIXELS[view], pixels.card.input.pixels))
        settings = replace(SYMMETRIES, views=("center",))
        extract_features(turned, pixels, into=tmp_path / f"{view}.h5", settings=settings)
        alone = read_features(tmp_path / f"{view}.h5")
        rows = [names.index(name) for name in alone.names.tolist()]
        assert np.array_equal(stored[rows, place], alone.features), view


def turn(folder: Path, into: Path, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], spec: PixelSpec) -> Path:
    """Write what a backbone is given for each image, changed, under the same name; returns the new folder."""
    for image in folder.rglob("*.png"):
        if image.name == "broken.png":
            continue
        path = into / image.relative_to(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(change(decode_image(image.read_bytes(), spec))).save(path)
    return into


def views_in(path: Path) -> NDArray[np.float32]:
    """The features (N, V, D) of all views in a cache."""
    cache = open_cache(path)
    return cache.read(feature_path(cache.card["feature"]))


def test_view_0_is_bitwise_the_feature_without_views(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    images = list_images(folder)
    extract_features(images, pixels, into=tmp_path / "v.h5", settings=MIXED)
    extract_features(images, pixels, into=tmp_path / "one.h5", settings=replace(MIXED, views=("center",)))
    assert np.array_equal(read_features(tmp_path / "v.h5").features, read_features(tmp_path / "one.h5").features)


def test_equal_bytes_have_equal_views_and_are_computed_once(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    summary = extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=MIXED)
    assert (summary.done, summary.failed, summary.duplicates) == (8, 1, 1)
    table = use_views(read_features(tmp_path / "v.h5"), "rows")
    rows = {table.name(row): table.features[row] for row in range(len(table))}
    assert np.array_equal(rows["class0/0000.png"], rows["class1/copy.png"])


@pytest.mark.parametrize("settings", [SYMMETRIES, MIXED])
def test_shards_become_what_one_run_writes(pixels: Backbone, folder: Path, tmp_path: Path, settings: Settings) -> None:
    images = list_images(folder)
    extract_features(images, pixels, into=tmp_path / "whole.h5", settings=settings)
    for index in range(2):
        extract_features(images.shard(index, 2), pixels, into=tmp_path / f"{index}.h5", settings=settings)
    merge_caches([tmp_path / "0.h5", tmp_path / "1.h5"], into=tmp_path / "merged.h5")
    assert content(tmp_path / "merged.h5") == content(tmp_path / "whole.h5")
    assert not verify_cache(tmp_path / "merged.h5")


def test_workers_extract_the_views_of_shards(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    images = list_images(folder)
    extract_shards(images, pixels, into=tmp_path / "s.h5", count=2, jobs=1, settings=MIXED)
    extract_features(images, pixels, into=tmp_path / "whole.h5", settings=MIXED)
    assert content(tmp_path / "s.h5") == content(tmp_path / "whole.h5")


def test_a_grown_folder_keeps_the_views_of_its_rows(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=MIXED)
    draw_image(77).save(folder / "class0" / "new.png")
    grown = extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=MIXED)
    assert (grown.images, grown.reused) == (10, 9)
    extract_features(list_images(folder), pixels, into=tmp_path / "fresh.h5", settings=MIXED)
    assert content(tmp_path / "v.h5") == content(tmp_path / "fresh.h5")


def test_rows_of_other_views_are_refused_and_both_lists_are_named(
    pixels: Backbone, folder: Path, tmp_path: Path
) -> None:
    images = list_images(folder)
    extract_features(images, pixels, into=tmp_path / "v.h5", settings=SYMMETRIES)
    for settings in (MIXED, replace(MIXED, views=("center",))):
        with pytest.raises(CacheMismatchError, match=r"hflip,vflip,rot90.*--views center,hflip,vflip"):
            extract_features(images, pixels, into=tmp_path / "v.h5", settings=settings)
        with pytest.raises(CacheMismatchError, match="views"):
            extract_features(images, pixels, into=tmp_path / "w.h5", settings=settings, reuse=[tmp_path / "v.h5"])


def test_a_list_in_another_order_is_the_same_list(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=MIXED)
    mixed_up = replace(MIXED, views=tuple(reversed(MIXED.views)))
    again = extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=mixed_up)
    assert again.reused == again.images


def test_a_view_that_cannot_be_made_is_refused_before_an_image_is_read(
    pixels: Backbone, folder: Path, tmp_path: Path
) -> None:
    small = replace(SYMMETRIES, views=("center", "scale=0.01"))
    with pytest.raises(ImageSetError, match=r"scale=0\.01 cannot be made"):
        extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=small)
    assert not list(tmp_path.glob("v.h5*"))


def test_a_summary_names_the_views(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    summary = extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=MIXED)
    assert summary.to_dict()["views"] == MIXED.views
    assert "with 5 views each" in str(summary)


@pytest.mark.parametrize(("views", "told"), [("rot90", True), ("rot90,random-crop:1", False)])
def test_fast_decoding_is_advised_only_if_it_makes_the_views(pixels: Backbone, views: str, told: bool) -> None:
    settings = replace(SYMMETRIES, views=parse_views(views))
    assert may_be_fast(pixels.card.input.pixels, settings) == told


@pytest.mark.parametrize("batch_size", [1, 2, 5, 16, 64])
@pytest.mark.parametrize("views", [1, 2, 8, 13])
def test_the_views_of_a_group_fill_whole_batches_or_nearly(batch_size: int, views: int) -> None:
    group = plan_group(batch_size, views=views, count=10**5, image_bytes=3 * 224 * 224)
    assert group.places % batch_size == 0
    assert group.images * views <= group.places
    assert group.idle <= (0 if views == 1 else 0.2)


def test_the_command_extracts_views_and_goes_on_with_them(
    featx: Callable[..., Ran], folder: Path, tmp_path: Path
) -> None:
    command = ("extract", folder, "--backbone", "raw-pixels", "--into", tmp_path / "v.h5", "--max-failed", "1")
    assert featx(*command, "--views", "rot180,hflip").code == 0
    assert open_cache(tmp_path / "v.h5").views == ("center", "hflip", "rot180")
    told = featx(*command)
    assert told.code == 1
    assert "--views center,hflip,rot180" in told.err
    assert featx(*command, "--views", "sideways").code == 2


def test_pairs_of_mirrors_are_pairs_in_the_cache(pixels: Backbone, folder: Path, tmp_path: Path) -> None:
    extract_features(list_images(folder), pixels, into=tmp_path / "v.h5", settings=SYMMETRIES)
    sums = views_in(tmp_path / "v.h5")[:4].sum(axis=2)
    for one, other in pairwise(sums.T):
        assert np.allclose(one, other)
