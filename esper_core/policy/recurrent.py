"""Recurrent state: NamedTuples of tensors whose dimension 1 is the batch, `[layers, E, H]`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from esper_core.contracts.tensors import leaves, mapped

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

    `run` maps inputs `[rows, span, F]`, of any number of rows, and their state to outputs `[rows, span, H]` and the
    state after the span. Where an episode starts, bool `[E, T]`, the state is zeros.

    Where none starts after the first step, that is one call. Else it is at most 1 + log2(T) calls, in which parts of
    episodes of equal length run side by side, however many episodes there are: no step is padded or run twice.
    """
    state = zero_rows(state, episode_start[:, 0])
    if inputs.shape[1] == 1 or not bool(episode_start[:, 1:].any()):
        return run(inputs, state)

    # Which calls there are depends on where episodes start, so this is worked out on the CPU.
    (rows, steps), device = episode_start.shape, inputs.device
    starts = episode_start.cpu().index_fill(1, torch.tensor(0), True)
    episode = starts.flatten().cumsum(0).view(rows, steps) - 1
    calls = _calls(starts, episode)
    order = torch.cat([at.flatten() for _, at in calls])
    pieces = inputs.flatten(0, 1).index_select(0, order.to(device)).split([at.numel() for _, at in calls])

    first, count, outputs = episode[:, 0].to(device), int(episode[-1, -1]) + 1, []
    state = mapped(state, lambda own: own.new_zeros(own.shape[0], count, *own.shape[2:]).index_copy(1, first, own))
    for (episodes, at), piece in zip(calls, pieces, strict=True):
        chosen = episodes.to(device)
        output, after = run(piece.unflatten(0, at.shape), _rows(state, chosen))
        outputs.append(output.flatten(0, 1))
        state = _with_rows(state, chosen, after)
    output = torch.cat(outputs).index_select(0, order.argsort().to(device)).unflatten(0, (rows, steps))
    return output, _rows(state, episode[:, -1].to(device))


def _calls(starts: Tensor, episode: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return what to run together, call after call: episodes `[rows]`, and their steps `[rows, span]` as `row·T + t`.

    `starts`, bool `[E, T]`, is true at every row's first step; `episode`, int64 `[E, T]`, numbers all episodes.
    """
    rows, steps = starts.shape
    begins = starts.flatten().nonzero().flatten()
    left = begins.diff(append=torch.tensor([rows * steps]))
    cuts = [*starts.any(0).nonzero().flatten().tolist(), steps]
    spans = _halves(int(left.max()))
    if len(cuts) - 1 <= len(spans):
        first = torch.arange(rows).unsqueeze(1) * steps
        return [(episode[:, begin], first + torch.arange(begin, end)) for begin, end in pairwise(cuts)]
    calls = []
    for span in spans:
        episodes = (left >= span).nonzero().flatten()
        calls.append((episodes, begins[episodes].unsqueeze(1) + torch.arange(span)))
        begins[episodes] += span
        left[episodes] -= span
    return calls


def _halves(longest: int) -> list[int]:
    """Return a half of a length, a half of what is left, and so on, rounded up.

    They add up to the length, and any shorter one is a sum of some: of each, from the first, that still fits.
    """
    spans = []
    while longest:
        spans.append(longest - longest // 2)
        longest //= 2
    return spans


def _rows(state: S, rows: Tensor) -> S:
    return mapped(state, lambda value: value.index_select(1, rows))


def _with_rows(state: S, rows: Tensor, given: S) -> S:
    values = iter(leaves(given).values())
    return mapped(state, lambda value: value.index_copy(1, rows, next(values).to(value.dtype)))
