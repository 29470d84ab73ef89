"""A GPU that is not there: torch's `meta` device, made as strict as a real one and able to answer when it is read.

Its tensors have shapes and no numbers, so that a component, or a whole update, runs on it wherever torch does, and a
tensor made on the wrong device or a hidden wait for the device comes to light.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU, META = torch.device("cpu"), torch.device("meta")
_aten = torch.ops.aten
_INDEXING = (_aten.index.Tensor, _aten.index_put_.default)
_FROM_PYTHON = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class FakeDevice(TorchDispatchMode):
    """Within this mode the device 'meta' plays a GPU.

    What is read from it is made up: true, 0, and every row of a mask. As on a GPU, a CPU tensor may be copied to it, be
    an index into its tensors, or be a number `[]`; anything else raises.

    Attributes:
        crossings: Operations that moved something between the device and the CPU; each costs time, and none can be
            part of a CUDA graph.

    Raises:
        RuntimeError: an operation on tensors of several devices, or with a generator of another device.
    """

    name = "meta"

    def __init__(self) -> None:
        super().__init__()
        self.crossings: list[str] = []
        self._python = _PythonData(self.crossings)

    def __enter__(self) -> FakeDevice:
        self._python.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._python.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Check one operation, and answer it where the device would have to be read."""
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        here = [tensor for tensor in tensors if tensor.device == META]
        target = kwargs.get("device", META if here else CPU)
        if func is _aten._to_copy.default and (len(here) == 1) != (target == META):
            return self._cross(func, torch.zeros_like(args[0], dtype=kwargs.get("dtype"), device=target))
        if not here:
            return func(*args, **kwargs)
        for generator in (leaf for leaf in leaves if isinstance(leaf, torch.Generator)):
            raise RuntimeError(f"{func} on the device draws from a generator on {generator.device}")
        strangers = [tensor for tensor in tensors if tensor.device != META]
        if func is _aten.copy_.default and strangers:
            return self._cross(func, args[0])
        if func is _aten._local_scalar_dense.default:
            kind = args[0].dtype
            return self._cross(func, kind == torch.bool or (0.0 if kind.is_floating_point else 0))
        if func is _aten.nonzero.default:
            return self._cross(func, args[0].new_empty((0, args[0].dim()), dtype=torch.int64))
        if func in _INDEXING:
            strangers = [tensor for tensor in tree_leaves(args[2:]) if isinstance(tensor, Tensor)]
            strangers = [tensor for tensor in strangers if tensor.device != META]
            args = (args[0], [row for index in args[1] for row in self._rows(func, index)], *args[2:])
        if any(tensor.dim() for tensor in strangers):
            shapes = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in tensors)
            raise RuntimeError(f"{func} has tensors of several devices: {shapes}")
        return func(*args, **kwargs)

    def _rows(self, func: Any, index: Tensor | None) -> list[Tensor | None]:
        """Return an index as the device takes it; a mask's number of rows would have to be read."""
        if index is None or (index.device == META and index.dtype != torch.bool):
            return [index]
        rows = index.numel() if index.dtype == torch.bool else index.shape
        count = index.dim() if index.dtype == torch.bool else 1
        return self._cross(func, [torch.zeros(rows, dtype=torch.int64, device=META)] * count)

    def _cross(self, func: Any, result: Any) -> Any:
        self.crossings.append(str(func))
        return result


class _PythonData(TorchFunctionMode):
    """Notes where Python numbers and lists become tensors on the device; operations do not show it."""

    def __init__(self, crossings: list[str]) -> None:
        super().__init__()
        self._crossings = crossings

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function and note what it sends to the device."""
        result = func(*args, **(kwargs or {}))
        made = func in _FROM_PYTHON and result.device == META
        listed = func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device == META and _has_list(args[1])
        if made or listed:
            self._crossings.append(func.__name__)
        return result


def _has_list(index: Any) -> bool:
    return isinstance(index, list) or (isinstance(index, tuple) and any(isinstance(entry, list) for entry in index))
