"""Numbers that no machine can have are refused in one line, before anything is started."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

Featx = Callable[..., Ran]


@pytest.mark.parametrize("option", ["--threads", "--streams", "--workers", "--batch-size"])
@pytest.mark.parametrize("number", ["0", "1000000", "1000000000000000000000"])
def test_a_number_of_threads_or_images_out_of_range_is_wrong_usage(featx: Featx, option: str, number: str) -> None:
    ran = featx("extract", "photos", "--backbone", "tiny", "--into", "c.h5", option, number)
    assert ran.code == 2
    assert f"Invalid value for '{option}': {number} is not in the range 1<=x<=" in ran.err


@pytest.mark.parametrize("command", [["extract", "photos", "--shards", "2"], ["compare", "c.h5"], ["train", "c.h5"]])
def test_more_processes_than_the_cores_can_serve_are_wrong_usage(featx: Featx, command: list[str]) -> None:
    ran = featx(*command, "--jobs", "100000")
    assert ran.code == 2
    assert "100000 processes are too many for" in ran.err


@pytest.mark.usefixtures("tiny")
def test_threads_of_all_streams_together_are_limited(
    featx: Featx, make_folder: Callable[..., Path], models: Path
) -> None:
    ran = featx(
        *("extract", make_folder((2, 2)), "--backbone", "tiny", "--models", models, "--into", "c.h5"),
        *("--streams", 1000, "--threads", 1000),
    )
    assert ran.code == 1
    assert "1000000 threads are too many for" in ran.err
    assert ran.err.strip().endswith("give fewer --streams or --threads")
