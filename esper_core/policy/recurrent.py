"""Recurrent state: NamedTuples of tensors whose dimension 1 is the batch, `[layers, E, H]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from esper_core.contracts.tensors import mapped

S = TypeVar("S", bound=tuple[Any, ...])


def zero_rows(state: S, rows: Tensor) -> S:
    """Return the state with zeros in the environments where `rows`, bool `[E]`, is true.

    A new state is made: the given one may be an inference tensor, which must not be written to.
    """

    def zero(value: Tensor) -> Tensor:
        where = rows.view(1, -1, *([1] * (value.dim() - 2)))
        return torch.where(where, torch.zeros_like(value), value)

    return mapped(state, zero)


def run_with_resets(
    run: Callable[[Tensor, S], tuple[Tensor, S]], inputs: Tensor, state: S, episode_start: Tensor
) -> tuple[Tensor, S]:
    """Run a recurrent module over sequences in which episodes may start anywhere; return outputs and the last state.

    `run` maps `[E, span, F]` and a state to outputs `[E, span, H]` and the state after the span. The sequence, which is
    `[E, T, F]`, is split at every time at which some environment starts, and rows that start, bool `[E, T]`, are zeroed
    before their span: no padding, one call per span.
    """
    cuts = (episode_start[:, 1:].any(0).nonzero().flatten() + 1).tolist()
    outputs = []
    for begin, end in zip([0, *cuts], [*cuts, inputs.shape[1]], strict=True):
        state = zero_rows(state, episode_start[:, begin])
        output, state = run(inputs[:, begin:end], state)
        outputs.append(output)
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), state
