"""Texts in drawings: how wide they are, about, and how they are cut to fit."""

import unicodedata

from featx.showing import visible

SIZE = 13
"""Pixels of the font of a drawing that is shown in its own size."""
_WIDE, _USUAL = 1.05, 0.57
"""Width of a character in units of the font's size: of a Chinese one, and of the others."""


def measure(text: str, *, size: float = SIZE) -> float:
    """About how many pixels the text takes; no font is at hand to know it."""
    shown = visible(text)
    if shown.isascii():
        return size * _USUAL * len(shown)
    return size * sum(_WIDE if unicodedata.east_asian_width(one) in "WF" else _USUAL for one in shown)


def fit(text: str, width: float, *, size: float = SIZE) -> str:
    """The text, with an ellipsis in its middle if it is wider: names often differ at their ends."""
    shown = visible(text)
    if measure(shown, size=size) <= width:
        return shown
    kept = max(2, int(len(shown) * (width - size) / measure(shown, size=size)))
    head = (kept + 1) // 2
    return f"{shown[:head]}…{shown[len(shown) - kept + head :]}"
