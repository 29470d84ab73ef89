"""Where a run comes from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from esper_core.registry.index import Index
from esper_core.registry.plan import Plan
from esper_core.runs import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a_package_with_sources"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner" / "code.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    provenance.source_digest.cache_clear()
    return folder


def digest(package: Path) -> str:
    provenance.source_digest.cache_clear()
    return provenance.source_digest((package.name,))


def test_the_source_digest_follows_the_sources_alone(package: Path) -> None:
    first = digest(package)
    (package / "notes.txt").write_text("not code")
    assert digest(package) == first
    (package / "inner" / "code.py").write_text("x = 2")
    second = digest(package)
    assert second != first
    (package / "inner" / "code.py").rename(package / "inner" / "other.py")
    assert digest(package) not in (first, second)
    assert package.name not in sys.modules


def test_a_package_that_is_not_there_has_no_sources() -> None:
    assert provenance.source_digest(("no_such_package_here",)) == provenance.source_digest(())


def test_a_distribution_has_the_digest_of_its_package(plan: Plan, index: Index) -> None:
    found = provenance.distributions(plan, index)
    assert found["esper-obs-v3"]["source"] == provenance.source_digest(("esper_obs_v3",))
    assert len({entry["source"] for entry in found.values()}) == len(found)


def test_libraries_name_what_numbers_depend_on() -> None:
    found = provenance.libraries()
    assert {"python", "torch", "numpy", "safetensors"} <= set(found)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
