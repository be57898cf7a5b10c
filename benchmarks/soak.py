"""Minutes of kills and changes over the same files: whether a promise breaks where no single test looks.

    python benchmarks/soak.py [--minutes N] [--seed N]

Images come, go, are renamed and rewritten, while commands that write (extract, extract --shards, cache merge, cache
export, train, compare) are ended at random moments by SIGKILL, SIGTERM and SIGINT, now and then two of them at once.
After each of them, a file with a final name must be complete: what was there before, or what an undisturbed command
makes; no acknowledged row may be lost; and no foreign file may have changed. A violation is counted and printed, and
the soak goes on.
"""

import argparse
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from record import keep
from tiny import write_tiny

import featx
from featx.errors import FeatxError

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.breaking import INTERRUPTED, STILL_RUNS, Pace, Server, Truth, acknowledged, done_rows, timeless

CLASSES = ("a", "b", "c")
AT_FIRST = 120
"""Images that the soak begins with."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PACE = Pace(sync_seconds=0.05, delay=0.002)
"""Rows are acknowledged often and the disk is slow, so that kills fall everywhere."""
FOREIGN = ("c.h5.txt", "notes.txt", "m.h5.bak", "x.txt", "h.featx.old")
"""Files beside the targets that featx did not write."""
TARGETS = ("c.h5", "s.h5", "m.h5", "x.npy", "x.csv", "h.featx", "r.jsonl")

Command = Callable[[Path], list[object]]
"""Arguments of a command that writes into this folder."""
Problems = Callable[[], Iterator[str]]
"""What is wrong at the moment, whatever ended the last command."""


@dataclass
class Soak:
    """The folders, and what was seen so far."""

    folder: Path
    server: Server
    rng: np.random.Generator
    kills: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    left_behind: set[str] = field(default_factory=set)
    """Names of further files that were there after a command."""
    commands: int = 0
    """Commands that were disturbed and then completed."""
    written: int = 0
    """Images written so far, which gives the next one its name."""

    @property
    def images(self) -> Path:
        """Where the images are."""
        return self.folder / "images"

    @property
    def work(self) -> Path:
        """Where commands write that are killed."""
        return self.folder / "work"

    @property
    def calm(self) -> Path:
        """Where the same commands write undisturbed."""
        return self.folder / "calm"

    def prepare(self) -> None:
        """Make backbone, first images and foreign files."""
        for path in (self.images, self.work, self.calm, self.folder / "models"):
            path.mkdir()
        write_tiny(self.folder / "models")
        for _ in range(AT_FIRST):
            self.add_image()
        for name in FOREIGN:
            (self.work / name).write_text(f"precious {name}")

    def add_image(self) -> None:
        """Write one more image, into the class whose turn it is."""
        folder = self.images / CLASSES[self.written % len(CLASSES)]
        folder.mkdir(exist_ok=True)
        self.write(folder / f"{self.written:05}.png")
        self.written += 1

    def write(self, path: Path) -> None:
        """Write an image whose colour depends on its class, with noise."""
        pixels = self.rng.integers(0, 200, (24, 24, 3))
        pixels[..., CLASSES.index(path.parent.name)] += 40
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    def change_images(self) -> None:
        """Add some images, and remove, rename or rewrite some."""
        for path in self.rng.choice(sorted(self.images.rglob("*.png")), 9, replace=False):
            what = self.rng.integers(3)
            if what == 0 and len(list(path.parent.iterdir())) > AT_FIRST // 4:
                path.unlink()
            elif what == 1:
                path.rename(path.with_name(f"r{path.name}"[-40:]))
            else:
                self.write(path)
        for _ in range(self.rng.integers(1, 8)):
            self.add_image()

    def extract(self, images: Path, into: Path, *more: object) -> list[object]:
        """Arguments of the extraction into this cache."""
        return [
            *("-q", "extract", images, "--backbone", "tiny", "--models", self.folder / "models"),
            *("--device", "cpu", "--batch-size", 4, "--into", into, *more),
        ]

    def kill(self, *commands: list[object], span: float) -> None:
        """Start the commands together, and end each at a random moment of the span, in seconds."""
        pids = [self.server.start(*command, pace=PACE) for command in commands]
        for pid, command in zip(pids, commands, strict=True):
            how = SIGNALS[self.rng.integers(len(SIGNALS))]
            time.sleep(self.rng.uniform(0, span / len(commands)))
            os.kill(pid, how)
            code = self.server.wait(pid, seconds=60)
            self.kills[f"{self.name(command)} {how.name}"] += 1
            if code not in (0, 1, -how, INTERRUPTED):
                reason = "still runs" if code == STILL_RUNS else f"exit code {code}"
                self.report(f"{self.name(command)} {how.name}", [reason])

    def complete(self, command: list[object]) -> float:
        """Run the command undisturbed, and return its seconds; it must succeed."""
        start = time.perf_counter()
        code = self.server.run(*command)
        if code:
            self.report(self.name(command), [f"exit code {code}: {self.server.told()[-500:]}"])
        return time.perf_counter() - start

    def disturb(self, command: Command, results: Sequence[str], *, problems: Problems, twice: bool = False) -> None:
        """Kill the command a few times, then let it end; afterwards its results equal those of an undisturbed one."""
        seconds = self.complete(command(self.calm))
        for _ in range(self.rng.integers(1, 6)):
            commands = [command(self.work)] * (2 if twice and self.rng.random() < 0.3 else 1)
            self.kill(*commands, span=1.5 * seconds)
            self.report(self.name(commands[0]), problems())
        self.complete(command(self.work))
        self.report(self.name(command(self.work)), [*problems(), *self.different(results)])
        self.commands += 1

    def different(self, results: Sequence[str]) -> Iterator[str]:
        """Yields results that differ from those of the undisturbed command, and notes which further files are there."""
        for name in results:
            if content(self.work / name) != content(self.calm / name):
                yield f"{name} differs from that of an undisturbed command"
        self.left_behind |= {path.name for path in self.work.iterdir()} - set(TARGETS) - set(FOREIGN)

    def report(self, about: str, problems: Iterable[str]) -> None:
        """Print and count these problems, crashes, and foreign files that changed."""
        found = [*problems, *self.server.crashes()]
        found += [f"{name} changed" for name in FOREIGN if (self.work / name).read_text() != f"precious {name}"]
        for problem in found:
            print(f"VIOLATION: {about}: {problem}", flush=True)
        self.violations += [f"{about}: {problem}" for problem in found]

    def name(self, command: list[object]) -> str:
        """The command without its arguments."""
        words = [str(word) for word in command[1:3] if not isinstance(word, Path)]
        return " ".join(words + [str(word) for word in command if word == "--shards"])

    # -- what is disturbed ---------------------------------------------------------------------------------------------

    def extraction(self) -> None:
        """Change the images, then extract them."""
        self.change_images()
        self.disturb_cache("c.h5", lambda folder: self.extract(self.images, folder / "c.h5"))

    def sharded(self) -> None:
        """Extract the images in shards by two processes."""
        more = ("--shards", 3, "--jobs", 2)
        self.disturb_cache("s.h5", lambda folder: self.extract(self.images, folder / "s.h5", *more))

    def merging(self) -> None:
        """Merge the caches of two folders."""
        parts = [self.folder / f"{name}.h5" for name in CLASSES[:2]]
        for part in parts:
            self.complete(self.extract(self.images / part.stem, part))
        self.disturb_cache(
            "m.h5", lambda folder: ["-q", "cache", "merge", *parts, "--overwrite", "--into", folder / "m.h5"]
        )

    def disturb_cache(self, name: str, command: Command) -> None:
        """Disturb a command that makes a cache: no acknowledged row is lost, and a complete cache is complete."""
        into = self.work / name
        before = timeless(into) if into.exists() else b""
        rows = acknowledged(into)

        def problems() -> Iterator[str]:
            result = self.calm / name
            yield from Truth(done_rows(result) | rows, (timeless(result), before)).problems(into)
            if not rows & done_rows(result) <= acknowledged(into):
                yield "acknowledged rows were lost"

        self.disturb(command, [name], problems=problems, twice=True)

    def exporting(self) -> None:
        """Export the features."""
        files = ["x.npy", "x.csv"]
        source = self.calm / "c.h5"
        command = ["-q", "cache", "export", source, "--overwrite", "--into"]
        before = [content(self.work / name) for name in files]

        def problems() -> Iterator[str]:
            for name, old in zip(files, before, strict=True):
                if content(self.work / name) not in (old, content(self.calm / name)):
                    yield f"{name} is neither the old nor the new one"

        self.disturb(lambda folder: [*command, folder / "x.npy"], files, problems=problems)

    def training(self) -> None:
        """Train a head."""
        command = ["-q", "train", self.calm / "c.h5", "--head", "ridge", "--overwrite", "--into"]

        def problems() -> Iterator[str]:
            try:
                if (self.work / "h.featx").exists():
                    featx.load_head(self.work / "h.featx")
            except FeatxError as error:
                yield f"h.featx: {error}"

        self.disturb(lambda folder: [*command, folder / "h.featx"], (), problems=problems)

    def comparing(self) -> None:
        """Compare two heads, after the results of other features are deleted."""
        for folder in (self.work, self.calm):
            (folder / "r.jsonl").unlink(missing_ok=True)
        options = ("--heads", "ridge,class-mean", "--splits", "stratified", "--repeats", 2)
        command = ["-q", "compare", self.calm / "c.h5", *options, "--into"]

        def problems() -> Iterator[str]:
            try:
                if (self.work / "r.jsonl").exists():
                    featx.read_results(self.work / "r.jsonl")
            except FeatxError as error:
                yield f"r.jsonl: {error}"

        self.disturb(lambda folder: [*command, folder / "r.jsonl"], (), problems=problems)
        if self.results(self.work) != self.results(self.calm):
            self.report("compare", ["a result is missing, twice there, or other"])

    def results(self, folder: Path) -> list[tuple[object, ...]]:
        """Head, split and accuracy of every result in a folder, sorted."""
        rows = [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]
        return sorted((row["head"], row["split_key"], row["metrics"]["accuracy"]) for row in rows)

    def found(self) -> dict[str, Any]:
        """What was seen, as it is kept."""
        return {
            "commands_completed": self.commands,
            "kills": sum(self.kills.values()),
            "kills_by_command": dict(sorted(self.kills.items())),
            "left_behind": sorted(self.left_behind),
            "violations": self.violations,
        }


def content(path: Path) -> bytes:
    """The bytes of a file, without times if it is a cache; nothing if it does not exist."""
    if not path.exists():
        return b""
    return timeless(path) if path.suffix == ".h5" else path.read_bytes()


def main() -> None:
    """Disturb one command after the other until the time is over, and keep what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as place, Server(Path(place) / "log") as server:
        soak = Soak(Path(place), server, np.random.default_rng(arguments.seed))
        soak.prepare()
        extracting = (soak.extraction, soak.sharded, soak.merging)
        ways = itertools.cycle((*extracting, soak.exporting, soak.training, soak.comparing))
        while time.monotonic() < end:
            next(ways)()
    keep("soak", {"minutes": arguments.minutes, "seed": arguments.seed} | soak.found())
    sys.exit(bool(soak.violations))


if __name__ == "__main__":
    main()
