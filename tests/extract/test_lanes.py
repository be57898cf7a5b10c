"""Lanes of decoding: a cache says which one made it, rows of two are not mixed, a head decodes as its caches were."""

import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.cache import (
    describe_cache,
    merge_caches,
    open_cache,
    read_features,
)
from featx.deploy.predict import (
    predict_images,
    predict_tables,
)
from featx.errors import CacheMismatchError
from featx.extract import Progress, extract_features
from featx.heads import (
    Head,
    load_head,
    save_head,
    train_head,
)
from featx.heads.evaluate import evaluate_head
from featx.inputs import ImageSet, list_images
from featx.inputs.decode import decode_image
from featx.settings import Decode, Settings
from featx.tables import fuse_tables, read_tables
from tests.conftest import Ran, Tiny, draw_image
from tests.extract.test_extract import masked

FIXTURES = Path(__file__).parents[1] / "fixtures"
OTHER: dict[Decode, Decode] = {"fast": "exact", "exact": "fast"}
BOTH = pytest.mark.parametrize("decode", ["exact", "fast"])


def lane(decode: Decode) -> Settings:
    """Batches of four in this lane."""
    return Settings(device="cpu", batch_size=4, decode=decode)


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Photographs large enough to be read at a quarter of their size, and one that is no JPEG."""
    for colour in (0, 1):
        folder = tmp_path / "photos" / f"class{colour}"
        folder.mkdir(parents=True)
        for number in range(12):
            picture = draw_image(1000 * colour + number, size=(111, 83), colour=colour)
            picture.save(folder / f"{number:04}.{'png' if number == 5 else 'jpg'}")
    return list_images(tmp_path / "photos")


@pytest.fixture
def extract(images: ImageSet, tiny: Tiny, tmp_path: Path) -> Callable[..., Path]:
    """Extract in a lane, into a cache called after it."""

    def run(decode: Decode, *, into: str = "", **options: object) -> Path:
        path = tmp_path / (into or f"{decode}.h5")
        extract_features(images, tiny.backbone, into=path, settings=lane(decode), **options)  # type: ignore[arg-type]
        return path

    return run


# ---- the cache


@BOTH
def test_features_are_those_of_the_lanes_own_pixels(
    decode: Decode, images: ImageSet, tiny: Tiny, extract: Callable[..., Path]
) -> None:
    spec = tiny.backbone.card.input.pixels
    pixels = np.stack([decode_image(images.read(row), spec, decode=decode) for row in range(len(images))])
    assert np.allclose(read_features(extract(decode)).features, tiny.expected(pixels), atol=1e-5)


def test_the_lanes_differ_in_jpegs_and_in_nothing_else(images: ImageSet, extract: Callable[..., Path]) -> None:
    exact, fast = (read_features(extract(decode)).features for decode in ("exact", "fast"))
    same = np.all(exact == fast, axis=1)
    assert [images.name(row)[-3:] for row in np.flatnonzero(same).tolist()] == ["png", "png"]


@BOTH
def test_a_cache_says_how_its_images_were_decoded(
    decode: Decode, extract: Callable[..., Path], featx: Callable[..., Ran]
) -> None:
    cache = extract(decode)
    assert open_cache(cache).attributes["decode"] == decode
    assert featx("cache", "info", cache, "--json").json["provenance"]["decode"] == decode
    assert f"{decode} decoding" in " ".join(featx("cache", "info", cache).out.split())


def test_a_cache_from_before_there_were_lanes_is_exact() -> None:
    cache = open_cache(FIXTURES / "cache-v1.h5")
    assert "decode" not in cache.attributes
    assert describe_cache(FIXTURES / "cache-v1.h5").provenance["decode"] == cache.decode == "exact"


class StoppedError(Exception):
    """Ends a run in the middle."""


def stop(progress: Progress) -> None:
    """End the run once a third is done."""
    if progress.finished >= 8:
        raise StoppedError


@BOTH
def test_a_stopped_run_that_is_gone_on_with_equals_one_that_was_not(
    decode: Decode, extract: Callable[..., Path]
) -> None:
    with pytest.raises(StoppedError):
        extract(decode, into="stopped.h5", report=stop)
    assert masked(extract(decode, into="stopped.h5")) == masked(extract(decode))


@BOTH
def test_a_stopped_run_is_not_gone_on_with_in_the_other_lane(decode: Decode, extract: Callable[..., Path]) -> None:
    with pytest.raises(StoppedError):
        extract(decode, into="c.h5", report=stop)
    with pytest.raises(
        CacheMismatchError,
        match=rf"c\.h5\.partial: decode is {decode} in the cache but {OTHER[decode]} was asked for; "
        rf"run with --decode {decode}",
    ):
        extract(OTHER[decode], into="c.h5")


@BOTH
def test_a_complete_cache_is_neither_returned_nor_updated_in_the_other_lane(
    decode: Decode, extract: Callable[..., Path]
) -> None:
    before = extract(decode).read_bytes()
    for options in ({}, {"retry_failed": True}):
        with pytest.raises(CacheMismatchError, match=f"decode is {decode} in the cache"):
            extract(OTHER[decode], into=f"{decode}.h5", **options)
    assert extract(decode).read_bytes() == before


def test_a_cache_can_be_given_up_for_one_of_the_other_lane(extract: Callable[..., Path]) -> None:
    extract("exact", into="c.h5")
    assert masked(extract("fast", into="c.h5", overwrite=True)) == masked(extract("fast"))


@BOTH
def test_rows_of_the_other_lane_are_not_reused(decode: Decode, extract: Callable[..., Path]) -> None:
    other = extract(OTHER[decode])
    with pytest.raises(CacheMismatchError, match=rf"{other.name}: decode is {OTHER[decode]} in the cache"):
        extract(decode, reuse=(other,))


def test_caches_of_two_lanes_are_not_merged(
    images: ImageSet, tiny: Tiny, extract: Callable[..., Path], tmp_path: Path
) -> None:
    for index, decode in enumerate(OTHER):
        part = images.shard(index, 2)
        extract_features(part, tiny.backbone, into=tmp_path / f"{index}.h5", settings=lane(decode))
    with pytest.raises(CacheMismatchError, match=r"1\.h5: decode is exact in the cache but fast, as in .*0\.h5"):
        merge_caches([tmp_path / "0.h5", tmp_path / "1.h5"], into=tmp_path / "all.h5")


@pytest.mark.exhaustive
def test_shards_of_the_fast_lane_make_the_cache_of_one_run(
    images: ImageSet, tiny: Tiny, extract: Callable[..., Path], tmp_path: Path, featx: Callable[..., Ran]
) -> None:
    into, models = tmp_path / "sharded.h5", tiny.backbone.path.parent
    command = ["extract", tmp_path / "photos", "--backbone=tiny", "--models", models, "--into", into, "--shards=2"]
    command += ["--device=cpu", "--batch-size=4"]
    assert featx(*command, "--decode=fast").code == 0
    assert masked(into) == masked(extract("fast"))
    ran = featx(*command)
    assert ran.code == 1
    assert "decode is fast in the cache but exact was asked for" in ran.err


# ---- heads


def fit(caches: list[Path], tmp_path: Path) -> Head:
    """A head trained on these caches, saved and loaded."""
    head, _ = train_head(fuse_tables([read_features(cache) for cache in caches]), "logreg", jobs=1, tuning="validation")
    save_head(head, tmp_path / "h.featx", overwrite=True)
    return load_head(tmp_path / "h.featx")


@BOTH
def test_a_head_decodes_images_as_its_caches_were(
    decode: Decode, images: ImageSet, models: Path, extract: Callable[..., Path], tmp_path: Path
) -> None:
    cache = extract(decode)
    head = fit([cache], tmp_path)
    on_cache = list(predict_tables(head, read_tables([cache], sources=head.sources)))
    other = list(predict_images(head, images, models=models, settings=lane(OTHER[decode])))
    assert other == list(predict_images(head, images, models=models, settings=lane(decode))) == on_cache
    assert on_cache != list(predict_tables(head, read_tables([extract(OTHER[decode])], sources=head.sources)))


def test_a_head_of_both_lanes_decodes_twice(
    images: ImageSet, models: Path, extract: Callable[..., Path], tmp_path: Path
) -> None:
    caches = [extract("exact"), extract("fast")]
    head = fit(caches, tmp_path)
    assert [source.decode for source in head.sources] == ["exact", "fast"]
    assert head.training["backbones"] == ["tiny:features", "tiny:features (fast)"]
    on_images = list(predict_images(head, images, models=models, settings=lane("exact")))
    assert on_images == list(predict_tables(head, read_tables(caches, sources=head.sources)))


def test_a_result_tells_the_fast_lane(extract: Callable[..., Path], tmp_path: Path) -> None:
    assert fit([extract("exact")], tmp_path).training["backbones"] == ["tiny"]
    assert fit([extract("fast")], tmp_path).training["backbones"] == ["tiny (fast)"]


@BOTH
def test_features_of_the_other_lane_are_measured_with_a_warning(
    decode: Decode, extract: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caches: dict[Decode, Path] = {"exact": extract("exact"), "fast": extract("fast")}
    head = fit([caches[decode]], tmp_path)
    with caplog.at_level(logging.WARNING):
        evaluate_head(head, read_features(caches[decode]))
        assert not caplog.records
        assert evaluate_head(head, read_features(caches[OTHER[decode]])).n == 24
    told = (
        f"'logreg' was trained on features of tiny with {decode} decoding but was given features with {OTHER[decode]}"
    )
    assert [record.message.count(told) for record in caplog.records] == [1]


def test_a_head_from_before_there_were_lanes_is_exact(extract: Callable[..., Path], tmp_path: Path) -> None:
    fit([extract("exact")], tmp_path)
    with zipfile.ZipFile(tmp_path / "h.featx") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    about = json.loads(parts["head.json"])
    for source in about["sources"]:
        del source["decode"]
    with zipfile.ZipFile(tmp_path / "old.featx", "w") as file:
        for name, data in (parts | {"head.json": json.dumps(about).encode()}).items():
            file.writestr(name, data)
    assert [source.decode for source in load_head(tmp_path / "old.featx").sources] == ["exact"]
