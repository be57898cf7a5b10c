"""Sets of images in several domains, and the cache of each domain: the same classes, made in different ways.

    python benchmarks/domain_sets.py DIR [--sets A,B]

Images come from free packages, which `packages.py` fetches into DIR/packages, and from the extra `demo`. Each set and
domain becomes DIR/domains/SET/DOMAIN.h5, with labels and, where the same thing is drawn in several domains, groups.
`tables` reads them. Emoji and solar cells are those on which adaptation was tried first; the others are fresh.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packages import fetch_packages
from targets.arrays import FASHION, cells_of_type
from targets.emoji import VENDORS, emoji_of
from targets.folders import ICON_CONTEXTS, ICONS, icons_of
from targets.glyphs import LETTERS, SCRIPT_NAMES, STYLES, letters_of, scripts_of
from targets.target import Picture, digest, on_white

import featx
from featx.cache import FeatureTable
from featx.extract import extract_features
from featx.inputs import list_images

BACKBONE = "efficientnet-lite0"
MOST = 5000
"""Images of a domain at most; of more, those are taken whose names come first by hash."""
LEAST = 10
"""Images that a class has at least in every domain; smaller classes are left out of all."""


@dataclass(frozen=True)
class DomainSet:
    """Images of the same classes in several domains."""

    title: str
    packages: tuple[str, ...]
    domains: Mapping[str, Callable[[Path], Sequence[Picture]]]
    """Domain -> its pictures, from the folder with the unpacked packages."""
    fresh: bool = True
    """Whether nothing about adaptation was chosen on it."""


SETS = {
    "elpv": DomainSet(
        "solar cells, defective or not", (), {kind: cells_of_type(kind) for kind in ("mono", "poly")}, fresh=False
    ),
    "emoji": DomainSet(
        "emoji of four vendors, in 8 groups",
        tuple(f"@iconify-json/{vendor}" for vendor in VENDORS),
        {vendor: emoji_of(vendor) for vendor in VENDORS},
        fresh=False,
    ),
    "icons": DomainSet(
        "icons of two desktops, by what they are for",
        ICON_CONTEXTS.packages,
        {theme: icons_of(theme) for theme in ICONS},
    ),
    "scripts": DomainSet(
        "characters of 18 scripts, with and without serifs",
        SCRIPT_NAMES.packages,
        {style: scripts_of(style) for style in ("Sans", "Serif")},
    ),
    "letters": DomainSet(
        "capital letters of 35 fonts of three styles", LETTERS.packages, {style: letters_of(style) for style in STYLES}
    ),
    "fashion": DomainSet("Fashion-MNIST, one domain", FASHION.packages, {"all": FASHION.pictures}),
}


def tables(folder: Path, name: str) -> dict[str, FeatureTable]:
    """The table of each domain of a set, as `python benchmarks/domain_sets.py DIR` has made them."""
    caches = {domain: cache_of(folder, name, domain) for domain in SETS[name].domains}
    missing = [str(cache) for cache in caches.values() if not cache.exists()]
    if missing:
        raise SystemExit(f"{missing[0]}: no such cache; make it with `python benchmarks/domain_sets.py {folder}`")
    return {domain: featx.read_features(cache) for domain, cache in caches.items()}


def cache_of(folder: Path, name: str, domain: str) -> Path:
    """Where the cache of a domain is."""
    return folder / "domains" / name / f"{domain}.h5"


def make(folder: Path, name: str) -> None:
    """Fetch, draw and extract a set, unless that is done."""
    domain_set = SETS[name]
    caches = {domain: cache_of(folder, name, domain) for domain in domain_set.domains}
    if all(cache.exists() for cache in caches.values()):
        return
    fetch_packages(domain_set.packages, folder / "packages")
    pictures = {domain: list_of(folder / "packages") for domain, list_of in domain_set.domains.items()}
    classes = common_classes(list(pictures.values()))
    for domain, drawn in pictures.items():
        kept = [picture for picture in drawn if picture.label in classes]
        kept = sorted(kept, key=lambda picture: digest(picture.name))[:MOST]
        manifest = write_domain(kept, folder / "domains" / name / domain)
        extract_features(list_images(manifest), featx.load_backbone(BACKBONE), into=caches[domain])
        print(f"{caches[domain]}: {len(kept)} images of {len(classes)} classes", flush=True)


def common_classes(domains: Sequence[Sequence[Picture]]) -> set[str]:
    """The classes of which every domain has enough images."""
    counts = [Counter(picture.label for picture in pictures) for pictures in domains]
    return {label for label in counts[0] if all(count[label] >= LEAST for count in counts)}


def write_domain(pictures: Sequence[Picture], into: Path) -> Path:
    """The manifest (`path,label,group`) of these pictures, written as PNG beside it."""
    into.mkdir(parents=True, exist_ok=True)
    manifest = into / "images.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        grouped = all(picture.group for picture in pictures)
        rows.writerow(["path", "label", "group"] if grouped else ["path", "label"])
        for picture in sorted(pictures, key=lambda picture: picture.name):
            path = into / f"{picture.name}.png"
            if not path.exists():
                on_white(picture.draw()).save(path)
            rows.writerow([path.name, picture.label, *([picture.group] if grouped else [])])
    return manifest


def main() -> None:
    """Make the caches of the sets that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    for name in options.sets.split(","):
        make(options.folder, name)


if __name__ == "__main__":
    main()
