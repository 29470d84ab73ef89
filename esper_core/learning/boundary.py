"""What environments and losses return, checked and brought into form where it comes in.

Each function raises PluginError, which names the component, what was expected and what came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.events import Event, is_number, taken_events
from esper_core.contracts.foreign import Owner
from esper_core.contracts.plain import NotPlain, from_exact, plain, to_exact
from esper_core.contracts.protocols import LossResult
from esper_core.contracts.state import StateSpec
from esper_core.policy.boundary import check_tensor, check_type


class Begun(NamedTuple):
    """What a reset returned.

    Attributes:
        state: Published state, `[E, ...]` by name.
        seconds: Phases that the environment names, or None.
    """

    state: Mapping[str, Tensor]
    seconds: Mapping[str, float] | None


class Stepped(NamedTuple):
    """What a step returned.

    Attributes:
        state: Published state, `[E, ...]` by name.
        reward: Float `[E]`.
        terminated, truncated: Bool `[E]`.
        events: In plain values.
        seconds: Phases that the environment names, or None.
    """

    state: Mapping[str, Tensor]
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    events: list[Event]
    seconds: Mapping[str, float] | None


def take_reset(owner: Owner, found: Any, spec: StateSpec, actions: ActionSpec, num_envs: int) -> Begun:
    """Return what a reset of E environments returned, checked."""
    state, info = _parts(owner, "reset", found, ("state", "info"))
    _check_state(owner, state, spec, actions, num_envs)
    return Begun(state, _seconds(owner, info))


def take_step(
    owner: Owner, found: Any, spec: StateSpec, actions: ActionSpec, num_envs: int, device: torch.device | None = None
) -> Stepped:
    """Return what a step of E environments returned, checked; a device is where rewards and flags must be."""
    names = ("state", "reward", "terminated", "truncated", "info")
    state, reward, terminated, truncated, info = _parts(owner, "step", found, names)
    _check_state(owner, state, spec, actions, num_envs)
    check_tensor(owner, "its reward", reward, "float", (num_envs,), device)
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        check_tensor(owner, f"its '{name}'", value, "bool", (num_envs,), device)
    events = taken_events(owner, _info(owner, info).get("events", ()), num_envs)
    return Stepped(state, reward, terminated, truncated, events, _seconds(owner, info))


def take_loss(owner: Owner, found: Any) -> LossResult:
    """Return what a loss returned, checked: a scalar to minimise, a KL, and metrics as detached scalars."""
    check_type(owner, "what it returns", found, LossResult)
    check_tensor(owner, "its loss", found.loss, "float", ())
    if not found.loss.requires_grad:
        raise owner.breach("its loss depends on no weight: it has no gradient")
    device = found.loss.device
    metrics = {
        name: _scalar(owner, f"metric '{name}'", value, device) for name, value in _table(owner, found.metrics).items()
    }
    return LossResult(found.loss, _scalar(owner, "kl", found.kl, device), metrics)


def taken_state(owner: Owner, found: Any) -> dict[str, Any]:
    """Return a copy of what a component says that the next update depends on; it can be written exactly."""
    if not isinstance(found, Mapping):
        raise owner.breach(f"its state() is a {type(found).__name__}, not a table")
    try:
        state: dict[str, Any] = from_exact(to_exact(found))
    except NotPlain as problem:
        raise owner.breach(f"its state() cannot be saved: {problem}") from problem
    return state


def _check_state(owner: Owner, found: Any, spec: StateSpec, actions: ActionSpec, num_envs: int) -> None:
    if not isinstance(found, Mapping):
        raise owner.breach(f"its state is a {type(found).__name__}, not a table by name")
    slots = actions.head(actions.slot).size if actions.slot is not None else 0
    for entry in spec.fields:
        if entry.name not in found:
            raise owner.breach(f"its state lacks '{entry.name}'; it has {', '.join(map(str, found)) or 'nothing'}")
        value = found[entry.name]
        if not slots and "N" in entry.shape and isinstance(value, Tensor) and value.dim() == len(entry.shape):
            slots = value.shape[entry.shape.index("N")]
        sizes = entry.sizes(num_envs, slots, len(actions.ops))
        check_tensor(owner, f"its state's '{entry.name}'", value, entry.dtype, sizes)


def _parts(owner: Owner, call: str, found: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    if not isinstance(found, tuple | list) or len(found) != len(names):
        count = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        raise owner.breach(f"{call} returned a {type(found).__name__}{count}, not {', '.join(names)}")
    return tuple(found)


def _info(owner: Owner, info: Any) -> Mapping[str, Any]:
    if not isinstance(info, Mapping):
        raise owner.breach(f"its info is a {type(info).__name__}, not a table")
    return info


def _seconds(owner: Owner, info: Any) -> Mapping[str, float] | None:
    said = _info(owner, info).get("seconds")
    if said is None:
        return None
    numbers = {name: number for name, number in said.items() if is_number(number)} if isinstance(said, Mapping) else {}
    if not isinstance(said, Mapping) or len(numbers) < len(said):
        raise owner.breach(f"its info['seconds'] is {said!r}, not a table of phases with numbers")
    return numbers


def _table(owner: Owner, metrics: Any) -> Mapping[str, Any]:
    if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
        raise owner.breach("its metrics are not a table by name")
    return metrics


def _scalar(owner: Owner, name: str, value: Any, device: torch.device) -> Tensor:
    try:
        scalar = value.detach() if isinstance(value, Tensor) else torch.as_tensor(plain(value), dtype=torch.float64)
    except (NotPlain, TypeError, ValueError, RuntimeError) as problem:
        raise owner.breach(f"its {name} is a {type(value).__name__}, not a number") from problem
    if scalar.dim():
        raise owner.breach(f"its {name} has shape {list(scalar.shape)}, not that of one number")
    return scalar.to(device)
