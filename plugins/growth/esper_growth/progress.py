"""Measurements of each host's training, as tensors ready to publish."""

from __future__ import annotations

import torch
from attrs import define, fields
from torch import Tensor

from esper_growth.runtime import Gradients, Validation
from esper_growth.state import HISTORY

PLATEAU_GAIN = 0.005
STABLE_LOSS_CHANGE = (-0.05, 0.03)
STABLE_EPOCHS = 3
VELOCITY_DECAY = 0.7

UNMEASURED: dict[str, float | int | bool] = {
    "contribution": torch.nan,
    "contribution_velocity": 0.0,
    "gradient_norm": 0.0,
    "gradient_health": -1.0,
    "gradient_health_prev": -1.0,
    "vanishing": False,
    "exploding": False,
    "interaction_sum": 0.0,
    "boost_received": 0.0,
    "interaction_age": -1,
}
"""The measurements of a seed, `[E, N]`, with their value where nothing was measured."""


@define
class Progress:
    """Measurements of all hosts, `[E]`, and of their seeds, `[E, N]`; fields as in `esper_growth.state`."""

    epoch: Tensor
    loss: Tensor
    accuracy: Tensor
    loss_history: Tensor
    accuracy_history: Tensor
    best_loss: Tensor
    best_accuracy: Tensor
    plateau_epochs: Tensor
    stable_epochs: Tensor
    stabilized: Tensor
    contribution: Tensor
    contribution_velocity: Tensor
    gradient_norm: Tensor
    gradient_health: Tensor
    gradient_health_prev: Tensor
    vanishing: Tensor
    exploding: Tensor
    interaction_sum: Tensor
    boost_received: Tensor
    interaction_age: Tensor

    @classmethod
    def start(cls, validation: Validation, num_slots: int) -> Progress:
        """Return the measurements of untrained hosts, which were validated once."""
        num_envs = validation.loss.shape[0]
        columns = {f.name: torch.zeros(num_envs, dtype=torch.int64) for f in fields(cls)}
        columns |= {name: torch.full((num_envs, num_slots), empty) for name, empty in UNMEASURED.items()}
        for name in ("loss", "accuracy"):
            measured: Tensor = getattr(validation, name)
            columns |= {name: measured.clone(), f"best_{name}": measured.clone()}
            columns[f"{name}_history"] = torch.full((num_envs, HISTORY), -1.0)
        columns["stabilized"] = torch.zeros(num_envs, dtype=torch.bool)
        return cls(**columns)

    def record(self, validation: Validation, gradients: Gradients, active: Tensor) -> None:
        """Record one epoch of the active environments, bool `[E]`."""
        self._record_host(validation, active)
        self._record_seeds(validation, gradients, active[:, None])

    def forget_seed(self, env: int, slot: int) -> None:
        """Clear everything measured about the seed of a slot."""
        for name, empty in UNMEASURED.items():
            getattr(self, name)[env, slot] = empty

    def _set(self, where: Tensor, **values: Tensor | int) -> None:
        """Overwrite measurements where a mask holds."""
        for name, value in values.items():
            setattr(self, name, torch.where(where, value, getattr(self, name)))

    def _record_host(self, validation: Validation, active: Tensor) -> None:
        loss, accuracy = validation.loss, validation.accuracy
        low, high = STABLE_LOSS_CHANGE
        change = (self.loss - loss) / self.loss.clamp_min(1e-8)
        stable = torch.where((change > low) & (change < high), self.stable_epochs + 1, 0)
        stalled = torch.where(accuracy - self.accuracy < PLATEAU_GAIN, self.plateau_epochs + 1, 0)
        self._set(
            active[:, None],
            loss_history=_shifted(self.loss_history, self.loss),
            accuracy_history=_shifted(self.accuracy_history, self.accuracy),
        )
        self._set(active, stable_epochs=stable, plateau_epochs=stalled, loss=loss, accuracy=accuracy)
        self.stabilized |= active & (stable >= STABLE_EPOCHS)
        self.best_loss = torch.minimum(self.best_loss, self.loss)
        self.best_accuracy = torch.maximum(self.best_accuracy, self.accuracy)
        self.epoch += active

    def _record_seeds(self, validation: Validation, gradients: Gradients, active: Tensor) -> None:
        measured = ~validation.contribution.isnan()
        change = (validation.contribution - self.contribution).nan_to_num(0.0)
        velocity = VELOCITY_DECAY * self.contribution_velocity + (1 - VELOCITY_DECAY) * change
        self._set(active & measured, contribution_velocity=velocity)
        self._set(
            active,
            contribution=validation.contribution,
            gradient_health_prev=self.gradient_health,
            gradient_health=gradients.health,
            gradient_norm=gradients.norm,
            vanishing=gradients.vanishing,
            exploding=gradients.exploding,
        )
        self._set(active & (self.interaction_age >= 0), interaction_age=self.interaction_age + 1)
        if validation.interactions is not None:
            pairs = validation.interactions.nan_to_num(0.0)
            boost = pairs.amax(dim=2).clamp_min(0.0)
            self._set(active & measured, interaction_sum=pairs.sum(dim=2), boost_received=boost, interaction_age=0)


def _shifted(history: Tensor, value: Tensor) -> Tensor:
    return torch.cat([history[:, 1:], value[:, None].to(history.dtype)], dim=1)
