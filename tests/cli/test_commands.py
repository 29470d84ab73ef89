"""Commands that plugins bring: found by name, imported when they are run, and broken alone."""

from __future__ import annotations

import json
import os
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
    for words in ("greet     Greet somebody.", "lab       A laboratory.", "train ", "Commands of acme-greet."):
        assert words in listed
    assert esper("greet", "--loud", "ada", path=site).stdout == "ADA\n"
    assert "weigh" in esper("runs", "--help", path=site).stdout and "list" in esper("runs", "--help", path=site).stdout
    assert esper("runs", "weigh", "a", path=site).stdout == "weighing a\n"
    assert esper("lab", "boil", "90", path=site).stdout == "90\n"
    assert esper("lab", "clean", path=site).stdout == esper("yard", "sweep", path=site).stdout == "clean\n"
    assert "Greet somebody by name." in esper("greet", "-h", path=site).stdout
    shown = json.loads(esper("plugins", "show", "greet", "--json", path=site).stdout)
    assert shown["commands"][:2] == ["greet", "runs weigh"] and shown["described"]["greet"] == "Greet somebody."
    (lost,) = shown["unavailable"]
    missing = "it names 'acme_absent:run', but there is no module 'acme_absent'"
    assert lost == {"kind": "command", "name": "absent", "reason": missing}
    assert (
        f"error: command 'absent' (acme-greet 1.0) cannot run: {missing}."
        in esper("plugins", "doctor", path=site).stdout
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("greet", "nobody"), 3, "command 'greet' (acme-greet 1.0) failed: LookupError: nobody is there."),
        (("absent",), 3, "command 'absent' (acme-greet 1.0) names 'acme_absent:run', but there is no module"),
        (("number",), 3, "'acme_greet:NUMBER' is neither a function nor a typer.Typer."),
        (("runs", "wiegh"), 2, "There is no command 'runs wiegh'. Did you mean 'weigh'?"),
        (("greet", "ada", "--no-plugin", "acme-greet"), 2, "There is no command 'greet'."),
    ],
)
def test_what_goes_wrong_is_named(esper, site, words, status, said):
    done = esper(*words, path=site)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert said in done.stderr


@pytest.mark.parametrize("name", ["runs list", "greet"])
def test_a_name_that_is_taken_fails_that_plugin_alone(esper, site, name):
    code = f"{PLUGIN.partition('@hookimpl')[0]}def esper_commands(): return [CommandSpec(name={name!r}, app='a:b')]\n"
    code = code.replace("def", "@hookimpl\ndef")
    FakeSite(site).install("zoo", {"zoo": "zoo_plugin"}, modules={"zoo_plugin": code})
    listed = esper("plugins", "list", path=site).stdout
    assert f"zoo (zoo 1.0) failed: the command '{name}' is already taken by" in " ".join(listed.split()), listed
    assert "Failed to load, with any commands: zoo. See: esper plugins doctor" in esper("--help", path=site).stdout
    assert esper("greet", "ada", path=site).stdout == "ada\n"


IMPORTED = """
import sys
from esper_core.cli.app import run
run(sys.argv[1:])
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""


def test_help_imports_no_command_and_costs_no_more_than_listing_plugins(site, tmp_path):
    def imported_by(*words: str, site: Path) -> set[str]:
        variables = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, "-c", IMPORTED, *words]
        return set(subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stderr.split())

    alone, beside = imported_by("--help", site=tmp_path), imported_by("--help", site=site)
    of_cli = {name.rpartition(".")[2] for name in beside if name.startswith("esper_core.cli.")}
    assert of_cli == {"app", "commands", "document", "installed", "output", "refusals", "stopping"}
    assert not beside & {"acme_greet", "torch", "numpy", "matplotlib"}
    assert beside - alone == {"acme_plugin"} <= imported_by("plugins", "list", site=site)


OFFERING = """
from esper_core import CommandSpec, ComponentSpec, KindSpec, hookimpl
@hookimpl
def esper_kinds():
    for name, more in (("tool-box", {}), ("observe", {}), ("nail", {"several": True}), ("rack", {"planned": False})):
        yield KindSpec(name=name, protocol="acme:P", summary=f"what a {name} is", **more)
    flags = {"rivals": "folder", "how-many": "count", "seed": "count"}
    yield KindSpec(name="rivals", protocol="acme:P", summary="what rivals are", flags=flags)
@hookimpl
def esper_components():
    yield ComponentSpec(kind="rivals", name="fierce", factory="acme:P", config="acme_choose:Config")
@hookimpl
def esper_commands():
    yield CommandSpec(name="choose", app="acme_choose:choose")
"""

CHOOSE = """
from typing import Any
from attrs import frozen
from esper_core import option
from esper_core.cli import choices
@frozen
class Config:
    folder: str = option("", help="Where they are.")
    count: int = option(3, help="How many.")
def choose(
    kinds: choices.Kinds = None,
    settings: choices.KindSettings = None,
    uses: choices.Uses = None,
    options: choices.Options = None,
    seed: choices.Seed = None,
) -> None:
    print(choices.parse_uses(uses, kinds), seed, *map(repr, choices.check_once(settings, options or ())))
"""


@pytest.fixture
def offering(tmp_path: Path) -> Path:
    folder = FakeSite(tmp_path / "offering")
    folder.install("acme-tools", {"tools": "acme_offering"}, modules={"acme_offering": OFFERING, "acme_choose": CHOOSE})
    return folder.folder


def test_flags_are_offered_for_the_kinds_that_installed_plugins_declare(esper, offering):
    def shown(*words: str) -> str:
        return " ".join(esper(*words, "--help", path=offering).stdout.split())

    train = shown("train")
    assert "--tool-box NAME" in train and "What a tool-box is." in train and "--task NAME" in train
    assert "--nail" not in train and "--rack" not in train and "--blueprint" not in train
    assert train.count("--observe") == 1 and "What a observe is" not in train, "a flag that is taken is nobody else's"
    assert "--epochs <int>" in train and "In growth: Host epochs per episode" in train
    without = shown("train", "--no-plugin", "growth")
    assert "--host" not in without and "No installed environment has it." in without
    assert "--tool-box NAME" in shown("matrix") and "--critic NAME" not in shown("matrix")


def test_a_flag_for_a_kind_says_the_same_as_use(esper, offering):
    assert esper("choose", "--tool-box", "red", "--seed", "3", path=offering).stdout == "{'tool-box': 'red'} 3\n"
    assert esper("choose", "--tool-box", "red", "--use", "tool-box=red", path=offering).stdout.startswith("{'tool")
    done = esper("choose", "--tool-box", "red", "--use", "tool-box=blue", path=offering)
    assert done.returncode == 2 and "The tool-box is chosen twice: 'red' and 'blue'." in done.stderr


def test_a_kind_may_have_flags_that_stand_for_options(esper, offering):
    shown = " ".join(esper("train", "--help", path=offering).stdout.split())
    assert "--rivals FOLDER" in shown and "Where they are. Short for -o rivals.folder" in shown
    assert "--how-many <int>" in shown and "How many (3)." in shown and "--rivals NAME" not in shown
    assert shown.count("--seed") == 1, "a flag that is taken is nobody else's"
    done = esper("choose", "--rivals", "1e3", "--how-many", "2", path=offering)
    first, second = (f"Option(kind='rivals', name=None, key='{key}'" for key in ("folder", "count"))
    assert done.stdout == f"{{}} None {first}, value='1e3') {second}, value=2)\n", "a text stays one"
    done = esper("choose", "--rivals", "there", "-o", "rivals.folder=here", path=offering)
    assert done.returncode == 2 and "'rivals.folder' is chosen twice" in done.stderr
    asked = esper("train", "--policy", "lstm-v2", "--how-many", "2", "--dry-run", path=offering)
    (rivals,) = (c for c in json.loads(asked.stdout)["components"] if c["kind"] == "rivals")
    assert rivals["name"] == "fierce" and rivals["config"] == {"folder": "", "count": 2}
