"""The backbones that transfer nothing: pixels, and histograms of colours and gradients."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from featx.backbones import load_backbone, open_session
from featx.cache import read_features
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings

NAMES = ("raw-pixels", "color-histogram", "gradient-histogram")
GREY = np.array([0.299, 0.587, 0.114])


def draw(side: int, *, count: int = 5) -> NDArray[np.uint8]:
    """(count, side, side, 3): noise, smooth, one-coloured, grey and black pictures."""
    generator = np.random.default_rng(3)
    noise = generator.integers(0, 256, (side, side, 3))
    across, down = np.meshgrid(np.linspace(0, 255, side), np.linspace(0, 255, side))
    smooth = np.stack([across, down, (across + down) / 2], axis=-1)
    plain = np.full((side, side, 3), [255, 64, 63])
    grey = np.repeat(128 + 100 * np.sin(across / 9 + down / 31)[..., None], 3, axis=-1)
    return np.stack([noise, smooth, plain, grey, np.zeros((side, side, 3))][:count]).astype(np.uint8)


def count_colors(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of 4 x 4 x 4 colours in each quarter, counted pixel by pixel."""
    half = len(picture) // 2
    counts = np.zeros((64, 2, 2))
    for row, column in product(range(len(picture)), repeat=2):
        red, green, blue = picture[row, column].tolist()
        counts[(red // 64) * 16 + (green // 64) * 4 + blue // 64, row // half, column // half] += 1
    return counts.ravel() / half**2


def count_gradients(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Normalised blocks of 9 orientations, each gradient with its angle."""
    luma = picture.astype(float) / 255 @ GREY
    across = luma[1:-1, 2:] - luma[1:-1, :-2]
    down = luma[2:, 1:-1] - luma[:-2, 1:-1]
    angle = np.arctan2(down, across)
    centres = np.pi / 9 * np.arange(9)
    votes = np.maximum(0, np.cos(2 * (angle[..., None] - centres)) - np.cos(2 * np.pi / 9))
    votes *= (np.hypot(across, down) / votes.sum(axis=-1))[..., None]
    cells = votes.reshape(8, 8, 8, 8, 9).mean(axis=(1, 3))
    blocks = np.zeros((4, 9, 7, 7))
    for row, column in product(range(7), repeat=2):
        block = cells[row : row + 2, column : column + 2]
        block = np.minimum(0.2, block / np.sqrt((block**2).sum() + 1e-4))
        blocks[:, :, row, column] = (block / np.sqrt((block**2).sum() + 1e-4)).reshape(4, 9)
    return blocks.ravel()


def made_by_script() -> dict[str, Callable[[], Any]]:
    """Name of each backbone -> the function of the script that makes its model."""
    script = Path(__file__).parents[2] / "models" / "make_baselines.py"
    scope: dict[str, Any] = {"__name__": "make_baselines", "__file__": str(script)}
    exec(compile(script.read_text(), str(script), "exec"), scope)
    models: dict[str, Callable[[], Any]] = scope["MODELS"]
    return models


def test_raw_pixels_are_the_pixels_of_a_small_picture(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "noise"
    folder.mkdir(parents=True)
    picture = Image.effect_noise((48, 80), 90).convert("RGB")
    picture.save(folder / "a.png")
    into = tmp_path / "pixels.h5"
    settings = Settings(device="cpu", batch_size=1, streams=1)
    extract_features(list_images(tmp_path / "images"), load_backbone("raw-pixels"), into=into, settings=settings)
    assert read_features(into).sources[0].card["baseline"] == "pixels"
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float32) / 255
    np.testing.assert_allclose(read_features(into).features[0], small.transpose(2, 0, 1).ravel(), atol=1e-6)


def test_the_histogram_of_colors_is_what_counting_gives_and_sums_to_one_in_each_quarter() -> None:
    pixels = draw(64)
    features = open_session(load_backbone("color-histogram"), device="cpu")(pixels)
    np.testing.assert_array_equal(features, [count_colors(picture) for picture in pixels])
    np.testing.assert_array_equal(features.reshape(-1, 64, 4).sum(axis=1), 1)


def test_the_histogram_of_gradients_is_what_angles_give() -> None:
    pixels = draw(66, count=2)
    features = open_session(load_backbone("gradient-histogram"), device="cpu")(pixels)
    wanted = [count_gradients(picture) for picture in pixels]
    np.testing.assert_allclose(features, wanted, atol=2e-6)


def test_a_picture_without_edges_has_a_histogram_of_gradients_of_zeros() -> None:
    flat = np.full((1, 66, 66, 3), 200, np.uint8)
    np.testing.assert_allclose(open_session(load_backbone("gradient-histogram"), device="cpu")(flat), 0, atol=1e-4)


@pytest.mark.parametrize(("turned", "bin_"), [(False, 0), (True, 4)])
def test_edges_across_and_down_are_in_bins_of_their_own(turned: bool, bin_: int) -> None:
    ramp = np.repeat(np.arange(66, dtype=np.uint8)[None, :, None] * 3, 66, axis=0).repeat(3, axis=-1)
    picture = ramp.transpose(1, 0, 2) if turned else ramp
    features = open_session(load_backbone("gradient-histogram"), device="cpu")(picture[None].copy())
    by_orientation = features.reshape(4, 9, 7, 7).sum(axis=(0, 2, 3))
    assert int(by_orientation.argmax()) == bin_


@pytest.mark.parametrize("name", NAMES)
def test_features_of_an_image_do_not_depend_on_its_batch(name: str) -> None:
    backbone = load_backbone(name)
    session = open_session(backbone, device="cpu")
    pixels = draw(backbone.card.input.pixels.size)
    alone = np.concatenate([session(pixels[row : row + 1]) for row in range(len(pixels))])
    np.testing.assert_allclose(session(pixels), alone, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_the_one_that_the_script_makes_and_small(name: str) -> None:
    stored = load_backbone(name).path.read_bytes()
    assert stored == made_by_script()[name]().SerializeToString()
    assert len(stored) < 2**12
    assert load_backbone(name).card.baseline
