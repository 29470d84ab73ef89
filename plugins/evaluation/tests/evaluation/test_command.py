"""`esper evaluate` and `esper_core.evaluate` as users write them, on the reference world."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import esper_core
from esper_core.cli.app import main, run
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation import evaluating
from esper_evaluation.commands import evaluate as command
from esper_testing.reference.environment import HELD_OUT, Lamps
from tests.runs import forking

SMALL = ("--instances", "4", "--search-episodes", "6")


@pytest.fixture
def words(runs: list[RunDirectory], index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The beginning of a command line in a folder with two runs."""
    monkeypatch.chdir(tmp_path)
    for module in (command, evaluating):
        monkeypatch.setattr(module, "load_installed", lambda *_: (index, Recipes()))
    for number, source in enumerate(runs):
        shutil.copytree(source.path, tmp_path / "runs" / f"lamps-{number}")
    return ("evaluate", "lamps-0", "lamps-1", *SMALL)


@pytest.fixture
def threads() -> Iterator[int]:
    """How many threads torch may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_a_document_for_machines(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.out.count("\n") == 1
    assert {"arms", "primary", "instances", "seeds"} <= set(document)
    assert set(document["arms"]) == {
        *("static", "random", "policy", "policy-greedy", "random-matched", "best-fixed", "replay", "selector")
    }
    for outcomes in document["arms"].values():
        assert 0.0 <= outcomes["right"]["low"] <= outcomes["right"]["high"] <= 1.0
    assert document["primary"]["contrast"] in ("policy - static", "policy - random")
    assert (document["instances"], document["seeds"], document["checkpoints"]) == (4, 2, [2, 2])
    assert document["search"]["searched"] == 6 and document["search"]["training_episodes"] == 6
    assert Path(document["figure"]).read_bytes().startswith(b"\x89PNG")
    assert Path(document["figure"]).parent == Path(document["records"])
    assert Path(document["records"]).parent == Path("runs/lamps-0/evaluation")
    assert (
        document["played"] == 4 * 4 + 4 * 8 + 6 + 2 * 6
        and f"{document['played']} of {document['played']}" in captured.err
    )
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**document, "played": 0}


def test_a_table_for_people(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(list(words)) == 0
    text = capsys.readouterr().out
    header, *rows = text.partition("\n\n")[0].splitlines()
    assert header.split() == ["arm", "right", "lit"] and len(rows) == 8
    assert sum(" * " in row for row in rows) == 1
    iqms = [float(row.replace(" *", "").split()[1]) for row in rows]
    assert iqms == sorted(iqms, reverse=True)
    said = " ".join(text.split())
    assert "policy seeds 0 (update 2), 1 (update 2)" in said
    assert any(w in said for w in ("The policy is better", "The policy is worse", "No difference shown"))
    assert "after 6 episodes of search; a policy was trained with 6." in said
    assert "comparison.png" in said and "One policy seed" not in said
    assert "4 instances: intervals of fewer than 10 are too narrow for a verdict." in said


def test_the_function_returns_what_the_command_prints(
    words: tuple[str, ...], capfd: pytest.CaptureFixture[str], threads: int
) -> None:
    """Played in a thread, from nothing, by each of them."""
    told: list[tuple[float, int, str]] = []
    several: list[str | Path] = ["lamps-0", Path("runs") / "lamps-1"]
    with ThreadPoolExecutor() as pool:
        said = {"instances": 4, "search_episodes": 6, "on_progress": lambda *said: told.append(said)}
        result = pool.submit(esper_core.evaluate, several, **said).result()
    assert capfd.readouterr() == ("", "") and torch.get_num_threads() == threads
    assert told[-1] == (result.played, result.played, "selector") and len(told) > 10
    assert result.figure.is_file() and result.figure.parent == result.records and result.notes == ()
    shutil.rmtree(result.records.parent)
    assert run([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == result.to_json()
    assert run(list(words)) == 0
    assert capfd.readouterr().out == f"{result}\n" == f"{result!r}\n"
    assert result.verdict == result.to_json()["secondary"]["verdict"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"arms": ["polcy"]}, "no arm 'polcy' .* Did you mean 'policy'"),
        ({"arms": "policy"}, "arms cannot be 'policy'"),
        ({"arms": ["policy", "selector", "static"]}, "chooses among the rules that take part, and 1 does"),
        ({"instances": 1}, "instances cannot be 1"),
        ({"search_episodes": 0.5}, "search_episodes cannot be 0.5"),
        ({"fresh": 10**7}, "--fresh cannot be 10000000"),
        ({"runs": []}, "no run to evaluate"),
        ({"runs": ["lamps-0", "lamps-0"]}, "lamps-0 and lamps-0 have the same seed, 0"),
        ({"at": 9}, "no checkpoint of update 9"),
    ],
)
def test_mistakes_of_a_call(words: tuple[str, ...], said: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        esper_core.evaluate(**{"runs": "lamps-0", **said})
    assert not list(Path("runs").glob("*/evaluation"))


def test_runs_must_be_seeds_of_one_policy(words: tuple[str, ...], runs: list[RunDirectory], make_run: Any) -> None:
    other = make_run(seed=2, options=("environment.epochs=5",), envs=2)
    with pytest.raises(UserError, match=r"not seeds of one policy: envs is 3, 2; environment.epochs is 6, 5") as raised:
        esper_core.evaluate([runs[0], other])
    assert "seed is" not in raised.value.message and raised.value.exit_code == 2


def test_what_was_set_aside_is_a_note_and_is_logged(words: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    before = esper_core.evaluate("lamps-0", arms=["static"], instances=2)
    before.records.rename(before.records.with_name("others"))
    (note,) = esper_core.evaluate("lamps-0", arms=["static"], instances=2).notes
    assert note.startswith("Everything is played again") and note in caplog.text and before.notes == ()


def test_a_notebook_shows_a_bar_and_ctrl_c_says_what_is_kept(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = SimpleNamespace(progress=0.0)
    monkeypatch.setattr(evaluating, "in_notebook", lambda: True)
    monkeypatch.setattr(evaluating, "draw_bar", lambda total, done: bar)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        esper_core.evaluate("lamps-0", arms=["static"], instances=2, on_progress=stop)
    assert "batch of episodes that was finished is kept" in raised.value.__notes__[0] and bar.progress == 0.0
    assert esper_core.evaluate("lamps-0", arms=["static"], instances=2).played == bar.progress == 2


def test_within_groups(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    few = ("evaluate", "lamps-0", "--instances", "8", "--arms", "policy,static", "--by")
    assert run([*few, "targt"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "does not say 'targt' of its episodes. Did you mean 'target'? It says target." in said
    assert not list(Path("runs").glob("*/evaluation/*/episodes.jsonl"))
    assert run([*few, "target", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert set(groups) <= {"red", "green", "blue"} and len(groups) > 1
    assert sum(group["instances"] for group in groups.values()) == 8
    assert run([*few, "target"]) == 0
    said = capsys.readouterr().out
    header = next(line for line in said.splitlines() if line.startswith("arm") and "right" not in line)
    assert header.split()[1:] == [w for name, g in groups.items() for w in (name, f"({g['instances']})")]
    assert "right by group of instances" in said
    assert run([*few, "targt"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("lamps-0 --arms polcy", "no arm 'polcy'"),
        ("lamps-0 --at 9", "no checkpoint of update 9"),
        ("lamps-9", "There is no run 'lamps-9'"),
        ("lamps-0 --search-episodes 2", "less than one batch of 3"),
        ("lamps-0 --instances 1", "--instances"),
        ("lamps-0 --arms plateau", "reads the state field"),
        ("lamps-0 --primary mean", "primary cannot be 'mean'"),
        ("lamps-0 --primary paired-mean --arms policy", "no rule is among the arms"),
        ("lamps-0 --again", "--again means nothing without --fresh"),
        ("lamps-0 --device nowhere", "device 'nowhere' cannot be used"),
    ],
)
def test_mistakes(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], arguments: str, says: str) -> None:
    assert run(["evaluate", *arguments.split(), "--json"]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.out == ""
    assert not list(Path("runs").glob("*/evaluation"))


def slowly(words: tuple[str, ...]) -> None:
    step = Lamps.step

    def slow(self: Any, actions: Any) -> Any:
        time.sleep(0.02)
        return step(self, actions)

    Lamps.step = slow  # type: ignore[method-assign]
    main([*words, "--json"])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_when_it_is_stopped_what_was_finished_is_kept(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    process = forking.start(slowly, words, said=tmp_path / "said")

    def kept() -> list[Path]:
        found = tmp_path.glob("runs/*/evaluation/*/episodes.jsonl")
        return [path for path in found if path.stat().st_size]

    deadline = time.monotonic() + 60
    while not kept():
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid or 0, number)
    process.join(60)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == status and "Traceback" not in said
    assert "Every batch of episodes that was finished is kept." in said and "goes on from there" in said
    lines = len(kept()[0].read_text().splitlines())
    assert lines >= 3
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["played"] <= 4 * 4 + 4 * 8 + 6 + 2 * 6 - lines


def looks() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("runs/looked-at.jsonl").read_text().splitlines()]


def test_fresh_instances_are_those_that_nobody_has_looked_at(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], begun: list[int]
) -> None:
    assert run(list(words)) == 0 and "; * is the best rule." in " ".join(capsys.readouterr().out.split())
    assert [(look["first"], look["count"], look["fresh"]) for look in looks()] == [(0, 4, False)]
    fresh = ("evaluate", "lamps-0", "--arms", "policy,static", "--instances", "4", "--fresh")
    begun.clear()
    assert run([*fresh, "2"]) == 2 and begun == [] and len(looks()) == 1
    said = " ".join(capsys.readouterr().err.split())
    today = looks()[0]["at"][:10]
    assert "Held-out instances 2 to 5 of esper-reference:lamps are not fresh." in said
    assert f"0 to 3 on {today} by lamps-0, lamps-1 (" in said and "From --fresh 4 on nobody has looked" in said
    for more in ([], ["runs/looked-at.jsonl"]):  # a second time, or with runs/*, it says the same, and is no other look
        assert run([*fresh, "4", "--json", *more]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["fresh"] and document["instance_numbers"] == [HELD_OUT + i for i in range(4, 8)]
    assert [(look["first"], look["fresh"], look["again"]) for look in looks()[1:]] == [(4, True, False)]
    more = [*fresh, "5", "--primary", "paired-mean"]
    assert run(more) == 2 and "(policy, static; iqm)" in " ".join(capsys.readouterr().err.split())
    assert run([*more, "--again"]) == 0
    assert "5 to 8, and policy seeds 0" in (said := " ".join(capsys.readouterr().out.split()))
    assert "With --again: somebody may have looked" in said and looks()[-1]["again"]


def test_a_project_keeps_its_own_record_of_what_was_looked_at(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "looked-at.jsonl").write_text('{"at": "2026')  # a line that a killed process left
    assert run(["evaluate", "lamps-0", "--arms", "static", "--instances", "2"]) == 0
    assert len((tmp_path / "looked-at.jsonl").read_text().splitlines()) == 1
    assert not Path("runs/looked-at.jsonl").exists()


def test_the_paired_mean_is_to_the_rule_that_is_best_on_training_instances(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], begun: list[int]
) -> None:
    paired = [*words, "--instances", "9", "--arms", "policy,static,random", "--primary", "paired-mean"]
    assert run([*paired, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["played"] == 9 * (2 + 1 + 1) + 2 * 9, "each rule plays as many training instances"
    drawn = [number for number in begun if number < HELD_OUT]
    assert len(drawn) == 18 and drawn[:9] == drawn[9:], "and they are the same for all rules"
    training = document["secondary"]["training"]
    best = max(training, key=training.__getitem__)
    assert set(training) == {"static", "random"} and document["secondary"]["best_rule"] == best
    assert document["primary"]["contrast"] == f"policy - {best}" and document["primary"]["by"] == "paired-mean"
    assert document["secondary"]["iqm_difference"]["contrast"].startswith("policy - ")
    kinds = document["secondary"]["kinds"]
    assert sum(kind["instances"] for kind in kinds.values()) == 9
    means = [kind["instances"] * kind["value"] / 9 for kind in kinds.values()]
    assert document["primary"]["delta"] == pytest.approx(sum(means))
    begun.clear()
    assert run(paired) == 0 and begun == []
    said = " ".join(capsys.readouterr().out.split())
    assert "* is the best rule on training instances." in said and "by kind of instance:" in said
    assert "right, policy minus each other arm, the same way:" in said
    assert f"best rule, {best}: right, mean of the paired differences by kind, " in said and "By IQM, to " in said
