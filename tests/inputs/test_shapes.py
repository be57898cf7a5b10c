"""Drawn shapes: one folder a class, equal for equal seeds, and gone where all is noise."""

from pathlib import Path

import numpy as np
from PIL import Image

from featx.inputs import draw_shapes, list_images


def test_each_shape_has_a_folder_of_its_own(tmp_path: Path) -> None:
    images = list_images(draw_shapes(tmp_path, count=3, size=24))
    assert images.classes == ("circle", "cross", "square", "star", "triangle")
    assert len(images) == 15


def test_the_same_seed_draws_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw_shapes(tmp_path / name, count=2, size=24, seed=seed)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    a, b, c = ([(tmp_path / name / path).read_bytes() for path in files] for name in "abc")
    assert a == b
    assert a != c


def test_all_noise_leaves_nothing_of_a_shape(tmp_path: Path) -> None:
    draw_shapes(tmp_path / "clear", count=1, size=64)
    draw_shapes(tmp_path / "noise", count=1, size=64, noise=1.0)
    for path in (tmp_path / "clear").rglob("*.png"):
        clear = np.asarray(Image.open(path), np.float64).ravel()
        noise = np.asarray(Image.open(tmp_path / "noise" / path.relative_to(tmp_path / "clear")), np.float64).ravel()
        assert abs(np.corrcoef(clear, noise)[0, 1]) < 0.05
