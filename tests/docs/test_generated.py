"""Generated pages are what the code says, both ways: no page is stale, and none is about something that is gone."""

from __future__ import annotations

import pathlib
import re

from docs import generate
from docs.generate.configuration import option_names
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


def test_every_hook_option_command_and_flag_is_listed() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("esper_")}
    assert set(re.findall(r"^def (esper_\w+)", (DOCS / "kinds" / "README.md").read_text(), re.MULTILINE)) == hooks
    listed = set(re.findall(r"^\| `([a-z][\w.-]+)` \|", (DOCS / "configuration.md").read_text(), re.MULTILINE))
    assert listed == option_names(generate.own_index()) >= {"train.lr", "blueprint.attention.reduction"}
    sections = set(re.findall(r"^## esper (.*)$", (DOCS / "cli.md").read_text(), re.MULTILINE))
    assert sections >= {c.name for c in generate.own_index().commands if c.spec.app and c.name != "spike"}
