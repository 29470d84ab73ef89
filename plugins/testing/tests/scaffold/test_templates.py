"""Every template is a distribution that becomes a working plugin under any name."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from esper_core.composition.config import describe_options
from esper_core.registry.loading import load_index
from esper_core.registry.references import load_reference
from esper_testing.commands.new import first_steps
from esper_testing.conformance.finding import find_checked
from esper_testing.conformance.run import check_components
from esper_testing.distributions import FakeSite
from esper_testing.scaffold.names import PluginName
from esper_testing.scaffold.template import COMMANDS, load_template
from esper_testing.scaffold.writing import write_folder

pytest_plugins = ["esper_testing.pytest"]

KINDS = {**load_index().kinds, COMMANDS.name: COMMANDS}
COMPONENTS = [kind for kind in KINDS if kind != COMMANDS.name]


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


@pytest.mark.parametrize("kind", COMPONENTS)
def test_it_registers_one_component_of_its_kind_and_whatever_else_it_needs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = scaffold(kind, tmp_path, monkeypatch)
    specs = list(import_module(f"{name.module}.plugin").esper_components())
    assert [spec.kind for spec in specs].count(kind) == 1
    assert {spec.name for spec in specs} == {name.kebab}
    (spec,) = [spec for spec in specs if spec.kind == kind]
    assert spec.summary and len({spec.summary} & {c.spec.summary for c in load_index().components}) == 0
    assert all(row.help for row in describe_options(load_reference(spec.config, name.kebab)))
    assert callable(load_reference(spec.factory, name.kebab))


def test_the_readme_says_how_to_install_check_and_use_it(kind: str) -> None:
    files = load_template(KINDS[kind]).renamed(PluginName("acme-thing"))
    install, check, use = first_steps(files, Path("over there") / "acme-thing", "acme-thing")
    assert install == "pip install -e 'over there/acme-thing'"
    assert check == "esper plugins check acme-thing"
    assert shlex.split(use)[0] in ("esper", "python") and re.search("acme.thing", use)
    linked = re.findall(r"\]\(([^)]+)\)", files["README.md"].decode())
    assert linked and set(linked) <= set(files)


@pytest.mark.parametrize("kind", ["network", "rule", "command"])
def test_it_passes_every_check(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_site: FakeSite) -> None:
    name = scaffold(kind, tmp_path, monkeypatch)
    fake_site.install(name.kebab, {name.kebab: f"{name.module}.plugin"})
    index = load_index()
    conformance = check_components(name.kebab, find_checked(index, name.kebab), index)
    assert conformance.colour == "GREEN", [result for result in conformance.checks if result.status != "passed"]
