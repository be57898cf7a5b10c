"""The file of a suite: what is read from it, and what is refused before anything is computed."""

from pathlib import Path

import pytest

from featx.errors import FeatxError
from featx.suites import Protocol, SourceModel, Suite, Target, read_suite

TARGET = '[[targets]]\nname = "shapes"\nimages = "photos"\n'
SOURCE = '[[sources]]\nbackbone = "tiny"\n'
ROOT = Path(__file__).parents[2]


def read(tmp_path: Path, text: str) -> Suite:
    """The suite with this text."""
    path = tmp_path / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return read_suite(path)


def test_all_keys_are_read_and_those_left_out_have_defaults(tmp_path: Path) -> None:
    suite = read(
        tmp_path,
        "[protocol]\n"
        'heads = ["ridge", "knn"]\nshots = [1, 4]\nrepeats = 2\nseed = 3\nbalanced = true\n'
        '[[targets]]\nname = "shapes"\nimages = ["photos", "s3://bucket/more"]\nweight = 2\nlabel_rule = "by form"\n'
        '[[targets]]\nname = "cells"\ncaches = "cells.h5"\nsplits = "splits.csv"\n'
        '[[sources]]\nbackbone = "random:tiny"\noutputs = ["features", "logits"]\n',
    )
    assert suite.protocol == Protocol(heads=("ridge", "knn"), shots=(1, 4), repeats=2, seed=3, balanced=True)
    assert suite.targets == (
        Target(name="shapes", images=("photos", "s3://bucket/more"), weight=2.0, label_rule="by form"),
        Target(name="cells", caches=("cells.h5",), splits="splits.csv"),
    )
    assert suite.sources == (SourceModel(backbone="random:tiny", outputs=("features", "logits")),)
    assert [suite.locate(path) for path in suite.targets[0].images] == [str(tmp_path / "photos"), "s3://bucket/more"]
    assert suite.split_files == {"cells": str(tmp_path / "splits.csv")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TARGET + "imges = 3\n" + SOURCE, "targets, 'shapes': unknown key 'imges' (did you mean images"),
        ("[protokol]\n" + TARGET + SOURCE, "unknown key 'protokol' (did you mean protocol?)"),
        (TARGET + TARGET + SOURCE, "targets, key name: 'shapes' is there twice"),
        (TARGET + SOURCE + SOURCE, "sources, key backbone: 'tiny' is there twice"),
        (TARGET + SOURCE + 'outputs = ["a", "a"]\n', "sources, 'tiny', key outputs: 'a' is there twice"),
        (SOURCE, "has no targets; add a table [[targets]]"),
        (TARGET, "has no sources; add a table [[sources]]"),
        ('[targets]\nname = "a"\n' + SOURCE, "targets is not a list of tables; begin each with [[targets]]"),
        ('[[targets]]\nimages = "a"\n' + SOURCE, "targets, number 1: key 'name' is missing"),
        ('[[targets]]\nname = "a"\n' + SOURCE, "targets, 'a' has neither of the keys images and caches"),
        (TARGET + 'caches = "a.h5"\n' + SOURCE, "targets, 'shapes' has both of the keys images and caches"),
        ('[[targets]]\nname = "../a"\nimages = "a"\n' + SOURCE, "name = '../a' should be a name of letters"),
        (TARGET + "weight = 0\n" + SOURCE, "weight = 0 should be a number above 0"),
        (TARGET + 'splits = "stratifed"\n' + SOURCE, "no split rule 'stratifed' (did you mean stratified?)"),
        (TARGET + 'target_domain = "lab"\n' + SOURCE, "key target_domain is for splits = 'source-target', not 'auto'"),
        (TARGET + 'source_domains = "lab"\n' + SOURCE, "source_domains = 'lab' should be a list of names of domains"),
        ('[protocol]\nheads = ["logrg"]\n' + TARGET + SOURCE, "logrg"),
        ("[protocol]\nheads = []\n" + TARGET + SOURCE, "heads = [] should be a list of one or more names"),
        ('[protocol]\nheads = "ridge"\n' + TARGET + SOURCE, "heads = 'ridge' should be a list of one or more names"),
        ('[protocol]\nscores = ["logm"]\n' + TARGET + SOURCE, "there is no score 'logm' (did you mean logme?)"),
        ('[protocol]\ndecode = "slow"\n' + TARGET + SOURCE, "decode = 'slow' should be exact or fast"),
        ("[protocol]\nshots = [0]\n" + TARGET + SOURCE, "shots = [0] should be a list of whole numbers above 0"),
        ('[protocol]\ntuning = "folds:x"\n' + TARGET + SOURCE, "folds:x"),
        ("targets = [1]\n" + SOURCE, "targets, number 1 is not a table"),
        ("[[targets]\n", "not a readable suite"),
    ],
)
def test_what_a_suite_must_not_say_is_told_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FeatxError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatxError, match=r"nowhere\.toml: not a readable suite"):
        read_suite(tmp_path / "nowhere.toml")


def test_the_documentation_names_every_key() -> None:
    page = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    for part in (Target, SourceModel, Protocol):
        for key in part.__dataclass_fields__:
            assert f"`{key}`" in page, key
