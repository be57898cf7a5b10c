"""A suite that runs in a second: two folders of small images, and two tiny backbones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from featx.suites import Protocol, SourceModel, Suite, SuiteOutcome, Target, run_suite
from tests.conftest import build_tiny, write_folder

SUITE = """
[protocol]
heads = ["knn", "class-mean"]
tuning = "validation"
device = "cpu"
{protocol}

[[targets]]
name = "first"
images = "first"

[[targets]]
name = "second"
images = "second"
{target}

[[sources]]
backbone = "tiny"
outputs = ["features", "logits"]

[[sources]]
backbone = "other"
{more}
"""


@pytest.fixture(scope="session")
def suite_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images and backbones that SUITE names; nothing is written into it."""
    home = tmp_path_factory.mktemp("suite")
    write_folder(home / "first", (20, 20))
    write_folder(home / "second", (16, 18, 20), seed=5)
    build_tiny(home / "models")
    build_tiny(home / "models", name="other", dim=4, seed=1)
    return home


@pytest.fixture
def write_suite(suite_home: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write SUITE, changed as asked for, beside links to its images."""

    def write(*, protocol: str = "", target: str = "", more: str = "", name: str = "suite.toml") -> Path:
        for folder in ("first", "second", "models"):
            if not (tmp_path / folder).exists():
                (tmp_path / folder).symlink_to(suite_home / folder)
        path = tmp_path / name
        path.write_text(SUITE.format(protocol=protocol, target=target, more=more), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def three_targets(suite_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SuiteOutcome:
    """What a suite of three targets, four sources and one baseline came to, on one split and on few-shot draws."""
    home = tmp_path_factory.mktemp("three")
    for folder in ("first", "second"):
        (home / folder).symlink_to(suite_home / folder)
    write_folder(home / "third", (24, 24), seed=9)
    build_tiny(home / "models")
    build_tiny(home / "models", name="other", dim=4, seed=1)
    baseline = build_tiny(home / "models", name="pixels", dim=2, seed=2).backbone
    card = replace(baseline.card, baseline="pixels", reference="not 50 % of anything")
    (home / "models" / "pixels.toml").write_text(card.to_toml(), encoding="utf-8")
    known = replace(build_tiny(home / "models", name="known", dim=3, seed=3).backbone.card, reference="top-1 61.5 %")
    (home / "models" / "known.toml").write_text(known.to_toml(), encoding="utf-8")
    suite = Suite(
        targets=(
            Target(name="first", images=("first",), label_rule="by colour"),
            Target(name="second", images=("second",), weight=2),
            Target(name="third", images=("third",)),
        ),
        sources=(
            SourceModel(backbone="tiny", outputs=("features", "logits")),
            SourceModel(backbone="other"),
            SourceModel(backbone="known"),
            SourceModel(backbone="pixels"),
        ),
        protocol=Protocol(
            heads=("class-mean",), shots=(2,), repeats=2, splits="stratified", tuning="validation", device="cpu"
        ),
        folder=home,
    )
    return run_suite(suite, into=home / "study", jobs=1, models=home / "models")
