"""The images that the arguments of a command name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from featx.cli.output import logger

if TYPE_CHECKING:
    from featx.inputs import ImageSet


def one_source(images: Sequence[str]) -> str:
    """The only argument. Raises UsageError if there are several: the shell has expanded a pattern."""
    if len(images) > 1:
        first = f"{images[0]}, {images[1]}"
        raise click.UsageError(f"IMAGES is one source, but {len(images)} were given ({first}, ...); quote a pattern.")
    return images[0]


def list_given(images: str, root: str | None) -> "ImageSet":
    """The image set that the user named; a warning counts the files in it that are not images."""
    from featx.inputs import list_images

    found = list_images(images, root=root)
    if count := len(found.ignored):
        first = found.ignored[0].decode()
        logger.warning("%s: ignored %d files without the ending of an image, such as %s", images, count, first)
    return found
