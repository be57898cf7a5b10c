"""The command `serve` as a process of its own: many clients, clients that are killed, and how it ends."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from featx.cli.interrupts import SERVED
from featx.serving.deployed import open_deployed
from tests.conftest import draw_image
from tests.serving.test_page import encode
from tests.support.served_models import write_deployed
from tests.support.serving import Address

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that others can send"),
]


@contextmanager
def process(path: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """`featx serve` on any free port, and where it is."""
    command = [sys.executable, "-m", "featx", "serve", str(path), "--port", "0", "--json", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            lines = []
            while (line := running.stdout.readline()) and line != "}\n":
                lines.append(line)
            address = json.loads("".join([*lines, "}"]))["address"]
            yield running, Address(int(address.rpartition(":")[2]))
        finally:
            running.kill()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_deployed(tmp_path_factory.mktemp("deployed") / "m.onnx", size=64, each_pixel=True)


def test_16_clients_get_right_answers_while_others_are_killed_and_memory_stays(path: Path) -> None:
    model = open_deployed(path, device="cpu")
    images = [encode(draw_image(seed, size=(200, 150), colour=seed % 3), "PNG") for seed in range(20)]
    wanted = [model.to_document(model.run(model.decode(image))) for image in images]

    def ask(seed: int) -> int:
        """Ask for 50 images; one request in ten is given up on the way."""
        chosen = random.Random(seed)
        answered = 0
        for number in (chosen.randrange(len(images)) for _ in range(50)):
            if chosen.random() < 0.1:
                give_up(server, images[number], chosen.random())
                continue
            answer = server.ask("/classify", images[number])
            assert answer.status == 200
            assert answer.json["label"] == wanted[number]["label"]
            assert answer.json["probabilities"] == pytest.approx(wanted[number]["probabilities"], abs=1e-5)
            answered += 1
        return answered

    with process(path) as (running, server), ThreadPoolExecutor(16) as clients:
        list(clients.map(ask, range(16)))
        before = psutil.Process(running.pid).memory_info().rss
        answered = sum(clients.map(ask, range(16, 48)))
        after = psutil.Process(running.pid).memory_info().rss
        assert answered > 32 * 35
        assert after < before * 1.2 + 10e6
        metrics = server.ask("/metrics").body.decode()
        assert "featx_admitted_images 0.0" in metrics
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 130
        assert running.communicate()[1] == f"{SERVED}\n"


def give_up(server: Address, image: bytes, share: float) -> None:
    """Send a share of a request, or all of it, and hang up without listening."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image)}\r\n\r\n".encode()
        whole = head + image
        connection.sendall(whole[: int(len(whole) * min(1.0, 1.5 * share))])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_server_ends(path: Path, number: signal.Signals) -> None:
    image = encode(draw_image(1), "PNG")
    with process(path) as (running, server):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("POST", "/classify")
        connection.putheader("Content-Length", str(len(image)))
        connection.endheaders(image[:10])
        while "featx_admitted_images 1.0" not in server.ask("/metrics").body.decode():
            time.sleep(0.01)
        running.send_signal(number)
        with pytest.raises(OSError, match="refused"):
            while server.ask("/v2/health/live").status:
                time.sleep(0.05)
        connection.send(image[10:])
        assert connection.getresponse().status == 200
        connection.close()
        assert running.wait(20) == 130
        assert running.communicate()[1] == f"{SERVED}\n"


def test_a_client_that_never_finishes_does_not_keep_the_server_from_ending(path: Path) -> None:
    with process(path, "--timeout", 600) as (running, server):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
        while "featx_admitted_images 1.0" not in server.ask("/metrics").body.decode():
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 130
        connection.close()
        said = running.communicate()[1]
        assert "Traceback" not in said
        assert said.endswith(f"{SERVED}\n")


def test_what_is_asked_badly_costs_the_others_nothing(path: Path) -> None:
    image = encode(draw_image(1), "PNG")
    with process(path, "--max-body", 1, "--timeout", 1) as (_, server):
        slow = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        slow.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
        nonsense = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        nonsense.sendall(os.urandom(1000) + b"\r\n\r\n")
        assert server.ask("/classify", bytes(2 << 20)).status == 413
        assert server.ask("/classify", b"text").status == 422
        assert server.ask("/classify", image).status == 200
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        assert nonsense.recv(100).startswith(b"HTTP/1.1 400 ")
        slow.close()
        nonsense.close()
