"""Features of one use of views are never taken for those of another, wherever two tables or a head and a table meet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featx.cache import FeatureTable, read_features
from featx.errors import HeadError, TableError
from featx.heads import train_head
from featx.settings import ViewRule
from featx.transfer import adapt_head, measure_gap, transfer_head
from tests.conftest import Ran
from tests.support.caches import image_set, provenance, write_cache

VIEWS = ("center", "hflip")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[ViewRule], FeatureTable]:
    """A table of forty images in two views, read by a rule."""
    path = write_cache(tmp_path / "views.h5", replace(image_set(40), splits=None), provenance(views=VIEWS))
    return lambda rule: read_features(path, views=rule)


def test_domains_that_use_views_differently_are_refused(read: Callable[[ViewRule], FeatureTable]) -> None:
    message = r"made-up:pooled \(bbbbbbbbbbbb, mean of center, hflip\), the target of made-up:pooled \(bbbbbbbbbbbb\)"
    for measure in (measure_gap, adapt_head):
        with pytest.raises(TableError, match=message):
            measure(read("mean"), read("first"))


def test_single_views_are_neither_adapted_nor_given_parameters(read: Callable[[ViewRule], FeatureTable]) -> None:
    table = read("rows")
    with pytest.raises(TableError, match="single views cannot be adapted; read both domains with views first or mean"):
        adapt_head(table, table)
    head, _ = train_head(read("first"), "ridge", jobs=1, tuning="validation")
    with pytest.raises(HeadError, match="a head of single views cannot take over parameters"):
        transfer_head(table, "ridge", sources=[head])


def test_parameters_of_another_use_of_views_are_refused(read: Callable[[ViewRule], FeatureTable]) -> None:
    head, _ = train_head(read("mean"), "ridge", jobs=1, tuning="validation")
    message = r"reads features of made-up:pooled \(bbbbbbbbbbbb, mean of center, hflip\), the target has features of"
    with pytest.raises(HeadError, match=message):
        transfer_head(read("first"), "ridge", sources=[head], jobs=1, tuning="validation")
    first, _ = train_head(read("first"), "ridge", jobs=1, tuning="validation")
    with pytest.raises(TableError, match="read both with the same views"):
        transfer_head(read("first"), "ridge", sources=[first], pool=read("mean"), jobs=1, tuning="validation")


@pytest.mark.parametrize("command", ["score", "gap", "cluster", "label-errors", "curve", "gain", "adapt"])
def test_commands_that_read_caches_refuse_views_that_one_lacks(
    tmp_path: Path, featx: Callable[..., Ran], command: str
) -> None:
    cache = write_cache(tmp_path / "c.h5", image_set(40))
    other: tuple[Any, ...] = ("--to", cache) if command in ("gap", "adapt") else ()
    ran = featx(command, cache, *other, "--views", "mean")
    assert ran.code == 1
    assert "has one view of each image" in ran.err


def test_views_are_of_caches_and_not_of_images_to_try(featx: Callable[..., Ran]) -> None:
    ran = featx("score", "photos", "--backbones", "a", "--views", "mean")
    assert ran.code == 2
    assert "--views is for caches, and --backbones for images" in ran.err


def test_what_was_scored_says_that_it_is_a_mean(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    cache = write_cache(tmp_path / "c.h5", replace(image_set(40), splits=None), provenance(views=VIEWS))
    ran = featx("score", cache, "--scores", "logme", "--views", "mean", "--json")
    assert [row["backbone"] for row in ran.json["rows"]] == ["made-up (mean of 2 views)"]
