"""Images go through the pipeline in groups of several batches: that changes speed alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.backbones import FeatureSession
from featx.cache import open_cache, read_features
from featx.deploy.predict import predict_images, predict_tables
from featx.extract import extract_features
from featx.extract.streaming import plan_group
from featx.heads import train_head
from featx.inputs import list_images
from featx.settings import Settings
from featx.tables.joining import fuse_tables
from tests.conftest import Tiny, build_tiny


@pytest.mark.parametrize(
    ("batch_size", "count", "size"),
    [(2, 100, 2), (2, 1_024, 4), (2, 2_048, 8), (2, 10_000_000, 8), (3, 10_000, 6), (64, 10_000_000, 64), (1, 0, 1)],
)
def test_small_batches_of_many_images_go_through_the_pipeline_together(batch_size: int, count: int, size: int) -> None:
    assert plan_group(batch_size, views=1, count=count, image_bytes=3 * 224 * 224).images == size


def test_large_images_are_gathered_by_their_bytes() -> None:
    sizes = [plan_group(1, views=1, count=10**6, image_bytes=3 * side * side).images for side in (224, 448, 1024, 4096)]
    assert sizes == [8, 6, 1, 1]


@pytest.mark.parametrize("count", [5, 16, 23])
def test_groups_of_batches_give_the_same_bytes_by_calls_of_the_same_size(
    count: int, make_folder: Callable[..., Path], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder((count,))
    (folder / "class0" / "0001.png").write_text("no image")
    (folder / "class0" / "0003.png").write_bytes((folder / "class0" / "0000.png").read_bytes())
    sizes: list[int] = []
    call = FeatureSession.__call__

    def counted(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(pixels))
        return call(session, pixels)

    monkeypatch.setattr(FeatureSession, "__call__", counted)
    made = []
    for groups in (256, 1):
        monkeypatch.setattr("featx.extract.streaming.LEAST_GROUPS", groups)
        into = tmp_path / f"{groups}.h5"
        settings = Settings(batch_size=2, streams=2, workers=2, threads=1)
        extract_features(list_images(folder), tiny.backbone, into=into, settings=settings)
        cache = open_cache(into)
        made.append([cache.read(name, slice(None)) for name in ("status", "images/fingerprint", "features/features")])
    assert set(sizes) == {2}
    assert len(sizes) == 2 * -(-(count - 1) // 2)  # a twin is not computed
    for one, other in zip(*made, strict=True):
        assert one.tobytes() == other.tobytes()


def test_features_of_several_backbones_stay_side_by_side(
    make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list_images(make_folder((21, 21)))
    tables = []
    for one in (tiny, build_tiny(models, name="second", dim=4, seed=1)):
        into = tmp_path / f"{one.backbone.name}.h5"
        extract_features(images, one.backbone, into=into, settings=Settings(device="cpu"))
        tables.append(read_features(into))
    head, _ = train_head(fuse_tables(tables), "ridge", jobs=1)
    monkeypatch.setattr("featx.extract.streaming.LEAST_GROUPS", 1)
    settings = Settings(device="cpu", batch_size=2)
    found = list(predict_images(head, images, models=models, settings=settings))
    assert found == list(predict_tables(head, tables))
