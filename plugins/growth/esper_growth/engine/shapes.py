"""Which shapes each layer of the engine takes and makes: compiled code reads memory by them, and looks at nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import IntEnum

Shape = tuple[int, int, int]
"""Channels, height and width; a curve has height 1."""


class Kind(IntEnum):
    """The engine's layers, in the order of `network.h`."""

    CONVOLUTION = 0
    DEPTHWISE = 1
    NORM = 2
    CHANNEL_NORM = 3
    RELU = 4
    GELU = 5
    SIGMOID = 6
    POOL = 7
    MEAN = 8
    SUM = 9
    TABLE = 10
    PATCHES = 11
    RESCALE = 12
    DIFFERENCE = 13
    ATTENTION = 14
    JOIN = 15
    STRIDE = 16


def check_shapes(kind: Kind, inputs: Sequence[Shape], output: Shape) -> None:
    """Raise ValueError where a layer does not make such an output of such inputs."""
    count, fits = _RULES[kind]
    if len(inputs) < count or not fits(inputs, output):
        took = ", ".join(map(str, inputs))
        raise ValueError(f"{kind.name} does not make {output} of {took}")


def _same(inputs: Sequence[Shape], output: Shape) -> bool:
    return all(shape == output for shape in inputs)


def _of_same_pixels(inputs: Sequence[Shape], output: Shape) -> bool:
    return inputs[0][1:] == output[1:]


def _thinned(inputs: Sequence[Shape], output: Shape) -> bool:
    return inputs[0][0] == output[0] and all(0 < o <= i for i, o in zip(inputs[0][1:], output[1:], strict=True))


def _halved(inputs: Sequence[Shape], output: Shape) -> bool:
    (channels, *space), (kept, *left) = inputs[0], output
    return channels == kept and all(o in (i, i // 2) and o > 0 for i, o in zip(space, left, strict=True))


def _cut(inputs: Sequence[Shape], output: Shape) -> bool:
    return math.prod(inputs[0]) == math.prod(output) and output[1] <= inputs[0][1] and output[2] <= inputs[0][2]


def _scaled(inputs: Sequence[Shape], output: Shape) -> bool:
    return inputs[0] == output and inputs[1] == (output[0], 1, 1)


def _joined(inputs: Sequence[Shape], output: Shape) -> bool:
    # What decides how much of a seed is taken comes behind both, and may be one number.
    return inputs[0] == inputs[1] == output


def _mean(inputs: Sequence[Shape], output: Shape) -> bool:
    return output == (inputs[0][0], 1, 1)


_RULES: dict[Kind, tuple[int, Callable[[Sequence[Shape], Shape], bool]]] = {
    Kind.CONVOLUTION: (1, _of_same_pixels),
    Kind.DEPTHWISE: (1, _same),
    Kind.NORM: (1, _halved),
    Kind.CHANNEL_NORM: (1, _same),
    Kind.RELU: (1, _same),
    Kind.GELU: (1, _same),
    Kind.SIGMOID: (1, _same),
    Kind.POOL: (1, _halved),
    Kind.MEAN: (1, _mean),
    Kind.SUM: (2, _same),
    Kind.TABLE: (1, _same),
    Kind.PATCHES: (1, _cut),
    Kind.RESCALE: (2, _scaled),
    Kind.DIFFERENCE: (2, _same),
    Kind.ATTENTION: (1, _of_same_pixels),
    Kind.JOIN: (2, _joined),
    Kind.STRIDE: (1, _thinned),
}
"""How many inputs there are at least, and whether shapes fit."""
