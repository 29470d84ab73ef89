"""A compiled network: what the engine makes of a graph, and the calls that train and measure with it."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from esper_growth.engine import compiler
from esper_growth.engine.graph import Graph
from esper_growth.protocols import Split

POINTER, LONG, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
SIGNATURES: dict[str, tuple[list[Any], Any]] = {
    "make": ([POINTER], POINTER),
    "free": ([POINTER], None),
    "train": ([POINTER] * 4 + [LONG] * 3 + [POINTER] * 6 + [REAL] * 3 + [POINTER], None),
    "evaluate": ([POINTER] * 3 + [LONG] * 2 + [POINTER] * 5 + [LONG, POINTER], REAL),
}


@functools.cache
def function(name: str, dtype: torch.dtype) -> Callable[..., Any]:
    """Return a function of the engine for a number type."""
    found = getattr(compiler.load().functions, f"engine_{name}_{SUFFIX[dtype]}")
    found.argtypes, found.restype = SIGNATURES[name]
    return found


class Part(NamedTuple):
    """Weights that are trained and clipped as one, and their momentum, each one behind the other, `[P]`."""

    weights: Tensor
    momentum: Tensor


class Step(NamedTuple):
    """How an epoch is trained: samples per step, learning rate, momentum, and the bound of gradients' norms, or 0."""

    batch: int
    rate: float
    momentum: float
    limit: float


class Network:
    """A graph, ready to be trained; every host of its shape uses the same one.

    Args:
        graph: The layers; the last one's output is the logits.
        dtype: Of samples and weights.
        slots: N.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype, slots: int) -> None:
        self.parts, self.slots = tuple(graph.parts), slots
        self._dtype = dtype
        code = graph.code()
        self._handle = function("make", dtype)(code.data_ptr())
        weakref.finalize(self, function("free", dtype), self._handle)

    def train(
        self,
        split: Split,
        order: Tensor,
        parts: Sequence[Part],
        groups: Sequence[int],
        learns: Sequence[bool],
        alphas: Sequence[float],
        step: Step,
    ) -> list[Tensor]:
        """Train for one epoch.

        Args:
            split: The samples.
            order: In which they are seen, int64 `[S]`.
            parts: The parts of the graph, in order.
            groups: Per part a number; gradients of equal number are clipped together.
            learns: Per part whether it is trained.
            alphas: By slot.
            step: The rest.

        Returns:
            The gradients of the last step, part by part, `[P]`; they are overwritten by the next call.
        """
        gradients = (POINTER * len(parts))()
        function("train", self._dtype)(
            self._handle,
            split.inputs.data_ptr(),
            split.targets.data_ptr(),
            order.data_ptr(),
            len(order),
            step.batch,
            len(parts),
            _pointers(part.weights for part in parts),
            _pointers(part.momentum for part in parts),
            _whole(part.weights.numel() for part in parts),
            _whole(groups),
            _whole(learns),
            self._real(alphas),
            step.rate,
            step.momentum,
            step.limit,
            gradients,
        )
        real = ctypes.c_float if self._dtype == torch.float32 else ctypes.c_double
        return [
            torch.from_numpy(np.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(real)), (part.weights.numel(),)))
            for at, part in zip(gradients, parts, strict=True)
        ]

    def evaluate(
        self, split: Split, parts: Sequence[Part], alphas: Sequence[float], switchable: Sequence[bool], limit: int
    ) -> tuple[float, dict[tuple[int, ...], float]]:
        """Return the mean loss in nats, and the accuracy with each set of at most `limit` switchable slots off."""
        names = variants([slot for slot, may in enumerate(switchable) if may], limit)
        correct = (LONG * len(names))()
        loss = function("evaluate", self._dtype)(
            self._handle,
            split.inputs.data_ptr(),
            split.targets.data_ptr(),
            len(split.targets),
            len(parts),
            _pointers(part.weights for part in parts),
            _whole(part.weights.numel() for part in parts),
            self._real(alphas),
            _whole([False] * len(parts)),
            _whole(switchable),
            limit,
            correct,
        )
        return loss, {off: count / len(split.targets) for off, count in zip(names, correct, strict=True)}

    def _real(self, numbers: Sequence[float]) -> ctypes.Array[Any]:
        real = ctypes.c_float if self._dtype == torch.float32 else ctypes.c_double
        return (real * len(numbers))(*numbers)


def variants(slots: Sequence[int], limit: int) -> list[tuple[int, ...]]:
    """Return every set of at most `limit` of some slots, in the order in which the engine comes by them."""

    def from_slot(position: int, off: tuple[int, ...]) -> list[tuple[int, ...]]:
        if position == len(slots) or len(off) == limit:
            return [off]
        return from_slot(position + 1, off) + from_slot(position + 1, (*off, slots[position]))

    return from_slot(0, ())


def _pointers(tensors: Any) -> ctypes.Array[Any]:
    found = [tensor.data_ptr() for tensor in tensors]
    return (POINTER * len(found))(*found)


def _whole(numbers: Any) -> ctypes.Array[Any]:
    found = list(numbers)
    return (LONG * len(found))(*found)
