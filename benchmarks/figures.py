"""The numbers that were to be reached, each beside what was measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lanes import EXACT, FAST, INT8
from networks import LITE0
from record import read

SERIAL, TORCH = "Pillow + onnxruntime", "torch"
"""How the names of these peers begin."""
INT8_LOSS = "accuracy that int8 loses, Lite0, ELPV, logistic regression, mean of five splits"


@dataclass(frozen=True)
class Figure:
    """A number to reach."""

    what: str
    bound: float
    measured: list[float]
    """Repeat by repeat; empty where it was not measured."""
    most: bool = False
    """Whether the bound is the most that it may be; else it is the least."""
    unit: str = "×"
    typical: Callable[[list[float]], Any] = np.median

    @property
    def asked(self) -> str:
        """The bound, in words."""
        return f"at {'most' if self.most else 'least'} {self.bound:g} {self.unit}".strip()

    @property
    def found(self) -> str:
        """What was measured, with its range."""
        if not self.measured:
            return ""
        return f"{self.typical(self.measured):.3f} ({min(self.measured):.3f} to {max(self.measured):.3f})"

    @property
    def met(self) -> str:
        """Yes, no, or not measured."""
        if not self.measured:
            return "not measured"
        value = float(self.typical(self.measured))
        return "yes" if (value <= self.bound if self.most else value >= self.bound) else "no"


def find_row(found: Any, backbone: str, image_set: str) -> Any:
    """What was measured of this backbone on this image set; None where nothing was."""
    rows = found["rows"] if found else []
    return next((row for row in rows if (row["backbone"], row["image_set"]) == (backbone, image_set)), None)


def iter_figures() -> Iterator[Figure]:
    """Every number to reach, in the order in which they were asked for."""
    found, startup = read("throughput"), read("startup")
    cells, photos = (find_row(found, LITE0, name) for name in ("elpv", "jpeg-640"))
    both = {"ELPV": cells, "JPEG 640 x 427": photos}
    for title, row in both.items():
        yield Figure(f"wall time over ideal, Lite0, {title}", 1.08, _lane(row, EXACT, "over_ideal"), most=True, unit="")
    for title, row in both.items():
        yield Figure(f"against the serial loop, Lite0, {title}", 1.25, _over_peer(row, SERIAL))
    for title, row in both.items():
        yield Figure(f"against torch, DataLoader and eager, Lite0, {title}", 3, _over_peer(row, TORCH))
    fast = _lane(find_row(found, "tiny", "jpeg-1600"), FAST, "faster_than_exact")
    yield Figure("`--decode fast` against `exact`, tiny, JPEG 1600 x 1067", 2.5, fast)
    int8 = _lane(cells, INT8, "inference_faster_than_exact")
    yield Figure("int8 against float32, Lite0, inference alone", 1.8, int8)
    lost = cells["prices"][INT8].get("points_lost", []) if int8 else []
    yield Figure(INT8_LOSS, 0.4, lost, most=True, unit="points", typical=np.mean)
    helps, ones = (startup["help_over_click"], startup["one_image_seconds"]) if startup else ([], [])
    yield Figure("`featx --help` against importing click", 3, helps, most=True)
    yield Figure("a run of one image, Lite0, CPU", 1.5, ones, most=True, unit="s")
    slower = "wall time over the slower of decoding and the model alone, on a GPU"
    lanes = [(row, lane) for row in (read("throughput-cuda") or {"rows": []})["rows"] for lane in row["lanes"]]
    for row, lane in lanes or [(None, EXACT)]:
        what = f"{slower}, {row['backbone']}, {lane}" if row else slower
        yield Figure(what, 1.1, _lane(row, lane, "over_slower"), most=True, unit="")


def _lane(row: Any, lane: str, what: str) -> list[float]:
    return row["lanes"][lane][what] if row and lane in row["lanes"] else []


def _over_peer(row: Any, start: str) -> list[float]:
    """How many times faster featx was, repeat by repeat, than the fastest peer whose name begins so."""
    peers = [ratios for name, ratios in row["peer_over_featx"].items() if name.startswith(start)] if row else []
    return [min(repeat) for repeat in zip(*peers, strict=True)]
