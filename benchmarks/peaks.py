"""The most memory that featx and its peers take, each in a process of its own: Lite0 on some JPEGs.

Workers of a DataLoader are processes of their own and not counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from lanes import Lane
from memory import peak_bytes
from networks import LITE0, open_network
from peers import PEERS
from sets import jpegs

from featx.inputs import ImageSet, list_images
from featx.settings import Settings

COUNT, SIZE = 128, (640, 427)
FEATX = "featx"


def measure_peaks(folder: Path) -> dict[str, int | None]:
    """Bytes by name, on images written into this folder; None where a library is missing."""
    jpegs(folder / "peaks", SIZE, count=COUNT)
    return {contender: _ask(contender, folder / "peaks") for contender in (FEATX, *PEERS)}


def _ask(contender: str, folder: Path) -> int | None:
    command = [sys.executable, __file__, contender, str(folder)]
    answer: int | None = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def run(contender: str, images: ImageSet) -> int | None:
    """Bytes at the peak of this very process, once the contender has run in it."""
    with tempfile.TemporaryDirectory() as name:
        network = open_network(LITE0, Path(name))
        try:
            if contender == FEATX:
                Lane(network.backbone, Settings(device="cpu"), Path(name) / "c.h5").extract(lambda: images)
            else:
                PEERS[contender](images, network)
        except ImportError:
            return None
        return peak_bytes()


def main() -> None:
    """Called by measure_peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", choices=(FEATX, *PEERS))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.contender, list_images(arguments.folder))))


if __name__ == "__main__":
    main()
