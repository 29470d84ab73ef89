"""Parameters of one kind of module for several hosts, with their momentum; rows come and go."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import define, field
from torch import Tensor, nn

from esper_growth.fused.fold import Folded


@define(eq=False)
class Stack:
    """Rows of parameters, one per host that has the module.

    Attributes:
        folded: The module's function on folded activations.
        computing: dtype in which parameters are handed out.
        hosts: Host of each row.
        values: Parameters `[m, ...]`, leaves that require gradients.
        momenta: Their momentum buffers. A new row starts with zeros, which makes its first buffer its gradient.
    """

    folded: Folded
    computing: torch.dtype
    hosts: list[int] = field(factory=list)
    values: dict[str, Tensor] = field(factory=dict)
    momenta: dict[str, Tensor] = field(factory=dict)

    def add(self, host: int, module: nn.Module) -> None:
        """Append a row with the parameters of `module`."""
        for name, parameter in module.named_parameters():
            row = parameter.detach().clone().unsqueeze(0)
            if self.hosts:
                self._replace(name, torch.cat([self.values[name].detach(), row]))
                self.momenta[name] = torch.cat([self.momenta[name], torch.zeros_like(row)])
            else:
                self._replace(name, row)
                self.momenta[name] = torch.zeros_like(row)
        self.hosts.append(host)

    def remove(self, host: int) -> None:
        """Drop a host's row; the other rows keep their values and their momentum."""
        gone = self.hosts.index(host)
        keep = torch.tensor([row for row in range(len(self.hosts)) if row != gone], dtype=torch.int64)
        for name, value in list(self.values.items()):
            self._replace(name, value.detach().index_select(0, keep.to(value.device)))
            self.momenta[name] = self.momenta[name].index_select(0, keep.to(value.device))
        del self.hosts[gone]

    def row(self, host: int) -> int:
        """Return the row of a host; raises ValueError when it has none."""
        return self.hosts.index(host)

    def select(self, rows: Tensor | None, *, detached: bool = False) -> dict[str, Tensor]:
        """Return the parameters of some rows, int64 `[k]`, or of all, in the dtype that is computed in."""
        values = {name: value.detach() for name, value in self.values.items()} if detached else self.values
        if rows is not None:
            values = {name: value.index_select(0, rows) for name, value in values.items()}
        return {name: value.to(self.computing) for name, value in values.items()}

    def parameters_per_row(self) -> int:
        """Return the number of parameters of one host's module."""
        return sum(value[0].numel() for value in self.values.values())

    def squared_norms(self) -> Tensor | None:
        """Return the squared gradient norm of each tensor and row, `[tensors, m]`; None without gradients."""
        gradients = [value.grad for value in self.values.values() if value.grad is not None]
        if not gradients:
            return None
        # Row by row, and in one order: how a sum over one dimension of several rounds depends on how many there are.
        norms = torch._foreach_norm([row for gradient in gradients for row in gradient.contiguous().unbind()])
        return torch.stack(norms).square().view(len(gradients), -1)

    def scale_gradients(self, factor: Tensor) -> None:
        """Multiply the gradients of each row by `factor [m]`."""
        for value in self.values.values():
            if value.grad is not None:
                value.grad.mul_(factor.view(-1, *([1] * (value.dim() - 1))))

    def read(self, row: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Return copies of a row: name → (value, momentum)."""
        return {name: (v[row].detach().clone(), self.momenta[name][row].clone()) for name, v in self.values.items()}

    @torch.no_grad()
    def write(self, row: int, content: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Overwrite a row with what `read` returned."""
        for name, (value, momentum) in content.items():
            self.values[name][row] = value
            self.momenta[name][row] = momentum

    def _replace(self, name: str, value: Tensor) -> None:
        self.values[name] = value.contiguous().requires_grad_()


@torch.no_grad()
def descend(stacks: Sequence[tuple[Stack, Sequence[int]]], lr: float, momentum: float) -> None:
    """Take one step of SGD with momentum on everything that has a gradient.

    Args:
        stacks: Each with the rows that must not move.
        lr: Learning rate.
        momentum: Share of the buffer that is kept.
    """
    values: list[Tensor] = []
    buffers: list[Tensor] = []
    gradients: list[Tensor] = []
    kept: list[tuple[Tensor, Tensor]] = []
    for stack, frozen in stacks:
        for name, value in stack.values.items():
            if value.grad is None:
                continue
            values.append(value)
            gradients.append(value.grad)
            buffers.append(stack.momenta[name])
            kept += [(tensor[row], tensor[row].clone()) for row in frozen for tensor in (value, stack.momenta[name])]
    if not values:
        return
    torch._foreach_mul_(buffers, momentum)
    torch._foreach_add_(buffers, gradients)
    # Not fused into one operation: the last few entries of a tensor would round differently from the others.
    torch._foreach_sub_(values, torch._foreach_mul(buffers, lr))
    for place, before in kept:
        place.copy_(before)
