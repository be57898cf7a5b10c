"""The help of every command: two examples that can be parsed, in 80 columns; and what the shell completes."""

import shlex
import warnings
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from featx.cli import cli
from tests.conftest import run_featx


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group below this one, by the words that call it."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def help_of(path: tuple[str, ...]) -> list[str]:
    """The lines that `featx ... --help` prints."""
    return run_featx(*path, "--help").out.splitlines()


def examples_of(path: tuple[str, ...]) -> list[str]:
    """The lines below "Examples:"."""
    lines = help_of(path)
    below = lines[lines.index("  Examples:") + 1 :]
    return [line.strip() for line in below if line.startswith("    featx ")]


def parse(words: list[str]) -> None:
    """Parse the words as click does when they are run, without running the command."""
    context = cli.make_context("featx", list(words))
    command: click.Command = cli
    while isinstance(command, click.Group):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            left = [*context.protected_args, *context.args]
        if not left:
            return
        name, found, rest = command.resolve_command(context, left)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
        command = found


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_fits_80_columns(path: tuple[str, ...]) -> None:
    assert [line for line in help_of(path) if len(line) > 80] == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_has_two_examples_that_can_be_parsed(path: tuple[str, ...]) -> None:
    examples = examples_of(path)
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        assert tuple(words[1 : 1 + len(path)]) == path
        parse(words[1:])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_and_command_says_what_it_does(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help


def test_the_help_tells_how_the_shell_completes() -> None:
    lines = help_of(())
    for shell in ("bash", "zsh", "fish"):
        assert any(f"_FEATX_COMPLETE={shell}_source" in line for line in lines)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_the_shell_is_printed(shell: str) -> None:
    ran = CliRunner().invoke(cli, prog_name="featx", env={"_FEATX_COMPLETE": f"{shell}_source"})
    assert "_FEATX_COMPLETE" in ran.output


@pytest.mark.parametrize(
    ("typed", "incomplete", "completed"),
    [
        (["train", "--head"], "pca", ["pca-logreg", "pca-svm"]),
        (["extract", "--backbone"], "eff", ["efficientnet-lite0"]),
        (["backbones", "show"], "", ["color-histogram", "efficientnet-lite0", "gradient-histogram", "raw-pixels"]),
        (["train", "--fusion"], "st", ["standardised", "stacked"]),
        ([], "ev", ["evaluate"]),
    ],
)
def test_the_shell_completes_names(typed: list[str], incomplete: str, completed: list[str]) -> None:
    found = ShellComplete(cli, {}, "featx", "_FEATX_COMPLETE").get_completions(typed, incomplete)
    assert [item.value for item in found] == completed
