"""Commands under check: a sound one passes, and every way to be wrong is found by its check."""

from __future__ import annotations

import sys

import pytest

from esper_core.contracts.errors import UnknownComponent
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_testing.conformance.command import SUITE
from esper_testing.conformance.finding import find_checked
from esper_testing.conformance.run import Checker
from esper_testing.distributions import FakeSite

pytest_plugins = ["esper_testing.pytest"]

SPECS = {
    "sound": 'app="acme_tools.good:greet", summary="Greet somebody."',
    "lab": 'app="acme_tools.good:lab", summary="A laboratory."',
    "lab clean": 'app="acme_tools.good:greet", summary="Clean up."',
    "yard": 'summary="A yard."',
    "silent": 'app="acme_tools.good:greet"',
    "lengthy": 'app="acme_tools.good:greet", summary="Greet.\\nAnd greet."',
    "curt": 'app="acme_tools.good:greet", summary="greets"',
    "absent": 'app="acme_tools.nowhere:greet", summary="Absent."',
    "number": 'app="acme_tools.good:NUMBER", summary="A number."',
    "untyped": 'app="acme_tools.wrong:untyped", summary="Untyped."',
    "unsaid": 'app="acme_tools.wrong:unsaid", summary="Unsaid."',
    "vague": 'app="acme_tools.wrong:vague", summary="Vague."',
    "greedy": 'app="acme_tools.wrong:greedy", summary="It hides another."',
    "greedy take": 'app="acme_tools.good:greet", summary="It is hidden."',
    "heavy": 'app="acme_tools.heavy:run", summary="Heavy."',
    "noisy": 'app="acme_tools.noisy:run", summary="Noisy."',
    "leaving": 'app="acme_tools.leaving:run", summary="Leaving."',
}
PLUGIN = "from esper_core import CommandSpec, hookimpl\n@hookimpl\ndef esper_commands():\n" + "".join(
    f"    yield CommandSpec(name={name!r}, {rest})\n" for name, rest in SPECS.items()
)
GOOD = """
from typing import Annotated
import typer
NUMBER = 7
def greet(name: Annotated[str, typer.Argument(help="Who.")] = "you") -> None:
    "Greet somebody."
lab = typer.Typer(help="A laboratory.")
@lab.command()
def boil(degrees: Annotated[int, typer.Option(help="How hot.")] = 90) -> None:
    "Boil."
@lab.command()
def freeze() -> None:
    "Freeze."
"""
WRONG = """
import typer
def untyped(value: int | str) -> None: ...
def unsaid(name: str, loud: bool = False) -> None: ...
vague = typer.Typer()
@vague.command()
def one() -> None: ...
greedy = typer.Typer()
@greedy.command()
def take() -> None:
    "Take."
"""


@pytest.fixture
def tools(fake_site: FakeSite) -> Index:
    modules = {
        "acme_tools.plugin": PLUGIN,
        "acme_tools.good": GOOD,
        "acme_tools.wrong": WRONG,
        "acme_tools.heavy": "import torch\ndef run() -> None: ...",
        "acme_tools.noisy": "print('hello')\ndef run() -> None: ...",
        "acme_tools.leaving": "import sys\nif 'pytest' not in sys.modules: sys.exit(3)\ndef run() -> None: ...",
    }
    fake_site.install("acme-tools", {"tools": "acme_tools.plugin"}, modules=modules)
    return load_index()


def checker(index: Index, name: str) -> Checker:
    (command,) = find_checked(index, f"command/{name}")
    return Checker.of(command, index)


@pytest.mark.parametrize(("name", "checks"), [("sound", 6), ("lab", 6), ("lab clean", 6), ("yard", 3)])
def test_a_sound_command_passes_every_check(tools: Index, name: str, checks: int) -> None:
    rows = [*map(checker(tools, name).result, checker(tools, name).names)]
    assert len(rows) == checks and {row.status for row in rows} == {"passed"}, rows


@pytest.mark.parametrize(
    ("name", "failing", "said"),
    [
        ("silent", "summary", "no summary"),
        ("lengthy", "summary", "more than one line"),
        ("curt", "summary", "not a sentence"),
        ("absent", "app", "no module 'acme_tools.nowhere'"),
        ("number", "app", "neither a function nor a typer.Typer"),
        ("untyped", "app", "describing its arguments"),
        ("greedy", "app", "hides commands that are registered below it: take"),
        ("unsaid", "parameters", "esper unsaid name, esper unsaid loud"),
        ("vague", "parameters", "esper vague one"),
        ("heavy", "light", "it imports torch"),
        ("noisy", "help", "`esper noisy --help` prints more than help: hello"),
        ("leaving", "help", "`esper leaving --help` exits with 3"),
    ],
)
def test_what_is_wrong_is_found_by_its_check(tools: Index, name: str, failing: str, said: str) -> None:
    row = checker(tools, name).result(failing)
    assert row.status == "failed" and said in row.message, row


def test_a_plugin_without_an_entry_point_or_with_a_heavy_module_is_found(fake_site: FakeSite) -> None:
    code = f"import torch\n{PLUGIN}"
    fake_site.install("acme-tools", {"tools": "acme_tools.plugin"}, modules={"acme_tools.plugin": code})
    index = load_index(only=["tools"])
    assert "it imports torch" in checker(index, "yard").result("registration").message
    (fake_site.folder / "acme_tools-1.0.dist-info" / "entry_points.txt").write_text("")
    assert "no entry point 'tools'" in checker(index, "yard").result("registration").message
    del sys.modules["acme_tools"]


def test_names_mean_commands_and_a_plugin_means_all_of_them(tools: Index) -> None:
    assert len(find_checked(tools, "tools")) == len(SPECS)
    assert SUITE.declared == tuple(check.name for check in SUITE.checks)
    with pytest.raises(UnknownComponent, match="Did you mean 'sound'"):
        find_checked(tools, "command/soun")


@pytest.mark.slow
def test_every_installed_command_passes() -> None:
    index = load_index()
    rows = [Checker.of(command, index) for command in index.commands]
    wrong = [(c.subject.key, n, c.result(n).message) for c in rows for n in c.names if c.result(n).status != "passed"]
    assert len(rows) > 20 and wrong == []
