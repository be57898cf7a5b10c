"""Results are read as strictly as they are written, and shown and tabulated for people."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import featx
from featx.errors import TableError
from featx.heads import Result, ResultsFile, read_results, train_head, write_results
from featx.heads.results import pack
from featx.measures import MEASURE_TITLES
from tests.support.tables import make_table

RESULTS_OF_0_1 = Path(__file__).parents[1] / "fixtures" / "written-by-0.1.0" / "results.jsonl"


@pytest.fixture(scope="module")
def several_results() -> list[Result]:
    """Results of heads with a penalty, without one, of multi-label images and of all correct images."""
    table = make_table(apart=2.0)
    shares = np.eye(2, dtype=np.float32)[table.labels]
    shares[::5] = 1
    multilabel = replace(table, shares=shares, multilabel=True, labels=np.full(len(table), -1, np.int32))
    return [
        train_head(table, "ridge", jobs=1)[1],
        train_head(table, "knn", jobs=1)[1],
        train_head(multilabel, "class-mean", jobs=1)[1],
        train_head(make_table(apart=20.0), "class-mean", balanced=True, jobs=1)[1],
    ]


def test_records_are_flat_and_have_equal_keys(several_results: list[Result]) -> None:
    records = featx.to_records(several_results)
    assert len({tuple(record) for record in records}) == 1
    assert {type(value) for record in records for value in record.values()} <= {str, int, float, bool, type(None)}
    assert featx.to_records([]) == []


def test_a_column_of_records_has_values_of_one_type(several_results: list[Result]) -> None:
    """As a column of a data frame has: no whole number stands among fractions, no text among numbers."""
    records = featx.to_records(several_results)
    for name in records[0]:
        assert len({type(record[name]) for record in records if record[name] is not None}) <= 1, name


def test_records_hold_the_measures_of_the_results_with_their_intervals(several_results: list[Result]) -> None:
    for result, record in zip(several_results, featx.to_records(several_results), strict=True):
        for name in MEASURE_TITLES:
            assert record[name] == getattr(result.metrics, name)
            ends = getattr(result.metrics, f"{name}_ci")
            assert (record[f"{name}_low"], record[f"{name}_high"]) == (ends or (None, None))
        assert record["value"] == record[result.measure]
        assert json.loads(record["params"]) == result.params
        assert record["l2"] == (result.penalty.l2 if result.penalty else None)
        assert [record[f"n_{kind}"] for kind in result.rows] == list(result.rows.values())


def test_a_result_shows_what_it_is_of_and_its_measure_in_three_lines(several_results: list[Result]) -> None:
    ridge, _, multilabel, balanced = map(repr, several_results)
    assert ridge.splitlines()[0] == "Result: ridge on made-up"
    assert "95 % interval" in ridge.splitlines()[1]
    assert ridge.endswith("split: stratified quarter held out, seed 0")
    assert "mAP: " in multilabel
    assert "balanced accuracy: 1.000 (95 % interval 0." in balanced
    assert all(len(shown.splitlines()) == 3 for shown in (ridge, multilabel, balanced))


def test_heads_and_metrics_show_themselves_in_three_lines() -> None:
    head, result = train_head(make_table(apart=2.0), "ridge", jobs=1)
    shown = repr(head).splitlines()
    assert shown[0] == "Head: ridge on made-up, 2 classes"
    assert shown[2].startswith("  accuracy: ")
    assert shown[2].endswith("on 20 test images")
    assert repr(replace(head, training={})).splitlines() == shown[:2]
    assert repr(result.metrics).splitlines()[0] == "HeadMetrics: 20 images, 2 classes"
    assert len(repr(result.metrics).splitlines()) == 3
    assert "<table>" in head._repr_html_()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "0"},
        {"classes": "ab"},
        {"penalty": {"l2": 1.0}},
        {"metrics": {}},
        {"balanced": 1},
    ],
)
def test_a_result_whose_values_are_of_other_types_is_refused(
    change: dict[str, Any], several_results: list[Result], tmp_path: Path
) -> None:
    values = json.loads(json.dumps(several_results[0].to_dict())) | change
    with pytest.raises(msgspec.ValidationError):
        Result.from_dict(values)
    (tmp_path / "r.jsonl").write_text(json.dumps(values) + "\n")
    with pytest.raises(featx.FeatxError, match=r"r\.jsonl: not a readable file of results"):
        featx.read_results(tmp_path / "r.jsonl")


def test_written_results_are_read_as_they_were(several_results: list[Result], tmp_path: Path) -> None:
    write_results(several_results, tmp_path / "r.jsonl")
    found = featx.read_results(tmp_path / "r.jsonl")
    assert [json.dumps(one.to_dict()) for one in found] == (tmp_path / "r.jsonl").read_text().splitlines()
    assert [one.key for one in found] == [one.key for one in several_results]


def test_a_result_of_several_labels_may_lack_its_resamples_only_if_it_lacks_the_measure(
    several_results: list[Result],
) -> None:
    values = several_results[2].to_dict() | {"drawn": None}
    with pytest.raises(ValueError, match="packed numbers are cut short"):
        Result.from_dict(values)
    values["metrics"] = values["metrics"] | {"average_precision": None}
    assert Result.from_dict(values).drawn is None


def test_results_that_cannot_be_read_are_an_error_that_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"r\.jsonl: .* \(No such file or directory\); check the path"):
        read_results(tmp_path / "r.jsonl")
    with pytest.raises(TableError, match=r"\(Is a directory\); check the path"):
        read_results(tmp_path)


def test_results_are_replaced_only_when_told_and_only_by_results(tmp_path: Path, several_results: list[Result]) -> None:
    path = tmp_path / "r.jsonl"
    write_results(several_results[:1], path)
    with pytest.raises(TableError, match=r"r\.jsonl: already exists; .*--overwrite"):
        write_results(several_results, path)
    write_results(several_results[:2], path, overwrite=True)
    assert len(read_results(path)) == 2
    for content in ('{"name": "of something else"}\n', '["head", "metrics"]\n', "\n"):
        path.write_text(content)
        with pytest.raises(TableError, match="already exists and is not a file of results"):
            write_results(several_results, path, overwrite=True)
        assert path.read_text() == content


@pytest.mark.parametrize(
    "text", ['{"head": "x"}', '{"head": "x", "b', '{"he said', "[1, 2", '{"head": "x", "fusion": 1']
)
def test_an_unfinished_line_that_is_no_result_is_not_cut_off(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(TableError, match="contains something other than results"):
        ResultsFile(tmp_path / "r.jsonl").__enter__()
    assert (tmp_path / "r.jsonl").read_text() == text


def test_the_line_that_a_killed_process_left_is_cut_off_wherever_it_ends(
    tmp_path: Path, several_results: list[Result]
) -> None:
    path = tmp_path / "r.jsonl"
    write_results(several_results[:1], path)
    whole = path.read_bytes()
    for length in (1, 10, 12, 14, 30, 45, 60, len(whole) - 1):
        path.write_bytes(whole + whole[:length])
        with ResultsFile(path) as saved:
            assert len(saved.results) == 1
        assert path.read_bytes() == whole


def test_results_are_added_through_a_link_and_not_to_a_file_that_took_the_name(
    tmp_path: Path, several_results: list[Result]
) -> None:
    (tmp_path / "r.jsonl").symlink_to(tmp_path / "real.jsonl")
    with ResultsFile(tmp_path / "r.jsonl") as saved:
        saved.append(several_results[0])
        (tmp_path / "real.jsonl").rename(tmp_path / "moved.jsonl")
        (tmp_path / "real.jsonl").write_text("of somebody else")
        with pytest.raises(TableError, match="was moved, removed or replaced"):
            saved.append(several_results[1])
    assert (tmp_path / "r.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").read_text() == "of somebody else"
    assert len(read_results(tmp_path / "moved.jsonl")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"validated": float("inf")},
        {"validated_loss": -1.0},
        {"validated_loss": float("inf")},
        {"guesses": None},
        {"guesses": "no base64!"},
        {"guesses": "eJwDAAAAAAE"},
        {"guesses": pack(np.zeros(7, np.int64))},
        {"guesses": pack(np.full(15, 65_535))},
        {"guesses": base64.b64encode(zlib.compress(bytes(2**29), 9)).decode()},
        {"metrics": {}},
        {"classes": "abc"},
        {"rows": {"train": -1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_result_out_of_range_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    line = RESULTS_OF_0_1.read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "r.jsonl").write_text(json.dumps(json.loads(line) | change) + "\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"r\.jsonl: not a readable file of results \(.+\)") as caught:
        read_results(tmp_path / "r.jsonl")
    assert "\n" not in str(caught.value)
