"""How commands print: one JSON document, or text that `--quiet` leaves out; and the exit code for failed images."""

import json
import logging
from dataclasses import dataclass

import click

TOO_MANY_FAILED = 3

logger = logging.getLogger("featx")


@dataclass(frozen=True)
class Verbosity:
    """How much a command prints."""

    quiet: bool


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def judge_failures(failed: int, images: int, max_failed: float) -> int:
    """The exit code: 3, with a line on standard error, if a larger share of the images failed than allowed; else 0."""
    if failed <= max_failed * images:
        return 0
    click.echo(f"featx: {failed} of {images} images failed, more than --max-failed {max_failed:g}", err=True)
    return TOO_MANY_FAILED
