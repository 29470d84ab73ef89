"""Acting without looking: schedules, and random ways to act that schedules are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.foreign import UNKNOWN, Owners
from esper_core.contracts.protocols import Environment, MaskProvider, Masks, Rule
from esper_core.policy.legality import neutral
from esper_testing.legality import draw_legal, made_legal, some_rows
from esper_testing.player import Played, Separately, derived_seed, play

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class Schedule:
    """Kind `rule`, for one environment: a fixed sequence of actions; the neutral one where it is illegal, and after it.

    All rows of a match do the same.

    Args:
        spec: The action table.
        rows: One action per step, in the order of the heads: an index, or a list of numbers.
    """

    def __init__(self, spec: ActionSpec, rows: Sequence[Sequence[Any]]) -> None:
        self.spec, self.rows = spec, rows

    def reset(self, num_envs: int) -> None:
        """Begin with the first action."""
        self._step = 0

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the action of this step, `[E]` per head."""
        some = some_rows(state, masks)
        wanted = neutral(self.spec, len(some), some.device)
        if self._step < len(self.rows):
            row = self.rows[self._step]
            wanted = {
                name: torch.tensor([value] * len(some), device=some.device)
                for name, value in zip(self.spec.names, row, strict=True)
            }
        self._step += 1
        return made_legal(self.spec, masks, wanted)


def recorded(spec: ActionSpec, played: Played, env: int) -> list[list[Any]]:
    """Return what was done in an environment's episode as the rows of a schedule."""
    columns = [played.column(name, env) for name in spec.names]
    return [list(row) for row in zip(*columns, strict=True)]


class Wandering:
    """Kind `rule`, for one environment: uniform over what is legal, and now and then nothing at all.

    How often nothing is done is drawn for each episode, so that some are busy and some calm.
    """

    def __init__(self, spec: ActionSpec) -> None:
        self.spec = spec

    def reset(self, num_envs: int) -> None:
        """Begin an episode."""
        self._calm: float | None = None

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return actions, `[1]` per head."""
        if self._calm is None:
            self._calm = float(torch.rand((), generator=generator))
        calm = float(torch.rand((), generator=generator)) < self._calm
        drawn = draw_legal(self.spec, masks, state, generator)
        return made_legal(self.spec, masks, neutral(self.spec, 1, some_rows(state, masks).device)) if calm else drawn


class Matched:
    """Kind `rule`, for one environment: given operations in random order, and all else about them random.

    An operation that is illegal when its turn has come waits until it is legal; the first of the others that is legal
    goes before it, or the neutral one where none is.

    Args:
        spec: The action table; it has a root head.
        ops: The operations.
    """

    def __init__(self, spec: ActionSpec, ops: Sequence[int]) -> None:
        assert spec.root is not None, "without a root head there are no operations"
        self.spec, self.ops, self.root = spec, ops, spec.category(spec.root)

    def reset(self, num_envs: int) -> None:
        """Begin with all operations."""
        self._rest: list[int] | None = None

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return actions, `[1]` per head."""
        if self._rest is None:
            self._rest = [self.ops[i] for i in torch.randperm(len(self.ops), generator=generator).tolist()]
        legal = masks.heads[self.root.name]
        turn = next((i for i, op in enumerate(self._rest) if bool(legal[0, op])), None)
        op = self.root.neutral if turn is None else self._rest.pop(turn)
        alone = torch.zeros_like(legal)
        alone[:, op] = True
        legally = masks._replace(heads={**masks.heads, self.root.name: alone})
        return draw_legal(self.spec, legally, state, generator)


def search_batch(
    environment: Environment,
    masks: MaskProvider,
    batch: int,
    chosen: Sequence[Sequence[Sequence[Any]] | None],
    on_step: Callable[[int], None] | None = None,
    owners: Owners = UNKNOWN,
) -> dict[str, Any]:
    """Play a batch of a search on training instances; return what came of it, JSON-able.

    Args:
        environment: Its reset draws the instances, from a seed of the batch's own.
        masks: What is legal in it.
        batch: Number of the batch.
        chosen: A schedule for each environment; without one a random legal episode makes a new one.
        on_step: Called with the number of steps taken.
        owners: Whose code environment and masks are.

    Raises:
        PluginError: the environment does not say the return of its episodes.
    """
    spec = environment.actions
    rules: list[Rule] = [Wandering(spec) if rows is None else Schedule(spec, rows) for rows in chosen]
    seeds = [derived_seed("search", batch, env) for env in range(len(rules))]
    seed = derived_seed("search", batch)
    played = play(environment, masks, Separately(rules, seeds), seed=seed, on_step=on_step, owners=owners)
    line: dict[str, Any] = {"batch": batch, "returns": played.returns()}
    if chosen[0] is None:
        line["schedules"] = [recorded(spec, played, env) for env in range(len(rules))]
    return line
