"""What environments and losses return, checked and brought into form where it comes in.

Each function raises PluginError, which names the component, what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.events import Event, is_number, taken_events
from esper_core.contracts.foreign import Owner
from esper_core.contracts.plain import NotPlain, from_exact, plain, to_exact
from esper_core.contracts.protocols import LossResult, State
from esper_core.contracts.state import StateSpec
from esper_core.policy.boundary import check_table, check_tensor, check_type

Seconds = Mapping[str, float] | None


class Stepped(NamedTuple):
    """What a step returned: the published state `[E, ...]` by name, the rest `[E]`, and named phases."""

    state: State
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    events: list[Event]
    seconds: Seconds


def take_reset(owner: Owner, found: Any, spec: StateSpec, actions: ActionSpec, num_envs: int) -> tuple[State, Seconds]:
    """Return the state and the seconds that a reset of E environments returned, checked."""
    state, info = _parts(owner, "reset", found, ("state", "info"))
    check_state(owner, state, spec, actions, num_envs)
    return state, _seconds(owner, info)


def absent_rows(owner: Owner, info: Mapping[str, Any], num_envs: int, device: torch.device) -> Tensor:
    """Return which rows take no part in the episodes that a reset with this info began, bool `[E]`, checked."""
    absent = info.get("absent")
    if absent is None:
        return torch.zeros(num_envs, dtype=torch.bool, device=device)
    check_tensor(owner, "its info['absent']", absent, "bool", (num_envs,), device)
    return absent


def take_privileged(owner: Owner, info: Mapping[str, Any], num_envs: int, width: int, like: Tensor) -> Tensor | None:
    """Return what the info of a reset or step tells critics alone, `[E, P]`, checked, as `like` is; None for P = 0."""
    if not width:
        return None
    told = info.get("privileged")
    check_tensor(owner, "its info['privileged']", told, "float", (num_envs, width))
    return told.to(like)  # type: ignore[union-attr]


def take_step(
    owner: Owner, found: Any, spec: StateSpec, actions: ActionSpec, num_envs: int, device: torch.device | None = None
) -> Stepped:
    """Return what a step of E environments returned, checked; a device is where rewards and flags must be."""
    state, reward, terminated, truncated, info = _parts(owner, "step", found, (*Stepped._fields[:4], "info"))
    check_state(owner, state, spec, actions, num_envs)
    check_tensor(owner, "its reward", reward, "float", (num_envs,), device)
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        check_tensor(owner, f"its '{name}'", value, "bool", (num_envs,), device)
    events = taken_events(owner, check_table(owner, "its info", info).get("events", ()), num_envs)
    return Stepped(state, reward, terminated, truncated, events, _seconds(owner, info))


def take_loss(owner: Owner, found: Any) -> LossResult:
    """Return what a loss returned, checked: a scalar to minimise, a KL, and metrics as detached scalars."""
    check_type(owner, "what it returns", found, LossResult)
    check_tensor(owner, "its loss", found.loss, "float", ())
    if not found.loss.requires_grad:
        raise owner.breach("its loss depends on no weight: it has no gradient")
    device, said = found.loss.device, check_table(owner, "its table of metrics", found.metrics)
    if not all(isinstance(name, str) for name in said):
        raise owner.breach("the name of one of its metrics is not a string")
    metrics = {
        name: value if type(value) is float else _scalar(owner, f"metric '{name}'", value, device)
        for name, value in said.items()
    }
    return LossResult(found.loss, _scalar(owner, "kl", found.kl, device), metrics)


def take_metrics(owner: Owner, found: Any) -> dict[str, float | None]:
    """Return metrics that a component returned, checked: name → number; one that is not finite is undefined, None."""
    table = check_table(owner, "its table of metrics", found)
    for name, value in table.items():
        if not isinstance(name, str) or not is_number(value):
            raise owner.breach(f"its metric {name!r} is {value!r:.80}, not a name with a number")
    return {name: float(value) if math.isfinite(value) else None for name, value in table.items()}


def taken_state(owner: Owner, found: Any) -> dict[str, Any]:
    """Return a copy of what a component says that the next update depends on; it can be written exactly."""
    try:
        state: dict[str, Any] = from_exact(to_exact(check_table(owner, "its state()", found)))
    except NotPlain as problem:
        raise owner.breach(f"its state() cannot be saved: {problem}") from problem
    return state


def check_state(owner: Owner, found: Any, spec: StateSpec, actions: ActionSpec, num_envs: int) -> None:
    """Check a state of E environments: every field of the spec, with its dtype and shape."""
    check_table(owner, "its state", found)
    slots = actions.category(actions.slot).size if actions.slot is not None else 0
    for entry in spec.fields:
        if entry.name not in found:
            raise owner.breach(f"its state lacks '{entry.name}'; it has {', '.join(map(str, found)) or 'nothing'}")
        value = found[entry.name]
        if not slots and "N" in entry.shape and getattr(value, "ndim", 0) == len(entry.shape):
            slots = value.shape[entry.shape.index("N")]
        sizes = entry.sizes(num_envs, slots, len(actions.ops))
        check_tensor(owner, f"its state's '{entry.name}'", value, entry.dtype, sizes)


def _parts(owner: Owner, call: str, found: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    if not isinstance(found, tuple | list) or len(found) != len(names):
        count = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        raise owner.breach(f"{call} returned a {type(found).__name__}{count}, not {', '.join(names)}")
    return tuple(found)


def _seconds(owner: Owner, info: Any) -> Seconds:
    said = check_table(owner, "its info", info).get("seconds")
    if said is None or (isinstance(said, Mapping) and all(map(is_number, said.values()))):
        return said
    raise owner.breach(f"its info['seconds'] is {said!r}, not a table of phases with numbers")


def _scalar(owner: Owner, name: str, value: Any, device: torch.device) -> Tensor:
    try:
        scalar = value.detach() if isinstance(value, Tensor) else torch.as_tensor(plain(value), dtype=torch.float64)
    except (NotPlain, TypeError, ValueError, RuntimeError) as problem:
        raise owner.breach(f"its {name} is a {type(value).__name__}, not a number") from problem
    if scalar.dim():
        raise owner.breach(f"its {name} has shape {list(scalar.shape)}, not that of one number")
    return scalar.to(device)
