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
from esper_testing.scaffold.writing import write_folder

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
    # A new name that contains the old one is put in once.
    assert b"class NotMyGadget: ..." in TEMPLATE.renamed(PluginName("not-my-gadget"))["not_my_gadget/plugin.py"]


@pytest.mark.parametrize("name", ["gadget-state", "widget", "plugin", "slot"])
def test_a_name_that_the_code_uses_already_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"cannot be called '{name}'"):
        TEMPLATE.renamed(PluginName(name))


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


# Writing it: whole or not at all, and never over anything

FILES = {"README.md": b"# net", "net/plugin.py": b"", "net/deep/er.py": b"x = 1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_files_are_there_and_nothing_else(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "down" / "net", FILES)
    assert contents(tmp_path / "deep" / "down" / "net") == FILES
    assert names(tmp_path / "deep" / "down") == ["net"]


@pytest.mark.parametrize("what", ["file", "folder", "dangling"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    target = tmp_path / "net"
    if what == "file":
        target.write_bytes(b"mine")
    elif what == "folder":
        (target / "mine").mkdir(parents=True)
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists and is"):
        write_folder(target, FILES)
    assert names(tmp_path) == ["net"]
    assert what != "file" or target.read_bytes() == b"mine"


def test_what_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_folder(tmp_path / "net", {**FILES, "net/plugin.py/below-a-file.py": b""})
    assert names(tmp_path) == []
