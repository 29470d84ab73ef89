"""The run that comes with the distribution, by its name wherever a run is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import esper_core
from esper_core.cli.app import run
from esper_core.contracts.errors import CheckpointMismatch, UserError
from esper_core.registry.offers import offers
from esper_core.runs.brought import to_write
from esper_core.runs.checkpoint import choose_checkpoint, verify_checkpoint
from esper_core.runs.directory import RunDirectory, find_run

ELSEWHERE: dict[str, Any] = {
    "slots": 5,
    "uses": {"task": "synthetic", "host": "conv"},
    "options": {"task.size": 8, "task.samples": 32, "environment.epochs": 2, "environment.workers": 1},
}


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_is_small_verified_and_says_what_it_is() -> None:
    place = offers()["pretrained"].path
    files = [path for path in place.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    assert {path.suffix for path in files} == {".json", ".jsonl", ".safetensors"}, "nothing that is unpickled"
    header = verify_checkpoint(choose_checkpoint(RunDirectory.open(place), "last"))
    trained = json.loads((place / "TRAINED.json").read_text())
    told = (trained["digest"], trained["updates"], trained["seed"], trained["trained_on"]["task"])
    assert told == (header.content["digest"], header.update, header.plan.seed, "mixed")


def test_its_name_is_enough_to_load_begin_with_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(esper_core.load("pretrained", slots=5).plan.slots) == 5
    assert run(["train", "--init", "pretrained", "--slots", "8", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["init"]["run"] == str(offers()["pretrained"].path) and len(plan["slots"]) == 8
    assert plan["train"]["teacher_alone"] == plan["train"]["critic_alone"] == 0, "nobody teaches it again"
    assert run(["runs", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "pretrained" and row["brought"].startswith("esper-pretrained ")
    assert run(["train", "--resume", "pretrained"]) == 2 and "esper train --init pretrained" in capsys.readouterr().err
    with pytest.raises(UserError, match="Did you mean 'pretrained'"):
        find_run("pretraind", Path("runs"))
    assert not Path("runs").exists(), "reading writes nothing"


def test_what_comes_of_it_is_kept_in_a_copy_that_is_not_trained_further() -> None:
    copy = to_write(find_run("pretrained", Path("runs")), Path("runs"))
    assert copy.path.parent == Path("runs").absolute() and to_write(copy, Path("runs")) is copy
    with pytest.raises(CheckpointMismatch, match=r"no optimiser\.safetensors") as caught:
        esper_core.resume(copy)
    assert "--init" in (caught.value.hint or "")


def test_damage_is_refused(tmp_path: Path) -> None:
    place = shutil.copytree(offers()["pretrained"].path, tmp_path / "pretrained")
    (weights,) = place.rglob("policy.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointMismatch, match=r"policy\.safetensors is damaged"):
        to_write(RunDirectory.open(place, brought="esper-pretrained 0"), tmp_path / "runs")


def test_it_plays_unchanged_on_a_task_and_a_host_that_it_never_saw() -> None:
    result = esper_core.evaluate("pretrained", arms=["policy", "static"], instances=2, **ELSEWHERE)
    document = result.to_json()
    assert document["elsewhere"]["task"] == "synthetic" and len(document["slots"]) == 5
    apart = {name.partition(".")[0] for name in document["elsewhere"]}
    assert apart == {"task", "host", "environment"}, "who taught it, and how, is no matter of where it plays"
    assert "task synthetic (not mixed), host conv (not mixed)" in str(result)
    assert [path.name.split("-")[0] for path in Path("runs").iterdir() if path.is_dir()] == ["pretrained"]
    with pytest.raises(CheckpointMismatch, match="does not fit"):
        esper_core.evaluate("pretrained", uses={"features": "obs-v3"})


@pytest.mark.slow
def test_it_grows_a_network_that_is_exported() -> None:
    exported = esper_core.export("pretrained", "grown.py", instance=3)
    assert Path("grown.safetensors").is_file() and not Path("runs").exists()
    assert any(part.name.startswith("fossil") for part in exported.parts), "on this instance it grows"
