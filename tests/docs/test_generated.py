"""Generated pages are what the code says, both ways: no page is stale, and none is about something that is gone."""

from __future__ import annotations

import inspect
import pathlib
import re
from typing import Any

from typer.core import TyperGroup

from docs import generate
from docs.generate.configuration import option_names
from esper_core.cli.app import make_app
from esper_core.cli.commands import Deferred
from esper_core.cli.installed import Installed, Settings
from esper_core.registry import hookspecs
from esper_testing.conformance.run import suites_of

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_every_generated_page_is_current() -> None:
    stale = [path.name for path, text in generate.pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run: make docs"


def test_every_kind_has_a_page_and_every_page_a_kind() -> None:
    kinds = {f"{name}.md" for name in generate.own_index().kinds}
    assert {path.name for path in (DOCS / "kinds").iterdir()} == kinds | {"README.md"}


def test_every_check_is_explained() -> None:
    index = generate.own_index()
    for kind in index.kinds.values():
        for suite in suites_of(kind):
            assert [check.name for check in suite.checks] == list(suite.declared), kind.name
            assert all(check.summary.endswith(".") for check in suite.checks), kind.name


def test_hooks_are_documented_with_their_exact_signatures() -> None:
    text = (DOCS / "kinds" / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^def (esper_\w+)(.*)$", text, re.MULTILINE))
    hooks = {name: function for name, function in vars(hookspecs).items() if name.startswith("esper_")}
    assert documented == {name: str(inspect.signature(f)).replace("'", "") for name, f in hooks.items()}
    for function in hooks.values():
        assert inspect.getdoc(function) in text


def test_every_option_is_listed_under_the_name_that_sets_it() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z][\w.-]+)` \|", text, re.MULTILINE))
    assert listed == option_names(generate.own_index()) and len(listed) > 50
    assert {"train.lr", "network.hidden_dim", "blueprint.attention.reduction"} <= listed


def test_every_command_and_every_flag_is_listed() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")

    def walk(command: Any, path: str) -> int:
        if isinstance(command, Deferred):
            command = command.load()
        if isinstance(command, TyperGroup):
            words = command.list_commands(None)
            return sum(walk(command.get_command(None, word), f"{path} {word}") for word in words)
        section = text.split(f"\n## {path}\n")[1].split("\n## ")[0]
        flags = [flag for p in command.params if p.param_type_name == "option" for flag in p.opts]
        assert all(re.search(rf"`.*{re.escape(flag)}\b.*`", section) for flag in flags), path
        return len(flags)

    assert walk(make_app(Installed(Settings())), "esper") > 80
