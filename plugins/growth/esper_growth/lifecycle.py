"""The slots of all environments as tensors `[E, N]`, and every change of them.

An operation is applied first, then the mechanical tick (gates, alpha, cooldown), then an epoch passes. Networks are not
known here: what must happen to modules is returned as a list of changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from attrs import define, fields
from torch import Tensor

from esper_growth.actions import ALPHA_CURVES, ALPHA_SPEEDS, ALPHA_TARGETS, STYLES, TEMPOS, Algorithm, Op
from esper_growth.alpha import curve
from esper_growth.stages import COOLDOWN, MIN_PRUNE_AGE, TRAIN_EPOCHS_BEFORE_BLENDING, AlphaMode, Stage

_STYLE_CURVE = torch.tensor([style[1] for style in STYLES])
_STYLE_ALGORITHM = torch.tensor([style[2] for style in STYLES])
_TEMPO = torch.tensor([tempo[1] for tempo in TEMPOS])
_TARGET = torch.tensor([target[1] for target in ALPHA_TARGETS])
_SPEED = torch.tensor([speed[1] for speed in ALPHA_SPEEDS])
_CURVE = torch.tensor([c[1] for c in ALPHA_CURVES])
_STEEPNESS = torch.tensor([c[2] for c in ALPHA_CURVES])
_GERMINATION_STEEPNESS = 12.0


class Change(NamedTuple):
    """Something that happened to a slot: `kind` is germinate, retarget, advance, prune, fossilize or removed."""

    env: int
    slot: int
    kind: str


def legal_slots(stage: Tensor, age: Tensor, alpha_mode: Tensor, auto_advance: Tensor) -> Tensor:
    """Return which slots each operation may target, bool `[E, O, N]`, from `[E, N]` tensors and `auto_advance [E]`.

    WAIT targets no slot; its row is false. Gate G5 is not part of legality: a legal FOSSILIZE may fail.
    """
    still = alpha_mode == AlphaMode.HOLD
    blending, holding = stage == Stage.BLENDING, stage == Stage.HOLDING
    growing = (stage >= Stage.GERMINATED) & (stage <= Stage.BLENDING)
    rows = {
        Op.WAIT: torch.zeros_like(still),
        Op.GERMINATE: stage == Stage.DORMANT,
        Op.SET_ALPHA_TARGET: (blending | holding) & still,
        Op.PRUNE: (growing | holding) & (age >= MIN_PRUNE_AGE) & still,
        Op.FOSSILIZE: holding,
        Op.ADVANCE: growing & ~auto_advance[:, None],
    }
    return torch.stack([rows[op] for op in Op], dim=1)


@define
class SlotTable:
    """What every slot of every environment is doing; all tensors are `[E, N]`.

    Attributes:
        stage: Stage index.
        blueprint: Label index, −1 without a seed.
        age: Epochs since germination.
        epochs_in_stage: Epochs since the stage was entered.
        alpha: Amplitude of the branch.
        alpha_start: Amplitude at the start of the ramp.
        alpha_target: Amplitude at its end.
        alpha_velocity: Change at the last tick.
        mode: AlphaMode.
        ticks_total, ticks_done: Length of the ramp and how far it is.
        curve, steepness: Shape of the ramp.
        algorithm: How the branch joins the host.
        final_target, tempo, style_curve: The ramp chosen at germination, used when blending starts.
        pruning: The ramp leads to a prune; the seed's parameters are frozen.
    """

    stage: Tensor
    blueprint: Tensor
    age: Tensor
    epochs_in_stage: Tensor
    alpha: Tensor
    alpha_start: Tensor
    alpha_target: Tensor
    alpha_velocity: Tensor
    mode: Tensor
    ticks_total: Tensor
    ticks_done: Tensor
    curve: Tensor
    steepness: Tensor
    algorithm: Tensor
    final_target: Tensor
    tempo: Tensor
    style_curve: Tensor
    pruning: Tensor

    @classmethod
    def empty(cls, num_envs: int, num_slots: int) -> SlotTable:
        """Return a table of dormant slots."""

        def full(value: float, dtype: torch.dtype) -> Tensor:
            return torch.full((num_envs, num_slots), value, dtype=dtype)

        real = {"alpha", "alpha_start", "alpha_target", "alpha_velocity", "steepness", "final_target"}
        columns = {f.name: full(0, torch.float32 if f.name in real else torch.int64) for f in fields(cls)}
        columns |= {
            "stage": full(Stage.DORMANT, torch.int64),
            "blueprint": full(-1, torch.int64),
            "steepness": full(_GERMINATION_STEEPNESS, torch.float32),
            "pruning": full(0, torch.bool),
        }
        return cls(**columns)

    def plant(self, env: int, slot: int, blueprint: int, algorithm: Algorithm, alpha: float) -> None:
        """Put a fossil into an empty slot, without an operation."""
        self.stage[env, slot] = Stage.FOSSILIZED
        self.blueprint[env, slot], self.algorithm[env, slot] = blueprint, algorithm
        self.alpha[env, slot] = self.alpha_target[env, slot] = alpha

    def shares(self) -> Tensor:
        """Return each seed's share in its host: alpha and, where it is above 0, the blend, float32 `[E, N, 2]`."""
        return torch.stack([self.alpha, torch.where(self.alpha > 0, self.algorithm.float(), -1.0)], dim=2)

    @property
    def ticks_to_target(self) -> Tensor:
        """Ticks until the alpha target is reached, 0 when the controller holds."""
        return torch.where(self.mode == AlphaMode.HOLD, 0, self.ticks_total - self.ticks_done)

    def apply(self, actions: Mapping[str, Tensor], contribution: Tensor, active: Tensor) -> tuple[Tensor, list[Change]]:
        """Apply one operation per environment.

        Args:
            actions: int64 `[E]` per head; every operation must be legal for its slot.
            contribution: Measured contribution per slot `[E, N]`, NaN where none was measured (gate G5).
            active: Environments whose episode still runs, bool `[E]`; the others do nothing.

        Returns:
            Success `[E]` (WAIT succeeds) and the changes made.
        """
        op, slot = actions["op"], actions["slot"]
        target = torch.zeros_like(self.pruning).scatter_(1, slot[:, None], True) & active[:, None]
        chosen = {o: target & (op == o)[:, None] for o in Op}
        heads = {name: value[:, None].expand_as(target) for name, value in actions.items()}
        germinate, retarget, prune, advance = (
            chosen[o] for o in (Op.GERMINATE, Op.SET_ALPHA_TARGET, Op.PRUNE, Op.ADVANCE)
        )
        changes = self._germinate(germinate, heads)
        changes += self._retarget(retarget, heads)
        changes += self._prune(prune, heads)
        fossilize = chosen[Op.FOSSILIZE] & (contribution > 0)  # a contribution that was not measured is NaN
        self._enter(fossilize, Stage.FOSSILIZED)
        changes += _changes(fossilize, "fossilize")
        advanced = self._advance(advance)
        changes += _changes(advanced, "advance")
        took_effect = (germinate | retarget | prune | fossilize | advanced).any(dim=1)
        return took_effect | (op == Op.WAIT), changes

    def tick(self, auto_advance: bool, active: Tensor) -> list[Change]:
        """Advance one epoch: cooldown, gates G1 and G2, alpha ramps, due prunes, gate G3."""
        running = active[:, None]
        self._cool_down(running)
        changes = []
        if auto_advance:
            early = (self.stage == Stage.GERMINATED) | (self.stage == Stage.TRAINING)
            changes += _changes(self._advance(running & early), "advance")
        changes += self._ramp(running)
        if auto_advance:
            changes += _changes(self._advance(running & (self.stage == Stage.BLENDING)), "advance")
        return changes

    def roll_back(self, where: Tensor, fossils: Tensor) -> list[Change]:
        """Empty the slots of some environments, bool `[E]`, but for the fossils that are kept, bool `[E, N]`."""
        return self._remove(where[:, None] & (self.blueprint >= 0) & ~fossils)

    def pass_epoch(self, active: Tensor) -> None:
        """Count an epoch in every slot of the running environments."""
        passed = active[:, None].expand_as(self.stage)
        self.epochs_in_stage += passed
        self.age += passed & (self.blueprint >= 0)

    def _enter(self, where: Tensor, stage: Stage) -> None:
        self.stage[where] = stage
        self.epochs_in_stage[where] = 0

    def _germinate(self, where: Tensor, heads: Mapping[str, Tensor]) -> list[Change]:
        self._enter(where, Stage.GERMINATED)
        self.age[where] = 0
        for column, value in (
            (self.blueprint, heads["blueprint"]),
            (self.tempo, _TEMPO[heads["tempo"]]),
            (self.final_target, _TARGET[heads["alpha_target"]]),
            (self.alpha_target, _TARGET[heads["alpha_target"]]),
            (self.style_curve, _STYLE_CURVE[heads["style"]]),
            (self.algorithm, _STYLE_ALGORITHM[heads["style"]]),
        ):
            column[where] = value[where]
        return _changes(where, "germinate")

    def _retarget(self, where: Tensor, heads: Mapping[str, Tensor]) -> list[Change]:
        self._enter(where & (self.stage == Stage.HOLDING), Stage.BLENDING)
        self.algorithm[where] = _STYLE_ALGORITHM[heads["style"]][where]
        self._start_chosen_ramp(where, _TARGET[heads["alpha_target"]], heads)
        return _changes(where, "retarget")

    def _prune(self, where: Tensor, heads: Mapping[str, Tensor]) -> list[Change]:
        blended = (self.alpha > 0) & ((self.stage == Stage.BLENDING) | (self.stage == Stage.HOLDING))
        ramped = where & blended & (_SPEED[heads["alpha_speed"]] > 0)
        self._enter(ramped & (self.stage == Stage.HOLDING), Stage.BLENDING)
        self.pruning |= ramped
        self._start_chosen_ramp(ramped, torch.zeros_like(self.alpha), heads)
        changes = _changes(where, "prune")
        return changes + self._remove(where & ~ramped)

    def _remove(self, where: Tensor) -> list[Change]:
        self._enter(where, Stage.PRUNED)
        self.blueprint[where] = -1
        for column in (self.age, self.alpha, self.alpha_target, self.alpha_velocity, self.mode, self.algorithm):
            column[where] = 0
        self.pruning[where] = False
        return _changes(where, "removed")

    def _advance(self, where: Tensor) -> Tensor:
        """Move seeds on whose gate passes (G1: an epoch; G2: epochs trained; G3: alpha at its target)."""
        waited = self.epochs_in_stage
        g1 = where & (self.stage == Stage.GERMINATED) & (waited >= 1)
        g2 = where & (self.stage == Stage.TRAINING) & (waited >= TRAIN_EPOCHS_BEFORE_BLENDING)
        g3 = where & (self.stage == Stage.BLENDING) & (self.mode == AlphaMode.HOLD)
        self._enter(g1, Stage.TRAINING)
        self._enter(g2, Stage.BLENDING)
        steepness = torch.full_like(self.steepness, _GERMINATION_STEEPNESS)
        self._start_ramp(g2, self.final_target, self.tempo, self.style_curve, steepness)
        self._enter(g3, Stage.HOLDING)
        return g1 | g2 | g3

    def _start_chosen_ramp(self, where: Tensor, target: Tensor, heads: Mapping[str, Tensor]) -> None:
        """Start a ramp of the chosen speed and curve."""
        shape = heads["alpha_curve"]
        self._start_ramp(where, target, _SPEED[heads["alpha_speed"]], _CURVE[shape], _STEEPNESS[shape])

    def _start_ramp(self, where: Tensor, target: Tensor, ticks: Tensor, shape: Tensor, steepness: Tensor) -> None:
        self.alpha_start[where] = self.alpha[where]
        self.alpha_target[where] = target[where]
        self.ticks_total[where] = ticks[where]
        self.ticks_done[where] = 0
        self.curve[where] = shape[where]
        self.steepness[where] = steepness[where]
        mode = torch.where(target > self.alpha, AlphaMode.UP, AlphaMode.DOWN)
        self.mode[where] = mode[where]
        arrived = where & ((ticks == 0) | (target == self.alpha))
        self.alpha[arrived] = target[arrived]
        self.mode[arrived] = AlphaMode.HOLD

    def _ramp(self, running: Tensor) -> list[Change]:
        before = self.alpha.clone()
        moving = running & (self.stage == Stage.BLENDING) & (self.mode != AlphaMode.HOLD)
        self.ticks_done += moving
        share = self.ticks_done / self.ticks_total.clamp_min(1)
        step = curve(self.curve, share.clamp(max=1.0), self.steepness)
        ramped = self.alpha_start + (self.alpha_target - self.alpha_start) * step
        arrived = moving & (self.ticks_done >= self.ticks_total)
        self.alpha = torch.where(moving, torch.where(arrived, self.alpha_target, ramped), self.alpha)
        self.mode[arrived] = AlphaMode.HOLD
        self.alpha_velocity = torch.where(running, self.alpha - before, self.alpha_velocity)
        return self._remove(arrived & self.pruning)

    def _cool_down(self, running: Tensor) -> None:
        order = (Stage.PRUNED, Stage.EMBARGOED, Stage.RESETTING, Stage.DORMANT)
        due = [running & (self.stage == stage) & (self.epochs_in_stage >= COOLDOWN[stage]) for stage in order[:-1]]
        for where, following in zip(due, order[1:], strict=True):
            self._enter(where, following)


def _changes(where: Tensor, kind: str) -> list[Change]:
    return [Change(env, slot, kind) for env, slot in where.nonzero().tolist()]
