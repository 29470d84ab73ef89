"""The pytest plugin, as the test suite of a plugin author sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from esper_testing.distributions import FakeSite

pytest_plugins = ["esper_testing.pytest"]

GADGETS = """
from esper_core import ComponentSpec, KindSpec, hookimpl

@hookimpl
def esper_kinds():
    yield KindSpec(name="gadget", protocol="builtins:object", conformance="gadgets.suite:SUITE")

@hookimpl
def esper_components():
    for name in ("good", "bad"):
        yield ComponentSpec(kind="gadget", name=name, factory="gadgets.plugin:make", summary="a gadget")

def make(config, context):
    return object()
"""
SUITE = """
from esper_testing.conformance.suite import Skip, Suite

SUITE = Suite("gadget", ("works", "shines", "flies"))

@SUITE.check("works", after=())
def works(subject):
    assert subject.spec.name == "good", "it does not work"

@SUITE.check("shines", after=("works",))
def shines(subject): pass

@SUITE.check("flies", after=())
def flies(subject):
    raise Skip("no wind")
"""
TEST = """
import pytest

pytest_plugins = ["esper_testing.pytest"]

@pytest.mark.esper("{name}")
def test_conformance(conformance_check):
    conformance_check()
"""


@pytest.fixture
def gadgets(fake_site: FakeSite) -> FakeSite:
    modules = {"gadgets.plugin": GADGETS, "gadgets.suite": SUITE}
    fake_site.install("acme-gadgets", {"gadgets": "gadgets.plugin"}, modules=modules)
    return fake_site


def outcome(site: FakeSite, tmp_path: Path, name: str) -> str:
    (tmp_path / "test_gadgets.py").write_text(TEST.format(name=name))
    environment = {**os.environ, "PYTHONPATH": str(site.folder), "ESPER_PLUGINS": "gadgets", "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", "test_gadgets.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    return done.stdout + done.stderr


def test_every_check_becomes_a_test(gadgets: FakeSite, tmp_path: Path) -> None:
    text = outcome(gadgets, tmp_path, "gadgets")
    assert "PASSED test_gadgets.py::test_conformance[gadget/good:works]" in text
    assert "PASSED test_gadgets.py::test_conformance[gadget/bad:registration]" in text
    assert "FAILED test_gadgets.py::test_conformance[gadget/bad:works] - AssertionError: it does not work" in text
    assert "FAILED test_gadgets.py::test_conformance[gadget/bad:shines] - Failed: blocked: it needs works" in text
    assert text.count("no wind") == 1 and "[2]" in text
    assert "2 failed, 12 passed, 2 skipped" in text


def test_a_wrong_name_says_so(gadgets: FakeSite, tmp_path: Path) -> None:
    assert "Did you mean 'gadgets'?" in outcome(gadgets, tmp_path, "gagdets")
