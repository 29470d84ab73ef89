"""The rollout buffer: one episode per environment, allocated once and reused."""

from __future__ import annotations

import math

import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.protocols import Features, Masks
from esper_core.learning.gae import gae
from esper_core.learning.normalise import ROUNDING, ReturnNormaliser
from esper_core.policy.policy import Evaluation

LEAST_SIGNAL = 1e-3
"""Share of the spread of returns by which advantages are divided at least; what spreads less is the critic's noise."""


@frozen
class Steps:
    """What was seen and done, for networks: every tensor is `[E, T, ...]`.

    Attributes:
        features: What the network saw.
        masks: The masks used when acting.
        actions: int64 per head.
        episode_start: Bool; an episode starts with this step.
        valid: Bool; the step happened, the rest is padding.
        log_prob: Log-probability per head when acting.
    """

    features: Features
    masks: Masks
    actions: dict[str, Tensor]
    episode_start: Tensor
    valid: Tensor
    log_prob: dict[str, Tensor]


@frozen
class Sequences:
    """What a loss compares an `Evaluation` with: every tensor is `[E, T, ...]`.

    Attributes:
        features: What the network saw.
        masks: The masks used when acting.
        actions: int64 per head.
        episode_start: Bool; an episode starts with this step.
        valid: Bool; the step happened. Losses sum over valid steps and divide by their number.
        old_log_prob: Per head, under the policy before this update; 0 where irrelevant.
        old_logits: Raw logits per head `[E, T, K]`, under the policy before this update.
        advantages: Standardised over the valid steps of the whole rollout; 0 while all returns have been equal.
        op_advantage: What the critic says the operation taken was worth above the baseline, Q(s, op) − V(s), in units
            of `advantages`; 0 for a critic that does not look at the operation.
        returns: Targets of `Values.q_taken`, in normalised return units.
    """

    features: Features
    masks: Masks
    actions: dict[str, Tensor]
    episode_start: Tensor
    valid: Tensor
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

        def pick(table: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: value[index] for name, value in table.items()}

        masks = self.masks
        return evolve(
            self,
            features=Features(self.features.obs[index], pick(self.features.indices)),
            masks=Masks(pick(masks.heads), None if masks.slot_given_op is None else masks.slot_given_op[index]),
            actions=pick(self.actions),
            episode_start=self.episode_start[index],
            valid=self.valid[index],
            old_log_prob=pick(self.old_log_prob),
            old_logits=pick(self.old_logits),
            advantages=self.advantages[index],
            op_advantage=self.op_advantage[index],
            returns=self.returns[index],
        )


class Rollout:
    """Storage `[T+1, E, ...]` of what is seen and `[T, E, ...]` of what is done, earned and learned from it.

    Row t holds the observation before step t, its action, and the reward and end flags of executing it. Row T of the
    observations is the state after the last step. An environment that ended stays in its final state, so row t+1 is
    the final observation of an episode whose last step is t.

    Attributes:
        length: Steps of the longest episode; what is learned from ends there.
        advantages_ready: Advantages and returns belong to the rewards in the buffer. New data clears it.
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

        def zeros(*shape: int, rows: int = horizon, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(rows, num_envs, *shape, dtype=kind, device=device)

        def flags(*shape: int, rows: int = horizon) -> Tensor:
            return zeros(*shape, rows=rows, kind=torch.bool)

        seen = horizon + 1
        self.obs = zeros(schema.dim, rows=seen)
        self.indices = {block.name: zeros(block.width, rows=seen, kind=torch.int64) for block in schema.indices}
        self.masks = {head.name: flags(head.size, rows=seen) for head in actions.heads}
        self.slot_given_op = None
        if actions.slot is not None:
            self.slot_given_op = flags(len(actions.ops), actions.head(actions.slot).size, rows=seen)
        self.actions = {name: zeros(kind=torch.int64) for name in actions.names}
        self.log_prob = {name: zeros() for name in actions.names}
        self.episode_start = flags()
        self.rewards = zeros()
        self.terminated, self.truncated, self.valid = flags(), flags(), flags()

        self.old_log_prob = {name: zeros() for name in actions.names}
        self.old_logits = {head.name: zeros(head.size) for head in actions.heads}
        self.value = zeros(rows=seen)
        self.q_taken = zeros()
        self.advantages, self.returns = zeros(), zeros()
        self.advantages_ready = False

    @property
    def nbytes(self) -> int:
        """Bytes that it occupies."""
        tables = [value.values() if isinstance(value, dict) else (value,) for value in vars(self).values()]
        return sum(entry.nbytes for table in tables for entry in table if isinstance(entry, Tensor))

    # Collecting -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make ready for new episodes: every row becomes padding until it is written."""
        self.advantages_ready, self.length = False, self.horizon
        for flag in (self.episode_start, self.terminated, self.truncated, self.valid):
            flag.zero_()
        self.rewards.zero_()
        self.episode_start[0] = True

    def add_obs(self, t: int, features: Features, masks: Masks) -> None:
        """Copy what is seen before step t (t = T: after the last) into row t."""
        self.advantages_ready = False
        self.obs[t].copy_(features.obs)
        for name, block in self.indices.items():
            block[t].copy_(features.indices[name])
        for name, mask in self.masks.items():
            mask[t].copy_(masks.heads[name])
        if self.slot_given_op is not None and masks.slot_given_op is not None:
            self.slot_given_op[t].copy_(masks.slot_given_op)

    def add_action(self, t: int, actions: dict[str, Tensor], log_prob: dict[str, Tensor]) -> None:
        """Copy actions and log-probabilities, `[E]` per head, into row t."""
        self.advantages_ready = False
        for name in self.actions:
            self.actions[name][t].copy_(actions[name])
            self.log_prob[name][t].copy_(log_prob[name])

    def add_reward(self, t: int, reward: Tensor, terminated: Tensor, truncated: Tensor, valid: Tensor) -> None:
        """Copy what step t led to, each `[E]`, into row t; where it is not valid the rest is dropped."""
        self.advantages_ready = False
        self.valid[t].copy_(valid)
        self.rewards[t].copy_(torch.where(valid, reward, torch.zeros_like(reward)))
        self.terminated[t].copy_(terminated & valid)
        self.truncated[t].copy_(truncated & valid)

    def end(self, t: int) -> None:
        """Note that all episodes have ended within t steps: later rows are left as they were, and never read."""
        self.length = t

    # Learning -------------------------------------------------------------------------------------------------------

    def steps(self) -> Steps:
        """Return what was seen and done as sequences `[E, T, ...]`."""
        seen = slice(0, self.length)
        return Steps(
            features=self._features(seen),
            masks=self._masks(seen),
            actions=_swap_all(self.actions, seen),
            episode_start=_swap(self.episode_start[seen]),
            valid=_swap(self.valid[seen]),
            log_prob=_swap_all(self.log_prob, seen),
        )

    def final(self) -> tuple[Features, Masks]:
        """Return what was seen after the last step, `[E, 1, ...]`."""
        last = slice(self.length, self.length + 1)
        return self._features(last), self._masks(last)

    def store_old_policy(self, old: Evaluation, final_value: Tensor) -> None:
        """Store the policy before the update: log-probabilities, logits and values, from an evaluation `[E, T]`.

        The state that an episode ended in has no action, only what was drawn for padding, so its baseline is
        `Evaluation.state_value`, wherever the episode ended.

        Args:
            old: Evaluation of `steps()`; its values are in normalised return units.
            final_value: `Policy.value` of what was seen after the last step, `[E]`.
        """
        self.advantages_ready, done = False, slice(0, self.length)
        for name in self.actions:
            self.old_log_prob[name][done].copy_(old.log_prob[name].transpose(0, 1))
            self.old_logits[name][done].copy_(old.logits[name].transpose(0, 1))
        baseline = torch.where(self.valid[done].transpose(0, 1), old.values.value, old.state_value)
        self.value[done].copy_(baseline.transpose(0, 1))
        self.value[self.length].copy_(final_value)
        self.q_taken[done].copy_(old.values.q_taken.transpose(0, 1))

    def compute_advantages(self, gamma: float, gae_lambda: float, offset: float, unit: float) -> None:
        """Write advantages and returns, both in units of reward, in place.

        Args:
            gamma: Discount.
            gae_lambda: Weight of longer returns.
            offset: The `ReturnNormaliser`'s, under which the stored values were predicted.
            unit: Likewise.
        """
        done = slice(0, self.length)
        gae(
            self.rewards[done],
            self.value[: self.length + 1] * unit + offset,
            self.terminated[done],
            self.truncated[done],
            self.valid[done],
            gamma,
            gae_lambda,
            out=(self.advantages[done], self.returns[done]),
        )
        self.advantages_ready = True

    def sequences(self, value_unit: float, normaliser: ReturnNormaliser) -> Sequences:
        """Return everything a loss needs as sequences `[E, T, ...]`.

        Args:
            value_unit: The normaliser's unit under which the stored values were predicted.
            normaliser: Of the targets, and of what is a signal.

        Raises:
            RuntimeError: advantages were not computed since the data changed.
        """
        if not self.advantages_ready:
            raise RuntimeError("compute_advantages must be called after the data of a rollout has changed")
        steps, done = self.steps(), slice(0, self.length)
        advantages, scale = standardise(self.advantages[done], self.valid[done], normaliser.spread)
        return Sequences(
            features=steps.features,
            masks=steps.masks,
            actions=steps.actions,
            episode_start=steps.episode_start,
            valid=steps.valid,
            old_log_prob=_swap_all(self.old_log_prob, done),
            old_logits=_swap_all(self.old_logits, done),
            advantages=_swap(advantages),
            op_advantage=_swap((self.q_taken[done] - self.value[done]) * (value_unit / scale)),
            returns=_swap(normaliser.normalise(self.returns[done])),
        )

    def _features(self, rows: slice) -> Features:
        return Features(_swap(self.obs[rows]), _swap_all(self.indices, rows))

    def _masks(self, rows: slice) -> Masks:
        given = None if self.slot_given_op is None else _swap(self.slot_given_op[rows])
        return Masks(_swap_all(self.masks, rows), given)


def standardise(advantages: Tensor, valid: Tensor, spread: float) -> tuple[Tensor, float]:
    """Return advantages `[T, E]` of mean 0 and standard deviation 1 over the valid steps, and the divisor used.

    Statistics come before any head's mask, so that steps on which a head does not matter cannot shift them. With
    fewer than two valid steps nothing changes.

    Where there is no signal advantages become 0 and the divisor is infinite: all advantages are equal, or all returns
    are, and then advantages are nothing but the critic's errors. The divisor is at least `LEAST_SIGNAL` of the spread
    of returns, so that such errors are not magnified either once the critic predicts all there is to predict.

    Args:
        advantages: In units of reward.
        valid: The step happened, bool `[T, E]`.
        spread: Standard deviation of the returns seen so far, in units of reward; 0 where all were equal.
    """
    chosen = advantages[valid].double()
    if spread == 0.0:
        return torch.zeros_like(advantages), math.inf
    if chosen.numel() < 2:
        return advantages.clone(), 1.0
    mean, scale = float(chosen.mean()), float(chosen.std())
    if scale <= ROUNDING * float(chosen.abs().max()):
        return torch.zeros_like(advantages), math.inf
    scale = max(scale, LEAST_SIGNAL * spread)
    return torch.where(valid, (advantages - mean) / scale, torch.zeros_like(advantages)), scale


def _swap(value: Tensor) -> Tensor:
    return value.transpose(0, 1).contiguous()


def _swap_all(table: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: _swap(value[rows]) for name, value in table.items()}
