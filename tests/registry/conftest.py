"""Fixtures of the registry's tests: the toy world, in memory and as an installed distribution."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from esper_core.builtin import plugin as core
from esper_core.registry.index import Index
from esper_testing.distributions import FakeSite
from esper_testing.index import index_from_plugins

FIXTURES = Path(__file__).parent / "fixtures"
Install = Callable[..., None]
"""Signature of the fixture `install`: (distribution, version="1.0", **{entry point: code of its module})."""


@pytest.fixture(scope="session", autouse=True)
def toy_world_on_path() -> Iterator[None]:
    sys.path.insert(0, str(FIXTURES))
    yield
    sys.path.remove(str(FIXTURES))


@pytest.fixture
def index() -> Index:
    plugin = import_module("toy_world.plugin")
    return index_from_plugins({"core": core, "toy": plugin}, distribution="toy-world", version="1.0")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install distributions whose entry points have a module each."""
    site = FakeSite(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site.folder))

    def place(distribution: str, version: str = "1.0", **modules: str) -> None:
        names = {point: f"{distribution.replace('-', '_')}_{point}" for point in modules}
        sources = {
            names[point]: f"from esper_core import *\nimport esper_core\n{dedent(modules[point])}" for point in names
        }
        plugins = {point.replace("_", "-"): module for point, module in names.items()}
        site.install(distribution, plugins, version=version, modules=sources)

    return place


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with no word from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESPER_PLUGINS", raising=False)
    monkeypatch.delenv("ESPER_REGISTRY", raising=False)
    return tmp_path
