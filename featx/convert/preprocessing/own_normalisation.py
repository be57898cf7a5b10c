"""Chooses mean and standard deviation for a model that normalises pixels itself."""

from dataclasses import replace

from featx.backbones import WHOLE_NUMBERS, Inspection
from featx.convert.preprocessing.finding import Found
from featx.convert.preprocessing.specification import Preprocessing
from featx.errors import BackboneError

_SCALES = {"0 to 255": (0.0, 1.0), "0 to 1": (0.0, 255.0), "-1 to 1": (127.5, 127.5)}
"""The range that a graph takes -> the mean and standard deviation that give it from pixels of 0 to 255."""


def consider_normalisation(
    given: Preprocessing, found: Found, inspection: Inspection
) -> tuple[Preprocessing, tuple[str, ...]]:
    """What the user gave, completed by what was found and by what the model does itself, and notes about the latter.

    Raises BackboneError if pixels would be normalised twice without the user's saying so, or if the range of pixels
    that the model takes is not known.
    """
    both = given.over(found.pixels)
    own = inspection.normalisation
    if own is None or inspection.input.dtype in WHOLE_NUMBERS:
        return both, ()
    if own.channels == "BGR" and both.channels is None:
        both = replace(both, channels="BGR")
    wanted = _SCALES.get(own.takes)
    if wanted and both.mean == (wanted[0],) * 3 and both.std == (wanted[1],) * 3:
        return both, ()
    if given.mean or given.std:
        return both, (f"pixels: {own}; with --mean and --std as given they are normalised twice",) if wanted else ()
    if both.mean is None and wanted:
        mean, std = wanted
        note = f"pixels: {own}, so mean {mean:g} and std {std:g} are used"
        return replace(both, mean=(mean,) * 3, std=(std,) * 3), (note,)
    if both.mean is None or wanted:
        raise BackboneError(f"{inspection.model}: pixels: {own}{_why_refused(wanted, found)}")
    return both, (f"pixels: {own}; mean and std are those of {found.origin}",)


def _why_refused(wanted: tuple[float, float] | None, found: Found) -> str:
    """Why mean and standard deviation must be given, and how: those of a file count twice, or the range is unknown."""
    if wanted is None:
        return "; give --mean and --std, as its authors prepare pixels of 0 to 255"
    return (
        f", but {found.origin} says mean and std too, so they would be normalised twice; give --mean and --std, such "
        f"as --mean {wanted[0]:g} --std {wanted[1]:g}"
    )
