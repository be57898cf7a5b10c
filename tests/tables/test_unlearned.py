"""Images that a fine-tuned backbone learned from are recognised in every cache, and tested by no split."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import FeatureTable, read_features
from featx.errors import CacheError, TableError
from featx.heads import save_head, train_head
from featx.learned import remember_images
from featx.tables import Split, fuse_tables, learned_rows, make_splits, select_rows
from tests.conftest import Ran
from tests.support.caches import DIM, image_set, provenance, rows_of, write_cache
from tests.support.tables import make_table

SEEN = np.arange(30)
"""The images, of 40, that the backbone learned from."""


def marks(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The fingerprints that the made-up caches have for these images."""
    return rows_of(rows).fingerprint


def tuned_card(memory: str) -> dict[str, Any]:
    return {"name": "tuned", "sha256": "1" * 64, "feature": "pooled", "dim": DIM, "tuned": {"memory": memory}}


def tuned_cache(path: Path, *, start: int = 0, count: int = 40) -> Path:
    """A cache of a backbone that learned from the images of SEEN."""
    made = provenance(card=tuned_card(remember_images(marks(SEEN))), backbone="c" * 64, hashes={"pooled": "c" * 64})
    return write_cache(path, image_set(count, start=start), made, start=start)


def test_a_cache_recognises_the_images_that_its_backbone_learned_from(tmp_path: Path) -> None:
    table = read_features(tuned_cache(tmp_path / "t.h5"))
    assert table.learned is not None
    assert np.array_equal(np.flatnonzero(table.learned), SEEN)
    assert read_features(write_cache(tmp_path / "f.h5", image_set(40))).learned is None


def test_a_grown_part_of_the_images_under_other_positions_is_recognised_too(tmp_path: Path) -> None:
    table = read_features(tuned_cache(tmp_path / "t.h5", start=20, count=60))
    assert table.learned is not None
    assert np.array_equal(np.flatnonzero(table.learned) + 20, np.arange(20, 30))


@pytest.mark.parametrize("rule", ["stratified", "k-fold", "few-shot", "blocks"])
def test_no_rule_tests_an_image_that_was_learned_from(rule: str) -> None:
    table = learned(make_table((60, 60)), range(0, 120, 3))
    plain = make_splits(make_table((60, 60)), rule, shots=[2])
    drawn = make_splits(table, rule, shots=[2])
    assert len(drawn) == len(plain)
    for before, after in zip(plain, drawn, strict=True):
        assert after.test.tolist() == [row for row in before.test if row % 3]
        assert np.array_equal(after.train, before.train)
        assert np.array_equal(after.validation, before.validation)
        assert after.key == before.key


def learned(table: FeatureTable, rows: Sequence[int]) -> FeatureTable:
    """The table of a backbone that learned from these images."""
    card = {**table.sources[0].card, "tuned": {"memory": ""}}
    sources = (replace(table.sources[0], card=card),)
    return replace(table, sources=sources, learned=np.isin(np.arange(len(table)), rows))


def test_the_own_split_of_the_backbone_stays_as_it_was() -> None:
    plain = make_splits(make_table())[0]
    [split] = make_splits(learned(make_table(), plain.development.tolist()))
    assert np.array_equal(split.test, plain.test)
    assert split.rule == plain.rule


def test_a_frozen_backbone_beside_a_tuned_one_is_tested_on_the_same_images() -> None:
    frozen = make_table(name="frozen")
    for tables in ([frozen, learned(frozen, range(20))], [learned(frozen, range(20)), frozen]):
        joined = fuse_tables(tables)
        for split in make_splits(joined, "k-fold"):
            assert not np.isin(split.test, range(20)).any()


def test_images_of_a_group_that_was_learned_from_are_not_tested_either() -> None:
    groups = np.array([str(row // 4).encode() for row in range(80)])
    table = learned(replace(make_table(), groups=groups), [0, 41])
    rows = learned_rows(table)
    assert rows is not None
    assert np.flatnonzero(rows).tolist() == [0, 1, 2, 3, 40, 41, 42, 43]
    for split in make_splits(table, "k-fold"):
        assert not rows[split.test].any()


def test_chosen_rows_keep_what_was_learned_from() -> None:
    table = select_rows(learned(make_table(), range(10)), np.arange(79, 4, -1))
    assert table.learned is not None
    assert np.flatnonzero(table.learned).tolist() == [70, 71, 72, 73, 74]


def test_what_is_left_out_is_said(caplog: pytest.LogCaptureFixture) -> None:
    table = learned(make_table(), range(20))
    with caplog.at_level(logging.WARNING):
        make_splits(table, "k-fold")
    assert "learned from 20 of the 80 test images in 5 splits; no backbone is tested or trained on these" in caplog.text
    assert "validation" not in caplog.text


def test_a_comparison_is_told_that_validation_images_were_seen(caplog: pytest.LogCaptureFixture) -> None:
    frozen = make_table(name="frozen")
    with caplog.at_level(logging.WARNING):
        make_splits(fuse_tables([frozen, learned(frozen, range(20))]), "stratified")
    assert "learned from validation images, so that it looks better on them than it is" in caplog.text


def test_evaluate_measures_the_images_that_the_backbone_did_not_learn_from(
    tmp_path: Path, featx: Callable[..., Ran]
) -> None:
    caches = [tuned_cache(tmp_path / "t.h5"), tuned_cache(tmp_path / "u.h5", start=10)]
    head, _ = train_head(
        caches[0], "class-mean", jobs=1, split=Split(SEEN[:20], SEEN[20:25], SEEN[25:], "made", "made/0")
    )
    save_head(head, tmp_path / "t.featx")
    ran = featx("evaluate", tmp_path / "t.featx", caches[1], "--json")
    assert ran.json["n"] == 20
    assert "tuned learned from 20 of 40 images" in ran.err
    assert "which are not measured; --rows all measures them too" in ran.err
    ran = featx("evaluate", tmp_path / "t.featx", caches[1], "--rows", "all", "--json")
    assert ran.json["n"] == 40
    assert "learned from 20 of the 40 images that are measured, so these measures are too high" in ran.err


def test_a_split_without_any_image_left_to_test_is_refused() -> None:
    with pytest.raises(TableError, match=r"made-up learned from all 20 test images; test it on images that it has not"):
        make_splits(learned(make_table(), range(80)))


def test_a_cache_whose_card_does_not_tell_what_was_learned_from_is_refused(tmp_path: Path) -> None:
    made = provenance(card=tuned_card("nonsense"))
    with pytest.raises(CacheError, match="does not tell from which images its backbone learned"):
        read_features(write_cache(tmp_path / "t.h5", image_set(10), made))


def test_the_largest_memory_fits_into_a_cache(tmp_path: Path) -> None:
    many = np.random.default_rng(0).integers(0, 256, (20_000, 16), np.uint8)
    memory = remember_images(np.concatenate([many, marks(SEEN)]))
    outputs = [{"name": f"/blocks.{place}/Add_output_0:mean", "dim": DIM // 2, "pool": "mean"} for place in range(60)]
    names = tuple(str(output["name"]) for output in outputs)
    made = provenance(outputs=names, card=tuned_card(memory) | {"outputs": outputs})
    learned = read_features(write_cache(tmp_path / "t.h5", image_set(40), made)).learned
    assert learned is not None
    assert learned[SEEN].all()
