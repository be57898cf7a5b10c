"""The flow of fine-tuning on a small network: what is written, what is refused, and that a killed run ends equal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.backbones import Backbone, find_cut, list_cuts, load_backbone, map_backbone
from featx.cache import open_cache, read_features
from featx.convert import verify_backbone
from featx.convert.adding import install
from featx.errors import BackboneError, FineTuningError, TableError
from featx.extract import extract_features
from featx.finetuning import FineTuning, TuningProgress, finetune_backbone
from featx.heads import evaluate_head, load_head, save_head
from featx.inputs import ImageSet, list_images
from featx.learned import recognise_images
from featx.settings import Settings
from featx.tables import split_table
from tests.conftest import Ran, write_folder
from tests.support.graphs import FIXTURES, describe

pytest.importorskip("torch", reason="fine-tuning needs torch")

HERE = Settings(device="cpu", batch_size=8, streams=1, threads=1)
CUT = "/maxpool/MaxPool_output_0"
TWO = ("center", "hflip")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return list_images(write_folder(tmp_path_factory.mktemp("images"), (20, 20)))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return describe(FIXTURES / "resnet-script-free.onnx", size=32)


def tune(backbone: Backbone, images: ImageSet, folder: Path, **options: Any) -> FineTuning:
    """Tune the backbone from its second block on, for two epochs, into a folder."""
    known: dict[str, Any] = {
        "tensor": CUT,
        "name": "new",
        "into": folder / "models",
        "work": folder / "work",
        "views": TWO,
        "epochs": 2,
        "layers": False,
        "settings": HERE,
    }
    return finetune_backbone(backbone, images, **known | options)


@pytest.fixture(scope="module")
def tuned(backbone: Backbone, images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[FineTuning, Path]:
    """A backbone that was written by force, and the folder of its models and of the work."""
    folder = tmp_path_factory.mktemp("tuned")
    return tune(backbone, images, folder, force=True), folder


def weights_of(path: Path) -> bytes:
    return (path / "models" / "new.onnx").read_bytes()


@pytest.mark.exhaustive
def test_the_new_backbone_is_verified_and_its_card_says_what_it_learned_from(
    tuned: tuple[FineTuning, Path], backbone: Backbone, images: ImageSet
) -> None:
    found, folder = tuned
    assert found.written
    new = load_backbone("new", folder=folder / "models")
    assert all(check.ok for check in verify_backbone(new, device="cpu"))
    about = new.card.tuned
    assert about is not None
    assert (about.source, about.source_hash, about.tensor) == (backbone.name, backbone.hash, CUT)
    assert (about.images, about.tested, about.validated) == (30, 10, 6)
    assert about.test_tuned == pytest.approx(found.tuned.accuracy)
    assert "2 epochs" in about.recipe


@pytest.mark.exhaustive
def test_the_test_images_are_not_among_those_that_it_learned_from(tuned: tuple[FineTuning, Path]) -> None:
    found, folder = tuned
    assert found.backbone is not None
    about = found.backbone.card.tuned
    assert about is not None
    cache = next((folder / "work").glob("maps-*.h5"))
    test = split_table(read_features(cache)).test
    learned = recognise_images(about.memory, np.asarray(open_cache(cache)["images/fingerprint"]))
    assert not learned[test].any()
    assert learned.sum() == 30


@pytest.mark.exhaustive
def test_weights_before_the_cut_stay_and_features_change(
    tuned: tuple[FineTuning, Path], backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    found, _ = tuned
    assert found.backbone is not None
    for path, made in (("old.h5", backbone), ("new.h5", found.backbone)):
        extract_features(images, made, into=tmp_path / path, settings=HERE)
        extract_features(images, map_backbone(made, CUT), into=tmp_path / f"maps-{path}", settings=HERE)
    old, new, old_maps, new_maps = (
        read_features(tmp_path / name).features for name in ("old.h5", "new.h5", "maps-old.h5", "maps-new.h5")
    )
    assert np.array_equal(old_maps, new_maps)
    assert not np.allclose(old, new, atol=1e-4)


@pytest.mark.exhaustive
def test_the_same_command_gives_the_same_bytes(
    tuned: tuple[FineTuning, Path], backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    tune(backbone, images, tmp_path, force=True)
    assert weights_of(tmp_path) == weights_of(tuned[1])


@pytest.mark.exhaustive
def test_the_head_is_the_tuned_network_and_works_as_any_head(
    tuned: tuple[FineTuning, Path], images: ImageSet, tmp_path: Path
) -> None:
    found, _ = tuned
    assert found.backbone is not None
    assert found.head is not None
    save_head(found.head, tmp_path / "tuned.featx")
    head = load_head(tmp_path / "tuned.featx")
    extract_features(images, found.backbone, into=tmp_path / "c.h5", settings=replace(HERE, views=TWO))
    metrics = evaluate_head(head, str(tmp_path / "c.h5"), rows=split_table(read_features(tmp_path / "c.h5")).test)
    assert metrics.accuracy == found.tuned.accuracy
    assert metrics.log_loss == pytest.approx(head.training["metrics"]["log_loss"], abs=1e-3)


@pytest.mark.exhaustive
def test_the_head_is_calibrated_on_validation_images_of_the_trial(tuned: tuple[FineTuning, Path]) -> None:
    found, _ = tuned
    assert found.head is not None
    assert found.head.temperature not in (0, 1)
    assert found.head.training["metrics"]["accuracy"] == found.tuned.accuracy
    assert found.head.training["metrics"]["log_loss"] != found.tuned.log_loss


class StoppedError(Exception):
    """Raised by a test in the middle of a training."""


def stop_at(stage: str, step: int) -> Callable[[TuningProgress], None]:
    def _report(progress: TuningProgress) -> None:
        if progress.stage.startswith(stage) and progress.finished == step:
            raise StoppedError

    return _report


@pytest.mark.exhaustive
@pytest.mark.parametrize("stage", ["training at", "training with"])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    tuned: tuple[FineTuning, Path], backbone: Backbone, images: ImageSet, tmp_path: Path, stage: str
) -> None:
    with pytest.raises(StoppedError):
        tune(backbone, images, tmp_path, force=True, report=stop_at(stage, 2))
    assert not (tmp_path / "models" / "new.onnx").exists()
    found = tune(backbone, images, tmp_path, force=True)
    assert weights_of(tmp_path) == weights_of(tuned[1])
    assert found.tried == tuned[0].tried


@pytest.mark.exhaustive
def test_nothing_is_written_unless_tuning_wins_on_validation_images(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    """With a rate of almost 0 the tuned network is the one that it began as."""
    found = tune(backbone, images, tmp_path, rates=(1e-12,))
    assert not found.written
    assert not found.wins
    assert found.measured_on == "validation"
    assert found.tuned.n == found.images["validation"]
    assert not (tmp_path / "models").exists()
    assert "nothing was written" in found.notes[0]
    assert found.to_dict()["card"] is None


@pytest.mark.exhaustive
def test_of_several_rates_the_best_on_validation_images_is_taken(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    found = tune(backbone, images, tmp_path, rates=(1e-5, 1e-2), epochs=1)
    assert [one.rate for one in found.tried] == [1e-5, 1e-2]
    chosen = [one for one in found.tried if one.chosen]
    assert len(chosen) == 1
    assert chosen[0].accuracy == max(one.accuracy for one in found.tried)


@pytest.mark.exhaustive
def test_a_rate_that_diverges_writes_nothing_and_says_so(backbone: Backbone, images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(FineTuningError, match="diverges at rate 1e"):
        tune(backbone, images, tmp_path, rates=(1e6,), force=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.exhaustive
def test_without_a_weight_after_the_cut_only_a_linear_layer_is_trained(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    found = tune(backbone, images, tmp_path, tensor=list_cuts(backbone)[-1].name, force=True)
    assert not found.written
    assert "only a linear layer was trained" in found.notes[0]


@pytest.mark.exhaustive
def test_a_cut_at_the_image_trains_the_whole_network(backbone: Backbone, images: ImageSet, tmp_path: Path) -> None:
    found = tune(backbone, images, tmp_path, tensor=backbone.card.input.name, force=True, epochs=1)
    assert found.written
    assert found.bytes_of_maps == 0
    assert found.backbone is not None
    assert all(check.ok for check in verify_backbone(found.backbone, device="cpu"))


@pytest.mark.exhaustive
def test_layers_are_measured_beside_it_and_averaged_with_it(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    found = tune(backbone, images, tmp_path, layers=True)
    assert found.layers is not None
    assert found.both is not None
    assert [(one.a, one.b) for one in found.comparisons] == [("tuned", "frozen"), ("tuned", "layers")]
    assert {one.n for one in found.comparisons} == {found.tuned.n}


@pytest.mark.exhaustive
def test_the_bytes_of_maps_are_said_before_the_first_image(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    said: list[str] = []

    def _stop(text: str) -> None:
        said.append(text)
        raise StoppedError

    with pytest.raises(StoppedError):
        tune(backbone, images, tmp_path, announce=_stop)
    assert said[0].startswith("40 images x 2 views: 0.1 MB of maps (float16) in ")
    assert not (tmp_path / "work").exists()
    cut = find_cut(backbone, CUT)
    assert 40 * 2 * cut.map_bytes == tune(backbone, images, tmp_path, rates=(1e-9,), epochs=1).bytes_of_maps


@pytest.mark.parametrize(
    ("counts", "error", "told"),
    [
        ((3, 3), FineTuningError, "6 images have labels of 2 classes, but tuning needs 8, 4 for each"),
        ((40,), TableError, "a head needs two classes"),
    ],
)
def test_too_few_images_are_refused_before_any_is_read(
    backbone: Backbone, tmp_path: Path, counts: tuple[int, ...], error: type[Exception], told: str
) -> None:
    images = list_images(write_folder(tmp_path / "images", counts))
    with pytest.raises(error, match=told):
        tune(backbone, images, tmp_path)
    assert not (tmp_path / "work").exists()


def test_images_without_labels_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    write_folder(tmp_path / "images", (12,))
    images = list_images(tmp_path / "images" / "class0")
    with pytest.raises(FineTuningError, match="none of the images has a label"):
        tune(backbone, images, tmp_path)


def test_what_cannot_be_cut_or_named_is_refused_before_any_image_is_read(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match="cannot be cut at 'nothing'"):
        tune(backbone, images, tmp_path, tensor="nothing")
    with pytest.raises(BackboneError, match="bundled"):
        tune(backbone, images, tmp_path, name="efficientnet-lite0")
    with pytest.raises(FineTuningError, match="above 0"):
        tune(backbone, images, tmp_path, rates=(0.0,))
    assert not (tmp_path / "work").exists()


@pytest.mark.exhaustive
@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_a_damaged_state_is_refused_and_named(
    tuned: tuple[FineTuning, Path], backbone: Backbone, images: ImageSet, tmp_path: Path, content: bytes | None
) -> None:
    (tmp_path / "work").mkdir()
    for path in (tuned[1] / "work").iterdir():
        data = path.read_bytes()
        cut = data[: len(data) // 2] if content is None else content
        (tmp_path / "work" / path.name).write_bytes(cut if path.suffix == ".pt" else data)
    with pytest.raises(FineTuningError, match=r"training-.*\.pt: is damaged .*delete it"):
        tune(backbone, images, tmp_path, force=True)


@pytest.mark.exhaustive
def test_the_command_prints_one_document_and_the_new_backbone_extracts(
    featx: Callable[..., Ran], backbone: Backbone, tmp_path: Path
) -> None:
    write_folder(tmp_path / "photos", (20, 20))
    models = tmp_path / "models"
    install(backbone.path, replace(backbone.card, name="made", file="made.onnx"), models)
    photos, own = str(tmp_path / "photos"), ("--models", str(models))
    command = ["finetune", "made", photos, "--from", CUT, "--name", "new", *own, "--epochs", "1"]
    ran = featx(*command, "--force", "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    assert {"card", "frozen", "tuned", "layers", "both", "difference", "ci", "written"} <= set(ran.json)
    assert ran.json["written"] is True
    assert "MB of maps" in ran.err
    ran = featx(*command, "--force", "--overwrite", "--device", "cpu")
    assert "new was written" in ran.out
    assert "epoch" in ran.out
    assert featx("backbones", "verify", "new", *own, "--device", "cpu").code == 0
    assert featx("extract", photos, "--backbone", "new", *own, "--into", "c.h5").code == 0
