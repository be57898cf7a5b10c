"""Every example in a docstring is run, in a folder of images, caches and heads; every public name has an example."""

import doctest
import importlib
import pkgutil
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import featx
from featx.inputs import draw_shapes
from featx.settings import Settings
from tests.support.sizes import as_exhaustive

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITHOUT = {"FeatxError", "__version__"}
"""Public names that are not called."""
SLOW = {
    *(f"featx.convert.{name}" for name in ("adding", "quantize.quantizing", "removing", "verifying")),
    *(f"featx.transfer.{name}" for name in ("adaptation.adaptation", "adaptation.adapting", "gains.gain", "reading")),
    *("featx.compare.ranking", "featx.heads.transferred", "featx.suites.running", "featx.transfer.gaps.gap"),
}
"""Modules whose examples try models in processes of their own, or train many heads."""


def documented_modules() -> Iterator[str]:
    """The package itself, and its modules whose source has an example."""
    yield featx.__name__
    for module in pkgutil.walk_packages(featx.__path__, "featx."):
        origin = getattr(module.module_finder.find_spec(module.name, None), "origin", None)
        if origin and ">>> " in Path(origin).read_text(encoding="utf-8"):
            yield module.name


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos/`, `new/`, `photos.h5` and `photos.featx`, which examples may use."""
    folder = tmp_path_factory.mktemp("examples")
    draw_shapes(folder / "photos", count=12, size=64)
    draw_shapes(folder / "drawn", count=1, size=64, seed=1)
    (folder / "new").mkdir()
    for path in sorted((folder / "drawn").rglob("*.png")):
        shutil.move(path, folder / "new" / f"{path.parent.name}.png")
    shutil.rmtree(folder / "drawn")
    images = featx.list_images(folder / "photos")
    settings = Settings(device="cpu", batch_size=4, streams=1)
    featx.extract_features(
        images, featx.load_backbone("efficientnet-lite0"), into=folder / "photos.h5", settings=settings
    )
    head, _ = featx.train_head(featx.read_features(folder / "photos.h5"), "ridge", tuning="validation", jobs=1)
    featx.save_head(head, folder / "photos.featx")
    return folder


@pytest.mark.parametrize("name", [as_exhaustive(name) if name in SLOW else name for name in documented_modules()])
def test_the_examples_of_a_module_do_what_they_say(
    name: str, example_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here"
    shutil.copytree(example_folder, here)
    monkeypatch.chdir(here)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), name):
        runner.run(example)
    assert not runner.failures, capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(dir(featx)) - WITHOUT))
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(featx, name).__doc__ or "")
