"""The commands; what is heavy is imported inside the command that needs it."""

import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from featx.cli.backbones import backbones, inspect
from featx.cli.caching import cache
from featx.cli.comparing import compare
from featx.cli.exporting import export
from featx.cli.extracting import doctor, extract
from featx.cli.labelling import label_errors
from featx.cli.learning import (
    demo,
    evaluate,
    predict,
    train,
)
from featx.cli.options import Output
from featx.errors import FeatxError
from featx.provenance import __version__

INTERRUPTED = 130
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="featx")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say errors only.")
@click.pass_context
def cli(context: click.Context, *, verbose: bool, quiet: bool) -> None:
    """Transfer learning by features: images -> features in a cache -> heads, honestly measured."""
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="featx: %(message)s", stream=sys.stderr)
    logging.getLogger("featx").setLevel(level)
    context.obj = Output(quiet)


EXTRACTING = (doctor, inspect, backbones, export, extract, cache)
LEARNING = (train, compare, evaluate, predict, label_errors, demo)
for command in (*EXTRACTING, *LEARNING):
    cli.add_command(command)


TOLD = (FeatxError, click.ClickException, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code of the process: 0, 1 for a FeatxError, 2 for wrong usage, 3, or 130."""
    heard: list[int] = []

    def _interrupt(number: int, frame: object) -> NoReturn:
        heard.append(number)
        raise Interrupt

    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a failed row tells its reason itself
    try:
        code = cli.main(arguments, prog_name="featx", standalone_mode=False) or 0
    except BaseException as error:
        # Python may lose an exception, or wrap it in another one, while it deletes an object or makes a class
        if not heard and not isinstance(error, TOLD):
            raise
        return _tell(Interrupt() if heard else error)
    return _tell(Interrupt()) if heard else code


def _tell(error: BaseException) -> int:
    """Say in one line, as far as there is one to say, what ended the command; return its exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        sys.stdout = None  # whoever read it has left; nothing more to say
        return 1
    if isinstance(error, Interrupt):
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
        click.echo(
            "featx: interrupted; what a cache or file of results has is kept, and the same command goes on from it",
            err=True,
        )
        return INTERRUPTED
    click.echo(f"featx: {' '.join(str(error).splitlines())}", err=True)
    return 1


def entry() -> NoReturn:
    """What the command `featx` runs."""
    sys.exit(main())


class Interrupt(BaseException):
    """The user, or the system, wants the command to end; no `except Exception` may keep it."""
