"""What stands before the first image: `featx --help` against importing click, and a whole run of one image.

    python benchmarks/startup.py [--repeats N]

Every run is a process of its own, its files in the page cache, in turn with the others. The one image goes through
Lite0 on the CPU, by the command line: imports, the session, and the sealed cache included.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from networks import LITE0
from record import keep
from sets import jpegs
from timing import Run, interleave, ratios

FEATX = (sys.executable, "-m", "featx")
HELP, CLICK, ONE = "featx --help", 'python -c "import click"', "featx extract, one image"


def commands(folder: Path) -> dict[str, list[str]]:
    """What is run, by what it is called."""
    jpegs(folder / "photo", (640, 427), count=1)
    one = ["extract", str(folder / "photo"), "--backbone", LITE0, "--into", str(folder / "one.h5"), "--device", "cpu"]
    return {
        HELP: [*FEATX, "--help"],
        CLICK: [sys.executable, "-c", "import click"],
        ONE: [*FEATX, *one, "--overwrite"],
    }


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        runs = {
            title: Run(partial(subprocess.run, command, check=True, capture_output=True))
            for title, command in commands(Path(name)).items()
        }
        interleave(runs, 1)  # so that the disk is warm
        took, _ = interleave(runs, arguments.repeats)
    keep(
        "startup",
        {
            "took": {title: asdict(seconds) for title, seconds in took.items()},
            "help_over_click": ratios(took[HELP].wall, took[CLICK].wall),
            "one_image_seconds": took[ONE].wall,
        },
    )


if __name__ == "__main__":
    main()
