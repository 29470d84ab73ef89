"""The rollout buffer: one episode per environment, allocated once and reused. Every tensor is `[E, T, ...]`."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from attrs import frozen
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.protocols import Features, Masks
from esper_core.contracts.tensors import leaves, mapped
from esper_core.learning.gae import gae
from esper_core.learning.normalise import ROUNDING, ReturnNormaliser
from esper_core.policy.policy import Evaluation

LEAST_SIGNAL = 1e-3
"""Share of the spread of returns by which advantages are divided at least; what spreads less is the critic's noise."""


@frozen
class Steps:
    """What was seen and done: `actions` are int64 per head, or the numbers drawn; a step not `valid` is padding."""

    features: Features
    masks: Masks
    actions: dict[str, Tensor]
    episode_start: Tensor
    valid: Tensor


@frozen
class Sequences(Steps):
    """What a loss compares an `Evaluation` with. Losses sum over valid steps and divide by their number.

    Attributes:
        old_log_prob, old_logits: Per head, under the policy before this update; raw logits are `[E, T, K]`.
        advantages: Standardised over the valid steps of the whole rollout; 0 while all returns have been equal.
        op_advantage: Q(s, op) − V(s) of the operation taken, in units of `advantages`; 0 for a critic without
            operations.
        returns: Targets of `Values.q_taken`, in normalised return units.
    """

    old_log_prob: dict[str, Tensor]
    old_logits: dict[str, Tensor]
    advantages: Tensor
    op_advantage: Tensor
    returns: Tensor

    @property
    def num_envs(self) -> int:
        """Number of sequences, E."""
        return self.valid.shape[0]

    def rows(self, index: Tensor) -> Sequences:
        """Return the sequences of the environments `index`, int64 `[B]`."""
        return mapped(self, lambda value: value[index])


S = TypeVar("S", bound=Steps)


class Rollout:
    """Storage `[E, T, ...]` of what is seen, done and rewarded, and of what is learned from it.

    Column t holds the observation before step t, its action, and the reward and end flags of executing it. An
    environment that ended stays in its final state, so column t+1 is the final observation of an episode whose last
    step is t; `final` is what is seen after the last step of all. `length` are the steps of the longest episode, and
    `value` are values of states, `[E, T+1]`. What is handed out are views of the buffer wherever the whole horizon was
    played: they hold until the next episodes.
    """

    def __init__(
        self,
        horizon: int,
        num_envs: int,
        actions: ActionSpec,
        schema: FeatureSchema,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.horizon, self.num_envs, self.actions_spec = horizon, num_envs, actions
        self.length = horizon

        def zeros(*shape: int, steps: int = horizon, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(num_envs, steps, *shape, dtype=kind, device=device)

        def flags(*shape: int) -> Tensor:
            return zeros(*shape, kind=torch.bool)

        slots = (len(actions.ops), actions.category(actions.slot).size) if actions.slot is not None else None
        self.features = Features(
            zeros(schema.dim),
            {block.name: zeros(block.width, kind=torch.int64) for block in schema.indices},
            {a.name: zeros(*a.shape, kind=torch.uint8 if a.dtype == "uint8" else dtype) for a in schema.arrays},
        )
        masked = {head.name: flags(head.size) for head in actions.categorical}
        self.masks = Masks(masked, flags(*slots) if slots else None)
        self.final: tuple[Features, Masks] | None = None
        indices = {head.name: zeros(kind=torch.int64) for head in actions.categorical}
        numbers = {head.name: zeros(len(head.dims)) for head in actions.continuous}
        self.actions = {name: (indices | numbers)[name] for name in actions.names}
        self.log_prob = {name: zeros() for name in actions.names}
        self.episode_start = flags()
        self.rewards = zeros()
        self.terminated, self.truncated, self.valid = flags(), flags(), flags()

        self.old_log_prob = {name: zeros() for name in actions.names}
        self.old_logits = {head.name: zeros(head.size) for head in actions.heads}
        self.value, self.q_taken = zeros(steps=horizon + 1), zeros()
        self.advantages, self.returns = zeros(), zeros()
        self._advantages_ready = False

    @property
    def nbytes(self) -> int:
        """Bytes that it occupies."""
        return sum(value.nbytes for value in leaves(vars(self)).values())

    # Collecting -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make ready for new episodes: every step is padding until it is written."""
        self._advantages_ready, self.length = False, self.horizon
        for flag in (self.episode_start, self.terminated, self.truncated, self.valid):
            flag.zero_()
        self.rewards.zero_()
        self.episode_start[:, 0] = True

    def add_obs(self, t: int, features: Features, masks: Masks) -> None:
        """Copy what is seen before step t, `[E, ...]`."""
        found = leaves((features, masks))
        for name, column in leaves((self.features, self.masks)).items():
            column[:, t].copy_(found[name])

    def add_action(self, t: int, actions: dict[str, Tensor], log_prob: dict[str, Tensor]) -> None:
        """Copy actions `[E, ...]` and log-probabilities `[E]` of step t per head."""
        for name in self.actions:
            self.actions[name][:, t].copy_(actions[name])
            self.log_prob[name][:, t].copy_(log_prob[name])

    def add_reward(self, t: int, reward: Tensor, terminated: Tensor, truncated: Tensor, valid: Tensor) -> None:
        """Copy what step t led to, each `[E]`; where it is not valid the rest is dropped."""
        self.valid[:, t].copy_(valid)
        self.rewards[:, t].copy_(torch.where(valid, reward, torch.zeros_like(reward)))
        self.terminated[:, t].copy_(terminated & valid)
        self.truncated[:, t].copy_(truncated & valid)

    def finish(self, length: int, features: Features, masks: Masks) -> None:
        """Note that all episodes have ended within `length` steps, and what is seen after them, `[E, ...]`."""
        self.length, self.final = length, (features, masks)

    # Learning -------------------------------------------------------------------------------------------------------

    def steps(self) -> Steps:
        """Return what was seen and done."""
        return self._played(Steps(*self._stored()))

    def store_old_policy(self, old: Evaluation, final_value: Tensor) -> None:
        """Store the policy before the update: log-probabilities, logits and values.

        The state that an episode ended in has no action, only what was drawn for padding, so its value is
        `Evaluation.state_value`, wherever the episode ended; after the last step it is `final_value [E]`.
        """
        done = slice(0, self.length)
        for name in self.actions:
            self.old_log_prob[name][:, done].copy_(old.log_prob[name])
            self.old_logits[name][:, done].copy_(old.logits[name])
        self.value[:, done].copy_(torch.where(self.valid[:, done], old.values.value, old.state_value))
        self.value[:, self.length].copy_(final_value)
        self.q_taken[:, done].copy_(old.values.q_taken)

    def compute_advantages(self, gamma: float, gae_lambda: float, offset: float, unit: float) -> None:
        """Write advantages and returns, both in units of reward, in place.

        `offset` and `unit` are the `ReturnNormaliser`'s under which the stored values were predicted.
        """
        done = slice(0, self.length)
        values = self.value[:, : self.length + 1] * unit + offset
        terminated, truncated, valid = (flag[:, done] for flag in (self.terminated, self.truncated, self.valid))
        self.advantages[:, done], self.returns[:, done] = gae(
            self.rewards[:, done], values, terminated, truncated, valid, gamma, gae_lambda
        )
        self._advantages_ready = True

    def sequences(self, value_unit: float, normaliser: ReturnNormaliser) -> Sequences:
        """Return everything a loss needs; RuntimeError where advantages were not computed for these episodes.

        `value_unit` is the normaliser's unit under which the stored values were predicted.
        """
        if not self._advantages_ready:
            raise RuntimeError("compute_advantages must be called before a rollout is learned from")
        advantages, scale = standardise(self.advantages, self.valid, normaliser.spread)
        worth = (self.q_taken - self.value[:, :-1]) * (value_unit / scale)
        old, returns = (self.old_log_prob, self.old_logits), normaliser.normalise(self.returns)
        return self._played(Sequences(*self._stored(), *old, advantages, op_advantage=worth, returns=returns))

    def _stored(self) -> tuple[Features, Masks, dict[str, Tensor], Tensor, Tensor]:
        return self.features, self.masks, self.actions, self.episode_start, self.valid

    def _played(self, steps: S) -> S:
        # Networks would copy what is not contiguous at every evaluation; here that is once, and never for all of it.
        return mapped(steps, lambda value: value[:, : self.length].contiguous())


def in_order(values: Tensor, valid: Tensor) -> Tensor:
    """Return `values [E, T]` of the valid steps, `[M]`, as they were played: step by step."""
    return values.T[valid.T]


def standardise(advantages: Tensor, valid: Tensor, spread: float) -> tuple[Tensor, float]:
    """Return advantages `[E, T]` of mean 0 and standard deviation 1 over the valid steps, and the divisor used.

    Statistics come before any head's mask, so that steps on which a head does not matter cannot shift them. With fewer
    than two valid steps nothing changes. Where all advantages or all returns are equal there is no signal, only errors
    of the critic: advantages become 0 and the divisor infinite. It is at least `LEAST_SIGNAL` of `spread`, so that such
    errors are not magnified either once the critic predicts all there is to predict.

    `spread` is the standard deviation of the returns seen so far, in the advantages' unit; 0 where all were equal.
    """
    chosen = in_order(advantages, valid).double()
    if spread == 0.0:
        return torch.zeros_like(advantages), math.inf
    if chosen.numel() < 2:
        return advantages.clone(), 1.0
    mean, scale = float(chosen.mean()), float(chosen.std())
    if scale <= ROUNDING * float(chosen.abs().max()):
        return torch.zeros_like(advantages), math.inf
    scale = max(scale, LEAST_SIGNAL * spread)
    return torch.where(valid, (advantages - mean) / scale, torch.zeros_like(advantages)), scale
