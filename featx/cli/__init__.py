"""The command line: each command imports what is heavy when it runs, so that `featx --help` is instant."""

import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from threading import Event
from typing import NoReturn

import click

from featx.cli.backbones import backbones, inspect
from featx.cli.caching import cache
from featx.cli.comparing import compare
from featx.cli.demo import demo
from featx.cli.exporting import export_command
from featx.cli.extracting import doctor, extract
from featx.cli.interrupts import INTERRUPTED, TOLD, watch_interrupts
from featx.cli.labelling import label_errors
from featx.cli.output import Verbosity
from featx.cli.predicting import predict
from featx.cli.training import evaluate, train
from featx.errors import FeatxError
from featx.provenance import __version__

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
EPILOG = """\b
Examples:
  featx demo
  featx extract photos --backbone efficientnet-lite0 --into photos.h5
  featx train photos.h5 --head logreg --into photos.featx

\b
Completion of commands, options and names in your shell:
  eval "$(_FEATX_COMPLETE=bash_source featx)"    in ~/.bashrc
  eval "$(_FEATX_COMPLETE=zsh_source featx)"     in ~/.zshrc
  _FEATX_COMPLETE=fish_source featx | source     in config.fish"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(__version__, prog_name="featx")
@click.option("-v", "--verbose", is_flag=True, help="Print details.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def cli(context: click.Context, *, verbose: bool, quiet: bool) -> None:
    """Transfer learning by features: extract once, train heads in seconds, compare them honestly."""
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="featx: %(message)s", stream=sys.stderr)
    logging.getLogger("featx").setLevel(level)
    context.obj = Verbosity(quiet)


EXTRACTING = (doctor, inspect, backbones, export_command, extract, cache)
LEARNING = (train, compare, evaluate, predict, label_errors, demo)
for command in (*EXTRACTING, *LEARNING):
    cli.add_command(command)

EXPECTED = (FeatxError, click.ClickException, OSError)
"""The errors that end in one line and an exit code; any other is a fault of featx and shows its traceback."""


class Interrupt(BaseException):
    """The user or the system asks the command to end; no `except Exception` may catch it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    0 if it is done, 1 for a FeatxError, 2 for wrong usage, 3 for too many failed images, 130 if it was interrupted.
    """
    received: list[int] = []

    def _interrupt(number: int, frame: object) -> NoReturn:
        received.append(number)
        raise Interrupt

    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # the row of a failed image has the reason
    try:
        code = cli.main(arguments, prog_name="featx", standalone_mode=False) or 0
    except BaseException as error:
        # Python may lose an exception, or wrap it in another one, while it deletes an object or creates a class
        if not received and not isinstance(error, EXPECTED):
            raise
        return _report(Interrupt() if received else error)
    return _report(Interrupt()) if received else code


def _report(error: BaseException) -> int:
    """Print in one line what ended the command, if somebody still reads it, and return the exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        sys.stdout = None  # nobody reads the output any more
        return 1
    if isinstance(error, Interrupt):
        for number in INTERRUPTS:
            signal.signal(number, lambda number, frame: None)  # but entry's thread still hears of them
        click.echo(TOLD, err=True)
        _told.set()
        return INTERRUPTED
    click.echo(f"featx: {' '.join(str(error).splitlines())}", err=True)
    return 1


_told = Event()
"""Set once the user knows of the interrupt."""


def entry() -> NoReturn:
    """Run the command `featx`, and exit with its code; a second interrupt ends the process at once."""
    watch_interrupts(INTERRUPTS, told=_told)
    sys.exit(main())
