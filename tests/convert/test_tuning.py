"""A fine-tuned backbone is installed with a card that says what it learned from, and works like any other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from featx.backbones import Backbone, Tuned, list_backbones, read_card
from featx.convert import (
    check_new_name,
    install_tuned,
    load_backbone,
    quantize_backbone,
    randomize_backbone,
    verify_backbone,
)
from featx.errors import BackboneError
from featx.inputs import list_images
from featx.learned import recognise_images, remember_images
from tests.conftest import Ran
from tests.support.cards import with_card
from tests.support.graphs import classifier, describe, open_model, random_pixels

MARKS = np.random.default_rng(0).integers(0, 256, (30, 16), np.uint8)


def about(backbone: Backbone, **changes: Any) -> Tuned:
    """What the card of a backbone says that was tuned on the images of MARKS."""
    source: dict[str, Any] = {"source": backbone.name, "source_hash": backbone.hash, "tensor": "relu_3"}
    learned = {"images": 30, "images_hash": "0" * 64, "memory": remember_images(MARKS), "split": "a quarter held out"}
    validation = {"validated": 6, "validation_frozen": 0.5, "validation_tuned": 0.75}
    test = {"tested": 10, "test_frozen": 0.6, "test_tuned": 0.7}
    return Tuned(**source | learned | validation | test | changes)


def source(folder: Path) -> Backbone:
    return with_card(describe(classifier(folder)), licence="MIT", source="somewhere", reference="0.9")


def doubled(backbone: Backbone) -> onnx.ModelProto:
    """The model with other weights, and so with other features."""
    model = onnx.load(backbone.path)
    for tensor in model.graph.initializer[2:4]:
        tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))
    return model


def test_a_tuned_backbone_is_listed_loaded_and_verified_like_any_other(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    installed = install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models")
    assert "new" in [one.name for one in list_backbones(tmp_path / "models")]
    loaded = load_backbone("new", folder=tmp_path / "models")
    assert loaded.card == installed.card
    checks = verify_backbone(loaded, device="cpu")
    assert any("golden" in check.name for check in checks)
    assert all(check.ok for check in checks)


def test_its_features_are_those_of_its_own_weights(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    installed = install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models")
    pixels = random_pixels(3)
    before, after = open_model(backbone.path)(pixels), open_model(installed.path)(pixels)
    assert not np.allclose(before, after)
    assert installed.hash != backbone.hash


def test_its_card_keeps_where_the_source_comes_from_and_drops_what_is_no_longer_true(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    card = install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models").card
    assert (card.licence, card.source, card.feature, card.input) == (
        *(backbone.card.licence, backbone.card.source, backbone.card.feature),
        backbone.card.input,
    )
    assert (card.classifier, card.classifier_kind, card.reference) == ("", "", "")
    assert read_card(tmp_path / "models" / "new.toml").tuned == about(backbone)


def test_a_card_with_texts_left_empty_can_be_read_again(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    said = about(backbone, images_hash="", memory="", split="")
    card = replace(backbone.card, tuned=said)
    (tmp_path / "made.toml").write_text(card.to_toml())
    assert read_card(tmp_path / "made.toml").tuned == said


def test_a_backbone_that_is_tuned_again_remembers_the_images_of_both_times(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    first = install_tuned(backbone, doubled(backbone), about(backbone), name="first", into=tmp_path / "models")
    again = about(first, memory=remember_images(MARKS[:0]))
    second = install_tuned(first, doubled(first), again, name="second", into=tmp_path / "models").card.tuned
    assert second is not None
    assert recognise_images(second.memory, MARKS).all()


@pytest.mark.exhaustive
def test_a_tuned_backbone_that_is_quantised_or_drawn_anew_keeps_or_forgets_what_it_learned_from(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    folder = tmp_path / "models"
    tuned = install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=folder)
    for place in range(4):
        Image.fromarray(random_pixels(1, seed=place)[0]).save(tmp_path / f"{place}.png")
    images = list_images(tmp_path)
    assert quantize_backbone(tuned, images, count=2, into=folder, force=True).backbone.card.tuned == tuned.card.tuned
    assert randomize_backbone(tuned, into=folder).card.tuned is None


def test_lists_tell_that_a_backbone_was_tuned(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    backbone = source(tmp_path)
    install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models")
    listed = featx("backbones", "list", "--models", tmp_path / "models").out
    assert f"tuned from {backbone.name}" in listed
    shown = featx("backbones", "show", "new", "--models", tmp_path / "models").out
    assert "memory of 30 images" in shown
    card = featx("backbones", "show", "new", "--models", tmp_path / "models", "--json").json
    assert card["tuned"]["memory"] == about(backbone).memory
    assert card["tuned"]["test_tuned"] == 0.7


def test_a_backbone_of_one_file_stays_one(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models")
    found = {path.name for path in (tmp_path / "models").iterdir() if not path.name.startswith(".")}
    assert found == {"new.onnx", "new.toml", "new.golden.npz"}


def test_what_a_card_says_of_tuning_does_not_change_the_identity(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    first, second = (replace(backbone, card=replace(backbone.card, tuned=about(backbone, tested=n))) for n in (9, 10))
    assert first.hash == second.hash


def test_the_card_of_another_backbone_has_no_key_about_tuning(tmp_path: Path) -> None:
    card = source(tmp_path).card
    assert "tuned" not in card.to_dict()
    assert "tuned" not in card.to_toml()


def test_a_name_that_is_taken_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    backbone = source(tmp_path)
    install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models")
    with pytest.raises(BackboneError, match="already exists"):
        check_new_name("new", into=tmp_path / "models")
    with pytest.raises(BackboneError, match="bundled backbone"):
        check_new_name("efficientnet-lite0", into=tmp_path / "models")
    check_new_name("other", into=tmp_path / "models")


WRONG = [("tested = 10", "tested = -1"), ("test_tuned = 0.7", "test_tuned = 1.7"), ("tested = 10", "often = 10")]


@pytest.mark.parametrize(("said", "instead"), WRONG)
def test_a_card_with_wrong_values_about_tuning_is_refused(tmp_path: Path, said: str, instead: str) -> None:
    backbone = source(tmp_path)
    install_tuned(backbone, doubled(backbone), about(backbone), name="new", into=tmp_path / "models")
    path = tmp_path / "models" / "new.toml"
    assert said in path.read_text()
    path.write_text(path.read_text().replace(said, instead))
    with pytest.raises(BackboneError, match=r"tuned = .* should be a table \{ source,"):
        read_card(path)
