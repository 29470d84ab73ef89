"""Features `obs-v3` and `obs-slots`: one vectorised pass from the published state to the observation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Features
from esper_obs_v3.config import ObsSlotsConfig, ObsV3Config
from esper_obs_v3.schema import COUNTED_STAGES, LOSS_CEILING, STAGES, describe

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

_DORMANT = STAGES.index("DORMANT")
_COUNTED = [STAGES.index(stage) for stage in COUNTED_STAGES]


class ObsV3:
    """Maps a state to `obs [E, 31 + 30·N]` and `indices["blueprint"] [E, N]` (−1 without a seed).

    The columns are those of `schema`, in its order; the base block, four longer with `world`, is followed by one
    block per slot. A slot is active when it holds a seed or is on its way back to empty after a prune; an inactive
    slot's block is zero.
    """

    def __init__(self, config: ObsV3Config, context: BuildContext) -> None:
        self.schema = describe(config, context.slots, context.actions, context.state_spec)
        self._config, self._dtype = config, context.dtype
        self._num_ops = len(context.actions.ops)

    def __call__(self, state: State) -> Features:
        """Map a state of `[E, ...]` tensors to Features."""
        active = (state["stage"] != _DORMANT) | (state["blueprint"] >= 0)
        stages = torch.nn.functional.one_hot(state["stage"].long(), len(STAGES)).to(self._dtype)
        base, slots = self._base(state, stages, active), self._block(state, self._slots(state, stages, active), active)
        return Features(torch.cat([base, slots.flatten(1)], dim=1), {"blueprint": state["blueprint"].long()})

    def _base(self, state: State, stages: Tensor, active: Tensor) -> Tensor:
        """Return the base block `[E, 25 + O]`."""
        loss, accuracy = self._read(state, "loss"), self._read(state, "accuracy")
        losses, accuracies = self._read(state, "loss_history"), self._read(state, "accuracy_history")
        loss_delta = torch.where(losses[:, -1] < 0, 0, losses[:, -1] - loss)
        accuracy_delta = torch.where(accuracies[:, -1] < 0, 0, accuracy - accuracies[:, -1])
        parameters = self._read(state, "seed_parameters").log1p() / math.log1p(self._config.parameter_budget)
        return torch.cat(
            [
                _columns(
                    self._read(state, "epoch") / self._read(state, "epochs_total"),
                    _scaled(loss),
                    loss_delta.clamp(-2, 2) / 2,
                    accuracy,
                    _points(accuracy_delta, -10, 10),
                    self._read(state, "plateau_epochs").clamp(0, 20) / 20,
                    self._read(state, "stabilized"),
                ),
                torch.where(losses < 0, -1, _scaled(losses)),
                torch.where(accuracies < 0, -1, accuracies),
                _columns(
                    self._read(state, "best_accuracy"),
                    _scaled(self._read(state, "best_loss")),
                    parameters.clamp(0, 1),
                    active.to(self._dtype).mean(dim=1),
                ),
                stages[..., _COUNTED].mean(dim=1),
                self._read(state, "last_op_success")[:, None],
                torch.nn.functional.one_hot(state["last_op"].long(), self._num_ops).to(self._dtype),
                *self._world(state),
            ],
            dim=1,
        )

    def _world(self, state: State) -> list[Tensor]:
        """Return the columns that say what is trained, `[E, 4]`, where they are asked for."""
        if not self._config.world:
            return []
        return [
            _columns(
                ((self._read(state, "host_parameters") / 100).log10() / 3).clamp(0, 1),
                (self._read(state, "channels") / 16).log2().mean(dim=1).clamp(-2, 2),
                (self._read(state, "train_samples") / 1000).log().clamp(-2, 2),
                (state["axes"] >= 2).to(self._dtype),
            )
        ]

    def _slots(self, state: State, stages: Tensor, active: Tensor) -> Tensor:
        """Return what is seen of slots as if all were active, `[E, N, 30]`."""
        alpha = self._read(state, "alpha")
        epochs = self._read(state, "epochs_total")[:, None]
        upstream = alpha.cumsum(dim=1) - alpha
        downstream = alpha.sum(dim=1, keepdim=True) - alpha - upstream
        age = self._read(state, "interaction_age")
        fresh = torch.where(age < 0, -1, self._config.freshness_decay ** age.clamp(min=0))
        return torch.cat(
            [
                active.to(self._dtype)[..., None],
                stages,
                _columns(
                    alpha,
                    self._read(state, "alpha_target"),
                    self._read(state, "alpha_mode") / 2,
                    self._read(state, "alpha_velocity").clamp(-1, 1),
                    (self._read(state, "ticks_to_target") / epochs).clamp(0, 1),
                    self._read(state, "algorithm") / 2,
                    _points(self._read(state, "contribution"), -10, 10),
                    _points(self._read(state, "contribution_velocity"), -10, 10),
                    (self._read(state, "epochs_in_stage") / epochs).clamp(0, 1),
                    self._read(state, "gradient_norm").clamp(0, 10) / 10,
                    self._read(state, "gradient_health"),
                    self._read(state, "gradient_health_prev"),
                    self._read(state, "vanishing"),
                    self._read(state, "exploding"),
                    _points(self._read(state, "interaction_sum"), 0, 10),
                    _points(self._read(state, "boost_received"), 0, 5),
                    self._neighbours(upstream),
                    self._neighbours(downstream),
                    fresh,
                ),
            ],
            dim=2,
        )

    def _neighbours(self, alpha: Tensor) -> Tensor:
        """Return what is seen of the sum of alpha on one side of each slot, `[E, N]`."""
        return (alpha / 3).clamp(0, 1)

    def _block(self, state: State, slots: Tensor, active: Tensor) -> Tensor:
        """Return the slot blocks `[E, N, ·]`."""
        return slots * active[..., None]

    def _read(self, state: State, name: str) -> Tensor:
        return state[name].to(self._dtype)


class ObsSlots(ObsV3):
    """`obs-v3` whose slot blocks mean the same for every number of slots, with two or three columns more.

    What a slot sees of the others is a share of what N − 1 could be, and does not end at three. Of empty slots as much
    is seen as of others: where they are and how wide, too.
    """

    def __init__(self, config: ObsSlotsConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        last = context.slots.num_slots - 1
        place = torch.arange(last + 1, dtype=context.dtype, device=context.device)
        self._others, self._position = max(last, 1), place / last if last else place + 0.5
        self._positioned = config.position

    def _neighbours(self, alpha: Tensor) -> Tensor:
        return (alpha / self._others).clamp(0, 1)

    def _block(self, state: State, slots: Tensor, active: Tensor) -> Tensor:
        channels = self._read(state, "channels")
        width = torch.where(channels > 0, (channels / 16).log2().clamp(-4, 4) / 4, 0)
        position = [self._position.expand_as(width)] if self._positioned else []
        return torch.cat([slots, _columns(*position, width, (channels > 0).to(self._dtype))], dim=2)


def _columns(*columns: Tensor) -> Tensor:
    return torch.stack(columns, dim=-1)


def _scaled(loss: Tensor) -> Tensor:
    """Return ln(1 + loss) / ln 11, cut at 2; a negative loss counts as 0."""
    return (loss.clamp(min=0).log1p() / math.log(11)).clamp(0, LOSS_CEILING)


def _points(fraction: Tensor, low: float, high: float) -> Tensor:
    """Return a fraction as percentage points, clamped to `low..high` and divided by `high`."""
    return (100 * fraction).clamp(low, high) / high
