"""Lists and pages of pictures that commands write, as a user asks for them."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, build_tiny, run_featx, write_folder

HOSTILE = "<script>alert('x')</script>\u202e\""
"""A class whose name is a program in HTML, and turns the direction of what follows."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a cache and a head that learnt from some wrong labels; tests only read them."""
    here = tmp_path_factory.mktemp("made")
    build_tiny(here / "models")
    photos = write_folder(here / "photos", (20, 20))
    (photos / "class1").rename(photos / HOSTILE.replace("/", "|"))
    for number in range(3):
        (photos / "class0" / f"000{number}.png").rename(photos / HOSTILE.replace("/", "|") / f"wrong{number}.png")
    run = ("extract", photos, "--backbone", "tiny", "--models", here / "models", "--into", here / "c.h5")
    assert run_featx(*run, cwd=here).code == 0
    quick = ("--head", "class-mean", "--tuning", "validation", "--jobs", "1")
    assert run_featx("train", here / "c.h5", *quick, "--into", here / "h.featx", cwd=here).code == 0
    return here


Featx = Callable[..., Ran]


def test_wrong_images_are_listed_with_the_surest_mistake_first(featx: Featx, made: Path, tmp_path: Path) -> None:
    ran = featx("evaluate", made / "h.featx", made / "c.h5", "--rows", "all", "--wrong", tmp_path / "w.csv", "--json")
    with (tmp_path / "w.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ran.json["wrong"] == str(tmp_path / "w.csv")
    assert ran.json["gallery"] is None
    assert list(rows[0]) == ["name", "true", "predicted", "probability", "true_probability"]
    assert len(rows) == round(40 * (1 - ran.json["accuracy"])) >= 3
    assert [float(row["probability"]) for row in rows] == sorted(float(row["probability"]) for row in rows)[::-1]
    assert "wrong" in {Path(row["name"]).stem.rstrip("012") for row in rows}


def test_the_gallery_of_wrong_images_has_their_pictures_and_nothing_hostile(
    featx: Featx, made: Path, tmp_path: Path
) -> None:
    page = tmp_path / "wrong.html"
    arguments = ("evaluate", made / "h.featx", made / "c.h5", "--rows", "all", "--gallery", page)
    assert featx(*arguments, "--images", made / "photos").code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") >= 3
    assert "<script>alert" not in text
    assert "\u202e" not in text
    ran = featx(*arguments, "--images", made / "photos")
    assert (ran.code, ran.out) == (1, "")
    assert "choose another --gallery, or replace it with --overwrite" in ran.err
    assert featx(*arguments, "--images", made / "photos", "--overwrite", "--pictures", "1").code == 0
    fewer = page.read_text(encoding="utf-8")
    assert fewer.count("data:image/jpeg;base64,") == 1
    assert "images are left out" in fewer


def test_images_that_are_gone_are_counted_and_a_wrong_root_is_told(featx: Featx, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "photos", tmp_path / "photos")
    (gone,) = tmp_path.glob("photos/*/wrong0.png")
    gone.unlink()
    page = tmp_path / "wrong.html"
    arguments = ("evaluate", made / "h.featx", made / "c.h5", "--rows", "all", "--gallery", page, "--overwrite")
    assert featx(*arguments, "--images", tmp_path / "photos").code == 0
    assert "1 of " in page.read_text(encoding="utf-8")
    assert "pictures are missing" in page.read_text(encoding="utf-8")
    ran = featx(*arguments, "--images", tmp_path / "photos" / "class0")
    assert ran.code == 0
    assert "no picture could be read: images such as" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gallery", "w.html"), "--gallery needs --images ROOT"),
        (("--images", "photos"), "name the page with --gallery FILE.html"),
        (("--root", "photos"), "--root is for the manifest of --images"),
    ],
)
def test_a_page_and_its_images_are_given_together(
    featx: Featx, made: Path, options: tuple[str, ...], said: str
) -> None:
    for command in (("evaluate", made / "h.featx", made / "c.h5"), ("label-errors", made / "c.h5")):
        ran = featx(*command, *options)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err


def test_lists_and_pages_have_their_own_endings(featx: Featx, made: Path, tmp_path: Path) -> None:
    ran = featx("evaluate", made / "h.featx", made / "c.h5", "--wrong", tmp_path / "w.parquet")
    assert ran.code == 1
    assert "end --wrong in .csv" in ran.err
    ran = featx("evaluate", made / "h.featx", made / "c.h5", "--gallery", tmp_path / "w.png", "--images", made)
    assert ran.code == 1
    assert "end it in .html" in ran.err


def test_suspected_labels_are_shown_on_a_page(featx: Featx, made: Path, tmp_path: Path) -> None:
    page = tmp_path / "labels.html"
    ran = featx("label-errors", made / "c.h5", "--gallery", page, "--images", made / "photos", "--json")
    assert ran.json["gallery"] == str(page)
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == len(ran.json["ranking"]) >= 3
    assert f"{ran.json['preferred_other']} of 40 images look more like another class" in text


def test_a_manifest_and_its_root_name_the_images(featx: Featx, made: Path, tmp_path: Path) -> None:
    names = [path.relative_to(made / "photos") for path in sorted((made / "photos").rglob("*.png"))]
    with (tmp_path / "m.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path"], *([name] for name in names)])
    page = tmp_path / "p.html"
    given = ("--gallery", page, "--images", tmp_path / "m.csv", "--root", made / "photos", "--overwrite")
    for command in (("label-errors", made / "c.h5"), ("predict", made / "h.featx", made / "c.h5")):
        assert featx(*command, *given).code == 0
        assert "data:image/jpeg;base64," in page.read_text(encoding="utf-8")
