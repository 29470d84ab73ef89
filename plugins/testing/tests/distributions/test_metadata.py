"""Every distribution says what it is, holds what it needs, and declares what it imports."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[4]
FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
CORE_NEEDS = {"attrs", "cattrs", "gymnasium", "numpy", "pluggy", "rich", "safetensors", "torch", "typer"}
MODULES = {"PIL": "pillow", "attr": "attrs", "sklearn": "scikit-learn"}


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


def read(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the project table and the name of the package."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return project, project["name"].replace("-", "_")


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ;]", requirement)[0] for requirement in requirements}


def imported(package: Path) -> Iterator[str]:
    """Yield the distributions whose modules a package imports, wherever that is; templates are others' code."""
    for path in package.rglob("*.py"):
        if "templates" in path.relative_to(package).parts[:-1]:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for top in {module.partition(".")[0] for module in modules}:
                if top not in sys.stdlib_module_names:
                    yield MODULES.get(top, top.replace("_", "-"))


def test_it_says_what_it_is(folder: Path) -> None:
    project, package = read(folder)
    assert project["description"] and project["license"] == "MIT" and project["keywords"]
    assert project["requires-python"] == ">=3.11" and "Typing :: Typed" in project["classifiers"]
    assert (folder / project["readme"]).read_text().startswith("# ")
    assert "urls" not in project and (folder / package / "py.typed").exists()
    groups, packages = project["entry-points"], find_packages(str(folder), include=[f"{package}*"])
    assert groups.keys() <= {"esper.plugins", "esper.runs"}
    assert set(groups.get("esper.plugins", {}).values()) <= {f"{name}.plugin" for name in packages}
    assert set(groups.get("esper.runs", {}).values()) <= set(packages)


def test_it_declares_what_it_imports_and_nothing_else(folder: Path) -> None:
    project, package = read(folder)
    needed = names(project["dependencies"])
    extras = {name for extra in project.get("optional-dependencies", {}).values() for name in names(extra)}
    found = {*imported(folder / package)} - {project["name"]}
    # A run that a distribution brings needs what its plan is made of, which nothing imports.
    for record in (folder / package).glob("*/run.json"):
        found |= {*json.loads(record.read_text())["distributions"]}
    assert needed <= found <= needed | extras
    assert folder != ROOT or needed == CORE_NEEDS
