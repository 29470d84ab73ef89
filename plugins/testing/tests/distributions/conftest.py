"""Wheels of all distributions, and environments that hold some of them, outside of the checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[4]
OFFLINE = ("--no-index", "--no-deps", "--disable-pip-version-check", "-q")


@frozen
class House:
    """An environment of its own, used from an empty folder by somebody whose home is empty too."""

    folder: Path

    @property
    def here(self) -> Path:
        return self.folder / "here"

    def run(self, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment and check its status."""
        programs, home = self.folder / "bin", str(self.folder / "home")
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": home, "OMP_NUM_THREADS": "1"}
        words = [str(programs / command[0]), *command[1:]]
        options: Any = {"capture_output": True, "text": True, "check": False, "timeout": 600}
        done = subprocess.run(words, cwd=self.here, env=environment, **options)
        assert done.returncode == status, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


MakeHouse = Callable[..., House]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution, each built from its source distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, *(path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))):
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def house(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeHouse:
    """Return a function that makes an environment with these distributions, or all, installed from wheels.

    Everything else comes from the environment that runs the tests, by links: torch is not installed twice, and the
    distributions that are installed there in place are not seen.
    """

    def make(*distributions: str) -> House:
        folder = tmp_path_factory.mktemp("house")
        venv.create(folder, with_pip=False, symlinks=True)
        site = next(folder.glob("lib/python*/site-packages"))
        for entry in Path(get_path("purelib")).iterdir():
            if "esper" not in entry.name and entry.suffix != ".pth":
                (site / entry.name).symlink_to(entry)
        patterns = [name.replace("-", "_") for name in distributions] or ["esper_*"]
        chosen = [str(wheel) for pattern in patterns for wheel in sorted(wheels.glob(f"{pattern}-0*.whl"))]
        made = House(folder)
        made.here.mkdir()
        (folder / "home").mkdir()
        made.run("python", "-m", "pip", "install", *OFFLINE, *chosen)
        return made

    return make
