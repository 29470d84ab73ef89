"""Masked log-probabilities, entropies and divergences: pure functions of logits and masks."""

from __future__ import annotations

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import PluginError
from esper_core.contracts.precision import widened
from esper_core.contracts.protocols import Masks


def apply_mask(logits: Tensor, mask: Tensor) -> Tensor:
    """Return `logits [..., K]` with the dtype's minimum where `mask [..., K]` is false; half precision becomes float32.

    The fill is finite, so `p·log p` of an illegal entry is 0 and never NaN.
    """
    logits = widened(logits)
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min)


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return log-probabilities `[..., K]` over the legal entries.

    The result is the dtype's minimum where illegal; a row without a legal entry is uniform, with zero gradient, so
    that a head nobody asks about never makes NaN.
    """
    return torch.log_softmax(apply_mask(logits, mask), dim=-1)


def normalised_entropy(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Return the entropy of the last axis divided by ln(number of legal entries): `[...]`, from 0 to 1.

    It is 0 where at most one entry is legal. Normalising keeps one entropy coefficient meaningful for any number of
    slots or blueprints.
    """
    terms = torch.where(mask, log_probs.exp() * log_probs, torch.zeros_like(log_probs))
    legal = mask.sum(-1)
    scale = legal.clamp(min=2).to(log_probs.dtype).log()
    return torch.where(legal > 1, -terms.sum(-1) / scale, torch.zeros_like(scale))


def masked_kl(old: Tensor, new: Tensor, mask: Tensor) -> Tensor:
    """Return KL(old ‖ new) in nats over the last axis, from log-probabilities `[..., K]` under one mask."""
    return torch.where(mask, old.exp() * (old - new), torch.zeros_like(old)).sum(-1)


def check_masks(actions: ActionSpec, masks: Masks) -> None:
    """Check that every head that can matter has a legal entry in every environment.

    A head without one is an error only when an operation is legal to which the head is relevant.

    Raises:
        PluginError: a head is missing or has the wrong width, or a choice that can come up has nothing legal.
    """
    hint = "The component of kind 'masks' must leave one legal action; see its conformance checks."
    for head in actions.heads:
        if head.name not in masks.heads:
            raise PluginError(f"The masks have no entry for head '{head.name}'.", hint=hint)
        width = masks.heads[head.name].shape[-1]
        if width != head.size:
            raise PluginError(f"The mask of head '{head.name}' has width {width}; the head has {head.size}.", hint=hint)
    if actions.slot is not None and masks.slot_given_op is None:
        raise PluginError("The masks have no 'slot_given_op', but the actions have a slot head.", hint=hint)

    if actions.root is None:
        for head in actions.heads:
            _require(masks.heads[head.name].any(-1), f"Head '{head.name}' has no legal entry", hint)
        return
    ops = masks.heads[actions.root]
    _require(ops.any(-1), f"Head '{actions.root}' has no legal entry", hint)
    for head in actions.children:
        relevant = torch.tensor(actions.relevance(head.name), device=ops.device)
        if head.name == actions.slot:
            assert masks.slot_given_op is not None
            legal = masks.slot_given_op.any(-1)
        else:
            legal = masks.heads[head.name].any(-1, keepdim=True)
        _require(
            legal | ~(ops & relevant), f"Head '{head.name}' has no legal entry for a legal operation", hint, actions.ops
        )


def _require(fine: Tensor, message: str, hint: str, ops: tuple[str, ...] = ()) -> None:
    """Raise PluginError naming the first row `[E]` or `[E, O]` of `fine` that is false."""
    if bool(fine.all()):
        return
    where = (~fine).nonzero()[0].tolist()
    operation = f" ({ops[where.pop()]})" if ops else ""
    raise PluginError(f"{message}{operation} in environment {where[0] if where else 0}.", hint=hint)
