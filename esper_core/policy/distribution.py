"""The factored, masked distribution over actions.

The root head (the operation) is sampled first. The slot head is legal per operation; every other head is
conditionally independent given the operation. A head that does not matter to the sampled operation takes its neutral
value, numbers 0, and contributes log-probability 0, entropy 0 and ratio 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, ContinuousHead
from esper_core.contracts.protocols import Masks
from esper_core.policy import gaussian
from esper_core.policy.gaussian import Gaussian
from esper_core.policy.masking import (
    apply_mask,
    constant,
    masked_kl,
    masked_log_softmax,
    normalised_entropy,
    relevance_table,
)

_LEAST = 2.0**-54
"""Half of the least number above 0 that noise has."""


class Conditional(NamedTuple):
    """A categorical head given the operation: `log_probs` and legal entries `[..., K]`, whether it matters `[...]`."""

    log_probs: Tensor
    legal: Tensor
    relevant: Tensor


def _select(table: Tensor, op: Tensor) -> Tensor:
    """Return row `op [...]` of `table [..., O, K]`: `[..., K]`."""
    index = op[..., None, None].expand(*op.shape, 1, table.shape[-1])
    return table.gather(-2, index).squeeze(-2)


class FactoredDistribution:
    """Distribution over the joint action, of what a network gives per head and masks of the same leading axes.

    A head of K categories has raw logits `[..., K]`; one of n numbers, which no mask concerns, has means and log
    standard deviations `[..., 2n]`. The slot head may have logits given each operation, `[..., O, N]`; those of
    `[..., N]` are the same for all. The leading axes are `[E]` when acting and `[E, T]` when learning. What several
    questions need is computed once, so logits, masks and actions must not be changed in place afterwards.
    """

    def __init__(self, actions: ActionSpec, logits: dict[str, Tensor], masks: Masks) -> None:
        self.actions, self.logits, self.masks = actions, logits, masks
        self._relevance = relevance_table(actions, logits[actions.names[0]].device)
        self._log_probs: dict[str, Tensor] = {}
        self._gaussians: dict[str, Gaussian] = {}
        self._counts: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._given: tuple[Tensor | None, dict[str, tuple[Tensor, Tensor]]] | None = None
        self._op_probs: Tensor | None = None
        self._everywhere: Tensor | None = None

    # The pieces -----------------------------------------------------------------------------------------------------

    def op(self, actions: Mapping[str, Tensor]) -> Tensor | None:
        """Return the operations among actions; None without a root head."""
        return actions[self.actions.root] if self.actions.root is not None else None

    def log_probs(self, name: str) -> Tensor:
        """Return those of a categorical head: `[..., K]`, or `[..., O, N]` given each operation for the slot."""
        if name not in self._log_probs:
            logits, mask = self.logits[name], self._mask(name)
            # Those of slots that are the same whatever the operation.
            shared = logits.dim() < mask.dim()
            self._log_probs[name] = masked_log_softmax(logits.unsqueeze(-2).expand_as(mask) if shared else logits, mask)
        return self._log_probs[name]

    def op_probs(self) -> Tensor | None:
        """Return detached probabilities of the operations, `[..., O]`, 0 where illegal; None without a root head."""
        if self._op_probs is None and self.actions.root is not None:
            self._op_probs = self.log_probs(self.actions.root).detach().exp()
        return self._op_probs

    def gaussian(self, name: str) -> Gaussian:
        """Return means and log standard deviations of a continuous head, `[..., n]`."""
        if name not in self._gaussians:
            self._gaussians[name] = Gaussian.of(self.logits[name])
        return self._gaussians[name]

    def relevant(self, name: str, op: Tensor | None) -> Tensor:
        """Return whether a head matters to the operations `op [...]`, bool `[...]`."""
        if op is not None and not self._always(name):
            return self._relevance[name][op]
        if self._everywhere is None:
            lead, device = self._places()
            self._everywhere = torch.ones(lead, dtype=torch.bool, device=device)
        return self._everywhere

    def given(self, op: Tensor | None) -> dict[str, Conditional]:
        """Return every categorical head given the operations `op [...]`.

        Masks, the slot's dependence on the operation and relevance are put together here.
        """
        return {name: Conditional(*pair, self.relevant(name, op)) for name, pair in self._conditionals(op).items()}

    def legal_given(self, op: Tensor | None) -> dict[str, Tensor]:
        """Return each categorical head's number of legal entries given the operations `op [...]`, int64 `[...]`."""
        slot = self.actions.slot
        counts = {head.name: self._count(head.name) for head in self.actions.categorical}
        if slot is not None and op is not None:
            counts[slot] = _entry(counts[slot], op)
        return counts

    def masked_logits(self) -> dict[str, Tensor]:
        """Return logits per head, as the network gave them, with the fill where illegal.

        Slots of `[..., N]` are masked by the union over legal operations, those of `[..., O, N]` by each of them.
        Continuous heads have their means and log standard deviations.
        """
        result = dict(self.logits)
        for name in (head.name for head in self.actions.categorical):
            mask = self._mask(name)
            if name == self.actions.slot:
                assert self.actions.root is not None
                asked = self.masks.heads[self.actions.root] & self._relevance[name]
                mask = mask & asked.unsqueeze(-1)
                mask = mask.any(-2) if self.logits[name].dim() < mask.dim() else mask
            result[name] = apply_mask(self.logits[name], mask)
        return result

    # Acting ---------------------------------------------------------------------------------------------------------

    def sample(
        self,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
        drawn: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return what each head draws: categories int64 `[...]`, numbers u `[..., n]`, before they are squashed.

        The operation is drawn first and exactly once. With `deterministic` the most probable entry of every head is
        taken, and the mean of numbers. The generator may be on any device; in its place may be what `draw` has drawn.
        """
        noise = drawn or {}
        if not deterministic and drawn is None:
            lead, device = self._places()
            noise = draw(self.actions, lead, generator, device)

        def category(name: str, log_probs: Tensor, legal: Tensor) -> Tensor:
            return _choose(log_probs, legal, noise.get(name))

        def number(name: str, mean: Tensor, log_std: Tensor) -> Tensor:
            return mean if deterministic else mean + log_std.exp() * noise[name]

        return self._drawn(category, number)

    def at(self, noise: Tensor) -> dict[str, Tensor]:
        """Return what each head draws, as `sample` does, as a function of numbers in [0, 1), `[..., K]`.

        There is one for each head of categories and for each number, in the order of the heads (`ActionSpec.width`):
        the value at which the distribution function reaches it.
        """
        sizes = {head.name: len(head.dims) if isinstance(head, ContinuousHead) else 1 for head in self.actions.heads}
        shares = _split(noise.double(), sizes)

        def category(name: str, log_probs: Tensor, legal: Tensor) -> Tensor:
            return _reached(log_probs, legal, shares[name])

        def number(name: str, mean: Tensor, log_std: Tensor) -> Tensor:
            # At 0 the normal distribution has no value.
            normal = torch.special.ndtri(shares[name].clamp_min(_LEAST))
            return mean + log_std.exp() * normal.to(mean.dtype)

        return self._drawn(category, number)

    def _drawn(
        self, category: Callable[[str, Tensor, Tensor], Tensor], number: Callable[[str, Tensor, Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Return what each head draws: of log-probabilities and legal entries, or of means and log deviations."""
        chosen: dict[str, Tensor] = {}
        if (root := self.actions.root) is not None:
            chosen[root] = category(root, self.log_probs(root), self._mask(root))
        op = self.op(chosen)
        conditionals = self._conditionals(op)
        for head in self.actions.children:
            if isinstance(head, ContinuousHead):
                value = number(head.name, *self.gaussian(head.name))
                chosen[head.name] = self._where_relevant(head.name, op, value)
            else:
                value = category(head.name, *conditionals[head.name])
                # The neutral value is written past the masks: it stands for "not asked", legal or not.
                chosen[head.name] = self._where_relevant(head.name, op, value, head.neutral)
        return chosen

    # Learning -------------------------------------------------------------------------------------------------------

    def log_prob(self, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return log-probability or density of each head's action, `[...]`; 0 where the operation taken needs none.

        Actions are as `sample` returns them.
        """
        op, result = self.op(actions), {}
        conditionals = self._conditionals(op)
        for head in self.actions.heads:
            if isinstance(head, ContinuousHead):
                taken = gaussian.log_density(self.gaussian(head.name), actions[head.name], head.squash)
            else:
                taken = _entry(conditionals[head.name][0], actions[head.name])
            result[head.name] = self._where_relevant(head.name, op, taken)
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
                name = head.name
                value = normalised_entropy(self.log_probs(name), self._mask(name), self._count(name))
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
        first, *rest = self.kl_by_head(old).values()
        return torch.stack([first, *rest]).sum(0) if rest else first

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

    def _places(self) -> tuple[torch.Size, torch.device]:
        """Return the leading axes and the device."""
        # The slot's logits may have an axis more.
        first = self.logits[self.actions.root or self.actions.names[0]]
        return first.shape[:-1], first.device

    def _mask(self, name: str) -> Tensor:
        """Return the legal entries of a categorical head: `[..., K]`, or `[..., O, N]` for the slot."""
        if name == self.actions.slot:
            assert self.masks.slot_given_op is not None
            return self.masks.slot_given_op
        return self.masks.heads[name]

    def _count(self, name: str) -> Tensor:
        """Return how many entries of a categorical head are legal: int64 `[...]`, or `[..., O]` for the slot."""
        if name not in self._counts:
            self._counts[name] = self._mask(name).sum(-1)
        return self._counts[name]

    def _conditionals(self, op: Tensor | None) -> dict[str, tuple[Tensor, Tensor]]:
        """Return log-probabilities and legal entries of each categorical head given `op [...]`, both `[..., K]`."""
        if self._given is None or self._given[0] is not op:
            found = {h.name: (self.log_probs(h.name), self._mask(h.name)) for h in self.actions.categorical}
            if (slot := self.actions.slot) is not None:
                assert op is not None
                log_probs, legal = found[slot]
                found[slot] = _select(log_probs, op), _select(legal, op)
            self._given = op, found
        return self._given[1]

    def _always(self, name: str) -> bool:
        """Return whether a head matters to every operation."""
        return self.actions.root in (None, name) or self.actions.head(name).ops is None

    def _where_relevant(self, name: str, op: Tensor | None, value: Tensor, other: int = 0) -> Tensor:
        """Return `value [...]`, or `[..., n]`, where a head matters to `op [...]`, and something else elsewhere."""
        if self._always(name):
            return value
        relevant = self.relevant(name, op)
        relevant = relevant if relevant.dim() == value.dim() else relevant.unsqueeze(-1)
        return torch.where(relevant, value, torch.full_like(value, other))

    def _expect(self, name: str, value: Tensor) -> Tensor:
        """Return Σ_o π(o)·relevant(o, head)·value with π detached; the slot's value is `[..., O]`, others' `[...]`."""
        probs = self.op_probs()
        if probs is None or name == self.actions.root:
            return value
        if name not in self._weights:
            weights = probs * self._relevance[name]
            self._weights[name] = weights if name == self.actions.slot else weights.sum(-1)
        weighted = self._weights[name] * value
        return weighted.sum(-1) if name == self.actions.slot else weighted

    def _expect_of_legal(self, function: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return the expectation of a function of each categorical head's number of legal entries, `[...]`."""
        return {
            head.name: self._expect(head.name, function(self._count(head.name)).to(self.logits[head.name].dtype))
            for head in self.actions.categorical
        }


def draw(
    actions: ActionSpec, lead: Sequence[int], generator: torch.Generator | None, device: torch.device
) -> dict[str, Tensor]:
    """Return Gumbel noise for every categorical head, `[*lead, K]`, and normal noise for every number, `[*lead, n]`.

    Each sort is one draw, on the generator's device.
    """
    where, noise = device if generator is None else generator.device, dict[str, Tensor]()
    if categories := {head.name: head.size for head in actions.categorical}:
        drawn = torch.empty(*lead, sum(categories.values()), dtype=torch.float32, device=where)
        noise |= _split(drawn.exponential_(generator=generator).log_().neg_().to(device), categories)
    if numbers := {head.name: len(head.dims) for head in actions.continuous}:
        drawn = torch.empty(*lead, sum(numbers.values()), dtype=torch.float32, device=where)
        noise |= _split(drawn.normal_(generator=generator).to(device), numbers)
    return noise


def _split(value: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Return parts of the last axis by name."""
    return dict(zip(sizes, value.split(list(sizes.values()), dim=-1) if len(sizes) > 1 else (value,), strict=True))


def _entry(table: Tensor, index: Tensor) -> Tensor:
    """Return the entry `index [...]` of `table [..., K]`: `[...]`."""
    return table.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _reached(log_probs: Tensor, legal: Tensor, share: Tensor) -> Tensor:
    """Return the legal entry `[...]` at which the sum of probabilities exceeds a share `[..., 1]` of all."""
    ends = torch.where(legal, log_probs.double().exp(), 0.0).cumsum(-1)
    entry = (ends <= share * ends[..., -1:]).sum(-1)
    # Rounding may lead beyond the last.
    last = legal.shape[-1] - 1 - legal.flip(-1).int().argmax(-1)
    return torch.minimum(entry, last)


def _choose(log_probs: Tensor, legal: Tensor, noise: Tensor | None) -> Tensor:
    """Return the best legal entry `[...]` of `log_probs [..., K]`; with Gumbel noise this is a sample."""
    score = log_probs if noise is None else log_probs + noise
    # Minus infinity rather than a finite fill: no draw can ever lift an illegal entry above a legal one.
    return torch.where(legal, score, constant(-torch.inf, score.dtype)).argmax(-1)
