"""A pytest plugin for the test suites of plugin authors: `pytest_plugins = ["esper_testing.pytest"]`.

    @pytest.mark.esper("my-net")
    def test_conformance(conformance_check):
        conformance_check()

becomes one test per declared check of every component of the plugin `my-net`. The marker takes the id of a plugin, its
distribution, or `KIND/NAME`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import frozen

from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import find_components
from esper_testing.conformance.run import Checker
from esper_testing.distributions import FakeSite

CHECK = "conformance_check"
_INDEX = pytest.StashKey[Index]()


@frozen
class ConformanceCheck:
    """One check of one component; calling it raises what the check raised."""

    checker: Checker
    name: str

    def __call__(self) -> None:
        """Run the check: fail, skip or expect to fail as it does; blocked and missing ones fail."""
        result = self.checker.result(self.name)
        if result.status == "skipped":
            pytest.skip(result.message)
        if result.status == "expected":
            pytest.xfail(result.message)
        if result.status != "passed":
            if self.name in self.checker.errors:
                raise self.checker.errors[self.name]
            pytest.fail(f"{result.status}: {result.message}", pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "esper(name): what the conformance checks of this test are about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Turn a test that asks for a conformance check into one per declared check."""
    if CHECK not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("esper")
    if marker is None or not marker.args:
        pytest.fail(f'{metafunc.function.__name__} needs @pytest.mark.esper("PLUGIN or KIND/NAME")', pytrace=False)
    index = _installed(metafunc.config)
    checkers = [Checker(component, index) for component in find_components(index, marker.args[0])]
    checks = [ConformanceCheck(checker, name) for checker in checkers for name in checker.names]
    metafunc.parametrize(CHECK, checks, ids=[f"{c.checker.component.key}:{c.name}" for c in checks])


@pytest.fixture(scope="session")
def esper_index(pytestconfig: pytest.Config) -> Index:
    """What is installed."""
    return _installed(pytestconfig)


@pytest.fixture
def fake_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """A folder on sys.path into which fake distributions are installed, gone after the test."""
    site = FakeSite(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site.folder))
    return site


def _installed(config: pytest.Config) -> Index:
    if _INDEX not in config.stash:
        config.stash[_INDEX] = load_index()
    return config.stash[_INDEX]
