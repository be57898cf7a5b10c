"""Guards a folder of the user's own cards: who may write there, and which names are taken."""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from featx.backbones import bundled_folder, read_card
from featx.errors import BackboneError
from featx.locking import Lock, hold_lock
from featx.targets import AppearedError, Kind, Target

_UNFINISHED = ".featx-"
"""Prefix of the folders in which backbones are put together."""
FURTHER = (".onnx.data", ".golden.npz")
"""Ends of the names of weights and golden vectors."""
_LOCK = ".lock"
"""The file in a folder of cards whose lock a process holds while it adds a backbone."""


_FILES = Kind(
    name="a file of a backbone",
    endings=(".onnx", ".data", ".npz", ".toml"),
    is_own=lambda path: True,
    error=BackboneError,
    locked=BackboneError,
    writing="adding a backbone",
    instead="choose another --name",
)


@dataclass(frozen=True)
class ReservedName:
    """A name in a folder of cards, and the files there that a backbone of this name may replace."""

    name: str
    folder: Path
    lock: Lock | None = None
    overwrite: bool = True
    before: dict[str, Target] = field(default_factory=dict)
    """The files that a backbone of this name can have, as they were when the name was reserved."""

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A new folder in which the files are put together; it is removed after the block. Raises OSError."""
        place = self.folder / f"{_UNFINISHED}{secrets.token_hex(4)}"
        if self.lock is not None:
            self.lock.record(place.name)
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def publish(self, written: Path) -> None:
        """Move the file to the folder, or to where a link of its name there points. Raises OSError, BackboneError."""
        target = self.before.get(written.name) or Target.at(self.folder / written.name, _FILES, overwrite=True)
        try:
            if target.path.parent == self.folder:
                return target.publish(written)
            with target.new_file() as new:
                shutil.copyfile(written, new)
                return target.publish(new)
        except AppearedError as error:
            raise BackboneError(
                f"{target.path}: appeared or changed while the backbone was added, and is not replaced; move it away, "
                "and run the same command again"
            ) from error


@contextmanager
def reserve_name(
    name: str, folder: Path, *, overwrite: bool, source: Path | str | None = None
) -> Iterator[ReservedName]:
    """Hold the lock of a folder of cards while a backbone with this name is added; wait for other processes.

    Raises BackboneError if the name is taken, if files exist that a backbone of this name would replace, or if the
    folder cannot be written. Files of the model `source`, and with `overwrite` all, may be replaced.
    """
    _check_name(name, folder, overwrite=overwrite)
    created = not folder.exists()
    try:
        with ExitStack() as stack:
            lock = lock_folder(folder, stack)
            _check_name(name, folder, overwrite=overwrite)
            before = _check_files(name, folder, overwrite=overwrite, source=source)
            yield ReservedName(name, folder, lock, overwrite, before)
    finally:
        if created:
            with suppress(OSError):
                folder.rmdir()  # only if nothing was added


def _check_files(name: str, folder: Path, *, overwrite: bool, source: Path | str | None) -> dict[str, Target]:
    """The files that a backbone of this name can have, by their names; raises BackboneError as reserve_name does."""
    model = folder / f"{name}.onnx"
    in_place = source is not None and model.exists() and Path(source).exists() and model.samefile(source)
    own = files_on(folder / f"{name}.toml") | {f"{name}.toml"}
    files = {}
    for end in (".onnx", *FURTHER, ".toml"):
        path = folder / f"{name}{end}"
        files[path.name] = Target.at(path, _FILES, overwrite=overwrite)
        if files[path.name].before is None or in_place or path.name in own:
            continue
        if not overwrite:
            raise BackboneError(
                f"{path}: already exists, without a card; choose another --name, or replace it with --overwrite"
            )
    return files


def files_on(path: Path) -> set[str]:
    """Those files on this card that have the names which featx gives them; empty if it is not readable.

    They are the model, its weights and its golden vectors.
    """
    try:
        card = read_card(path)
    except BackboneError:
        return set()
    return {card.file, card.data, card.golden} & {f"{card.name}{end}" for end in (".onnx", *FURTHER)}


def lock_folder(folder: Path, stack: ExitStack) -> Lock:
    """Create the folder if it is missing, and hold its lock until the stack is closed. Raises BackboneError."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable(folder, error) from error
        try:
            return stack.enter_context(hold_lock(folder / _LOCK, wait=True))
        except FileNotFoundError:
            continue  # the process that held the lock added nothing, so it removed the folder that it had created
        except FileExistsError as error:
            raise BackboneError(
                f"{error.filename}: already exists and {error.strerror}; move it away, or name another folder with "
                "--models"
            ) from error
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
