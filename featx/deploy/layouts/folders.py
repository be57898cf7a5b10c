"""The files of a layout: nothing is written before all can be, and foreign files of the folder stay."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from featx.deploy.deployed import MARK, Deployed, reserve_model
from featx.errors import HeadError
from featx.heads import Head
from featx.targets import Kind, Target, reserve

MARK_WITHIN = 4096
"""Bytes at the beginning of a file within which its mark is."""


class WriteFiles(Protocol):
    """Says what is in the files beside a deployed model."""

    def __call__(self, name: str, head: Head, deployed: Deployed, about: Mapping[str, str]) -> dict[str, str]:
        """The text of each file, from the name of the folder, the head, the model, and the metadata of the model."""


@dataclass(frozen=True)
class Layout:
    """A folder around a deployed model, as another program expects it."""

    model: str
    """Where the model is in the folder."""
    files: tuple[str, ...]
    """The other files that are written."""
    write: WriteFiles


@dataclass(frozen=True)
class FolderTargets:
    """The held files of a layout in one folder."""

    layout: Layout
    name: str
    model: Target
    others: Mapping[str, Target]

    def write(self, head: Head, deployed: Deployed, about: Mapping[str, str]) -> None:
        """Write the files beside the model. Raises HeadError."""
        for file, text in self.layout.write(self.name, head, deployed, about).items():
            with self.others[file].written() as new:
                new.write_text(text, encoding="utf-8")


@contextmanager
def reserve_folder(into: Path | str, layout: Layout, *, overwrite: bool = False) -> Iterator[FolderTargets]:
    """Hold all files of a layout in this folder until the block ends, and check that they can be written.

    Other files in the folder stay. Folders that are still empty after a failure are removed. Raises HeadError.
    """
    folder = Path(into)
    if folder.exists() and not folder.is_dir():
        raise HeadError(f"{folder}: already exists and is not a folder; choose another --into")
    try:
        with ExitStack() as held:
            model = held.enter_context(reserve_model(folder / layout.model, overwrite=overwrite))
            others = {
                file: held.enter_context(reserve(folder / file, WRITTEN, overwrite=overwrite)) for file in layout.files
            }
            yield FolderTargets(layout, folder.resolve().name, model, others)
    finally:
        for made in ((folder / layout.model).parent, folder):
            with suppress(OSError):
                made.rmdir()


def _is_written(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(MARK_WITHIN)


WRITTEN = Kind(
    name="a file that featx deployed",
    endings=(".md", ".json", ".pbtxt"),
    is_own=_is_written,
    error=HeadError,
    locked=HeadError,
    writing="writing this folder",
)
