"""file_kinds: a file that is something else is called what it is, with the step that helps."""

import pytest

from featx.file_kinds import name_kind

KINDS = {
    "a Git LFS pointer instead of the file; run `git lfs pull`": b"version https://git-lfs.github.com/spec/v1\n",
    "a web page (HTML) instead of the file": b"\n<!DOCTYPE html><html></html>",
    "a HEIC (HEIF) image; convert it": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
    "an AVIF image": b"\0\0\0\x18ftypavif\0\0\0\0",
    "a video; extract its frames": b"\0\0\0\x20ftypisom\0\0\2\0",
    "a video (AVI)": b"RIFF\0\0\0\0AVI LIST",
    "a JPEG XL image": b"\xff\x0a" + bytes(100),
    "a PDF document": b"%PDF-1.7\n",
    "an SVG drawing": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "JSON": b'{"error": "rate limit"}',
    "a Photoshop document": b"8BPS\0\1" + bytes(60),
    "a DICOM image": bytes(128) + b"DICM" + bytes(60),
    "a ZIP archive; unpack it": b"PK\3\4" + bytes(60),
    "a tar; give it as FILE.tar": bytes(257) + b"ustar",
    "zeros only": bytes(10_000),
    "text": "Überschrift\n".encode() * 1000,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_called_what_it_is(kind: str) -> None:
    assert name_kind(KINDS[kind]).startswith(kind)


@pytest.mark.parametrize("data", [b"", b"\1\2\3", b"\xff\xd8\xff\xe0", bytes(range(256))])
def test_what_is_unknown_gets_no_name(data: bytes) -> None:
    assert name_kind(data) == ""
