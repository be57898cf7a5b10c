"""Whatever holds images in; the image set out."""

from pathlib import Path

from featx.errors import ImageSetError
from featx.images.files import Files, FileSource, LocalFiles
from featx.images.folder import list_folder
from featx.images.image_set import ImageSet
from featx.images.manifest import read_csv_manifest


def list_images(source: Path | str, *, root: Path | str | None = None) -> ImageSet:
    """The image set of a folder with one sub-folder a class, of a flat folder, or of a CSV manifest.

    A folder is ordered by name; a manifest keeps its own order, and its paths are relative to `root` (default: the
    manifest's folder). Raises ImageSetError naming the file, the line and the next step.
    """
    path = str(source)
    files: Files = LocalFiles()
    if files.is_folder(path):
        if root is not None:
            raise ImageSetError(f"--root {root} goes with a manifest, but {path} is a folder; leave it out")
        return list_folder(files, path)
    if not files.is_file(path):
        raise ImageSetError(f"{path}: no such folder or manifest; check the path")
    if not path.lower().endswith(".csv"):
        raise ImageSetError(f"{path}: neither a folder nor a .csv manifest; name one of these")
    return read_csv_manifest(files, path, _root_of(files, path, root))


def _root_of(files: Files, manifest: str, root: Path | str | None) -> FileSource:
    """What the manifest's paths are relative to. Raises ImageSetError where it is no folder."""
    folder = str(root) if root is not None else str(Path(manifest).parent)
    if not files.is_folder(folder):
        raise ImageSetError(f"{folder}: no such folder, to which the paths of {manifest} are relative; correct --root")
    return FileSource(files, folder)
