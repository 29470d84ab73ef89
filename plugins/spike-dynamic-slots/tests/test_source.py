"""Source is read, never run: what a component is made of, and who uses a slot count, by where names are defined."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from esper_core import ComponentSpec
from esper_core.registry.index import Component
from esper_spike_dynamic_slots.consumers import Consumers
from esper_spike_dynamic_slots.source import Definition, Sources

FILES = {
    "owner_pkg/__init__.py": "from . import sizes as measures\nfrom .sizes import *\n",
    "owner_pkg/sizes.py": (
        "SLOTS = 3\n"
        "DOUBLE = 2 * SLOTS\n"
        "class Layout:\n"
        "    SLOTS = 5\n"
        "    def wide(self):\n"
        "        return self.SLOTS\n"
        "def same(SLOTS):\n"
        "    return SLOTS\n"
        "class Config:\n"
        "    num_slots: int = 3\n"
    ),
    "owner_pkg/net.py": (
        "import owner_pkg.sizes\n"
        "import owner_pkg.sizes as lengths\n"
        "from .sizes import SLOTS as N\n"
        "from . import measures, sizes\n"
        "from owner_pkg import SLOTS\n"
        "class Net:\n"
        "    def __init__(self, config):\n"
        "        self.a = owner_pkg.sizes.SLOTS\n"
        "        self.b = lengths.SLOTS\n"
        "        self.c = N\n"
        "        self.d = sizes.SLOTS + measures.SLOTS\n"
        "        self.e = SLOTS\n"
        "        self.f = config.num_slots\n"
        "        self.g = N.SLOTS\n"
    ),
    "owner_pkg/around.py": (
        "from .sizes import Layout\ndef depth(layout: Layout):\n    return layout.SLOTS\n"
        "def of(config):\n    return config.num_slots\n"
    ),
    "owner_pkg/starred.py": "from .sizes import *\nWIDE = SLOTS\n",
    "owner_pkg/heads.py": "raise SystemExit('never run')\nclass Head: ...\nclass Tail: ...\n",
    "owner_pkg/body.py": (
        "from owner_pkg.heads import Head as H\n"
        "from . import depths\n"
        "class Base: ...\n"
        "class Body(Base):\n"
        "    head = H\n"
        "    depth = depths.DEPTH\n"
    ),
    "owner_pkg/depths.py": "WIDTH = 8\nif WIDTH:\n    DEPTH = 2\n",
    "other_pkg/__init__.py": "",
    "other_pkg/critic.py": (
        "import torch as sizes\n"
        "SLOTS = 4\n"
        "class Critic:\n"
        "    def __init__(self, config):\n"
        "        self.SLOTS = SLOTS\n"
        "        self.width = sizes.SLOTS\n"
        "        self.height = config.num_slots\n"
        "        self.more = make(SLOTS=3)\n"
    ),
    "other_pkg/reader.py": "from owner_pkg import measures\nCOPY = measures.SLOTS\n",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    folder = tmp_path_factory.mktemp("packages")
    for name, code in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    specs = (
        ComponentSpec(kind="network", name="net", factory="owner_pkg.net:Net", config="owner_pkg:Config"),
        ComponentSpec(kind="critic", name="critic", factory="other_pkg.critic:Critic"),
        ComponentSpec(kind="loss", name="body", factory="owner_pkg.body:Body"),
        ComponentSpec(kind="features", name="flat", factory="esper_core.builtin.flat:Flat"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield Sources([Component(spec, spec.name, spec.name, "1") for spec in specs])


def test_what_a_factory_uses_is_followed_through_imports_without_running_it(sources: Sources) -> None:
    first, *rest = [f"{d.module.name}:{d.name}" for d in sources.reachable(sources.components[2])]
    assert first == "owner_pkg.body:Body"
    assert set(rest) == {"owner_pkg.body:Base", "owner_pkg.heads:Head", "owner_pkg.depths:DEPTH"}


def test_a_file_belongs_to_the_components_of_its_package(sources: Sources) -> None:
    net, _, body, flat = sources.components
    homes = {component.name: sources.reachable(component)[0] for component in sources.components}
    assert sources.owners(str(homes["body"].module.file)) == [net, body]
    assert sources.owners(str(homes["flat"].module.file)) == [flat]
    assert sources.owners(__file__) == []
    assert homes["net"].covers(homes["net"].module.place(8)) and not homes["net"].covers(homes["net"].module.place(5))
    assert set(sources.modules) == {"owner_pkg", "other_pkg", "esper_core.builtin"}, "of core, only its components"


def found(sources: Sources, definition: str, name: str) -> set[tuple[str, int]]:
    """Return file and line of every use of a name in `owner_pkg/sizes.py`."""
    modules = [module for modules in sources.modules.values() for module in modules]
    (home,) = [module for module in modules if module.name == "owner_pkg.sizes"]
    places = Consumers(sources).find(Definition(home, definition, home.definitions[definition]), name)
    return {("/".join(Path(place.file).parts[-2:]), place.line) for place in places}


def test_a_constant_is_used_by_whoever_imports_it_however_it_is_written(sources: Sources) -> None:
    assert found(sources, "SLOTS", "SLOTS") == {
        ("owner_pkg/sizes.py", 2),
        *(("owner_pkg/net.py", line) for line in (3, 5, 8, 9, 10, 11, 12, 14)),
        ("owner_pkg/starred.py", 2),
        ("other_pkg/reader.py", 2),
    }


def test_an_attribute_is_used_within_its_class_and_by_whoever_imports_that(sources: Sources) -> None:
    assert found(sources, "Layout", "SLOTS") == {
        ("owner_pkg/sizes.py", 6),
        ("owner_pkg/around.py", 3),
    }


def test_an_option_is_read_by_the_components_that_have_it(sources: Sources) -> None:
    assert found(sources, "Config", "config.num_slots") == {("owner_pkg/net.py", 13)}
