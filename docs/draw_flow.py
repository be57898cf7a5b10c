"""Draws docs/flow.svg, the figure of README and of the first page: `python docs/draw_flow.py`."""

import math
from pathlib import Path
from random import Random

WIDTH = 1110
HEIGHT = 304
INK = "#1f2933"
SOFT = "#5b6773"
LINE = "#9aa5b1"
BLUE = "#3b78b5"
ORANGE = "#d9822b"
GREEN = "#3a8f5c"
COLOURS = ("#d95f5f", "#e0a03c", "#5a9e6f", "#4a86c5", "#8a68b8", "#4fa6a6")
TOP = 66
"""The upper edge of what is drawn under the titles."""
TALL = 120
"""Height of what is drawn under the titles."""


def draw_flow() -> str:
    """The figure as SVG: images, backbone, cache, heads and answers, from left to right."""
    rng = Random(4)  # noqa: S311 - it draws a picture
    parts = [
        _images(42, rng),
        _arrow(196, 234),
        _backbone(252),
        _arrow(438, 476),
        _cache(494, rng),
        *(_arrow(666, 710, to=TOP + 20 + 40 * row) for row in range(3)),
        _heads(718),
        *(_arrow(836, 880, start=TOP + 20 + 40 * row, to=TOP + 20 + 40 * row) for row in range(3)),
        _answers(896),
        _bracket(42, 654, text="once: on GPU or CPU, on one machine or many", colour=BLUE),
        _bracket(674, 1066, text="as often as you like, in seconds", colour=GREEN),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="Helvetica, Arial, sans-serif">\n'
        "<title>Images go through a backbone into a cache once; heads are trained on the cache</title>\n"
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="12" fill="#ffffff" stroke="#d5dbe1"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _text(x: float, y: float, words: str, *, size: int = 14, colour: str = SOFT, weight: str = "normal") -> str:
    """Words in the middle of x."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="middle">{words}</text>'
    )


def _stage(middle: float, title: str, *, below: tuple[str, str], colour: str) -> str:
    """The title over a stage and the two lines under it."""
    lines = [_text(middle, 42, title, size=21, colour=colour, weight="bold")]
    lines += [_text(middle, TOP + TALL + 26 + 18 * row, words) for row, words in enumerate(below)]
    return "\n".join(lines)


def _images(x: float, rng: Random) -> str:
    """Small pictures of shapes, in rows."""
    cells = []
    for row in range(3):
        for column in range(4):
            left = x + 36 * column
            upper = TOP + 42 * row
            ground, colour = rng.sample(COLOURS, 2)
            cells.append(
                f'<rect x="{left:g}" y="{upper}" width="32" height="36" rx="3" fill="{ground}" opacity="0.45"/>'
            )
            cells.append(_shape(left + 16, upper + 18, corners=rng.choice((3, 4, 5, 40)), colour=colour))
    below = ("folders, manifests,", "tars, Parquet, arrays")
    return "\n".join([_stage(x + 70, "images", below=below, colour=INK), *cells])


def _shape(x: float, y: float, *, corners: int, colour: str) -> str:
    """A triangle, square, star (5) or circle (40) around a point."""
    points = []
    for corner in range(10 if corners == 5 else corners):
        radius = 4.5 if corners == 5 and corner % 2 else 11
        angle = 2 * math.pi * corner / (10 if corners == 5 else corners) - math.pi / 2
        points.append(f"{x + radius * math.cos(angle):.1f},{y + radius * math.sin(angle):.1f}")
    return f'<polygon points="{" ".join(points)}" fill="{colour}"/>'


def _backbone(x: float) -> str:
    """Layers that get smaller; the last one is cut off."""
    bars = []
    for layer, height in enumerate((120, 100, 80, 60, 42)):
        upper = TOP + (TALL - height) / 2
        bars.append(
            f'<rect x="{x + 26 * layer:g}" y="{upper:g}" width="18" height="{height}" rx="3" '
            f'fill="{BLUE}" opacity="{0.5 + 0.1 * layer:.1f}"/>'
        )
    cut = x + 26 * 5 + 4
    bars.append(
        f'<path d="M {cut} {TOP} V {TOP + TALL}" stroke="{ORANGE}" stroke-width="2" stroke-dasharray="5 4"/>'
        f'<rect x="{cut + 12}" y="{TOP + 35}" width="18" height="50" rx="3" fill="none" stroke="{LINE}" '
        'stroke-width="1.5" stroke-dasharray="3 3"/>'
    )
    below = ("a trained model in ONNX,", "without its last layer")
    return "\n".join([_stage(x + 86, "backbone", below=below, colour=BLUE), *bars])


def _cache(x: float, rng: Random) -> str:
    """A table with a name and the numbers of a feature in each row."""
    cells = [f'<rect x="{x}" y="{TOP}" width="160" height="{TALL}" rx="5" fill="#fff6ea" stroke="{ORANGE}"/>']
    for row in range(6):
        upper = TOP + 9 + 18 * row
        cells.append(f'<rect x="{x + 9}" y="{upper}" width="{rng.randint(22, 34)}" height="12" rx="2" fill="{LINE}"/>')
        cells.extend(
            f'<rect x="{x + 52 + 13 * column}" y="{upper}" width="11" height="12" '
            f'fill="{ORANGE}" opacity="{rng.uniform(0.12, 1):.2f}"/>'
            for column in range(8)
        )
    below = ("one HDF5 file: a row of", "numbers for each image")
    return "\n".join([_stage(x + 80, "cache", below=below, colour=ORANGE), *cells])


def _heads(x: float) -> str:
    """Three boxes with names of heads."""
    boxes = []
    for row, name in enumerate(("logreg", "rbf-svm", "knn, mlp, ...")):
        upper = TOP + 4 + 40 * row
        boxes.append(f'<rect x="{x}" y="{upper}" width="110" height="32" rx="8" fill="{GREEN}"/>')
        boxes.append(_text(x + 55, upper + 21, name, colour="#ffffff", weight="bold"))
    below = ("scikit-learn, tuned", "without test images")
    return "\n".join([_stage(x + 55, "heads", below=below, colour=GREEN), *boxes])


def _answers(x: float) -> str:
    """Accuracies with their intervals."""
    marks = [f'<path d="M {x} {TOP + TALL} H {x + 170}" stroke="{LINE}" stroke-width="1.5"/>']
    for row, (low, middle, high) in enumerate(((60, 88, 116), (84, 108, 132), (20, 55, 90))):
        y = TOP + 20 + 40 * row
        marks.append(
            f'<path d="M {x + low} {y} H {x + high} M {x + low} {y - 6} v 12 M {x + high} {y - 6} v 12" '
            f'stroke="{GREEN}" stroke-width="2.5" fill="none"/>'
            f'<circle cx="{x + middle}" cy="{y}" r="5.5" fill="{GREEN}"/>'
        )
    below = ("accuracies with intervals,", "tests, predictions")
    return "\n".join([_stage(x + 85, "answers", below=below, colour=INK), *marks])


def _arrow(left: float, right: float, *, start: float = TOP + TALL / 2, to: float = TOP + TALL / 2) -> str:
    """An arrow from one stage to the next."""
    angle = math.atan2(to - start, right - left)
    end = f"{right - 6 * math.cos(angle):.1f} {to - 6 * math.sin(angle):.1f}"
    return (
        f'<path d="M {left} {start:g} L {end}" stroke="{LINE}" stroke-width="2"/>'
        f'<path d="M 0 0 l -9 -5 v 10 z" fill="{LINE}" transform="translate({right} {to:g}) '
        f'rotate({math.degrees(angle):.1f})"/>'
    )


def _bracket(left: float, right: float, *, text: str, colour: str) -> str:
    """A bracket under several stages and what it says."""
    y = TOP + TALL + 62
    return f'<path d="M {left} {y} v 8 H {right} v -8" stroke="{colour}" stroke-width="2" fill="none"/>\n' + _text(
        (left + right) / 2, y + 32, text, size=16, colour=colour, weight="bold"
    )


if __name__ == "__main__":
    Path(__file__).with_name("flow.svg").write_text(draw_flow(), encoding="utf-8")
