"""A small action table and everything that can happen under it, written out."""

from __future__ import annotations

import itertools

import torch

from esper_core import ActionSpec, Head

SPEC = ActionSpec(
    heads=(
        Head("op", ("WAIT", "GROW", "CUT")),
        Head("slot", ("a", "b"), ops=("GROW", "CUT")),
        Head("what", ("x", "y", "z"), neutral=2, ops=("GROW",), entropy_weight=1.3),
        Head("speed", ("slow", "fast"), neutral=1, ops=("CUT",)),
    ),
    root="op",
    slot="slot",
)


def random_logits(generator: torch.Generator, batch: int = 1, each: bool = False) -> dict[str, torch.Tensor]:
    """Return logits `[B, K]` per head, and `[B, O, N]` of slots given `each` operation."""
    sizes = {head.name: (batch, head.size) for head in SPEC.heads} | ({"slot": (batch, 3, 2)} if each else {})
    return {name: 1.5 * torch.randn(size, generator=generator, dtype=torch.float64) for name, size in sizes.items()}


def enumerate_joint(logits, masks):
    """Return every joint action of one row with its probability, by the rules written out by hand."""

    def probabilities(values, legal):
        weights = [v.exp().item() if ok else 0.0 for v, ok in zip(values, legal.tolist(), strict=True)]
        return [w / sum(weights) if sum(weights) else 0.0 for w in weights]

    joint = {}
    for op, p_op in enumerate(probabilities(logits["op"][0], masks.heads["op"][0])):
        if not p_op:
            continue
        label = SPEC.ops[op]
        factors = []
        for head in SPEC.children:
            if label not in head.ops:
                factors.append([(head.neutral, 1.0)])
                continue
            legal = masks.slot_given_op[0, op] if head.name == "slot" else masks.heads[head.name][0]
            own = logits[head.name][0]
            factors.append(list(enumerate(probabilities(own[op] if own.dim() > 1 else own, legal))))
        for combination in itertools.product(*factors):
            p = p_op
            for _, q in combination:
                p *= q
            if p:
                joint[(op, *(value for value, _ in combination))] = p
    return joint


def as_actions(keys):
    """Return joint actions as one tensor per head, `[A]`."""
    return {name: torch.tensor([key[i] for key in keys]) for i, name in enumerate(SPEC.names)}
