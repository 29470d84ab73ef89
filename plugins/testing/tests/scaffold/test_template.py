"""A template becomes a plugin of another name, in file names and contents, and says so when it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from esper_core import KindSpec
from esper_core.contracts.errors import PluginError, UserError
from esper_testing.scaffold.names import PluginName
from esper_testing.scaffold.template import Template, load_template

SOURCE = b"""from elsewhere import Other as Widget, SlotConfig
class MyGadget: ...
class MyGadgetConfig: ...
class GadgetState: ...
def my_gadget(): return "my-gadget"
"""
TEMPLATE = Template(
    PluginName("my-gadget"),
    {
        "my_gadget/plugin.py": SOURCE,
        "tests/test_my_gadget.py": b"import my_gadget.plugin as plugin",
        "data.bin": b"\xff\x00my-gadget",
    },
)


def test_all_spellings_are_replaced_everywhere() -> None:
    files = TEMPLATE.renamed(PluginName("fine-gizmo"))
    assert set(files) == {"fine_gizmo/plugin.py", "tests/test_fine_gizmo.py", "data.bin"}
    assert files["data.bin"] == b"\xff\x00fine-gizmo"
    assert b"class FineGizmo: ..." in files["fine_gizmo/plugin.py"]
    assert b'def fine_gizmo(): return "fine-gizmo"' in files["fine_gizmo/plugin.py"]
    assert b"class GadgetState: ..." in files["fine_gizmo/plugin.py"]


def test_a_new_name_that_contains_the_old_is_put_in_once() -> None:
    files = TEMPLATE.renamed(PluginName("not-my-gadget"))
    assert "not_my_gadget/plugin.py" in files
    assert b"class NotMyGadget: ..." in files["not_my_gadget/plugin.py"]


def test_its_own_name_is_as_good_as_any() -> None:
    assert TEMPLATE.renamed(PluginName("my-gadget")) == TEMPLATE.files


@pytest.mark.parametrize("name", ["gadget-state", "widget", "plugin", "slot"])
def test_a_name_that_the_code_uses_already_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"cannot be called '{name}'"):
        TEMPLATE.renamed(PluginName(name))


def test_a_module_that_is_no_python_is_the_authors_fault() -> None:
    broken = Template(PluginName("my-gadget"), {"my_gadget/plugin.py": b"def {{ name }}(): ..."})
    with pytest.raises(PluginError, match=r"my_gadget/plugin\.py is not Python"):
        broken.renamed(PluginName("fine-gizmo"))


def kind(template: str) -> KindSpec:
    return KindSpec(name="gadget", protocol="acme.protocols:Gadget", template=template)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder `acme_kit/templates/gadget` of somebody else's package."""
    folder = tmp_path / "acme_kit" / "templates" / "gadget"
    (folder / "my_gadget").mkdir(parents=True)
    (tmp_path / "acme_kit" / "__init__.py").touch()
    (folder / "my_gadget" / "plugin.py").write_bytes(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for module in [name for name in sys.modules if name.partition(".")[0] == "acme_kit"]:
        del sys.modules[module]


def test_a_kind_of_somebody_else_has_its_own(acme: Path) -> None:
    (acme / "my_gadget" / "__pycache__").mkdir()
    (acme / "my_gadget" / "__pycache__" / "plugin.pyc").touch()
    (acme / "my_gadget.egg-info").mkdir()
    (acme / "my_gadget.egg-info" / "PKG-INFO").touch()
    template = load_template(kind("acme_kit.templates:gadget"))
    assert set(template.files) == {".gitignore", "my_gadget/plugin.py"}
    assert template.files["my_gadget/plugin.py"] == SOURCE


def test_a_kind_without_one_says_what_to_do() -> None:
    with pytest.raises(UserError, match="'gadget' has no template") as caught:
        load_template(kind(""))
    assert "acme.protocols:Gadget" in caught.value.hint


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("acme_kit.templates:gizmo", "has no folder 'gizmo'"),
        ("acme_kit:templates", "holds no package 'my_gadget'"),
        ("acme_kit.missing:gadget", "failed while importing acme_kit.missing: ModuleNotFoundError"),
    ],
)
def test_one_that_is_not_there_is_the_authors_fault(acme: Path, reference: str, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        load_template(kind(reference))
