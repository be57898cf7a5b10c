"""Annotations are joined by name, take the place of what the cache says, and are refused where they cannot be meant."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featx.cache import FailedImage, FeatureTable
from featx.errors import TableError
from featx.tables import (
    Annotations,
    annotate,
    read_annotations,
    select_rows,
    split_table,
)
from tests.support.tables import make_table, with_columns

FOUR = make_table((2, 2))
"""image00000.png to image00003.png."""


def read(tmp_path: Path, text: str) -> Annotations:
    """The annotations of a file with this text."""
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return read_annotations(path)


def lines(header: str, *values: str) -> str:
    """A file with one line an image of the table of four."""
    return "\n".join([f"path,{header}", *(f"image{row:05}.png,{value}" for row, value in enumerate(values))]) + "\n"


def label_names(table: FeatureTable) -> list[str]:
    """Name of the class of each row, empty where it has none."""
    return [([*table.classes, ""])[label] for label in table.labels]


def test_labels_take_the_place_of_those_of_the_cache(tmp_path: Path) -> None:
    table = annotate(FOUR, read(tmp_path, lines("label", "dog", "cat", "", "cat")))
    assert table.classes == ("cat", "dog")
    assert label_names(table) == ["dog", "cat", "", "cat"]
    assert table.labelled.tolist() == [True, True, False, True]


def test_images_are_found_by_name_in_whatever_order(tmp_path: Path) -> None:
    text = "label,name\nb,./image00001.png\na,image00003.png\nc,image00002.png\nd,image00000.png\n"
    assert label_names(annotate(FOUR, read(tmp_path, text))) == ["d", "b", "c", "a"]


def test_backslashes_of_windows_are_slashes_unless_an_image_has_this_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = replace(FOUR, names=np.array([b"a/0.png", b"a/1.png", b"b\\2.png", b"b/2.png"]))
    annotations = read(tmp_path, "name,label\na\\0.png,p\n.\\a\\1.png,q\nb\\2.png,r\nb/2.png,s\n")
    assert label_names(annotate(table, annotations)) == ["p", "q", "r", "s"]
    assert "backslashes in names, as in Windows, are read as slashes" in caplog.text


def test_all_columns_are_taken(tmp_path: Path) -> None:
    text = lines("split,group,domain,weight", "train,a,x,1", "val,b,y,0.5", "test,c,y,0", "validation,b,x,2e0")
    table = annotate(FOUR, read(tmp_path, text))
    assert table.splits is not None
    assert table.groups is not None
    assert table.weights is not None
    assert table.splits.tolist() == [b"train", b"validation", b"test", b"validation"]
    assert table.groups.tolist() == [b"a", b"b", b"c", b"b"]
    assert table.weights.tolist() == [1, 0.5, 0, 2]
    assert table.domains is not None
    assert table.domains.tolist() == [b"x", b"y", b"y", b"x"]
    assert label_names(table) == label_names(FOUR)


def test_columns_that_are_not_given_stay_as_they_are(tmp_path: Path) -> None:
    table = replace(FOUR, weights=np.arange(4, dtype=np.float32), groups=np.array([b"g", b"g", b"h", b"h"]))
    made = annotate(table, read(tmp_path, lines("label", "x", "y", "x", "y")))
    assert made.weights is table.weights
    assert made.groups is table.groups


def test_whole_numbers_are_labels_in_the_order_of_their_values(tmp_path: Path) -> None:
    assert annotate(FOUR, read(tmp_path, lines("label", "10", "9", "10", "-1"))).classes == ("-1", "9", "10")


@pytest.mark.parametrize("label", ["0.5", "1.0", "1.", ".5", "-2.5e3", "nan", "NaN"])
def test_a_label_that_is_a_fraction_is_a_name_and_is_told(
    tmp_path: Path, label: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(read(tmp_path, lines("label", "a", label, "b", "b")).classes) == {"a", "b", label}
    assert f"label '{label}' is the name of a class" in caplog.text


def test_soft_labels_are_shares_that_sum_to_one(tmp_path: Path) -> None:
    text = lines("share:cat,share: dog", "0.3,0.7", "1,0", ",", "0.3335,0.667")
    table = annotate(FOUR, read(tmp_path, text))
    assert table.shares is not None
    assert table.classes == ("cat", "dog")
    assert not table.multilabel
    assert label_names(table) == ["dog", "cat", "", "dog"]
    assert np.isnan(table.shares[2]).all()
    assert np.allclose(table.shares[[0, 1, 3]].sum(axis=1), 1, atol=1e-7)
    assert np.allclose(table.shares[0], [0.3, 0.7])


@pytest.mark.parametrize(("shares", "total"), [("0.5,0.6", "1.1"), ("0,0", "0"), ("0.5,0.498", "0.998")])
def test_shares_that_do_not_sum_to_one_name_line_and_sum(tmp_path: Path, shares: str, total: str) -> None:
    with pytest.raises(TableError, match=f"mine.csv: line 3: its shares sum to {total}, not to 1"):
        read(tmp_path, lines("share:a,share:b", "0,1", shares))


def test_several_labels_are_0_or_1_for_each_class(tmp_path: Path) -> None:
    table = annotate(FOUR, read(tmp_path, lines("has:cat,has:dog", "1,1", "0,0", ",", "0,1")))
    assert table.shares is not None
    assert table.multilabel
    assert (table.labels == -1).all()
    assert table.shares[[0, 1, 3]].tolist() == [[1, 1], [0, 0], [0, 1]]
    assert table.labelled.tolist() == [True, True, False, True]


def test_labels_take_the_place_of_soft_labels_too(tmp_path: Path) -> None:
    soft = annotate(FOUR, read(tmp_path, lines("has:a", "1", "0", "1", "0")))
    hard = annotate(soft, read(tmp_path, lines("label", "a", "b", "a", "b")))
    assert (hard.shares, hard.multilabel, label_names(hard)) == (None, False, ["a", "b", "a", "b"])


@pytest.mark.parametrize("header", ["label", "share:a,share:b", "has:a,has:b", "weight"])
def test_images_without_a_line_take_no_part_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    value = {"label": "a", "weight": "1"}.get(header, "1,0")
    with caplog.at_level(logging.WARNING, logger="featx"):
        table = annotate(FOUR, read(tmp_path, lines(header, value, value)))
    assert table.labelled.tolist() == [True, True, False, False]
    [message] = caplog.messages
    assert message.endswith("mine.csv: 2 of 4 images have no line, and so no label, such as image00002.png")


def test_images_with_shares_but_no_line_are_left_out(tmp_path: Path) -> None:
    soft = annotate(FOUR, read(tmp_path, lines("share:a,share:b", *["1,0"] * 4)))
    assert annotate(soft, read(tmp_path, lines("group", "g", "g"))).labelled.tolist() == [True, True, False, False]


def test_lines_without_an_image_are_told_but_not_those_of_images_that_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = replace(select_rows(FOUR, np.arange(3)), failed={3: FailedImage("image00003.png", "empty")})
    with caplog.at_level(logging.WARNING, logger="featx"):
        annotate(table, read(tmp_path, lines("label", *"abcdef")))
    [message] = caplog.messages
    assert message.endswith("2 lines name images that the table does not have, such as image00004.png")


def test_annotations_of_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match=r"none of its 1 lines names an image.* is 'x.png' in the file but 'image00000.png' in"
    ):
        annotate(FOUR, read(tmp_path, "path,label\nx.png,a\n"))


def test_annotations_change_the_digest_whatever_the_order_of_their_lines(tmp_path: Path) -> None:
    one = read(tmp_path, "path,label\nimage00000.png,a\nimage00001.png,b\n")
    turned = read(tmp_path, "label,name\nb,image00001.png\na,image00000.png\n")
    other = read(tmp_path, "path,label\nimage00000.png,b\nimage00001.png,a\n")
    digests = [annotate(FOUR, said).digest for said in (one, turned, other)]
    assert digests[0] == digests[1]
    assert len({FOUR.digest, *digests}) == 3


def test_equal_codes_of_other_classes_are_another_digest(tmp_path: Path) -> None:
    said = [read(tmp_path, lines("label", *labels)) for labels in ("aabb", "ccdd")]
    assert annotate(FOUR, said[0]).digest != annotate(FOUR, said[1]).digest


def test_what_is_annotated_can_be_split(tmp_path: Path) -> None:
    table = with_columns(make_table(), groups=np.arange(80))
    text = lines("label,split", *(f"{'ab'[row % 2]},{'test' if row % 4 > 1 else 'train'}" for row in range(60)))
    split = split_table(annotate(table, read(tmp_path, text)))
    assert np.array_equal(split.test, np.flatnonzero((np.arange(80) % 4 > 1) & (np.arange(80) < 60)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no column 'path' among \[\]; name the columns in the first line"),
        ("label\na\n", r"no column 'path' among \['label'\]; name the columns in the first line"),
        ("path,name,label\na,a,a\n", "needs one column 'path' or 'name'"),
        (
            "path,colour\na,red\n",
            "says nothing about its images; add one of the columns label, split, group, domain, weight",
        ),
        ("path,label\n", "lists no images"),
        ("path,label,label\na,b,c\n", "column 'label' appears twice"),
        ("path,share:a,share: a\na,1,0\n", "column 'share:a' appears twice"),
        ("path,label,share:a\na,b,1\n", "both 'label' and 'share:a' give labels"),
        ("path,has:a,share:a\na,1,1\n", "both 'has:a' and 'share:a' give labels"),
        ("path,share:\na,1\n", "column 'share:' names no class"),
        ("path,label\na,b\nc\n", "line 3 has 1 values for 2 columns"),
        ("path,label\n,b\n", "line 2: the name of the image is blank"),
        ("path,label\na,b\n\nc,b\na,c\n", "'a' is on line 2 and on line 5"),
        ("path,split\na,later\n", "line 2: split 'later' is not one of train, validation, test"),
        ("path,group\na,\n", "line 2: the group is blank"),
        ("path,domain\na,\n", "line 2: the domain is blank; name a domain for every image"),
        ("path,weight\na,\n", "line 2: weight '' is not a number of 0 or more"),
        ("path,weight\na,-1\n", "line 2: weight '-1' is not a number of 0 or more"),
        ("path,weight\na,nan\n", "line 2: weight 'nan' is not a number of 0 or more"),
        ("path,weight\na,heavy\n", "line 2: weight 'heavy' is not a number"),
        ("path,share:a,share:b\na,2,-1\n", "line 2: share:b '-1' is not a number of 0 or more"),
        ("path,share:a,share:b\na,1,\n", "line 2: some of its 'share:' columns are blank"),
        ("path,has:a\na,0.5\n", "line 2: has:a '0.5' is neither 0 nor 1"),
        ("path,has:a\na,yes\n", "line 2: has:a 'yes' is neither 0 nor 1"),
        ('path,label\n"a,b\n', "not a readable CSV file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TableError, match=f"mine.csv: .*{message}"):
        read(tmp_path, text)


@pytest.mark.parametrize("data", [b"path,label\n\xff,a\n", b"path,label\r\na\x00,\xc3\n"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mine.csv").write_bytes(data)
    with pytest.raises(TableError, match=r"mine.csv: not a readable CSV file"):
        read_annotations(tmp_path / "mine.csv")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"mine.csv: not a readable CSV file"):
        read_annotations(tmp_path / "mine.csv")


def test_what_a_spreadsheet_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(b'\xef\xbb\xbfpath , label\r\nimage00000.png,"a"\r\nimage00001.png,b\r\n')
    assert read_annotations(tmp_path / "mine.csv").classes == ("a", "b")


def test_a_misspelt_column_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="featx"):
        read(tmp_path, lines("label,wieght", "a,1", "b,2"))
    [message] = caplog.messages
    assert "column 'wieght' is not used (did you mean weight" in message


def test_more_lines_than_are_read_at_once_keep_their_numbers(tmp_path: Path) -> None:
    text = "path,label\n" + "".join(f"image{row},{row % 3}\n" for row in range(10_000))
    assert np.array_equal(read(tmp_path, text).labels, np.arange(10_000) % 3)  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r"line 10002 has 1 values for 2 columns"):
        read(tmp_path, text + "last\n")
