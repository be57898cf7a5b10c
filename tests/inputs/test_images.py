"""images: a folder or a manifest in, one fixed order out; and what a wrong one is told."""

import csv
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from featx.csv_columns import CsvWriter
from featx.errors import ImageSetError
from featx.inputs import (
    ImageSet,
    fingerprint,
    images_of_array,
    list_images,
)
from featx.inputs.formats import IMAGE_ENDINGS
from featx.inputs.sets.files import LocalFiles
from featx.tables import read_annotations
from tests.support.image_sets import labels, names, texts

Write = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path) -> Write:
    """Write a folder of files by their names; what is in them does not matter to a listing."""

    def write(*files: str, root: str = "images", content: bytes = b"x") -> Path:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture
def manifest(tmp_path: Path) -> Write:
    """Write a manifest with this text or these bytes."""

    def write(content: str | bytes, name: str = "list.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# ---- folders


def test_sub_folders_are_the_classes(fill: Write) -> None:
    images = list_images(fill("dog/1.png", "cat/1.png", "dog/0.png"))
    assert images.classes == ("cat", "dog")
    assert dict(zip(names(images), labels(images), strict=True)) == {"cat/1.png": 0, "dog/0.png": 1, "dog/1.png": 1}


def test_folders_may_be_nested_more_deeply_than_python_calls(fill: Write) -> None:
    root = fill("/".join(["a"] * 300) + "/1.png", "b/2.png")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 200)
    try:
        found = list(LocalFiles().walk(str(root)))
    finally:
        sys.setrecursionlimit(limit)
    assert [name.rpartition("/")[2] for name in found] == ["1.png", "2.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not UTF-8")
def test_a_name_that_is_not_utf8_is_refused_however_it_is_given(tmp_path: Path) -> None:
    wrong = tmp_path / os.fsdecode(b"\xff.png")
    (tmp_path / "a.png").touch()
    wrong.touch()
    (tmp_path / os.fsdecode(b"\xff.tar")).touch()
    folders = [tmp_path / "b", tmp_path / os.fsdecode(b"\xff.folder")]
    for folder in folders:
        folder.mkdir()
        (folder / "1.png").touch()
    assert len(list_images(folders[1])) == 1
    calls: list[Callable[[], ImageSet]] = [
        lambda: list_images(wrong),
        lambda: list_images([tmp_path / "a.png", wrong]),
        lambda: list_images(tmp_path / "*.png"),
        lambda: list_images(tmp_path / "*.tar"),
        lambda: list_images(wrong.with_suffix(".tar")),
        lambda: list_images(folders),
        lambda: images_of_array([str(wrong)]),
        lambda: images_of_array([os.fsencode(wrong)]),
    ]
    for refused in calls:
        with pytest.raises(ImageSetError, match=r"the name '.*\\udcff\..*' is not UTF-8; rename the file"):
            refused()


def test_the_label_of_a_nested_image_is_its_first_folder(fill: Write) -> None:
    images = list_images(fill("cat/2024/may/1.png", "dog/1.png"))
    assert images.classes == ("cat", "dog")
    assert names(images) == ["cat/2024/may/1.png", "dog/1.png"]


def test_a_flat_folder_has_no_labels(fill: Write) -> None:
    images = list_images(fill("b.png", "a.jpg"))
    assert names(images) == ["a.jpg", "b.png"]
    assert images.labels is None
    assert images.classes == ()


def test_real_images_are_listed_and_read(make_folder: Callable[..., Path]) -> None:
    folder = make_folder((2, 3))
    images = list_images(folder)
    assert len(images) == 5
    assert images.read(0) == (folder / images.name(0)).read_bytes()
    assert images.stat(0)[0] == len(images.read(0))


def test_a_folder_is_ordered_bytewise_by_name(fill: Write) -> None:
    # "-" and "." stand before "/", so sorting folder by folder would give another order.
    given_names = ["a/b.png", "a-b/b.png", "a.b/b.png", "B/b.png", "a/é.png", "a/z.png", "a/10.png", "a/9.png"]
    assert names(list_images(fill(*given_names))) == sorted(given_names, key=str.encode)


@pytest.mark.parametrize("suffix", sorted(IMAGE_ENDINGS))
def test_an_ending_is_known_in_upper_case_too(fill: Write, suffix: str) -> None:
    assert len(list_images(fill(f"a{suffix}", f"b{suffix.upper()}"))) == 2


def test_what_is_no_image_is_listed_as_ignored(fill: Write) -> None:
    folder = fill("cat/1.png", "cat/notes.txt", "cat/._1.png", "dog/.hidden.jpg", "dog/1.png", "README")
    assert {name.decode() for name in list_images(folder).ignored} == {
        "cat/notes.txt",
        "cat/._1.png",
        "dog/.hidden.jpg",
        "README",
    }


def test_a_hidden_folder_is_no_class(fill: Write) -> None:
    images = list_images(fill("cat/1.png", "dog/1.png", ".ipynb_checkpoints/1.png"))
    assert images.classes == ("cat", "dog")


def test_nothing_is_both_image_and_ignored(fill: Write) -> None:
    images = list_images(fill("cat/1.png", "cat/1.txt", "cat/.1.png"))
    assert sorted([*names(images), *(name.decode() for name in images.ignored)]) == [
        "cat/.1.png",
        "cat/1.png",
        "cat/1.txt",
    ]


def test_unicode_names_come_back_as_they_were(fill: Write) -> None:
    given_names = ["Straße/Größe.png", "猫/一.png", "猫/emoji 😀.png", "кот/a\u0301.png"]
    assert set(names(list_images(fill(*given_names)))) == set(given_names)


def test_a_name_with_a_line_break_comes_back_as_it_was(fill: Write) -> None:
    assert names(list_images(fill("cat/a\nb.png"))) == ["cat/a\nb.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a file have a name that is not UTF-8")
def test_a_name_that_is_not_utf8_is_refused_by_name(fill: Write) -> None:
    folder = fill("a.png")
    (folder / os.fsdecode(b"\xff.png")).touch()
    with pytest.raises(ImageSetError, match=r"images: the name .*udcff\.png.* is not UTF-8; rename"):
        list_images(folder)


def test_images_in_the_root_and_in_sub_folders_are_refused(fill: Write) -> None:
    with pytest.raises(ImageSetError, match=r"in class folders \(cat/1\.png\) and some are not \(a\.png\); put them"):
        list_images(fill("a.png", "cat/1.png"))


def test_an_empty_folder_is_refused(fill: Write) -> None:
    with pytest.raises(ImageSetError, match=r"images: no images in it, and no other files; images end in .*\.png"):
        list_images(fill())


def test_a_folder_without_images_names_what_is_there_instead(fill: Write) -> None:
    with pytest.raises(ImageSetError, match=r"2 other files, such as a\.txt"):
        list_images(fill("a.txt", "b.doc"))


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=r"nowhere: no such file or folder; check the path"):
        list_images(tmp_path / "nowhere")


def test_a_link_back_to_a_folder_above_is_refused_by_name(fill: Write) -> None:
    folder = fill("cat/1.png")
    (folder / "cat" / "again").symlink_to(folder)
    with pytest.raises(ImageSetError, match=r"again: a link to a folder that contains it; remove the link"):
        list_images(folder)


@pytest.mark.parametrize("target", ["nowhere.png", "0.png"], ids=["to nowhere", "to itself"])
def test_a_broken_link_is_listed_and_only_its_own_row_fails(fill: Write, target: str) -> None:
    folder = fill("cat/1.png")
    (folder / "cat" / "0.png").symlink_to(target)
    images = list_images(folder)
    assert names(images) == ["cat/0.png", "cat/1.png"]
    with pytest.raises(OSError, match=r"0\.png"):
        images.stat(0)


def test_a_link_to_a_folder_elsewhere_is_followed(fill: Write) -> None:
    folder = fill("cat/1.png")
    (folder / "dog").symlink_to(fill("1.png", root="elsewhere"))
    assert names(list_images(folder)) == ["cat/1.png", "dog/1.png"]


def test_a_pipe_is_an_error_and_is_not_waited_for(fill: Write) -> None:
    folder = fill("cat/1.png")
    os.mkfifo(folder / "cat" / "0.png")
    images = list_images(folder)
    with pytest.raises(OSError, match="not a regular file"):
        images.stat(0)
    with pytest.raises(OSError, match="not a regular file"):
        images.read(0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_a_file_of_the_kernel_counts_as_empty_and_is_not_read_as_some_of_them_wait(fill: Write) -> None:
    folder = fill("cat/1.png")
    (folder / "cat" / "0.png").symlink_to("/proc/self/status")
    assert list_images(folder).read(0) == b""


def test_a_device_is_an_error_however_much_it_would_give(fill: Write) -> None:
    folder = fill("cat/1.png")
    (folder / "cat" / "0.png").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        list_images(folder).read(0)


def test_a_root_with_a_folder_is_refused(fill: Write) -> None:
    with pytest.raises(
        ImageSetError, match=r"--root elsewhere is only for manifests, but .*images is not a manifest; leave it out"
    ):
        list_images(fill("a.png"), root="elsewhere")


def test_a_manifest_may_end_in_tsv(manifest: Write) -> None:
    assert list_images(manifest("path\tlabel\na.png\tcat\n", "list.tsv")).classes == ("cat",)


def test_a_zip_is_told_what_to_do(manifest: Write) -> None:
    with pytest.raises(
        ImageSetError, match=r"photos\.zip: a zip archive; unpack it, or give it as zip://::.*photos\.zip"
    ):
        list_images(manifest("x", "photos.zip"))


def test_a_file_of_another_kind_is_refused(manifest: Write) -> None:
    with pytest.raises(
        ImageSetError, match=r"list\.txt: not a known kind of image source; give a folder of images, a manifest"
    ):
        list_images(manifest("path\na.png\n", "list.txt"))


# ---- splits, wrappers and classes in the names of folders


def told(images: ImageSet) -> dict[str, tuple[str, str]]:
    """Name -> split and class of each image, "" where there is none."""
    splits = [""] * len(images) if images.splits is None else texts(images.splits)
    codes = [-1] * len(images) if images.labels is None else labels(images)
    known = [images.classes[code] if code >= 0 else "" for code in codes]
    return dict(zip(names(images), zip(splits, known, strict=True), strict=True))


SPLIT_LAYOUTS = {
    "all three": ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/dog/4.png"),
    "other spellings": ("Training_Set/cat/1.png", "Training_Set/dog/2.png", "VALID/cat/3.png", "test1/dog/4.png"),
    "years": ("train2017/cat/1.png", "train2017/dog/2.png", "val2017/cat/3.png", "test2017/dog/4.png"),
    "in a folder": ("a/b/train/cat/1.png", "a/b/train/dog/2.png", "a/b/eval/cat/3.png", "a/b/testing/dog/4.png"),
    "with a folder in each": ("train/x/cat/1.png", "train/x/dog/2.png", "val/x/cat/3.png", "test/x/dog/4.png"),
    "made on Windows": ("train\\cat\\1.png", "train\\dog\\2.png", "val\\cat\\3.png", "test\\dog\\4.png"),
}


@pytest.mark.parametrize("files", SPLIT_LAYOUTS.values(), ids=SPLIT_LAYOUTS)
def test_folders_with_the_names_of_splits_are_splits_and_keep_the_names_of_images(
    fill: Write, files: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    expected = [("train", "cat"), ("train", "dog"), ("validation", "cat"), ("test", "dog")]
    assert told(list_images(fill(*files))) == dict(zip(files, expected, strict=True))
    assert "are splits" in caplog.text


def test_images_of_a_split_without_class_folders_have_no_label(fill: Write, caplog: pytest.LogCaptureFixture) -> None:
    images = list_images(fill("train/cat/1.png", "train/dog/2.png", "test/3.png"))
    assert told(images)["test/3.png"] == ("test", "")
    assert images.classes == ("cat", "dog")
    assert "images in 'test' are in no class folder, and have no label" in caplog.text


def test_splits_without_classes_are_splits(fill: Write) -> None:
    images = list_images(fill("train/1.png", "val/2.png"))
    assert told(images) == {"train/1.png": ("train", ""), "val/2.png": ("validation", "")}
    assert images.classes == ()


def test_images_beside_class_folders_in_a_split_are_refused_by_name(fill: Write) -> None:
    with pytest.raises(ImageSetError, match=r"class folders \(train/cat/1\.png\) and some are not \(train/2\.png\)"):
        list_images(fill("train/cat/1.png", "train/2.png", "val/cat/3.png"))


def test_a_class_that_is_called_test_among_others_is_a_class(fill: Write) -> None:
    images = list_images(fill("cat/1.png", "dog/1.png", "test/1.png"))
    assert (images.classes, images.splits) == (("cat", "dog", "test"), None)


def test_splits_that_are_taken_for_classes_are_told(fill: Write, caplog: pytest.LogCaptureFixture) -> None:
    images = list_images(fill("train/1.png", "val/1.png", "extra/1.png"))
    assert (images.classes, images.splits) == (("extra", "train", "val"), None)
    assert "the folders train, val are taken for classes, not for splits, as 'extra' beside them" in caplog.text


def test_splits_inside_classes_are_told(fill: Write, caplog: pytest.LogCaptureFixture) -> None:
    images = list_images(fill("cat/train/1.png", "cat/test/2.png", "dog/train/3.png"))
    assert (images.classes, images.splits) == (("cat", "dog"), None)
    assert "the folders test, train in each class are not used as splits; move them above the classes" in caplog.text


def test_a_split_alone_is_a_folder_around_everything(fill: Write, caplog: pytest.LogCaptureFixture) -> None:
    images = list_images(fill("train/cat/1.png", "train/dog/1.png"))
    assert (images.classes, images.splits) == (("cat", "dog"), None)
    assert "all images are in the folder 'train', which is skipped" in caplog.text


def test_a_split_alone_is_not_a_class(fill: Write) -> None:
    assert list_images(fill("train/1.png")).classes == ()


@pytest.mark.parametrize("around", ["data", "data/raw"])
def test_a_folder_around_all_classes_is_skipped_and_that_is_told(
    fill: Write, around: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = list_images(fill(f"{around}/cat/1.png", f"{around}/dog/x/1.png"))
    assert images.classes == ("cat", "dog")
    assert names(images) == [f"{around}/cat/1.png", f"{around}/dog/x/1.png"]
    assert f"all images are in the folder '{around}', which is skipped" in caplog.text


def test_one_single_class_is_warned_of(fill: Write, caplog: pytest.LogCaptureFixture) -> None:
    assert list_images(fill("cat/1.png", "cat/more/2.png")).classes == ("cat",)
    assert "all images are of one class, 'cat'; to train a head, give each class a folder of its own" in caplog.text


def test_nothing_is_told_of_folders_that_are_classes(fill: Write, caplog: pytest.LogCaptureFixture) -> None:
    list_images(fill("cat/1.png", "dog/1.png"))
    assert not caplog.text


# ---- hash and fingerprint


def test_the_hash_does_not_depend_on_the_bytes_of_the_images(fill: Write) -> None:
    before = list_images(fill("cat/1.png", "dog/1.png", content=b"before")).hash
    assert list_images(fill("cat/1.png", "dog/1.png", content=b"after")).hash == before


def test_the_hash_does_not_depend_on_where_the_folder_lies(fill: Write) -> None:
    assert list_images(fill("cat/1.png", root="here")).hash == list_images(fill("cat/1.png", root="there")).hash


MANIFEST = "path,label,split,group,domain,weight\na.png,cat,train,g,lab,1\nb.png,dog,test,h,field,2\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a.png", "c.png"),
        ("dog", "cow"),
        (",cat,", ",,"),
        ("test", "train"),
        (",g,", ",i,"),
        (",lab", ",field"),
        (",2", ",3"),
    ],
    ids=["name", "class", "label", "split", "group", "domain", "weight"],
)
def test_the_hash_changes_with_every_column(manifest: Write, old: str, new: str) -> None:
    before = list_images(manifest(MANIFEST)).hash
    assert list_images(manifest(MANIFEST.replace(old, new, 1))).hash != before


def test_the_hash_changes_with_the_order_of_a_manifest(manifest: Write) -> None:
    before = list_images(manifest("path\na.png\nb.png\n")).hash
    assert list_images(manifest("path\nb.png\na.png\n")).hash != before


def test_the_hash_ignores_columns_that_featx_does_not_know(manifest: Write) -> None:
    before = list_images(manifest("path,note\na.png,one\n")).hash
    assert list_images(manifest("path,note\na.png,two\n")).hash == before


def test_the_fingerprint_changes_with_one_bit() -> None:
    assert fingerprint(b"image\x00") != fingerprint(b"image\x01")
    assert len(fingerprint(b"")) == 16


# ---- manifests


def test_a_manifest_keeps_its_order(manifest: Write) -> None:
    assert names(list_images(manifest("path\nb.png\na.png\nc/d.png\n"))) == ["b.png", "a.png", "c/d.png"]


def test_every_column_of_a_manifest_is_read(manifest: Write) -> None:
    images = list_images(manifest(MANIFEST))
    assert (images.classes, labels(images)) == (("cat", "dog"), [0, 1])
    assert texts(images.splits) == ["train", "test"]
    assert texts(images.groups) == ["g", "h"]
    assert texts(images.domains) == ["lab", "field"]
    assert images.weights is not None
    assert images.weights.tolist() == [1, 2]


def test_columns_that_are_not_there_are_none(manifest: Write) -> None:
    images = list_images(manifest("path\na.png\n"))
    assert (images.labels, images.splits, images.groups, images.domains, images.weights) == (None,) * 5


def test_the_paths_of_a_manifest_are_relative_to_its_folder(manifest: Write, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"here")
    assert list_images(manifest("path\na.png\n")).read(0) == b"here"


def test_a_root_that_is_not_there_is_named(manifest: Write, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=r"nowhere: no such folder, .*correct --root"):
        list_images(manifest("path\na.png\n"), root=tmp_path / "nowhere")


def test_root_moves_the_paths_of_a_manifest(manifest: Write, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.png").write_bytes(b"there")
    assert list_images(manifest("path\na.png\n"), root=tmp_path / "there").read(0) == b"there"


@pytest.mark.parametrize(
    ("spelling", "split"),
    [
        *[(text, "validation") for text in ("val", "valid", "validation", "Val", "DEV", "eval")],
        *[(text, "test") for text in ("TEST", "testing")],
        *[(text, "train") for text in ("Train", "training")],
    ],
)
def test_a_split_is_known_in_all_usual_spellings(manifest: Write, spelling: str, split: str) -> None:
    assert texts(list_images(manifest(f"path,split\na.png,{spelling}\n")).splits) == [split]


def test_an_empty_label_is_minus_one(manifest: Write) -> None:
    images = list_images(manifest("path,label\na.png,cat\nb.png,\n"))
    assert (images.classes, labels(images)) == (("cat",), [0, -1])


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfpath,label\na.png,cat\nb.png,dog\n",
        b"path,label\r\na.png,cat\r\nb.png,dog\r\n",
        b"path,label\n\na.png,cat\n\n\nb.png,dog\n\n",
        b"path,label\na.png,cat\nb.png,dog",
        b'"path","label"\n"a.png","cat"\n"b.png","dog"\n',
        b"path,label\na.png , cat\nb.png,dog \n",
        b"path, label\na.png, cat\nb.png, dog\n",
        b'path, label\na.png, "cat"\nb.png, "dog"\n',
        b"path,label\ra.png,cat\rb.png,dog\r",
        b"path,label,,\r\na.png,cat,,\r\nb.png,dog,,\r\n,,,\r\n,,,\r\n",
        b"path,label,,\r\na.png,cat,,\r\nb.png,dog\r\n",
        b"path,label\na.png,cat,\nb.png,dog,,\n",
        b"path,label\n  \na.png,cat\n , \nb.png,dog\n",
        b"\n\npath,label\na.png,cat\nb.png,dog\n",
        b"sep=,\r\npath,label\r\na.png,cat\r\nb.png,dog\r\n",
        b'"sep=;"\r\npath;label\r\na.png;cat\r\nb.png;dog\r\n',
        b"path;label\na.png;cat\nb.png;dog\n",
        b'"path";"label"\n"a.png";"cat"\n"b.png";"dog"\n',
        b"path\tlabel\na.png\tcat\nb.png\tdog\n",
        b"path|label\na.png|cat\nb.png|dog\n",
        "path\tlabel\na.png\tcat\nb.png\tdog\n".encode("utf-16"),
        b"\xfe\xff" + "path,label\na.png,cat\nb.png,dog\n".encode("utf-16-be"),
        b"Path,LABEL\na.png,cat\nb.png,dog\n",
        b",path,label\n0,a.png,cat\n1,b.png,dog\n",
        b"note,path,label,note\n1,a.png,cat,2\n3,b.png,dog,4\n",
        b"file_name,label\na.png,cat\nb.png,dog\n",
        b"Image Path,label\na.png,cat\nb.png,dog\n",
        b"name,filename,label\nx,a.png,cat\ny,b.png,dog\n",
        b"name,label\na.png,cat\nb.png,dog\n",
    ],
    ids=[
        *("BOM", "CRLF", "blank lines", "no last line break", "quoted", "spaces", "spaces in the first line"),
        *("quotes after spaces", "CR", "trailing columns and rows", "trailing columns left out", "trailing delimiters"),
        *("lines of spaces", "blank lines first", "sep", "quoted sep", "semicolon", "quoted semicolon", "tab", "bar"),
        *("UTF-16", "UTF-16 big endian", "capitals", "index without a name", "two other columns of one name"),
        *("file_name", "Image Path", "filename beside name", "name"),
    ],
)
def test_a_manifest_is_the_same_however_it_was_saved(manifest: Write, content: bytes) -> None:
    images = list_images(manifest(content))
    assert (names(images), images.classes) == (["a.png", "b.png"], ("cat", "dog"))


def test_a_value_of_any_usual_length_in_another_column_is_no_obstacle(manifest: Write) -> None:
    images = list_images(manifest(f"path,mask,label\na.png,{'1 2 ' * 50_000},cat\nb.png,1,dog\n"))
    assert (names(images), images.classes) == (["a.png", "b.png"], ("cat", "dog"))


def test_a_quote_that_is_never_closed_does_not_take_the_file_into_memory(
    manifest: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.csv_columns.LONGEST_VALUE", 1000)
    for text in ('"' + "a.png\n" * 500, "x" * 5000):
        with pytest.raises(ImageSetError, match=r"not a readable CSV file \(.*(limit|more than 1000)"):
            list_images(manifest(f"path\n{text}"))


def test_the_limit_of_pythons_csv_is_as_before(manifest: Write) -> None:
    before = csv.field_size_limit()
    list_images(manifest("path\na.png\n"))
    assert csv.field_size_limit() == before


def test_spaces_in_quotes_belong_to_the_name(manifest: Write) -> None:
    path = manifest('path,label\n" a.png", "b"\n"b.png ",b \n"c ""d"" ",b\n e.png ,b\n')
    images = list_images(path)
    assert names(images) == [" a.png", "b.png ", 'c "d" ', "e.png"]
    assert images.classes == ("b",)


ODD_NAMES = (
    "-a.png",
    "~.png",
    " lead.png",
    "tail .png ",
    "n\nl.png",
    "r\rr.png",
    'q",".png',
    "\u00e9.png",
    "e\u0301.png",
)


def test_what_featx_writes_as_csv_is_read_back_with_the_same_names(tmp_path: Path) -> None:
    with (tmp_path / "list.csv").open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.write(["name", "label"])
        for name in ODD_NAMES:
            writer.write([name, "=1+1"])
    assert names(list_images(tmp_path / "list.csv")) == list(ODD_NAMES)
    assert [name.decode() for name in read_annotations(tmp_path / "list.csv").names] == list(ODD_NAMES)


def test_paths_of_windows_are_read_with_slashes_and_that_is_told(
    fill: Write, manifest: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = fill("cat/1.png", "dog/2.png")
    images = list_images(manifest("path,label\ncat\\1.png,cat\n.\\dog\\2.png,dog\n"), root=root)
    assert names(images) == ["cat/1.png", "dog/2.png"]
    assert caplog.text.count("backslashes in paths, as in Windows, are read as slashes") == 1


def test_a_backslash_in_the_name_of_a_file_stays(fill: Write, manifest: Write) -> None:
    assert names(list_images(manifest("path\na\\b.png\n"), root=fill("a\\b.png"))) == ["a\\b.png"]


def test_paths_that_lead_into_the_root_are_names_below_it(fill: Write, manifest: Write, tmp_path: Path) -> None:
    root = fill("cat/1.png", "cat/2.png", "3.png", "..dog/4.png")
    (tmp_path / "other").symlink_to(root)
    path = manifest(f"path\n{root}/cat/1.png\n../images/cat/2.png\ncat/../3.png\ncat/../..dog/4.png\n")
    expected = ["cat/1.png", "cat/2.png", "3.png", "..dog/4.png"]
    assert names(list_images(path, root=root)) == expected
    assert names(list_images(path, root=tmp_path / "other")) == expected
    absolute = manifest(f"path\n{root}/cat/1.png\n", "absolute.csv")
    assert names(list_images(absolute, root="/")) == [f"{root}/cat/1.png".removeprefix("/")]
    assert names(list_images(absolute)) == ["images/cat/1.png"]


def test_two_dots_after_a_link_elsewhere_are_refused(fill: Write, manifest: Write, tmp_path: Path) -> None:
    root = fill("1.png")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    with pytest.raises(ImageSetError, match=r"'link/\.\./1\.png' is not inside the root folder"):
        list_images(manifest("path\nlink/../1.png\n"), root=root)


def test_any_column_can_have_the_labels(manifest: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = manifest("path,label,breed\na.png,x,beagle\nb.png,y,pug\n")
    assert list_images(path, label_column="breed").classes == ("beagle", "pug")
    assert list_images(path).classes == ("x", "y")
    with pytest.raises(ImageSetError, match=r"no column 'bread' of labels \(did you mean breed.*\); choose from"):
        list_images(path, label_column="bread")
    assert not caplog.text
    list_images(manifest("path,breed\na.png,pug\n"))
    assert "has no column 'label', so that images have no labels; --label-column names another one of ['breed']" in (
        caplog.text
    )


def test_a_column_of_labels_is_refused_where_there_are_no_columns(fill: Write) -> None:
    with pytest.raises(
        ImageSetError, match=r"--label-column breed is only for manifests, tables and tars, but .*; leave it"
    ):
        list_images(fill("a.png"), label_column="breed")


LABEL_TEXTS = {
    **{
        text: text
        for text in ("001", "NA", "None", "nan", "1.0", "True", "a, b", 'say "x"', "1e3", "-1", "\u00e9", "0.5")
    },
    " cat ": "cat",
    "  ": "",
    "": "",
}


def test_labels_are_the_same_texts_in_manifests_and_annotations(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "label"), *((f"{row}.png", text) for row, text in enumerate(LABEL_TEXTS))])
    for found in (list_images(path), read_annotations(path)):
        assert found.labels is not None
        assert [found.classes[code] if code >= 0 else "" for code in found.labels] == list(LABEL_TEXTS.values())


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("nan", "label 'nan' is the name of a class; leave a label blank if there is none"),
        ("1.0", "label '1.0' is the name of a class, as it is written; write whole numbers without a fraction"),
        ("0.25", "label '0.25' is the name of a class, as it is written; give soft labels in columns 'share:CLASS'"),
    ],
)
def test_a_label_that_was_probably_meant_otherwise_is_told(
    manifest: Write, caplog: pytest.LogCaptureFixture, label: str, told: str
) -> None:
    path = manifest(f"path,label\na.png,{label}\nb.png,cat\n")
    for read in (list_images, read_annotations):
        caplog.clear()
        read(path)
        assert told in caplog.text


def test_the_ending_of_a_manifest_may_be_in_upper_case(manifest: Write) -> None:
    assert names(list_images(manifest("path\na.png\n", "LIST.CSV"))) == ["a.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"no column 'path' among \[\]"),
        ("id,label\na.png,cat\n", r"no column 'path' among \['id', 'label'\]; name the columns in the first line"),
        (
            "image,file\na.png,b.png\n",
            "the images may be named in column 'image' or 'file'; rename one of",
        ),
        ("file,FILE\na.png,b.png\n", "the images may be named in column 'file' or 'FILE'; rename one of them"),
        ("path,label\n", "lists no images"),
        ("path,label,label\na.png,cat,dog\n", "column 'label' appears twice"),
        ("path,label\na.png,cat\nb.png\n", "line 3 has 1 values for 2 columns"),
        ("path,label\na.png,cat,dog\n", "line 2 has 3 values for 2 columns"),
        ("path,label\n\na.png\n", "line 3 has 1 values for 2 columns"),
        ('path\n"a.png\n', "not a readable CSV file"),
        (b"path\n\xff.png\n", "not a readable CSV file .*utf-8"),
        (
            "path\na.png\n".encode("utf-16-le"),
            "not a readable CSV file, as it is UTF-16 without a mark; save it as UTF-8",
        ),
        (b"PK\3\4rest", "not a readable CSV file but an Excel workbook or a zip file; save it as CSV"),
        ("path,label\na.png,caf\u00e9\n".encode("cp1252"), r"not a readable CSV file \(.*utf-8.*\); save it as UTF-8"),
        (
            "path,label\na.png,cat,,dog\n",
            "line 2 has 4 values for 2 columns; .* put values that contain ',' into quotes",
        ),
        ("path,label,\na.png\n", "line 2 has 1 values for 3 columns"),
        ("path\nC:\\data\\a.png\n", "image 1: 'C:/data/a.png' is not inside the root folder"),
        ("path\n/a.png\n", "image 1: '/a.png' is not inside the root"),
        ("path\na.png\n../b.png\n", "image 2: '../b.png' is not inside the root"),
        ("path\na/../../b.png\n", "image 1: 'a/../../b.png' is not inside the root folder '.*'; give a path"),
        ("path\n.\n", r"image 1: '\.' is not inside the root"),
        ("path,label\n,cat\n", "image 1: '' "),
        ("path\na\0.png\n", r"image 1: 'a\\x00\.png'"),
        ("path\na.png\nb.png\na.png\n", "'a.png' is both image 1 and image 3"),
        ("path\na.png\n./a.png\n", "'a.png' is both image 1 and image 2"),
        ("path\na//b.png\na/b.png\n", "'a/b.png' is both image 1 and image 2"),
        ("path,split\na.png,train\nb.png,later\n", "image 2: split 'later' is not one of train, validation, test"),
        ("path,split\na.png,\n", "image 1: split '' is not one of"),
        ("path,weight\na.png,heavy\n", "image 1: weight 'heavy' is not a number"),
        ("path,weight\na.png,\n", "image 1: weight '' is not a number"),
        ("path,weight\na.png,1\nb.png,nan\n", "image 2: weight 'nan' is not a number"),
        ("path,weight\na.png,inf\n", "image 1: weight 'inf' is not a number"),
        ("path,weight\na.png,-1\n", "image 1: weight '-1' is not a number of 0 or more"),
        # finite as float64, infinite as the float32 that is kept
        ("path,weight\na.png,1e39\n", "image 1: weight '1e39' is not a number"),
    ],
)
def test_a_wrong_manifest_is_told_what_is_wrong_and_where(manifest: Write, content: str | bytes, message: str) -> None:
    with pytest.raises(ImageSetError, match=rf"list\.csv: {message}"):
        list_images(manifest(content))


SEGMENT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=6).map(
    str.strip
)
PATHS = st.lists(SEGMENT.filter(lambda text: text not in ("", ".", "..")), min_size=1, max_size=3).map("/".join)


def write_manifest(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    """A manifest as Python's csv writes it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return path


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(PATHS, SEGMENT), min_size=1, max_size=8, unique_by=lambda row: row[0]))
def test_any_path_and_label_come_back_from_a_manifest(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    images = list_images(write_manifest(tmp_path_factory.mktemp("m") / "m.csv", rows))
    assert names(images) == [path for path, _ in rows]
    assert [images.classes[label] if label >= 0 else "" for label in found_labels(images)] == [row[1] for row in rows]


def found_labels(images: ImageSet) -> list[int]:
    """Every label, -1 where the set has none at all."""
    return [-1] * len(images) if images.labels is None else labels(images)


def test_classes_that_are_whole_numbers_stand_in_their_order(manifest: Write) -> None:
    lines = "".join(f"{row}.png,{label}\n" for row, label in enumerate([10, 9, -1, 100, 2]))
    assert list_images(manifest("path,label\n" + lines)).classes == ("-1", "2", "9", "10", "100")
