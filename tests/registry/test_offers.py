"""Runs that distributions bring: what is wrong with one is said, with the distribution."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from esper_core.contracts.errors import PluginError
from esper_core.registry import offers as module
from esper_core.registry.offers import offers


def test_two_of_one_name_and_one_that_is_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def point(distribution: str, package: str = "nobody_has_this") -> Any:
        return SimpleNamespace(name="best", value=package, dist=SimpleNamespace(name=distribution, version="1"))

    installed = [point("Acme"), point("acme")]  # an editable installation, found twice
    monkeypatch.setattr(module, "entry_points", lambda group: installed)
    with pytest.raises(PluginError, match="run 'best' of acme 1 is not there"):
        offers()["best"].path  # noqa: B018
    installed.append(point("other"))
    with pytest.raises(PluginError, match="acme 1 and other 1 both bring a run 'best'"):
        offers()
