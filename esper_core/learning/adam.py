"""The optimiser: torch's Adam, without what its `step` prepares anew at every call."""

from __future__ import annotations

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980) of one group of parameters, all on one device.

    On a CPU a step is one kernel for all parameters. What else `step` does, such as calls of hooks that nobody has
    registered, would take longer than the kernel.
    """

    _moments: tuple[tuple[Tensor, ...], ...] = ()
    _counts: Tensor

    @torch.no_grad()
    def advance(self, shorter: float = 1.0) -> None:
        """Take a step with the gradients, after they were divided by a number, in place."""
        (group,) = self.param_groups
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        if any(gradient is None for gradient in gradients) or not group["fused"] or not self._gathered(parameters):
            if shorter != 1.0:
                torch._foreach_div_([gradient for gradient in gradients if gradient is not None], shorter)
            self.step()
            return
        steps, means, squares = self._moments
        self._counts.add_(1)
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
            grad_scale=None if shorter == 1.0 else torch.tensor(shorter),
        )

    def _gathered(self, parameters: list[Tensor]) -> bool:
        """Return whether every parameter has moments; they are looked for again where they are new."""
        if self._moments and self.state[parameters[0]].get("step") is self._moments[0][0]:
            return True
        known = [self.state[parameter] for parameter in parameters]
        if not all(known):
            return False
        # One tensor, to which one operation adds.
        self._counts = torch.stack([state["step"] for state in known])
        for state, step in zip(known, self._counts.unbind(), strict=True):
            state["step"] = step
        self._moments = tuple(tuple(s[name] for s in known) for name in ("step", "exp_avg", "exp_avg_sq"))
        return True
