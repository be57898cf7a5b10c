"""Several caches are read with one choice of outputs and images; annotations are joined before images are chosen."""

from pathlib import Path

import numpy as np
import pytest

from featx.cache import list_outputs, read_features
from featx.errors import TableError
from featx.tables import read_annotations, read_tables
from tests.support.caches import DIM, provenance, write_cache


def two_outputs(path: Path) -> Path:
    """A cache of ten images with the outputs pooled and stage."""
    return write_cache(path, made=provenance(outputs=("stage",)))


def test_each_cache_gives_the_outputs_that_it_has(tmp_path: Path) -> None:
    caches = [two_outputs(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5")]
    tables = read_tables(caches, outputs=["stage", "pooled"])
    assert [[source.output for source in table.sources] for table in tables] == [["stage", "pooled"], ["pooled"]]
    assert [table.dim for table in read_tables(caches)] == [DIM, DIM]


def test_the_sources_of_a_head_choose_outputs_by_name_and_backbone(tmp_path: Path) -> None:
    path = two_outputs(tmp_path / "a.h5")
    sources = read_features(path, outputs=["stage"]).sources
    assert [source.output for source in read_tables([path], sources=sources)[0].sources] == ["stage"]
    other = write_cache(tmp_path / "b.h5")
    assert sources[0].backbone not in list_outputs(other).values()
    assert [source.output for source in read_tables([other], sources=sources)[0].sources] == ["pooled"]


def test_images_are_chosen_by_what_annotations_say(tmp_path: Path) -> None:
    path = write_cache(tmp_path / "a.h5")
    names = [read_features(path).name(row) for row in range(10)]
    lines = [f"{name},{'ab'[row % 2]},{'train' if row < 6 else 'test'}" for row, name in enumerate(names)]
    (tmp_path / "a.csv").write_text("\n".join(["name,label,split", *lines]))
    annotations = read_annotations(tmp_path / "a.csv")
    [table] = read_tables([path], annotations=annotations, split="test", labels=["b"])
    assert [table.name(row) for row in range(len(table))] == [names[7], names[9]]
    assert table.classes == ("b",)
    assert np.array_equal(table.labels, [0, 0])


def test_a_cache_or_output_named_twice_is_refused(tmp_path: Path) -> None:
    path = two_outputs(tmp_path / "a.h5")
    with pytest.raises(TableError, match=r"cache .*a\.h5 is named twice; name each once"):
        read_tables([path, path])
    with pytest.raises(TableError, match="output stage is named twice; name each once"):
        read_tables([path], outputs=["stage", "stage"])


def test_an_output_in_no_cache_and_a_cache_without_any_are_refused(tmp_path: Path) -> None:
    caches = [two_outputs(tmp_path / "a.h5"), write_cache(tmp_path / "b.h5")]
    with pytest.raises(
        TableError, match=r"no cache has output 'stag' \(did you mean stage\?\); choose from pooled, stage"
    ):
        read_tables(caches, outputs=["stag"])
    with pytest.raises(TableError, match=r"b\.h5: has none of the outputs stage; name one of pooled too"):
        read_tables(caches, outputs=["stage"])


def test_layers_are_all_outputs_of_a_cache_but_the_class_scores(tmp_path: Path) -> None:
    card = {"name": "made-up", "sha256": "0" * 64, "feature": "pooled", "dim": DIM, "classifier": "scores"}
    card["outputs"] = [{"name": name, "dim": DIM // 2, "pool": ""} for name in ("stage", "scores")]
    made = provenance(outputs=("stage", "scores"), card=card)
    [table] = read_tables([write_cache(tmp_path / "a.h5", made=made)], outputs=["layers"])
    assert [source.output for source in table.sources] == ["pooled", "stage"]


def test_layers_of_caches_of_one_output_each_are_refused_with_the_command_that_extracts_them(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no layers; extract them with `featx extract IMAGES .* --output layers"):
        read_tables([write_cache(tmp_path / "a.h5")], outputs=["layers"])
