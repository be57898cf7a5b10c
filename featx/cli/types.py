"""The types of options that click does not know: lists of names, numbers or devices, and one shard of many."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from featx.devices import parse_device
from featx.errors import DeviceError
from featx.hardware import usable_cores
from featx.settings import Device

LEAST_MAX_JOBS = 64
"""Number of processes that can always be asked for."""


class Name(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A name from a list, which the shell completes; other names are refused when featx looks them up."""

    name = "NAME"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The known names that begin with what was typed."""
        return [CompletionItem(name) for name in self.known if name.startswith(incomplete)]


class BackboneName(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The name of a backbone, which the shell completes from the bundled cards and those of the user."""

    name = "NAME"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of backbones that begin with what was typed."""
        from featx.backbones import list_backbones
        from featx.errors import FeatxError

        try:
            found = list_backbones(ctx.params.get("models"))
        except FeatxError:  # completion cannot show an error, but the command will
            return []
        return [CompletionItem(one.name) for one in found if one.name.startswith(incomplete)]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class Names(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Names separated by commas; a repeated one counts once."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names in the order in which they were given."""
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        if "" in names:
            self.fail(f"{value!r} should be names separated by commas.", param, ctx)
        return names


class ClassShares(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The share of each class, as in cat=.3,dog=.7, or a CSV file of them; a name may contain an equals sign."""

    name = "CLASS=SHARE,..|FILE.csv"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        """The share of each class by its name. Raises TableError if a file cannot be read."""
        if str(value).lower().endswith(".csv"):
            return _read_shares(Path(str(value)))
        shares = dict[str, float]()
        for part in str(value).split(","):
            name, equals, number = part.strip().rpartition("=")
            if not equals or not name or name in shares or not _is_number(number):
                self.fail(f"{value!r} should be a share for each class, once each, as in cat=.3,dog=.7.", param, ctx)
            shares[name] = float(number)
        return shares


def _read_shares(path: Path) -> dict[str, float]:
    """The shares in a CSV file with the columns `class` and `share`. Raises TableError."""
    from featx.csv_columns import open_csv
    from featx.errors import TableError

    shares = dict[str, float]()
    with open_csv(str(path), lambda: path.open("rb"), error_type=TableError) as table:
        columns = [name.lower() for name in table.header]
        if not {"class", "share"} <= set(columns):
            raise TableError(f"{path}: has the columns {', '.join(columns)}; name two columns class and share")
        for line, row in table.rows:
            name, number = row[columns.index("class")], row[columns.index("share")]
            if name in shares or not _is_number(number):
                raise TableError(f"{path}: line {line} is no share of another class ({name}, {number}); correct it")
            shares[name] = float(number)
    return shares


class Tuning(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Where parameters are chosen: auto, validation or folds:K; a number K alone means folds:K."""

    name = "auto|validation|folds:K"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as featx.train_head takes it."""
        from featx.errors import HeadError
        from featx.heads import parse_tuning

        try:
            return parse_tuning(f"folds:{value}" if str(value).isdecimal() else str(value))
        except HeadError as error:
            self.fail(f"{error}.", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The values that begin with what was typed."""
        return [CompletionItem(one) for one in ("auto", "validation", "folds:5") if one.startswith(incomplete)]


class Views(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Views of an image: names separated by commas, some of which stand for several views."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names of all views, view 0 first."""
        from featx.errors import ImageSetError
        from featx.inputs import parse_views

        if isinstance(value, tuple):
            return value
        try:
            return parse_views(str(value))
        except ImageSetError as error:
            self.fail(f"{str(error).removeprefix('views: ')}.", param, ctx)


class WholeNumbers(Names):
    """Whole numbers above 0, separated by commas."""

    name = "N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The numbers in the order in which they were given."""
        names = super().convert(value, param, ctx)
        if not all(name.isdecimal() and int(name) for name in names):
            self.fail(f"{value!r} should be whole numbers above 0, separated by commas.", param, ctx)
        return tuple(map(int, names))


class Shots(WholeNumbers):
    """Whole numbers above 0, separated by commas, or `all`, which is no number."""

    name = "N,N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The numbers in the order in which they were given."""
        return () if value == "all" else super().convert(value, param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A time such as 30s, 10m or 2h."""

    name = "30s|10m|2h"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh])", str(value))
        if found is None:
            self.fail(f"{value!r} should be a number and a unit: s, m or h, as in 30s, 10m or 2h.", param, ctx)
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


class NumberOrAuto(click.IntRange):
    """A number above 0, or `auto`, which becomes None."""

    name = "N|auto"

    def __init__(self, most: int | None = None) -> None:
        super().__init__(1, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or None for `auto`."""
        return None if value == "auto" else super().convert(value, param, ctx)


class Jobs(click.IntRange):
    """A number of processes above 0, of which each takes memory, so that this machine cannot run any number of them."""

    def __init__(self) -> None:
        super().__init__(1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, if it is not far above the number of cores."""
        jobs = int(super().convert(value, param, ctx))
        cores = usable_cores()
        most = max(LEAST_MAX_JOBS, 4 * cores)
        if jobs > most:
            self.fail(f"{jobs} processes are too many for {cores} cores; give at most {most}.", param, ctx)
        return jobs


class Devices(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A device, or several of one kind separated by commas."""

    name = "DEVICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Device:
        """The text as it was given, if it names devices."""
        try:
            parse_device(str(value))
        except DeviceError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class ChannelNumbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One number for all channels, or three separated by commas, on the scale 0 to 255."""

    name = "N,N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Three numbers."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} should be three numbers separated by commas.", param, ctx)
        if len(numbers) not in (1, 3):
            self.fail(f"{value!r} should be one number, or three separated by commas.", param, ctx)
        if param is not None and param.name == "std" and max(numbers) < 1:
            right = ",".join(f"{255 * number:g}" for number in numbers)
            self.fail(
                f"{value!r} is on the scale 0 to 1; featx takes 0 to 255: --std {right}, and --mean on that scale.",
                param,
                ctx,
            )
        return numbers * 3 if len(numbers) == 1 else numbers


class ShardOf(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One shard of several: INDEX/COUNT, the first being 0."""

    name = "INDEX/COUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Index and count."""
        index, _, count = str(value).partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            self.fail(f"{value!r} should be INDEX/COUNT, as in 0/64 for the first of 64.", param, ctx)
        return int(index), int(count)
