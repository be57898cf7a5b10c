"""How commands print: lines, JSON and CSV, without control characters of strangers; and the exit code for failures."""

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import indent

import click

from featx.showing import visible, visible_json

TOO_MANY_FAILED = 3

logger = logging.getLogger("featx")


@dataclass(frozen=True)
class Verbosity:
    """How much a command prints."""

    quiet: bool


class LineFormatter(logging.Formatter):
    """Formats every log record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return visible(super().format(record))


def say(line: str, *, err: bool = False) -> None:
    """Print one line on standard output or standard error."""
    click.echo(visible(line), err=err)


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(visible_json(json.dumps(value, indent=2, ensure_ascii=False)))


class JsonList:
    """Prints a list as one JSON document, value by value, as `print_json` prints the whole; `end` ends it."""

    def __init__(self) -> None:
        self._between = "["

    def add(self, value: object) -> None:
        """Print one more value."""
        text = visible_json(json.dumps(value, indent=2, ensure_ascii=False))
        click.echo(f"{self._between}\n{indent(text, '  ')}", nl=False)
        self._between = ","

    def end(self) -> None:
        """Print what closes the list."""
        click.echo("[]" if self._between == "[" else "\n]")


def print_row(values: Iterable[object]) -> None:
    """Print one line of CSV on standard output; None is an empty cell.

    Texts are verbatim, so that the names can be read again, except on a terminal, which would obey what is in them.
    """
    from featx.csv_columns import CsvWriter

    texts = ["" if value is None else value for value in values]
    shown = [visible(text) if isinstance(text, str) else text for text in texts] if sys.stdout.isatty() else texts
    CsvWriter(sys.stdout).write(shown)


def judge_failures(failed: int, images: int, max_failed: float) -> int:
    """The exit code: 3, with a line on standard error, if a larger share of the images failed than allowed; else 0."""
    if failed <= max_failed * images:
        return 0
    say(f"featx: {failed} of {images} images failed, more than --max-failed {max_failed:g}", err=True)
    return TOO_MANY_FAILED
