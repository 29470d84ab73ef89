"""Every probe turns red for the defect that it is there to catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from esper_core.builtin.flat import Flat
from esper_core.composition.plan import Plan
from esper_core.contracts.protocols import Features, Masks
from esper_core.learning import rollout
from esper_core.policy.recurrent import zero_rows
from esper_core.registry.index import Index
from esper_factored_ppo.loss import FactoredPpo
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.environments.forced import Forced
from esper_factored_ppo.probes.environments.validity import Occupied
from esper_factored_ppo.probes.playing import measure
from esper_factored_ppo.probes.table import PROBES
from esper_lstm_v2.network import LstmNetwork

Patch = pytest.MonkeyPatch
estimate, standardise = rollout.gae, rollout.standardise


def the_features_are_blank(patch: Patch) -> None:
    see = Flat.__call__
    patch.setattr(Flat, "__call__", lambda self, state: Features(torch.zeros_like(see(self, state).obs), {}))


def advantages_have_the_wrong_sign(patch: Patch) -> None:
    patch.setattr(rollout, "standardise", lambda advantages, *rest: standardise(-advantages, *rest))


def truncation_and_termination_are_mixed_up(patch: Patch) -> None:
    def gae(rewards: Any, values: Any, following: Any, terminated: Any, truncated: Any, *rest: Any) -> Any:
        return estimate(rewards, values, following, truncated, terminated, *rest)

    patch.setattr(rollout, "gae", gae)


def a_time_limit_bootstraps_from(what: str) -> Callable[[Patch], None]:
    def mutate(patch: Patch) -> None:
        def gae(rewards: Any, values: Any, following: Any, terminated: Any, truncated: Any, *rest: Any) -> Any:
            next_column = torch.cat([values[:, 1:], following[:, -1:]], dim=1)
            if what == "nothing":
                following = torch.where(truncated, 0.0, following)
            elif what == "the next episode":
                following = torch.where(truncated, next_column, following)
            else:
                following, truncated = next_column, torch.zeros_like(truncated)
            return estimate(rewards, values, following, terminated, truncated, *rest)

        patch.setattr(rollout, "gae", gae)

    return mutate


def only_the_operation_is_learned(patch: Patch) -> None:
    every = FactoredPpo._surrogate

    def first(self: FactoredPpo, *given: Any) -> tuple[Tensor, ...]:
        *sides, outside, choice = every(self, *given)
        gain, slopes = (torch.cat([side[:1], torch.zeros_like(side[1:])]) for side in sides)
        return gain, slopes, outside, choice

    patch.setattr(FactoredPpo, "_surrogate", first)


def slots_do_not_depend_on_the_operation(patch: Patch) -> None:
    given = Occupied.masks.__func__  # type: ignore[attr-defined]

    def masks(cls: Any, state: Any) -> Masks:
        heads, _ = given(cls, state)
        return Masks(heads, heads["slot"].unsqueeze(1) & torch.tensor([False, True, True])[:, None])

    patch.setattr(Occupied, "masks", classmethod(masks))


def masks_are_ignored(patch: Patch) -> None:
    patch.setattr(Forced, "masks", classmethod(ProbeEnvironment.masks.__func__))  # type: ignore[attr-defined]


def nothing_is_remembered(patch: Patch) -> None:
    run = LstmNetwork.forward

    def forward(self: Any, features: Any, state: Any, start: torch.Tensor) -> Any:
        return run(self, features, zero_rows(state, start.new_ones(start.shape[0])), torch.ones_like(start))

    patch.setattr(LstmNetwork, "forward", forward)


DEFECTS = [
    ("P4", advantages_have_the_wrong_sign),
    ("P5", the_features_are_blank),
    ("P9", slots_do_not_depend_on_the_operation),
    ("P10", masks_are_ignored),
    ("P4", None),  # the slow tests of the spike train all of them
    ("P9", None),
    pytest.param("P6 finite chain", truncation_and_termination_are_mixed_up, marks=pytest.mark.slow),
    *(
        pytest.param("P14", a_time_limit_bootstraps_from(what), marks=pytest.mark.slow)
        for what in ("nothing", "the next episode", "the next episode, as if there were no limit")
    ),
    pytest.param("P15", only_the_operation_is_learned, marks=pytest.mark.slow),
    pytest.param("P16", only_the_operation_is_learned, marks=pytest.mark.slow),
    pytest.param("P8", only_the_operation_is_learned, marks=pytest.mark.slow),
    pytest.param("P12 T-maze 10", nothing_is_remembered, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("probe", "mutate"), DEFECTS)
def test_its_defect_turns_a_probe_red_and_nothing_else_does(
    plan: Plan, index: Index, monkeypatch: Patch, probe: str, mutate: Any
) -> None:
    (found,) = [candidate for candidate in PROBES if f"{candidate.name} ".startswith(f"{probe} ")]
    if mutate is not None:
        mutate(monkeypatch)
    measured = measure(found, plan, index, 0)
    assert found.reached(measured) is (mutate is None), measured
