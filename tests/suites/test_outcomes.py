"""What a suite left in its folder, read back."""

import shutil
from pathlib import Path

import pytest

from featx.errors import SuiteError
from featx.report import build_report
from featx.suites import SuiteOutcome, is_suite_folder, read_outcome


def test_what_is_read_is_what_the_run_returned(three_targets: SuiteOutcome) -> None:
    found = read_outcome(three_targets.folder)
    assert found.leaderboard == three_targets.leaderboard
    assert found.agreement == three_targets.agreement
    assert {result.key for result in found.results} == {result.key for result in three_targets.results}
    assert {row.key for row in found.scores} == {row.key for row in three_targets.scores}
    assert [(one.target, one.gain.rows, one.gain.measure) for one in found.gain] == [
        (one.target, one.gain.rows, one.gain.measure) for one in three_targets.gain
    ]


def test_its_report_begins_with_the_first_of_the_leaderboard(three_targets: SuiteOutcome) -> None:
    page = build_report(three_targets.folder)
    group = three_targets.leaderboard.groups[0].name
    first = next(row for row in three_targets.leaderboard.rows if row.group == group and row.place == 1)
    assert page.sentence.startswith(f"{first.source} has the lowest mean rank on {len(first.targets)} targets")
    titles = [section.title for section in page.sections]
    assert f"Candidates: {group}" in titles
    assert any(title.startswith("Transfer: gain") for title in titles)


def test_a_folder_that_is_damaged_or_of_something_else_is_refused(three_targets: SuiteOutcome, tmp_path: Path) -> None:
    assert not is_suite_folder(tmp_path)
    with pytest.raises(SuiteError, match="not the folder of a finished suite"):
        read_outcome(tmp_path)
    for name in ("leaderboard.json", "agreement.json", "gain.jsonl", "scores.jsonl"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        for path in three_targets.folder.iterdir():
            if path.is_file():
                shutil.copy(path, folder)
        (folder / name).write_text('{"agreement": [{"group": 1}]}\n')
        with pytest.raises(SuiteError, match="a file of the suite cannot be read"):
            read_outcome(folder)
