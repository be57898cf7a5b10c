"""joining: several sources in, one image set out, in which every image has its bytes, class and split."""

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from featx.errors import ImageSetError
from featx.inputs import ImageSet, list_images
from tests.support.image_sets import labels, names, texts

Write = Callable[..., list[Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files by their names, each with its name as content, and return the paths of these sources."""

    def written(*files: str, give: tuple[str, ...]) -> list[Path]:
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        return [tmp_path / name for name in give]

    return written


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., Path]:
    """Write a tar of members, each with its name as content."""

    def written(name: str, *members: str) -> Path:
        with tarfile.open(tmp_path / name, "w") as file:
            for member in members:
                info = tarfile.TarInfo(member)
                info.size = len(member)
                file.addfile(info, io.BytesIO(member.encode()))
        return tmp_path / name

    return written


def contents(images: ImageSet) -> list[str]:
    """The content of every file."""
    return [bytes(images.read(row)).decode() for row in range(len(images))]


def known(images: ImageSet) -> list[str]:
    """The class of every image, "" where there is none."""
    return [images.classes[code] if code >= 0 else "" for code in labels(images)]


def test_one_image_file_is_an_image_set(write: Write) -> None:
    [path] = write("a/1.png", give=("a/1.png",))
    for source in (path, [path]):
        images = list_images(source)
        assert (names(images), contents(images), images.labels) == (["1.png"], ["a/1.png"], None)


def test_folders_of_tars_have_their_labels_under_the_key_that_was_named(tmp_path: Path) -> None:
    members = {"1.png": b"pixels", "1.json": b'{"breed": "pug"}'}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with tarfile.open(tmp_path / name / "x.tar", "w") as file:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    folders = [tmp_path / "a", tmp_path / "b"]
    assert known(list_images(folders, label_column="breed")) == ["pug", "pug"]
    with pytest.raises(ImageSetError, match=r"--root .* is only for manifests"):
        list_images(folders, root=tmp_path)


def test_folders_of_images_have_no_column_of_labels(write: Write) -> None:
    folders = write("a/1.png", "b/2.png", give=("a", "b"))
    with pytest.raises(ImageSetError, match=r"--label-column breed is only for manifests, tables and tars, but .*a is"):
        list_images(folders, label_column="breed")


def test_a_folder_a_tar_and_files_are_one_image_set_in_their_order(write: Write, tar: Callable[..., Path]) -> None:
    folder, first, second = write("a/cat/1.png", "a/dog/2.png", "3.png", "b/4.png", give=("a", "3.png", "b/4.png"))
    images = list_images([folder, tar("b.tar", "cat/5.png", "eel/6.png"), first, second])
    assert names(images) == ["a/cat/1.png", "a/dog/2.png", "b.tar/cat/5.png", "b.tar/eel/6.png", "3.png", "4.png"]
    assert contents(images) == ["a/cat/1.png", "a/dog/2.png", "cat/5.png", "eel/6.png", "3.png", "b/4.png"]
    assert images.classes == ("cat", "dog", "eel")
    assert known(images) == ["cat", "dog", "cat", "eel", "", ""]
    assert [images.stat(row)[0] for row in range(6)] == [len(text) for text in contents(images)]


def test_a_part_reads_what_the_whole_reads_in_another_process_too(write: Write, tar: Callable[..., Path]) -> None:
    folder, file = write("a/1.png", "a/2.png", "a/3.png", "4.png", give=("a", "4.png"))
    images = list_images([folder, tar("b.tar", "5.png", "6.png"), file])
    for count in (1, 2, 3, 6):
        parts = [pickle.loads(pickle.dumps(images.shard(index, count))) for index in range(count)]
        assert [text for part in parts for text in contents(part)] == contents(images)
    again = images.shard(1, 2).shard(1, 2)
    assert contents(again) == contents(images)[4:]


def test_folders_with_the_names_of_splits_are_splits(write: Write) -> None:
    images = list_images(write("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", give=("train", "val")))
    assert names(images) == ["train/cat/1.png", "train/dog/2.png", "val/cat/3.png"]
    assert (texts(images.splits), known(images)) == (["train", "train", "validation"], ["cat", "dog", "cat"])


def test_folders_without_class_folders_are_the_classes_and_that_is_told(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    images = list_images(write("x/cat/1.png", "x/dog/2.png", "x/dog/3.png", give=("x/cat", "x/dog")))
    assert (names(images), known(images)) == (["cat/1.png", "dog/2.png", "dog/3.png"], ["cat", "dog", "dog"])
    assert "the folders cat, dog have no class folders; they are the classes" in caplog.text


def test_names_that_would_be_the_same_begin_with_the_folders_that_differ(write: Write) -> None:
    files = ("a/photos/cat/1.png", "b/photos/cat/1.png", "a/1.png", "b/1.png")
    images = list_images(write(*files, give=("a/photos", "b/photos")))
    assert names(images) == ["a/photos/cat/1.png", "b/photos/cat/1.png"]
    assert contents(images) == list(files[:2])
    images = list_images(write(*files, give=("a/1.png", "b/1.png")))
    assert (names(images), contents(images)) == (["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"])


def test_a_source_that_is_named_twice_is_refused(write: Write) -> None:
    with pytest.raises(ImageSetError, match=r"'a/1\.png' is an image of both .*/a and .*/a; name it once"):
        list_images(write("a/1.png", give=("a", "a")))


def test_splits_groups_domains_and_weights_of_manifests_are_joined(write: Write, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"path,split,group,domain,weight\n{name}.png,train,g{name},d{name},2\n")
    images = list_images([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert (names(images), texts(images.splits)) == (["a.png", "b.png"], ["train", "train"])
    assert (texts(images.groups), texts(images.domains)) == (["ga", "gb"], ["da", "db"])
    (tmp_path / "c.csv").write_text("path,group,domain\nc.png,gc,dc\n")
    images = list_images([tmp_path / "a.csv", tmp_path / "c.csv"])
    assert images.splits is None
    assert images.weights is not None
    assert images.weights.tolist() == [2, 1]
    with pytest.raises(ImageSetError, match=r"d\.png: has no groups, but .*a\.csv has; list them all in one manifest"):
        list_images([tmp_path / "a.csv", *write("d.png", give=("d.png",))])
    (tmp_path / "e.csv").write_text("path,group\ne.png,ge\n")
    with pytest.raises(ImageSetError, match=r"e\.csv: has no domains, but .*a\.csv has; .* with a column 'domain'"):
        list_images([tmp_path / "e.csv", tmp_path / "a.csv"])


def test_a_root_is_for_the_manifests_among_the_sources(write: Write, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\n1.png\n")
    folder, *_ = write("a/2.png", "there/1.png", give=("a",))
    images = list_images([tmp_path / "list.csv", folder], root=tmp_path / "there")
    assert (names(images), contents(images)) == (["1.png", "a/2.png"], ["there/1.png", "a/2.png"])
    with pytest.raises(ImageSetError, match=r"--root .* is only for manifests"):
        list_images([folder, *write("3.png", give=("3.png",))], root=tmp_path)


def test_files_that_are_no_images_are_ignored_with_the_name_of_their_folder(write: Write) -> None:
    images = list_images(write("a/1.png", "a/notes.txt", "b/2.png", give=("a", "b")))
    assert texts(images.ignored) == ["a/notes.txt"]


def test_a_pattern_of_image_files_is_an_image_set(write: Write, tmp_path: Path) -> None:
    write("a/2.png", "a/1.png", "b/3.png", "a/notes.txt", give=())
    images = list_images(f"{tmp_path}/*/*.png")
    assert (names(images), contents(images)) == (["a/1.png", "a/2.png", "b/3.png"], ["a/1.png", "a/2.png", "b/3.png"])


@pytest.mark.parametrize("sources", ["", ["a.png", ""]])
def test_an_empty_text_is_not_the_current_folder(sources: str | list[str]) -> None:
    with pytest.raises(ImageSetError, match="an empty text is no path; give a folder of images"):
        list_images(sources)


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(ImageSetError, match="no source of images was given; name at least one"):
        list_images([])
