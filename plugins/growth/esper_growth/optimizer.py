"""An optimiser for networks that gain and lose parameters; the momentum of the others is left as it is."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

HOST = "host"


class GrowingSGD(torch.optim.SGD):
    """SGD with momentum whose parameter groups come and go by name; one group for the host, one per seed."""

    def __init__(self, host: nn.Module, lr: float, momentum: float) -> None:
        super().__init__([{"params": list(host.parameters()), "name": HOST}], lr=lr, momentum=momentum)

    def add(self, name: str, parameters: Iterable[Tensor]) -> None:
        """Start optimising parameters, without momentum; they join the group `name` if it exists."""
        new = list(parameters)
        for group in self.param_groups:
            if group["name"] == name:
                group["params"].extend(new)
                return
        self.add_param_group({"params": new, "name": name})

    def remove(self, name: str) -> None:
        """Drop a group and the state of its parameters."""
        (group,) = (g for g in self.param_groups if g["name"] == name)
        self.drop(group["params"])
        self.param_groups.remove(group)

    def drop(self, parameters: Iterable[Tensor]) -> None:
        """Drop single parameters and their state."""
        gone = {id(p) for p in parameters}
        for group in self.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in gone]
        for parameter in [p for p in self.state if id(p) in gone]:
            del self.state[parameter]
