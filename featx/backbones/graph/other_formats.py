"""Names what a file or folder is that was given as an ONNX model and is none."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from featx.errors import BackboneError
from featx.file_kinds import START_BYTES, name_kind

_FROM_TORCH = "export it with torch.onnx.export, or with `featx export FILE.py:ATTRIBUTE --weights FILE`"
_FROM_TENSORFLOW = "convert it with `python -m tf2onnx.convert`"
_FROM_KERAS = "export it with Keras' model.export(..., format='onnx')"
_FROM_OPENVINO = "OpenVINO cannot write ONNX: export the original model, from which it was converted, to ONNX"
_STEPS = ("run `git", "log in", "download", "decompress", "unpack", "copy it again")
"""Parts of the next steps that are right for a model too."""
_STARTS = {
    b"\x80\x02": f"a Python pickle, such as weights of old versions of PyTorch; {_FROM_TORCH}",
    b"\x80\x04": f"a Python pickle; {_FROM_TORCH}",
    b"\x89HDF": f"an HDF5 file, such as a model of Keras; {_FROM_KERAS}",
    b"GGUF": "a GGUF file, whose weights only llama.cpp reads; export the original model to ONNX",
    b"ftrt": "an engine of TensorRT, which works on one kind of GPU; give the ONNX model from which it was built",
    b"ptrt": "an engine of TensorRT, which works on one kind of GPU; give the ONNX model from which it was built",
    b"\x89PNG": "a PNG image; name an .onnx file",
    b"\xff\xd8\xff": "a JPEG image; name an .onnx file",
}
_AT_FOUR = {
    b"TFL3": f"a model of TensorFlow Lite; {_FROM_TENSORFLOW} --tflite FILE",
    b"ORTM": "a model in the ORT format, which cannot be cut; give the .onnx file from which it was made",
}
"""What a file is by its bytes 4 to 8."""
_TENSORFLOW = (b"StatefulPartitionedCall", b"\x05serve", b"Placeholder", b"\x08tf_saved", b"VarHandleOp")
"""What stands near the start of the graphs of TensorFlow."""
_TENSORFLOW_BYTES = 2**20


def refuse_other_formats(path: Path) -> None:
    """Raise BackboneError if the path is a folder, empty, or a file of another known format."""
    if path.is_dir():
        raise BackboneError(f"{path}: {_name_folder(path)}")
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    kind = next(_iter_kinds(path, start), "")
    if kind:
        raise BackboneError(f"{path}: not an ONNX model but {kind}")


def _name_folder(path: Path) -> str:
    """What the folder is, and what to give instead."""
    if (path / "saved_model.pb").exists():
        return f"not an ONNX model but a SavedModel of TensorFlow; {_FROM_TENSORFLOW} --saved-model FOLDER"
    if (path / "Manifest.json").exists() and path.suffix == ".mlpackage":
        return "not an ONNX model but one of Core ML; export the original model to ONNX"
    inside = sorted(one.name for one in path.glob("*.onnx"))
    return f"a folder and not an ONNX model; name an .onnx file{' in it: ' + ', '.join(inside[:3]) if inside else ''}"


def _iter_kinds(path: Path, start: bytes) -> Iterator[str]:
    if not start:
        yield "an empty file; download or export it again"
    yield from (kind for magic, kind in _STARTS.items() if start.startswith(magic))
    yield from (kind for magic, kind in _AT_FOUR.items() if start[4:8] == magic)
    if start[:4] == b"PK\3\4":
        yield _name_zip(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        yield f"weights alone (safetensors), without a network; {_FROM_TORCH}"
    if start.lstrip().startswith(b"<") and b"<net " in start:
        yield f"a model of OpenVINO; {_FROM_OPENVINO}"
    if known := name_kind(start):
        what, _, step = known.partition("; ")
        yield known if any(part in step for part in _STEPS) else f"{what}; name an .onnx file"


def _name_zip(path: Path) -> str:
    """What a ZIP archive is: PyTorch and Keras save models in such archives."""
    try:
        with ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()[:1000]]
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return "a damaged ZIP archive; download it again"
    if any(name.endswith("data.pkl") for name in names):
        return f"a file of PyTorch; {_FROM_TORCH}"
    if "model.weights.h5" in names:
        return f"a model of Keras; {_FROM_KERAS}"
    inside = [name for name in names if name.endswith(".onnx")]
    return f"a ZIP archive; unpack it, and name the .onnx file{' ' + inside[0] if inside else ''}"


def _looks_like_tensorflow(path: Path) -> bool:
    """Whether a file that cannot be read as ONNX seems to be a graph of TensorFlow."""
    try:
        with path.open("rb") as file:
            start = file.read(_TENSORFLOW_BYTES)
    except OSError:
        return False
    return path.name == "saved_model.pb" or any(word in start for word in _TENSORFLOW)


def name_unreadable(path: Path, reason: str) -> str:
    """The message for a file that begins like ONNX and yet cannot be read."""
    if _looks_like_tensorflow(path):
        return f"{path}: not an ONNX model but a graph of TensorFlow, it seems; {_FROM_TENSORFLOW}"
    return f"{path}: not a readable ONNX model ({reason}); export it again, or download it again if it is cut short"
