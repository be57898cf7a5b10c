"""The images that the arguments of a command name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featx.cli.output import logger
from featx.showing import shorten

MOST_LOOKED_AT = 1_000
"""Number of ignored files whose names are looked at for a hint."""

if TYPE_CHECKING:
    from featx.inputs import ImageSet


def list_given(images: str | Sequence[str], root: str | None = None, *, label_column: str | None = None) -> "ImageSet":
    """The image set of the sources that the user named; a warning counts the files in it that are not images."""
    from featx.inputs import hide_secrets, list_images

    sources = [images] if isinstance(images, str) else list(images)
    found = list_images(sources, root=root, label_column=label_column)
    if count := len(found.ignored):
        first = found.ignored[0].decode()
        bare = any("." not in name.decode().rpartition("/")[2] for name in found.ignored[:MOST_LOOKED_AT])
        step = "; to take files without an ending, list them in a manifest" if bare else ""
        logger.warning(
            "%s: ignored %d files without the ending of an image, such as %s%s",
            shorten(map(hide_secrets, sources), most=2),
            count,
            first,
            step,
        )
    return found
