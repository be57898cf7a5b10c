"""Guards a folder of the user's own cards: who may write there, and which names are taken."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from featx.backbones import bundled_folder, read_card
from featx.errors import BackboneError
from featx.locking import hold_lock

UNFINISHED = ".featx-"
"""Prefix of the folders in which backbones are put together; a killed process leaves its folder behind."""
_LOCK = ".lock"
"""The file in a folder of cards whose lock a process holds while it adds a backbone."""


@contextmanager
def reserve_name(name: str, folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Hold the lock of a folder of cards while a backbone with this name is added; wait for other processes.

    Raises BackboneError if the name is taken or the folder cannot be written.
    """
    _check_name(name, folder, overwrite=overwrite)
    created = not folder.exists()
    try:
        with ExitStack() as stack:
            lock_folder(folder, stack)
            _check_name(name, folder, overwrite=overwrite)
            for left in folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
    finally:
        if created:
            with suppress(OSError):
                folder.rmdir()  # only if nothing was added


def lock_folder(folder: Path, stack: ExitStack) -> None:
    """Create the folder if it is missing, and hold its lock until the stack is closed."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold_lock(folder / _LOCK, wait=True))
            return
        except FileNotFoundError:
            continue  # the process that held the lock added nothing, so it removed the folder that it had created
        except OSError as error:
            raise not_writable(folder, error) from error


def not_writable(folder: Path, error: OSError) -> BackboneError:
    """The error for a folder of cards that cannot be written."""
    return BackboneError(f"{folder}: cannot be written ({error.strerror or error}); name another folder with --models")


def _check_name(name: str, folder: Path, *, overwrite: bool) -> None:
    """Raise BackboneError if a backbone cannot have this name, or one with it already exists."""
    if not re.fullmatch(r"[\w.-]{1,100}", name) or name.startswith("."):
        raise BackboneError(f"--name {name!r} should be letters, digits, '.', '_' and '-', at most 100; choose another")
    if folder.exists() and not folder.is_dir():
        raise BackboneError(f"{folder}: is a file and not a folder; name a folder with --models")
    if (bundled_folder() / f"{name}.toml").exists() and bundled_folder().resolve() != folder.resolve():
        raise BackboneError(f"--name {name!r} is the name of a bundled backbone; choose another")
    own = folder / f"{name}.toml"
    if own.exists() and not overwrite:
        raise BackboneError(
            f"{own}: backbone {name!r} already exists; choose another --name, or replace it with --overwrite"
        )
    for path in folder.glob("*.toml"):
        if path != own and name_on(path) == name:
            raise BackboneError(f"{path}: backbone {name!r} already exists; choose another --name")


def name_on(card: Path) -> str:
    """The name on this card; "" if it is not readable."""
    try:
        return read_card(card).name
    except BackboneError:
        return ""
