"""What a target is: pictures with labels from a package of data, and how they become a folder and a manifest."""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MANIFEST = "images.csv"
LEAST = 25
"""Images that a class has at least; smaller ones are left out."""


@dataclass(frozen=True)
class Picture:
    """An image that can be drawn, with what the manifest says of it."""

    name: str
    """The name of its file, without ending; unique within the target."""
    label: str
    draw: Callable[[], Image.Image]
    group: str | None = None
    """What it shares with others that must not be on the other side of a split; None if nothing."""


@dataclass(frozen=True)
class Target:
    """A task, where its images come from, and under which licence."""

    title: str
    source: str
    licence: str
    packages: tuple[str, ...]
    """Packages that it is made from, as `packages.py` names their folders; none if they are installed with Python."""
    pictures: Callable[[Path], Sequence[Picture]]
    """All pictures, from the folder with the unpacked packages."""
    seen: bool = False
    """Whether featx's default ranking was chosen on it: such a target cannot confirm that choice."""


def write_target(target: Target, packages: Path, into: Path, *, most: int) -> Path:
    """The manifest (`path,label,group`) of at most `most` images of a target, written as PNG beside it."""
    into.mkdir(parents=True, exist_ok=True)
    chosen = draw_pictures(target.pictures(packages), most=most)
    for picture in chosen:
        path = into / f"{picture.name}.png"
        if not path.exists():
            on_white(picture.draw()).save(path)
    grouped = any(picture.group is not None for picture in chosen)
    manifest = into / MANIFEST
    with manifest.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "label", "group"] if grouped else ["path", "label"])
        for picture in chosen:
            rows.writerow([f"{picture.name}.png", picture.label, *([picture.group] if grouped else [])])
    return manifest


def draw_pictures(pictures: Sequence[Picture], *, most: int) -> list[Picture]:
    """At most `most` pictures, in the order of their names: classes as equal, and groups as many, as there are.

    The draw depends on names alone. Each class gives one picture of each group before it gives a second one of any, and
    the groups in the same order as the other classes do.
    """
    classes: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        classes[picture.label].append(picture)
    kept = {label: members for label, members in classes.items() if len(members) >= LEAST}
    quotas = share_out(most, {label: len(members) for label, members in kept.items()})
    chosen = [picture for label, members in kept.items() for picture in _in_turn(members)[: quotas[label]]]
    return sorted(chosen, key=lambda picture: picture.name)


def share_out(most: int, counts: dict[str, int]) -> dict[str, int]:
    """For each class how many of its images are taken: all of a small class, equally many of the others."""
    quotas: dict[str, int] = {}
    left = most
    for place, label in enumerate(sorted(counts, key=lambda label: (counts[label], label))):
        quotas[label] = min(counts[label], left // (len(counts) - place))
        left -= quotas[label]
    return quotas


def _in_turn(pictures: Sequence[Picture]) -> list[Picture]:
    """The pictures of a class: the first of each group, then the second of each."""
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in sorted(pictures, key=lambda picture: digest(picture.name)):
        groups[picture.group or picture.name].append(picture)
    ordered = sorted(groups.items(), key=lambda item: digest(item[0]))
    ranked = [(rank, place, picture) for place, (_, few) in enumerate(ordered) for rank, picture in enumerate(few)]
    return [picture for _, _, picture in sorted(ranked, key=lambda entry: entry[:2])]


def digest(name: str) -> str:
    """A number that looks random and is always the same for a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def on_white(image: Image.Image) -> Image.Image:
    """The image without transparency, as if on white paper."""
    if image.mode == "RGB":
        return image
    if image.mode == "L":
        return image.convert("RGB")
    layered = image.convert("RGBA")
    paper = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(paper, layered).convert("RGB")


def image_files(folder: Path) -> Iterator[Path]:
    """The PNG files in a folder and those below it, in the order of their paths, without links to others."""
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; `python benchmarks/transfer.py DIR packages` fetches the packages")
    yield from sorted(path for path in folder.rglob("*.png") if path.is_file() and not path.is_symlink())


def safe_name(path: Path, folder: Path) -> str:
    """A name for the file of a picture that is at this path in a folder."""
    return "_".join(path.relative_to(folder).with_suffix("").parts)
