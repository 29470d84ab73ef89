"""`esper report`, `esper runs compare` and `esper export`, on a run that was trained."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import esper_core
from esper_core.cli.app import run
from tests.cli.resuming import SMALL
from tests.command import Esper

ARMS = "static,all-on,policy,random-matched,best-fixed,replay"
HOSTILE = '"""\nimport os\nos.system("touch pwned")\n"""'


@pytest.fixture(scope="module")
def trained(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs, trained in this process."""
    folder = tmp_path_factory.mktemp("after")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("ESPER_CACHE", str(shared / "cache"))
    for seed in ("0", "1"):
        small = ("--policy", "lstm-v1", "--slots", "2", "--updates", "2", "--seed", seed, "--out", ".", *SMALL)
        assert run(["train", *small, "--json"]) == 0
    patch.undo()
    return folder


@pytest.fixture
def runs(trained: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> list[str]:
    """The names of two runs in the working directory."""
    monkeypatch.chdir(trained)
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    return sorted((path.name for path in trained.iterdir() if (path / "run.json").exists()), key=_seed)


def _seed(name: str) -> int:
    return json.loads((Path(name) / "run.json").read_text())["plan"]["seed"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_report_is_in_its_run_or_where_it_was_asked_for(runs, capsys, tmp_path, monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    document = printed(capsys, "report", runs[0])
    page = Path(document["report"])
    assert page == Path(runs[0]) / "report.html" and page.stat().st_size == document["bytes"] > 20_000
    assert "What grew" in page.read_text()
    assert shown == []
    assert run(["report", runs[0], "--open"]) == 0 and shown == [page.absolute().as_uri()]
    assert run(["report", runs[0], "--out", str(tmp_path / "page.html")]) == 0
    mine = esper_core.report(runs[0], tmp_path / "mine.html")
    assert (tmp_path / "page.html").read_text() == page.read_text() == mine.read_text()
    assert run(["report", runs[0], "--out", str(tmp_path / "missing" / "page.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_report_is_proposed_where_it_can_be_written(runs, capsys):
    for flags, proposed in (((), True), (("--no-plugin", "evaluation"), False)):
        assert run([*flags, "runs", "show", runs[0]]) == 0
        assert ("esper report" in capsys.readouterr().out) == proposed


def test_looking_at_runs_needs_no_torch(esper: Esper, without_torch: Path, trained: Path, runs: list[str]) -> None:
    first, second = (str(trained / name) for name in runs)
    for arguments in (("report", first, "--out", "page.html"), ("runs", "compare", first, second, "--all")):
        done = esper(*arguments, path=without_torch)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout, arguments


def test_runs_that_differ_in_their_seed(runs, capsys):
    document = printed(capsys, "runs", "compare", *runs)
    assert document["plan"] == {"seed": [0, 1]} and document["made_with"] == {}
    assert [entry["name"] for entry in document["runs"]] == runs
    assert document["outcomes"]["return"]["intervals"][0]["episodes"] == 2
    assert run(["runs", "compare", *runs]) == 0
    text = capsys.readouterr().out
    for words in ("seed  0  1", "made with: no difference", "b − a", "committed_accuracy", "one seed (0 and 1)"):
        assert words in " ".join(text.split()) or words in text
    assert "explained_variance" not in text
    assert run(["runs", "compare", runs[0], runs[0]]) == 2
    assert "two different runs" in capsys.readouterr().err


def test_what_is_exported_needs_torch_alone(runs, capsys, tmp_path):
    document = printed(capsys, "export", runs[0], "--instance", "5", "--at", "1", "--out", str(tmp_path / "grown.py"))
    assert (document["instance"], document["checkpoint"]) == (5, "000001")
    assert document["episode"]["instance"] == 5
    exported = esper_core.export(runs[0], tmp_path / "called.py", instance=5, at=1)
    assert exported.weights.read_bytes() == (tmp_path / "grown.safetensors").read_bytes()
    assert exported.cost.parameters == document["parameters"] and capsys.readouterr() == ("", "")
    assert document["difference"] <= 1e-6 and document["flops"] == sum(p["flops"] for p in document["parts"])
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('esper_core', 'esper_growth', 'safetensors', 'numpy')))\n"
        "import torch; from grown import load; net = load()\n"
        "print(net(torch.zeros(3, 1, 8, 8)).shape, sum(p.numel() for p in net.parameters()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == f"torch.Size([3, 10]) {document['parameters']}\n", done.stderr


def test_a_policy_for_any_number_grows_and_is_evaluated_in_other_slots(runs, capsys, tmp_path):
    small = ("--policy", "lstm-slots", "--slots", "1,2", "--updates", "2", "--out", str(tmp_path), *SMALL)
    path = printed(capsys, "train", *small)["run"]
    document = printed(capsys, "export", path, "--slots", "3", "--out", str(tmp_path / "grown.py"))
    assert document["slots"] == ["r0c0", "r0c1", "r0c2"] and document["difference"] <= 1e-6
    assert esper_core.export(path, tmp_path / "called.py", slots=3).cost.parameters == document["parameters"]
    assert run(["export", runs[0], "--slots", "3", "--out", str(tmp_path / "none.py")]) == 4
    assert "slots (2 → 3)" in capsys.readouterr().err and not (tmp_path / "none.py").exists()
    words = ("--slots", "3", "--instances", "2", "--arms", "static,all-on,policy,replay")
    document = printed(capsys, "evaluate", path, *words)
    assert (len(document["slots"]), document["trained_drawn"]) == (3, [1, 2])
    assert run(["evaluate", path, *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "played with 3 slots (r0c0, r0c1, r0c2); the policy was trained with 1, 2 slots." in said


def test_mistakes_are_told_before_anything_is_played(runs, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("esper_evaluation.export.grow.grow", None)
    for at, name, words in (("9", "net.py", "no checkpoint of update 9."), ("last", "no/net.py", "There is no folder")):
        assert run(["export", runs[0], "--at", at, "--out", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_text_of_a_run_gets_into_the_source(runs, capsys, tmp_path, shared, monkeypatch):
    """A run whose every text is hostile, with digests that fit: what it says is compared or left out."""
    copy = shutil.copytree(runs[0], tmp_path / "hostile-s2")
    for file in (copy / "run.json", copy / "checkpoints/000002/state.json"):
        content = json.loads(file.read_text())
        content["plan"]["policy"] = content["created"] = HOSTILE
        content["libraries"] = content["machine"] = {HOSTILE: HOSTILE}
        content["git"] = {"commit": HOSTILE, "changed": True}
        content["distributions"][HOSTILE] = {"version": HOSTILE, "source": HOSTILE}
        if content.pop("digest", None):
            content["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        file.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    assert run(["export", "hostile-s2", "--runs", ".", "--out", "grown.py"]) == 0, capsys.readouterr().err
    source = Path("grown.py").read_text()
    assert "pwned" not in source and not Path("pwned").exists()
    imported = [ast.unparse(n) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert imported == ["import json", "from pathlib import Path", "import torch", "from torch import nn"]
    assert b"pwned" not in Path("grown.safetensors").read_bytes()


def test_a_run_of_growth_is_evaluated(runs, capsys, tmp_path):
    path = str(shutil.copytree(runs[0], tmp_path / "run"))
    words = ["evaluate", path, "--instances", "2", "--search-episodes", "4", "--arms", ARMS, "--json"]
    assert run(words) == 0, capsys.readouterr().err
    document = json.loads(capsys.readouterr().out)
    for outcomes in document["arms"].values():
        assert {"test_accuracy", "added_parameters", "training_flops", "alpha_shock"} <= set(outcomes)
        assert 0.0 <= outcomes["test_accuracy"]["iqm"] <= 1.0
    static = document["arms"]["static"]
    assert static["added_parameters"] == {"iqm": 0.0, "low": 0.0, "high": 0.0}
    assert document["primary"]["contrast"] in ("policy - static", "policy - all-on")
    # Fossils that were kept are those that a replay begins with, and ends with.
    lines = [json.loads(line) for line in (Path(document["records"]) / "episodes.jsonl").read_text().splitlines()]
    grown = {(e["arm"], e["instance"]): (e["topology"], e["outcomes"]["added_parameters"]) for e in lines}
    assert all(grown["replay", number] == grown["policy-greedy", number] for number in document["instance_numbers"])
    assert document["played"] == 2 * 7 + 4
    again = esper_core.evaluate(path, instances=2, search_episodes=4, arms=ARMS.split(","))
    assert again.to_json() == {**document, "played": 0} and capsys.readouterr() == ("", "")
    with (Path(document["records"]) / "episodes.jsonl").open("a") as file:
        file.write('{"arm": "static"}\n')
    assert run(words) == 4
    assert f"episodes.jsonl:{len(lines) + 1}: this line is damaged" in capsys.readouterr().err
