"""What a component is made of is read from its source, which is never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from esper_core import ComponentSpec
from esper_core.registry.index import Component
from esper_spike_dynamic_slots.source import Sources
from esper_testing.spikes.verdict import Place

FILES = {
    "__init__.py": "",
    "net.py": (
        "from remote_pkg.parts import Head as H\n"
        "from . import sizes\n"
        "from .sizes import WIDTH\n"
        "import torch\n"
        "class Base: ...\n"
        "class Net(Base):\n"
        "    head = H\n"
        "    width = sizes.DEPTH\n"
        "class Other:\n"
        "    width = WIDTH\n"
    ),
    "parts.py": "raise SystemExit('never run')\nclass Head: ...\nclass Tail: ...\n",
    "sizes.py": "WIDTH = 8\nif WIDTH:\n    DEPTH = 2\n",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    package = tmp_path_factory.mktemp("source") / "remote_pkg"
    package.mkdir()
    for name, code in FILES.items():
        (package / name).write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(package.parent))
        yield package


@pytest.fixture
def sources(package: Path) -> Sources:
    spec = ComponentSpec(kind="network", name="net", factory="remote_pkg.net:Net")
    critic = ComponentSpec(kind="critic", name="other", factory="remote_pkg.net:Other")
    flat = ComponentSpec(kind="features", name="flat", factory="esper_core.builtin.flat:Flat")
    return Sources([Component(spec, "remote", "remote", "1") for spec in (spec, critic, flat)])


def test_what_a_factory_uses_is_followed_through_imports(sources: Sources) -> None:
    names = [f"{d.module.name}:{d.name}" for d in sources.reachable(sources.components[0])]
    assert names[0] == "remote_pkg.net:Net"
    assert set(names[1:]) == {"remote_pkg.net:Base", "remote_pkg.parts:Head", "remote_pkg.sizes:DEPTH"}


def test_a_file_belongs_to_the_components_of_its_package(sources: Sources, package: Path) -> None:
    net, other, flat = sources.components
    assert sources.owners(str(package / "parts.py")) == [net, other]
    (definition,) = sources.reachable(flat)[:1]
    assert sources.owners(str(definition.module.file)) == [flat]
    assert sources.owners(__file__) == []
    assert definition.covers(Place(str(definition.module.file), definition.node.lineno + 1))


def test_of_the_core_only_its_own_components_are_looked_at(sources: Sources) -> None:
    assert set(sources.modules) == {"remote_pkg", "esper_core.builtin"}
