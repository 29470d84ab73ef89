"""A rule that says, in every state that the policy comes to, what it would do there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import define, field
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, ContinuousHead
from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import Masks, Rule, State
from esper_core.learning.rollout import Rollout, Sequences
from esper_core.policy.boundary import check_names, check_tensor
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.executed import intended
from esper_core.policy.gaussian import Gaussian
from esper_core.policy.legality import find_illegal
from esper_core.policy.policy import Evaluation


@define
class Teacher:
    """Kickstarting (Schmitt et al., 2018, arXiv:1803.03835) from a rule: beside the loss, −ln π(what it would do).

    The states are those that the policy itself comes to. In the first `alone` updates the weight is whole; in the
    `pause` after these the rule is not asked; then the weight falls linearly and is 0 after `updates`, and from then on
    the rule is not asked. It is told of no episode but the first: a rule that remembers teaches whole episodes only.

    A rule mostly does one thing in a state, and a policy that only copied it would have nothing left to explore: with
    `softness` ε the label of a category is 1 − ε for the advice and ε over all that is legal, given the operation
    advised; `entropy` is a floor of each head's, below which the shortfall joins the loss.

    Of numbers each −ln π is weighted by its own variance, detached (β = 1 of Seitzer et al., 2022, arXiv:2203.09168): a
    mean then moves by its error alone. Otherwise numbers that are easily foreseen, whose deviations soon are small,
    would leave the others no part of the gradient, and a mech would learn to vent and never to aim.

    Attributes:
        rule: Who teaches.
        owner: Whose code it is.
        actions: Action table.
        weight: That of the first update.
        updates: Updates in which it is asked.
        seed: What the rule draws comes from this and the number of the update.
        alone, pause: Updates before the weight begins to fall.
        softness: Share of a label that is spread over what is legal.
        entropy: Floor of the entropy of each categorical head, as a fraction of that of its legal entries.
    """

    rule: Rule
    owner: Owner
    actions: ActionSpec
    weight: float
    updates: int
    seed: int
    alone: int = 0
    pause: int = 0
    softness: float = 0.0
    entropy: float = 0.0
    _now: float = field(default=0.0, init=False)
    _generator: torch.Generator = field(factory=torch.Generator, init=False)

    def begin(self, update: int, num_envs: int) -> None:
        """Prepare for an update, counted from 1, with E rows."""
        before = self.alone + self.pause
        self._now = self.weight * max(0.0, 1.0 - max(0, update - 1 - before) / self.updates)
        if self.alone < update <= before:
            self._now = 0.0
        self._generator.manual_seed((self.seed + 1) * 1_000_003 + update)
        if self.teaches:
            with self.owner.doing("forgetting earlier episodes"):
                self.rule.reset(num_envs)

    @property
    def teaches(self) -> bool:
        """Whether it is asked in this update."""
        return self._now > 0

    @property
    def now(self) -> float:
        """Its weight in this update."""
        return self._now

    def advise(self, state: State, masks: Masks, num_envs: int) -> dict[str, Tensor]:
        """Return what the rule would do in E rows, as environments take it; raises PluginError."""
        with self.owner.doing("saying what it would do"):
            found = self.rule(state, masks, self._generator)
        check_names(self.owner, "its table of actions", found, self.actions.names)
        for head in self.actions.categorical:
            check_tensor(self.owner, f"its action of head '{head.name}'", found[head.name], "int", (num_envs,))
        for numbers in self.actions.continuous:
            shape = (num_envs, len(numbers.dims))
            check_tensor(self.owner, f"its numbers of head '{numbers.name}'", found[numbers.name], "float32", shape)
        return found

    def check(self, rollout: Rollout) -> None:
        """Raise PluginError where it said, in a step that counts, what is not legal or beyond the bounds."""
        for name, wrong in find_illegal(self.actions, rollout.masks, rollout.advice).items():
            if bool((wrong := wrong & rollout.valid).any()):
                env, step = wrong.nonzero()[0].tolist()
                said = rollout.advice[name][env, step].tolist()
                raise PluginError(
                    f"{self.owner}: what it would do in environment {env} at step {step}, {said} of head '{name}', is "
                    "illegal or beyond the bounds.",
                    hint="Choose another teacher with --use rule=NAME, or mend this one.",
                )

    def loss(self, batch: Sequences, evaluation: Evaluation) -> Tensor:
        """Return the weighted mean over the valid steps of what the policy is from the advice, a scalar."""
        advice: Mapping[str, Tensor] = intended(self.actions, batch.advice)
        distribution = evaluation.distribution
        op, far = distribution.op(advice), []
        known = distribution.log_prob(advice) if self.actions.categorical else {}
        for head in self.actions.heads:
            if isinstance(head, ContinuousHead):
                own = _distance(distribution.gaussian(head.name), advice[head.name])
                far.append(torch.where(distribution.relevant(head.name, op), own, 0.0))
            else:
                own = -known[head.name]
                if self.softness:
                    own = (1 - self.softness) * own + self.softness * _spread(distribution, head.name, op)
                far.append(own)
        if self.entropy:
            far += self._shortfalls(distribution)
        total = torch.stack(far).sum(0)
        if batch.padded:
            total = torch.where(batch.valid, total, 0.0)
            return total.sum() * (self._now / batch.valid.sum().clamp_min(1))
        return total.mean() * self._now

    @torch.no_grad()
    def probability(self, batch: Sequences, evaluation: Evaluation) -> Tensor:
        """Return how probable its advice is to the policy, categories alone, mean over the valid steps: a scalar."""
        known = evaluation.distribution.log_prob(intended(self.actions, batch.advice))
        total = torch.stack([known[head.name] for head in self.actions.categorical]).sum(0)
        return total[batch.valid].exp().mean()

    def _shortfalls(self, distribution: FactoredDistribution) -> list[Tensor]:
        """Return by how much the entropy of each head of categories is below the floor, given a choice, `[E, T]`."""
        entropy, choice = distribution.entropy(), distribution.choice_probability()
        return [
            (self.entropy * choice[head.name] - entropy[head.name]).clamp_min(0) for head in self.actions.categorical
        ]


def _spread(distribution: FactoredDistribution, name: str, op: Tensor | None) -> Tensor:
    """Return the mean of −ln π over what is legal of a categorical head given `op`, where it matters: `[...]`."""
    log_probs, legal, relevant = distribution.given(op)[name]
    mean = torch.where(legal, log_probs, 0.0).sum(-1) / legal.sum(-1).clamp_min(1)
    return torch.where(relevant, -mean, 0.0)


def _distance(gaussian: Gaussian, u: Tensor) -> Tensor:
    """Return −ln of the densities at `u [..., n]`, less constants, each by its detached variance, summed: `[...]`."""
    error = 0.5 * (u - gaussian.mean).square() * torch.exp(-2 * gaussian.log_std) + gaussian.log_std
    return (error * torch.exp(2 * gaussian.log_std.detach())).sum(-1)
