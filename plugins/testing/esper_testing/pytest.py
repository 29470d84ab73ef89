"""A pytest plugin for the test suites of plugin authors: `pytest_plugins = ["esper_testing.pytest"]`.

    @pytest.mark.esper("my-net")
    def test_conformance(conformance_check):
        conformance_check()

becomes one test per declared check of every component and every command of the plugin `my-net`. The marker takes the id
of a plugin, its distribution, `KIND/NAME`, or `command/NAME`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_testing.conformance.finding import find_checked
from esper_testing.conformance.run import Checker
from esper_testing.distributions import FakeSite

CHECK = "conformance_check"
_INDEX = pytest.StashKey[Index]()


@frozen
class ConformanceCheck:
    """One check of one component or command; calling it raises what the check raised."""

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
    checkers = [Checker.of(checked, index) for checked in find_checked(index, marker.args[0])]
    checks = [ConformanceCheck(checker, name) for checker in checkers for name in checker.names]
    metafunc.parametrize(CHECK, checks, ids=[f"{c.checker.subject.key}:{c.name}" for c in checks])


@pytest.fixture(scope="session")
def esper_index(pytestconfig: pytest.Config) -> Index:
    """What is installed."""
    return _installed(pytestconfig)


@pytest.fixture
def esper_run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `esper` with these words in a process and an empty folder of its own, `tmp_path / "esper"`.

    Standard output and error come back as text. Variables of esper's own are those given by name, and no others.
    """
    folder = tmp_path / "esper"
    folder.mkdir()

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ESPER_")}
        # What this process can import, that one can too.
        given = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "ESPER_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "esper_core.cli.app", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env={**kept, **given, **variables}
        )

    return run


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
