"""What is installed: whatever belongs to a distribution counts, nothing else does, and nothing is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from esper_core.registry import sources

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    sources.forget()
    yield
    sources.forget()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


@pytest.fixture
def install(site: Path) -> Install:
    """Return a function that installs a distribution: files by path, and what its metadata says."""

    def made(name: str, files: dict[str, str], *, requires: tuple[str, ...] = (), version: str = "1") -> None:
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        record = "".join(f"{path},,\n" for path in files)
        for path, text in {**files, f"{info}/METADATA": metadata, f"{info}/RECORD": record}.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)

    return made


def source(name: str) -> str:
    sources.forget()
    return sources.installed([name])[name].source


FILES = {
    "canary_pack/__init__.py": "raise RuntimeError('imported')",
    "canary_pack/inner/code.py": "x = 1",
    "canary_pack/kernels.cpp": "int x;",
    "canary_single.py": "raise RuntimeError('imported')",
}


def test_every_file_of_a_distribution_counts_by_name_and_content(install: Install, site: Path) -> None:
    install("canary-dist", FILES)
    before = source("canary-dist")
    for leftover in ("canary_pack/__pycache__/a.cpython-311.pyc", "canary_pack/.cache/x", "tests/test_it.py"):
        (site / leftover).parent.mkdir(exist_ok=True)
        (site / leftover).write_text("anything")
    seen = {before, source("canary-dist")}
    assert len(seen) == 1, "leftovers do not count"
    for file in FILES:
        (site / file).write_text("y = 2")
        seen.add(source("canary-dist"))
    (site / "canary_pack/inner/code.py").rename(site / "canary_pack/inner/renamed.py")
    assert len({*seen, source("canary-dist")}) == 2 + len(FILES)
    assert not {name for name in sys.modules if name.startswith("canary_")}, "nothing is imported"


def test_an_editable_installation_is_read_where_it_lies(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project/src"
    for name in ("canary_here", "tests"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("")
    install("canary-editable", {"_canary_editable.pth": f"{project}\n"})
    monkeypatch.syspath_prepend(str(project))  # `site` would have put it there when Python started
    before = source("canary-editable")
    (project / "tests/__init__.py").write_text("more")
    assert source("canary-editable") == before != ""
    (project / "canary_alone.py").write_text("more")
    after = source("canary-editable")
    (project / "canary_here/data.bin").write_text("more")
    assert len({before, after, source("canary-editable")}) == 3
    assert sources.owner("canary_here.deep.inside") == "canary-editable"


def test_what_a_distribution_is_made_with_comes_with_it(install: Install, site: Path) -> None:
    install("canary-base", {"canary_base.py": ""}, requires=("esper-core",))
    install("canary-library", {"canary_library.py": ""}, version="3")
    install("canary-extra", {"canary_extra.py": ""})
    requires = ("canary_base>=1", 'canary-library; python_version > "3"', "canary-extra; extra == 'dev'", "attrs")
    install("canary-plugin", {"canary_plugin.py": ""}, requires=requires)
    found = sources.made_with(["canary_plugin.factory"])
    assert list(found["sources"]) == ["esper-core", "canary-base", "canary-plugin"]
    assert found["libraries"]["canary-library"] == "3"
    assert {"torch", "numpy"} <= set(found["libraries"]) and "attrs" not in found["libraries"]
    (site / "canary_base.py").write_text("more")
    sources.forget()
    assert sources.made_with(["canary_plugin.factory"])["sources"]["canary-base"] != found["sources"]["canary-base"]


def test_a_module_of_no_distribution(install: Install, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("canary_name", {"canary_else.py": ""})
    (site / "canary_name.py").write_text("x = 1")
    name, before = sources.owner("canary_name"), sources.made_with(["canary_name"])
    assert name == "module canary_name" and source(name)
    (site / "canary_name.py").write_text("x = 2")
    sources.forget()
    assert sources.made_with(["canary_name"]) != before, "it is not the distribution of that name"
    monkeypatch.setitem(sys.modules, "canary_by_hand", ModuleType("canary_by_hand"))
    assert source(sources.owner("canary_by_hand")) == ""
    there = sources.made_with(["canary_by_hand"])
    monkeypatch.setattr(sources, "_NEVER_AGAIN", "as in another process")
    assert sources.made_with(["canary_by_hand"]) != there, "what has no source is not what another process had"


def test_a_damaged_installation_concerns_nobody_else(install: Install, site: Path) -> None:
    install("canary-dist", FILES)
    (site / "canary_broken-1.dist-info").mkdir()
    (site / "canary_broken-1.dist-info/METADATA").write_bytes(b"\xff\xfe")
    (site / "canary_broken-1.dist-info/entry_points.txt").write_text("[esper.plugins\nno =")
    assert sources.owner("canary_pack") == "canary-dist" and source("canary-dist")
    assert sources.installed(["canary-broken"])["canary-broken"].source == ""


def test_whose_code_failed() -> None:
    modules = ["esper_core.learning.trainer", "esper_growth.environment", "esper_obs_v3.features", "torch.nn"]
    assert str(sources.blamed(modules)).startswith("esper-obs-v3 ")
    assert sources.blamed(["esper_core.learning.trainer", "torch"]) is None
