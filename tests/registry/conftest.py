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
    return Index.from_plugins({"core": core, "toy": plugin}, distribution="toy-world", version="1.0")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put distributions on sys.path as an installer would: modules beside a `dist-info` with entry points."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def place(distribution: str, version: str = "1.0", **modules: str) -> None:
        folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        points = ["[esper.plugins]"]
        for point, code in modules.items():
            module = f"{distribution.replace('-', '_')}_{point}"
            (site / f"{module}.py").write_text("from esper_core import *\nimport esper_core\n" + dedent(code))
            points.append(f"{point.replace('_', '-')} = {module}")
            monkeypatch.delitem(sys.modules, module, raising=False)
        (folder / "entry_points.txt").write_text("\n".join(points))

    return place
