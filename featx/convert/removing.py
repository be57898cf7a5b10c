"""Removes a backbone of the user's: its card, and the files that featx wrote for it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from featx.backbones import Card, bundled_folder, list_backbones, read_card, user_folder
from featx.convert.own_folder import lock_folder, name_on, not_writable
from featx.errors import BackboneError, did_you_mean
from featx.hashing import hash_file


@dataclass(frozen=True)
class Removal:
    """The files of a backbone: those that are removed with it, and those that are kept because they may be others'."""

    name: str
    card: Path
    files: tuple[Path, ...]
    """Model, weights and golden vectors, as far as featx wrote them."""
    kept: tuple[str, ...]
    """Each file that is kept, with the reason."""


def plan_removal(name: str, *, folder: Path | str | None = None) -> Removal:
    """What removing the backbone with this name from the folder of cards (the user's by default) removes and keeps.

    Nothing is removed yet. Raises BackboneError if there is no such backbone, or if it comes with featx.
    """
    place = user_folder() if folder is None else Path(folder)
    card = _find_card(name, place)
    found = read_card(card)
    reasons = dict(_files(found, place, others=_named_by_others(card, place)))
    return Removal(
        name=name,
        card=card,
        files=tuple(path for path, reason in reasons.items() if not reason),
        kept=tuple(f"{path}: {reason}" for path, reason in reasons.items() if reason),
    )


def remove_backbone(name: str, *, folder: Path | str | None = None) -> Removal:
    """Remove the backbone with this name from the folder of cards (the user's by default); returns what was removed.

    Removed are the card and the files that featx wrote for it. Files of other names, and those that were changed since,
    are kept. Raises BackboneError as plan_removal does, and if a file cannot be removed.

    >>> import featx
    >>> model = featx.load_backbone("efficientnet-lite0").path
    >>> _ = featx.add_backbone(model, featx.Description(name="unwanted"), into="models")
    >>> removed = featx.remove_backbone("unwanted", folder="models")
    >>> [path.name for path in removed.files]
    ['unwanted.onnx']
    """
    place = user_folder() if folder is None else Path(folder)
    _find_card(name, place)
    with ExitStack() as stack:
        lock_folder(place, stack)
        removal = plan_removal(name, folder=place)
        try:
            for path in (removal.card, *removal.files):  # the card first, so that no card is without its model
                path.unlink(missing_ok=True)
        except OSError as error:
            raise not_writable(place, error) from error
    return removal


def _find_card(name: str, folder: Path) -> Path:
    """The file of the card with this name in this folder."""
    own = [path for path in sorted(folder.glob("*.toml")) if name_on(path) == name]
    bundled = bundled_folder()
    if folder.resolve() == bundled.resolve() or (not own and (bundled / f"{name}.toml").exists()):
        raise BackboneError(f"{name!r} is bundled with featx and cannot be removed; only backbones of your own can")
    if not own:
        if (folder / f"{name}.toml").exists():
            read_card(folder / f"{name}.toml")  # raises, with the reason why it is not readable
        known = [backbone.name for backbone in list_backbones(folder if folder.is_dir() else None)]
        raise BackboneError(
            f"{folder}: no backbone is called {name!r}{did_you_mean(name, known)}; `featx backbones` lists them"
        )
    return own[0]


def _named_by_others(card: Path, folder: Path) -> set[str]:
    """Names of the files that other cards in the folder name."""
    names = set[str]()
    for path in folder.glob("*.toml"):
        if path != card and name_on(path):
            other = read_card(path)
            names |= {other.file, other.data, other.golden}
    return names


def _files(card: Card, folder: Path, *, others: set[str]) -> Iterator[tuple[Path, str]]:
    """Each existing file of the card, and why it must be kept; an empty reason if featx wrote it for this card."""
    written = {f"{card.name}.onnx", f"{card.name}.onnx.data", f"{card.name}.golden.npz"}
    expected = {card.file: card.sha256, card.data: card.data_sha256, card.golden: ""}
    for name in filter(None, dict.fromkeys((card.file, card.data, card.golden))):
        path = folder / name
        if not path.is_symlink() and not path.exists():
            continue
        if name in others:
            yield path, "another card names it too"
        elif name not in written:
            yield path, "it does not have the name that featx gives"
        elif path.is_file() and expected[name] and hash_file(path) != expected[name]:
            yield path, "it was changed since its card was written"
        else:
            yield path, ""
