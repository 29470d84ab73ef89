"""Templates travel in the wheels of whoever declares the kinds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from esper_core.registry.loading import load_index
from esper_testing.scaffold.template import load_template

ROOT = Path(__file__).parents[2]
OFFLINE = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "package"), [(".", "esper_core"), ("plugins/growth", "esper_growth")])
def test_a_wheel_holds_every_file_of_its_templates(tmp_path: Path, folder: str, package: str) -> None:
    # Building writes beside the sources, so it works on a copy.
    source = tmp_path / "source"
    shutil.copytree(ROOT / folder / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / folder / name).exists():
            shutil.copy(ROOT / folder / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", *OFFLINE, "--wheel-dir", str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{package}/templates/")}
    kinds = [kind for kind in load_index().kinds.values() if kind.template.startswith(f"{package}.")]
    expected = {f"{package}/templates/__init__.py"}
    for kind in kinds:
        own = [path for path in load_template(kind).files if path != ".gitignore"]
        expected |= {f"{package}/templates/{kind.name}/{path}" for path in own}
    if package == "esper_core":
        expected.add("esper_core/templates/common/.gitignore")
    assert held == expected and len(kinds) >= 3
