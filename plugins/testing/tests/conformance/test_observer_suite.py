"""The checks of observers: each is failed by an observer that is wrong in just this."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from esper_core import ComponentSpec
from esper_core.registry.index import Component
from esper_core.registry.loading import load_index
from esper_testing.conformance.observer import SUITE
from esper_testing.conformance.run import Checker


class Good:
    def __init__(self, config: Any, context: Any) -> None:
        self.returns: list[float | None] = []

    def on_start(self, run: Any) -> None:
        self.path = run.path / "returns.txt"

    def on_update(self, update: Any) -> None:
        self.returns.append(update.metrics["return"])

    def on_finish(self, run: Any) -> None:
        self.path.write_text(str(self.returns))


class Blind(Good):
    def on_update(self, update: Any) -> None:
        raise KeyError("gain")


class Meddling(Good):
    def on_update(self, update: Any) -> None:
        update.metrics.pop("return")


class Drawing(Good):
    def on_finish(self, run: Any) -> None:
        torch.rand(3)


class Hasty(Good):
    def on_finish(self, run: Any) -> None:
        self.path.write_text(str(self.returns[-1]))


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function from an observer's class to what came of the checks of its kind."""
    module = ModuleType("watchers")
    monkeypatch.setitem(sys.modules, "watchers", module)

    def judge(cls: type) -> dict[str, str]:
        module.Watcher = cls  # type: ignore[attr-defined]
        spec = ComponentSpec(kind="observer", name="watcher", factory="watchers:Watcher", summary="it watches")
        checker = Checker.of(Component(spec, "watchers", "acme-watchers", "1.0"), load_index(only=()))
        return {name: checker.result(name).status for name in SUITE.declared}

    return judge


CANARIES = {
    Blind: {
        "watches-a-run": "failed",
        "changes-nothing": "blocked",
        "draws-nothing": "blocked",
        "survives-an-early-end": "blocked",
    },
    Meddling: {"changes-nothing": "failed"},
    Drawing: {"draws-nothing": "failed"},
    Hasty: {"survives-an-early-end": "failed"},
}


def test_an_observer_that_only_watches_passes(judge: Any) -> None:
    assert set(judge(Good).values()) == {"passed"}


@pytest.mark.parametrize("canary", CANARIES)
def test_a_wrong_observer_fails_the_check_it_should(judge: Any, canary: type) -> None:
    expected = dict.fromkeys(SUITE.declared, "passed") | CANARIES[canary]
    assert judge(canary) == expected


def test_every_check_can_fail() -> None:
    failed = {name for expected in CANARIES.values() for name, status in expected.items() if status == "failed"}
    assert failed == set(SUITE.declared)
