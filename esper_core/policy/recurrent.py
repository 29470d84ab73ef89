"""Recurrent state: NamedTuples of tensors whose dimension 1 is the batch, `[layers, E, H]`."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.tensors import leaves, mapped

S = TypeVar("S", bound=tuple[Any, ...])
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

CALL, STEP = 300.0, 4.0
"""What a call costs, and every step of its span, in steps of one row of an LSTM of 64 numbers (on a CPU)."""

WIDTH = 64
"""Numbers of that LSTM. What a step of a row costs grows with the square of their number."""

CANDIDATES = 16
"""Lengths of episodes among which the ends of calls are chosen."""


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
    episodes run side by side, however many episodes there are. Where a call costs more than steps do, there are fewer:
    episodes that end within one are filled up with their last step, and nothing depends on what comes of that.
    """
    begun = episode_start[:, 0]
    # A graph that is compiled cannot depend on where episodes start.
    if torch.compiler.is_compiling() or bool(begun.any()):
        state = zero_rows(state, begun)
    if inputs.shape[1] == 1 or not bool(episode_start[:, 1:].any()):
        return run(inputs, state)

    # Which calls there are depends on where episodes start, so this is worked out on the CPU.
    starts = episode_start.cpu().numpy().copy()
    starts[:, 0] = True
    begins, last = np.flatnonzero(starts), np.cumsum(starts.sum(1)) - 1
    work = (np.mean([math.prod(value[:, 0].shape) for value in leaves(state).values()]) / WIDTH) ** 2
    calls = _calls(begins, np.diff(begins, append=starts.size), last, float(work))
    # Where each step lies among all outputs; what is filled up lies nowhere.
    order, place = np.concatenate([at.ravel() for _, at, _ in calls]), np.empty(starts.size, np.int64)
    real = np.concatenate([known.ravel() for *_, known in calls])
    place[order[real]] = np.flatnonzero(real)

    def there(index: Ints) -> Tensor:
        return torch.from_numpy(index).to(inputs.device)

    pieces = inputs.flatten(0, 1).index_select(0, there(order)).split([at.size for _, at, _ in calls])
    first, count, outputs = there(np.append(0, last[:-1] + 1)), len(begins), []
    state = mapped(state, lambda own: own.new_zeros(own.shape[0], count, *own.shape[2:]).index_copy(1, first, own))
    for (episodes, at, _), piece in zip(calls, pieces, strict=True):
        chosen = there(episodes)
        output, after = run(piece.unflatten(0, at.shape), _rows(state, chosen))
        outputs.append(output.flatten(0, 1))
        state = _with_rows(state, chosen, after)
    output = torch.cat(outputs).index_select(0, there(place)).unflatten(0, starts.shape)
    return output, _rows(state, there(last))


def _calls(begins: Ints, lengths: Ints, last: Ints, work: float) -> list[tuple[Ints, Ints, Flags]]:
    """Return what to run together, call after call: episodes `[rows]`, their steps `[rows, span]`, and which are real.

    Episodes are given by their first steps, counted through all rows, and their lengths; `work` is what a step of a row
    costs. Those that are `last` in their rows, whose state is asked for, are never filled up.
    """
    spans = _halves(int(lengths.max()))
    exact = CALL * len(spans) + STEP * int(lengths.max()) + work * int(lengths.sum())
    cost, ends = _ends(lengths, np.unique(lengths[last]), work)
    calls, done = [], np.zeros_like(lengths)
    for begin, end in pairwise([0, *ends]) if cost < exact else ((0, span) for span in spans):
        episodes = np.flatnonzero(lengths > begin if cost < exact else lengths - done >= end)
        at = (done[episodes, None] if cost >= exact else 0) + np.arange(begin, end)
        real = at < lengths[episodes, None]
        calls.append((episodes, begins[episodes, None] + np.minimum(at, lengths[episodes, None] - 1), real))
        done[episodes] += end - begin
    return calls


def _ends(lengths: Ints, needed: Ints, work: float) -> tuple[float, list[int]]:
    """Return what it costs at least to run all episodes in parts that end together, and where the parts end.

    Every episode that is longer than where a part begins takes part in it. Some ends are `needed`.
    """
    known = np.unique(lengths)
    some = known[np.linspace(0, len(known) - 1, min(CANDIDATES, len(known))).astype(int)]
    ends = np.union1d(some, needed).tolist()
    left = (lengths[:, None] > np.array([0, *ends])).sum(0).tolist()
    must, points = set(needed.tolist()), [0, *ends]
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for place, end in enumerate(ends, 1):
        found = (math.inf, list[int]())
        for before in range(place - 1, -1, -1):
            span, (cost, parts) = end - points[before], best[before]
            cost += CALL + span * (STEP + work * left[before])
            found = min(found, (cost, [*parts, end]))
            if points[before] in must:
                break
        best.append(found)
    return best[-1]


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
