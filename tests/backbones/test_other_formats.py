"""what is no ONNX model: it is named as what it is, with the next step; and models that are newer than the runtime."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from featx.backbones import inspect_model
from featx.convert.adding import Description, describe_model
from featx.errors import BackboneError
from tests.support.graphs import Graph, classifier, open_model, random_pixels, rewrite


def zipped(*names: str) -> bytes:
    """A ZIP archive with empty files of these names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return file.getvalue()


HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
KINDS = {
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 94371840\n",
    "web page .*log in": b"<!DOCTYPE html><html><head><title>Just a moment</title></head></html>",
    "JSON, .*download": b'{"error": "Repository not found"}',
    "file of PyTorch; .*torch.onnx.export": zipped("archive/data.pkl", "archive/version"),
    "model of Keras; export": zipped("metadata.json", "config.json", "model.weights.h5"),
    "ZIP archive; unpack it, .*sub/m.onnx": zipped("sub/m.onnx"),
    "pickle, such as weights of old": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    "HDF5 file, such as a model of Keras": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "TensorFlow Lite; .*tf2onnx": b"\x1c\0\0\0TFL3" + bytes(100),
    "ORT format": b"\x1c\0\0\0ORTM" + bytes(100),
    "safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(4),
    "model of OpenVINO": b'<?xml version="1.0"?>\n<net name="m" version="11"><layers/></net>',
    "graph of TensorFlow": b"\n\x0b\n\x01x\x12\x0bPlaceholder" + bytes(50),
    "an empty file": b"",
    "gzip; decompress": b"\x1f\x8b\x08\0" + bytes(40),
    "a PNG image; name an .onnx file": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "zeros only": bytes(5000),
}


@pytest.mark.parametrize(("words", "content"), KINDS.items(), ids=lambda value: str(value)[:20])
def test_what_is_no_model_is_named_with_the_next_step(tmp_path: Path, words: str, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(BackboneError, match=rf"m\.onnx: not an ONNX model but .*{words}") as caught:
        inspect_model(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_a_saved_model_of_tensorflow_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        with pytest.raises(BackboneError, match=r"TensorFlow; .*tf2onnx|graph of TensorFlow"):
            inspect_model(path)


def test_a_folder_names_the_models_in_it(tmp_path: Path) -> None:
    (tmp_path / "inside.onnx").write_bytes(b"")
    with pytest.raises(BackboneError, match=r"a folder and not an ONNX model; name an .onnx file in it: inside\.onnx"):
        inspect_model(tmp_path)


def test_a_model_cut_short_is_called_that(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BackboneError, match=r"not a readable ONNX model .*download it again if it is cut short"):
        inspect_model(path)


def of_format(version: int) -> Callable[[onnx.ModelProto], None]:
    """A change of the version of the format alone."""

    def change(model: onnx.ModelProto) -> None:
        model.ir_version = version

    return change


def test_a_model_whose_format_alone_is_too_new_is_run_in_an_older_one_and_that_is_said(tmp_path: Path) -> None:
    path = rewrite(classifier(tmp_path), of_format(99))
    _, notes = describe_model(path, Description(name="made"))
    assert any("version 99 of the ONNX format" in note and "run as 10" in note for note in notes)
    assert open_model(path)(random_pixels(2)).shape == (2, 8)


@pytest.mark.parametrize("version", [8, 10])
def test_a_format_that_every_runtime_reads_is_not_spoken_of(tmp_path: Path, version: int) -> None:
    _, notes = describe_model(rewrite(classifier(tmp_path), of_format(version)), Description(name="made"))
    assert not any("format" in note for note in notes)


def test_operators_newer_than_the_runtime_ask_for_a_newer_one(tmp_path: Path) -> None:
    graph = Graph(opset=17)
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 5, into="logits"))

    def newer(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 99

    with pytest.raises(BackboneError, match=r"m\.onnx: is too new for ONNX Runtime .*opset 99 .*newer ONNX Runtime"):
        describe_model(rewrite(path, newer), Description(name="made"))
