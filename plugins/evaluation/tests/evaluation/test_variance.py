"""`esper variance`: what is luck and what is the instance, where that is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esper_core.api.player import Player
from esper_core.cli.app import run as esper
from esper_core.composition.recipes import Recipes
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation.commands import variance as command
from esper_evaluation.entrants import choose_entrants
from esper_evaluation.variance import parts_of
from esper_testing.reference.environment import Lamps


def test_parts_of_a_variance_are_those_that_were_put_in() -> None:
    generator = np.random.default_rng(1)
    found = parts_of(generator.normal(0, 2, (4000, 1)) + generator.normal(0, 1, (4000, 4)), resamples=500)
    assert found.between.value == pytest.approx(4, rel=0.05) and found.within.value == pytest.approx(1, rel=0.05)
    assert found.between.low < 4 < found.between.high and found.within.low < 1 < found.within.high
    luck = parts_of(generator.normal(0, 1, (4000, 4)), resamples=2)
    assert abs(luck.between.value) < 0.05 and luck.left(4) > 0.95


def test_the_best_weight_leaves_as_much_as_is_said() -> None:
    """The variance of u + w − β·(mean of the other repeats), by simulation."""
    generator, repeats = np.random.default_rng(2), 4
    values = generator.normal(0, 1, (50_000, 1)) + generator.normal(0, 1.5, (50_000, repeats))
    found = parts_of(values, resamples=2)
    best, others = found.weight(repeats), (values.sum(axis=1, keepdims=True) - values) / (repeats - 1)
    left = {beta: float((values - beta * others).var() / values.var()) for beta in (0.0, best, 1.0)}
    assert best == pytest.approx(1 / (1 + 1.5**2 / 3), rel=0.05)
    assert left[best] == pytest.approx(found.left(repeats), rel=0.02) and left[best] == min(left.values())


def test_a_policy_plays_training_instances_again_and_again(
    runs: list[RunDirectory],
    index: Index,
    begun: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "load_installed", lambda *_: (index, Recipes()))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs[0].path, tmp_path / "runs" / "lamps")
    words = ["variance", "lamps", "--instances", "5"]

    def printed(*more: str) -> Any:
        assert esper([*words, *more, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    begun.clear()
    first = printed("--episodes", "2")
    assert first["played"] == 10 and set(begun) == set(range(5)), "held-out instances are not looked at"
    more = printed("--episodes", "3")
    assert more["played"] == 5 and printed("--episodes", "3") == {**more, "played": 0}
    assert printed("--episodes", "2") == {**first, "played": 0}, "what comes of one does not depend on the others"
    (file,) = tmp_path.glob("runs/lamps/evaluation/*/repeats.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({(line["instance"], line["value"]) for line in lines}) == 5, "at the start all repeats look alike"
    assert first["residual"]["within"] == pytest.approx(first["discounted return"]["within"])
    assert esper([*words, "--episodes", "3"]) == 0
    assert "5 training instances, 3 episodes on each" in capsys.readouterr().out
    assert esper([*words[:2], "--instances", "1"]) == 2


def test_what_is_cut_off_by_time_goes_on_as_the_critic_expects(
    runs: list[RunDirectory], index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A critic that expects 7 always: the discounted return is that of the rewards, and γ^T · 7 where time was up."""
    from esper_evaluation.repeating import repeat

    step, found = Lamps.step, {}
    sevens = lambda self, state, told: torch.full((len(next(iter(state.values()))),), 7.0)  # noqa: E731
    monkeypatch.setattr(Player, "values", sevens)
    for truncates in (False, True):
        copy = RunDirectory.open(shutil.copytree(runs[0].path, tmp_path / str(truncates)))

        def ending(self: Lamps, actions: Any, truncates: bool = truncates) -> Any:
            state, reward, terminated, truncated, info = step(self, actions)
            over, no = terminated | truncated, torch.zeros_like(terminated)
            return state, reward, *((no, over) if truncates else (over, no)), info

        monkeypatch.setattr(Lamps, "step", ending)
        (entrant,) = choose_entrants([copy], "last")
        said: dict[str, Any] = {"device": None, "on_progress": lambda *_: None, "warn": print}
        found[truncates] = repeat(entrant, index, instances=2, episodes=2, **said)
    gained = found[True].discounted - found[False].discounted
    np.testing.assert_allclose(gained, 7 * runs[0].plan.train["gamma"] ** 6)
    np.testing.assert_array_equal(found[True].total, found[False].total)
    assert (found[True].value == 7).all()
