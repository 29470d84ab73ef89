"""How a Gymnasium environment looks, as `render()` says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from esper_core.contracts.errors import UserError
from esper_core.contracts.foreign import guarded
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import make, owner
from esper_gymnasium_env.registered import find

MODE = "rgb_array"
FRAMES_PER_SECOND = 30.0
"""Of environments that do not say their own pace."""


def make_shown(config: GymnasiumConfig, modes: Sequence[Any]) -> tuple[gymnasium.Env[Any, Any], float]:
    """Return an environment that can be looked at, and its frames a second; `modes` are its render modes.

    Raises:
        UserError: it cannot be rendered.
    """
    asked = config.kwargs.get("render_mode", MODE)
    if asked != MODE or MODE not in modes:
        raise UserError(
            f"{owner(config)} cannot be filmed: {MODE} is not its render mode.",
            hint=f"It has the render modes {', '.join(map(str, modes)) or 'none'}, and kwargs ask for {asked}.",
        )
    made = make(config, None if "render_mode" in config.kwargs else MODE)
    pace = made.metadata.get("render_fps")
    return made, float(pace) if isinstance(pace, int | float) and pace > 0 else FRAMES_PER_SECOND


def frame_of(single: gymnasium.Env[Any, Any], config: GymnasiumConfig) -> NDArray[np.uint8]:
    """Return how an environment looks, uint8 `[height, width, 3]`.

    Raises:
        UserError: something that it renders with is not installed, or it renders no picture.
        PluginError: it fails.
    """
    with guarded(owner(config), "being rendered"), _installed(config):
        found = np.asarray(single.render())
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
        raise UserError(
            f"{owner(config)} rendered {found.dtype} {list(found.shape)}, not uint8 [height, width, 3].",
            hint="Its author must make render() return pictures in the mode rgb_array.",
        )
    return found


@contextmanager
def _installed(config: GymnasiumConfig) -> Iterator[None]:
    try:
        yield
    except DependencyNotInstalled as error:
        reason, _, remedy = str(error).partition(", ")
        remedy = remedy.strip("` .") or f"Install what {find(config.id).id} renders with."
        message = f"{owner(config)} cannot be rendered: {reason.rstrip('.')}."
        raise UserError(message, hint=remedy[:1].upper() + remedy[1:]) from error
