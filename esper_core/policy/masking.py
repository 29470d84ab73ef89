"""Masked log-probabilities, entropies and divergences: pure functions of logits and masks."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.foreign import UNKNOWN, Owner
from esper_core.contracts.precision import widened
from esper_core.contracts.protocols import Masks


def apply_mask(logits: Tensor, mask: Tensor) -> Tensor:
    """Return `logits [..., K]` with the dtype's minimum where `mask [..., K]` is false; half precision becomes float32.

    The fill is finite, so `p·log p` of an illegal entry is 0 and never NaN.
    """
    logits = widened(logits)
    return torch.where(mask, logits, constant(torch.finfo(logits.dtype).min, logits.dtype))


@lru_cache(maxsize=16)
def constant(value: float, dtype: torch.dtype) -> Tensor:
    """Return a number as a tensor without dimensions, which goes with those of any device."""
    # Out of inference mode, because autograd may save this cached tensor for a backward pass.
    with torch.inference_mode(False):
        return torch.tensor(value, dtype=dtype, device="cpu")


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return log-probabilities `[..., K]` over the legal entries.

    It is the dtype's minimum where illegal; a row without a legal entry is uniform, with zero gradient and no NaN.
    """
    return torch.log_softmax(apply_mask(logits, mask), dim=-1)


def normalised_entropy(log_probs: Tensor, mask: Tensor, legal: Tensor | None = None) -> Tensor:
    """Return the entropy of the last axis divided by ln(number of legal entries), 0 for one or none: `[...]`, 0 to 1.

    So one entropy coefficient means the same for any number of slots or labels. `legal [...]` is that number, where it
    is known.
    """
    zero = constant(0.0, log_probs.dtype)
    terms = torch.where(mask, log_probs.exp() * log_probs, zero)
    legal = mask.sum(-1) if legal is None else legal
    scale = legal.clamp(min=2).to(log_probs.dtype).log()
    return torch.where(legal > 1, -terms.sum(-1) / scale, zero)


def masked_kl(old: Tensor, new: Tensor, mask: Tensor) -> Tensor:
    """Return KL(old ‖ new) in nats over the last axis, from log-probabilities `[..., K]` under one mask."""
    return torch.where(mask, old.exp() * (old - new), constant(0.0, old.dtype)).sum(-1)


@lru_cache(maxsize=64)
def relevance_table(actions: ActionSpec, device: torch.device) -> dict[str, Tensor]:
    """Return for every child head the operations to which it matters, bool `[O]`."""
    # Out of inference mode, because autograd may save this cached tensor for a backward pass.
    with torch.inference_mode(False):
        return {head.name: torch.tensor(actions.relevance(head.name), device=device) for head in actions.children}


def check_masks(actions: ActionSpec, masks: Masks, owner: Owner = UNKNOWN["masks"]) -> None:
    """Check masks `[E, ...]` of the right form: every categorical head that can matter has a legal entry everywhere.

    A head without one is an error only when an operation is legal to which the head is relevant; PluginError says so.
    """
    # Nearly always every head has a legal entry, whether it is asked or not; one answer tells.
    alive = [masks.heads[head.name].any(-1) for head in actions.categorical if head.name != actions.slot]
    if actions.slot is not None:
        assert masks.slot_given_op is not None and actions.root is not None
        asked = masks.heads[actions.root] & relevance_table(actions, masks.slot_given_op.device)[actions.slot]
        alive.append((masks.slot_given_op.any(-1) | ~asked).all(-1))
    if not alive or bool((torch.stack(alive) if len(alive) > 1 else alive[0]).all()):
        return
    for head in actions.categorical:
        legal = masks.heads[head.name].any(-1)
        labels: tuple[str, ...] = ()
        if actions.root is not None and head.name != actions.root:
            legal, labels, ops = legal.unsqueeze(-1), actions.ops, masks.heads[actions.root]
            if head.name == actions.slot:
                assert masks.slot_given_op is not None
                legal = masks.slot_given_op.any(-1)
            legal = legal | ~(ops & relevance_table(actions, ops.device)[head.name])
        if not bool(legal.all()):
            where = (~legal).nonzero()[0].tolist()
            operation = f" for the legal operation {labels[where[-1]]}" if labels else ""
            raise owner.breach(f"head '{head.name}' has no legal entry{operation} in environment {where[0]}")
