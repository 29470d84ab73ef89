"""Fixtures of every test suite here: the command as users run it, a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
Esper = Callable[..., Done]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return environment variables that keep a process away from the user's cache and settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ESPER_")}
    return {**kept, "OMP_NUM_THREADS": "1", "ESPER_CACHE": str(folder / "cache"), **more}


@pytest.fixture(scope="session", autouse=True)
def keyboard() -> Iterator[None]:
    """Let Ctrl-C be heard: a shell that starts pytest in the background has it, and all that it starts, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose cache of static curves all commands share."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def esper(process: Esper) -> Esper:
    """Return a function that runs the command in an empty folder; a suite may do without a process of its own."""
    return process


@pytest.fixture
def process(tmp_path: Path, shared: Path) -> Esper:
    """Return a function that runs the command in a process of its own, in an empty folder.

    `path` is put on PYTHONPATH.
    """

    def run(*arguments: str, path: Path | None = None, **variables: str) -> Done:
        if path is not None:
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, "-m", "esper_core.cli.app", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment(shared, **variables),
            timeout=120,
        )

    return run


@pytest.fixture
def begin(tmp_path: Path, shared: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the command in a process group of its own and does not wait for it."""
    begun: list[subprocess.Popen[str]] = []

    def own_group() -> None:
        os.setsid()
        # A shell lets what it starts in the background ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "esper_core.cli.app", *arguments],
            cwd=tmp_path,
            env=environment(shared),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=own_group,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that lays a distribution with one plugin into a folder for PYTHONPATH."""
    site = tmp_path / "site"
    site.mkdir()

    def place(distribution: str, code: str, *, plugin: str | None = None) -> Path:
        module = distribution.replace("-", "_")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[esper.plugins]\n{plugin or distribution} = {module}\n")
        (site / f"{module}.py").write_text(code)
        return site

    return place


@pytest.fixture
def without_torch(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH that makes heavy packages unimportable."""
    folder = tmp_path / "light"
    folder.mkdir()
    for name in ("torch", "numpy", "gymnasium", "sklearn", "safetensors"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} must not be imported here')\n")
    return folder
