"""Files that contain many images (tars, arrays, Parquet files), guarded against changes after they were listed."""

import errno
from dataclasses import dataclass

from featx.errors import ImageSetError, one_line
from featx.inputs.sets.files import Files


@dataclass(frozen=True)
class Container:
    """A file whose images are found by their positions in it, which are valid as long as it does not change."""

    files: Files
    path: str
    size: int
    changed: int
    """The second value of Files.stat when the images were listed; 0 if changes cannot be detected."""

    def check(self) -> None:
        """Raise OSError if the file has changed; remote files are not checked, as that takes as long as reading."""
        if not self.files.remote and self.files.stat(self.path) != (self.size, self.changed):
            raise OSError(errno.ESTALE, "the file that contains it has changed since its images were listed", self.path)

    def read_range(self, start: int, size: int) -> bytes:
        """`size` bytes from position `start`. Raises OSError if the file has fewer."""
        self.check()
        data = self.files.read_range(self.path, start, size)
        if len(data) != size:
            raise OSError(errno.EIO, f"the file that contains it gave {len(data)} of {size} bytes", self.path)
        return data


def open_container(files: Files, path: str) -> Container:
    """The file at this path. Raises ImageSetError if it does not exist."""
    try:
        size, changed = files.stat(path)
    except OSError as error:
        raise ImageSetError(f"{path}: cannot be read ({cause_of(error)}); check the path") from error
    if files.remote and not size:
        raise ImageSetError(f"{path}: empty, or the server does not send its size; copy the file to read it")
    return Container(files, path, size, changed)


def is_refused(error: Exception) -> bool:
    """Whether the system or a server did not let a file be read, which itself may be whole."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EFBIG)


def cause_of(error: OSError) -> str:
    """The reason for the error without the path, which our messages already contain."""
    return (error.strerror or one_line(error)).lower()
