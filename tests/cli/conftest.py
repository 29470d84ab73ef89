"""Runs to look at, to resume and to damage."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.cli.app import main, run
from tests.cli.resuming import KINDS, UPDATES
from tests.command import Done, Esper
from tests.runs import forking


@pytest.fixture
def train(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    return lambda *words: run(["train", *words])


@pytest.fixture
def esper(tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> Esper:
    """Return a function that runs the command in this process, in an empty folder, with `path` to import from."""

    def call(*words: str, path: Path | None = None, **variables: str) -> Done:
        capsys.readouterr()
        before = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            for name in [name for name in os.environ if name.startswith("ESPER_")]:
                patch.delenv(name)
            for name, value in {"ESPER_CACHE": str(shared / "cache"), **variables}.items():
                patch.setenv(name, value)
            if path is not None:
                patch.syspath_prepend(str(path))
            status = run(words)
        for name in set(sys.modules) - before:
            if path is not None and str(getattr(sys.modules[name], "__file__", "")).startswith(str(path)):
                del sys.modules[name]
        return Done(words, status, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Callable[..., Path]:
    """Return a function that returns a run that was never stopped; each is trained once."""
    made: dict[tuple[str, int], Path] = {}

    def reference(kind: str, updates: int = UPDATES) -> Path:
        if (kind, updates) not in made:
            out = tmp_path_factory.mktemp(kind)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ESPER_CACHE", str(shared / "cache"))
                words = ["train", *KINDS[kind], "--updates", str(updates), "--out", str(out)]
                assert forking.call(main, words) == 0
            (made[kind, updates],) = out.iterdir()
        return made[kind, updates]

    return reference


@pytest.fixture
def finished(references: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    return shutil.copytree(references("engine"), tmp_path / "finished")
