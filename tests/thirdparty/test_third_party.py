"""A distribution that is none of ours: installed beside, found, chosen and trained without touching any file here."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "acme-net"
Done = subprocess.CompletedProcess[str]


def run(arguments: list[str], folder: Path, **environment: str) -> Done:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "ESPER_CACHE": str(folder / "cache"), **environment}
    for name in ("ESPER_PLUGINS", "ESPER_REGISTRY"):
        variables.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, cwd=folder, env=variables
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which acme-net is installed, as a user would, without any network."""
    folder = tmp_path_factory.mktemp("acme")
    # Building writes beside the sources, so it works on a copy.
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    target = folder / "site"
    install = ["pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    done = run([*install, "--target", str(target), str(folder / "source")], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "acme_net" / "plugin.py").is_file()
    return target


def esper(site: Path | None, folder: Path, *arguments: str) -> Done:
    path = {"PYTHONPATH": str(site)} if site else {"PYTHONPATH": ""}
    return run(["esper_core.cli.app", *arguments], folder, **path)


def test_it_is_listed(site: Path, tmp_path: Path) -> None:
    done = esper(site, tmp_path, "plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    (acme,) = [record for record in json.loads(done.stdout) if record["plugin"] == "acme-net"]
    assert (acme["status"], acme["distribution"], acme["version"], acme["error"]) == ("ok", "acme-net", "3.1", None)
    assert acme["components"] == ["network/acme-gru"]
    assert acme["import_ms"] > 0


def test_it_trains_by_its_name(site: Path, tmp_path: Path) -> None:
    size = ["--slots", "2", "--envs", "2", "--updates", "1", "--epochs", "4"]
    arguments = ["train", "--policy", "acme-gru", *size, "-o", "network.hidden_dim=16", "--out", "runs", "--json"]
    done = esper(site, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    summary = json.loads(line)
    assert (summary["updates"], summary["environment_steps"]) == (1, 8)
    folder = tmp_path / summary["run"]
    recorded = json.loads((folder / "run.json").read_text())
    (network,) = [c for c in recorded["plan"]["components"] if c["kind"] == "network"]
    assert (network["name"], network["distribution"], network["version"]) == ("acme-gru", "acme-net", "3.1")
    assert network["config"] == {"hidden_dim": 16, "embed_dim": 2}
    (metrics,) = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    assert metrics["update"] == 1
    numbers = [value for value in metrics.values() if isinstance(value, int | float)]
    assert len(numbers) > 10 and all(map(math.isfinite, numbers))


def test_it_works_with_the_features_and_the_critic_of_others(site: Path, tmp_path: Path) -> None:
    chosen = ["--features", "obs-v3", "--critic", "op-conditioned-critic", "--slots", "1"]
    size = ["--envs", "1", "--updates", "1", "--epochs", "2", "--out", "runs", "--json"]
    done = esper(site, tmp_path, "train", "--policy", "acme-gru", *chosen, *size)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["environment_steps"] == 2


def test_without_it_the_name_means_nothing(tmp_path: Path) -> None:
    done = esper(None, tmp_path, "train", "--policy", "acme-gru", "--dry-run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "No policy named 'acme-gru'" in done.stderr
