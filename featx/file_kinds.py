"""Names what a file is, by its first bytes, when it is not what it was given as."""

from collections.abc import Iterator

START_BYTES = 4096
"""Number of the first bytes of a file by which it is named."""

_CONVERT = "convert it to JPEG or PNG"
_UNPACK = "unpack it, and give the folder"
_STARTS = {
    b"version https://git-lfs": "a Git LFS pointer instead of the file; run `git lfs pull`",
    b"/annex/objects/": "a git-annex pointer instead of the file; run `git annex get`",
    b"\xff\x0a": f"a JPEG XL image; {_CONVERT}",
    b"\0\0\0\x0cJXL \r\n\x87\n": f"a JPEG XL image; {_CONVERT}",
    b"II\xbc\x01": f"a JPEG XR image; {_CONVERT}",
    b"8BPS": f"a Photoshop document; {_CONVERT}",
    b"gimp xcf": f"a GIMP document; {_CONVERT}",
    b"%PDF-": f"a PDF document; {_CONVERT}",
    b"%!PS": f"a PostScript document; {_CONVERT}",
    b"SIMPLE  =": "a FITS file; convert it to PNG or TIFF of 8 or 16 bits",
    b"\x76\x2f\x31\x01": f"an OpenEXR image; {_CONVERT}",
    b"#?RADIANCE": f"a Radiance HDR image; {_CONVERT}",
    b"DDS ": f"a DDS texture; {_CONVERT}",
    b"qoif": f"a QOI image; {_CONVERT}",
    b"\0\0\1\0": f"an icon (ICO); {_CONVERT}",
    b"icns": f"an icon (ICNS); {_CONVERT}",
    b"FUJIFILMCCD-RAW": f"a raw photo of a camera; {_CONVERT}",
    b"PK\3\4": f"a ZIP archive; {_UNPACK}",
    b"PK\5\6": "an empty ZIP archive; check where it comes from",
    b"Rar!": f"a RAR archive; {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive; {_UNPACK}",
    b"\x1f\x8b": "compressed by gzip; decompress it (gunzip)",
    b"BZh": "compressed by bzip2; decompress it (bunzip2)",
    b"\xfd7zXZ": "compressed by xz; decompress it (unxz)",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard; decompress it (unzstd)",
    b"\x1a\x45\xdf\xa3": "a video (Matroska or WebM); extract its frames, for example with ffmpeg",
    b"OggS": "an Ogg file of sound or video, not an image",
    b"ID3": "a sound file, not an image",
    b"\x89HDF": "an HDF5 file; give it as FILE.h5",
    b"\x93NUMPY": "a NumPy array; give it as FILE.npy",
    b"PAR1": "a Parquet table; give it as FILE.parquet",
    b"SQLite format 3": "an SQLite database, not an image",
    b"\0\5\x16\7": "metadata of macOS (AppleDouble), not an image; delete it",
    b"\x80\2": "a Python pickle, which is not read, as it could run any code",
    b"\x80\4": "a Python pickle, which is not read, as it could run any code",
    b"\x7fELF": "a program, not an image",
    b"MZ": "a program, not an image",
}
_BRANDS = {
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), f"a HEIC (HEIF) image; {_CONVERT}"
    ),
    **dict.fromkeys((b"avif", b"avis"), f"an AVIF image; install a newer Pillow, or {_CONVERT}"),
    b"crx ": f"a raw photo of a camera; {_CONVERT}",
}
"""Brand of a file of the ISO base media format (after `ftyp`) -> what it is; all others are videos."""


def name_kind(data: bytes) -> str:
    """What the file with these first bytes is, and what to do with it, in words; empty if that is unknown.

    >>> from featx.file_kinds import name_kind
    >>> name_kind(b"%PDF-1.7")
    'a PDF document; convert it to JPEG or PNG'
    """
    return next(_iter_kinds(data[:START_BYTES]), "")


def name_given(data: bytes) -> str:
    """What the file with these first bytes is, also if featx wrote it, to append to `not a cache`; may be empty.

    >>> from featx.file_kinds import name_given
    >>> name_given(b"%PDF-1.7")
    ', but a PDF document'
    """
    start = data[:START_BYTES]
    own = next((kind for magic, kind in _OWN if start.startswith(magic)), "")
    if start.startswith(b"PK\3\4") and start[30:39] == b"head.json":
        own = "a featx head"
    kind = own or name_kind(start).partition(";")[0]
    return f", but {kind}" if kind else ""


_OWN = ((b"featx cache", "a featx cache"), (b'{"head": "', "a file of results of `featx compare`"))
"""Beginning of a file that featx wrote -> what it is."""


def _iter_kinds(start: bytes) -> Iterator[str]:
    yield from (kind for magic, kind in _STARTS.items() if start.startswith(magic))
    if start[4:8] == b"ftyp":
        yield _BRANDS.get(start[8:12], "a video; extract its frames, for example with ffmpeg")
    if start.startswith(b"RIFF"):
        video = start[8:12] == b"AVI "
        yield "a video (AVI); extract its frames, for example with ffmpeg" if video else "a RIFF file, not an image"
    if start[128:132] == b"DICM":
        yield "a DICOM image; convert it to PNG of 8 or 16 bits"
    if start[257:262] == b"ustar":
        yield "a tar; give it as FILE.tar"
    if start and not any(start):
        yield "zeros only, as after a copy or download that failed; copy it again"
    yield from _iter_texts(start)


def _iter_texts(start: bytes) -> Iterator[str]:
    """What a file of text is."""
    try:
        text = start.decode("utf-8-sig", "strict" if len(start) < START_BYTES else "ignore").lstrip()
    except UnicodeDecodeError:
        return
    lower = text.lower()
    if lower.startswith(("<!doctype html", "<html", "<head", "<body")):
        yield "a web page (HTML) instead of the file; log in or correct the address, and download it again"
    if lower.startswith("<") and "<svg" in lower:
        yield f"an SVG drawing; {_CONVERT}"
    if lower.startswith("<"):
        yield "XML, such as the error message of a server; download the file again"
    if lower.startswith(("{", "[")):
        yield "JSON, such as the error message of a server; download the file again"
    if text and all(letter.isprintable() or letter.isspace() for letter in text):
        yield "text; check where it comes from"
