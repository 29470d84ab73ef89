"""Standard streams: one document for machines whatever plugins print, and readers that go away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL, environment

COMMAND = f"{sys.executable} -m esper_core.cli.app"

CHATTY = """
print("chatty: imported")
from esper_core import ComponentSpec, hookimpl
@hookimpl
def esper_components():
    config = "esper_factored_ppo.config:FactoredPpoConfig"
    yield ComponentSpec(kind="loss", name="chatty", factory="acme_chatty:loss", config=config)
def loss(config, context):
    print("chatty: built")
    from esper_factored_ppo.loss import FactoredPpo
    return FactoredPpo(config, context)
"""


def shell(folder: Path, shared: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=folder, env=environment(shared)
    )


def test_what_plugins_print_is_not_the_result(esper, install):
    site = install("acme-chatty", CHATTY)
    arguments = ("--policy", "lstm-v2", "--slots", "1", "--loss", "chatty", "--updates", "1", *SMALL)
    done = esper("train", *arguments, "--json", path=site)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["updates"] == 1
    assert "chatty: imported" in done.stderr and "chatty: built" in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path, shared):
    done = shell(tmp_path, shared, f"{COMMAND} policy show lstm-v1 | head -1")
    assert done.stdout.startswith("lstm-v1") and done.stderr == ""


def test_a_closed_stream_is_no_error(tmp_path, shared):
    done = shell(tmp_path, shared, f"{COMMAND} plugins list >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert shell(tmp_path, shared, f"{COMMAND} plugins list 2>&-").returncode == 0


@pytest.mark.parametrize("damage", ["run.json", "metrics.jsonl"])
def test_a_damaged_run_hides_no_other(esper, tmp_path, damage):
    plan = json.loads(esper("train", "--policy", "lstm-v1", "--dry-run").stdout)
    for name in ("one", "two"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"schema": 1, "created": "2026-01-01", "plan": plan}))
    (tmp_path / "runs" / "one" / damage).write_text("{\n")
    done = esper("runs", "list", "--json")
    assert [row["name"] for row in json.loads(done.stdout)] == ["two"]
    assert done.returncode == 0 and damage in done.stderr
