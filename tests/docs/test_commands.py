"""Every command and option that a page shows exists, with the flags it is shown with. Nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from docs.generate import own_index
from docs.generate.configuration import option_names
from esper_core.cli.app import make_app
from esper_core.cli.commands import Deferred
from esper_core.cli.installed import Installed, Settings, take_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")])
BLOCK = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"^(?:[$>] +|\.venv/bin/|[A-Z_]+=\S+ |for .*; do )*(esper .*)$")
OPTION = re.compile(r"`((?:train|features|network|critic|masks|loss|environment|task|host)\.[a-z_]+)(?:=[^`]*)?`")
INVENTED = ("esper runs weigh", "task.noise")
"""Belong to plugins that a page writes, and that nobody has installed."""


@cache
def app() -> Any:
    return make_app(Installed(Settings()))


def shown(page: Path) -> Iterator[str]:
    """Yield the command lines of a page: those of its blocks, and code within its sentences."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            found = TYPED.match(line.strip())
            if found:
                yield re.split(r"; done| \|\| | && |;\s*$", found[1])[0]
    for code in re.findall(r"`(esper [^`\n]+)`", BLOCK.sub("", text)):
        if not re.search(r"[\[\]|…*]", code):
            yield code


def find(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command or group that the first words name, and the words after them."""
    command = app()
    while words and isinstance(command, TyperGroup) and not words[0].startswith("-"):
        command = command.get_command(None, words[0])  # type: ignore[arg-type]
        assert command is not None, words[0]
        if isinstance(command, Deferred):
            command = command.load()
        words = words[1:]
    return command, words


@pytest.mark.parametrize("page", [page for page in PAGES if any(shown(page))], ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_exist_with_their_flags(page: Path) -> None:
    for line in shown(page):
        if line.startswith(INVENTED):
            continue
        command, words = find(take_settings(shlex.split(line, comments=True)[1:])[1])
        flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - flags - {"-h", "--help"}
        assert not unknown, line


def test_options_exist() -> None:
    known = option_names(own_index())
    for page in (page for page in PAGES if page.name != "CHANGELOG.md"):
        text = page.read_text(encoding="utf-8")
        named = {*re.findall(r"-o '?([a-z_.-]+)=", text), *OPTION.findall(text)} - {"KIND.key", *INVENTED}
        unknown = {name for name in named if name not in known and not name.endswith(".py")}
        assert not unknown, page
