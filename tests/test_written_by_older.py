"""What an older version of featx wrote is read and used by this one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import featx
from featx.backbones import Backbone, read_card
from tests.support.sizes import shortened

WRITTEN = Path(__file__).parent / "fixtures" / "written-by-0.1.0"
HEADS = sorted(path.stem for path in (WRITTEN / "heads").glob("*.featx"))
FUSIONS = {"concat", "standardised", "weighted", "pca", "joint-pca", "kernel", "anova", "mutual-info", "l1", "stacked"}

LOAD_FIRST = """
import sys
import featx

for path in sys.argv[1:]:
    # forget the estimators, as in a process that has used none of them
    for name in [name for name in sys.modules if name.startswith("featx.estimators")]:
        del sys.modules[name]
    print(featx.load_head(path).name)
"""

CARDS: dict[str, dict[str, Any]] = json.loads((WRITTEN / "models" / "identities.json").read_text(encoding="utf-8"))
"""The cards that the older version read from `models`, as it printed them, and the hashes of their backbones."""
NEWER_KEYS = {"classifier_kind": "", "baseline": ""}
"""Keys of a card that the older version did not know -> the value that its cards imply."""


@pytest.mark.parametrize("name", CARDS)
def test_a_card_of_an_older_version_is_read_as_the_same_card(name: str) -> None:
    card = read_card(WRITTEN / "models" / f"{name}.toml")
    values = card.to_dict()
    assert {key: values.pop(key) for key in NEWER_KEYS} == NEWER_KEYS
    assert list(values.items()) == list(CARDS[name]["card"].items())


@pytest.mark.parametrize("name", CARDS)
def test_a_card_of_an_older_version_has_the_hash_that_its_caches_carry(name: str) -> None:
    card = read_card(WRITTEN / "models" / f"{name}.toml")
    assert Backbone(card, WRITTEN / "models" / card.file).hash == CARDS[name]["hash"]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_of_an_older_version_is_written_as_it_was_to_the_byte(name: str) -> None:
    path = WRITTEN / "models" / f"{name}.toml"
    assert read_card(path).to_toml() == path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain_table() -> featx.FeatureTable:
    return featx.read_features(WRITTEN / "plain.h5")


@pytest.fixture(scope="module")
def fused_table(plain_table: featx.FeatureTable) -> featx.FeatureTable:
    several = featx.read_features(WRITTEN / "several.h5", outputs=["features", "logits"])
    return featx.fuse_tables([plain_table, several])


@pytest.fixture(scope="module")
def written_probabilities() -> dict[str, NDArray[np.float64]]:
    with np.load(WRITTEN / "heads" / "probabilities.npz") as file:
        return dict(file)


def test_the_older_version_left_a_head_of_every_kind(written_probabilities: dict[str, NDArray[np.float64]]) -> None:
    assert len(HEADS) == 22
    assert set(HEADS) == set(written_probabilities)
    assert {f"logreg-{fusion}" for fusion in FUSIONS} <= set(HEADS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("name", HEADS)
def test_a_head_of_an_older_version_gives_the_probabilities_that_it_gave(
    name: str,
    plain_table: featx.FeatureTable,
    fused_table: featx.FeatureTable,
    written_probabilities: dict[str, NDArray[np.float64]],
) -> None:
    head = featx.load_head(WRITTEN / "heads" / f"{name}.featx")
    table = fused_table if name.partition("-")[2] in FUSIONS else plain_table
    head.check(table.sources)
    found = head.predict_probabilities(table.features)
    np.testing.assert_allclose(found, written_probabilities[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("names", shortened([["rbf-svm"], HEADS]), ids=len)
def test_a_head_of_an_older_version_is_loaded_as_the_first_thing_that_a_process_does(names: list[str]) -> None:
    paths = [WRITTEN / "heads" / f"{name}.featx" for name in names]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_FIRST, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(names)


def without_new_keys(now: Any, before: Any) -> Any:
    """What is written now, with only the keys that were written before, in dictionaries inside it too."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {key: without_new_keys(now[key], before[key]) for key in before}
    return now


def test_results_of_an_older_version_are_read_and_written_as_they_were_but_for_keys_that_are_new() -> None:
    rows = [json.loads(line) for line in (WRITTEN / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    results = featx.read_results(WRITTEN / "results.jsonl")
    for row, result in zip(rows, results, strict=True):
        assert without_new_keys(json.loads(json.dumps(result.to_dict())), row) == row
    assert {result.versions["featx"] for result in results} == {"0.1.0"}
    assert len({tuple(record) for record in featx.to_records(results)}) == 1
