"""Kills at random moments over the life of one extraction, and of its update: what is lost, and whether a byte differs.

    python benchmarks/kills.py [--kills N] [--images N] [--views LIST]

Needs the extra `demo`. Real images (ELPV cells, every second one as JPEG) and the bundled backbone; SIGKILL and
SIGTERM in turn. After each kill every cache must open, every row acknowledged before must be there with the same
bytes and the right checksum, and nothing but a complete cache may stand under the final name; at the end the file
must equal that of an undisturbed run. The first thing that is otherwise ends the benchmark, so that what it keeps
says that nothing was.
"""

import argparse
import io
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from record import keep

from featx.demo import list_cells
from featx.settings import BUNDLED, CENTER

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.breaking import PHASES, Kill, Life, Pace, Server, done_rows, timeless, truth_of

BRISK = Pace(sync_seconds=0.05)
"""Acknowledged more often than by default, so that a life of two hundred kills takes minutes."""
WIDE = Pace(sync_seconds=0.05, delay=0.02)
"""The disk slowed down besides, so that kills fall while the file is made and sealed."""
SHORT = 32
"""Images of a life that is killed once."""
CREATION = 0.2
"""Seconds that creating a file takes at that pace, about."""


@dataclass(frozen=True)
class Bench:
    """Where everything lies."""

    folder: Path
    server: Server
    rng: np.random.Generator
    views: str
    """The list of views that is given to the command."""

    @property
    def into(self) -> Path:
        """The cache that is made under kills."""
        return self.folder / "killed" / "c.h5"

    def arguments(self, images: Path, into: Path) -> Sequence[object]:
        """The command."""
        how = ("--backbone", BUNDLED, "--device", "cpu", "--views", self.views)
        return ("-q", "extract", images, "--into", into, *how)

    def complete(self, images: Path, into: Path) -> None:
        """Give the command, and let it end."""
        assert self.server.run(*self.arguments(images, into)) == 0, self.server.told()

    def _begun(self) -> bool:
        """Whether a run has begun to put its file together."""
        return any(self.into.parent.glob(f"{self.into.name}.*.new"))

    def life(self, images: Path, pace: Pace, *, about: int) -> tuple[Life, Path]:
        """What is to be killed, and what it has to become: what the command makes where nothing disturbs it."""
        result = self.folder / "undisturbed" / "c.h5"
        shutil.rmtree(result.parent, ignore_errors=True)
        self.complete(images, result)
        truth = truth_of(self.into, result)
        return Life(self.server, self.arguments(images, self.into), self.into, truth, pace, about), result

    def whole_life(self, images: Path, *, about: int) -> Iterator[Kill]:
        """Every kill until the cache is complete."""
        life, result = self.life(images, BRISK, about=about)
        yield from life.kills(self.rng, wanted=done_rows(result))
        assert timeless(self.into) == timeless(result)

    def short_lives(self, images: Path, *, kills: int, in_creation: bool) -> Iterator[Kill]:
        """One kill a life, anywhere in it or once its file is begun; then the same command has to complete."""
        life, result = self.life(images, WIDE, about=1)
        start = time.perf_counter()
        assert self.server.run(*self.arguments(images, result.with_name("slow.h5")), pace=WIDE) == 0
        span = time.perf_counter() - start
        for number in range(kills):
            shutil.rmtree(self.into.parent, ignore_errors=True)
            how = (signal.SIGKILL, signal.SIGTERM)[number % 2]
            if in_creation:
                yield life.kill(how, self.rng.uniform(0, CREATION), after=self._begun)
            else:
                yield life.kill(how, self.rng.uniform(0, span))
            assert list(life.truth.problems(self.into)) == []
            self.complete(images, self.into)
            assert timeless(self.into) == timeless(result)


def write_images(root: Path, count: int) -> None:
    """This number of cells in two folders, one a class, every second one as JPEG."""
    cells = list_cells(root.with_name("cells.csv"))
    assert cells.labels is not None
    for row, label in enumerate(cells.labels[:count].tolist()):
        folder = root / cells.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        stored = cells.read(row)
        assert isinstance(stored, bytes)
        if row % 2:
            Image.open(io.BytesIO(stored)).save(folder / f"{row:04}.jpg", quality=90)
        else:
            (folder / f"{row:04}.png").write_bytes(stored)


def change(root: Path, rng: np.random.Generator) -> None:
    """Every tenth image gone, every tenth under another name, every tenth with other bytes."""
    for number, path in enumerate(sorted(root.rglob("*.??g"))):
        if number % 10 == 0:
            path.unlink()
        elif number % 10 == 1:
            path.rename(path.with_name(f"moved-{path.name}"))
        elif number % 10 == 2:
            noise = rng.integers(0, 256, (300, 300), dtype=np.uint8)
            Image.fromarray(noise).save(path)


def measure(name: str, images: Path, life: Iterator[Kill]) -> dict[str, object]:
    """How many kills, by which signal, where they fell. What was lost is nothing, or this raises AssertionError."""
    start = time.perf_counter()
    kills = [kill for kill in life if kill.phase != "complete" or kill.code]
    return {
        "name": name,
        "images": sum(1 for path in images.rglob("*.??g")),
        "kills": len(kills),
        "signals": Counter(kill.signal for kill in kills),
        "phases": {phase: sum(kill.phase == phase for kill in kills) for phase in PHASES},
        "corrupt_files": 0,
        "acknowledged_rows_lost": 0,
        "bytes_equal": True,
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    """Kill and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=200, help="number of kills to aim at in the life of one extraction"
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--views", default=CENTER, help="views of every image; kept apart from runs without")
    arguments = parser.parse_args()
    some = arguments.kills // 4
    with tempfile.TemporaryDirectory() as place, Server(Path(place) / "log") as server:
        bench, root, few = (
            Bench(Path(place), server, np.random.default_rng(0), arguments.views),
            Path(place) / "all",
            Path(place) / "few",
        )
        write_images(root, arguments.images)
        few.mkdir()
        for path in sorted(root.rglob("*.??g"))[:SHORT]:
            shutil.copy(path, few)
        found = [measure("one extraction", root, bench.whole_life(root, about=arguments.kills))]
        change(root, bench.rng)
        found += [
            measure("its update", root, bench.whole_life(root, about=some)),
            measure("short lives, one kill each", few, bench.short_lives(few, kills=some, in_creation=False)),
            measure("creation, one kill each", few, bench.short_lives(few, kills=some, in_creation=True)),
        ]
    about = {"backbone": BUNDLED, "image_set": "ELPV, 300 x 300 grey, PNG and JPEG", "views": arguments.views}
    keep("kills" if arguments.views == CENTER else "kills_views", {**about, "lives": found})


if __name__ == "__main__":
    main()
