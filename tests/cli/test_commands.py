"""Commands that plugins bring: found by name, imported when they are run, and broken alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from esper_testing.distributions import FakeSite

PLUGIN = """
from esper_core import CommandSpec, hookimpl
@hookimpl
def esper_commands():
    yield CommandSpec(name="greet", app="acme_greet:greet", summary="Greet somebody.")
    yield CommandSpec(name="runs weigh", app="acme_greet:weigh", summary="Weigh a run.")
    yield CommandSpec(name="lab", app="acme_greet:lab", summary="A laboratory.")
    yield CommandSpec(name="lab clean", app="acme_greet:clean", summary="Clean up.")
    yield CommandSpec(name="yard sweep", app="acme_greet:clean", summary="Sweep.")
    yield CommandSpec(name="absent", app="acme_absent:run", summary="It is not there.")
    yield CommandSpec(name="number", app="acme_greet:NUMBER", summary="No function.")
"""

COMMANDS = """
import typer
NUMBER = 7
lab = typer.Typer()
@lab.command()
def boil(degrees: int) -> None:
    print(degrees)
def greet(name: str, loud: bool = False) -> None:
    "Greet somebody by name."
    print(name.upper() if loud else name)
    if name == "nobody":
        raise LookupError("nobody is there")
def weigh(run: str) -> None:
    print("weighing", run)
def clean() -> None:
    print("clean")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = FakeSite(tmp_path / "site")
    modules = {"acme_plugin": PLUGIN, "acme_greet": COMMANDS}
    folder.install("acme-greet", {"greet": "acme_plugin"}, modules=modules)
    return folder.folder


def test_a_plugins_commands_stand_beside_esper_s_own(esper, site):
    listed = esper("--help", path=site).stdout
    assert "greet     Greet somebody." in listed and "lab       A laboratory." in listed and "train " in listed
    assert "Commands of acme-greet." in listed
    assert esper("greet", "--loud", "ada", path=site).stdout == "ADA\n"
    assert "weigh" in esper("runs", "--help", path=site).stdout and "list" in esper("runs", "--help", path=site).stdout
    assert esper("runs", "weigh", "a", path=site).stdout == "weighing a\n"
    assert esper("lab", "boil", "90", path=site).stdout == "90\n"
    assert esper("lab", "clean", path=site).stdout == esper("yard", "sweep", path=site).stdout == "clean\n"
    assert "Greet somebody by name." in esper("greet", "-h", path=site).stdout
    shown = json.loads(esper("plugins", "show", "greet", "--json", path=site).stdout)
    assert shown["commands"][:2] == ["greet", "runs weigh"] and shown["described"]["greet"] == "Greet somebody."


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("greet", "nobody"), 3, "command 'greet' (acme-greet 1.0) failed: LookupError: nobody is there."),
        (("absent",), 3, "command 'absent' (acme-greet 1.0) names 'acme_absent:run', but there is no module"),
        (("number",), 3, "'acme_greet:NUMBER' is neither a function nor a typer.Typer."),
        (("gret",), 2, "There is no command 'gret'. Did you mean 'greet'?"),
        (("runs", "wiegh"), 2, "There is no command 'runs wiegh'. Did you mean 'weigh'?"),
        (("spike", "foo"), 2, "There is no command 'spike foo'.\nSee: esper spike --help"),
        (("greet", "ada", "--no-plugin", "acme-greet"), 2, "There is no command 'greet'."),
    ],
)
def test_what_goes_wrong_is_named(esper, site, words, status, said):
    done = esper(*words, path=site)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert said in done.stderr


@pytest.mark.parametrize("name", ["train", "runs list", "greet"])
def test_a_name_that_is_taken_fails_that_plugin_alone(esper, site, name):
    code = PLUGIN.partition("@hookimpl")[0] + (
        f"@hookimpl\ndef esper_commands():\n    yield CommandSpec(name={name!r}, app='a:b')\n"
    )
    FakeSite(site).install("zoo", {"zoo": "zoo_plugin"}, modules={"zoo_plugin": code})
    listed = {row["plugin"]: row for row in json.loads(esper("plugins", "list", "--json", path=site).stdout)}
    assert listed["zoo"]["status"] == "failed" and f"the command '{name}' is already taken by" in listed["zoo"]["error"]
    assert listed["greet"]["status"] == "ok"
    assert esper("greet", "ada", path=site).stdout == "ada\n"


def test_help_imports_no_command(site):
    code = (
        "import sys\nfrom esper_core.cli.app import run\nrun(['--help'])\n"
        "own = {'app', 'cli', 'commands', 'document', 'output', 'refusals', 'stopping', 'installed'}\n"
        "found = {m.rpartition('.')[2] for m in sys.modules if m.startswith('esper_core.cli')}\n"
        "assert found <= own, found - own\n"
        "assert not {'acme_greet', 'torch', 'numpy'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(site)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Greet somebody." in done.stdout


def test_a_broken_registry_file_leaves_the_help_and_the_core_s_commands(esper, tmp_path):
    (tmp_path / "registry.toml").write_text("schema = 1\n[defaults\n", encoding="utf-8")
    done = esper("--help")
    assert done.returncode == 0 and "train" in done.stdout
    done = esper("unheard-of")
    assert done.returncode == 2 and "registry.toml:2:" in done.stderr
