"""What an environment owes to those who evaluate in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Environment, Evaluable, MaskProvider, Masks, Replayable
from esper_core.contracts.state import Outcome
from esper_core.policy.legality import neutral
from esper_testing.legality import draw_legal, made_legal, some_rows
from esper_testing.player import Separately, play

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

MEMBERS = tuple(name for name in vars(Evaluable) if not name.startswith("_"))


def check_members(environment: Environment, outcomes: Sequence[Outcome]) -> bool:
    """Return whether an environment can be evaluated; raises AssertionError for one that says half of it."""
    has = [name for name in MEMBERS if hasattr(environment, name)]
    if not has and not outcomes:
        return False
    lacking = [name for name in MEMBERS if name not in has]
    assert not lacking, f"it has outcomes in its description or {', '.join(has) or 'nothing'}, and lacks {lacking[0]}"
    assert outcomes, "it can be evaluated, and yet its description names no outcomes"
    return True


def check_held_out(environment: Evaluable, count: int) -> list[int]:
    """Return held-out instances; raises AssertionError unless they are what they always are."""
    held = environment.held_out(count)
    assert len(held) == len(set(held)) == count, f"held_out({count}) returned {len(set(held))} different instances"
    assert all(type(number) is int for number in held), "an instance it holds out is not an int"
    fewer = environment.held_out(count - 1)
    assert fewer == held[:-1], f"held_out({count - 1}) are not the first of held_out({count})"
    return held


def check_outcomes(
    environment: Environment, masks: MaskProvider, outcomes: Sequence[Outcome], instances: Sequence[int]
) -> list[Any]:
    """Play instances in two orders, and return what was made permanent in them, if that can be replayed.

    Raises:
        AssertionError: outcomes are not what the description says, or not the same in both.
    """
    first, topologies = _played(environment, masks, outcomes, instances)
    turned = [*instances[1:], instances[0]]
    second, _ = _played(environment, masks, outcomes, turned)
    for name, values in first.items():
        here, there = dict(zip(instances, values, strict=True)), dict(zip(turned, second[name], strict=True))
        for number in instances:
            assert here[number] == there[number], (
                f"instance {number} ends with '{name}' {here[number]:g} and, beside others, with {there[number]:g}"
            )
    return topologies


def check_replay(environment: Environment, masks: MaskProvider, instances: Sequence[int], wanted: list[Any]) -> None:
    """Begin with topologies and do nothing; raises AssertionError unless they are there in the end."""
    assert isinstance(environment, Replayable)
    idle = Separately([_Wandering(environment.actions, busy=0.0) for _ in instances], range(len(instances)))
    play(environment, masks, idle, options={"instances": list(instances), "topologies": wanted})
    found = json.loads(json.dumps(environment.topologies()))
    assert found == wanted, f"begun with the topologies {wanted}, it ends with {found} although nothing was done"


def _played(
    environment: Environment, masks: MaskProvider, outcomes: Sequence[Outcome], instances: Sequence[int]
) -> tuple[dict[str, list[float]], list[Any]]:
    """Play every instance at random, each always alike; return its outcomes and topologies."""
    assert isinstance(environment, Evaluable)
    wandering = Separately([_Wandering(environment.actions, busy=0.6) for _ in instances], list(instances))
    play(environment, masks, wandering, options={"instances": list(instances)})
    said = environment.outcomes()
    names = {outcome.name for outcome in outcomes}
    assert set(said) == names, f"its outcomes are {', '.join(sorted(said))}; its description names {sorted(names)}"
    for name, value in said.items():
        right = value.dtype == torch.float64 and value.shape == (len(instances),) and bool(value.isfinite().all())
        assert right, f"its outcome '{name}' is {value}, not {len(instances)} finite numbers in float64"
    try:
        made = getattr(environment, "topologies", list)
        topologies = json.loads(json.dumps(made(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"its topologies cannot be written as JSON: {error}") from error
    return {name: value.tolist() for name, value in said.items()}, topologies


@frozen
class _Wandering:
    """Kind `rule`, for one environment or match: uniform over what is legal, or, at some steps, nothing at all.

    Attributes:
        busy: How likely something is done, 0..1.
    """

    spec: ActionSpec
    busy: float

    def reset(self, num_envs: int) -> None:
        """Begin an episode."""

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return actions of all its rows, as environments take them."""
        drawn = draw_legal(self.spec, masks, state, generator)
        if float(torch.rand((), generator=generator)) < self.busy:
            return drawn
        some = some_rows(state, masks)
        return made_legal(self.spec, masks, neutral(self.spec, len(some), some.device))
