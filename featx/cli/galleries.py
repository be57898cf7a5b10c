"""The options of a page of pictures, and the images whose pictures it shows."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import option, together, with_root
from featx.cli.output import logger
from featx.cli.sources import list_given

if TYPE_CHECKING:
    from collections.abc import Callable

    from featx.cache import Source
    from featx.inputs import ImageSet
    from featx.report import Page
    from featx.targets import Target

MOST_PICTURES = 500
"""Number of pictures of a page by default: some 2 MB."""


@dataclass(frozen=True)
class GalleryPlan:
    """Where a page of pictures is written, and from which images."""

    gallery: Path | None
    roots: tuple[str, ...]
    pictures: int
    overwrite: bool
    """Whether files that the command writes are replaced, the page and others."""
    root: str | None = None
    """What the paths of a manifest of the images are relative to."""

    @property
    def path(self) -> str | None:
        """The page as text, for JSON; None if no page is written."""
        return str(self.gallery) if self.gallery else None

    def check(self, *, has_images: bool = False) -> None:
        """Raise click's UsageError unless it is clear where the images of the page are."""
        if has_images and self.roots:
            raise click.UsageError("--images says where the images of caches are; here the images are given already.")
        if self.roots and self.gallery is None:
            raise click.UsageError("--images is for the pictures of a page; name the page with --gallery FILE.html.")
        if self.gallery is not None and not (self.roots or has_images):
            raise click.UsageError("--gallery needs --images ROOT, from which the images of the caches are read.")
        if self.root and not self.roots:
            raise click.UsageError("--root is for the manifest of --images; give both.")

    def list_images(self) -> "ImageSet | None":
        """The images of the page; None if no page is written. Raises ImageSetError."""
        return list_given(self.roots, self.root) if self.roots else None

    def reserve(self) -> "AbstractContextManager[Target | None]":
        """Hold the file of the page until the block ends; nothing if no page is written. Raises ReportError."""
        from featx.report import reserve_page

        if self.gallery is None:
            return nullcontext()
        return reserve_page(self.gallery, overwrite=self.overwrite, option="--gallery")

    def write(self, make_page: "Callable[..., Page]", images: "ImageSet", target: "Target", *, exif: bool) -> None:
        """Write the page that `make_page` makes of the thumbnails; warn if no image was found. Raises ReportError."""
        from featx.report import write_page

        write_page(make_page(thumbnails=partial(self._read, images, exif=exif), most=self.pictures), target)

    def _read(self, images: "ImageSet", names: Iterable[str], *, exif: bool) -> "Mapping[str, bytes | None]":
        from featx.inputs import read_thumbnails

        found = read_thumbnails(images, names, exif_orientation=exif)
        if found and not any(found.values()):
            own = images.name(0) if len(images) else "nothing"
            logger.warning(
                "no picture could be read: images such as %s are not in --images, which has %s, or not readable there; "
                "give what was extracted, and its --root",
                next(iter(found)),
                own,
            )
        return found


_OPTIONS = (
    click.option(
        "--gallery",
        type=click.Path(path_type=Path),
        metavar="FILE.html",
        help="Write a page with the pictures of these images, which opens without a network.",
    ),
    click.option(
        "--images",
        "roots",
        multiple=True,
        metavar="ROOT",
        help="The images of the caches, for --gallery: what `featx extract` was given. Repeat it for several.",
    ),
    option(
        "--pictures",
        type=click.IntRange(1),
        metavar="N",
        default=MOST_PICTURES,
        help="Most pictures of the page, which says how many are left out.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace files that this command writes, if they exist."),
)
with_gallery = together(GalleryPlan, "gallery", *_OPTIONS, with_root)
with_gallery_of_images = together(GalleryPlan, "gallery", *_OPTIONS)
"""For a command that has the option --root for images of its own."""


def turns_upright(sources: "Iterable[Source]") -> bool:
    """Whether a backbone of these saw images turned as their EXIF orientation says, as their pictures should be."""
    return any(bool(source.card.get("exif_orientation")) for source in sources)
