"""The reference environment of several agents: trained in it from end to end, and gone on with in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from esper_core.cli.app import run
from esper_core.composition.build import build_environment
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.contracts.protocols import Masks, State
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_testing.player import Separately, play
from esper_testing.reference.plugin import REFERENCES, with_references

UPDATES = 5


class Watching:
    """Notes how many rows it is shown, and does nothing."""

    def __init__(self) -> None:
        self.shown: set[int] = set()

    def reset(self, num_envs: int) -> None:
        self.shown.add(num_envs)

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, torch.Tensor]:
        rows = len(state["clock"])
        self.shown |= {rows, len(masks.heads["play"])}
        return {"play": torch.zeros(rows, dtype=torch.int64), "aim": torch.zeros(rows, 1)}


def index() -> Index:
    return with_references(load_index(only=()))


def planned() -> Plan:
    uses = {**REFERENCES, "environment": "esper-reference:match", "masks": "esper-reference:match"}
    request = PlanRequest(policy=REFERENCES["network"], slots="1", uses=uses, envs=4, device="cpu", seed=3)
    return make_plan(request, index())


def session() -> Any:
    """A run whose rollouts end in the middle of matches."""
    return open_session(planned(), index())


def test_a_policy_is_trained_and_goes_on_exactly_in_the_middle_of_matches() -> None:
    straight, begun, other = session(), session(), session()
    expected = list(straight.run(UPDATES))
    done = list(begun.run(UPDATES - 2))
    now = begun.environment._now
    assert now["running"].any() and (now["time"][now["running"]] > 0).any(), "the rollout ended between matches"
    other.load_state(begun.state())
    done += list(other.run(UPDATES))
    assert [update.metrics for update in done] == [update.metrics for update in expected]
    for name, weight in straight.policy.state_dict().items():
        assert torch.equal(other.policy.state_dict()[name], weight), name
    played = sum(event["type"] == "episode" for update in expected for event in update.events)
    assert played > 4 and all(update.environment_steps > 0 for update in expected)


PLUGIN = """
from esper_core import hookimpl
from esper_core.registry.loading import load_index
from esper_testing.reference.plugin import DISTRIBUTION, with_references

@hookimpl
def esper_components():
    found = with_references(load_index(only=())).components
    return [component.spec for component in found if component.distribution == DISTRIBUTION]
"""


def test_the_command_trains_in_matches_and_goes_on_in_the_middle_of_them(
    install: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(install("archers", PLUGIN))
    uses = ("environment=match", "features=reference", "critic=reference", "loss=reference")
    command = ("train", "--policy", "reference", *(word for use in uses for word in ("--use", use)), "--slots", "1")

    def trained(out: str, *words: str) -> Path:
        assert run([*words, "--plain"]) == 0
        (folder,) = (tmp_path / out).iterdir()
        return folder

    def learned(folder: Path) -> list[dict[str, Any]]:
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [{key: value for key, value in entry.items() if key != "timing"} for entry in lines]

    straight = learned(trained("straight", *command, "--envs", "4", "--updates", "3", "--out", "straight"))
    cut = trained("cut", *command, "--envs", "4", "--updates", "2", "--out", "cut")
    assert learned(trained("cut", "train", "--resume", str(cut), "--updates", "3")) == straight
    # 3 updates of 3 steps of 12 archers, of whom some stay away.
    assert len(straight) == 3 and 36 < straight[-1]["environment_steps"] < 108


def test_a_rule_plays_all_rows_of_its_match_and_absent_ones_count_for_nothing() -> None:
    parts = build_environment(planned(), index()).parts
    rules = [Watching() for _ in range(4)]
    played = play(parts["environment"], parts["masks"], Separately(rules, range(4)), seed=1, rows=3)
    assert [rule.shown for rule in rules] == [{3}] * 4
    absent = played.lengths == 0
    assert 0 < int(absent.sum()) < 8, "some archers stay away, never a whole match"
    assert played.match_lengths() == [6] * 4
    assert played.returns() == pytest.approx([0.6] * 4), "who rests is paid, and a match has the mean of who was there"
    assert played.tags() == [{}] * 4
