"""The optimiser: torch's Adam, without what its `step` prepares anew at every call."""

from __future__ import annotations

import torch


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980) of one group of parameters, all on one device.

    On a CPU a step is one kernel for all parameters, and numbers are those of `step` to the last bit. What else `step`
    does, such as calls of hooks that nobody has registered, would take longer than the kernel.
    """

    @torch.no_grad()
    def advance(self) -> None:
        """Take a step."""
        (group,) = self.param_groups
        parameters = group["params"]
        known = [self.state[parameter] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        if not group["fused"] or not all(known) or any(gradient is None for gradient in gradients):
            self.step()
            return
        steps, means, squares = ([state[name] for state in known] for name in ("step", "exp_avg", "exp_avg_sq"))
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )
