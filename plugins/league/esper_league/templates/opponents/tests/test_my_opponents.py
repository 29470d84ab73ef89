"""Every check that esper has for what this plugin brings, each as a test of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest_plugins = ["esper_testing.pytest"]


@pytest.mark.esper("my-opponents")
def test_conformance(conformance_check: Callable[[], None]) -> None:
    conformance_check()
