"""The rollout buffer, allocated once and reused. Every tensor is `[E, T, ...]`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from attrs import evolve, field, frozen
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.protocols import Features, Masks
from esper_core.contracts.tensors import leaves, mapped, taken_apart
from esper_core.learning.config import TrainConfig
from esper_core.learning.gae import gae
from esper_core.learning.leave_one_out import LeaveOneOut
from esper_core.learning.normalise import ROUNDING, ReturnNormaliser
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import ActionOutput, Evaluation, Policy

Flags = NDArray[np.bool_]
Rewards = NDArray[np.floating[Any]]

LEAST_SIGNAL = 1e-3
"""Share of the spread of returns by which advantages are divided at least; what spreads less is the critic's noise."""


@frozen
class Steps:
    """What was seen and done, in sequences; every tensor but the state is `[B, T, ...]`.

    A sequence is a row of the rollout, or a chunk of one.

    Attributes:
        actions: Per head int64, or the numbers drawn.
        valid: False where a step is padding.
        state: Recurrent state before the first steps, `[·, B, …]`; None for the network's initial one.
        padded: Whether a step may be padding; where none is, there is nothing to leave out.
    """

    features: Features
    masks: Masks
    actions: dict[str, Tensor]
    episode_start: Tensor
    valid: Tensor
    state: Any = field(default=None, kw_only=True)
    padded: bool = field(default=True, kw_only=True)


@frozen
class Sequences(Steps):
    """What a loss compares an `Evaluation` with. Losses sum over valid steps and divide by their number.

    Attributes:
        choice: Per head, bool: it mattered to the operation taken, and could have been something else.
        old_log_prob, old_logits: Per head, under the policy before this update; raw logits are as the network gave
            them, `[E, T, K]`, or `[E, T, O, N]` of a slot given each operation.
        advantages: Standardised over the valid steps of the whole rollout; 0 while all returns have been equal.
        op_advantage: Q(s, op) − V(s) of the operation taken, in units of `advantages`; 0 for a critic without
            operations.
        returns: Targets of `Values.q_taken`, in normalised return units.
        advice: Per head, what a teacher would have done, as it is executed; empty where nobody teaches.
    """

    choice: dict[str, Tensor]
    old_log_prob: dict[str, Tensor]
    old_logits: dict[str, Tensor]
    advantages: Tensor
    op_advantage: Tensor
    returns: Tensor
    advice: dict[str, Tensor] = field(factory=dict, kw_only=True)

    @property
    def num_envs(self) -> int:
        """Number of sequences, B."""
        return self.valid.shape[0]

    def rows(self, index: Tensor) -> Sequences:
        """Return the sequences `index`, int64."""
        state = mapped(self.state, lambda value: value[:, index])
        return evolve(mapped(evolve(self, state=None), lambda value: value[index]), state=state)

    def parts(self, sizes: list[int]) -> Iterator[Sequences]:
        """Yield sequences one after another, so many at a time; all but the recurrent state are views."""
        found, put_together = taken_apart(evolve(self, state=None))
        split = [value.split(sizes) for value in found]
        states = [value.split(sizes, dim=1) for value in self.state or ()]
        for pieces, *state in zip(zip(*split, strict=True), *states, strict=True):
            part = put_together(iter(pieces))
            yield evolve(part, state=type(self.state)._make(s.contiguous() for s in state)) if state else part


class Part(NamedTuple):
    """What was played in some rows of a run, each tensor `[E, T, ...]`: enough to learn from it elsewhere.

    Attributes:
        seen: Features, masks, actions, logits and bootstrap values.
        outcomes: Rewards and flags of every step.
        states: Recurrent states where chunks begin.
    """

    seen: tuple[Features, Masks, dict[str, Tensor], dict[str, Tensor], Tensor]
    outcomes: list[NDArray[Any]]
    states: list[Any]


def room_for(
    policy: Policy, schema: FeatureSchema, config: TrainConfig, envs: int, horizon: int, *, advised: bool = False
) -> Rollout:
    """Return room for the rollout that a policy learns from, of E rows and episodes of at most `horizon` steps."""
    parameter, goes_on = next(policy.parameters()), bool(config.rollout_steps)
    chunk = config.bptt_steps
    if not policy.initial_state(1):
        # What remembers nothing learns from steps in any order.
        chunk = 1 if goes_on and config.num_minibatches > 1 else 0
    steps, form = config.rollout_steps or horizon, (parameter.device, parameter.dtype, chunk)
    return Rollout(steps, envs, policy.actions, schema, *form, advised=advised, privileged=policy.privileged)


def _put(stored: Tensor, t: int, value: Tensor) -> None:
    """Copy a value `[E, ...]` into column t of `stored [E, T, ...]`."""
    if stored.is_cpu:
        # A fifth of the time of torch's own copy, which is most of what there is to do.
        stored.numpy()[:, t] = (value.detach() if value.requires_grad else value).numpy()
    else:
        stored[:, t].copy_(value)


S = TypeVar("S", bound=Steps)
T = TypeVar("T")


class Rollout:
    """Storage `[E, T, ...]` of what is seen, done and rewarded, and of what is learned from it.

    Column t holds the observation before step t, its action, and the reward and end flags of executing it. `length` are
    the steps that were played. `value` are values of the states, and `bootstrap` those of the states that truncated
    steps ended in, and the last ones of rows that go on.

    Where a `chunk` is given, rows are learned from in chunks of so many steps, each from the recurrent state recorded
    when acting. What is handed out are views of the buffer wherever the whole horizon was played: they hold until the
    next rollout. `advised` ones have room for what a teacher would do, and there may be `privileged` numbers that
    critics alone are told.
    """

    def __init__(
        self,
        horizon: int,
        num_envs: int,
        actions: ActionSpec,
        schema: FeatureSchema,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        chunk: int = 0,
        advised: bool = False,
        privileged: int = 0,
    ) -> None:
        self.horizon, self.num_envs, self.actions_spec = horizon, num_envs, actions
        self.length, self.chunk = horizon, chunk if chunk < horizon else 0
        columns = -(-horizon // self.chunk) * self.chunk if self.chunk else horizon

        def zeros(*shape: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(num_envs, columns, *shape, dtype=kind, device=device)

        def flags(*shape: int) -> Tensor:
            return zeros(*shape, kind=torch.bool)

        slots = (len(actions.ops), actions.category(actions.slot).size) if actions.slot is not None else None
        self.features = Features(
            zeros(schema.dim),
            {block.name: zeros(block.width, kind=torch.int64) for block in schema.indices},
            {a.name: zeros(*a.shape, kind=torch.uint8 if a.dtype == "uint8" else dtype) for a in schema.arrays},
            zeros(privileged) if privileged else None,
        )
        # Of padding that nobody has written everything is legal.
        masked = {head.name: flags(head.size).fill_(True) for head in actions.categorical}
        self.masks = Masks(masked, flags(*slots).fill_(True) if slots else None)
        indices = {head.name: zeros(kind=torch.int64) for head in actions.categorical}
        numbers = {head.name: zeros(len(head.dims)) for head in actions.continuous}
        self.actions = {name: (indices | numbers)[name] for name in actions.names}
        self.advice = {name: torch.zeros_like(value) for name, value in self.actions.items()} if advised else {}
        self.log_prob = {name: zeros() for name in actions.names}
        self.rewards, self.episode_start = zeros(), flags()
        self.terminated, self.truncated, self.valid = flags(), flags(), flags()
        self.old_log_prob = {name: zeros() for name in actions.names}
        self.old_logits = {head.name: zeros(head.size) for head in actions.heads}
        self.value, self.q_taken, self.bootstrap = zeros(), zeros(), zeros()
        self.advantages, self.returns = zeros(), zeros()
        self._surprise = self.advantages
        self.choice = {name: flags() for name in actions.names}
        self._states: list[Any] = []
        self._outcomes: list[NDArray[Any]] = []
        self._advantages_ready = False
        same = {"actions": actions, "schema": schema, "device": device, "dtype": dtype, "chunk": chunk}
        self._like = partial(Rollout, horizon, privileged=privileged, **same)  # type: ignore[arg-type]

    def like(self, rows: int) -> Rollout:
        """Return room for other rows of the same run."""
        return self._like(num_envs=rows)

    @property
    def num_sequences(self) -> int:
        """Sequences that are learned from when the whole horizon was played."""
        return self.num_envs * (self.valid.shape[1] // self.chunk if self.chunk else 1)

    @property
    def surprise(self) -> Tensor:
        """Advantages `[E, T]` in units of reward, without what the others tell: returns minus values."""
        return self._surprise

    @property
    def nbytes(self) -> int:
        """Bytes that it occupies."""
        known = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return sum(value.nbytes for value in leaves(known).values())

    # Collecting -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make ready for another rollout: every step is padding until it is written."""
        self._advantages_ready, self.length, self._states = False, 0, []
        # What came of a step is known on the CPU, since what is next depends on it; there it is the same memory.
        self._outcomes = [value.zero_().cpu().numpy() for value in self._told()]

    def add_obs(self, t: int, features: Features, masks: Masks, state: Any = None) -> None:
        """Copy what is seen before step t, `[E, ...]`; keep the recurrent state before it where a chunk begins."""
        if not (t % self.chunk if self.chunk else t):
            self._states.append(mapped(state, lambda value: value.detach()))
        # Written out, because this is done at every step: looking for the tensors costs as much as copying them.
        _put(self.features.obs, t, features.obs)
        pairs = (
            (self.features.indices, features.indices),
            (self.features.arrays, features.arrays),
            (self.masks.heads, masks.heads),
        )
        for kept, seen in pairs:
            for name, column in kept.items():
                _put(column, t, seen[name])
        for stored, value in (
            (self.masks.slot_given_op, masks.slot_given_op),
            (self.features.privileged, features.privileged),
        ):
            if stored is not None:
                assert value is not None
                _put(stored, t, value)

    def add_advice(self, t: int, actions: Mapping[str, Tensor]) -> None:
        """Copy what a teacher would do in step t."""
        for name, kept in self.advice.items():
            _put(kept, t, actions[name])

    def add_action(self, t: int, acted: ActionOutput) -> None:
        """Copy what was done in step t, and what it was drawn from."""
        self.length = t + 1
        for name, action in acted.actions.items():
            _put(self.actions[name], t, action)
            # Until the policy of learning is known, that of acting.
            logits = acted.distribution.logits[name]
            self._fit(name, logits[:, None])
            _put(self.old_logits[name], t, logits)

    def _fit(self, name: str, logits: Tensor) -> None:
        """Make room for logits `[·, ·, ...]` of a head: only the network knows that those of the slot are `[O, N]`."""
        if self.old_logits[name].shape[2:] != logits.shape[2:]:
            self.old_logits[name] = logits.new_zeros(*self.valid.shape, *logits.shape[2:])

    def add_outcome(
        self, t: int, start: Flags, valid: Flags, reward: Rewards, terminated: Flags, truncated: Flags
    ) -> None:
        """Copy where step t began an episode, and what it led to, `[E]`; where it is not valid that is nothing."""
        for known, value in zip(self._outcomes, (reward, start, terminated, truncated, valid), strict=True):
            known[:, t] = value

    def add_value(self, t: int, where: Tensor, value: Tensor) -> None:
        """Copy the values of the states that step t led to, `[E]`, for the rows in which nothing follows it here."""
        self.bootstrap[:, t].copy_(torch.where(where, value, torch.zeros_like(value)))

    def finish(self) -> None:
        """Note what came of the steps that were played, and how probable what was done in them was."""
        for value, known in zip(self._told(), self._outcomes, strict=True):
            if not value.is_cpu:
                value.copy_(torch.from_numpy(known))
        logits, actions, masks = mapped((self.old_logits, self.actions, self.masks), lambda v: v[:, : self.length])
        for name, log_prob in FactoredDistribution(self.actions_spec, logits, masks).log_prob(actions).items():
            self.log_prob[name][:, : self.length] = log_prob

    def part(self) -> Part:
        """Return what was played, as far as it was; where these rows are a share of a run, `join` puts it together."""
        seen = (self.features, self.masks, self.actions, self.old_logits, self.bootstrap)
        done = slice(0, self.length)
        return Part(mapped(seen, lambda value: value[:, done]), [v[:, done] for v in self._outcomes], self._states)

    def join(self, parts: Sequence[Part]) -> None:
        """Take over what was played in shares of these rows, in order; `begin` comes before it and `finish` after."""
        lengths, first = [part.outcomes[0].shape[1] for part in parts], 0
        self.length = max(lengths)
        for name, logits in parts[0].seen[3].items():
            self._fit(name, logits)
        stored = taken_apart((self.features, self.masks, self.actions, self.old_logits, self.bootstrap))[0]
        for part, length in zip(parts, lengths, strict=True):
            rows = slice(first, first + len(part.outcomes[0]))
            for into, value in zip(stored, taken_apart(part.seen)[0], strict=True):
                into[rows, :length].copy_(value)
                # After its last step there is nothing to see, and of what nobody plays everything is legal.
                into[rows, length : self.length] = into.dtype == torch.bool
            for known, told in zip(self._outcomes, part.outcomes, strict=True):
                known[rows, :length] = told
            first = rows.stop
        longest = parts[lengths.index(self.length)].states
        for begun, like in enumerate(longest):
            shares = [part.states[begun] if begun < len(part.states) else None for part in parts]
            rows_of = [len(part.outcomes[0]) for part in parts]
            self._states.append(like and type(like)._make(_beside(shares, rows_of, n) for n in range(len(like))))

    def _told(self) -> tuple[Tensor, ...]:
        return self.rewards, self.episode_start, self.terminated, self.truncated, self.valid

    # Learning -------------------------------------------------------------------------------------------------------

    def steps(self) -> Steps:
        """Return what was seen and done."""
        return self._played(Steps(*self._stored()))

    def store_old_policy(self, old: Evaluation) -> None:
        """Store the policy before the update: log-probabilities, logits and values of `steps()`."""

        def store(into: Tensor, found: Tensor) -> None:
            rows = found.reshape(self.num_envs, -1, *found.shape[2:])
            into[:, : rows.shape[1]].copy_(rows)

        for name in self.actions:
            store(self.choice[name], old.choice[name])
            store(self.old_log_prob[name], old.log_prob[name])
            store(self.old_logits[name], old.logits[name])
        store(self.value, old.values.value)
        store(self.q_taken, old.values.q_taken)

    def compute_advantages(
        self, gamma: float, gae_lambda: float, offset: float, unit: float, others: LeaveOneOut | None = None
    ) -> None:
        """Write advantages and returns, both in units of reward, in place.

        `offset` and `unit` are the `ReturnNormaliser`'s under which the stored values were predicted. What the `others`
        tell who played the same instance is part of the baseline of advantages, and of no return.
        """
        done = slice(0, self.length)
        values, bootstrap = (value[:, done] * unit + offset for value in (self.value, self.bootstrap))
        terminated, truncated, valid = (flag[:, done] for flag in (self.terminated, self.truncated, self.valid))
        following = torch.cat([torch.where(truncated[:, :-1], bootstrap[:, :-1], values[:, 1:]), bootstrap[:, -1:]], 1)
        rewards, flags = self.rewards[:, done], (terminated, truncated, valid)
        self.advantages[:, done], self.returns[:, done] = gae(rewards, values, following, *flags, gamma, gae_lambda)
        self._surprise = self.advantages
        if others is not None:
            self._surprise = self.advantages.clone()
            shift = others.shift(gae(rewards, values, following, *flags, gamma, 1.0)[0][:, 0]).unsqueeze(1)
            shifted = gae(rewards, values + shift, following + shift, *flags, gamma, gae_lambda)
            self.advantages[:, done] = shifted[0]
        self._advantages_ready = True

    def sequences(self, value_unit: float, normaliser: ReturnNormaliser) -> Sequences:
        """Return everything a loss needs; RuntimeError where advantages were not computed for these episodes.

        `value_unit` is the normaliser's unit under which the stored values were predicted.
        """
        if not self._advantages_ready:
            raise RuntimeError("compute_advantages must be called before a rollout is learned from")
        advantages, scale = standardise(self.advantages, self.valid, normaliser.spread)
        worth = (self.q_taken - self.value) * (value_unit / scale)
        old, returns = (self.choice, self.old_log_prob, self.old_logits), normaliser.normalise(self.returns)
        learned = (*self._stored(), *old, advantages)
        return self._played(Sequences(*learned, op_advantage=worth, returns=returns, advice=self.advice))

    def _stored(self) -> tuple[Features, Masks, dict[str, Tensor], Tensor, Tensor]:
        return self.features, self.masks, self.actions, self.episode_start, self.valid

    def cut(self, values: T) -> T:
        """Return tensors `[E, T, ...]` of what was played as the sequences that are learned from, `[B, T, ...]`.

        The last chunk of a row is filled up with padding.
        """
        chunk = self.chunk or self.length
        count = -(-self.length // chunk)
        lead, columns = (self.num_envs * count, chunk), slice(0, count * chunk)
        # Networks would copy what is not contiguous at every evaluation; here that is once, and never for all of it.
        return mapped(values, lambda value: value[:, columns].contiguous().view(*lead, *value.shape[2:]))

    def _played(self, steps: S) -> S:
        # One state per chunk and row becomes one per sequence: rows one after another, their chunks in order.
        states = zip(*self._states, strict=True) if self._states and self._states[0] is not None else ()
        parts = [torch.stack(part, dim=2).flatten(1, 2) for part in states]
        steps = self.cut(steps)
        padded = not bool(steps.valid.all())
        return evolve(steps, state=type(self._states[0])._make(parts) if parts else None, padded=padded)


def _beside(shares: Sequence[Any], rows: Sequence[int], entry: int) -> Tensor:
    """Return one tensor of recurrent states, `[·, E, …]`, of those of shares; zeros where a share has ended before."""
    known = next(share[entry] for share in shares if share is not None)
    blank = [known.new_zeros(known.shape[0], count, *known.shape[2:]) for count in rows]
    return torch.cat([z if share is None else share[entry] for z, share in zip(blank, shares, strict=True)], dim=1)


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
