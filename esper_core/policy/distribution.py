"""The factored, masked distribution over actions.

The root head (the operation) is sampled first. The slot head is legal per operation; every other head is
conditionally independent given the operation. A head that does not matter to the sampled operation takes its neutral
value, numbers 0, and contributes log-probability 0, entropy 0 and ratio 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, ContinuousHead
from esper_core.contracts.protocols import Masks
from esper_core.policy import gaussian
from esper_core.policy.gaussian import Gaussian
from esper_core.policy.masking import apply_mask, masked_kl, masked_log_softmax, normalised_entropy


class Conditional(NamedTuple):
    """A categorical head given the operation: `log_probs` and legal entries `[..., K]`, whether it matters `[...]`."""

    log_probs: Tensor
    legal: Tensor
    relevant: Tensor


@lru_cache(maxsize=64)
def relevance_table(actions: ActionSpec, device: torch.device) -> dict[str, Tensor]:
    """Return for every child head the operations to which it matters, bool `[O]`."""
    # Out of inference mode, because autograd may save this cached tensor for a backward pass.
    with torch.inference_mode(False):
        return {head.name: torch.tensor(actions.relevance(head.name), device=device) for head in actions.children}


def _select(table: Tensor, op: Tensor) -> Tensor:
    """Return row `op [...]` of `table [..., O, K]`: `[..., K]`."""
    index = op[..., None, None].expand(*op.shape, 1, table.shape[-1])
    return table.gather(-2, index).squeeze(-2)


class FactoredDistribution:
    """Distribution over the joint action, of what a network gives per head and masks of the same leading axes.

    A head of K categories has raw logits `[..., K]`; one of n numbers, which no mask concerns, has means and log
    standard deviations `[..., 2n]`. The leading axes are `[E]` when acting and `[E, T]` when learning.
    """

    def __init__(self, actions: ActionSpec, logits: dict[str, Tensor], masks: Masks) -> None:
        self.actions, self.logits, self.masks = actions, logits, masks
        self._log_probs: dict[str, Tensor] = {}
        self._relevance = relevance_table(actions, logits[actions.names[0]].device)

    # The pieces -----------------------------------------------------------------------------------------------------

    def op(self, actions: Mapping[str, Tensor]) -> Tensor | None:
        """Return the operations among actions; None without a root head."""
        return actions[self.actions.root] if self.actions.root is not None else None

    def log_probs(self, name: str) -> Tensor:
        """Return those of a categorical head: `[..., K]`, or `[..., O, N]` given each operation for the slot."""
        if name not in self._log_probs:
            logits, mask = self.logits[name], self._mask(name)
            self._log_probs[name] = masked_log_softmax(
                logits.unsqueeze(-2).expand_as(mask) if name == self.actions.slot else logits, mask
            )
        return self._log_probs[name]

    def op_probs(self) -> Tensor | None:
        """Return detached probabilities of the operations, `[..., O]`, 0 where illegal; None without a root head."""
        root = self.actions.root
        return None if root is None else self.log_probs(root).detach().exp()

    def gaussian(self, name: str) -> Gaussian:
        """Return means and log standard deviations of a continuous head, `[..., n]`."""
        return Gaussian.of(self.logits[name])

    def relevant(self, name: str, op: Tensor | None) -> Tensor:
        """Return whether a head matters to the operations `op [...]`, bool `[...]`."""
        if op is None or name == self.actions.root:
            logits = self.logits[name]
            return torch.ones(logits.shape[:-1], dtype=torch.bool, device=logits.device)
        return self._relevance[name][op]

    def given(self, op: Tensor | None) -> dict[str, Conditional]:
        """Return every categorical head given the operations `op [...]`.

        Masks, the slot's dependence on the operation and relevance are put together here, for acting and learning.
        """
        result: dict[str, Conditional] = {}
        for head in self.actions.categorical:
            log_probs, legal = self.log_probs(head.name), self._mask(head.name)
            if head.name == self.actions.slot:
                assert op is not None
                log_probs, legal = _select(log_probs, op), _select(legal, op)
            result[head.name] = Conditional(log_probs, legal, self.relevant(head.name, op))
        return result

    def masked_logits(self) -> dict[str, Tensor]:
        """Return logits per head `[..., K]` with the fill where illegal; slots by the union over legal operations.

        Continuous heads have their means and log standard deviations, as the network gave them.
        """
        result = dict(self.logits)
        for name in (head.name for head in self.actions.categorical):
            mask = self._mask(name)
            if name == self.actions.slot:
                assert self.actions.root is not None
                asked = self.masks.heads[self.actions.root] & self._relevance[name]
                mask = (mask & asked.unsqueeze(-1)).any(-2)
            result[name] = apply_mask(self.logits[name], mask)
        return result

    # Acting ---------------------------------------------------------------------------------------------------------

    def sample(self, generator: torch.Generator | None = None, deterministic: bool = False) -> dict[str, Tensor]:
        """Return what each head draws: categories int64 `[...]`, numbers u `[..., n]`, before they are squashed.

        The operation is drawn first and exactly once. With `deterministic` the most probable entry of every head is
        taken, and the mean of numbers. The generator may be on any device.
        """
        noise = {} if deterministic else self._noise(generator)
        chosen: dict[str, Tensor] = {}
        if (root := self.actions.root) is not None:
            chosen[root] = _choose(self.log_probs(root), self._mask(root), noise.get(root))
        op = self.op(chosen)
        given = self.given(op)
        for head in self.actions.children:
            if isinstance(head, ContinuousHead):
                mean, log_std = self.gaussian(head.name)
                value = mean if deterministic else mean + log_std.exp() * noise[head.name].to(mean.dtype)
                relevant = self.relevant(head.name, op).unsqueeze(-1)
                chosen[head.name] = torch.where(relevant, value, torch.zeros_like(value))
                continue
            log_probs, legal, relevant = given[head.name]
            value = _choose(log_probs, legal, noise.get(head.name))
            # The neutral value is written past the masks: it stands for "not asked", legal or not.
            chosen[head.name] = torch.where(relevant, value, torch.full_like(value, head.neutral))
        return chosen

    # Learning -------------------------------------------------------------------------------------------------------

    def log_prob(self, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return log-probability or density of each head's action, `[...]`; 0 where the operation taken needs none.

        Actions are as `sample` returns them.
        """
        op = self.op(actions)
        given, result = self.given(op), {}
        for head in self.actions.heads:
            action, relevant = actions[head.name], self.relevant(head.name, op)
            if isinstance(head, ContinuousHead):
                taken = gaussian.log_density(self.gaussian(head.name), action, head.squash)
            else:
                taken = given[head.name].log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
            result[head.name] = torch.where(relevant, taken, torch.zeros_like(taken))
        return result

    def entropy(self) -> dict[str, Tensor]:
        """Return each head's entropy times the detached probability that the head matters, `[...]`.

        That of categories is normalised to 0..1, that of numbers is in nats per number. The slot's is
        Σ_o π(o)·H(slot|o)/ln n_legal(o). Probabilities of operations are detached: otherwise the bonus would pay
        operations that own many heads.
        """
        result = {}
        for head in self.actions.heads:
            if isinstance(head, ContinuousHead):
                value = gaussian.entropy(self.gaussian(head.name), head.squash)
            else:
                value = normalised_entropy(self.log_probs(head.name), self._mask(head.name))
            result[head.name] = self._expect(head.name, value)
        return result

    def choice_probability(self) -> dict[str, Tensor]:
        """Return the detached probability that each head matters and has more than one legal entry, `[...]`.

        `entropy` divided by this is the entropy given that there is a choice. Numbers that matter always have one.
        """
        numbers = {
            h.name: self._expect(h.name, torch.ones_like(self.logits[h.name][..., 0])) for h in self.actions.continuous
        }
        return self._expect_of_legal(lambda count: count > 1) | numbers

    def expected_choices(self) -> dict[str, Tensor]:
        """Return each categorical head's expected number of legal entries, `[...]`, 0 where there is no choice.

        Divided by `choice_probability` it is the number of entries given that there is a choice.
        """
        return self._expect_of_legal(lambda count: torch.where(count > 1, count, 0))

    def kl(self, old: FactoredDistribution) -> Tensor:
        """Return the exact joint KL(old ‖ self) in nats, `[...]`, under the same masks."""
        return torch.stack(list(self.kl_by_head(old).values())).sum(0)

    def kl_by_head(self, old: FactoredDistribution) -> dict[str, Tensor]:
        """Return what each head adds to the joint KL(old ‖ self) in nats, `[...]`.

        Chain rule: KL = KL_op + Σ_o π_old(o)·[KL(slot|o) + Σ_h relevant(o, h)·KL_h].
        """
        result = {}
        for head in self.actions.heads:
            name = head.name
            if isinstance(head, ContinuousHead):
                value = gaussian.kl(old.gaussian(name), self.gaussian(name))
            else:
                value = masked_kl(old.log_probs(name), self.log_probs(name), self._mask(name))
            result[name] = old._expect(name, value)
        return result

    # Inside ---------------------------------------------------------------------------------------------------------

    def _mask(self, name: str) -> Tensor:
        """Return the legal entries of a categorical head: `[..., K]`, or `[..., O, N]` for the slot."""
        if name == self.actions.slot:
            assert self.masks.slot_given_op is not None
            return self.masks.slot_given_op
        return self.masks.heads[name]

    def _expect(self, name: str, value: Tensor) -> Tensor:
        """Return Σ_o π(o)·relevant(o, head)·value with π detached; the slot's value is `[..., O]`, others' `[...]`."""
        probs = self.op_probs()
        if probs is None or name == self.actions.root:
            return value
        weights = probs * self._relevance[name]
        if name == self.actions.slot:
            return (weights * value).sum(-1)
        return weights.sum(-1) * value

    def _expect_of_legal(self, function: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return the expectation of a function of each categorical head's number of legal entries, `[...]`."""
        return {
            head.name: self._expect(head.name, function(self._mask(head.name).sum(-1)).to(self.logits[head.name].dtype))
            for head in self.actions.categorical
        }

    def _noise(self, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Return Gumbel noise for every categorical head, `[..., K]`, and normal noise for every number, `[..., n]`.

        Each sort is one draw.
        """
        first = self.logits[self.actions.names[0]]
        lead, where = first.shape[:-1], first.device if generator is None else generator.device
        noise: dict[str, Tensor] = {}
        if categories := {head.name: head.size for head in self.actions.categorical}:
            draw = torch.empty(*lead, sum(categories.values()), dtype=torch.float32, device=where)
            gumbel = draw.exponential_(generator=generator).log().neg().to(first.device)
            noise |= zip(categories, torch.split(gumbel, list(categories.values()), dim=-1), strict=True)
        if numbers := {head.name: len(head.dims) for head in self.actions.continuous}:
            draw = torch.empty(*lead, sum(numbers.values()), dtype=torch.float32, device=where)
            normal = draw.normal_(generator=generator).to(first.device)
            noise |= zip(numbers, torch.split(normal, list(numbers.values()), dim=-1), strict=True)
        return noise


def _choose(log_probs: Tensor, legal: Tensor, noise: Tensor | None) -> Tensor:
    """Return the best legal entry `[...]` of `log_probs [..., K]`; with Gumbel noise this is a sample."""
    score = log_probs if noise is None else log_probs + noise
    # Minus infinity rather than a finite fill: no draw can ever lift an illegal entry above a legal one.
    return score.masked_fill(~legal, -torch.inf).argmax(-1)
