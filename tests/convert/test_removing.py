"""removing: the card and the files that featx wrote for it are gone, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from featx.backbones import bundled_folder, list_backbones
from featx.convert import plan_removal, remove_backbone
from featx.convert.adding import install
from featx.convert.own_folder import ReservedName
from featx.errors import BackboneError
from tests.conftest import Ran, Tiny
from tests.support.cards import BUNDLED_NAMES, with_keys


def names(folder: Path) -> set[str]:
    """Names of the files in a folder, without that of the lock."""
    return {path.name for path in folder.iterdir()} - {".lock"}


@pytest.fixture
def golden(models: Path, tiny: Tiny, tmp_path: Path) -> Path:
    """A folder in which the backbone `tiny` has golden vectors beside it."""
    (tmp_path / "golden.npz").write_bytes(b"golden")
    install(tiny.backbone.path, tiny.backbone.card, ReservedName("tiny", models), golden=tmp_path / "golden.npz")
    return models


def test_card_model_and_golden_vectors_are_removed(golden: Path) -> None:
    (golden / "notes.txt").write_text("mine")
    removed = remove_backbone("tiny", folder=golden)
    assert [path.name for path in (removed.card, *removed.files)] == ["tiny.toml", "tiny.onnx", "tiny.golden.npz"]
    assert names(golden) == {"notes.txt"}
    assert not removed.kept


def test_a_plan_removes_nothing(golden: Path) -> None:
    before = names(golden)
    assert len(plan_removal("tiny", folder=golden).files) == 2
    assert names(golden) == before


def test_other_backbones_stay_usable(models: Path, make_tiny: Callable[..., Tiny]) -> None:
    make_tiny(models, name="one")
    make_tiny(models, name="two")
    remove_backbone("one", folder=models)
    assert {backbone.name for backbone in list_backbones(models)} == {*BUNDLED_NAMES, "two"}
    assert names(models) == {"two.onnx", "two.toml"}


def test_a_file_that_another_card_names_is_kept(models: Path, tiny: Tiny) -> None:
    (models / "other.toml").write_text(with_keys(tiny.backbone.card, name="other").to_toml())
    removed = remove_backbone("tiny", folder=models)
    assert names(models) == {"other.toml", "tiny.onnx"}
    assert "another card names it too" in removed.kept[0]


def test_a_file_that_featx_did_not_write_is_kept(models: Path, tiny: Tiny) -> None:
    tiny.backbone.path.rename(models / "resnet50.onnx")
    (models / "tiny.toml").write_text(with_keys(tiny.backbone.card, file="resnet50.onnx").to_toml())
    removed = remove_backbone("tiny", folder=models)
    assert names(models) == {"resnet50.onnx"}
    assert "does not have the name that featx gives" in removed.kept[0]


def test_a_model_that_was_changed_since_is_kept(models: Path, tiny: Tiny) -> None:
    tiny.backbone.path.write_bytes(b"another model")
    removed = remove_backbone("tiny", folder=models)
    assert names(models) == {"tiny.onnx"}
    assert "changed since" in removed.kept[0]


def test_a_card_without_its_model_is_removed(models: Path, tiny: Tiny) -> None:
    tiny.backbone.path.unlink()
    remove_backbone("tiny", folder=models)
    assert not names(models)


@pytest.mark.parametrize("folder", [None, bundled_folder()])
def test_the_bundled_backbone_stays(folder: Path | None) -> None:
    with pytest.raises(BackboneError, match="is bundled with featx and cannot be removed"):
        remove_backbone("efficientnet-lite0", folder=folder)
    assert (bundled_folder() / "efficientnet-lite0.onnx").exists()


def test_an_unknown_name_is_refused_with_the_nearest_one(models: Path, tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"no backbone is called 'tini' \(did you mean tiny"):
        remove_backbone("tini", folder=models)


def test_a_card_that_cannot_be_read_is_refused_by_file(models: Path, tiny: Tiny) -> None:
    (models / "tiny.toml").write_text("name = ")
    with pytest.raises(BackboneError, match=r"tiny\.toml: not a readable card"):
        remove_backbone("tiny", folder=models)


def test_the_command_asks_where_it_can_and_else_wants_yes(
    models: Path, tiny: Tiny, featx: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ran = featx("backbones", "remove", "tiny", "--models", models)
    assert ran.code == 2
    assert "--yes is needed" in ran.err
    assert names(models) == {"tiny.onnx", "tiny.toml"}


def test_the_command_says_what_it_removed(models: Path, tiny: Tiny, featx: Callable[..., Ran]) -> None:
    ran = featx("backbones", "remove", "tiny", "--models", models, "--yes", "--json")
    assert ran.code == 0
    assert ran.json == {
        "name": "tiny",
        "removed": [str(models / "tiny.toml"), str(models / "tiny.onnx")],
        "kept": [],
    }
    assert not names(models)
