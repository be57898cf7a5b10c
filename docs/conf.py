"""How Sphinx builds the documentation (`make docs`): pages in Markdown, commands and API from featx itself."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective

import featx
from featx.cli import cli

project = "featx"
project_copyright = "the maintainers of featx, Apache-2.0"
version = release = featx.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "featx"
html_copy_source = False
html_search_scorer = str(Path(__file__).with_name("search_scorer.js"))
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
nitpicky = True
# Types of other projects, whose indexes would have to be downloaded, and types of featx that no page describes.
nitpick_ignore_regex = [("py:.*", r"(?!featx\.\w+$).*")]

PUBLIC = {
    str(statement.module): [name.name for name in statement.names]
    for statement in ast.parse(Path(featx.__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(statement, ast.ImportFrom)
}
"""Room -> its names in the stub of featx."""
DOCUMENTED: dict[str, str] = {}
"""Where a class is defined -> the name under which it is documented."""


class Room(SphinxDirective):
    """`.. room:: cache` documents the public names of a room, then those of its own that `:also:` lists."""

    required_arguments = 1
    option_spec = {"also": str}  # noqa: RUF012 - Sphinx has it so

    def run(self) -> list[nodes.Node]:
        """The descriptions of all these names."""
        room = self.arguments[0]
        own = [f"featx.{room}.{name}" for name in self.options.get("also", "").split()]
        names = [f"featx.{name}" for name in PUBLIC.get(room, [])]
        return self.parse_text_to_nodes("\n\n".join(_describe(name) for name in [*names, *own]))


def _describe(name: str) -> str:
    """The directive of autodoc for a name, whose place of definition is remembered."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, type):
        return f".. autofunction:: {name}"
    DOCUMENTED[f"{found.__module__}.{found.__qualname__}"] = name
    return f".. autoclass:: {name}\n   :members:\n   :exclude-members: overview"


class Commands(SphinxDirective):
    """`{commands}`: the help of every command, each in a section of its own."""

    def run(self) -> list[nodes.Node]:
        """One section for each command."""
        return [self._show(name, command) for name, command in _list_commands("featx", cli)]

    def _show(self, name: str, command: click.Command) -> nodes.section:
        section = nodes.section("", nodes.title("", name), ids=[name.replace(" ", "-")], names=[name])
        text = command.get_help(click.Context(command, info_name=name, terminal_width=80))
        section += nodes.literal_block("", text, language="text")
        return section


def _list_commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The full name of each command, groups included."""
    yield name, command
    if isinstance(command, click.Group):
        for own in sorted(command.commands):
            yield from _list_commands(f"{name} {own}", command.commands[own])


def shorten_signature(  # noqa: PLR0917 - Sphinx calls it so
    app: Sphinx, what: str, name: str, found: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """The signature of a dataclass without its types, which its attributes show; arrays as `NDArray[float32]`."""
    if dataclasses.is_dataclass(found):
        return f"({', '.join(field.name for field in dataclasses.fields(found))})", None
    return _shorten_arrays(signature), _shorten_arrays(returned)


def _shorten_arrays(text: str | None) -> str | None:
    array = r"~numpy\.ndarray\[tuple\[.*?\], ~numpy\.dtype\[~numpy\.(\w+)\]\]"
    return re.sub(array, r"NDArray[\1]", text) if text else text


def read_docstring(  # noqa: PLR0917 - Sphinx calls it so
    app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]
) -> None:
    """Turn a docstring, Markdown with Google sections, into reStructuredText, in place."""
    text = "\n\n".join(_restructure(paragraph) for paragraph in "\n".join(lines).split("\n\n"))
    if what not in ("attribute", "property"):  # napoleon takes what stands before a colon for a type
        text = str(GoogleDocstring(text, what=what, name=name, obj=found))
    lines[:] = text.splitlines()


def _restructure(paragraph: str) -> str:
    """The paragraph with code as literals, and nothing else that reStructuredText would take for markup."""
    if paragraph.lstrip().startswith(">>>"):
        return paragraph
    pieces = re.split(r"(`+[^`]+`+)", paragraph)
    pieces[::2] = [re.sub(r"[|*]|_\b", r"\\\g<0>", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"``{piece.strip('`')}``" for piece in pieces[1::2]]
    return "".join(pieces)


def find_documented(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """The link to a class that a signature names by where it is defined."""
    name = DOCUMENTED.get(node.get("reftarget", ""))
    if name is None:
        return None
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, shown)


def setup(app: Sphinx) -> None:
    """Add the directives and what is done to docstrings and links."""
    app.add_directive("room", Room)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("missing-reference", find_documented)
