"""serve: what is asked is answered, what extraction refuses is refused in the same words, and nothing piles up."""

import asyncio
import base64
import io
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from prometheus_client.parser import text_string_to_metric_families

from featx.cli.interrupts import interruption
from featx.errors import DecodeError, ServingError
from featx.inputs import PixelSpec, decode_image
from featx.serving import Limits, serve_model
from featx.serving.application import FaultLog
from featx.serving.deployed import open_deployed
from tests.conftest import Ran, draw_image, run_featx
from tests.support.served_models import CLASSES, write_deployed
from tests.support.serving import Address, serving

SPEC = PixelSpec(size=16, resize=18, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_deployed(tmp_path_factory.mktemp("deployed") / "colours.onnx")


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[Address]:
    with serving(path, Limits(max_body=200_000, queue=4, timeout=0.3)) as address:
        yield address


def png(seed: int = 0, **drawn: Any) -> bytes:
    file = io.BytesIO()
    draw_image(seed, **drawn).save(file, "PNG")
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims to have this size and has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def expected(path: Path, *images: bytes) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Labels and probabilities from the runtime itself."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pixels = np.stack([decode_image(image, SPEC) for image in images])
    labels, probabilities = session.run(["label", "probabilities"], {"pixels": pixels})
    return list(labels), probabilities


@pytest.mark.parametrize("colour", range(3))
def test_an_image_gets_the_label_and_probabilities_that_the_model_gives_its_pixels(
    server: Address, path: Path, colour: int
) -> None:
    image = png(colour, colour=colour, size=(31, 22))
    answered = server.ask("/classify", image)
    labels, probabilities = expected(path, image)
    assert answered.status == 200
    assert answered.json["label"] == labels[0] == CLASSES[colour]
    assert answered.json["probability"] == pytest.approx(probabilities[0].max(), abs=1e-6)
    assert answered.json["probabilities"] == pytest.approx(dict(zip(CLASSES, probabilities[0], strict=True)), abs=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"%PDF-1.7 and so on",
        png()[:-40],
        png_of_size(40_000, 40_000),
        png_of_size(8, 8),
        b"\xff\xd8\xff",
    ],
    ids=["empty", "text", "pdf", "cut short", "bomb", "no pixels", "only a beginning"],
)
def test_a_body_that_extraction_would_refuse_is_refused_in_the_same_words(server: Address, body: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_image(body, SPEC)
    answered = server.ask("/classify", body)
    assert answered.status == 422
    assert answered.json == {"error": str(refused.value), "failure": refused.value.failure.name}


def test_the_first_frame_of_an_animation_is_classified_as_extraction_does(server: Address, path: Path) -> None:
    file = io.BytesIO()
    draw_image(1, colour=2).save(file, "GIF", save_all=True, append_images=[draw_image(2, colour=0)])
    assert server.ask("/classify", file.getvalue()).json["label"] == expected(path, file.getvalue())[0][0]


def test_a_form_is_told_to_send_the_image_itself(server: Address) -> None:
    answered = server.ask("/classify", b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answered.status == 415
    assert "--data-binary" in answered.json["error"]


def test_a_body_that_is_too_large_is_refused_whether_its_length_is_declared_or_not(server: Address) -> None:
    declared = server.ask("/classify", b"0" * 200_001)
    undeclared = server.ask("/classify", iter([b"0" * 150_000] * 2))
    assert declared.status == undeclared.status == 413
    assert "200000 bytes" in declared.json["error"]


def begin(server: Address, *, length: int) -> socket.socket:
    """A connection on which a request has begun, whose body has yet to come."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    return connection


def test_a_body_that_does_not_arrive_in_time_is_refused_and_the_connection_closed(server: Address) -> None:
    with begin(server, length=100) as connection:
        connection.sendall(b"slow")
        answer = b""
        while part := connection.recv(1000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"0.3 seconds" in answer


@pytest.mark.parametrize("said", [b"", b"POST /classify HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_on_which_no_request_comes_is_closed(server: Address, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(said)
        assert connection.recv(100) == b""


def test_more_images_than_the_queue_holds_are_told_to_come_back(path: Path) -> None:
    with serving(path, Limits(queue=1)) as server:
        with begin(server, length=100):
            while (answered := server.ask("/classify", png())).status == 200:
                pass  # the other request has not arrived yet
            assert answered.status == 503
            assert answered.headers["retry-after"] == "1"
            assert server.ask("/v2/health/live").status == 200
        while (answered := server.ask("/classify", png())).status == 503:
            pass  # until the server has noticed that the other client has gone
        assert answered.status == 200


def test_a_client_that_leaves_is_counted_and_others_are_answered(server: Address) -> None:
    begin(server, length=100).close()
    while 'status="499"' not in server.ask("/metrics").body.decode():
        pass
    assert server.ask("/classify", png()).status == 200


def test_the_routes_of_the_protocol_describe_the_server_and_its_model(server: Address) -> None:
    assert server.ask("/v2").json["name"] == "featx"
    assert server.ask("/v2/health/live").json == {"live": True}
    assert server.ask("/v2/health/ready").json == {"ready": True}
    assert server.ask("/v2/models/colours/ready").json == {"name": "colours", "ready": True}
    model = server.ask("/v2/models/colours").json
    assert model["inputs"][0] == {"name": "pixels", "datatype": "UINT8", "shape": [-1, 16, 16, 3]}
    assert model["outputs"][1] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}
    assert model["parameters"]["classes"] == list(CLASSES)


@pytest.mark.parametrize("nested", [True, False])
def test_tensors_of_pixels_get_the_answers_of_the_runtime(server: Address, path: Path, *, nested: bool) -> None:
    images = [png(seed, colour=seed) for seed in range(3)]
    pixels = np.stack([decode_image(image, SPEC) for image in images])
    data = pixels.tolist() if nested else pixels.ravel().tolist()
    tensor = {"name": "pixels", "shape": list(pixels.shape), "datatype": "UINT8", "data": data}
    answered = server.infer("colours", tensor, id="seven").json
    labels, probabilities = expected(path, *images)
    assert (answered["id"], answered["model_name"]) == ("seven", "colours")
    assert answered["outputs"][0] == {"name": "label", "datatype": "BYTES", "shape": [3], "data": labels}
    assert answered["outputs"][1]["data"] == pytest.approx(probabilities.ravel().tolist(), abs=1e-6)


def image_tensor(*images: bytes) -> dict[str, Any]:
    data = [base64.b64encode(image).decode() for image in images]
    return {"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": data}


def test_image_files_in_base64_are_decoded_and_only_the_outputs_asked_for_come_back(server: Address) -> None:
    tensor = image_tensor(png(0, colour=1), png(1, colour=0))
    answered = server.infer("colours", tensor, outputs=[{"name": "label"}]).json
    assert answered["outputs"] == [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ["green", "red"]}]


PIXELS: dict[str, Any] = {"name": "pixels", "shape": [1, 16, 16, 3], "datatype": "UINT8", "data": [7] * 768}


@pytest.mark.parametrize(
    ("tensor", "named"),
    [
        (PIXELS | {"name": "other"}, "the inputs are other but should be pixels, or image alone"),
        (PIXELS | {"datatype": "FP32"}, "'FP32' but takes UINT8"),
        (PIXELS | {"shape": [1, 8, 8, 3]}, "[1, 8, 8, 3] but takes [-1, 16, 16, 3]"),
        (PIXELS | {"shape": [0, 16, 16, 3], "data": []}, "at least one image"),
        (PIXELS | {"shape": "all"}, "shape all but takes"),
        (PIXELS | {"shape": [5, 16, 16, 3]}, "5 images, more than the 4"),
        (PIXELS | {"data": [7] * 767}, "768 whole numbers"),
        (PIXELS | {"data": [7.5] * 768}, "768 whole numbers"),
        (PIXELS | {"data": [[1, 2], [3]]}, "no array"),
        (PIXELS | {"data": [256] * 768}, "outside 0 to 255"),
        (PIXELS | {"data": None}, "768 whole numbers"),
        (PIXELS | {"data": [2**70] * 768}, "768 whole numbers"),
        (image_tensor(b"hello"), "image 0: not an image"),
        (image_tensor(b"x") | {"data": ["%%"]}, "image 0 is not the bytes of a file in base64"),
        (image_tensor(b"x") | {"data": [7]}, "image 0 is not the bytes of a file in base64"),
        (image_tensor(b"x") | {"shape": [2]}, "list of 2 texts"),
    ],
    ids=str,
)
def test_a_tensor_that_does_not_fit_is_refused_and_what_fits_is_named(
    server: Address, tensor: dict[str, Any], named: str
) -> None:
    answered = server.infer("colours", tensor)
    assert answered.status == 400
    assert named in answered.json["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"inputs": []}', b"\xff", b"[" * 100_000, b'{"inputs": [1]}'], ids=repr
)
def test_a_body_that_is_no_request_of_the_protocol_is_refused(server: Address, body: bytes) -> None:
    assert server.ask("/v2/models/colours/infer", body).status == 400


def test_an_output_or_model_or_route_or_method_that_is_not_there_is_named(server: Address) -> None:
    assert "no output 'logits'" in server.infer("colours", PIXELS, outputs=[{"name": "logits"}]).json["error"]
    assert "no model 'other'" in server.infer("other", PIXELS).json["error"]
    assert server.ask("/v2/models/other").status == 404
    assert server.ask("/other").json["error"].startswith("GET /other")
    assert server.ask("/classify").status == 405


def test_metrics_count_requests_images_and_runs(path: Path) -> None:
    with serving(path) as server:
        for body in (png(), png(), b"text"):
            server.ask("/classify", body)
        families = list(text_string_to_metric_families(server.ask("/metrics").body.decode()))
    values = {(one.name, one.labels.get("status")): one.value for family in families for one in family.samples}
    assert values["featx_requests_total", "200"] == 2
    assert values["featx_requests_total", "422"] == 1
    assert values["featx_images_total", None] == 2
    assert values["featx_batch_images_count", None] == 2
    assert values["featx_request_seconds_count", None] == 3
    assert values["featx_admitted_images", None] == 0


def test_hostile_names_of_classes_are_data_and_ascii(tmp_path: Path) -> None:
    classes = ("</script><script>alert(1)</script>", "\x1b[31mred\n", "\u202egnp.exe")
    with serving(write_deployed(tmp_path / "m.onnx", classes=classes)) as server:
        answered = server.ask("/classify", png())
    assert tuple(answered.json["probabilities"]) == classes
    assert answered.headers["content-type"] == "application/json"
    assert not any(byte < 32 or byte > 126 for byte in answered.body)


@pytest.mark.parametrize("key", ["featx.classes", "featx.preprocessing", "featx.head"])
def test_a_model_that_deploy_did_not_write_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ServingError, match=rf"has no {key}.*featx deploy"):
        open_deployed(write_deployed(tmp_path / "m.onnx", leave_out=key))


def test_a_model_whose_input_is_not_pixels_is_refused(tmp_path: Path) -> None:
    path = write_deployed(tmp_path / "m.onnx", dtype=TensorProto.FLOAT)
    with pytest.raises(ServingError, match=r"input pixels is tensor\(float\) .* but .* says tensor\(uint8\)"):
        open_deployed(path)


def served(*arguments: object) -> Ran:
    return run_featx("serve", *arguments)


def test_what_cannot_be_served_is_told_in_one_line(tmp_path: Path, path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        in_use = served(path, "--port", taken.getsockname()[1])
    (tmp_path / "text.onnx").write_text("text")
    for ran in (
        in_use,
        served(tmp_path / "none.onnx"),
        served(tmp_path / "text.onnx"),
        served(path, "--host", "256.1"),
    ):
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "choose another --port" in in_use.err


def test_a_fault_outside_of_requests_is_logged_once_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio says it a thousand times in a second when too many files are open."""
    loop = asyncio.new_event_loop()
    log = FaultLog()
    for _ in range(3):
        log(loop, {"message": "no socket", "exception": OSError(24, "Too many open files")})
    loop.close()
    assert caplog.messages == ["no socket ([Errno 24] Too many open files)"]


def test_an_interrupted_server_says_that_requests_were_answered() -> None:
    assert "requests under way were answered" in interruption(["serve", "model.onnx"])


def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(ServingError, match=r"pip install 'featx\[serve\]'"):
        serve_model(path)


def test_an_input_that_is_given_twice_is_refused(server: Address) -> None:
    answered = server.infer("colours", PIXELS, PIXELS)
    assert answered.status == 400
    assert "the inputs are pixels, pixels but should be pixels" in answered.json["error"]
