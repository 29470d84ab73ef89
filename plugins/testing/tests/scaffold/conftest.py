"""The command as users run it, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
Esper = Callable[..., Done]


@pytest.fixture
def esper(tmp_path: Path) -> Esper:
    """Return a function that runs the command where torch and its like cannot be imported."""
    light = tmp_path / "light"
    light.mkdir()
    for name in ("torch", "numpy", "gymnasium", "sklearn", "safetensors"):
        (light / f"{name}.py").write_text(f"raise ImportError('{name} must not be imported here')\n")
    (tmp_path / "here").mkdir()

    def run(*arguments: str, path: Path | None = None) -> Done:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ESPER_")}
        given = [str(light), *([str(path)] if path else []), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-m", "esper_core.cli.app", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path / "here",
            env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, given))},
        )

    return run
