"""Pictures of shapes that featx draws itself: an image set for whoever has none at hand."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Outline: TypeAlias = NDArray[np.float64]
"""(corners, 2): the corners of a shape whose farthest corner is 1 from its centre."""

FINER = 4
"""Pictures are drawn this many times larger and reduced, so that edges are smooth."""


def draw_shapes(folder: Path | str, *, count: int = 40, size: int = 96, noise: float = 0.0, seed: int = 0) -> Path:
    """The folder, once it holds `count` pictures of each shape, in one sub-folder a shape.

    Colours, place, size and turn of a shape are random, so that only its form tells its class. `noise` is the share of
    each pixel that is replaced by a random colour: at 0 the shapes are clear, at 1 nothing is left of them and no
    classifier does better than chance. The same seed gives the same pictures.

    >>> import featx
    >>> featx.list_images(draw_shapes("shapes", count=2, size=32)).classes
    ('circle', 'cross', 'square', 'star', 'triangle')
    """
    folder = Path(folder)
    rng = np.random.default_rng(seed)
    for name, outline in sorted(SHAPES.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = _draw(outline(), size=size, noise=noise, rng=rng)
            Image.fromarray(picture).save(folder / name / f"{number:03}.png")
    return folder


def _draw(outline: Outline, *, size: int, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture (size, size, 3) of the shape, its colours, place, size and turn drawn by `rng`."""
    ground = rng.integers(0, 256, 3)
    colour = (ground + rng.integers(64, 192, 3)) % 256
    canvas = Image.new("RGB", (FINER * size, FINER * size), tuple(ground.tolist()))
    ImageDraw.Draw(canvas).polygon(_place(outline, FINER * size, rng), fill=tuple(colour.tolist()))
    clear = np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float64)
    static = rng.integers(0, 256, clear.shape)
    return ((1 - noise) * clear + noise * static).round().astype(np.uint8)


def _place(outline: Outline, side: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The corners on a canvas of this side: turned, scaled and moved at random, all of them inside."""
    turn = rng.uniform(0, 2 * np.pi)
    radius = rng.uniform(0.2, 0.45) * side
    centre = rng.uniform(radius, side - radius, 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return [(float(x), float(y)) for x, y in outline @ rotation.T * radius + centre]


def _regular(corners: int) -> Outline:
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.column_stack([np.cos(angles), np.sin(angles)])


def _star() -> Outline:
    outline = _regular(10)
    outline[1::2] *= 0.4
    return outline


def _cross() -> Outline:
    long, short = np.cos(np.pi / 8), np.sin(np.pi / 8)
    arm = np.array([[long, -short], [long, short], [short, short]])
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    return np.vstack([arm @ np.linalg.matrix_power(quarter, turns).T for turns in range(4)])


SHAPES: dict[str, Callable[[], Outline]] = {
    "circle": lambda: _regular(60),
    "cross": _cross,
    "square": lambda: _regular(4),
    "star": _star,
    "triangle": lambda: _regular(3),
}
"""Name of each class -> the outline of its shape."""
