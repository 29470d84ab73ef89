"""The selector: which rule it chooses where the right one is known, and what follows from that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import describe_plan
from esper_core.contracts.components import ComponentSpec
from esper_core.policy.legality import neutral
from esper_core.registry.index import Component, Index
from esper_core.runs.directory import RunDirectory
from esper_evaluation.arms import choose_arms
from esper_evaluation.contest import Contest
from esper_evaluation.entrants import choose_entrants
from esper_evaluation.selector import Leaf, Selector
from esper_testing.reference.describe import COLOURS


class Red:
    """Kind `rule`: lights all lamps in red, whatever pays."""

    COLOUR = "red"

    def __init__(self, config: None, context: Any) -> None:
        self.actions = context.actions

    def reset(self, num_envs: int) -> None:
        """Keep no state."""

    def __call__(self, state: Any, masks: Any, generator: torch.Generator) -> Any:
        actions = neutral(self.actions, len(state["lit"]), state["lit"].device)
        actions["op"] = (~state["lit"]).any(1).long()
        actions["slot"] = (~state["lit"]).int().argmax(1)
        actions["colour"] = torch.full_like(actions["op"], COLOURS.index(self.COLOUR))
        return actions


class Green(Red):
    """The same in green."""

    COLOUR = "green"


class Blue(Red):
    """The same in blue."""

    COLOUR = "blue"


def test_it_takes_the_right_rule_of_every_kind_and_one_alone_where_nothing_tells_them_apart() -> None:
    draws = np.random.default_rng(0)
    size, noise = draws.integers(1, 100, 60).astype(float), draws.normal(0, 0.3, 60)
    hard = draws.normal(0, 10, 60)  # for both alike, and by far the largest difference
    rules = {"calm": hard + (size > 40), "wild": hard + (size <= 40) + noise}
    found = Selector.fit(["luck", "size"], np.stack([draws.normal(size=60), size], axis=1), rules)
    assert [found.choose([0.0, value]) for value in (1.0, 30.0, 50.0, 99.0)] == ["wild", "wild", "calm", "calm"]
    better = Selector.fit(["size"], size[:, None], {"calm": hard, "wild": hard + 1})
    assert better.tree == Leaf("wild", 60)
    fewer = Selector.fit(["size"], size[:4, None], {name: values[:4] for name, values in rules.items()})
    assert isinstance(fewer.tree, Leaf), "so few tell nothing apart"


def test_an_arm_that_knows_which_colour_pays(
    index: Index, runs: list[RunDirectory], tmp_path: Path, begun: list[int]
) -> None:
    specs = [ComponentSpec(kind="rule", name=c.COLOUR, factory=f"{__name__}:{c.__name__}") for c in (Red, Green, Blue)]
    mine = evolve(index, components=(*index.components, *(Component(spec, "own", "own", "0") for spec in specs)))
    entrants = choose_entrants([RunDirectory.open(shutil.copytree(runs[0].path, tmp_path / "run"))], "last")
    plan = entrants[0].plan
    known, environment = describe_plan(plan, mine), find_planned(mine, plan.component("environment"))
    arms = choose_arms(["selector", *COLOURS], mine, known, environment)

    def played(draws: int) -> Any:
        contest = Contest(entrants, mine)
        try:
            return contest.run(arms, 12, 1, lambda *_: None, draws=draws)
        finally:
            contest.close(print)

    found = played(draws=10)
    right = {name: values["right"][0] for name, values in found.values.items()}
    assert (right["selector"] == 1.0).all() and all((right[colour] < 1.0).any() for colour in COLOURS)
    assert found.played == 4 * 12 + 3 * 10 * plan.envs and found.selector.instances == 30
    assert found.chosen == {tag["target"]: sum(t == tag for t in found.tags) for tag in found.tags}
    lines = [json.loads(line) for line in (found.folder / "episodes.jsonl").read_text().splitlines()]
    assert all(e["chosen"] == (e["tags"]["target"] if e["arm"] == "selector" else None) for e in lines)
    begun.clear()
    again = played(draws=10)
    assert again.played == 0 == len(begun) and again.selector == found.selector and again.chosen == found.chosen
    assert played(draws=11).played == 12 + 3 * plan.envs, "a tree that has seen more plays anew"
