"""`esper plugins new`: what it writes, what it says, and what it refuses; all with torch out of reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from esper_core.registry.loading import load_index
from esper_testing.scaffold.template import COMMANDS


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder in which commands are run."""
    return tmp_path


def test_people_are_told_what_was_written_and_what_is_next(esper: Any, here: Path) -> None:
    done = esper("plugins", "new", "acme-net", "--kind", "network")
    assert (done.returncode, done.stderr) == (0, "")
    written, _, following = done.stdout.partition("\nNext:\n")
    files = {str(path.relative_to(here / "acme-net")) for path in (here / "acme-net").rglob("*") if path.is_file()}
    assert {line.strip() for line in written.splitlines()[1:] if line} == files
    assert {"pyproject.toml", "README.md", ".gitignore", "acme_net/plugin.py", "tests/test_acme_net.py"} <= files
    assert [line.strip() for line in following.splitlines() if line] == [
        "pip install -e acme-net",
        "esper plugins check acme-net",
        "esper train --policy acme-net --updates 1 --epochs 6 --envs 2",
    ]


def test_machines_get_one_document(esper: Any, here: Path) -> None:
    done = esper("plugins", "new", "acme-critic", "--kind", "Critic", "--directory", "some where/else", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    folder = here / "some where" / "else" / "acme-critic"
    assert (document["plugin"], document["kind"], here / document["folder"]) == ("acme-critic", "critic", folder)
    assert all((folder / path).is_file() for path in document["files"])
    assert document["next"][0] == "pip install -e 'some where/else/acme-critic'"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("acme-net",), "What shall the plugin bring?"),
        (("acme-net", "--kind", "netwrok"), "There is no kind 'netwrok'. Did you mean 'network'?"),
        (("AcmeNet", "--kind", "network"), "Did you mean 'acme-net'?"),
        (("lstm-v2", "--kind", "network"), "the plugin 'lstm-v2' (esper-lstm-v2) has it already"),
        (("state-value", "--kind", "critic"), "the critic 'state-value'"),
        (("features", "--kind", "features"), "its code would define 'Features' twice"),
        (("torch", "--kind", "network"), "`import torch` means something else already"),
    ],
)
def test_refusals_write_nothing(esper: Any, here: Path, arguments: tuple[str, ...], said: str) -> None:
    done = esper("plugins", "new", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert [path.name for path in here.iterdir()] == ["light"]


def test_kinds_are_listed_with_what_they_are(esper: Any) -> None:
    listed = esper("plugins", "new", "acme-net").stderr
    kinds = load_index().kinds
    assert len(kinds) >= 13
    for kind in (*kinds.values(), COMMANDS):
        assert f"  {kind.name} " in listed and kind.summary in listed


def test_a_second_time_is_refused_and_changes_nothing(esper: Any, here: Path) -> None:
    assert esper("plugins", "new", "acme-net", "--kind", "network").returncode == 0
    (here / "acme-net" / "README.md").write_text("mine")
    done = esper("plugins", "new", "acme-net", "--kind", "network")
    assert (done.returncode, done.stdout) == (2, "")
    assert "acme-net exists and is not empty; nothing is overwritten." in done.stderr
    assert (here / "acme-net" / "README.md").read_text() == "mine"
