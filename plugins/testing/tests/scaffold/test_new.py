"""`esper plugins new`: what it writes, what it says, and what it refuses; all with torch out of reach."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from esper_core.registry.loading import load_index
from esper_testing.scaffold.template import COMMANDS
from tests.command import Esper


@pytest.fixture
def esper(process: Esper, without_torch: Path) -> Esper:
    return partial(process, path=without_torch)


def test_people_are_told_what_was_written_and_what_is_next(esper: Esper, tmp_path: Path) -> None:
    done = esper("plugins", "new", "acme-net", "--kind", "network")
    assert (done.returncode, done.stderr) == (0, "")
    written, _, following = done.stdout.partition("\nNext:\n")
    folder = tmp_path / "acme-net"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {line.strip() for line in written.splitlines()[1:] if line} == files
    assert {"pyproject.toml", "README.md", ".gitignore", "acme_net/plugin.py", "tests/test_acme_net.py"} <= files
    assert [line.strip() for line in following.splitlines() if line] == [
        "pip install -e acme-net",
        "esper plugins check acme-net",
        "esper train --policy acme-net --updates 1 --epochs 6 --envs 2",
    ]


def test_machines_get_one_document(esper: Esper, tmp_path: Path) -> None:
    done = esper("plugins", "new", "acme-critic", "--kind", "Critic", "--directory", "some where/else", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    folder = tmp_path / "some where" / "else" / "acme-critic"
    assert (document["plugin"], document["kind"], tmp_path / document["folder"]) == ("acme-critic", "critic", folder)
    assert all((folder / path).is_file() for path in document["files"])
    assert document["next"][0] == "pip install -e 'some where/else/acme-critic'"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("acme-net", "--kind", "netwrok"), "There is no kind 'netwrok'. Did you mean 'network'?"),
        (("lstm-v2", "--kind", "network"), "the plugin 'lstm-v2' (esper-lstm-v2) has it already"),
        (("features", "--kind", "features"), "its code would define 'Features' twice"),
    ],
)
def test_refusals_write_nothing(esper: Esper, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = esper("plugins", "new", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["light"]


def test_kinds_are_listed_with_what_they_are(esper: Esper) -> None:
    listed = esper("plugins", "new", "acme-net").stderr
    kinds = load_index().kinds
    assert len(kinds) >= 13 and "What shall the plugin bring?" in listed
    for kind in (*kinds.values(), COMMANDS):
        assert f"  {kind.name} " in listed and kind.summary in listed
