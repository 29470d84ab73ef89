"""What components return, checked where it comes in: types, names, shapes, dtypes and devices.

Each function raises PluginError, which names the component, what was expected and what came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import Features, Masks, NetworkOutput, Values

Shape = tuple[int, ...]
_DTYPES = {"int": torch.int64, "bool": torch.bool, "uint8": torch.uint8}


def check_tensor(
    owner: Owner, what: str, value: Any, kind: str, shape: Shape, device: torch.device | None = None
) -> None:
    """Check one tensor: of kind 'float' (any width), 'int' (int64), 'bool' or a dtype's name, on a device if given."""
    if not isinstance(value, Tensor):
        raise owner.breach(f"{what} is a {type(value).__name__}, not a tensor {kind} {list(shape)}")
    right = value.is_floating_point() if kind == "float" else value.dtype is _DTYPES.get(kind)
    if right and value.shape == shape and (device is None or value.device == device):
        # Nearly always so, and at every step: nothing is put into words for it.
        return
    elsewhere = device is not None and value.device != device and value.device.type != device.type
    dtype = str(value.dtype).removeprefix("torch.")
    fits = value.is_floating_point() if kind == "float" else dtype == {"int": "int64"}.get(kind, kind)
    if value.shape != shape or elsewhere or not fits:
        found = f"{dtype} {list(value.shape)}"
        where = (f" on {value.device}", f" on {device}") if elsewhere else ("", "")
        raise owner.breach(f"{what} is {found}{where[0]}, not {kind} {list(shape)}{where[1]}")


def check_indices(owner: Owner, what: str, value: Tensor, low: int, high: int) -> None:
    """Check that integers are from `low` to below `high`."""
    if not bool(((value >= low) & (value < high)).all()):
        raise owner.breach(f"{what} goes from {int(value.min())} to {int(value.max())}, not from {low} to {high - 1}")


def check_table(owner: Owner, what: str, found: Any) -> Mapping[Any, Any]:
    """Return a value that must be a table."""
    if not isinstance(found, Mapping):
        raise owner.breach(f"{what} is a {type(found).__name__}, not a table")
    return found


def check_names(owner: Owner, what: str, found: Any, expected: Iterable[str]) -> None:
    """Check that a table has exactly the expected keys."""
    wanted, there = list(expected), check_table(owner, what, found)
    if there.keys() != set(wanted):
        has, must = (", ".join(map(repr, names)) or "nothing" for names in (there, wanted))
        raise owner.breach(f"{what} has {has}, not {must}")


def check_type(owner: Owner, what: str, value: Any, kind: type) -> None:
    """Check that a value is of one of our classes, such as a NamedTuple of the contract."""
    if not isinstance(value, kind):
        raise owner.breach(f"{what} is a {type(value).__name__}, not {kind.__module__}.{kind.__name__}")


def take_features(
    owner: Owner, found: Any, schema: FeatureSchema, num_envs: int, dtype: torch.dtype, device: torch.device
) -> Features:
    """Check what features make of a state of E environments: `obs [E, D]`, `indices [E, width]`, `arrays [E, *shape]`.

    Observations and arrays may be floats of any width; they are returned in that of the weights.
    """
    check_type(owner, "what it returns", found, Features)
    check_tensor(owner, "its obs", found.obs, "float", (num_envs, schema.dim), device)
    check_names(owner, "its table of indices", found.indices, [block.name for block in schema.indices])
    for block in schema.indices:
        value, what = found.indices[block.name], f"its indices '{block.name}'"
        check_tensor(owner, what, value, "int", (num_envs, block.width), device)
        check_indices(owner, what, value, -1, block.vocabulary)
    if not schema.arrays and not found.arrays:
        return Features(found.obs.to(dtype), found.indices)
    check_names(owner, "its table of arrays", found.arrays, [entry.name for entry in schema.arrays])
    for entry in schema.arrays:
        what = f"its array '{entry.name}'"
        check_tensor(owner, what, found.arrays[entry.name], entry.dtype, (num_envs, *entry.shape), device)
    arrays = {name: value.to(dtype) if value.is_floating_point() else value for name, value in found.arrays.items()}
    return Features(found.obs.to(dtype), found.indices, arrays)


def check_mask_form(owner: Owner, found: Any, actions: ActionSpec, num_envs: int, device: torch.device | None) -> None:
    """Check the form of masks: bool `[E, K]` per categorical head, and `[E, O, N]` with a slot head."""
    check_type(owner, "what it returns", found, Masks)
    check_names(owner, "its table of masks", found.heads, [head.name for head in actions.categorical])
    for head in actions.categorical:
        what = f"its mask of head '{head.name}'"
        check_tensor(owner, what, found.heads[head.name], "bool", (num_envs, head.size), device)
    if actions.slot is not None:
        sizes = (num_envs, len(actions.ops), actions.category(actions.slot).size)
        if found.slot_given_op is None:
            raise owner.breach(f"it has no 'slot_given_op', bool {list(sizes)}, but the actions have a slot head")
        check_tensor(owner, "its slot_given_op", found.slot_given_op, "bool", sizes, device)


def check_recurrent(owner: Owner, what: str, found: Any, num_envs: int, like: Any = None) -> None:
    """Check a recurrent state: a NamedTuple of tensors with the batch at dimension 1, of the shapes of another.

    None is the state of what remembers nothing.
    """
    if found is None:
        return
    if not (isinstance(found, tuple) and hasattr(found, "_asdict")):
        raise owner.breach(f"{what} is a {type(found).__name__}, not a NamedTuple of tensors")
    parts: dict[str, Any] = found._asdict()
    if like is not None:
        check_names(owner, what, parts, getattr(like, "_fields", ()))
    for name, value in parts.items():
        if not isinstance(value, Tensor):
            raise owner.breach(f"the {name} of {what} is a {type(value).__name__}, not a tensor")
        shape = value.shape if like is None else getattr(like, name).shape
        if value.dim() < 2 or value.shape[1] != num_envs or value.shape != shape:
            wanted = f"{num_envs} environments at dimension 1" if like is None else list(shape)
            raise owner.breach(f"the {name} of {what} has shape {list(value.shape)}, not {wanted}")


def check_output(
    owner: Owner, found: Any, actions: ActionSpec, latent_dim: int, lead: Shape, before: Any, device: torch.device
) -> None:
    """Check what a network returns, `lead = (E, T)`: latent `[*lead, H]`, logits `[*lead, head.size]`, next state.

    Logits of the slot may also be `[*lead, O, N]`.
    """
    check_type(owner, "what it returns", found, NetworkOutput)
    check_tensor(owner, "its latent", found.latent, "float", (*lead, latent_dim), device)
    check_names(owner, "its table of logits", found.logits, actions.names)
    for name in actions.names:
        value = found.logits[name]
        shape = _shape_of_logits(actions, name, value, lead)
        check_tensor(owner, f"its logits of head '{name}'", value, "float", shape, device)
    check_recurrent(owner, "its state", found.state, lead[0], before)


def _shape_of_logits(actions: ActionSpec, name: str, value: Any, lead: Shape) -> Shape:
    """Return the shape that a head's logits have to be of: those of the slot may be given each operation."""
    each = name == actions.slot and isinstance(value, Tensor) and value.dim() == len(lead) + 2
    return (*lead, *((len(actions.ops),) if each else ()), actions.head(name).size)


def check_values(owner: Owner, found: Any, actions: ActionSpec, lead: Shape, device: torch.device) -> None:
    """Check what a critic returns for `lead = (E, T)`: `[E, T]`, and `by_op [E, T, O]` or None."""
    check_type(owner, "what it returns", found, Values)
    for name in ("value", "q_taken"):
        check_tensor(owner, f"its {name}", getattr(found, name), "float", lead, device)
    if found.by_op is not None:
        check_tensor(owner, "its by_op", found.by_op, "float", (*lead, len(actions.ops)), device)
