"""Of several copies of a distribution the one is used whose code is imported, and the others are named."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.registry.discovery import entry_point_sources, find_copies
from esper_core.registry.loading import load_index
from tests.registry.test_index import GOOD, record

Lay = Callable[..., Path]


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Return a function that lays the metadata of `acme` into a folder, which then stands first on the path."""

    def place(
        folder: str, info: str, *, plugins: bool = True, code: str | None = None, size: int | None = None
    ) -> Path:
        home = tmp_path / folder
        path = home / info
        path.mkdir(parents=True)
        version = info.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")[2] or "1.0"
        kept = "PKG-INFO" if info.endswith("egg-info") else "METADATA"
        (path / kept).write_text(f"Metadata-Version: 2.1\nName: Acme\nVersion: {version}\n")
        if plugins:
            (path / "entry_points.txt").write_text("[esper.plugins]\nacme = acme_plugin\n")
        if code is not None:
            (home / "acme_plugin.py").write_text(code)
        if size is not None:
            (path / "RECORD").write_text(f"acme_plugin.py,,{size}\n")
        if str(home) not in sys.path:
            monkeypatch.syspath_prepend(str(home))
        importlib.invalidate_caches()
        sys.modules.pop("acme_plugin", None)
        return path

    return place


def used() -> list[str]:
    """Return the metadata folders of the copies of acme, the one that is used first."""
    (copies,) = [copies for copies in find_copies() if copies[0].distribution == "acme"]
    return ["/".join(Path(copy.metadata).parts[-2:]) for copy in copies]


CODE = f"from esper_core import *\n{GOOD.format(name='acme-net')}"


@pytest.mark.parametrize("plugins", [True, False])
def test_an_older_leftover_in_the_same_folder_is_not_used(lay: Lay, plugins: bool) -> None:
    old = lay("site", "acme-0.9.dist-info", plugins=plugins, code=CODE)
    lay("site", "acme-0.10.dist-info")
    found = record(load_index(), "acme")
    assert (found.status, found.version, found.others) == ("ok", "0.10", (f"0.9 in {old}",))


def test_a_newer_leftover_is_not_used_when_its_files_are_gone_or_pip_left_it(lay: Lay) -> None:
    lay("site", "~cme-3.0.dist-info")
    lay("site", "acme-2.0.dist-info", size=7)
    lay("site", "acme-1.0.dist-info", code=CODE, size=len(CODE.encode()))
    assert used() == ["site/acme-1.0.dist-info", "site/acme-2.0.dist-info", "site/~cme-3.0.dist-info"]
    assert [source.plugin for source in entry_point_sources()].count("acme") == 1


def test_the_egg_info_of_an_editable_installation_is_a_copy_when_it_is_stale(lay: Lay) -> None:
    source = lay("source", "acme.egg-info", code=CODE).parent
    info = lay("site", "acme-1.0.dist-info")
    (info / "direct_url.json").write_text(f'{{"url": "{source.as_uri()}", "dir_info": {{"editable": true}}}}')
    assert used() == ["site/acme-1.0.dist-info"]
    (source / "acme.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: Acme\nVersion: 0.9\n")
    assert used() == ["site/acme-1.0.dist-info", "source/acme.egg-info"]


def test_versions_are_compared_by_number(lay: Lay) -> None:
    order = ("1.0", "1.0.1", "1.2", "1.10")
    for version in order:
        lay("site", f"acme-{version}.dist-info", code=CODE)
    assert used() == [f"site/acme-{version}.dist-info" for version in reversed(order)]


def test_the_path_decides_where_both_have_code(lay: Lay) -> None:
    late = lay("late", "acme-2.0.dist-info", code=CODE)
    early = lay("early", "acme-1.0.dist-info", plugins=False)
    assert used() == ["late/acme-2.0.dist-info", "early/acme-1.0.dist-info"], "the first has no code"
    assert record(load_index(), "acme").status == "ok"
    (early.parent / "acme_plugin.py").write_text(CODE)
    importlib.invalidate_caches()
    sys.modules.pop("acme_plugin")
    assert used() == ["early/acme-1.0.dist-info", "late/acme-2.0.dist-info"]
    found = record(load_index(), "acme")
    assert found.status == "failed" and f"{early}, brings no plugins; 2.0 in {late} does" in (found.error or "")
