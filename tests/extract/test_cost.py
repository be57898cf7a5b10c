"""What an image has cost, as a cache tells it: over all runs that computed its rows, and never part of the features."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featx.cache import (
    CacheWriter,
    Cost,
    cost_of,
    create_partial,
    describe_cache,
    merge_caches,
    open_cache,
    partial_path,
    read_features,
    seal,
)
from featx.inputs import list_images
from tests.conftest import Tiny
from tests.extract.test_extract import StoppedError, extract, stop_after
from tests.support.caches import image_set, part, provenance, rows_of, write_cache

KNOWN = Cost(0.01, 10, 2, "CPUExecutionProvider", "a processor")


def told(path: Path) -> Cost:
    """The cost that a cache tells."""
    cost = cost_of(open_cache(path))
    assert cost is not None
    return cost


def write_with_cost(into: Path, rows: slice, *costs: Cost, device: str = "a processor") -> Path:
    """A complete cache of some images, whose runs have cost this."""
    images = part(image_set(30), rows)
    cache = create_partial(into, images, provenance(device=device))
    with CacheWriter(cache) as writer:
        writer.append(rows_of(np.arange(len(images))))
        for cost in costs:
            writer.add_cost(cost)
    seal(into)
    return into


def test_an_extraction_tells_what_an_image_has_cost(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    summary = extract(list_images(make_folder()), tiny, tmp_path / "c.h5")
    cost = told(tmp_path / "c.h5")
    assert cost.images == summary.done
    assert 0 < cost.seconds_per_image < summary.seconds
    assert cost.cores >= 1
    assert describe_cache(tmp_path / "c.h5").cost == cost
    assert read_features(tmp_path / "c.h5").sources[0].cost == cost


def test_a_run_that_goes_on_adds_to_what_the_first_one_has_cost(
    make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path
) -> None:
    images = list_images(make_folder())
    with pytest.raises(StoppedError):
        extract(images, tiny, tmp_path / "c.h5", report=stop_after(2))
    first = told(partial_path(tmp_path / "c.h5"))
    assert first.images >= 8
    extract(images, tiny, tmp_path / "c.h5")
    assert told(tmp_path / "c.h5").images == first.images + len(images) - 8


def test_rows_that_are_kept_keep_their_cost(make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path) -> None:
    root = make_folder()
    extract(list_images(root), tiny, tmp_path / "c.h5")
    before = told(tmp_path / "c.h5")
    extract(list_images(root), tiny, tmp_path / "c.h5")
    assert told(tmp_path / "c.h5") == before
    extract(list_images(root), tiny, tmp_path / "other.h5", reuse=[tmp_path / "c.h5"])
    assert told(tmp_path / "other.h5") == before
    (root / "class0" / "new.png").write_bytes((root / "class1" / "0000.png").read_bytes()[:-1] + b"\0")
    extract(list_images(root), tiny, tmp_path / "c.h5")
    assert told(tmp_path / "c.h5").images in (before.images, before.images + 1)


def test_costs_of_runs_are_weighted_by_their_images(tmp_path: Path) -> None:
    path = write_with_cost(tmp_path / "c.h5", slice(0, 30), KNOWN, replace(KNOWN, seconds_per_image=0.04, images=20))
    assert told(path).seconds_per_image == pytest.approx(0.03)
    assert told(path).images == 30


def test_of_runs_on_other_cores_the_one_of_more_images_counts(tmp_path: Path) -> None:
    more = replace(KNOWN, images=20, cores=8)
    assert told(write_with_cost(tmp_path / "c.h5", slice(0, 30), KNOWN, more)) == more


def test_what_was_measured_on_another_device_does_not_count(tmp_path: Path) -> None:
    path = write_with_cost(tmp_path / "c.h5", slice(0, 30), replace(KNOWN, device="another processor"))
    assert cost_of(open_cache(path)) is None


def test_a_merged_cache_has_the_cost_of_its_parts_if_these_ran_on_one_device(tmp_path: Path) -> None:
    first = write_with_cost(tmp_path / "0.h5", slice(0, 10), KNOWN)
    second = write_with_cost(tmp_path / "1.h5", slice(10, 30), replace(KNOWN, seconds_per_image=0.04, images=20))
    other = replace(KNOWN, device="another processor")
    third = write_with_cost(tmp_path / "2.h5", slice(10, 30), other, device=other.device)
    merge_caches([first, second], into=tmp_path / "same.h5")
    merge_caches([first, third], into=tmp_path / "different.h5")
    assert told(tmp_path / "same.h5").seconds_per_image == pytest.approx(0.03)
    assert told(tmp_path / "same.h5").images == 30
    assert cost_of(open_cache(tmp_path / "different.h5")) is None


def test_a_cost_that_was_half_written_is_unknown_and_hurts_nothing(tmp_path: Path) -> None:
    path = write_with_cost(tmp_path / "c.h5", slice(0, 30), KNOWN)
    whole = read_features(path)
    with path.open("r+b") as file:
        file.seek(open_cache(path).fields["cost"].offset)
        file.write(np.float64(0.5).tobytes())
    assert cost_of(open_cache(path)) is None
    assert read_features(path).digest == whole.digest


def test_a_cache_of_an_older_version_has_no_cost_and_takes_none(tmp_path: Path) -> None:
    older = Path(__file__).parents[1] / "fixtures" / "cache-v1.h5"
    shutil.copy(older, tmp_path / "c.h5")
    cache = open_cache(tmp_path / "c.h5")
    with CacheWriter(cache) as writer:
        writer.add_cost(replace(KNOWN, provider=cache.provider, device=str(cache.attributes["device"])))
    assert cost_of(cache) is None
    assert (tmp_path / "c.h5").read_bytes() == older.read_bytes()


def test_the_cost_is_not_part_of_the_identity_of_a_source(tmp_path: Path) -> None:
    table = read_features(write_cache(tmp_path / "c.h5", image_set(30)))
    assert replace(table.sources[0], cost=KNOWN) == table.sources[0]
