"""What shows itself does so in a few lines: a title, its facts but for empty ones, and HTML that no text can break."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import featx
from featx.inputs import draw_shapes
from featx.showing import Overview, Shown, shorten
from tests.support.tables import make_table

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True, repr=False)
class Box(Shown):
    """Something to show."""

    colour: str

    def overview(self) -> Overview:
        return Overview("Box: 2 x 3", (("colour", self.colour), ("weight", "")))


def test_the_repr_is_the_title_and_one_line_for_each_fact_that_says_something() -> None:
    assert repr(Box("red")) == "Box: 2 x 3\n  colour: red"


def test_html_has_the_same_facts_with_every_text_escaped() -> None:
    html = Box("<b>red</b>")._repr_html_()
    assert "&lt;b&gt;red&lt;/b&gt;" in html
    assert "<b>" not in html
    assert "Box: 2 x 3" in html
    assert "weight" not in html


def test_a_long_list_is_cut_and_the_rest_counted() -> None:
    assert shorten("abc", most=3) == "a, b, c"
    assert shorten("abcde", most=3) == "a, b, c and 2 more"


def public_objects(folder: Path) -> Iterator[Shown]:
    """One object of each class that shows itself."""
    table = make_table()
    (split,) = featx.make_splits(table)
    candidates = featx.list_candidates(
        [table], heads=["class-mean", "ridge"], splits=lambda one: [split], tuning="validation"
    )
    compared = featx.compare_backbones(candidates, jobs=1)
    ranking = featx.rank_candidates(candidates, compared.results)
    head, result = featx.train_head(table, "class-mean", split=split, tuning="validation", jobs=1)
    draw_shapes(folder / "photos", count=2, size=16)
    yield from (table, split, candidates[0], compared, ranking, *ranking, head, result, result.metrics)
    yield from (featx.list_images(folder / "photos"), featx.load_backbone("efficientnet-lite0"))
    yield featx.describe_cache(FIXTURES / "cache-v1.h5")


def test_every_object_shows_its_class_and_what_matters_in_a_few_lines(tmp_path: Path) -> None:
    for one in public_objects(tmp_path):
        title, *facts = repr(one).splitlines()
        assert title.startswith(f"{type(one).__name__}: ")
        assert 1 <= len(facts) <= 4
        assert max(map(len, (title, *facts))) < 160
        assert f"<strong>{title.partition('<')[0]}" in one._repr_html_().replace("&#x27;", "'")


def test_a_table_shows_its_size_classes_columns_and_failures() -> None:
    table = make_table((3, 4), dim=5)
    table = replace(table, splits=np.full(7, b"train"), labels=np.array([0, 0, 0, 1, 1, 1, -1], np.int32))
    assert repr(table).splitlines() == [
        "FeatureTable: 7 images x 5 features, 2 classes",
        "  images: class0 3, class1 3; with splits; 1 without a label",
        "  features: made-up",
    ]
    several = replace(table, multilabel=True, shares=np.ones((7, 2), np.float32), labels=np.full(7, -1, np.int32))
    assert "class0 7, class1 7 (several per image)" in repr(several)
    soft = replace(table, shares=np.full((7, 2), 0.5, np.float32))
    assert "soft labels of class0, class1" in repr(soft)


def test_settings_show_only_what_is_not_the_default() -> None:
    assert repr(featx.Settings()) == "Settings()"
    assert repr(featx.Settings(device="cpu", batch_size=8)) == "Settings(device='cpu', batch_size=8)"
