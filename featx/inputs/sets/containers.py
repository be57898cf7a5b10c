"""One file that holds many images: a tar, an array, a Parquet file, as it was when its images were listed."""

import errno
from dataclasses import dataclass

from featx.errors import ImageSetError
from featx.inputs.sets.files import Files


@dataclass(frozen=True)
class Container:
    """A file whose images are known by their places in it, which hold as long as it does not change."""

    files: Files
    path: str
    size: int
    changed: int
    """What Files.stat told when the images were listed; 0 where nothing tells of a change."""

    def check(self) -> None:
        """Raises OSError where the file is another one now; not asked over a network, where asking takes as long."""
        if not self.files.remote and self.files.stat(self.path) != (self.size, self.changed):
            raise OSError(errno.ESTALE, "the file that holds it has changed since its images were listed", self.path)

    def read_range(self, start: int, size: int) -> bytes:
        """So many bytes from this place on. Raises OSError where they are not all there."""
        self.check()
        data = self.files.read_range(self.path, start, size)
        if len(data) != size:
            raise OSError(errno.EIO, f"the file that holds it gave {len(data)} of {size} bytes", self.path)
        return data


def open_container(files: Files, path: str) -> Container:
    """The file of this path. Raises ImageSetError where there is none."""
    try:
        size, changed = files.stat(path)
    except OSError as error:
        raise ImageSetError(f"{path}: cannot be read ({cause_of(error)}); check the path") from error
    if files.remote and not size:
        raise ImageSetError(f"{path}: empty, or the server does not tell its size; copy the file to read it")
    return Container(files, path, size, changed)


def cause_of(error: OSError) -> str:
    """What went wrong, without the path, which stands before it."""
    return (error.strerror or " ".join(str(error).split()) or type(error).__name__).lower()
