"""`featx report`, as a user runs it."""

import json
from pathlib import Path

import pytest

import featx
from featx.heads import write_results
from tests.conftest import build_tiny, run_featx, write_folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, their cache, a head and its result."""
    home = tmp_path_factory.mktemp("told")
    tiny = build_tiny(home / "models", dim=2)
    images = featx.list_images(write_folder(home / "images", (12, 12)))
    featx.extract_features(images, tiny.backbone, into=home / "c.h5", settings=featx.Settings(device="cpu"))
    head, result = featx.train_head(home / "c.h5", "class-mean", tuning="validation", jobs=1)
    featx.save_head(head, home / "h.featx")
    write_results([result], home / "r.jsonl")
    return home


def test_the_page_is_written_and_described_as_json(home: Path, tmp_path: Path) -> None:
    into = tmp_path / "report.html"
    inputs = (home / "r.jsonl", home / "h.featx", home / "c.h5")
    ran = run_featx("report", *inputs, "--images", home / "images", "--title", "Ours", "--into", into, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["path"], found["title"]) == (str(into), "Ours")
    names = {section["name"] for section in found["sections"]}
    assert {"summary", "data", "ranking-stratified", "map", "commands", "glossary"} <= names
    confusion = next(one for one in found["sections"] if one["title"] == "Errors: confusion")
    assert confusion["pictures"]
    assert confusion["missing_pictures"] == 0
    command = next(one for one in found["sections"] if one["name"] == "commands")["rows"][-1][1]
    assert command.startswith("featx report ")
    assert "--images" in command
    text = into.read_text(encoding="utf-8")
    assert "<title>Ours</title>" in text
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text


def test_people_read_the_answer_and_the_other_files_are_written_too(home: Path, tmp_path: Path) -> None:
    files = {"--markdown": "r.md", "--latex": "r.tex", "--csv": "r.csv"}
    options = [word for name, file in files.items() for word in (name, tmp_path / file)]
    ran = run_featx("report", home / "r.jsonl", "--into", tmp_path / "report.html", *options)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("class-mean on tiny is the best candidate by validation images")
    assert "it is the only candidate" in ran.out
    for file in files.values():
        assert "class-mean" in (tmp_path / file).read_text(encoding="utf-8")


def test_an_existing_page_is_replaced_with_overwrite_only_and_other_files_never(home: Path, tmp_path: Path) -> None:
    into = tmp_path / "report.html"
    assert run_featx("report", home / "r.jsonl", "--into", into).code == 0
    again = run_featx("report", home / "r.jsonl", "--into", into)
    assert (again.code, "--overwrite" in again.err) == (1, True)
    assert run_featx("report", home / "r.jsonl", "--into", into, "--overwrite").code == 0
    into.write_text("<html>mine</html>")
    assert run_featx("report", home / "r.jsonl", "--into", into, "--overwrite").code == 1
    assert into.read_text() == "<html>mine</html>"


def test_what_cannot_be_reported_ends_in_one_line_and_leaves_no_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"a": 1}')
    for given in (("other.json",), ("gone.jsonl",), (home / "r.jsonl", "--images", "gone"), (".",)):
        ran = run_featx("report", *given, "--into", "report.html", cwd=tmp_path)
        assert ran.code == 1, given
        assert ran.err.count("\n") == 1
    assert run_featx("report", home / "r.jsonl", "--root", ".", "--into", tmp_path / "report.html").code == 2
    assert not list(tmp_path.glob("report*"))
