"""Every check that esper has for what this plugin brings, and the command as users run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

pytest_plugins = ["esper_testing.pytest"]


@pytest.mark.esper("my-command")
def test_conformance(conformance_check: Callable[[], None]) -> None:
    conformance_check()


def test_it_counts(esper_run: Callable[..., CompletedProcess[str]]) -> None:
    done = esper_run("my-command", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    counts = json.loads(done.stdout)
    assert counts["observer"] >= 1
    assert json.loads(esper_run("my-command", "observer", "--json").stdout) == {"observer": counts["observer"]}


def test_an_unknown_kind_is_a_mistake_of_the_users(esper_run: Callable[..., CompletedProcess[str]]) -> None:
    done = esper_run("my-command", "observr")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'observer'?" in done.stderr
