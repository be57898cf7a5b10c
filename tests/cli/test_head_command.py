"""`featx head info`: what it says of heads of every kind and age, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from featx.heads import Head, load_head, save_head, train_head
from tests.conftest import Ran
from tests.support.tables import make_table

Featx = Callable[..., Ran]
OLD = sorted((Path(__file__).parents[1] / "fixtures" / "written-by-0.1.0" / "heads").glob("*.featx"))


@pytest.fixture(scope="module")
def head() -> Head:
    """A head on a made-up table."""
    return train_head(make_table(), "logreg", jobs=1)[0]


def test_json_says_what_the_head_consists_of_and_how_it_was_trained(featx: Featx, head: Head, tmp_path: Path) -> None:
    save_head(head, tmp_path / "h.featx")
    found = featx("head", "info", tmp_path / "h.featx", "--json").json
    assert (found["name"], found["classes"], found["size"]) == (
        "logreg",
        ["class0", "class1"],
        (tmp_path / "h.featx").stat().st_size,
    )
    assert [step["kind"] for step in found["steps"]] == ["FeatureScaler", "SoftmaxRegression"]
    assert found["steps"][1]["params"]["l2"] == head.params["classifier__l2"]
    (source,) = found["sources"]
    assert (source["backbone"], source["output"], source["dim"], source["identity"]) == (
        "made-up",
        "pooled",
        6,
        head.sources[0].backbone,
    )
    assert found["temperature"] == head.temperature
    assert found["rows"]["test"] == found["metrics"]["n"] == 20
    assert len(found["metrics"]["accuracy_ci"]) == 2
    assert (found["adaptation"], found["transferred"]) == (None, None)
    assert found["versions"]["featx"]


def test_people_read_the_facts_line_by_line(featx: Featx, head: Head, tmp_path: Path) -> None:
    save_head(head, tmp_path / "h.featx")
    said = featx("head", "info", tmp_path / "h.featx").out
    for words in ("logreg, 2 classes", "SoftmaxRegression(", "made-up, pooled 6", "stratified quarter", "accuracy 0."):
        assert words in said


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_heads_of_the_first_version_are_described(featx: Featx, path: Path) -> None:
    ran = featx("head", "info", path)
    assert (ran.code, ran.err) == (0, "")
    assert "featx 0.1.0" in ran.out
    assert load_head(path).name in ran.out.splitlines()[0]


def test_hostile_names_do_not_reach_the_terminal(featx: Featx, head: Head, tmp_path: Path) -> None:
    hostile = replace(head, classes=("\x1b[31mred", "two\nlines"))
    save_head(hostile, tmp_path / "h.featx")
    ran = featx("head", "info", tmp_path / "h.featx")
    assert "\x1b" not in ran.out
    assert r"classes   2: \x1b[31mred, two\nlines" in ran.out.splitlines()


def test_what_the_file_does_not_say_is_unknown(featx: Featx, head: Head, tmp_path: Path) -> None:
    save_head(replace(head, training={"rows": "many", "fusion": 3, "versions": None}), tmp_path / "h.featx")
    ran = featx("head", "info", tmp_path / "h.featx")
    assert ran.code == 0
    assert "images    unknown" in ran.out.splitlines()
    assert "measured  never: it has no test images" in ran.out.splitlines()
    assert featx("head", "info", tmp_path / "h.featx", "--json").json["metrics"] is None


@pytest.mark.parametrize("kept", [0, 10, 2000])
def test_a_damaged_head_is_refused_in_one_line(featx: Featx, head: Head, tmp_path: Path, kept: int) -> None:
    save_head(head, tmp_path / "h.featx")
    (tmp_path / "cut.featx").write_bytes((tmp_path / "h.featx").read_bytes()[:kept])
    for path in (tmp_path / "cut.featx", tmp_path / "gone.featx"):
        ran = featx("head", "info", path)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
        assert str(path) in ran.err


def test_heads_have_what_scikit_learn_names(head: Head) -> None:
    table = make_table(seed=1)
    assert head.classes_.tolist() == ["class0", "class1"]
    for features in (table.features, table, [table]):
        probabilities = head.predict_proba(features)
        assert probabilities.shape == (80, 2)
        assert (head.predict(features) == head.classes_[probabilities.argmax(axis=1)]).all()
    assert np.allclose(head.predict_proba(table.features.astype(np.float64)), head.predict_proba(table))
