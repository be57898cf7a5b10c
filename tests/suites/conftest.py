"""A suite that runs in a second: two folders of small images, and two tiny backbones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import build_tiny, write_folder

SUITE = """
[protocol]
heads = ["ridge", "class-mean"]
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
