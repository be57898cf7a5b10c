"""Finds objects of an HDF5 file by their paths without following a link that leaves the file.

HDF5 follows external links by itself: a path that looks like a part of one file may read any file of the machine.
"""

from typing import Any

from featx.errors import ImageSetError

MOST_LINKS = 16
"""Most soft links that are followed on one path, so that links in a circle end."""


def find_own(path: str, file: Any, *, name: str) -> Any:
    """The object with this name, or None if there is none. Raises ImageSetError if a link on the way leaves the file.

    Args:
        path: of the file, for the message.
        file: the open file.
        name: names of groups and of the object, separated by slashes.
    """
    import h5py

    found: Any = file
    steps = _steps(name)
    followed = 0
    while steps:
        step = steps.pop(0)
        link = found.get(step, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > MOST_LINKS:
                raise ImageSetError(f"{path}: {name} is a link that leads to itself; name a dataset")
            found = file if link.path.startswith("/") else found
            steps = _steps(link.path) + steps
        elif isinstance(link, h5py.ExternalLink):
            raise ImageSetError(f"{path}: {step} in {name} is a link to {_target(link)}; name that file")
        else:
            found = found[step]
    return found


def foreign_links(file: Any) -> dict[str, str]:
    """Name of every link that leaves the file -> why its images are not read."""
    import h5py

    found: dict[str, str] = {}

    def _collect(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found[name] = f"a link to {_target(link)}; name that file"

    file.visititems_links(_collect)
    return found


def _steps(name: str) -> list[str]:
    return [step for step in name.split("/") if step not in ("", ".")]


def _target(link: Any) -> str:
    """The file and object that an external link leads to."""
    return f"{link.filename}{link.path}"
