"""What a command prints is lines of its own, whatever stream it goes to, and whatever strangers have written."""

import csv
import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from featx import cli, provenance
from featx.cli.output import say
from featx.showing import visible, visible_json
from tests.conftest import Ran, Tiny

FORGED = "\nfeatx: all is well"
STRANGE = {
    "escape": "\x1b]0;title\x1b\\",
    "colour": "\x1b[31m",
    "line": FORGED,
    "return": "a\rfeatx",
    "bell": "\x07",
    "C1": "\x9b31m",
    "direction": "\u202egnp.exe",
    "separator": "\u2028featx: all is well",
    "surrogate": "\udcff",
}


def run_shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `featx` as a shell does, with its redirections."""
    line = command.replace("featx", f"{sys.executable} -m featx", 1)
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_no_character_that_a_terminal_obeys_is_left_in_a_visible_text(text: str) -> None:
    shown = visible(f"before {text} after")
    assert shown.isprintable()
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    shown.encode()


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_json_keeps_the_text_and_none_of_its_characters(text: str) -> None:
    document = visible_json(json.dumps({"name": text}, indent=2, ensure_ascii=False))
    assert json.loads(document) == {"name": text}
    assert document.replace("\n", "").isprintable()


def test_texts_of_all_languages_stay_as_they_are() -> None:
    text = "Größe, 大きさ, אות, क्षि, می‌خواهم, 👩‍👩‍👧, a\\b"
    assert visible(text) == text


def test_a_line_that_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"photos{FORGED}")
    assert capsys.readouterr().out == "photos\\nfeatx: all is well\n"


@pytest.fixture
def strange(make_folder: Callable[..., Path]) -> Path:
    """A folder in which a class, and images that fail, have names that a terminal would obey."""
    folder = make_folder((3, 3))
    (folder / "class0" / "\x1b]0;title\x07.png").write_bytes(b"no")
    (folder / "class0" / f"a{FORGED}.png").write_bytes(b"no")
    (folder / "class1").rename(folder / "class\x1b[31m1")
    return folder


def test_names_of_strangers_are_printed_without_their_control_characters(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, strange: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "c.h5"
    ran = [
        featx("extract", strange, "--backbone", "tiny", "--models", models, "--into", cache, "--max-failed", "1"),
        featx("cache", "info", cache),
        featx("cache", "info", cache, "--json"),
        featx("extract", tmp_path / f"no\x1b[31m{FORGED}", "--backbone", "tiny", "--models", models, "--into", "d.h5"),
        featx("train", cache, "--head", "no\x1b[31m", "--into", "h.featx"),
        featx("cache", "info", f"--no\x1b[31m{FORGED}"),
    ]
    assert [one.code for one in ran] == [0, 0, 0, 1, 1, 2]
    for one in ran:
        assert "\x1b" not in one.out + one.err
        assert FORGED not in one.out + one.err
    assert r"\x1b]0;title\x07.png" in ran[0].err
    assert any(name.startswith("class\x1b") for name in ran[2].json["classes"])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("featx backbones >&-", 0),
        ("featx backbones --json | head -0; exit ${PIPESTATUS[0]}", 1),
        ("featx backbones > /dev/full", 1),
        ("featx cache info none.h5 2>&-", 1),
        ("featx cache info none.h5 2>/dev/full", 1),
        ("featx cache inform 2>&-", 2),
    ],
)
def test_a_closed_or_full_stream_ends_no_command_in_a_traceback(tmp_path: Path, command: str, code: int) -> None:
    done = run_shell(command, tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    if "/dev/full" in command and "2>" not in command:
        assert done.stderr == ("featx: standard output cannot be written (No space left on device); print elsewhere\n")


def test_a_file_never_takes_the_place_of_a_closed_standard_output(tmp_path: Path) -> None:
    code = "from featx.cli.streams import prepare_streams; prepare_streams(); print(open('new.txt', 'w').fileno() > 2)"
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c \"{code}; import os; os.write(1, b'x')\" >&-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.returncode, (tmp_path / "new.txt").read_bytes()) == (0, b""), done.stderr


def test_failed_images_are_listed_as_csv_that_is_read_again(
    featx: Callable[..., Ran], tiny: Tiny, models: Path, strange: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "c.h5"
    featx("extract", strange, "--backbone", "tiny", "--models", models, "--into", cache, "--max-failed", "1")
    listed = featx("cache", "failures", cache)
    header, *rows = csv.reader(io.StringIO(listed.out))
    assert header == ["name", "reason"]
    assert {name for name, _ in rows} == {"class0/\x1b]0;title\x07.png", f"class0/a{FORGED}.png"}
    assert all(reason for _, reason in rows)
    as_json = json.loads(featx("cache", "failures", cache, "--json").out)
    assert as_json == [{"name": name, "reason": reason} for name, reason in rows]


def test_doctor_names_the_extras_that_are_missing_and_how_to_install_them(
    featx: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = provenance.installed_version
    monkeypatch.setattr(provenance, "installed_version", lambda name: None if name == "pyarrow" else real(name))
    assert "pip install 'featx[parquet]'" in featx("doctor").out
    assert "pip install 'featx[parquet]'" in featx("doctor", "--json").json["missing_extras"]["parquet"]


def test_the_extras_that_doctor_knows_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["optional-dependencies"]
    for extra, (_, packages) in provenance.EXTRAS.items():
        required = " ".join(declared[extra])
        assert all(package in required or package == "aiohttp" for package in packages)


def test_lists_of_commands_show_whole_sentences(featx: Callable[..., Ran]) -> None:
    for command in ([], ["cache"], ["backbones"]):
        listed = featx(*command, "--help").out.partition("Commands:")[2].partition("Examples:")[0]
        assert "..." not in listed


def test_commands_print_in_one_place_only_which_escapes() -> None:
    places = [path.name for path in Path(cli.__file__).parent.glob("*.py") if "click.echo(" in path.read_text("utf-8")]
    assert places == ["output.py"]
