"""The reference environment and its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.contracts.spaces import action_space, observation_space
from esper_testing.reference.config import LampsConfig
from esper_testing.reference.describe import COLOURS, DOUSE, LIGHT, OPS, PICTURE, ROOTLESS, describe

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

PRICE = 0.01
"""What every operation but WAIT costs."""

HELD_OUT = 2**31
"""Training draws instances below this number."""


class Lamps(VectorEnv[Any, Any, Any]):
    """Kind `environment`: pays the share of lamps that are lit in the target colour, which its instance says."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: LampsConfig, context: BuildContext) -> None:
        known = describe(config, context.slots)
        self.actions, self.state_spec, self.horizon = known.actions, known.state, known.horizon
        self.num_envs, self.layout, self.device = context.num_envs, config.layout, context.device
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.single_observation_space = observation_space(self.state_spec, context.slots.num_slots, len(OPS))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._rows, self._shape = context.rows, (context.num_envs, context.slots.num_slots)
        self._generator = torch.Generator().manual_seed(context.seed)
        self._begin()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Put all lamps out and draw instances, or take those in the options; a seed restarts the randomness.

        The colours in `options["topologies"]` are lit from the start.
        """
        if seed is not None:
            self._generator.manual_seed(seed)
        self._begin(**(options or {}))
        return self._observe(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Carry out what is done; after the end of the episode nothing changes."""
        never = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        if self._t >= self.horizon:
            return self._observe(), torch.zeros(self.num_envs, device=self.device), never, never, {"events": []}
        self._t += 1
        price: Tensor | float = 0.0
        if self.layout in ROOTLESS:
            # Of numbers, the largest chooses.
            colour = actions["colour"] if self.layout == "flat" else actions["colour"].argmax(-1)
            self._colour = colour.unsqueeze(1).expand(self._shape).clone()
        else:
            price = PRICE * self._operate(actions)
        reward = (self._colour == self._target.unsqueeze(1)).float().mean(1) - price
        self._returns += reward
        truncated = torch.full_like(never, self._t == self.horizon)
        return self._observe(), reward, never, truncated, {"events": self._episodes()}

    def held_out(self, count: int) -> list[int]:
        """Return instances that no training draws."""
        return list(range(HELD_OUT, HELD_OUT + count))

    def outcomes(self) -> dict[str, Tensor]:
        """Return how many lamps are right in the end, and how many are lit, float64 `[E]`."""
        right = self._colour == self._target.unsqueeze(1)
        return {"right": right.double().mean(1).cpu(), "lit": (self._colour >= 0).double().sum(1).cpu()}

    def topologies(self) -> list[Any]:
        """Return the colours of the lamps of each environment, −1 for dark."""
        return self._colour.tolist()

    def _begin(self, instances: Sequence[int] | None = None, topologies: Sequence[Sequence[int]] | None = None) -> None:
        self._t = 0
        if instances is None:
            drawn = torch.randint(HELD_OUT, (self._rows.total,), generator=self._generator)
            instances = drawn[self._rows.rows].tolist()
        self.instances = list(instances)
        targets = [torch.randint(len(COLOURS), (1,), generator=_generator(number)) for number in self.instances]
        self._target = torch.cat(targets).to(self.device)
        dark = torch.full(self._shape, -1, device=self.device)
        self._colour = dark if topologies is None else torch.tensor(topologies, device=self.device)
        self._bright = (self._colour >= 0).float()
        self._returns = torch.zeros(self.num_envs, device=self.device)
        self._counts = torch.zeros(self.num_envs, len(OPS), device=self.device)

    def _episodes(self) -> list[dict[str, Any]]:
        """Return an event for every environment when the episodes are over."""
        if self._t < self.horizon:
            return []
        return [
            {
                "env": env,
                "step": self._t - 1,
                "type": "episode",
                "instance": self.instances[env],
                "target": COLOURS[int(self._target[env])],
                "return": float(self._returns[env]),
            }
            for env in range(self.num_envs)
        ]

    def _operate(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Light or put out one lamp per environment; return where something was done, `[E]`."""
        op = actions["op"]
        light, douse = op == OPS.index(LIGHT), op == OPS.index(DOUSE)
        lit = self._colour >= 0
        # Without a slot head the first lamp that fits is meant.
        fitting = torch.where(douse[:, None], lit, ~lit)
        slot = actions["slot"] if "slot" in actions else fitting.int().argmax(-1)
        chosen = torch.nn.functional.one_hot(slot, self._shape[1]).bool()
        lighting, dousing = chosen & light[:, None] & ~lit, chosen & douse[:, None] & lit
        self._colour = torch.where(lighting, actions["colour"][:, None], self._colour).masked_fill(dousing, -1)
        self._bright = torch.where(lighting, self._strength(actions["strength"])[:, None], self._bright).masked_fill(
            dousing, 0.0
        )
        self._counts = self._counts + torch.nn.functional.one_hot(op, len(OPS))
        return (op != 0).float()

    def _strength(self, strength: Tensor) -> Tensor:
        """Return how bright a lamp becomes, `[E]`, 0..1: of one of two strengths, or as both numbers say."""
        if self.layout != "mixed":
            return (1 + strength.to(self._bright.dtype)) / 2
        return (strength[:, 0] + (strength[:, 1] + 1) / 4) / 2

    def _observe(self) -> dict[str, Tensor]:
        state = {
            "target": self._target,
            "clock": torch.full((self.num_envs,), self._t / self.horizon, device=self.device),
            "lit": self._colour >= 0,
            "colour": self._colour,
            "brightness": self._bright,
            "counts": self._counts,
        }
        if "picture" in self.state_spec.names:
            picture = torch.zeros(self.num_envs, *PICTURE, dtype=torch.uint8, device=self.device)
            picture[torch.arange(self.num_envs), self._t % PICTURE[0], :, self._target] = 255
            state["picture"] = picture
        return {name: value.clone() for name, value in state.items() if name in self.state_spec.names}


def _generator(instance: int) -> torch.Generator:
    return torch.Generator().manual_seed(instance)


class LampMasks:
    """Kind `masks`: dark lamps can be lit, lit ones put out."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.actions = context.actions

    def __call__(self, state: State) -> Masks:
        """Map a state of `[E, ...]` tensors to Masks of `[E, ...]`."""
        lit = state["lit"]
        envs, device = lit.shape[0], lit.device
        heads = {
            head.name: torch.ones(envs, head.size, dtype=torch.bool, device=device) for head in self.actions.categorical
        }
        if self.actions.root is None:
            return Masks(heads)
        slots = torch.stack([torch.zeros_like(lit), ~lit, lit], dim=1)
        heads["op"] = slots.any(-1)
        heads["op"][:, 0] = True
        # A lamp is lit in a colour; 'none' is what the head says when nothing is lit.
        heads["colour"][:, -1] = False
        if self.actions.slot is None:
            return Masks(heads)
        heads["slot"] = slots.any(1)
        return Masks(heads, slots)
