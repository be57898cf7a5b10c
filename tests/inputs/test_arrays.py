"""arrays: .npy files and HDF5 datasets in, their rows as images out, each as it was saved."""

import io
import math
import pickle
import re
import resource
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from featx.errors import ImageSetError
from featx.inputs import ImageSet, list_images
from featx.inputs.sets import hdf5_chunks
from featx.settings import LARGEST_IMAGE
from tests.support.image_sets import labels, names, texts

Pixels = NDArray[np.generic]


def draw(*shape: int, dtype: str = "u1") -> Pixels:
    """Pixels of which no two images are the same."""
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def contents(images: ImageSet) -> Pixels:
    """The pixels of every image, (N, ...)."""
    return np.stack([np.asarray(images.read(row)) for row in range(len(images))])


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save an array as .npy."""

    def write(array: Any, name: str = "photos.npy") -> Path:
        np.save(tmp_path / name, array)
        return tmp_path / name

    return write


@pytest.fixture
def h5(tmp_path: Path) -> Callable[..., Path]:
    """Save datasets by name into one HDF5 file; options are those of its datasets of three axes and more."""

    def write(name: str = "photos.h5", datasets: dict[str, Any] | None = None, **options: Any) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            for key, values in (datasets or {}).items():
                file.create_dataset(key, data=values, **(options if np.ndim(values) > 2 else {}))
        return tmp_path / name

    return write


# ---- .npy


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 3), (4, 5, 6, 1)])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_the_rows_of_an_array_are_the_images(save: Callable[..., Path], shape: tuple[int, ...], dtype: str) -> None:
    array = draw(*shape, dtype=dtype)
    images = list_images(save(array))
    assert names(images) == [f"photos.npy/{row}" for row in range(4)]
    expected = array[..., 0] if shape[-1] == 1 else array
    assert np.array_equal(contents(images), expected)
    assert np.asarray(images.read(0)).dtype == array.dtype


def test_an_array_of_the_second_version_is_read(tmp_path: Path) -> None:
    with (tmp_path / "photos.npy").open("wb") as file:
        np.lib.format.write_array(file, draw(2, 4, 5), version=(2, 0))
    assert np.array_equal(contents(list_images(tmp_path / "photos.npy")), draw(2, 4, 5))


def test_a_grown_array_keeps_its_names(save: Callable[..., Path]) -> None:
    before = names(list_images(save(draw(9, 4, 5))))
    assert names(list_images(save(draw(1001, 4, 5))))[:9] == before


def test_stat_tells_the_bytes_of_the_pixels_and_the_time_of_the_file(save: Callable[..., Path]) -> None:
    path = save(draw(3, 5, 6, 3))
    assert list_images(path).stat(2) == (5 * 6 * 3, path.stat().st_mtime_ns)


def test_a_row_above_the_limit_for_one_image_is_not_read_by_a_sample(tmp_path: Path) -> None:
    shape = (1, 1 << 14, LARGEST_IMAGE // (1 << 14) + 1)
    with (tmp_path / "photos.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + math.prod(shape))
    with pytest.raises(OSError, match="above the limit of 257 MB"):
        list_images(tmp_path / "photos.npy").read_bounded(0)


def test_a_part_of_a_part_reads_what_the_whole_reads_in_another_process_too(save: Callable[..., Path]) -> None:
    images = list_images(save(draw(10, 4, 5)))
    part = pickle.loads(pickle.dumps(images.shard(1, 2).shard(1, 2)))
    assert np.array_equal(contents(part), contents(images)[7:])
    assert names(part) == names(images)[7:]


def test_an_array_that_changed_since_it_was_listed_gives_no_pixels_of_another_image(save: Callable[..., Path]) -> None:
    images = list_images(save(draw(3, 4, 5)))
    save(draw(3, 4, 5)[::-1])
    with pytest.raises(OSError, match="changed since its images were listed"):
        images.read(0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (draw(4, 8, 8, 3).astype("f4"), "its numbers are float32, not uint8 or uint16; scale them to 0..255"),
        (draw(4, 8, 8).astype("i8"), "its numbers are int64"),
        (np.ones((4, 8, 8), bool), "its numbers are bool"),
        (draw(4, 3, 8, 8), r"its shape \(4, 3, 8, 8\) has the channels first; save array.transpose"),
        (draw(4, 1, 8, 8), "has the channels first"),
        (draw(4, 8, 8, 4), r"has 4 channels, not 1 or 3; save the colour channels"),
        (draw(8, 8, 3), r"is that of one image; save array\[None\]"),
        (draw(8, 8), r"its shape is \(8, 8\), not \(N, H, W\)"),
        (draw(2, 2, 2, 2, 3), "its shape is .* not"),
        (np.array(5), r"its shape is \(\), not"),
        (draw(0, 8, 8), "so that there are no pixels"),
        (draw(2, 0, 8), "so that there are no pixels"),
        (np.asfortranarray(draw(4, 8, 8)), "rows are not stored one after the other; save numpy.ascontiguousarray"),
        (np.array([[[None, None]]]), "its numbers are object"),
        (np.zeros((2, 4, 5), [("a", "u1")]), "its numbers are"),
    ],
)
def test_an_array_of_other_things_is_told_what_is_there(save: Callable[..., Path], array: Any, message: str) -> None:
    with pytest.raises(ImageSetError, match=rf"photos\.npy: .*{message}"):
        list_images(save(array))


def test_an_array_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (open, (str(tmp_path / "sprung"), "w"))  # type: ignore[return-value]

    np.save(tmp_path / "photos.npy", np.array([[[Trap(), None]]], object), allow_pickle=True)
    with pytest.raises(ImageSetError, match="its numbers are object"):
        list_images(tmp_path / "photos.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("change", [-1, -50, 1, 200], ids=["cut", "cut rows", "a byte more", "another array"])
def test_an_array_of_another_length_than_it_says_is_refused(save: Callable[..., Path], change: int) -> None:
    path = save(draw(4, 5, 5))
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + b"x" * change)
    with pytest.raises(ImageSetError, match="it was cut short or has more than one array: save it again"):
        list_images(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x03\x00\x00\x00", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"])
def test_what_is_called_npy_and_is_none_is_told_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.npy").write_bytes(content)
    with pytest.raises(ImageSetError, match=r"photos\.npy: not a \.npy file of pixels"):
        list_images(tmp_path / "photos.npy")


def test_an_npz_is_told_what_to_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "photos.npz", draw(2, 4, 5))
    with pytest.raises(ImageSetError, match=r"an \.npz has several arrays; save the one with the images as \.npy"):
        list_images(tmp_path / "photos.npz")


def test_an_array_that_claims_more_images_than_memory_holds_is_refused_at_once(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**15, 4, 5)})
    (tmp_path / "photos.npy").write_bytes(header.getvalue())
    with pytest.raises(ImageSetError, match="it was cut short"):
        list_images(tmp_path / "photos.npy")


# ---- HDF5

LAYOUTS: list[dict[str, Any]] = [
    {},
    {"chunks": (3, 4, 4, 2)},
    {"chunks": (3, 5, 6, 3), "compression": "gzip", "shuffle": True},
    {"chunks": (1, 5, 6, 3), "compression": "lzf"},
]


@pytest.mark.parametrize("options", LAYOUTS, ids=["contiguous", "chunks", "gzip", "lzf"])
@pytest.mark.parametrize("dtype", ["u1", ">u2"])
def test_the_rows_of_the_only_dataset_of_images_are_the_images(
    h5: Callable[..., Path], options: dict[str, Any], dtype: str
) -> None:
    array = draw(10, 5, 6, 3, dtype=dtype)
    images = list_images(h5(datasets={"a/pixels": array, "a/boxes": np.zeros((10, 4)), "mean": 1.5}, **options))
    assert names(images) == [f"photos.h5/a/pixels/{row}" for row in range(10)]
    assert np.array_equal(contents(images), array)
    assert images.stat(0)[0] == array[0].nbytes
    part = pickle.loads(pickle.dumps(images.shard(1, 2)))
    assert np.array_equal(contents(part), array[5:])


@pytest.mark.parametrize("options", LAYOUTS, ids=["contiguous", "chunks", "gzip", "lzf"])
def test_rows_are_the_same_for_several_threads(h5: Callable[..., Path], options: dict[str, Any]) -> None:
    array = draw(200, 5, 6, 3)
    images = list_images(h5(datasets={"x": array}, **options))
    with ThreadPoolExecutor(8) as pool:
        assert np.array_equal(np.stack(list(pool.map(images.read, range(200)))), array)


def test_a_dataset_is_named_behind_its_file(h5: Callable[..., Path]) -> None:
    path = h5(datasets={"train/x": draw(3, 4, 5), "test/x": draw(2, 4, 5)})
    assert names(list_images(f"{path}/test/x")) == ["photos.h5/test/x/0", "photos.h5/test/x/1"]
    with pytest.raises(ImageSetError, match=r"2 datasets contain images; name one of .*photos\.h5/test/x, .*/train/x"):
        list_images(path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, 1, 10]), ["3", "1", "10"]),
        (np.array([[3], [1], [10]], "u1"), ["3", "1", "10"]),
        (np.array([3.0, 1.0, 10.0]), ["3", "1", "10"]),
        (np.array([b"dog", b"cat", b""]), ["dog", "cat", ""]),
        (["dog", "Katze ä", ""], ["dog", "Katze ä", ""]),
    ],
    ids=["int", "column", "float", "fixed", "variable"],
)
@pytest.mark.parametrize("name", ["label", "labels"])
def test_labels_beside_the_images_are_theirs(
    h5: Callable[..., Path], name: str, values: Any, expected: list[str]
) -> None:
    images = list_images(h5(datasets={"a/x": draw(3, 4, 5), f"a/{name}": values, "label": [1, 2]}))
    assert [images.classes[label] if label >= 0 else "" for label in labels(images)] == expected


def test_texts_at_which_hdf5_hangs_are_not_waited_for(h5: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.inputs.sets.hdf5_texts.TEXTS_TIMEOUT", 0)
    with pytest.raises(ImageSetError, match=r"texts in /label cannot be read \(that takes more than 0 seconds\)"):
        list_images(h5(datasets={"x": draw(2, 4, 5), "label": ["cat", "dog"]}))


def test_reading_texts_runs_no_module_of_the_current_folder(
    h5: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = h5(datasets={"x": draw(2, 4, 5), "label": ["cat", "dog"]})
    (tmp_path / "h5py.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert list_images(path).classes == ("cat", "dog")
    assert not (tmp_path / "ran").exists()


def test_split_group_domain_and_weight_beside_the_images_are_theirs(h5: Callable[..., Path]) -> None:
    beside = {"split": [b"train", b"val"], "group": [7, 8], "domain": ["lab", "field"], "weight": [0.5, 2.0]}
    images = list_images(h5(datasets={"x": draw(2, 4, 5), **beside}))
    assert (texts(images.splits), texts(images.groups)) == (["train", "validation"], ["7", "8"])
    assert texts(images.domains) == ["lab", "field"]
    assert images.weights is not None
    assert images.weights.tolist() == [0.5, 2.0]


def test_labels_of_several_values_an_image_are_told_and_not_used(
    h5: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert list_images(h5(datasets={"x": draw(2, 4, 5), "label": np.eye(2)})).labels is None
    assert "/label is not used, as it does not have one value per image" in caplog.text


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({}, "no dataset contains images: it has no datasets"),
        ({"x": np.zeros((2, 4, 5))}, "no dataset contains images: x: its numbers are float64"),
        ({"x": draw(2, 3, 8, 8)}, r"no dataset contains images: x: its shape .* has the channels first"),
        ({"x": draw(3, 4, 5), "label": [1, 2]}, "/label has 2 values for the 3 images of /x; rename or correct it"),
        ({"x": h5py.Empty("u1")}, "no dataset contains images: x: it is empty"),
    ],
)
def test_an_hdf5_file_without_images_is_told_what_is_there(
    h5: Callable[..., Path], datasets: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImageSetError, match=rf"photos\.h5: {message}"):
        list_images(h5(datasets=datasets))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a/imagse", r"no dataset 'a/imagse' \(did you mean a/images"),
        ("a", "'a' is a group, not a dataset"),
        ("f", "f: its numbers are float64"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_told_why(h5: Callable[..., Path], name: str, message: str) -> None:
    path = h5(datasets={"a/images": draw(2, 4, 5), "f": np.zeros((2, 4, 5))})
    with pytest.raises(ImageSetError, match=rf"photos\.h5: {message}"):
        list_images(f"{path}/{name}")


def test_pixels_that_were_never_written_are_no_black_images(tmp_path: Path) -> None:
    for name, options in (("late.h5", {}), ("chunks.h5", {"chunks": (1, 4, 5)})):
        with h5py.File(tmp_path / name, "w") as file:
            pixels = file.create_dataset("x", (3, 4, 5), "u1", **options)
            if options:
                pixels[:2] = 1
        with pytest.raises(ImageSetError, match="x: parts of it were never written"):
            list_images(tmp_path / name)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A megabyte and a half that inflates to one and a half gigabytes."""
    deflate = zlib.compressobj(9, wbits=-15)
    block = deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + 96 * block + b"\x03\0" + bytes(4)


def test_a_chunk_that_inflates_beyond_its_shape_fails_alone_and_takes_no_memory(tmp_path: Path, bomb: bytes) -> None:
    with h5py.File(tmp_path / "photos.h5", "w") as file:
        pixels = file.create_dataset("x", data=draw(3, 40, 50), chunks=(1, 40, 50), compression="gzip")
        pixels.id.write_direct_chunk((1, 0, 0), bomb)
    images = list_images(tmp_path / "photos.h5")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OSError, match="more than the 2000 bytes of its shape"):
        images.read(1)
    assert np.array_equal(np.asarray(images.read(2)), draw(3, 40, 50)[2])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19


def test_labels_that_inflate_beyond_their_shape_are_refused(
    h5: Callable[..., Path], tmp_path: Path, bomb: bytes
) -> None:
    path = h5(datasets={"x": draw(3, 4, 5)})
    with h5py.File(path, "a") as file:
        labels = file.create_dataset("label", data=[1, 2, 3], chunks=(256,), maxshape=(None,), compression="gzip")
        labels.id.write_direct_chunk((0,), bomb)
    with pytest.raises(ImageSetError, match=r"photos\.h5: not a readable HDF5 file .*more than the 2048 bytes"):
        list_images(path)


def test_large_chunks_of_compressed_images_are_read(tmp_path: Path) -> None:
    array = draw(30, 300, 400)
    with h5py.File(tmp_path / "photos.h5", "w") as file:
        file.create_dataset("x", data=array, chunks=(15, 300, 200), compression="gzip", shuffle=True, fletcher32=True)
    assert np.array_equal(contents(list_images(tmp_path / "photos.h5")), array)


def test_a_chunk_of_several_images_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_chunks, "LARGEST_CHUNK", 1_000_000)  # so that all chunks are suspicious
    inflates_beyond = hdf5_chunks._inflates_beyond
    checked: list[int] = []

    def _counted(data: bytes, most: int) -> bool:
        checked.append(most)
        return inflates_beyond(data, most)

    monkeypatch.setattr(hdf5_chunks, "_inflates_beyond", _counted)
    with h5py.File(tmp_path / "photos.h5", "w") as file:
        file.create_dataset("x", data=draw(30, 40, 50), chunks=(10, 40, 50), compression="gzip")
    assert np.array_equal(contents(list_images(tmp_path / "photos.h5")), draw(30, 40, 50))
    assert checked == [20_000] * 3


def test_images_that_are_compressed_twice_are_refused(tmp_path: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1, 4, 5))
    properties.set_deflate(9)
    properties.set_deflate(9)
    with h5py.File(tmp_path / "photos.h5", "w") as file:
        space = h5py.h5s.create_simple((2, 4, 5))
        h5py.Dataset(h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, space, properties))[:] = draw(2, 4, 5)
    with pytest.raises(ImageSetError, match="x: it is compressed more than once; write it with one compression"):
        list_images(tmp_path / "photos.h5")


def test_a_filter_that_counts_other_values_than_a_chunk_has_is_refused_and_crashes_nothing(tmp_path: Path) -> None:
    array = draw(3, 40, 51) // 2  # HDF5 1.14.4 cannot read numbers of all 8 bits
    with h5py.File(tmp_path / "photos.h5", "w") as file:
        file.create_dataset("x", data=array, chunks=(1, 40, 51), scaleoffset=0)
    assert np.array_equal(contents(list_images(tmp_path / "photos.h5")), array)
    count = (40 * 51).to_bytes(4, "little")
    stored = (tmp_path / "photos.h5").read_bytes()
    assert stored.count(count) == 1
    (tmp_path / "wrong.h5").write_bytes(stored.replace(count, (3_000_000_000).to_bytes(4, "little")))
    with pytest.raises(ImageSetError, match="x: its filter counts other values than its chunks have; write it again"):
        list_images(tmp_path / "wrong.h5")


@pytest.mark.parametrize(
    ("values", "chunk", "message"),
    [
        (np.zeros(3, "S5000"), (1,), "/label: its values have 5000 bytes each, above 4096"),
        (np.zeros(3), (2**17,), "/label: its chunks have 1048576 bytes, above 1000000; write smaller ones"),
    ],
)
def test_labels_that_take_much_memory_are_refused(
    h5: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, values: Any, chunk: tuple[int], message: str
) -> None:
    monkeypatch.setattr("featx.inputs.sets.hdf5.LARGEST_CHUNK", 1_000_000)
    path = h5(datasets={"x": draw(3, 4, 5)})
    with h5py.File(path, "a") as file:
        file.create_dataset("label", data=values, chunks=chunk, maxshape=(None,), compression="gzip")
    with pytest.raises(ImageSetError, match=message):
        list_images(path)


def test_pixels_that_lie_in_other_files_are_refused(h5: Callable[..., Path], tmp_path: Path) -> None:
    h5("inner.h5", {"x": draw(3, 4, 5)})
    with h5py.File(tmp_path / "outer.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 4, 5), "u1")
        layout[:] = h5py.VirtualSource("inner.h5", "x", (3, 4, 5))
        file.create_virtual_dataset("x", layout)
    with pytest.raises(ImageSetError, match="x: its values are in other files; name those"):
        list_images(tmp_path / "outer.h5")


@pytest.fixture
def linked(h5: Callable[..., Path], tmp_path: Path) -> Path:
    """A file with images of its own, and links to those and to the labels of another file."""
    h5("inner.h5", {"x": draw(3, 4, 5), "label": [1, 2, 3], "split": [b"train"] * 3})
    h5("outer.h5", {"own/x": draw(3, 4, 5)})
    with h5py.File(tmp_path / "outer.h5", "r+") as file:
        file["soft"] = h5py.SoftLink("/own")
        file["circle"] = h5py.SoftLink("/circle")
        file["far"] = h5py.ExternalLink("inner.h5", "/x")
        file["folder"] = h5py.ExternalLink("inner.h5", "/")
        file["behind"] = h5py.SoftLink("/folder/x")
    return tmp_path / "outer.h5"


@pytest.mark.parametrize("name", ["far", "folder/x", "behind"])
def test_a_link_to_another_file_is_refused_in_any_part_of_a_path(linked: Path, name: str) -> None:
    with pytest.raises(ImageSetError, match=r"outer\.h5: \w+ in .* is a link to inner\.h5/x?; name that file"):
        list_images(f"{linked}/{name}")


def test_a_link_within_the_file_is_followed_but_not_in_a_circle(linked: Path) -> None:
    assert names(list_images(f"{linked}/soft/x"))[0] == "outer.h5/own/x/0"
    with pytest.raises(ImageSetError, match="circle/x is a link that leads to itself"):
        list_images(f"{linked}/circle/x")


@pytest.mark.parametrize("column", ["label", "split"])
def test_a_column_that_is_a_link_to_another_file_is_refused(linked: Path, column: str) -> None:
    with h5py.File(linked, "r+") as file:
        file[f"own/{column}"] = h5py.ExternalLink("inner.h5", f"/{column}")
    with pytest.raises(ImageSetError, match=rf"{column} in /own/{column} is a link to inner\.h5/{column}"):
        list_images(linked)


def test_a_file_of_links_alone_names_where_they_lead(linked: Path) -> None:
    with h5py.File(linked, "r+") as file:
        del file["own"]
    with pytest.raises(ImageSetError, match=r"no dataset contains images: far: a link to inner\.h5/x; name that file"):
        list_images(linked)


def test_a_link_to_a_device_is_never_opened(linked: Path) -> None:
    with h5py.File(linked, "r+") as file:
        file["own/label"] = h5py.ExternalLink("/dev/tty", "/x")
    with pytest.raises(ImageSetError, match="label in /own/label is a link to /dev/tty/x"):
        list_images(linked)


def test_chunks_that_hold_too_much_are_refused(h5: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.inputs.sets.hdf5.LARGEST_CHUNK", 50)
    with pytest.raises(ImageSetError, match="chunks of /x have 4 images and 80 bytes, above 50; write it again"):
        list_images(h5(datasets={"x": draw(8, 4, 5)}, chunks=(4, 4, 5)))


def test_a_cache_of_features_is_told_from_images(tmp_path: Path) -> None:
    (tmp_path / "photos.h5").write_bytes(b"featx cache\n{}" + bytes(5000))
    with pytest.raises(ImageSetError, match="a cache of features, not images; name the images"):
        list_images(tmp_path / "photos.h5")


@pytest.mark.parametrize("content", [b"", b"text" * 100])
def test_what_is_called_h5_and_is_none_is_told_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.h5").write_bytes(content)
    with pytest.raises(ImageSetError, match=r"photos\.h5: not a readable HDF5 file"):
        list_images(tmp_path / "photos.h5")


def test_a_file_beside_no_dataset_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=re.escape("photos.h5/x: no such file or folder")):
        list_images(tmp_path / "photos.h5" / "x")


def test_a_root_with_an_array_is_refused(save: Callable[..., Path], h5: Callable[..., Path], tmp_path: Path) -> None:
    for source in (save(draw(2, 4, 5)), h5(datasets={"x": draw(2, 4, 5)}), h5(datasets={"x": draw(2, 4, 5)}) / "x"):
        with pytest.raises(ImageSetError, match="is only for manifests"):
            list_images(source, root=tmp_path)
