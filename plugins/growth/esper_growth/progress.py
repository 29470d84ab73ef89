"""What the environment remembers about each host's training, as tensors ready to publish."""

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
        """Return the memory of untrained hosts, measured once."""
        num_envs = validation.loss.shape[0]
        per_slot = torch.zeros(num_envs, num_slots)
        counter, flag = torch.zeros(num_envs, dtype=torch.int64), torch.zeros(num_envs, dtype=torch.bool)
        columns = {f.name: per_slot.clone() for f in fields(cls)}
        columns |= {
            "epoch": counter.clone(),
            "plateau_epochs": counter.clone(),
            "stable_epochs": counter.clone(),
            "stabilized": flag,
            "loss": validation.loss.clone(),
            "accuracy": validation.accuracy.clone(),
            "best_loss": validation.loss.clone(),
            "best_accuracy": validation.accuracy.clone(),
            "loss_history": torch.full((num_envs, HISTORY), -1.0),
            "accuracy_history": torch.full((num_envs, HISTORY), -1.0),
            "contribution": torch.full_like(per_slot, torch.nan),
            "gradient_health": per_slot - 1,
            "gradient_health_prev": per_slot - 1,
            "vanishing": per_slot.bool(),
            "exploding": per_slot.bool(),
            "interaction_age": torch.full((num_envs, num_slots), -1),
        }
        return cls(**columns)

    def record(self, validation: Validation, gradients: Gradients, active: Tensor) -> None:
        """Take in one epoch of the active environments (bool `[E]`)."""
        self._record_host(validation, active)
        self._record_seeds(validation, gradients, active[:, None])

    def _record_host(self, validation: Validation, active: Tensor) -> None:
        loss, accuracy = validation.loss, validation.accuracy
        rows = active[:, None]
        self.loss_history = torch.where(rows, _shifted(self.loss_history, self.loss), self.loss_history)
        self.accuracy_history = torch.where(rows, _shifted(self.accuracy_history, self.accuracy), self.accuracy_history)
        low, high = STABLE_LOSS_CHANGE
        change = (self.loss - loss) / self.loss.clamp_min(1e-8)
        stable = torch.where((change > low) & (change < high), self.stable_epochs + 1, 0)
        stalled = torch.where(accuracy - self.accuracy < PLATEAU_GAIN, self.plateau_epochs + 1, 0)
        self.stable_epochs = torch.where(active, stable, self.stable_epochs)
        self.stabilized |= active & (stable >= STABLE_EPOCHS)
        self.plateau_epochs = torch.where(active, stalled, self.plateau_epochs)
        self.loss = torch.where(active, loss, self.loss)
        self.accuracy = torch.where(active, accuracy, self.accuracy)
        self.best_loss = torch.minimum(self.best_loss, self.loss)
        self.best_accuracy = torch.maximum(self.best_accuracy, self.accuracy)
        self.epoch += active

    def _record_seeds(self, validation: Validation, gradients: Gradients, active: Tensor) -> None:
        measured = ~validation.contribution.isnan()
        change = (validation.contribution - self.contribution).nan_to_num(0.0)
        velocity = VELOCITY_DECAY * self.contribution_velocity + (1 - VELOCITY_DECAY) * change
        self.contribution_velocity = torch.where(active & measured, velocity, self.contribution_velocity)
        self.contribution = torch.where(active, validation.contribution, self.contribution)
        self.gradient_health_prev = torch.where(active, self.gradient_health, self.gradient_health_prev)
        self.gradient_health = torch.where(active, gradients.health, self.gradient_health)
        self.gradient_norm = torch.where(active, gradients.norm, self.gradient_norm)
        self.vanishing = torch.where(active, gradients.vanishing, self.vanishing)
        self.exploding = torch.where(active, gradients.exploding, self.exploding)
        self.interaction_age = torch.where(
            active & (self.interaction_age >= 0), self.interaction_age + 1, self.interaction_age
        )
        if validation.interactions is not None:
            pairs = validation.interactions.nan_to_num(0.0)
            fresh = active & measured
            self.interaction_sum = torch.where(fresh, pairs.sum(dim=2), self.interaction_sum)
            self.boost_received = torch.where(fresh, pairs.amax(dim=2).clamp_min(0.0), self.boost_received)
            self.interaction_age = torch.where(fresh, 0, self.interaction_age)

    def forget_seed(self, env: int, slot: int) -> None:
        """Clear everything measured about the seed of a slot."""
        for name, empty in (
            ("contribution", torch.nan),
            ("contribution_velocity", 0.0),
            ("gradient_norm", 0.0),
            ("gradient_health", -1.0),
            ("gradient_health_prev", -1.0),
            ("vanishing", False),
            ("exploding", False),
            ("interaction_sum", 0.0),
            ("boost_received", 0.0),
            ("interaction_age", -1),
        ):
            getattr(self, name)[env, slot] = empty


def _shifted(history: Tensor, value: Tensor) -> Tensor:
    return torch.cat([history[:, 1:], value[:, None].to(history.dtype)], dim=1)
