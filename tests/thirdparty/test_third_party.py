"""Distributions that are none of ours: written, built, installed beside, found, checked, used and removed again.

There is one of every kind. Each step is a process of its own, as it is for a user, and nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from esper_core.registry.loading import load_index

Done = subprocess.CompletedProcess[str]

OFFLINE = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")

pytestmark = pytest.mark.slow


@frozen
class Workshop:
    """A folder to work in, one beside it for what is installed, which stands on PYTHONPATH, and a cache for all."""

    folder: Path
    site: Path
    cache: Path

    def __call__(self, *arguments: str, installed: bool = True) -> Done:
        """Run `python -m ...`, with or without what was installed."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ESPER_")}
        path = os.pathsep.join(filter(None, (str(self.site) if installed else "", os.environ.get("PYTHONPATH", ""))))
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ESPER_CACHE": str(self.cache)},
        )

    def esper(self, *arguments: str, installed: bool = True) -> Done:
        """Run an `esper` command."""
        return self("esper_core.cli.app", *arguments, installed=installed)

    def install(self, name: str) -> None:
        """Build a wheel of the folder `name` and install it."""
        built = self("pip", "wheel", *OFFLINE, "--wheel-dir", "wheels", f"./{name}")
        assert built.returncode == 0, built.stdout + built.stderr
        (wheel,) = (self.folder / "wheels").glob(f"{name.replace('-', '_')}-*.whl")
        done = self("pip", "install", *OFFLINE, "--target", str(self.site), str(wheel))
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def workshop(tmp_path: Path, cache: Path) -> Workshop:
    (tmp_path / "work").mkdir()
    return Workshop(tmp_path / "work", tmp_path / "site", cache)


@pytest.mark.parametrize("kind", list(load_index().kinds))
def test_from_an_empty_folder_to_its_use_and_back(workshop: Workshop, kind: str) -> None:
    name = f"acme-{kind}"
    done = workshop.esper("plugins", "new", name, "--kind", kind, "--json")
    assert done.returncode == 0, done.stderr
    workshop.install(name)
    _, check, use = map(shlex.split, json.loads(done.stdout)["next"])

    listed = workshop.esper("plugins", "list", "--json")
    (record,) = [record for record in json.loads(listed.stdout) if record["plugin"] == name]
    assert (record["status"], record["distribution"], record["version"]) == ("ok", name, "0.1.0")
    assert f"{kind}/{name}" in record["components"]

    checked = workshop.esper(*check[1:], "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    document = json.loads(checked.stdout)
    assert document["verdict"] == "GREEN"
    assert len([row for row in document["checks"] if row["component"] == f"{kind}/{name}"]) >= 6

    if kind == "network":
        done = workshop("pytest", "-q", "--strict-markers", "-W", "error", name, "-p", "no:cacheprovider")
        assert f"{len(document['checks'])} passed" in done.stdout, "its own tests run every check"

    words = use[2:] if use[0] == "python" else ["esper_core.cli.app", *use[1:]]
    used = workshop(*words)
    assert used.returncode == 0, used.stderr
    check_use(workshop, kind, name, used)

    readme = (workshop.folder / name / "README.md").read_text()
    for advice in re.findall(r"`esper (train [^`]*)`", readme):
        planned = workshop.esper(*shlex.split(advice), "--dry-run")
        assert planned.returncode == 0, planned.stderr

    gone = workshop(*words, installed=False)
    assert gone.returncode != 0
    assert f"named '{name}'" in gone.stderr or f"No module named {name.replace('-', '_')}" in gone.stderr


def check_use(workshop: Workshop, kind: str, name: str, used: Done) -> None:
    """Check that the plugin had a part in what its README says is its use."""
    if kind == "rule":
        assert [line.split()[0] for line in used.stdout.splitlines()] == [name, "random"]
    elif kind == "spike":
        assert name in used.stdout and "GREEN after" in used.stdout
    elif kind == "workload":
        assert used.stdout.startswith(name) and "environment_steps_per_second" in used.stdout
    elif kind == "observer":
        (table,) = workshop.folder.glob("runs/*/acme-observer.csv")
        assert len(table.read_text().splitlines()) == 2
    else:
        (path,) = workshop.folder.glob("runs/*/run.json")
        planned = [
            c for c in json.loads(path.read_text())["plan"]["components"] if (c["kind"], c["name"]) == (kind, name)
        ]
        assert [(c["distribution"], c["version"]) for c in planned] == [(name, "0.1.0")]
