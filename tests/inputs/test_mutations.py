"""Thousands of damaged, lying and odd files: each gives the right row or a reason, and touches no other row."""

import faulthandler
import io
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from featx.cache import (
    DONE,
    FeatureTable,
    open_cache,
    read_features,
    verify_cache,
)
from featx.errors import (
    CacheError,
    Failure,
    ImageSetError,
)
from featx.extract import extract_features
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.conftest import Tiny, draw_image, write_folder
from tests.inputs.test_decode import claims, encode, png
from tests.support.breaking import Server, timeless
from tests.support.sizes import shortened

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WEBP": "webp", "TIFF": "tif", "PPM": "ppm"} | {
    "JPEG2000": "jp2",
    "AVIF": "avif",
}
Image.init()
MISSING = {kind for kind in SUFFIXES if kind not in Image.SAVE} | {
    kind for kind, codec in (("JPEG2000", "jpg_2000"), ("WEBP", "webp")) if not features.check(codec)
}
MAX_PIXELS = 100_000
EVERY = 10
"""One image in so many is sound."""

Mutation = Callable[[bytes, np.random.Generator], bytes]


def originals() -> list[tuple[str, bytes]]:
    """Format and bytes of sound files: every format, mode and encoding that Pillow writes of a small picture."""
    image = draw_image(1, size=(24, 20))
    kinds: dict[str, list[tuple[str, dict[str, object]]]] = {
        "JPEG": [("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True}), ("RGB", {"quality": 100})],
        "PNG": [(mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")] + [("L", {"transparency": 9})],
        "GIF": [("P", {}), ("L", {}), ("P", {"transparency": 3}), ("P", {"save_all": True, "append_images": [image]})],
        "BMP": [("1", {}), ("L", {}), ("P", {}), ("RGB", {}), ("RGBA", {})],
        "WEBP": [("RGB", {}), ("RGBA", {}), ("RGB", {"lossless": True})],
        "TIFF": [(mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "I")]
        + [("RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")],
        "PPM": [("1", {}), ("L", {}), ("RGB", {}), ("I;16", {})],
        "JPEG2000": [("L", {}), ("RGB", {}), ("RGBA", {})],
        "AVIF": [("RGB", {}), ("RGBA", {})],
    }
    return [
        (kind, encode(image.convert("L" if mode == "I;16" else mode).convert(mode), kind, **options))
        for kind, ways in kinds.items()
        if kind not in MISSING
        for mode, options in ways
    ]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """The file, cut short; sometimes by one byte or to a few."""
    return data[: int(rng.choice([int(rng.integers(len(data))), len(data) - 1, int(rng.integers(1, 32))]))]


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with bits turned over anywhere."""
    return _flip(data, rng, len(data))


def flip_head(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with bits turned over in its header."""
    return _flip(data, rng, min(len(data), 64))


def _flip(data: bytes, rng: np.random.Generator, size: int) -> bytes:
    damaged = bytearray(data)
    for place in rng.integers(size, size=rng.integers(1, 12)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def swap_magic(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with the first bytes of another format."""
    _, other = ORIGINALS[rng.integers(len(ORIGINALS))]
    size = int(rng.integers(2, 17))
    return other[:size] + data[size:]


def grow_a_tail(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with something behind it."""
    return data + rng.bytes(int(rng.integers(1, 500)))


def join(data: bytes, rng: np.random.Generator) -> bytes:
    """Two files in one."""
    _, other = ORIGINALS[rng.integers(len(ORIGINALS))]
    return data + other if rng.random() < 0.5 else data[: int(rng.integers(len(data)))] + other


def blank(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with a part of zeros, as a disk leaves it that lost a sector."""
    start = int(rng.integers(len(data)))
    size = int(rng.integers(1, len(data)))
    return data[:start] + bytes(len(data[start : start + size])) + data[start + size :]


def shift(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with some bytes twice or missing."""
    start, size = int(rng.integers(len(data))), int(rng.integers(1, 40))
    return data[:start] + data[start - size if rng.random() < 0.5 else start + size :]


def lie(data: bytes, rng: np.random.Generator) -> bytes:
    """A small file that claims to be large, or a hair."""
    sides = (0, 1, 2, 300, 400, 5000, 9460, 16_383, 30_000, 65_535)
    sizes = claims(int(rng.choice(sides)), int(rng.choice(sides)))
    return list(sizes.values())[rng.integers(len(sizes))]


def be_a_bomb(data: bytes, rng: np.random.Generator) -> bytes:
    """A sound PNG of one colour that is megabytes once decoded."""
    side = int(rng.choice([2000, 4000]))
    return png((side, side), 8, 2, [bytes(3 * side)] * side)


MUTATIONS: tuple[tuple[Mutation, int], ...] = (
    *((cut, 5), (flip, 6), (flip_head, 6), (swap_magic, 2), (grow_a_tail, 2), (join, 2)),
    *((blank, 2), (shift, 2), (lie, 3)),
)
"""Each with its share."""
ORIGINALS = originals()


def mutants(rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every damaged file."""
    shares = np.array([share for _, share in MUTATIONS], float)
    for number in range(count - 4):
        kind, data = ORIGINALS[number % len(ORIGINALS)]
        mutate = MUTATIONS[rng.choice(len(MUTATIONS), p=shares / shares.sum())][0]
        yield f"{number:05}.{SUFFIXES[kind]}", mutate(data, rng)
    for number in range(count - 4, count):
        yield f"{number:05}.png", be_a_bomb(b"", rng)


def plain_pixels(data: bytes, tiny: Tiny) -> NDArray[np.uint8] | None:
    """What Pillow makes of these bytes in the fewest words, or None where it raises, or there is no standard range."""
    spec = tiny.backbone.card.input.pixels
    try:
        with Image.open(io.BytesIO(data), formats=list(SUFFIXES)) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            rgb = plain_rgb(image)
        if rgb is None:
            return None
        scale = spec.resize / min(rgb.size)
        size = (int(rgb.width * scale + 1e-6), int(rgb.height * scale + 1e-6))
        if size[0] * size[1] > MAX_PIXELS:
            return None
        rgb = rgb.resize(size, Image.Resampling.BICUBIC)
    except Exception:
        return None
    left, top = round((size[0] - spec.size) / 2), round((size[1] - spec.size) / 2)
    return np.asarray(rgb.crop((left, top, left + spec.size, top + spec.size)))


def plain_rgb(image: Image.Image) -> Image.Image | None:
    """The image as RGB: over white where it is transparent, scaled where it has 16 bits."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        tags = dict(getattr(image, "tag_v2", {}))
        white = 2 ** tags.get(258, (16,))[0] - 1
        grey = np.rint(np.asarray(image, np.float64) * 255 / white)
        grey = 255 - grey if tags.get(262) == 0 else grey
        if (hole := image.info.get("transparency")) is not None:
            grey[np.asarray(image) == hole] = 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return None
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def extract_apart(server: Server, images: Path, tiny: Tiny, into: Path) -> int:
    """Extract in a process of its own; bytes of memory that it took at most."""
    models = tiny.backbone.path.parent
    options = ("--backbone", "tiny", "--models", models, "--device", "cpu", "--max-pixels", MAX_PIXELS)
    assert server.run("-q", "extract", images, *options, "--into", into, "--max-failed", 1) == 0, server.told()
    return server.peak


@pytest.mark.parametrize("count", shortened([200, 2000]))
def test_damaged_images_give_the_right_row_or_a_reason_and_touch_no_other(
    tiny: Tiny, tmp_path: Path, count: int
) -> None:
    sound, mixed = tmp_path / "sound", tmp_path / "mixed"
    sound.mkdir()
    mixed.mkdir()
    files = dict(mutants(np.random.default_rng(0), count))
    assert len(files) == count
    for number, (name, data) in enumerate(files.items()):
        (mixed / name).write_bytes(data)
        if number % EVERY == 0:
            for folder in (sound, mixed):
                draw_image(number).save(folder / f"{number:05}-sound.png")
    with Server(tmp_path / "log") as server:
        usual = extract_apart(server, sound, tiny, tmp_path / "sound.h5")
        assert extract_apart(server, mixed, tiny, tmp_path / "mixed.h5") - usual < 2**26
        assert "Traceback" not in server.told()
    assert verify_cache(tmp_path / "mixed.h5") == []
    check_neighbours(read_features(tmp_path / "sound.h5"), read_features(tmp_path / "mixed.h5"))
    check_mutants(tmp_path / "mixed.h5", files, tiny)


def check_neighbours(sound: FeatureTable, mixed: FeatureTable) -> None:
    """Sound images have the features that they have where no other is damaged, to the bit."""
    place = {mixed.name(row): row for row in range(len(mixed))}
    assert len(sound) == (len(mixed) + len(mixed.failed)) // (EVERY + 1)
    assert np.array_equal(sound.features, mixed.features[[place[sound.name(row)] for row in range(len(sound))]])
    reasons = {failure.text for failure in Failure}
    assert all(failed.reason in reasons for failed in mixed.failed.values())


def check_mutants(path: Path, files: dict[str, bytes], tiny: Tiny) -> None:
    """Every damaged image is done, with what Pillow makes of its bytes, where Pillow makes something; else failed."""
    cache, done = open_cache(path), 0
    names, status, found = cache["images/name"], cache["status"], cache["features/features"]
    for row, name in ((row, bytes(name).decode()) for row, name in enumerate(names)):
        if name not in files:
            continue
        with warnings.catch_warnings(action="ignore"):
            pixels = plain_pixels(files[name], tiny)
        assert (status[row] == DONE) == (pixels is not None), name
        if pixels is None:
            assert np.isnan(found[row]).all()
        else:
            done += 1
            assert np.allclose(found[row], tiny.expected(pixels[None])[0], atol=1e-4), name
    assert len(files) / 10 < done < len(files) / 2


# -- caches ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def _limited() -> Iterator[None]:
    """HDF5 that hangs cannot be interrupted: what hangs for minutes ends the whole run, and says where."""
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def swap_sectors(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with two of its sectors in each other's place."""
    first, second = sorted(int(place) * 512 for place in rng.choice(len(data) // 512, 2, replace=False))
    parts = data[:first], data[second : second + 512], data[first + 512 : second], data[first : first + 512]
    return b"".join(parts) + data[second + 512 :]


def lie_in_head(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with other numbers in its first bytes."""
    numbers = [b"0", b"-1", b"1e9", b"99999999999999", b"null", b"[[]]", b'"x"', b"NaN", b"[" * 900]
    head, rest = data[:4096].rstrip(b"\0"), data[4096:]
    start = int(rng.choice([place for place, byte in enumerate(head) if byte in b"0123456789"]))
    return (head[:start] + numbers[rng.integers(len(numbers))] + head[start + 1 :]).ljust(4096, b"\0")[:4096] + rest


IN_CACHES: tuple[Mutation, ...] = (cut, flip, flip_head, blank, shift, swap_sectors, grow_a_tail, lie_in_head)


def same_table(left: FeatureTable, right: FeatureTable) -> bool:
    """Whether two tables hold the same rows."""
    columns = ("features", "names", "labels", "positions")
    same = all(np.array_equal(getattr(left, name), getattr(right, name)) for name in columns)
    return same and left.classes == right.classes and left.failed == right.failed


@pytest.mark.usefixtures("_limited")
@pytest.mark.parametrize("count", shortened([80, 300]))
def test_damaged_caches_are_refused_in_one_line_or_read_right(tiny: Tiny, tmp_path: Path, count: int) -> None:
    root, path, rng = write_folder(tmp_path / "images", (6, 6)), tmp_path / "c.h5", np.random.default_rng(0)
    (root / "class0" / "0003.png").write_bytes(b"no image")
    images, settings = list_images(root), Settings("cpu", workers=1)
    extract_features(images, tiny.backbone, into=path, settings=settings)
    whole, expected, result, read = path.read_bytes(), read_features(path), timeless(path), 0
    for number in range(count):
        path.write_bytes(IN_CACHES[number % len(IN_CACHES)](whole, rng))
        try:
            problems = verify_cache(path)
            assert problems or same_table(read_features(path), expected)
            read += not problems
        except CacheError as error:
            assert str(path) in str(error)
            assert "; " in str(error)
            assert "\n" not in str(error)
        if number % 10 == 0:
            try:
                extract_features(images, tiny.backbone, into=path, settings=settings)
                assert same_table(read_features(path), expected)
            except CacheError as error:
                assert "delete it" in str(error)
        path.unlink()
    assert 0 < read < count / 3
    extract_features(images, tiny.backbone, into=path, settings=settings)
    assert timeless(path) == result


# -- manifests ---------------------------------------------------------------------------------------------------------

MANIFEST = """path,label,split,group,weight
a/1.png,cat,train,g1,1
a/2.png,dog,val,g1,0.5
"b,b/3.png",cat,test,g2,2
"say ""cheese"".png","dog, small",train,g2,1e3
b/4.png,,train,g3,0
ü/5.png,Käse,validation,g3,1.25
 c/6.png , cat ,train, g4 ,1
./d//7.png,10,test,g5,7
"""
SPLIT_NAMES = {"val": "validation", "valid": "validation"}
WEIRD = ('"', '""', ",", "\n", "\r", "\0", " ", "\t", "..", "/", "\ufeff", "\u2028", "é", "x" * 200_000, "-", "9" * 400)


def in_text(data: bytes, rng: np.random.Generator) -> bytes:
    """The manifest with something odd put anywhere."""
    text, place = data.decode(), int(rng.integers(len(data.decode())))
    return (text[:place] + WEIRD[rng.integers(len(WEIRD))] + text[place + int(rng.integers(2)) :]).encode()


def swap_lines(data: bytes, rng: np.random.Generator) -> bytes:
    """The manifest with two lines in each other's place, maybe the first."""
    lines = data.splitlines(keepends=True)
    first, second = rng.choice(len(lines), 2, replace=False)
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def repeat_line(data: bytes, rng: np.random.Generator) -> bytes:
    """The manifest with a line twice, or one less."""
    lines = data.splitlines(keepends=True)
    place = int(rng.integers(len(lines)))
    return b"".join([*lines[:place], *lines[place : place + 1] * int(rng.choice([0, 2])), *lines[place + 1 :]])


IN_MANIFESTS: tuple[Mutation, ...] = (in_text, flip, cut, swap_lines, repeat_line, in_text, shift, blank)


FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n][^,\r\n]*|))(,|\r\n|\n|\r|\Z)')


def plain_csv(text: str) -> list[list[str]]:
    """The lines of a CSV file that are not empty, by the rules of RFC 4180. Raises ValueError where it breaks them."""
    rows: list[list[str]] = [[]]
    place = 0
    while place < len(text) or rows[-1]:
        found = FIELD.match(text, place)
        if not found:
            raise ValueError(f"character {place}")
        place = found.end()
        rows[-1].append(found[1].replace('""', '"') if found[1] is not None else found[2])
        if found[3] != ",":
            rows.append([])
    return [row for row in rows if row and row != [""]]


Line = tuple[str, str, str, str, float]
"""Name, class, split, group and weight of an image, "" and 1 where there is none."""


def plain_manifest(data: bytes) -> list[Line]:
    """What a manifest says. Raises ValueError where it breaks a rule of CSV."""
    header, *rows = plain_csv(data.decode("utf-8-sig"))
    lines = [dict(zip(map(str.strip, header), map(str.strip, row), strict=True)) for row in rows]
    return [
        (
            str(PurePosixPath(line["path"])),
            line.get("label", ""),
            SPLIT_NAMES.get(line.get("split", ""), line.get("split", "")),
            line.get("group", ""),
            float(np.float32(line.get("weight", 1))),
        )
        for line in lines
    ]


def lines_of(images: ImageSet) -> list[Line]:
    """The same of an image set."""
    texts = [
        None if values is None else [bytes(value).decode() for value in values]
        for values in (images.splits, images.groups)
    ]
    splits, groups = (column or [""] * len(images) for column in texts)
    labels = [-1] * len(images) if images.labels is None else images.labels.tolist()
    classes = [*images.classes, ""]
    weights = [1.0] * len(images) if images.weights is None else images.weights.tolist()
    return [
        (images.name(row), classes[labels[row]], splits[row], groups[row], weights[row]) for row in range(len(images))
    ]


@pytest.mark.parametrize("count", shortened([100, 300]))
def test_damaged_manifests_are_refused_in_one_line_or_read_right(tmp_path: Path, count: int) -> None:
    path, rng, read = tmp_path / "set.csv", np.random.default_rng(0), 0
    path.write_text(MANIFEST, encoding="utf-8")
    assert lines_of(list_images(path)) == plain_manifest(MANIFEST.encode())
    for number in range(count):
        data = IN_MANIFESTS[number % len(IN_MANIFESTS)](MANIFEST.encode(), rng)
        path.write_bytes(data)
        try:
            images = list_images(path)
        except ImageSetError as error:
            assert str(path) in str(error)
            assert "; " in str(error)
            assert "\n" not in str(error)
            assert len(str(error)) < 5000
            continue
        read += 1
        assert lines_of(images) == plain_manifest(data), data
    assert count / 10 < read < count * 2 / 3


@pytest.mark.parametrize("column", ["label", "group"])
def test_a_text_that_ends_in_a_zero_byte_is_refused(tmp_path: Path, column: str) -> None:
    (tmp_path / "set.csv").write_text(f"path,{column}\n1.png,a\n2.png,a\0\n", encoding="utf-8")
    with pytest.raises(ImageSetError, match=r"(line 3|image 2)"):
        list_images(tmp_path / "set.csv")
