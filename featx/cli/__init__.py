"""The command line: each command imports what is heavy when it runs, so that `featx --help` is instant."""

import errno
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from threading import Event
from typing import NoReturn

import click

from featx.cli.adapting import adapt
from featx.cli.backbones import backbones, inspect
from featx.cli.benchmarking import benchmark
from featx.cli.caching import cache
from featx.cli.clustering import cluster
from featx.cli.comparing import compare
from featx.cli.curving import curve
from featx.cli.demo import demo
from featx.cli.deploying import deploy
from featx.cli.evaluating import evaluate
from featx.cli.exporting import export_command
from featx.cli.extracting import doctor, extract
from featx.cli.finetuning import finetune
from featx.cli.gaining import gain
from featx.cli.gapping import gap
from featx.cli.heads import head
from featx.cli.interrupts import INTERRUPTED, interruption, watch_interrupts
from featx.cli.labelling import label_errors
from featx.cli.output import LineFormatter, Verbosity, say
from featx.cli.predicting import predict
from featx.cli.reporting import report
from featx.cli.scoring import score
from featx.cli.serving import serve
from featx.cli.streams import OutputError, discard_output, prepare_streams
from featx.cli.suggesting import label_next
from featx.cli.training import train
from featx.errors import FeatxError, one_line
from featx.provenance import __version__
from featx.showing import visible

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
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LineFormatter("featx: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    logging.getLogger("featx").setLevel(level)
    context.obj = Verbosity(quiet)


EXTRACTING = (doctor, inspect, backbones, export_command, extract, cache)
LEARNING = (score, gain, gap, adapt, benchmark, train, finetune, compare, curve, evaluate, predict, head, report, demo)
DEPLOYING = (deploy, serve)
LABELLING = (label_errors, label_next, cluster)
for command in (*EXTRACTING, *LEARNING, *LABELLING, *DEPLOYING):
    cli.add_command(command)


def _summarise(group: click.Group) -> None:
    """Let lists of commands show the first sentence of each help as a whole; click would cut it at 45 letters."""
    for one in group.commands.values():
        one.short_help = " ".join((one.help or "").partition("\n\n")[0].split()).partition(". ")[0].rstrip(".") + "."
        if isinstance(one, click.Group):
            _summarise(one)


_summarise(cli)

EXPECTED = (FeatxError, click.ClickException, OSError, MemoryError)
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
        _silence_threads()
        raise Interrupt

    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # the row of a failed image has the reason
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        code = cli.main(arguments, prog_name="featx", standalone_mode=False) or 0
        sys.stdout.flush()
    except BaseException as error:
        # Python may lose an exception, or wrap it in another one, while it deletes an object or creates a class
        if not received and not isinstance(error, EXPECTED):
            raise
        return _report(Interrupt() if received else error, arguments)
    return _report(Interrupt(), arguments) if received else code


def _silence_threads() -> None:
    """Print nothing more of threads that fail: an interrupt ends the processes that they wait for, at any moment."""
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda failed: None


def _report(error: BaseException, arguments: Sequence[str] | None) -> int:
    """Print in one line what ended the command, if somebody still reads it, and return the exit code."""
    if isinstance(error, click.ClickException):
        vars(error)["message"] = visible(error.message)
        error.show()
        return error.exit_code
    if isinstance(error, Interrupt):
        for number in INTERRUPTS:
            signal.signal(number, lambda number, frame: None)  # but entry's thread still hears of them
        say(interruption(sys.argv[1:] if arguments is None else arguments), err=True)
        _told.set()
        return INTERRUPTED
    if isinstance(error, OutputError):
        discard_output()
        if error.errno != errno.EPIPE:
            say(f"featx: standard output cannot be written ({error.strerror}); print elsewhere", err=True)
        return 1
    say(f"featx: {_in_words(error)}", err=True)
    return 1


def _in_words(error: BaseException) -> str:
    """The message of an error on one line; what Python itself raises says what was done."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({one_line(error)}); free some, or use smaller images or batches"
    if isinstance(error, OSError) and not isinstance(error, FeatxError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or one_line(error)}{_step(error.errno)}"
    return " ".join(str(error).splitlines())


def _step(number: int | None) -> str:
    """What to do about an error of the system, to append to its message."""
    return f"; {STEPS[number]}" if number in STEPS else ""


STEPS = {
    errno.EMFILE: "this process has as many files open as it may: raise the limit with `ulimit -n 4096`",
    errno.ENFILE: "the system has as many files open as it may: close other programs",
    errno.ENOSPC: "free space on the disk of the files that the command writes, or of temporary files (TMPDIR)",
    errno.EDQUOT: "your quota is used up: free space, or write elsewhere",
    errno.ENOMEM: "free memory, or use fewer --workers and smaller batches",
    errno.EAGAIN: "the system allows no more threads or processes: use fewer --workers, --threads and --jobs",
    errno.EROFS: "write elsewhere",
}
"""What to do about errors of the system that name no file."""


_told = Event()
"""Set once the user knows of the interrupt."""


def entry() -> NoReturn:
    """Run the command `featx`, and exit with its code; a second interrupt ends the process at once."""
    prepare_streams()
    watch_interrupts(INTERRUPTS, told=_told)
    sys.exit(main())
