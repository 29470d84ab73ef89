"""The policy: a network, a critic and an action table, composed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from attrs import frozen
from torch import Tensor, nn

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.foreign import UNKNOWN, Owners
from esper_core.contracts.precision import autocast, widened
from esper_core.contracts.protocols import Critic, Features, Masks, NetworkOutput, PolicyNetwork, Values
from esper_core.contracts.tensors import mapped
from esper_core.policy.boundary import check_mask_form, check_output, check_recurrent, check_values
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.masking import check_masks

ACT_ROWS = 128
"""Rows that a network computes at a time when acting on a CPU, so that shares of many rows can be played apart.

A matrix product of another size rounds otherwise. Up to so many rows nothing is divided; 256 rows of a small network
take 0.2 ms longer in two chunks, where a step of CartPole takes 1.6 ms. It is a multiple of what processors compute at
once.
"""


class PolicyOutput(NamedTuple):
    """What `Policy.forward` returns: logits per head `[E, T, K]`, and values of the most probable operation `[E, T]`.

    The slot's `logits` are masked by the union over legal operations; `raw_logits` are not masked at all.
    """

    logits: dict[str, Tensor]
    raw_logits: dict[str, Tensor]
    values: Values
    state: Any


class ActionOutput(NamedTuple):
    """What `Policy.get_action` returns.

    Attributes:
        actions: By head. Categories are int64 `[E]`; numbers are what was drawn, u `[E, n]`, of which
            `esper_core.policy.executed` makes what an environment gets.
        state: Recurrent state after the step.
        distribution: What the actions were drawn from.
        evaluate: Computes `values`.
    """

    actions: dict[str, Tensor]
    state: Any
    distribution: FactoredDistribution
    evaluate: Callable[[], Values]

    @property
    def log_prob(self) -> dict[str, Tensor]:
        """By head, `[E]`; 0 for heads irrelevant to the operation. Computed whenever this is read."""
        with torch.no_grad():
            return self.distribution.log_prob(self.actions)

    @property
    def values(self) -> Values:
        """Values of the operation drawn, `[E]`. The critic computes them whenever this is read, and not before."""
        return self.evaluate()


@frozen
class Evaluation:
    """Stored actions under the current policy; everything a loss needs.

    Attributes:
        values: In normalised return units, each `[E, T]`.
        log_prob: Per head `[E, T]`; 0 where the head is irrelevant to the operation taken.
        op: The operations taken, int64 `[E, T]`; None without a root head.
        state: Recurrent state after the last step.
    """

    distribution: FactoredDistribution
    values: Values
    log_prob: dict[str, Tensor]
    op: Tensor | None
    state: Any

    @cached_property
    def entropy(self) -> dict[str, Tensor]:
        """Per head `[E, T]`, weighted by the detached probability that it matters.

        Categories: normalised to 0..1; numbers: nats per number. Gradients flow where it was first read with them.
        """
        return self.distribution.entropy()

    @cached_property
    def relevance(self) -> dict[str, Tensor]:
        """Per head, bool `[E, T]`: the head matters to the operation taken."""
        return {name: self.distribution.relevant(name, self.op) for name in self.distribution.actions.names}

    @cached_property
    def n_legal(self) -> dict[str, Tensor]:
        """Per categorical head, int64 `[E, T]`: legal entries given the operation taken."""
        return self.distribution.legal_given(self.op)

    @cached_property
    def choice(self) -> dict[str, Tensor]:
        """Per head, bool `[E, T]`: it mattered and could have been something else."""
        return {n: known & (self.n_legal[n] > 1) if n in self.n_legal else known for n, known in self.relevance.items()}

    @property
    def state_value(self) -> Tensor:
        """The critic's values of the states, whatever was done there, `[E, T]`."""
        return _of_states(self.values, self.distribution.op_probs())

    @property
    def logits(self) -> dict[str, Tensor]:
        """What the network gave per head, `[E, T, head.size]`."""
        return self.distribution.logits

    @property
    def forced(self) -> Tensor:
        """Where no head had a choice, bool `[E, T]`. The operation counts: with two legal ones nothing is forced."""
        return ~torch.stack(list(self.choice.values())).any(0)


class Policy(nn.Module):
    """Network + critic + action table.

    Network and critic compute in `precision`, one of `esper_core.contracts.precision.PRECISIONS`. Whatever they return,
    recurrent state included, becomes float32 at least, is checked at every call, and whatever they raise is a
    PluginError that names them. Without `episode_start` no step resets the state; without `state` the network's initial
    state is used.
    """

    network: PolicyNetwork
    critic: Critic

    def __init__(
        self,
        network: PolicyNetwork,
        critic: Critic,
        actions: ActionSpec,
        precision: str = "float32",
        owners: Owners = UNKNOWN,
    ) -> None:
        super().__init__()
        self.network, self.critic, self.actions = network, critic, actions
        self.precision, self.owners = precision, owners

    @property
    def privileged(self) -> int:
        """Numbers that its critic is told and nobody else; 0 where it sees what the network does."""
        return getattr(self.critic, "privileged", 0)

    def initial_state(self, num_envs: int) -> Any:
        """Return the recurrent state at an episode start, tensors `[layers, E, H]`."""
        owner = self.owners["network"]
        with owner.doing("giving its initial state"):
            state = self.network.initial_state(num_envs)
        check_recurrent(owner, "its initial state", state, num_envs)
        return state

    def forward(
        self, features: Features, masks: Masks, state: Any = None, episode_start: Tensor | None = None
    ) -> PolicyOutput:
        """Run `[E, T]` steps; arguments are those of `evaluate_actions`."""
        latent, distribution, state = self._run(features, masks, state, episode_start)
        values = self._greedy_values(latent, distribution, features.privileged)
        return PolicyOutput(distribution.masked_logits(), distribution.logits, values, state)

    def value(self, features: Features, masks: Masks, state: Any = None, episode_start: Tensor | None = None) -> Tensor:
        """Return the critic's values of states in which nothing has been done yet, `[E]`.

        That is the expectation over operations. Arguments are those of `get_action`.
        """
        found = []
        for seen, legal, before, start in _in_chunks(_with_time(features), masks, state, episode_start):
            latent, distribution, _ = self._run(seen, mapped(legal, lambda mask: mask.unsqueeze(1)), before, start)
            values = self._greedy_values(latent, distribution, seen.privileged)
            found.append(_of_states(values, distribution.op_probs()).squeeze(1))
        return found[0] if len(found) == 1 else torch.cat(found)

    @torch.no_grad()
    def get_action(
        self,
        features: Features,
        masks: Masks,
        state: Any = None,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
        episode_start: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        drawn: Mapping[str, Tensor] | None = None,
        check: bool = True,
    ) -> ActionOutput:
        """Choose an action in every environment, given `obs [E, D]`, `indices [E, width]` and masks `[E, ...]`.

        `state` is that before the step, zeroed where `episode_start`, bool `[E]`, is true. With `deterministic` the
        most probable entry of every head is taken, and the mean of numbers, instead of what is drawn with `generator`,
        which may be on any device, was `drawn` by `esper_core.policy.distribution.draw`, or follows from `noise`,
        numbers in [0, 1) `[E, actions.width]`. On a CPU the network computes `ACT_ROWS` rows at a time.
        Raises PluginError where masks are of another form, or a head that can matter has no legal entry; without
        `check` that is for the caller to find out, for many steps at once.
        """
        if check:
            check_mask_form(self.owners["masks"], masks, self.actions, len(features.obs), features.obs.device)
            check_masks(self.actions, masks, self.owners["masks"])
        chunks = _in_chunks(_with_time(features), None, state, episode_start)
        latent, logits, state = _joined([self._compute(features, state, start) for features, _, state, start in chunks])
        distribution = FactoredDistribution(
            self.actions, {name: value.squeeze(1) for name, value in logits.items()}, masks
        )
        if noise is None or deterministic:
            actions = distribution.sample(generator, deterministic, drawn)
        else:
            actions = distribution.at(noise)

        def evaluate() -> Values:
            asked = distribution.op_probs(), distribution.op(actions), features.privileged
            with torch.no_grad():
                values = self._values(latent, *(None if value is None else value.unsqueeze(1) for value in asked))
            return mapped(values, lambda tensor: tensor.squeeze(1))

        return ActionOutput(actions, state, distribution, evaluate)

    def evaluate_actions(
        self,
        features: Features,
        masks: Masks,
        state: Any,
        actions: dict[str, Tensor],
        episode_start: Tensor | None = None,
    ) -> Evaluation:
        """Evaluate stored actions, as `get_action` returned them, under the current policy and the masks used then.

        Features are `obs [E, T, D]` and `indices [E, T, width]`, the rest `[E, T, ...]`. `state` is that before
        the first step; it is zeroed before the steps where `episode_start`, bool `[E, T]`, is true.
        """
        latent, distribution, state = self._run(features, masks, state, episode_start)
        op = distribution.op(actions)
        return Evaluation(
            distribution=distribution,
            values=self._values(latent, distribution.op_probs(), op, features.privileged),
            log_prob=distribution.log_prob(actions),
            op=op,
            state=state,
        )

    def _run(
        self, features: Features, masks: Masks, state: Any, episode_start: Tensor | None
    ) -> tuple[Tensor, FactoredDistribution, Any]:
        """Run the network on `[E, T, ...]` and make its distribution."""
        latent, logits, state = self._compute(features, state, episode_start)
        return latent, FactoredDistribution(self.actions, logits, masks), state

    def _compute(self, features: Features, state: Any, episode_start: Tensor | None) -> NetworkOutput:
        """Run the network on `[E, T, ...]`; the latent alone keeps its width."""
        (num_envs, steps), device = features.obs.shape[:2], features.obs.device
        if state is None:
            state = self.initial_state(num_envs)
        if episode_start is None:
            episode_start = torch.zeros(num_envs, steps, dtype=torch.bool, device=device)
        owner, network = self.owners["network"], self.network
        with owner.doing("computing"), autocast(self.precision, device):
            seen = features if features.privileged is None else features._replace(privileged=None)
            output, latent_dim = network(seen, state, episode_start), network.latent_dim
        check_output(owner, output, self.actions, latent_dim, (num_envs, steps), state, device)
        after = output.state if output.state is None else type(output.state)(*map(widened, output.state))
        return NetworkOutput(output.latent, {name: widened(value) for name, value in output.logits.items()}, after)

    def _values(
        self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None, privileged: Tensor | None = None
    ) -> Values:
        owner, told = self.owners["critic"], (privileged,) if self.privileged else ()
        with owner.doing("computing values"), autocast(self.precision, latent.device):
            values = self.critic(latent, op_probs, op, *told)
        check_values(owner, values, self.actions, tuple(latent.shape[:2]), latent.device)
        by_op = None if values.by_op is None else widened(values.by_op)
        return Values(widened(values.value), widened(values.q_taken), by_op)

    def _greedy_values(
        self, latent: Tensor, distribution: FactoredDistribution, privileged: Tensor | None = None
    ) -> Values:
        op_probs = distribution.op_probs()
        return self._values(latent, op_probs, None if op_probs is None else op_probs.argmax(-1), privileged)


def _of_states(values: Values, op_probs: Tensor | None) -> Tensor:
    """Return values of states `[E, T]`: the mean over operations, where the critic tells them apart."""
    if values.by_op is None or op_probs is None:
        return values.value
    return (op_probs * values.by_op).sum(-1)


def _with_time(features: Features) -> Features:
    """Return features `[E, ...]` with a time axis of 1, `[E, 1, ...]`."""
    return mapped(features, lambda value: value.unsqueeze(1))


def _in_chunks(
    features: Features, masks: Masks | None, state: Any, episode_start: Tensor | None
) -> Iterator[tuple[Features, Any, Any, Tensor | None]]:
    """Yield what a network takes in, a fixed number of rows at a time; only the last chunk may have fewer.

    Features are `[E, 1, ...]`; where episodes start becomes `[E, 1]`. On other devices than a CPU it is all at once.
    """
    rows, start = len(features.obs), None if episode_start is None else episode_start.unsqueeze(1)
    if rows <= ACT_ROWS or not features.obs.is_cpu:
        yield features, masks, state, start
        return
    for first in range(0, rows, ACT_ROWS):
        own = slice(first, first + ACT_ROWS)
        here = mapped((features, masks, start), lambda value, own=own: value[own])  # type: ignore[misc]
        yield *here[:2], mapped(state, lambda value, own=own: value[:, own].contiguous()), here[2]  # type: ignore[misc]


def _joined(chunks: Sequence[NetworkOutput]) -> NetworkOutput:
    """Return what a network gave for all rows, of what it gave chunk by chunk."""
    first = chunks[0]
    if len(chunks) == 1:
        return first
    latent = torch.cat([chunk.latent for chunk in chunks])
    logits = {name: torch.cat([chunk.logits[name] for chunk in chunks]) for name in first.logits}
    state = first.state
    if state is not None:
        state = type(state)._make(torch.cat(parts, 1) for parts in zip(*(c.state for c in chunks), strict=True))
    return NetworkOutput(latent, logits, state)
