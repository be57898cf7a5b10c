"""archives: tars in, their images in archive order out, each the bytes that were put in."""

import gzip
import io
import json
import os
import pickle
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from featx.errors import ImageSetError
from featx.inputs import ImageSet, list_images
from tests.support.image_sets import labels, names, texts

Write = Callable[..., Path]
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.fixture
def tar(tmp_path: Path) -> Write:
    """Write a tar of members: a name -> its bytes, or whatever was prepared as a member without bytes."""

    def write(
        members: Mapping[str, bytes | tarfile.TarInfo], name: str = "photos.tar", kind: int = tarfile.PAX_FORMAT
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=kind) as file:
            for member, content in members.items():
                if isinstance(content, bytes):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
                else:
                    file.addfile(content)
        return path

    return write


def link(name: str, to: str, *, hard: bool = False) -> tarfile.TarInfo:
    """A member that is a link."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    info.linkname = to
    return info


def contents(images: ImageSet) -> list[bytes]:
    """The bytes of every image."""
    return [bytes(images.read(row)) for row in range(len(images))]


# ---- what is in a tar


@pytest.mark.parametrize("kind", FORMATS)
def test_the_images_of_a_tar_come_in_its_order_with_their_bytes(tar: Write, kind: str) -> None:
    members = {f"{number}.png": bytes([number]) * (number * 300) for number in (3, 1, 2, 0)}
    images = list_images(tar(members, kind=FORMATS[kind]))
    assert names(images) == [f"photos.tar/{name}" for name in members]
    assert contents(images) == list(members.values())


def test_a_tar_written_by_gnu_tar_is_read(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder((2, 2))
    subprocess.run(["tar", "-cf", tmp_path / "photos.tar", "-C", folder, "."], check=True)
    images = list_images(tmp_path / "photos.tar")
    by_name = dict(zip(names(images), contents(images), strict=True))
    assert by_name == {f"photos.tar/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.png")}
    assert images.classes == ("class0", "class1")


@pytest.mark.parametrize("kind", ["gnu", "pax"])
@pytest.mark.parametrize("name", ["a" * 90 + "/" + "b" * 200 + ".png", "Größe/猫 😀.png", "a\nb.png"])
def test_any_name_comes_back_as_it_was(tar: Write, kind: str, name: str) -> None:
    beside = f"{name}.z.png"
    images = list_images(tar({name: b"long", beside: b"next"}, kind=FORMATS[kind]))
    assert names(images) == [f"photos.tar/{name}", f"photos.tar/{beside}"]
    assert contents(images) == [b"long", b"next"]


def test_stat_tells_the_size_of_the_member_and_the_time_of_the_tar(tar: Write) -> None:
    path = tar({"a.png": b"12345"})
    os.utime(path, ns=(7, 1234567890))
    assert list_images(path).stat(0) == (5, 1234567890)


def test_what_is_no_image_is_listed_as_ignored(tar: Write) -> None:
    images = list_images(tar({"a.png": b"1", "notes.txt": b"2", "._a.png": b"3"}))
    assert texts(images.ignored) == ["photos.tar/notes.txt", "photos.tar/._a.png"]


def test_a_member_of_no_bytes_is_a_row(tar: Write) -> None:
    assert contents(list_images(tar({"a.png": b"", "b.png": b"1"}))) == [b"", b"1"]


def test_a_part_reads_what_the_whole_reads_in_another_process_too(tar: Write) -> None:
    images = list_images(tar({f"{number}.png": bytes([number]) for number in range(10)}))
    parts = [pickle.loads(pickle.dumps(images.shard(index, 3))) for index in range(3)]
    assert [data for part in parts for data in contents(part)] == contents(images)
    assert [name for part in parts for name in names(part)] == names(images)


def test_a_tar_that_changed_since_it_was_listed_gives_no_bytes_of_another_image(tar: Write) -> None:
    images = list_images(tar({"a.png": b"first", "b.png": b"other"}))
    tar({"b.png": b"other", "a.png": b"first"})
    with pytest.raises(OSError, match="changed since its images were listed"):
        images.read(0)


# ---- links


def test_a_hard_link_gives_the_bytes_that_it_leads_to(tar: Write) -> None:
    images = list_images(tar({"cat/a.png": b"cat", "dog/b.png": link("dog/b.png", "cat/a.png", hard=True)}))
    assert contents(images) == [b"cat", b"cat"]
    assert images.stat(1)[0] == 3


def test_links_lead_through_links_to_what_has_no_name_of_an_image(tar: Write) -> None:
    members = {"cat/b.png": link("cat/b.png", "../x"), "x": link("x", "y", hard=True), "y": b"bytes"}
    assert contents(list_images(tar(members))) == [b"bytes"]


@pytest.mark.parametrize("target", ["nowhere.png", "../a.png", "/a.png", "b.png"])
def test_a_link_to_nothing_in_the_tar_fails_alone_as_missing(tar: Write, target: str) -> None:
    images = list_images(tar({"a.png": b"1", "b.png": link("b.png", target)}))
    assert images.read(0) == b"1"
    for ask in (images.read, images.stat):
        with pytest.raises(FileNotFoundError, match=r"photos\.tar/b\.png"):
            ask(1)


def test_a_pipe_in_a_tar_fails_alone(tar: Write) -> None:
    pipe = tarfile.TarInfo("b.png")
    pipe.type = tarfile.FIFOTYPE
    images = list_images(tar({"a.png": b"1", "b.png": pipe}))
    with pytest.raises(FileNotFoundError):
        images.read(1)


# ---- labels


def test_cls_beside_an_image_is_its_label(tar: Write) -> None:
    images = list_images(tar({"b.jpg": b"1", "b.cls": b"10\n", "a.jpg": b"2", "a.cls": b"2"}))
    assert (images.classes, labels(images)) == (("2", "10"), [1, 0])
    assert not len(images.ignored)


@pytest.mark.parametrize("key", ["label", "class", "cls"])
@pytest.mark.parametrize(("value", "expected"), [("cat", "cat"), (3, "3"), (3.0, "3"), (" cat ", "cat")])
def test_json_beside_an_image_holds_its_label(tar: Write, key: str, value: object, expected: str) -> None:
    assert list_images(tar({"a.jpg": b"1", "a.json": json.dumps({key: value}).encode()})).classes == (expected,)


def test_cls_goes_before_json(tar: Write) -> None:
    images = list_images(tar({"a.json": b'{"label": "json"}', "a.jpg": b"1", "a.cls": b"7"}))
    assert images.classes == ("7",)


def test_an_image_without_a_label_beside_others_with_one_has_none(tar: Write) -> None:
    images = list_images(
        tar({"a.jpg": b"1", "a.cls": b"7", "b.jpg": b"2", "c.jpg": b"3", "c.json": b'{"label": null}'})
    )
    assert labels(images) == [0, -1, -1]


def test_both_images_of_a_sample_are_rows_with_its_label(tar: Write) -> None:
    images = list_images(tar({"a.left.png": b"1", "a.right.png": b"2", "a.cls": b"7"}))
    assert (names(images), labels(images)) == (["photos.tar/a.left.png", "photos.tar/a.right.png"], [0, 0])


def test_labels_need_not_stand_next_to_their_images(tar: Write) -> None:
    members = {"x/a.jpg": b"1", "x/b.jpg": b"2", "y/a.jpg": b"3", "x/b.cls": b"2", "y/a.cls": b"3", "x/a.cls": b"1"}
    images = list_images(tar(members))
    assert [images.classes[label] for label in labels(images)] == ["1", "2", "3"]


def test_without_labels_the_first_folder_behind_what_is_common_is_the_class(tar: Write) -> None:
    images = list_images(tar({"set/all/cat/x/1.png": b"1", "set/all/dog/2.png": b"2", "set/all/cat/3.png": b"3"}))
    assert (images.classes, labels(images)) == (("cat", "dog"), [0, 1, 0])


def test_images_in_one_folder_have_no_labels_and_that_is_told(tar: Write, caplog: pytest.LogCaptureFixture) -> None:
    assert list_images(tar({"set/1.png": b"1", "set/2.png": b"2"})).labels is None
    assert "all images are in one folder, 'set', which is not taken for a class" in caplog.text


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_folders_with_the_names_of_splits_are_splits_also_in_an_archive_made_on_windows(
    tar: Write, separator: str
) -> None:
    files = ("data/train/cat/1.png", "data/train/dog/2.png", "data/Valid/dog/3.png", "data/test/4.png")
    given = [file.replace("/", separator) for file in files]
    images = list_images(tar(dict.fromkeys(given, b"x")))
    assert names(images) == [f"photos.tar/{name}" for name in given]
    assert texts(images.splits) == ["train", "train", "validation", "test"]
    assert (images.classes, labels(images)) == (("cat", "dog"), [0, 1, 1, -1])


def test_folders_are_splits_of_images_with_labels_of_their_own_too(tar: Write) -> None:
    members = {"train/1.jpg": b"1", "train/1.cls": b"4", "val/2.jpg": b"2", "val/2.cls": b"5"}
    images = list_images(tar(members))
    assert (images.classes, texts(images.splits)) == (("4", "5"), ["train", "validation"])


def test_hidden_files_in_an_archive_made_on_windows_are_hidden(tar: Write) -> None:
    assert names(list_images(tar({"cat\\1.png": b"1", "cat\\._1.png": b"2"}))) == ["photos.tar/cat\\1.png"]


def test_json_without_a_label_leaves_it_to_the_folders(tar: Write) -> None:
    members = {"cat/1.png": b"1", "cat/1.json": b'{"width": 5}', "dog/1.png": b"1", "dog/1.json": b"[1]"}
    assert list_images(tar(members)).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b'{"label": [1, 2]}', "not a number or text but a list"),
        ("a.json", b'{"label": {"x": 1}}', "not a number or text but an object"),
        ("a.json", b'[{"label": 1}]', "not an object with a label but a list"),
        ("a.json", b'"cat"', "not an object with a label but a text"),
        ("a.json", b'{"label": "\\ud800"}', "surrogates not allowed"),
        ("a.json", b"{", "Expecting property name"),
        ("a.json", b"[" * 100_000, "recursion"),
        ("a.json", b"\xff\xfe", "codec can't decode"),
        ("a.json", b'{"label": ' + b"1" * 5000 + b"}", "integer string"),
        ("a.json", json.dumps({"label": "x" * 5000}).encode(), "a label above 4096 bytes"),
        ("a.cls", b"\xff", "codec can't decode"),
        ("a.cls", b"x" * 5000, "5000 bytes, above 4096"),
    ],
)
def test_what_is_not_a_label_is_told_and_blocks_nothing(
    tar: Write, name: str, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = list_images(tar({"a.jpg": b"1", name: content, "b.jpg": b"2", "b.cls": b"cat"}))
    assert (labels(images), contents(images)) == ([-1, 0], [b"1", b"2"])
    [told] = [text for text in caplog.messages if "members have no single number or text as label" in text]
    assert f": 1 .json or .cls members have no single number or text as label and are not used, such as {name}" in told
    assert reason in told


def test_what_is_not_a_label_is_told_once_for_all_tars(
    tar: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        tar({"a.jpg": b"1", "a.json": b'{"label": []}', "b.jpg": b"1", "b.json": b'{"label": [1]}'}, f"{number}.tar")
    assert list_images(f"{tmp_path}/*.tar").labels is None
    assert len(caplog.messages) == 1
    assert "6 .json or .cls members have no single number or text as label and are not used, such as a.json (" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("0.5", "0.5"),
        ("true", "True"),
        ('" cat "', "cat"),
        ("NaN", ""),
        ("null", ""),
        ('"None"', "None"),
        ('"007"', "007"),
    ],
)
def test_labels_in_json_follow_the_rule_for_labels(tar: Write, value: str, label: str) -> None:
    images = list_images(tar({"a.jpg": b"1", "a.json": f'{{"label": {value}}}'.encode()}))
    assert images.classes == ((label,) if label else ())


def test_a_label_in_cls_is_a_text_as_it_is_written(tar: Write) -> None:
    images = list_images(tar({"a.jpg": b"1", "a.cls": b"007\n", "b.jpg": b"1", "b.cls": b"\xef\xbb\xbf7"}))
    assert sorted(images.classes) == ["007", "7"]


def test_labels_of_images_with_dots_in_their_names_are_found(tar: Write) -> None:
    members = {f"scene_{row}.5.{ending}": str(row).encode() for row in range(3) for ending in ("jpg", "cls")}
    images = list_images(tar(members))
    assert (images.classes, labels(images)) == (("0", "1", "2"), [0, 1, 2])


def test_the_label_of_the_very_name_goes_before_that_of_the_sample(tar: Write) -> None:
    images = list_images(tar({"a.left.png": b"1", "a.right.png": b"2", "a.left.cls": b"l", "a.cls": b"both"}))
    assert [images.classes[code] for code in labels(images)] == ["l", "both"]


def test_labels_without_an_image_are_told(tar: Write, caplog: pytest.LogCaptureFixture) -> None:
    list_images(tar({"a.jpg": b"1", "a.cls": b"1", "gone.cls": b"2", "lost.json": b'{"label": 3}', "meta.json": b"{}"}))
    assert (
        "2 labels are of no image with the same name up to its ending and are not used, such as gone.cls" in caplog.text
    )


def test_the_key_of_labels_in_json_can_be_named(tar: Write, caplog: pytest.LogCaptureFixture) -> None:
    members = {"a.jpg": b"1", "a.json": b'{"breed": "pug", "label": 1}', "a.cls": b"2", "b.jpg": b"1", "b.json": b"{}"}
    images = list_images(tar(members), label_column="breed")
    assert (images.classes, labels(images)) == (("pug",), [0, -1])
    with pytest.raises(
        ImageSetError, match=r"no \.json member has the key 'bread' of labels, such as a\.json with breed"
    ):
        list_images(tar(members), label_column="bread")


def test_keys_that_may_have_labels_are_told_where_no_member_has_a_label(
    tar: Write, caplog: pytest.LogCaptureFixture
) -> None:
    assert list_images(tar({"a.jpg": b"1", "a.json": b'{"caption": "x", "url": "y"}'})).labels is None
    assert (
        "no .json member has one of the keys label, class, cls, such as a.json with caption, url; --label-column names"
        in caplog.text
    )


def test_two_labels_of_one_kind_are_refused(tar: Write) -> None:
    with pytest.raises(ImageSetError, match="'a' has two labels of one kind"):
        list_images(tar({"a.jpg": b"1", "a.cls": b"1", "a.CLS": b"2"}))


# ---- several tars


def test_a_pattern_of_numbers_stands_for_all_of_them(tar: Write, tmp_path: Path) -> None:
    for number in (9, 10, 11):
        tar({"0.png": bytes([number])}, f"shard-{number:03}.tar")
    images = list_images(f"{tmp_path}/shard-{{009..011}}.tar")
    assert names(images) == ["shard-009.tar/0.png", "shard-010.tar/0.png", "shard-011.tar/0.png"]
    assert contents(images) == [b"\x09", b"\x0a", b"\x0b"]


@pytest.mark.parametrize("pattern", ["*.tar", "a/{x,y}.tar", "[a]/*.tar", "**/*.tar", "{a,b}/?.tar"])
def test_names_begin_with_the_path_of_the_tar_behind_the_fixed_part_of_the_pattern(
    tar: Write, tmp_path: Path, pattern: str
) -> None:
    for name in ("a/x.tar", "a/y.tar", "b/z.tar", "z.tar"):
        tar({"1.png": b"1"}, name)
    expected = {
        "*.tar": ["z.tar"],
        "a/{x,y}.tar": ["x.tar", "y.tar"],
        "[a]/*.tar": ["a/x.tar", "a/y.tar"],
        "**/*.tar": ["a/x.tar", "a/y.tar", "b/z.tar", "z.tar"],
        "{a,b}/?.tar": ["a/x.tar", "a/y.tar", "b/z.tar"],
    }[pattern]
    assert names(list_images(f"{tmp_path}/{pattern}")) == [f"{name}/1.png" for name in expected]


def test_a_folder_of_tars_is_read_with_all_tars_below_it(tar: Write, tmp_path: Path) -> None:
    tar({"1.png": b"1"}, "sets/b.tar")
    tar({"1.png": b"2"}, "sets/a/0.TAR")
    (tmp_path / "sets" / "README.md").write_text("x")
    images = list_images(tmp_path / "sets")
    assert (names(images), contents(images)) == (["a/0.TAR/1.png", "b.tar/1.png"], [b"2", b"1"])
    assert texts(images.ignored) == ["README.md"]


def test_classes_in_tars_of_their_own_are_found_over_all_tars(tar: Write, tmp_path: Path) -> None:
    tar({"set/cat/1.png": b"1", "set/cat/2.png": b"1"}, "0.tar")
    tar({"set/dog/1.png": b"1"}, "1.tar")
    images = list_images(f"{tmp_path}/*.tar")
    assert (images.classes, labels(images)) == (("cat", "dog"), [0, 0, 1])


def test_tars_named_for_their_splits_give_splits(tar: Write, tmp_path: Path) -> None:
    for name in ("train-0.tar", "val-0.tar", "test_0.tar"):
        tar({"1.png": b"1"}, name)
    assert texts(list_images(f"{tmp_path}/*.tar").splits) == ["test", "train", "validation"]


def test_tars_in_folders_named_for_their_splits_have_these_splits(tar: Write, tmp_path: Path) -> None:
    for name in ("train/0.tar", "Validation/0.tar", "train/1.tar"):
        tar({"1.png": b"1"}, f"sets/data/{name}")
    assert texts(list_images(tmp_path / "sets").splits) == ["validation", "train", "train"]


@pytest.mark.parametrize("other", ["more-0.tar", "train-1.tar", "trainings.tar"])
def test_splits_are_not_guessed_from_some_names_or_from_one_split(tar: Write, tmp_path: Path, other: str) -> None:
    for name in ("train-0.tar", other):
        tar({"1.png": b"1"}, name)
    assert list_images(f"{tmp_path}/*.tar").splits is None


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tar: Write) -> None:
    assert names(list_images(tar({"1.png": b"1"}, "a[1]{2,3}*.tar"))) == ["a[1]{2,3}*.tar/1.png"]


# ---- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not a tar file \(empty file\)"),
        (b"this is a text\n" * 100, "not a tar file"),
        (b"short", "not a tar file"),
        (b"\0" * 10240, "no images in it, and no other files"),
        (gzip.compress(b"x" * 10240, mtime=0), r"compressed, so that .*; decompress it first \(gunzip\)"),
        (b"BZh91AY", r"compressed, .* \(bunzip2\)"),
        (b"\x28\xb5\x2f\xfd\0\0", r"compressed, .* \(unzstd\)"),
    ],
)
def test_what_is_called_a_tar_and_is_none_is_told_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "photos.tar").write_bytes(content)
    with pytest.raises(ImageSetError, match=rf"photos\.tar: {message}"):
        list_images(tmp_path / "photos.tar")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.zst", "a.TAR.XZ"])
def test_a_compressed_tar_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_bytes(b"x")
    for source in (tmp_path / "sub" / name, tmp_path / "sub"):
        with pytest.raises(ImageSetError, match="compressed, so that single images cannot be read from it"):
            list_images(source)


def test_a_tar_without_images_names_what_is_in_it(tar: Write) -> None:
    with pytest.raises(ImageSetError, match=r"photos\.tar: no images in it, but 1 other files, such as .*notes\.txt"):
        list_images(tar({"notes.txt": b"x"}))


def test_a_tar_cut_anywhere_is_refused(tar: Write, tmp_path: Path) -> None:
    whole = tar({"a.png": b"1" * 700, "b.png": b"2" * 100, "a.cls": b"1"}, kind=tarfile.GNU_FORMAT).read_bytes()
    end = 512 + 1024 + 512 + 512 + 512 + 512
    for size in range(1, end, 100):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(ImageSetError, match=r"cut\.tar: (not a tar|cut short|damaged|has no end mark)"):
            list_images(tmp_path / "cut.tar")


def test_a_damaged_header_is_no_end(tar: Write, tmp_path: Path) -> None:
    whole = bytearray(tar({"a.png": b"1", "b.png": b"2"}, kind=tarfile.GNU_FORMAT).read_bytes())
    whole[1024 + 3] ^= 1
    (tmp_path / "rot.tar").write_bytes(whole)
    with pytest.raises(ImageSetError, match=r"rot\.tar: damaged at byte 1024, where a header should be"):
        list_images(tmp_path / "rot.tar")


def test_tars_joined_into_one_file_are_refused_and_not_read_in_part(tar: Write, tmp_path: Path) -> None:
    one, other = tar({"a.png": b"1"}, "1.tar").read_bytes(), tar({"b.png": b"2"}, "2.tar").read_bytes()
    (tmp_path / "both.tar").write_bytes(one + other)
    with pytest.raises(ImageSetError, match="has more data after its end mark"):
        list_images(tmp_path / "both.tar")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as file:
        for _ in range(2):
            file.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(ImageSetError, match=r"'photos\.tar/a\.png' is both image 1 and image 2"):
        list_images(tmp_path / "photos.tar")


def test_a_name_that_leads_out_is_refused(tar: Write) -> None:
    with pytest.raises(ImageSetError, match=r"its member '\.\./a\.png' leads out of the tar"):
        list_images(tar({"../a.png": b"1"}))


def test_a_name_that_is_not_utf8_is_refused(tar: Write) -> None:
    with pytest.raises(ImageSetError, match=r"udcff\.png' is not UTF-8"):
        list_images(tar({"a\udcff.png": b"1"}, kind=tarfile.GNU_FORMAT))


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x" * 4096)
    subprocess.run(["tar", "-cSf", "photos.tar", "a.png"], cwd=tmp_path, check=True)
    with pytest.raises(ImageSetError, match=r"member 'a\.png' is stored as a sparse file"):
        list_images(tmp_path / "photos.tar")


def test_images_above_and_in_class_folders_are_refused(tar: Write) -> None:
    with pytest.raises(ImageSetError, match=r"in class folders \(cat/1.png\) and some are not \(loose\.png"):
        list_images(tar({"cat/1.png": b"1", "loose.png": b"2"}))


def test_a_folder_with_images_and_tars_is_refused_by_both(tar: Write, tmp_path: Path) -> None:
    tar({"1.png": b"1"}, "both/photos.tar")
    (tmp_path / "both" / "b.png").write_bytes(b"x")
    with pytest.raises(ImageSetError, match=r"of more than one kind, such as b\.png and photos\.tar; name those"):
        list_images(tmp_path / "both")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("no*.tar", r"no\*\.tar: no file matches this pattern"),
        ("{a,b}.tar", r"b\.tar: cannot be read \(no such file"),
        ("{0..9999999}.tar", "expands to more than 1000 files"),
        ("*", "matches files of several kinds"),
        ("*.npy", r"matches 2 files such as .*1\.npy, but only several \.tar or \.parquet files can be one image set"),
    ],
)
def test_a_pattern_that_matches_nothing_useful_is_told_so(
    tar: Write, tmp_path: Path, pattern: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.inputs.sets.shards.MOST_SHARDS", 1000)
    tar({"1.png": b"1"}, "a.tar")
    for name in ("1.npy", "2.npy"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ImageSetError, match=message):
        list_images(f"{tmp_path}/{pattern}")


def test_a_root_with_a_tar_is_refused(tar: Write, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=r"--root .* is only for manifests, but .*photos\.tar is not a manifest"):
        list_images(tar({"1.png": b"1"}), root=tmp_path)
