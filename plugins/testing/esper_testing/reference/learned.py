"""The reference features, network, critic and loss."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from attrs import evolve
from torch import Tensor, nn

from esper_core.builtin.config import FlatConfig
from esper_core.builtin.flat import Flat
from esper_core.contracts.actions import Head
from esper_core.contracts.features import PRESENT
from esper_core.contracts.protocols import BuildContext, Features, LossResult, NetworkOutput, Values
from esper_core.policy.distribution import FactoredDistribution
from esper_testing.reference.describe import describe_features, numbers

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

WIDTH = 16


class ReferenceFeatures:
    """Kind `features`: what `flat` gives, categories as indices as well, and pictures as arrays."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.schema = describe_features(config, context.slots, context.actions, context.state_spec)
        self._arrays = tuple(array.name for array in self.schema.arrays)
        self._flat = Flat(FlatConfig(), evolve(context, state_spec=numbers(context.state_spec)))

    def __call__(self, state: State) -> Features:
        """Map a state of `[E, ...]` tensors to Features."""
        obs = self._flat(state).obs
        indices = {b.name: state[b.name].long().reshape(len(obs), b.width) for b in self.schema.indices}
        return Features(obs, indices, {name: state[name] for name in self._arrays})


class ReferenceState(NamedTuple):
    """Recurrent state: `hidden [1, E, H]`."""

    hidden: Tensor


class ReferenceNetwork(nn.Module):
    """Kind `network`: one GRU cell and one linear head per action dimension."""

    def __init__(self, config: None, context: BuildContext) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        self._vocabularies = {block.name: block.vocabulary for block in schema.indices}
        self._arrays = tuple(array.name for array in schema.arrays)
        self.latent_dim = WIDTH
        self.input_dim = schema.dim + sum(block.width * (block.vocabulary + 1) for block in schema.indices)
        self.input_dim += sum(prod(array.shape) for array in schema.arrays)
        self.encoder = nn.Linear(self.input_dim, WIDTH)
        self.cell = nn.GRUCell(WIDTH, WIDTH)
        # A list, not a ModuleDict: that refuses names such as "type", which a head may well have.
        self.heads = nn.ModuleList(nn.Linear(WIDTH, head.size) for head in context.actions.heads)
        self._names = context.actions.names

    def initial_state(self, num_envs: int) -> ReferenceState:
        """Return zeros `[1, E, H]`."""
        return ReferenceState(self.encoder.weight.new_zeros(1, num_envs, WIDTH))

    def forward(self, features: Features, state: ReferenceState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps; the state is zeroed before steps where `episode_start` is true."""
        obs = features.obs
        seen = [
            nn.functional.one_hot(features.indices[name] + 1, size + 1).flatten(-2).to(obs.dtype)
            for name, size in self._vocabularies.items()
        ]
        for array in (features.arrays[name] for name in self._arrays):
            seen.append(array.flatten(2).to(obs.dtype) / (255 if array.dtype == torch.uint8 else 1))
        encoded = torch.tanh(self.encoder(torch.cat([obs, *seen], dim=-1)))
        hidden, steps = state.hidden[0], []
        for t in range(encoded.shape[1]):
            hidden = self.cell(encoded[:, t], torch.where(episode_start[:, t, None], 0.0, hidden))
            steps.append(hidden)
        latent = torch.stack(steps, dim=1)
        logits = {name: head(latent) for name, head in zip(self._names, self.heads, strict=True)}
        return NetworkOutput(latent, logits, ReferenceState(hidden[None]))


class AnySlotsNetwork(ReferenceNetwork):
    """Kind `network`: sees the mean of all slots, and scores them with one scorer, whatever their number.

    Indices and arrays are not read. The scores are the same given each operation.
    """

    def __init__(self, config: None, context: BuildContext) -> None:
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        slot, seen = context.actions.slot, evolve(schema, num_slots=1, indices=(), arrays=())
        # One slot to choose, so that first weights follow from the seed alone.
        heads = [Head(h.name, ("any",), ops=h.ops) if h.name == slot else h for h in context.actions.heads]
        super().__init__(config, evolve(context, feature_schema=seen, actions=evolve(context.actions, heads=heads)))
        self._base, self._width = len(schema.base), len(schema.per_slot)
        names = [feature.name for feature in schema.per_slot]
        self._present = names.index(PRESENT) if PRESENT in names else None
        self._slot, self._ops = slot, len(context.actions.ops)
        if self._slot is not None:
            self.score = nn.Linear(self._width, 1)

    def forward(self, features: Features, state: ReferenceState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps, as the reference network does."""
        slots = features.obs[..., self._base :].unflatten(-1, (-1, self._width))
        obs = torch.cat([features.obs[..., : self._base], self.pooled(slots)], -1)
        output = super().forward(Features(obs, {}), state, episode_start)
        if self._slot is None:
            return output
        scores = output.logits[self._slot] + self.score(slots).squeeze(-1)
        each = scores.unsqueeze(-2).expand(*scores.shape[:-1], self._ops, -1)
        return output._replace(logits={**output.logits, self._slot: each})

    def pooled(self, slots: Tensor) -> Tensor:
        """Return the mean `[E, T, P]` of `slots [E, T, N, P]` but for padding."""
        if self._present is None:
            return slots.mean(-2)
        weights = slots[..., self._present : self._present + 1]
        return (weights * slots).sum(-2) / weights.sum(-2).clamp_min(1)


class ReferenceCritic(nn.Module):
    """Kind `critic`: a linear V(s)."""

    def __init__(self, config: None, context: BuildContext) -> None:
        super().__init__()
        self.value = nn.Linear(context.latent_dim, 1)

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        """Return V(s) `[E, T]` as the value and as what is regressed."""
        value = self.value(latent).squeeze(-1)
        return Values(value=value, q_taken=value, by_op=None)

    @torch.no_grad()
    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units under the new statistics."""
        self.value.weight.mul_(old_std / new_std)
        self.value.bias.mul_(old_std).add_(old_mean - new_mean).div_(new_std)


class ReferenceLoss:
    """Kind `loss`: the policy gradient without any clipping, and the squared error of the critic."""

    target_kl: float | None = None

    def __init__(self, config: None, context: BuildContext) -> None:
        self._actions = context.actions

    def __call__(self, batch: Any, evaluation: Any) -> LossResult:
        """Compare stored `[E, T]` sequences with the policy's fresh evaluation of them."""
        valid, steps = batch.valid, batch.valid.sum().clamp_min(1)
        log_prob = torch.stack(list(evaluation.log_prob.values())).sum(0)
        # Advantages are chosen before they are multiplied: the gradient of a NaN in padding would be one.
        gain = (log_prob * torch.where(valid, batch.advantages, 0.0)).sum() / steps
        error = torch.where(valid, evaluation.values.q_taken - batch.returns, 0.0).square().sum() / steps
        old = FactoredDistribution(self._actions, batch.old_logits, batch.masks)
        kl = torch.where(valid, evaluation.distribution.kl(old).detach(), 0.0).sum() / steps
        return LossResult(error - gain, kl, {"policy_loss": -gain.detach(), "value_loss": error.detach()})
