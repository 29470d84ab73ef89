"""Images among observations, kept as they are; the bytes of all images of an observation are one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
from gymnasium import spaces
from numpy.typing import NDArray

from esper_core import ArrayField, StateField, StateSpec

NAME = "image"
"""Name in the state of an observation that is an image; in a Dict with the key behind it, such as `image.camera`."""


@frozen(eq=False)
class Image:
    """One image, and where it is found: through `keys` of nested Dicts.

    Attributes:
        dtype: uint8, or float32 for floats of any width.
    """

    keys: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    low: float
    high: float

    @property
    def field(self) -> StateField:
        """What is published of it."""
        kind = "uint8" if self.dtype == np.uint8 else "float"
        where = "".join(f"[{key!r}]" for key in self.keys)
        name, meaning = ".".join((NAME, *self.keys)), f"observation{where}, as it is"
        return StateField(name, ("E", *self.shape), kind, "", meaning, self.low, self.high)

    @property
    def size(self) -> int:
        """Bytes of it."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def read(self, observation: Any) -> NDArray[np.uint8]:
        """Return its bytes, `[size]`; raises ValueError or KeyError where an observation has no such image."""
        for key in self.keys:
            observation = observation[key]
        found = np.asarray(observation)
        if found.shape != self.shape or (found.dtype != np.uint8 and self.dtype == np.uint8):
            raise ValueError(f"{found.dtype} {list(found.shape)} is no image {self.dtype} {list(self.shape)}")
        return np.ascontiguousarray(found, self.dtype).reshape(-1).view(np.uint8)


@frozen(eq=False)
class Images:
    """All images of a space."""

    images: tuple[Image, ...]

    @property
    def fields(self) -> tuple[StateField, ...]:
        """What is published of them."""
        return tuple(image.field for image in self.images)

    @property
    def size(self) -> int:
        """Bytes of all images of one observation."""
        return sum(image.size for image in self.images)

    def __call__(self, observations: Sequence[Any]) -> NDArray[np.uint8]:
        """Return the images of n observations, `[n, size]`; raises ValueError or KeyError where one has others."""
        return np.stack([np.concatenate([image.read(seen) for image in self.images]) for seen in observations])

    def arrays(self, rows: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return the images in rows `[n, size]` by the names of their fields, copied, `[n, *shape]`."""
        found, first = {}, 0
        for image in self.images:
            own = rows[:, first : first + image.size].copy()
            found[image.field.name] = own.view(image.dtype).reshape(len(rows), *image.shape)
            first += image.size
        return found

    def not_finite(self, rows: NDArray[np.uint8]) -> tuple[int, str] | None:
        """Return the row and the field of an image in rows `[n, size]` that holds a number that is not finite."""
        for name, images in self.arrays(rows).items():
            bad = ~np.isfinite(images).reshape(len(rows), -1).all(1)
            if bad.any():
                return int(bad.argmax()), name
        return None


def split(space: gymnasium.Space[Any]) -> tuple[Images, gymnasium.Space[Any]]:
    """Return the images of a space, which may be in nested Dicts, and the space of everything else.

    Raises:
        ValueError: there is none.
    """
    images = tuple(_images(space, ()))
    if not images:
        raise ValueError("its observations hold no image, which is a Box of two or three axes, uint8 or float")
    return Images(images), _rest(space) or spaces.Box(-1, 1, (0,))


def fields_of(state_spec: StateSpec) -> tuple[StateField, ...]:
    """Return the fields of a state that are images."""
    return tuple(entry for entry in state_spec.fields if entry.name.partition(".")[0] == NAME)


def array_of(entry: StateField) -> ArrayField:
    """Return what features show of an image."""
    return ArrayField(entry.name, entry.sizes(1, 0, 0)[1:], entry.dtype)


def _images(space: gymnasium.Space[Any], keys: tuple[str, ...]) -> Iterator[Image]:
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _images(part, (*keys, str(key)))
    elif _is_image(space):
        assert isinstance(space, spaces.Box)
        dtype = np.dtype(np.uint8 if space.dtype == np.uint8 else np.float32)
        yield Image(keys, space.shape, dtype, float(space.low.min()), float(space.high.max()))


def _is_image(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3) or 0 in space.shape:
        return False
    return space.dtype == np.uint8 or np.issubdtype(space.dtype, np.floating)


def _rest(space: gymnasium.Space[Any]) -> gymnasium.Space[Any] | None:
    """Return a space without its images; None where nothing is left."""
    if not isinstance(space, spaces.Dict):
        return None if _is_image(space) else space
    left = {key: rest for key, part in space.spaces.items() if (rest := _rest(part)) is not None}
    return spaces.Dict(left) if left else None
