"""`featx gap`, as a user runs it."""

import json
from pathlib import Path

import pytest

from featx.cache import read_features
from tests.conftest import build_tiny, run_featx, write_folder


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same images through one backbone and another, in this order."""
    home = tmp_path_factory.mktemp("gaps")
    images = write_folder(home / "images", (12, 12))
    made = []
    for name, seed in (("tiny", 0), ("second", 1)):
        build_tiny(home / "models", name=name, seed=seed)
        path = home / f"{name}.h5"
        ran = run_featx("extract", images, "--backbone", name, "--models", home / "models", "--into", path)
        assert ran.code == 0, ran.err
        made.append(path)
    return made


def test_json_has_the_verdict_with_everything_that_it_follows_from(caches: list[Path]) -> None:
    ran = run_featx("gap", caches[0], "--to", caches[0], "--json")
    assert ran.code == 0, ran.err
    gap = json.loads(ran.out)["gap"]
    keys = "verdict adapts auroc ci weighted_auroc weighted_ci mmd p class_p shares columns blocks notes"
    assert set(keys.split()) <= set(gap)
    assert (gap["verdict"], gap["adapts"]) == ("same", False)
    assert {"name", "source", "em", "em_ci", "bbse", "bbse_ci"} == set(gap["shares"][0])


def test_people_see_the_verdict_the_shares_and_what_moves(caches: list[Path]) -> None:
    ran = run_featx("gap", caches[0], "--to", caches[0])
    assert ran.code == 0, ran.err
    for text in ("gap: same", "AUROC of domains", "shares of classes", "features that move", "the same name in source"):
        assert text in ran.out


def test_a_target_of_another_backbone_is_refused_in_one_line(caches: list[Path]) -> None:
    ran = run_featx("gap", caches[0], "--to", caches[1])
    assert ran.code == 1
    assert "extract both with the same backbone and output" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_target_must_be_given(caches: list[Path]) -> None:
    ran = run_featx("gap", caches[0])
    assert ran.code == 2
    assert "--to" in ran.err


def test_domains_of_one_cache_are_compared(caches: list[Path], tmp_path: Path) -> None:
    names = read_features(caches[0]).image_names
    lines = [f"{name},{'here' if place % 2 else 'there'}" for place, name in enumerate(names)]
    columns = tmp_path / "domains.csv"
    columns.write_text("\n".join(["name,domain", *lines]))
    ran = run_featx("gap", caches[0], "--to-domain", "there", "--annotations", columns, "--json")
    assert ran.code == 0, ran.err
    gap = json.loads(ran.out)["gap"]
    assert (gap["source_rows"], gap["target_rows"]) == (12, 12)


def test_a_cache_without_domains_has_no_target_among_them(caches: list[Path]) -> None:
    ran = run_featx("gap", caches[0], "--to-domain", "there")
    assert ran.code == 1
    assert "no domain 'there'" in ran.err


def test_what_is_printed_is_also_written_for_papers_and_spreadsheets(caches: list[Path], tmp_path: Path) -> None:
    files = {"markdown": "gap.md", "latex": "gap.tex", "csv": "gap.csv"}
    options = [word for name, file in files.items() for word in (f"--{name}", tmp_path / file)]
    ran = run_featx("gap", caches[0], "--to", caches[0], *options)
    assert ran.code == 0, ran.err
    assert [line for line in ran.out.splitlines() if line.endswith(": written")] == [
        f"{tmp_path / file}: written" for file in files.values()
    ]
    assert all("features that move" in (tmp_path / file).read_text(encoding="utf-8") for file in files.values())
    refused = run_featx("gap", caches[0], "--to", caches[0], *options, "--json")
    assert refused.code == 1
    assert "already exists; choose another --markdown, or replace it with --overwrite" in refused.err
    again = run_featx("gap", caches[0], "--to", caches[0], *options, "--overwrite", "--json")
    found = json.loads(again.out)
    assert {name: found[name] for name in files} == {name: str(tmp_path / file) for name, file in files.items()}
    assert found["figure"] is None
