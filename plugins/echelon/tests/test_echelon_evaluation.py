"""Policies and rules compared on held-out instances, each a match with all its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import esper_core as esper
from esper_core.composition.plan import Plan
from esper_core.contracts.errors import ConfigError

ARMS = ["policy", "lieutenant", "hold", "charge", "random"]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["combat-suite", "actor-critic-lstm"])
def test_what_is_trained_is_compared_with_rules_on_the_same_matches(
    plan: Callable[..., Plan], tmp_path: Path, policy: str
) -> None:
    schedule = 'schedule=["weapon_prob=0..1@9"]'
    options = ("train.rollout_steps=20", schedule, "map_size_range=[24, 30]", "opponent=hold")
    run = esper.train(plan(*options, policy=policy), out=tmp_path, tensorboard=False)
    result = esper.evaluate(run, arms=ARMS, instances=4, record=tmp_path / "match.gif")
    assert set(result.arms) == set(ARMS) and result.played == 4 * len(ARMS)
    won, length = ({arm: result.arms[arm][name].value for arm in ARMS} for name in ("won", "length"))
    assert won["lieutenant"] > won["random"], "who fights for the zone beats who stands in it, and noise does not"
    assert all(1 <= value <= 240 for value in length.values())
    assert (tmp_path / "match.gif").stat().st_size > 10_000
    assert esper.evaluate(run, arms=ARMS, instances=4).played == 0, "what is on record is not played again"
    with pytest.raises(ConfigError, match="3 instances leave a seed with one side") as raised:
        esper.evaluate(run, arms=ARMS, instances=3)
    assert raised.value.hint == "Use --instances 4."
