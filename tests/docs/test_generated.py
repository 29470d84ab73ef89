"""Generated pages are what the code says, both ways: no page is stale, and none is about something that is gone."""

from __future__ import annotations

import importlib.util
import inspect
import pathlib
import re
from types import ModuleType

import pytest

from esper_core.registry import hookspecs

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_page_is_current(generate: ModuleType) -> None:
    stale = [path.name for path, text in generate.pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run: make docs"


def test_every_kind_has_a_page_and_every_page_a_kind(generate: ModuleType) -> None:
    kinds = {f"{name}.md" for name in generate.own_index().kinds}
    assert {path.name for path in (DOCS / "kinds").iterdir()} == kinds | {"README.md"}


def test_every_check_is_explained(generate: ModuleType) -> None:
    index = generate.own_index()
    for kind in index.kinds.values():
        for suite in generate.suites_of(kind):
            assert [check.name for check in suite.checks] == list(suite.declared), kind.name
            assert all(check.summary.endswith(".") for check in suite.checks), kind.name


def test_hooks_are_documented_with_their_exact_signatures() -> None:
    text = (DOCS / "hooks.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^def (esper_\w+)(.*)$", text, re.MULTILINE))
    hooks = {name: function for name, function in vars(hookspecs).items() if name.startswith("esper_")}
    assert documented == {name: str(inspect.signature(f)).replace("'", "") for name, f in hooks.items()}
    for function in hooks.values():
        assert inspect.getdoc(function) in text
