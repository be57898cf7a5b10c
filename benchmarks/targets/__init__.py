"""The targets of `transfer.py`: images that packages of free data hold, each with its source and licence.

Nothing of them is part of this repository. The packages are fetched by name (`packages.py`), at most some 1,000 images
of each are drawn by their names (`target.py`), and written as PNG beside a manifest.
"""

from pathlib import Path

from targets.arrays import DIGITS, ELPV_DEFECTS, ELPV_TYPES, FASHION
from targets.emoji import EMOJI_DRAWERS, EMOJI_GROUPS
from targets.folders import CLIP_ART_TOPICS, FLAGS, ICON_CONTEXTS, SPRITES, STAMP_TOPICS
from targets.glyphs import LETTERS, SCRIPT_NAMES, TYPEFACE_NAMES
from targets.patches import PATCHES
from targets.target import Target, write_target

TARGETS: dict[str, Target] = {
    "elpv-defect": ELPV_DEFECTS,
    "elpv-type": ELPV_TYPES,
    "fashion": FASHION,
    "digits": DIGITS,
    "stamp-topics": STAMP_TOPICS,
    "emoji-groups": EMOJI_GROUPS,
    "emoji-drawers": EMOJI_DRAWERS,
    "letters": LETTERS,
    "typefaces": TYPEFACE_NAMES,
    "clip-art": CLIP_ART_TOPICS,
    "flags": FLAGS,
    "icon-contexts": ICON_CONTEXTS,
    "patches": PATCHES,
    "scripts": SCRIPT_NAMES,
    "sprites": SPRITES,
}
"""Name -> target; those that featx's default ranking was chosen on come first."""


def write_targets(packages: Path, into: Path, *, most: int) -> dict[str, Path]:
    """Name -> manifest of each target, with at most `most` images each, in a folder of its own."""
    manifests = {}
    for name, target in TARGETS.items():
        manifests[name] = write_target(target, packages, into / name, most=most)
        print(f"{manifests[name]}: written", flush=True)
    return manifests
