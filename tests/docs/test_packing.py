"""What benchmarks/pretrain.py packs is a run that plays; what it does not pack it leaves alone."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import esper_core
from esper_core.registry.offers import offers
from esper_core.runs.checkpoint import choose_checkpoint, verify_checkpoint
from esper_core.runs.directory import RunDirectory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pretrain(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return importlib.import_module("pretrain")


def test_what_was_packed_before_is_replaced_whole(pretrain: Any, tmp_path: Path) -> None:
    source = RunDirectory.open(offers()["pretrained"].path)
    to = tmp_path / "packed"
    first = pretrain.pack(source, to)
    (to / "left-over").touch()
    again = pretrain.pack(source, to)
    assert first == again and not (to / "left-over").exists() and [*tmp_path.iterdir()] == [to]
    assert again["bytes"] == sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    header = verify_checkpoint(choose_checkpoint(RunDirectory.open(to), "last"))
    trained = json.loads((to / "TRAINED.json").read_text())
    assert trained["digest"] == header.content["digest"]
    assert "command" not in trained, "no command makes a plan whose runtime is left open"
    own, other = (esper_core.load(place).policy.state_dict() for place in (to, source.path))
    assert own.keys() == other.keys() and all(bool((own[name] == other[name]).all()) for name in own)


def test_what_is_no_packed_run_is_left_as_it_is(pretrain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = RunDirectory.open(offers()["pretrained"].path)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "notes").touch()
    with pytest.raises(SystemExit, match="is no packed run"):
        pretrain.pack(source, foreign)
    assert [path.name for path in foreign.iterdir()] == ["notes"]
    monkeypatch.setattr(pretrain, "MOST", 1000)
    packed = shutil.copytree(source.path, tmp_path / "packed")
    before = sorted(packed.rglob("*"))
    with pytest.raises(SystemExit, match="more than 1,000; it is not packed"):
        pretrain.pack(source, packed)
    assert sorted(packed.rglob("*")) == before
