"""The page: what it is written with and where, and in a real browser, that it says what the model says."""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featx.deploy import deploy_head
from featx.errors import HeadError, ServingError
from featx.estimators import OneVsRest
from featx.inputs import PixelSpec, decode_image
from featx.serving import reserve_page
from featx.serving.browser_page import SOURCES, describe_input
from featx.serving.deployed import open_deployed
from featx.serving.preparing import ModelInput
from featx.serving.runtime_files import FILES, PACKAGE, bring_runtime
from featx.settings import FILTERS
from tests.conftest import Tiny, draw_image
from tests.support.cards import with_keys
from tests.support.deployed import head_on
from tests.support.served_models import CLASSES, write_deployed

HOSTILE = ("</script><script>fetch('//x')</script>", "{{pixels}}", "<!--<script>", "\u202eexe", "'\"&\x00\n")
CHROMIUM = shutil.which("chromium")
SECONDS = 60_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a page, with files in place of the runtime, which is downloaded only if they are missing."""
    (tmp_path / "site" / PACKAGE).mkdir(parents=True)
    for name in FILES:
        (tmp_path / "site" / PACKAGE / name).write_text("the runtime")
    return tmp_path / "site"


def write(page: Path, model: Path, *, overwrite: bool = False) -> str:
    with reserve_page(page, overwrite=overwrite) as target:
        return target.write(model).read_text(encoding="utf-8")


def about(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="about-model">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_page_for_a_model_that_takes_crops_is_refused(tmp_path: Path) -> None:
    spec = PixelSpec(size=8, resize=10, mean=(0.0,) * 3, std=(1.0,) * 3)
    taken = ModelInput("pixels", spec, "exact", "uint8", False, ("center", "crop-top-left"))
    with pytest.raises(ServingError, match=r"2 views of an image, and the page cannot make crop-top-left; train on"):
        describe_input(taken)


def test_a_page_says_what_its_script_needs_to_know_and_has_the_model_beside_it(folder: Path, tmp_path: Path) -> None:
    model = write_deployed(tmp_path / "colours.onnx")
    found = about(write(folder / "demo.html", model))
    assert (found["model"], found["classes"], found["multilabel"]) == ("colours.onnx", list(CLASSES), False)
    assert found["inputs"][0] | {"size": 16, "resize": 18, "filter": "bicubic"} == found["inputs"][0]
    assert (folder / "colours.onnx").read_bytes() == model.read_bytes()


def test_names_of_classes_can_neither_end_the_script_nor_take_the_place_of_another(folder: Path) -> None:
    text = write(folder / "demo.html", write_deployed(folder / "m.onnx", classes=HOSTILE))
    plain = write(folder / "plain.html", write_deployed(folder / "p.onnx"))
    assert about(text)["classes"] == list(HOSTILE)
    for mark in ("<script", "</script", "<!--", "function windowsOf"):
        assert text.count(mark) == plain.count(mark)


def test_a_page_asks_for_nothing_elsewhere(folder: Path) -> None:
    text = write(folder / "demo.html", write_deployed(folder / "m.onnx"))
    assert re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"(?m)(^|\s)//.*$", "", text)) == ["http://localhost"]
    assert "default-src 'none'" in text


def test_nothing_of_somebody_else_is_replaced(folder: Path, tmp_path: Path) -> None:
    model = write_deployed(tmp_path / "m.onnx")
    (folder / "own.html").write_text("<p>my own page")
    (folder / "m.onnx").write_bytes(b"my own model")
    with pytest.raises(ServingError, match=r"own\.html"):
        write(folder / "own.html", model, overwrite=True)
    with pytest.raises(HeadError, match=r"m\.onnx"):
        write(folder / "demo.html", model, overwrite=True)
    write(folder / "second.html", write_deployed(folder / "beside.onnx"))
    with pytest.raises(ServingError, match="--page, or replace it with --overwrite"):
        write(folder / "second.html", folder / "beside.onnx")
    assert (folder / "own.html").read_text() == "<p>my own page"
    assert (folder / "m.onnx").read_bytes() == b"my own model"


def test_without_npm_the_page_says_what_to_install_or_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServingError, match=r"install Node\.js .* or copy ort\.wasm\.min\.mjs") as error:
        bring_runtime(tmp_path)
    assert "\n" not in str(error.value)


def test_an_npm_that_fails_is_quoted_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho more >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    with pytest.raises(ServingError, match=r"\(npm error code ENOTFOUND\); check the network"):
        bring_runtime(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def crops() -> Iterator[tuple[np.ndarray[Any, Any], PixelSpec]]:
    rng = np.random.default_rng(0)
    for filter_ in FILTERS:
        for height, width in ((40, 60), (61, 37), (20, 20), (18, 30), (9, 70)):
            for channels in ("RGB", "L"):
                size = int(rng.integers(8, 30))
                resize = size + int(rng.integers(0, 9))
                spec = PixelSpec(
                    size=size, resize=resize, filter=filter_, channels=channels, mean=(0.0,) * 3, std=(1.0,) * 3
                )
                yield rng.integers(0, 256, (height, width, 3), np.uint8), spec


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js, which runs the page's script here, is not installed")
def test_the_pages_script_resamples_bit_for_bit_as_pillow_does() -> None:
    cases = list(crops())
    given = [
        {
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "data": np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]).ravel().tolist(),
            "input": {key: getattr(spec, key) for key in ("size", "resize", "filter", "channels")} | {"crop": "center"},
        }
        for pixels, spec in cases
    ]
    ask = """
        const cases = JSON.parse(require("fs").readFileSync(0));
        for (const one of cases) { one.data = Uint8ClampedArray.from(one.data); }
        console.log(JSON.stringify(cases.map((one) => Array.from(cropImage(one, one.input)))));
    """
    script = (SOURCES / "pixels.js").read_text() + ask
    command = ["node", "-e", script]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    for (pixels, spec), answer in zip(cases, found, strict=True):
        assert answer == decode_image(pixels, spec).ravel().tolist(), spec


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of this folder on a plain server, within the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real runtime."""
    if not shutil.which("npm"):
        pytest.skip("npm, which downloads onnxruntime-web, is not installed")
    folder = tmp_path_factory.mktemp("runtime")
    try:
        bring_runtime(folder)
    except ServingError as error:
        pytest.skip(f"onnxruntime-web cannot be downloaded here: {error}")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is missing")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def images() -> Iterator[tuple[str, bytes]]:
    """Twenty images of several formats and sizes: turned, transparent, with a palette, grey."""
    for seed in range(12):
        yield f"{seed}.png", encode(draw_image(seed, size=(30 + 17 * seed, 211 - 9 * seed), colour=seed % 3), "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = draw_image(50, size=(333, 200))
    yield "turned.jpg", encode(picture, "JPEG", quality=90, exif=turned)
    yield "plain.jpg", encode(picture, "JPEG", quality=60)
    yield "grey.jpg", encode(picture.convert("L"), "JPEG")
    clear = picture.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(picture.size))
    yield "clear.png", encode(clear, "PNG")
    yield "palette.gif", encode(picture, "GIF")
    yield "lossless.webp", encode(picture, "WEBP", lossless=True)
    yield "same size.bmp", encode(draw_image(51, size=(18, 18)), "BMP")
    yield "<b>tiny.png", encode(draw_image(52, size=(3, 5)), "PNG")


def answers_of(page: Any) -> dict[str, float]:
    read = "rows => rows.map(row => [row.children[0].textContent, row.querySelector('meter').value])"
    return dict(page.locator("#rows tr").evaluate_all(read))


@pytest.mark.exhaustive
@pytest.mark.parametrize("prepared", [{}, {"exif": True}, {"channels": "L"}], ids=str)
def test_the_page_in_a_browser_gives_the_labels_and_probabilities_of_the_model(
    runtime: Path, browser: Any, prepared: dict[str, Any]
) -> None:
    check(runtime, browser, write_deployed(runtime / "m.onnx", classes=HOSTILE, each_pixel=True, **prepared))


@pytest.mark.exhaustive
@pytest.mark.parametrize("multilabel", [False, True])
def test_the_page_normalises_for_each_input_of_a_model_as_featx_does(
    runtime: Path, browser: Any, tiny: Tiny, make_tiny: Callable[..., Tiny], models: Path, *, multilabel: bool
) -> None:
    other = make_tiny(models, name="other", seed=1, layout="NHWC", scale=0.1).backbone
    changed = replace(other, card=with_keys(other.card, resize=31))
    changed.path.with_suffix(".toml").write_text(changed.card.to_toml(), encoding="utf-8")
    head = head_on(tiny.backbone, changed, classifier=OneVsRest() if multilabel else None, multilabel=multilabel)
    deployed = deploy_head(head, into=runtime / "h.onnx", models=models, takes="float", overwrite=True)
    assert len(deployed.inputs) == 2
    check(runtime, browser, deployed.path)


def check(runtime: Path, browser: Any, path: Path) -> None:
    """The page says of each image in a browser what the model says, and asks for nothing elsewhere."""
    from playwright.sync_api import expect

    model = open_deployed(path, device="cpu")
    write(runtime / "demo.html", path, overwrite=True)
    faults: list[str] = []
    asked: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("request", lambda request: asked.append(request.url))
    with hosted(runtime) as address:
        page.goto(f"{address}/demo.html")
        expect(page.locator("#status")).to_contain_text("Drop an image", timeout=SECONDS)
        for name, image in images():
            page.set_input_files("#file", {"name": name, "mimeType": "image/*", "buffer": image})
            expect(page.locator("#status.done")).to_contain_text(f"{name}: ", timeout=SECONDS)
            wanted = model.to_document(model.run(model.decode(image)))
            said = page.locator("#status").text_content()
            if not model.multilabel:
                assert said.startswith(f"{name}: {wanted['label']}, ")
            elif not wanted["label"]:
                assert said == f"{name}: none of the classes"
            else:
                assert said == f"{name}: {wanted['label'].replace('|', ', ')}"
            assert answers_of(page) == pytest.approx(wanted["probabilities"], abs=1e-3), name
        page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"})
        expect(page.locator("#status.failed")).to_have_text(re.compile(r"a\.txt cannot be classified"))
    page.close()
    assert not faults
    assert all(url.startswith((address, "blob:")) for url in asked)


@pytest.mark.exhaustive
def test_the_page_opened_as_a_file_says_how_to_open_it(folder: Path, browser: Any) -> None:
    write(folder / "demo.html", write_deployed(folder / "m.onnx"))
    page = browser.new_page()
    page.goto((folder / "demo.html").as_uri())
    said = page.locator("#status").text_content()
    disabled = page.locator("#file").is_disabled()
    page.close()
    assert "python -m http.server" in said
    assert "localhost:8000/demo.html" in said
    assert disabled
