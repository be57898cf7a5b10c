"""Rows in Parquet: a group at a time, with missing values, and nothing half-written taken for a file of its kind."""

from pathlib import Path

import pytest
from pyarrow import parquet

from featx.cache import ParquetRows, is_parquet_of, parquet_rows


def test_rows_are_written_in_groups_of_so_many_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "VALUES_IN_GROUP", 6)
    path = tmp_path / "p.parquet"
    with ParquetRows(path, {"name": str, "score": float}, kind="scores") as rows:
        for number in range(8):
            rows.write((f"image{number}", number / 2 if number % 2 else None))
    file = parquet.ParquetFile(path)
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3, 3, 2]
    assert file.read().to_pydict()["score"] == [None, 0.5, None, 1.5, None, 2.5, None, 3.5]
    assert is_parquet_of(path, "scores")
    assert not is_parquet_of(path, "score")


def test_no_rows_make_an_empty_table(tmp_path: Path) -> None:
    with ParquetRows(tmp_path / "p.parquet", {"name": str}, kind="names"):
        pass
    assert parquet.read_table(tmp_path / "p.parquet").num_rows == 0


@pytest.mark.parametrize("content", [b"", b"PAR1", b"name,score\n"])
def test_other_files_are_of_no_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.parquet").write_bytes(content)
    assert not is_parquet_of(tmp_path / "p.parquet", "scores")
