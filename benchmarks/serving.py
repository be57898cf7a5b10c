"""`featx serve` on loopback: 16 clients, one request in ten given up, against `extract` of the same files.

    python benchmarks/serving.py [--repeats N] [--images N] [--clients N]

The images are ELPV's cells as PNG files; the model is EfficientNet-Lite0 with logistic regression, deployed. In turn,
the files are extracted as `featx extract` does it, and sent to a server of its own process, which is new each time.
Clients are threads of this process, on the same cores as the server. A client that gives up sends a part of its
request, or all of it, and hangs up; a new one asks for the same image. Every answer is compared with the model's own.
"""

import argparse
import http.client
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from record import keep

from featx.backbones import load_backbone
from featx.demo import list_cells
from featx.deploy import deploy_head
from featx.extract import extract_features
from featx.heads import train_head
from featx.inputs import list_images
from featx.serving.deployed import open_deployed
from featx.settings import BUNDLED, Settings

GIVEN_UP = 0.1
"""Share of requests whose client hangs up."""
SAME_WITHIN = 1e-4
"""Largest difference of a probability from the model's own that counts as right."""
HANG_UP = struct.pack("ii", 1, 0)
"""SO_LINGER that closes as the system does for a process that is killed with data unread."""


@dataclass
class Tally:
    """What the clients of one server saw."""

    seconds: list[float] = field(default_factory=list)
    """From the first byte sent to the last byte received, of each answer."""
    wrong: int = 0
    given_up: int = 0


@dataclass(frozen=True)
class Wanted:
    """An image, and what the model itself says of it."""

    image: bytes
    label: str
    probabilities: dict[str, float]

    def is_answer(self, status: int, document: dict[str, Any]) -> bool:
        """Whether this is the right answer."""
        found = document.get("probabilities", {})
        near = all(abs(found.get(name, 9.0) - share) <= SAME_WITHIN for name, share in self.probabilities.items())
        return status == 200 and document["label"] == self.label and near


def prepare(folder: Path, count: int) -> tuple[Path, list[Path], list[Wanted]]:
    """The deployed model, the files, and what the model says of each."""
    cells = list_cells(folder / "cells.csv")
    files = []
    (folder / "cells").mkdir()
    for row in range(count):
        files.append(folder / "cells" / f"{row:05}.png")
        files[-1].write_bytes(bytes(cells.read(row)))
    cache = folder / "head.h5"
    extract_features(cells, load_backbone(BUNDLED), into=cache, settings=Settings(device="cpu"))
    head, _ = train_head(cache, "logreg")
    deploy_head(head, into=folder / "cells.onnx")
    model = open_deployed(folder / "cells.onnx", device="cpu")
    wanted = []
    for file in files:
        said = model.to_document(model.run(model.decode(file.read_bytes())))
        wanted.append(Wanted(file.read_bytes(), said["label"], said["probabilities"]))
    return folder / "cells.onnx", files, wanted


def extract(folder: Path, into: Path) -> float:
    """Images a second."""
    images = list_images(folder)
    begin = time.perf_counter()
    extract_features(images, load_backbone(BUNDLED), into=into, settings=Settings(device="cpu"), overwrite=True)
    return len(images) / (time.perf_counter() - begin)


def serve(model: Path, wanted: Sequence[Wanted], clients: int, seed: int) -> dict[str, Any]:
    """What 16 clients saw of a new server, and its memory once a fifth is answered and at the end."""
    command = [sys.executable, "-m", "featx", "serve", str(model), "--device", "cpu", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        lines = []
        while (line := running.stdout.readline()) != "}\n":
            lines.append(line)
        port = int(json.loads("".join([*lines, "}"]))["address"].rpartition(":")[2])
        first = len(wanted) // 5
        warm = ask_all(port, wanted[:first], clients, seed)
        before = psutil.Process(running.pid).memory_info().rss
        begin = time.perf_counter()
        tally = ask_all(port, wanted, clients, seed + 1)
        seconds = time.perf_counter() - begin
        after = psutil.Process(running.pid).memory_info().rss
        running.send_signal(signal.SIGTERM)
        running.wait(30)
    return {
        "images_per_second": len(tally.seconds) / seconds,
        "answers": len(warm.seconds) + len(tally.seconds),
        "wrong": warm.wrong + tally.wrong,
        "given_up": warm.given_up + tally.given_up,
        "p50_ms": 1000 * float(np.quantile(tally.seconds, 0.5)),
        "p99_ms": 1000 * float(np.quantile(tally.seconds, 0.99)),
        "memory_before": before,
        "memory_after": after,
    }


def ask_all(port: int, wanted: Sequence[Wanted], clients: int, seed: int) -> Tally:
    """Ask for all images once, from this number of clients at the same time."""
    tally = Tally()
    with ThreadPoolExecutor(clients) as pool:
        for client in range(clients):
            pool.submit(ask, port, wanted[client::clients], random.Random(seed * clients + client), tally)
    missing = len(wanted) - len(tally.seconds)
    tally.wrong += missing
    return tally


def ask(port: int, wanted: Sequence[Wanted], chosen: random.Random, tally: Tally) -> None:
    """Ask for these images one after the other, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for one in wanted:
        if chosen.random() < GIVEN_UP:
            give_up(port, one.image, chosen.random())
            tally.given_up += 1
        begin = time.perf_counter()
        connection.request("POST", "/classify", one.image)
        response = connection.getresponse()
        body = response.read()
        tally.seconds.append(time.perf_counter() - begin)
        tally.wrong += not one.is_answer(response.status, json.loads(body))
    connection.close()


def give_up(port: int, image: bytes, share: float) -> None:
    """Send a part of a request, or in one of three cases all of it, and hang up as a killed process does."""
    whole = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image)}\r\n\r\n".encode() + image
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(whole[: int(len(whole) * min(1.0, 1.5 * share))])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HANG_UP)


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    extracted: list[float] = []
    served: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, _, wanted = prepare(folder, arguments.images)
        for repeat in range(arguments.repeats):
            turns = ["extract", "serve"] if repeat % 2 else ["serve", "extract"]
            for turn in turns:
                if turn == "serve":
                    served.append(serve(model, wanted, arguments.clients, repeat))
                else:
                    extracted.append(extract(folder / "cells", folder / "cells.h5"))
            print(f"{extracted[-1]:.1f} extracted a second; served: {served[-1]}", flush=True)
    ratio = [one["images_per_second"] / speed for one, speed in zip(served, extracted, strict=True)]
    memory = [one["memory_after"] / one["memory_before"] for one in served]
    keep(
        "serving",
        {
            "images": arguments.images,
            "clients": arguments.clients,
            "given_up": GIVEN_UP,
            "extracted_per_second": extracted,
            "served": served,
            "ratio": ratio,
            "memory_ratio": memory,
        },
        beside=("starlette", "uvicorn"),
    )


if __name__ == "__main__":
    main()
