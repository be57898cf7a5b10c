"""Caches written by another program that keeps the checksums right, but not the types and ranges of the format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featx.cache import export_cache, merge_caches, open_cache, read_features, verify_cache
from featx.cache.creating import protect_metadata
from featx.cache.file import IMAGE_SET, MAGIC, STAMP, USER_BLOCK, checksums
from featx.cache.opening import locate
from featx.columns import ImageColumns
from featx.errors import CacheError
from featx.hashing import hash_columns
from tests.support.caches import provenance, write_cache

COUNT = 8


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A sound cache with every column and two outputs."""
    images = ImageColumns(
        names=np.array([f"{row:02}.png".encode() for row in range(COUNT)]),
        classes=("cat", "dog"),
        labels=(np.arange(COUNT) % 2).astype(np.int32),
        splits=np.array([b"train", b"test"] * 4),
        groups=np.array([f"g{row // 2}".encode() for row in range(COUNT)]),
        domains=np.array([b"lab", b"field"] * 4),
        weights=np.ones(COUNT, np.float32),
    )
    return write_cache(tmp_path / "c.h5", images, provenance(outputs=("stage",)))


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change the file as another program would that writes the image-set hash, the checksums and first bytes anew."""
    sealed = str(open_cache(path).attributes["sealed"])
    with h5py.File(path, "r+") as file:
        change(file)
        file.attrs.modify("sealed", STAMP)
        fields = locate(file)
        columns = [file[name][:] if name in file else None for name in IMAGE_SET]
        if "image_set" in file.attrs:
            file.attrs.modify("image_set", hash_columns(columns))
        if "stage" in file["features"]:
            parts = [file[f"features/{name}"][:] for name in ("pooled", "stage")]
            file["checksums"][:] = checksums([*parts, file["images/fingerprint"][:], file["status"][:]])
    protect_metadata(path, fields)
    data = path.read_bytes()
    path.write_bytes(data[:USER_BLOCK] + data[USER_BLOCK:].replace(STAMP.encode(), sealed.encode()))


def set_attribute(name: str, value: object) -> Callable[[Any], None]:
    """Give a root attribute this value."""

    def change(file: Any) -> None:
        del file.attrs[name]
        file.attrs[name] = value

    return change


def set_card(**values: object) -> Callable[[Any], None]:
    """Change keys of the card."""

    def change(file: Any) -> None:
        card = json.loads(file.attrs["card"]) | values
        set_attribute("card", json.dumps(card))(file)

    return change


def set_value(name: str, value: object) -> Callable[[Any], None]:
    """Give the third row of a dataset this value."""

    def change(file: Any) -> None:
        file[name][2] = value

    return change


def retype(name: str, dtype: Any, shape: tuple[int, ...] = (COUNT,)) -> Callable[[Any], None]:
    """Replace a dataset by zeros of another type or shape."""

    def change(file: Any) -> None:
        del file[name]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        file.create_dataset(name, shape, dtype, dcpl=creation)

    return change


WRONG_METADATA = {
    "the card is no JSON": set_attribute("card", "{"),
    "the card is a list": set_attribute("card", "[]"),
    "the card has no name": set_card(name=5),
    "the card has no dimension": set_card(dim="6"),
    "the card has a negative dimension": set_card(dim=-6),
    "outputs are no list": set_card(outputs="stage"),
    "an output has no dimension": set_card(outputs=[{"name": "stage"}]),
    "hashes are of other outputs": set_attribute("outputs", json.dumps({"pooled": "b" * 64})),
    "a hash is none": set_attribute("outputs", json.dumps({"pooled": "b", "stage": "b" * 64})),
    "the backbone is a number": set_attribute("backbone", 5),
    "the backbone is no hash": set_attribute("backbone", "../etc"),
    "the provider is an array": set_attribute("provider", [1, 2, 3]),
    "versions are a list": set_attribute("versions", "[1]"),
    "versions are numbers": set_attribute("versions", '{"featx": 1}'),
    "the batch size is text": set_attribute("batch_size", "four"),
    "the batch size is negative": set_attribute("batch_size", -1),
    "decode is unknown": set_attribute("decode", "other"),
    "the format is a number": set_attribute("format", 1),
    "the version is another": set_attribute("format_version", 7),
    "status codes are numbers": set_attribute("status_codes", "3"),
    "labels are floats": retype("images/label", "f4"),
    "labels are of 64 bits": retype("images/label", "i8"),
    "labels are pairs": retype("images/label", "i4", (COUNT, 2)),
    "weights are integers": retype("images/weight", "i4"),
    "weights are too few": retype("images/weight", "f4", (COUNT - 1,)),
    "splits are numbers": retype("images/split", "u1"),
    "groups are numbers": retype("images/group", "i8"),
    "domains are numbers": retype("images/domain", "i8"),
    "the hash of the domains is a number": set_attribute("domains", 3),
    "names are numbers": retype("images/name", "i4"),
    "classes are numbers": retype("labels/name", "i4", (2,)),
    "the status is of 16 bits": retype("status", "u2"),
    "features are of 64 bits": retype("features/pooled", "f8", (COUNT, 6)),
    "features are integers": retype("features/pooled", "i4", (COUNT, 6)),
    "features are big-endian": retype("features/pooled", ">f4", (COUNT, 6)),
}
WRONG_VALUES = {
    "a label above the last class": set_value("images/label", 2),
    "a label below -1": set_value("images/label", -2),
    "a weight that is NaN": set_value("images/weight", np.nan),
    "an infinite weight": set_value("images/weight", np.inf),
    "a negative weight": set_value("images/weight", -1.0),
    "a split of another name": set_value("images/split", b"dev"),
    "a name that is not UTF-8": set_value("images/name", b"\xff\xfe"),
    "a group that is not UTF-8": set_value("images/group", b"\xe9"),
    "two classes of one name": lambda file: file["labels/name"].__setitem__(1, b"cat"),
    "a class that is not UTF-8": lambda file: file["labels/name"].__setitem__(1, b"\xe9"),
}
WRONG_FEATURES = {
    "NaN that is marked done": set_value("features/pooled", np.nan),
    "infinity that is marked done": set_value("features/stage", np.inf),
}


def reads(path: Path) -> list[Callable[[], object]]:
    """What every command that reads a cache begins with."""
    return [lambda: read_features(path), lambda: merge_caches([path], into=path.with_name("m.h5"))]


@pytest.mark.parametrize("change", WRONG_METADATA.values(), ids=WRONG_METADATA)
def test_wrong_metadata_is_refused_when_the_file_is_opened(cache: Path, change: Callable[[Any], None]) -> None:
    rewrite(cache, change)
    for call in (lambda: verify_cache(cache), *reads(cache)):
        with pytest.raises(CacheError) as raised:
            call()
        message = str(raised.value)
        assert message.startswith(str(cache))
        assert "\n" not in message


@pytest.mark.parametrize("change", WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_wrong_values_are_found_by_verify_and_refused_by_readers(cache: Path, change: Callable[[Any], None]) -> None:
    rewrite(cache, change)
    (problem,) = verify_cache(cache)
    assert any(name in problem for name in ("images/", "labels/"))
    for call in reads(cache):
        with pytest.raises(CacheError, match=r"c\.h5: (images|labels)/"):
            call()


@pytest.mark.parametrize("change", WRONG_FEATURES.values(), ids=WRONG_FEATURES)
def test_features_that_are_not_finite_are_found_by_verify_and_copied_by_nobody(
    cache: Path, change: Callable[[Any], None]
) -> None:
    rewrite(cache, change)
    assert verify_cache(cache) == ["row 2 (02.png): done, but its features are NaN or infinite"]
    assert np.flatnonzero(~open_cache(cache).intact()).tolist() == [2]
    for name in ("m.h5", "x.npy", "x.parquet"):
        into = cache.with_name(name)
        with pytest.raises(CacheError, match=r"row 2 \(02\.png\): done, but its features are NaN"):
            if into.suffix == ".h5":
                merge_caches([cache], into=into)
            else:
                export_cache(cache, into=into, outputs=["pooled", "stage"])
        assert not into.exists()


@pytest.mark.parametrize(
    "head",
    [
        "[]",
        '{"format_version": 1}',
        '{"format_version": 1, "metadata": 5, "sealed": 1, "crc32": 1}',
        '{"format_version": 1, "metadata": [[0]], "sealed": 1, "crc32": 1}',
        '{"format_version": 1, "metadata": [[0, -1]], "sealed": 1, "crc32": 1}',
        '{"format_version": 1, "metadata": [[0, 1000000000000]], "sealed": 1, "crc32": 1}',
        '{"format_version": 1, "metadata": [["a", "b"]], "sealed": null, "crc32": 1}',
        "{" * 3000,
    ],
)
def test_first_bytes_of_other_types_are_refused(cache: Path, head: str) -> None:
    data = cache.read_bytes()
    cache.write_bytes((MAGIC + head.encode()).ljust(USER_BLOCK, b"\0") + data[USER_BLOCK:])
    with pytest.raises(CacheError, match=r"c\.h5: "):
        open_cache(cache)


def test_a_file_that_only_was_written_again_is_as_sound_as_before(cache: Path) -> None:
    rewrite(cache, lambda file: None)
    assert verify_cache(cache) == []
    assert len(read_features(cache)) == COUNT
