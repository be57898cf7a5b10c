"""Draws images of shapes: an image set for demonstrations and examples."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Outline: TypeAlias = NDArray[np.float64]
"""(corners, 2): the corners of a shape around the origin, the farthest at distance 1."""

OVERSAMPLING = 4
"""Images are drawn larger by this factor and reduced, so that edges are smooth."""


def draw_shapes(folder: Path | str, *, count: int = 40, size: int = 96, noise: float = 0.0, seed: int = 0) -> Path:
    """Draw `count` PNG images of each shape into one sub-folder per shape; returns the folder.

    Colours, position, size and rotation are random, so that only the form of a shape reveals its class. `noise` is the
    weight with which random colours are mixed into the pixels: 0 leaves the shapes clear, 1 leaves nothing of them, so
    that no classifier can be better than chance. `size` is the side of the images in pixels. Equal seeds give equal
    images.

    >>> import featx
    >>> from featx.inputs import draw_shapes
    >>> featx.list_images(draw_shapes("shapes", count=2, size=32)).classes
    ('circle', 'cross', 'square', 'star', 'triangle')
    """
    folder = Path(folder)
    rng = np.random.default_rng(seed)
    for name, outline in sorted(SHAPES.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = _draw(outline(), size=size, noise=noise, rng=rng)
            Image.fromarray(image).save(folder / name / f"{number:03}.png")
    return folder


def _draw(outline: Outline, *, size: int, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One image (size, size, 3) of the shape, with random colours, position, size and rotation."""
    ground = rng.integers(0, 256, 3)
    colour = (ground + rng.integers(64, 192, 3)) % 256
    canvas = Image.new("RGB", (OVERSAMPLING * size, OVERSAMPLING * size), tuple(ground.tolist()))
    ImageDraw.Draw(canvas).polygon(_place(outline, OVERSAMPLING * size, rng), fill=tuple(colour.tolist()))
    clear = np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float64)
    static = rng.integers(0, 256, clear.shape)
    return ((1 - noise) * clear + noise * static).round().astype(np.uint8)


def _place(outline: Outline, side: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The corners, randomly rotated, scaled and moved, all inside a square canvas of this side."""
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
    long = np.cos(np.pi / 8)
    short = np.sin(np.pi / 8)
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
