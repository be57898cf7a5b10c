"""Several outputs of one backbone, from a single pass to a head that is trained on them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.backbones.card import Output
from featx.backbones.outputs import select_outputs
from featx.backbones.store import Backbone
from featx.cache import (
    describe_cache,
    label_sources,
    list_outputs,
    read_features,
    verify_cache,
)
from featx.deploy.predict import (
    predict_images,
    predict_tables,
)
from featx.errors import (
    BackboneError,
    CacheError,
    CacheMismatchError,
    HeadError,
    TableError,
)
from featx.extract import extract_features
from featx.heads import load_head, save_head, train_head
from featx.inputs import list_images
from featx.settings import Settings
from featx.tables import fuse_tables, read_tables
from tests.conftest import Ran, Tiny, build_tiny, draw_image, write_folder

CPU = Settings(device="cpu", batch_size=4)
ALL = ("features", "pooled", "logits")
"""Outputs of the tiny backbone."""


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and caches of them: of two outputs, and of each one alone. No test changes it."""
    folder = tmp_path_factory.mktemp("extracted")
    images, tiny = write_folder(folder / "images"), build_tiny(folder / "models")
    for name, outputs in ({"both": ("features", "pooled")} | {name: (name,) for name in ALL}).items():
        extract_features(list_images(images), taking(tiny, *outputs), into=folder / f"{name}.h5", settings=CPU)
    return folder


@pytest.fixture
def images(extracted: Path, tmp_path: Path) -> Path:
    """Images of this test's own, which are known by their times too."""
    return Path(shutil.copytree(extracted / "images", tmp_path / "images"))


def taking(tiny: Tiny, *names: str) -> Backbone:
    """The tiny backbone with these outputs."""
    return select_outputs(tiny.backbone, names)


@pytest.fixture
def both(extracted: Path, tmp_path: Path) -> Path:
    """A cache of two outputs."""
    return Path(shutil.copy2(extracted / "both.h5", tmp_path / "both.h5"))


def test_each_output_of_one_pass_is_to_the_bit_what_a_pass_of_its_own_gives(both: Path, extracted: Path) -> None:
    for name in ("features", "pooled"):
        alone = read_features(extracted / f"{name}.h5")
        assert np.array_equal(read_features(both, outputs=[name]).features, alone.features)


def test_the_first_output_is_the_feature(both: Path) -> None:
    assert list(list_outputs(both)) == ["features", "pooled"]
    assert read_features(both).features.shape == (24, 8)


def test_outputs_are_read_side_by_side_in_the_order_asked_for(both: Path) -> None:
    table = read_features(both, outputs=["pooled", "features"])
    assert table.features.shape == (24, 11)
    assert [(source.output, source.start, source.stop) for source in table.sources] == [
        ("pooled", 0, 3),
        ("features", 3, 11),
    ]
    assert label_sources(table.sources) == ("tiny:pooled", "tiny:features")


def test_info_names_every_output_with_its_dimension(both: Path) -> None:
    assert describe_cache(both).outputs == {"features": 8, "pooled": 3}


def test_an_output_that_the_cache_lacks_is_refused_with_near_ones(both: Path) -> None:
    with pytest.raises(CacheError, match=r"no output 'pool' \(did you mean pooled\?\); choose from features, pooled"):
        read_features(both, outputs=["pool"])


def test_an_output_that_the_model_lacks_is_refused_with_near_ones(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"no tensor 'poled' \(did you mean pooled"):
        taking(tiny, "poled")


def test_an_output_named_twice_is_refused(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"--output 'pooled' is given twice"):
        taking(tiny, "pooled", "features", "pooled")


def test_no_output_named_leaves_the_backbone_as_its_card_has_it(tiny: Tiny) -> None:
    assert select_outputs(tiny.backbone, ()) is tiny.backbone


def test_a_byte_flipped_in_the_second_output_is_found_and_named_by_row(both: Path) -> None:
    second = read_features(both, outputs=["pooled"]).features
    assert isinstance(second, np.memmap)
    with both.open("r+b") as file:
        file.seek(second.offset + 5 * 12 + 3)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    assert [problem.partition(" (")[0] for problem in verify_cache(both)] == ["row 5"]


def test_the_same_command_reuses_every_row_and_a_grown_folder_only_adds(both: Path, images: Path, tiny: Tiny) -> None:
    backbone = taking(tiny, "features", "pooled")
    assert extract_features(list_images(images), backbone, into=both, settings=CPU).reused == 24
    before = read_features(both, outputs=["pooled"]).features[:12].copy()
    draw_image(99).save(images / "class1" / "new.png")
    summary = extract_features(list_images(images), backbone, into=both, settings=CPU)
    assert (summary.reused, summary.images) == (24, 25)
    assert np.array_equal(read_features(both, outputs=["pooled"]).features[:12], before)


@pytest.mark.parametrize("names", [("features",), ("pooled", "features"), ("features", "pooled", "logits")])
def test_a_cache_of_other_outputs_is_refused(both: Path, images: Path, tiny: Tiny, names: tuple[str, ...]) -> None:
    with pytest.raises(CacheMismatchError, match=r"both\.h5: (outputs|feature) of the backbone is"):
        extract_features(list_images(images), taking(tiny, *names), into=both, settings=CPU)


def test_a_head_reads_from_caches_and_images_the_outputs_that_it_was_trained_on(
    both: Path, images: Path, tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    head, result = train_head(
        fuse_tables(read_tables([both], outputs=["pooled", "features"])), "logreg", jobs=1, tuning="validation"
    )
    assert result.backbones == ("tiny:pooled", "tiny:features")
    save_head(head, tmp_path / "h.featx")
    loaded = load_head(tmp_path / "h.featx")
    from_cache = list(predict_tables(loaded, read_tables([both], sources=loaded.sources)))
    from_images = list(predict_images(loaded, list_images(images), models=models, settings=CPU))
    assert from_cache == from_images


def test_a_head_of_one_output_predicts_with_the_cards_other_feature_as_default(
    both: Path, images: Path, extracted: Path
) -> None:
    head, _ = train_head(fuse_tables(read_tables([both], outputs=["pooled"])), "logreg", jobs=1, tuning="validation")
    assert len(list(predict_images(head, list_images(images), models=extracted / "models", settings=CPU))) == 24


def test_a_head_is_not_given_another_output_of_the_same_width(both: Path, extracted: Path) -> None:
    head, _ = train_head(fuse_tables([read_features(both)]), "logreg", jobs=1, tuning="validation")
    with pytest.raises(HeadError, match="was trained on features of tiny"):
        list(predict_tables(head, read_tables([extracted / "pooled.h5"], sources=head.sources)))


def test_outputs_of_several_caches_are_taken_where_they_are(both: Path, extracted: Path) -> None:
    tables = read_tables([both, extracted / "logits.h5"], outputs=["pooled", "logits"])
    assert fuse_tables(tables).features.shape == (24, 3 + 5)


def test_an_output_in_no_cache_and_a_cache_without_any_are_refused(both: Path, extracted: Path) -> None:
    with pytest.raises(TableError, match=r"no cache has output 'layer'; choose from"):
        read_tables([both], outputs=["layer"])
    with pytest.raises(TableError, match=r"logits\.h5: has none of the outputs pooled; name one of logits too"):
        read_tables([both, extracted / "logits.h5"], outputs=["pooled"])


def test_the_digest_tells_which_outputs_were_read(both: Path) -> None:
    chosen: list[tuple[str, ...]] = [(), ("pooled",), ("features", "pooled"), ("pooled", "features")]
    assert len({read_features(both, outputs=names).digest for names in chosen}) == len(chosen)


def test_the_command_line_takes_outputs_from_extraction_to_prediction(
    images: Path, tiny: Tiny, models: Path, tmp_path: Path, featx: Callable[..., Ran]
) -> None:
    cache, head = tmp_path / "c.h5", tmp_path / "h.featx"
    asked = ("--models", models, "--device", "cpu", "--output", "pooled", "--output", "features")
    quickly = ("--tuning", "validation", "--jobs", 1)
    ran = featx("extract", images, "--backbone", tiny.backbone.name, "--into", cache, *asked, "--json")
    assert (ran.code, ran.json["done"]) == (0, 24)
    assert featx("cache", "info", cache, "--json").json["outputs"] == {"pooled": 3, "features": 8}
    trained = featx(
        "train", cache, "--head", "logreg", "--output", "features", "--output", "pooled", *quickly, "--into", head
    )
    assert trained.code == 0, trained.err
    assert featx("evaluate", head, cache, "--rows", "all", "--json").json["n"] == 24
    assert len(featx("predict", head, images, "--models", models, "--device", "cpu").out.splitlines()) == 25
    assert featx("cache", "verify", cache).code == 0


def test_the_identity_of_an_output_does_not_depend_on_its_neighbours(tiny: Tiny) -> None:
    both, one = taking(tiny, "pooled", "features"), taking(tiny, "features")
    assert both.with_outputs([both.card.all_outputs[1]]).hash == one.hash == tiny.backbone.hash


def test_a_pooling_is_part_of_the_identity(tiny: Tiny) -> None:
    outputs = [Output(name="map", dim=8, pool=pool) for pool in ("mean", "max", "gem")]
    assert len({tiny.backbone.with_outputs([output]).hash for output in outputs}) == 3
