"""Which backbones are measured on which image sets, and on how many images."""

from dataclasses import dataclass, replace
from pathlib import Path

from lanes import EXACT, FAST, FLOAT16, INT8
from networks import LITE0
from sets import PhotoSet, cells, jpegs

from featx.settings import Device

JPEGS = {"jpeg-640": (640, 427), "jpeg-1600": (1600, 1067)}
CALIBRATION, CALIBRATED = "jpeg-640", 256
"""The set on which fewer bits are calibrated, none whose accuracy is measured, and its images."""
LEAST = 32
"""Images below which a measurement says nothing."""


@dataclass(frozen=True)
class Case:
    """One backbone on one image set."""

    backbone: str
    image_set: str
    images: int
    """That every lane of featx extracts."""
    compared: int = 0
    """The first of them, on which featx and its peers are compared; 0 for no peers."""
    lanes: tuple[str, ...] = (EXACT,)
    """`exact`, and those that do other work here: `fast` where JPEGs have twice the sides of what is taken of them."""

    def share(self, part: float) -> "Case":
        """The same with so large a part of the images."""
        images, compared = (max(round(part * count), min(count, LEAST)) for count in (self.images, self.compared))
        return replace(self, images=images, compared=compared)


CASES: dict[Device, tuple[Case, ...]] = {
    "cpu": (
        Case("tiny", "elpv", 2624, 256),
        Case("tiny", "jpeg-640", 1024, 256),
        Case("tiny", "jpeg-1600", 256, 96, (EXACT, FAST)),
        Case(LITE0, "elpv", 2624, 512, (EXACT, INT8)),
        Case(LITE0, "jpeg-640", 2048, 512),
        Case(LITE0, "jpeg-1600", 256, 96, (EXACT, FAST)),
        Case("resnet50", "jpeg-640", 96, 64),
        Case("vit-s16", "jpeg-640", 96, 64),
    ),
    "cuda": tuple(Case(name, "jpeg-640", 8192, 0, (EXACT, FLOAT16)) for name in (LITE0, "resnet50", "vit-b32")),
}


def write_sets(cases: tuple[Case, ...], folder: Path) -> dict[str, PhotoSet]:
    """Every image set of these cases, with as many images as the largest of them asks for, and that of calibration."""
    most = {CALIBRATION: CALIBRATED}
    for case in cases:
        most[case.image_set] = max(case.images, most.get(case.image_set, 0))
    return {
        name: jpegs(folder / name, JPEGS[name], count=count) if name in JPEGS else cells(folder)
        for name, count in most.items()
    }
