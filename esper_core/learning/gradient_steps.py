"""What the gradient steps of one update say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.learning.monitors import kl_metrics, mean_of, number
from esper_core.learning.ratios import Ratios, ratio_at_start
from esper_core.learning.rollout import Sequences
from esper_core.policy.policy import Evaluation, Policy


class GradientSteps:
    """Ratios, divergences, norms and what a loss says, over the gradient steps of one update.

    Beside the loss it costs little: numbers are kept as tensors, and become metrics when the update is done.

    Attributes:
        kl: The joint KL at the last evaluation.
        epochs_done: Epochs that were finished.
    """

    def __init__(self, policy: Policy) -> None:
        self.kl, self.epochs_done = 0.0, 0
        learned = [(name.partition(".")[0], p) for name, p in policy.named_parameters() if p.requires_grad]
        self._parameters = [parameter for _, parameter in learned]
        self._parts = [part for part, _ in learned]
        self._nothing = self._parameters[0].new_zeros(()) if learned else torch.zeros(())
        self._ratios = Ratios(policy.actions.names)
        self._ratio_at_start = 1.0
        self._last: tuple[Sequences, Evaluation] | None = None
        self._logits: dict[str, Tensor] = {}
        self._norms: list[Tensor] = []
        self._said: defaultdict[str, list[Tensor | float]] = defaultdict(list)

    def evaluated(self, batch: Sequences, evaluation: Evaluation) -> None:
        """Note an evaluation before its loss is computed; its logits will retain their gradients."""
        if self._last is None:
            self._ratio_at_start = ratio_at_start(evaluation, batch.old_log_prob, batch.valid)
        self._last = batch, evaluation
        self._ratios.add(batch, evaluation)
        self._logits = {name: logits for name, logits in evaluation.logits.items() if logits.requires_grad}
        for logits in self._logits.values():
            logits.retain_grad()

    def gradient(self) -> float:
        """Note the gradient that a backward pass left, and return its norm.

        That of a head is the norm of the loss's derivative by its logits; 0 when nothing reaches them.
        """
        found = [value.grad for value in (*self._parameters, *self._logits.values())]
        sizes = torch.stack(torch._foreach_norm([self._nothing if one is None else one for one in found]))
        self._norms.append(sizes)
        return float(torch.linalg.vector_norm(sizes[: len(self._parameters)]))

    def stepped(self, said: Mapping[str, Tensor | float]) -> None:
        """Note what the loss said of a gradient step, scalars by name."""
        for name, value in said.items():
            self._said[name].append(value)

    def metrics(self) -> dict[str, float | None]:
        """Return means over the gradient steps, ratios over all evaluations, and the KL at the last one."""
        assert self._last is not None
        first = {"grad_norm": None, "ratio_at_start": self._ratio_at_start, "kl": number(self.kl)}
        said = {name: _numbers(values) for name, values in self._said.items()}
        said |= {name: values.tolist() for name, values in self._gradient_norms().items()}
        means = {name: mean_of(values) for name, values in said.items()}
        epochs = {"update_epochs_done": float(self.epochs_done)}
        return first | means | self._ratios.metrics() | kl_metrics(*self._last) | epochs

    def _gradient_norms(self) -> dict[str, Tensor]:
        """Return `grad_norm`, `grad_norm_network|critic` and `grad_norm/<head>`, each `[steps]`."""
        if not self._norms:
            return {}
        sizes = torch.stack(self._norms)
        norms = {"grad_norm": torch.linalg.vector_norm(sizes[:, : len(self._parts)], dim=1)}
        for part in dict.fromkeys(self._parts):
            columns = [column for column, own in enumerate(self._parts) if own == part]
            norms[f"grad_norm_{part}"] = torch.linalg.vector_norm(sizes[:, columns], dim=1)
        heads = zip(self._logits, sizes[:, len(self._parts) :].unbind(1), strict=True)
        return norms | {f"grad_norm/{name}": size for name, size in heads}


def _numbers(values: list[Tensor | float]) -> list[float]:
    """Return numbers, some of which may be tensors, of which one transfer fetches all."""
    tensors = iter(torch.stack(known).tolist() if (known := [v for v in values if isinstance(v, Tensor)]) else [])
    return [next(tensors) if isinstance(value, Tensor) else value for value in values]
