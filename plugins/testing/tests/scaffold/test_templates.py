"""Every template is a distribution that becomes a working plugin under any name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from esper_core.registry.loading import load_index
from esper_testing.commands.new import first_steps
from esper_testing.conformance.finding import find_checked
from esper_testing.conformance.run import Checker, check_components
from esper_testing.distributions import FakeSite
from esper_testing.scaffold.names import PluginName
from esper_testing.scaffold.template import COMMANDS, load_template
from esper_testing.scaffold.writing import write_folder

pytest_plugins = ["esper_testing.pytest"]

KINDS = {**load_index().kinds, COMMANDS.name: COMMANDS}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def scaffold(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> PluginName:
    """Write `acme-KIND-v2` and put it on the path; every test that imports it gives it a name of its own."""
    name = PluginName(f"acme-{kind}-v2")
    write_folder(folder / name.kebab, load_template(KINDS[kind]).renamed(name))
    monkeypatch.syspath_prepend(str(folder / name.kebab))
    return name


def test_nothing_keeps_the_name_of_the_template(kind: str) -> None:
    files = load_template(KINDS[kind]).renamed(PluginName("acme-thing-v2"))
    old = re.compile(rf"my[-_ ]?{kind}\b".encode(), re.IGNORECASE)
    assert not [path for path, content in files.items() if old.search(path.encode()) or old.search(content)]
    assert {"README.md", "pyproject.toml", ".gitignore", "acme_thing_v2/plugin.py"} <= set(files)


def test_the_readme_says_how_to_install_check_and_use_it(kind: str) -> None:
    files = load_template(KINDS[kind]).renamed(PluginName("acme-thing"))
    install, check, use = first_steps(files, Path("over there") / "acme-thing", "acme-thing")
    assert install == "pip install -e 'over there/acme-thing'"
    assert check == "esper plugins check acme-thing"
    assert shlex.split(use)[0] in ("esper", "python") and re.search("acme.thing", use)
    linked = re.findall(r"\]\(([^)]+)\)", files["README.md"].decode())
    assert linked and set(linked) <= set(files)


def test_it_is_a_plugin_of_its_kind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_site: FakeSite
) -> None:
    """Of three kinds every check is made, of the others those that take no time."""
    name = scaffold(kind, tmp_path, monkeypatch)
    fake_site.install(name.kebab, {name.kebab: f"{name.module}.plugin"})
    index = load_index()
    found = find_checked(index, name.kebab)
    assert {brought.spec.name for brought in found} == {name.kebab}
    if kind in ("network", "rule", "command"):
        conformance = check_components(name.kebab, found, index)
        assert conformance.colour == "GREEN", [result for result in conformance.checks if result.status != "passed"]
    else:
        (own,) = [brought for brought in found if brought.key.startswith(f"{kind}/")]
        row = Checker.of(own, index).result("config")
        assert row.status == "passed", row
