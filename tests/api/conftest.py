"""A small run that Python has trained, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import esper_core as esper
from esper_core import Run

SMALL = {"network.hidden_dim": 16, "task.train_samples": 100, "environment.workers": 1}


def small(**more: object) -> esper.Plan:
    return esper.plan("lstm-v2", 2, envs=2, epochs=4, options=SMALL, **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty folder; what is cached is shared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Run]:
    """A run of two updates; nothing may change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESPER_CACHE", str(shared / "cache"))
        yield esper.train(small(), updates=2, out=tmp_path_factory.mktemp("trained"))
