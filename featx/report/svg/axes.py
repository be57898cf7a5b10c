"""Axes: where a number lies in a drawing, and the round numbers that are written at it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 2.5, 5, 10)
"""Distances between ticks, times a power of ten."""


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on the pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """The pixel of a number, to a tenth; numbers beyond an end of the axis are at that end."""
        low, high, own = (math.log(one) if self.logarithmic else one for one in (self.low, self.high, value))
        share = min(1.0, max(0.0, (own / 2 - low / 2) / (high / 2 - low / 2)))
        return round(self.start + share * (self.end - self.start), 1)

    def shown(self) -> list[tuple[float, str]]:
        """Place and text of each tick; all texts have as many decimals as one needs."""
        decimals = 0 if self.logarithmic else max((_decimals(tick) for tick in self.ticks), default=0)
        return [(self.place(tick), show_tick(tick, decimals=decimals)) for tick in self.ticks]


def make_axis(values: Iterable[float | None], *, start: float, end: float, ticks: int = 5) -> Axis:
    """An axis a little longer than the values reach, with ticks at round numbers; infinite values do not count."""
    low, high = _ends([value for value in values if value is not None and abs(value) <= _LARGEST] or [0.0, 1.0])
    step = _step(high / ticks - low / ticks)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = tuple(round(number * step, _digits(step)) for number in range(first, last + 1))
    beyond = _BEYOND * (high / 2 - low / 2)
    return Axis(low - beyond, high + beyond, start, end, places)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest value; further apart than they are if floats between them would be too few."""
    low, high = min(values), max(values)
    size = max(-low, high)
    if high - low > max(_LEAST_LENGTH * size, 1 / _LARGEST):
        return low, high
    beyond = 0.1 * size if size > 1 / _LARGEST else 1.0
    return low - beyond, high + beyond


_LARGEST = 1e300
_LEAST_LENGTH = 1e-9
_BEYOND = 0.06
"""How much longer an axis is than its values reach, as a share of half of that."""


def _digits(step: float) -> int:
    """Decimals to which a multiple of the step is rounded, which are more than it has."""
    return max(0, 4 - math.floor(math.log10(step)))


def make_logarithmic_axis(values: Sequence[float], *, start: float, end: float) -> Axis:
    """An axis on which equal steps double the number, with ticks at values; a usual axis if one is not above 0."""
    finite = sorted({value for value in values if math.isfinite(value)})
    if len(finite) < 2 or finite[0] <= 0:
        return make_axis(values, start=start, end=end)
    whole = Axis(finite[0], finite[-1], start, end, (), logarithmic=True)
    ticks = list[float]()
    for value in finite:
        if not ticks or abs(whole.place(value) - whole.place(ticks[-1])) >= _TICK_DISTANCE:
            ticks.append(value)
    return Axis(finite[0], finite[-1], start, end, tuple(ticks), logarithmic=True)


_TICK_DISTANCE = 34
"""Pixels between two ticks, so that their numbers do not touch."""


def show_number(value: float | None, *, decimals: int | None = 3) -> str:
    """The number with these decimals, or with four digits if they are None or it is huge; `n/a` if there is none."""
    if value is None or math.isnan(value):
        return "n/a"
    if decimals is None or not abs(value) < _LARGE:
        return f"{value:.4g}"
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0: -0.0 is 0


def find_decimals(values: Iterable[float | None]) -> int | None:
    """The decimals that fit all numbers: none if all are whole, three, or None if three would show too little."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if all(value == int(value) for value in finite):
        return 0
    return 3 if max(map(abs, finite)) >= _SHOWN else None


_SHOWN = 0.01
_SMALL, _LARGE = 0.001, 1e15


def show_tick(value: float, *, decimals: int = 0) -> str:
    """The number with these decimals, or as short as it is if it is large, small or has others."""
    if value == 0 or _SMALL <= abs(value) < _LARGE:
        exact = f"{value:,.{decimals}f}"
        return exact if float(exact.replace(",", "")) == value else f"{value:.6g}"
    return f"{value:.6g}"


def _decimals(value: float) -> int:
    """Decimals that the number needs, up to six."""
    return len(f"{value:.6f}".rstrip("0").partition(".")[2])


def _step(least: float) -> float:
    power: float = 10 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))
