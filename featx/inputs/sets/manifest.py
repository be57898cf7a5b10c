"""Reads CSV manifests: one line per image; the first line names the columns."""

import logging
import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from featx.csv_columns import CsvTable, check_header, choose_path_column, iter_chunks, match_case, misspelt, open_csv
from featx.errors import ImageSetError, did_you_mean
from featx.inputs.sets.building import MANIFEST_COLUMNS, ColumnsBuilder
from featx.inputs.sets.files import Files, FileSource, join
from featx.inputs.sets.image_set import ImageSet

logger = logging.getLogger(__name__)


def read_csv_manifest(files: Files, path: str, *, source: FileSource, label_column: str | None = None) -> ImageSet:
    """The images that a CSV file lists, in its order. Raises ImageSetError naming the line and the next step."""
    builder = ColumnsBuilder(path, root=source.root)
    paths = ListedPaths(path, source)
    with open_csv(path, lambda: files.open(path, seek=False), error_type=ImageSetError) as table:
        used = _find_columns(table, label_column)
        for _, values in iter_chunks(table, used):
            builder.add({**values, "path": paths.to_names(values["path"])})
    return ImageSet(**vars(builder.build()), source=source)


def _find_columns(table: CsvTable, label_column: str | None) -> dict[str, int]:
    """Column of the image set -> position of the column of the table that it is read from."""
    header = match_case(table.header, MANIFEST_COLUMNS)
    header = choose_path_column(table.where, header, error_type=ImageSetError)
    header = choose_label_column(table.where, header, label_column)
    check_columns(table.where, header)
    return {column: header.index(column) for column in MANIFEST_COLUMNS if column in header}


def choose_label_column(where: str, header: Sequence[str], label_column: str | None) -> list[str]:
    """The header with `label` in place of the column that was asked for. Raises ImageSetError if it does not exist.

    A warning names the columns that may have the labels, if none is called `label` and none was asked for.
    """
    if label_column is None:
        others = [column for column in header if column and column not in MANIFEST_COLUMNS]
        if "label" not in header and others and not any(misspelt(column, ["label"]) for column in others):
            logger.warning(
                "%s: has no column 'label', so that images have no labels; --label-column names another one of %s",
                where,
                others[:20],
            )
        return list(header)
    if label_column not in header:
        known = [column for column in header if column]
        raise ImageSetError(
            f"{where}: no column {label_column!r} of labels{did_you_mean(label_column, known)}; choose from "
            f"{known[:20]}"
        )
    renamed = {"label": "", label_column: "label"}
    return [renamed.get(column, column) for column in header]


def check_columns(path: str, columns: Sequence[str]) -> None:
    """Raise ImageSetError if a column appears twice; warn of columns that look misspelt."""
    check_header(path, columns, known=MANIFEST_COLUMNS, used=MANIFEST_COLUMNS, error_type=ImageSetError)


@dataclass
class ListedPaths:
    """Turns the paths that a manifest lists into names below its root: absolute ones, `..`, backslashes of Windows."""

    where: str
    source: FileSource
    _told: bool = False

    def to_names(self, paths: Sequence[str]) -> list[str]:
        """The name of each path; a path that does not lead into the root stays as it is."""
        return [self._to_name(path) if _is_special(path) else path for path in paths]

    def _to_name(self, path: str) -> str:
        if "\\" in path and not self._has(path):
            path = path.replace("\\", "/")
            if not self._told:
                logger.warning("%s: backslashes in paths, as in Windows, are read as slashes", self.where)
                self._told = True
        for root in self._roots:
            if path.startswith(root):
                path = path[len(root) :].lstrip("/") or path
                break
        return self._without_dots(path) if ".." in path.split("/") else path

    @cached_property
    def _roots(self) -> list[str]:
        """The root in every form in which absolute paths may begin with it, each with a slash at its end."""
        root = self.source.root
        if self.source.files.remote:
            return [join(root, "")]
        return [join(os.path.abspath(root), ""), join(os.path.realpath(root), "")]

    def _has(self, path: str) -> bool:
        """Whether the path, which has a backslash, is that of a file; on other machines, asking would take too long."""
        return not self.source.files.remote and self.source.files.is_file(join(self.source.root, path))

    def _without_dots(self, path: str) -> str:
        """The path without `..`, if it still leads to the same file inside the root; else the path as it is."""
        if self.source.files.remote:
            plain = posixpath.normpath(path)
            return path if _leaves(plain) else plain
        for root in self._roots:
            plain = os.path.relpath(os.path.normpath(os.path.join(root, path)), root)
            same = os.path.realpath(os.path.join(root, path)) == os.path.realpath(os.path.join(root, plain))
            if same and not _leaves(plain):
                return plain
        return path


def _leaves(path: str) -> bool:
    """Whether a path without `..` in its middle leads out of its folder."""
    return path == ".." or path.startswith("../")


def _is_special(path: str) -> bool:
    return path.startswith("/") or "\\" in path or "://" in path or ".." in path
