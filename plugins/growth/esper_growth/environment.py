"""The environment `growth`: E hosts train side by side; one step is one host epoch.

Order within a step: operation → tick (gates, alpha, cooldown) → train one epoch → validate → govern → reward. An
operation is paid for by the epoch that follows it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from esper_core import SlotConfig
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.board import Board
from esper_core.contracts.errors import EsperError
from esper_core.contracts.protocols import Build
from esper_core.contracts.spaces import action_space, observation_space
from esper_core.export.grown import Grown
from esper_growth import reward
from esper_growth.actions import Algorithm, Op
from esper_growth.board import slot_board
from esper_growth.config import GrowthConfig
from esper_growth.describe import describe
from esper_growth.export import hand_over
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.governor import Governor, Verdict
from esper_growth.lifecycle import Change, SlotTable, legal_slots
from esper_growth.loop import LoopRuntime
from esper_growth.masks import legal_blueprints
from esper_growth.model import SeedSetting
from esper_growth.progress import Progress
from esper_growth.runtime import HostRuntime, Settings, replace_rows, stable_seed
from esper_growth.scaffolding import Scaffolding, Seed
from esper_growth.stages import HAS_MODULE, Stage
from esper_growth.static_curves import StaticCurves, source_digest
from esper_growth.workers import shared_out

INTERACTION_EVERY = 5


def growth(config: GrowthConfig, context: Build) -> GrowthEnvironment:
    """Return the environment for a build context whose parts hold the task, the host and the blueprints."""
    task, host = context.parts["task"], context.parts["host"]
    num_slots = context.slots.num_slots

    kind = FusedRuntime if config.runtime == "fused" else LoopRuntime
    make = partial(kind, config, task, host, context.parts["blueprint"], num_slots, context.precision)
    device = torch.device(context.device)

    def runtime() -> HostRuntime:
        # A GPU is shared better by one process than by several.
        return shared_out(make, config.workers if device.type == "cpu" else 1)

    def train_static(instances: Sequence[int]) -> list[list[float]]:
        settings: Settings = [{} for _ in instances]
        active = [True] * len(instances)
        accuracies = []
        with closing(runtime()) as static:
            static.start(instances)
            for _ in range(config.epochs):
                static.train_epoch(settings, active)
                accuracies.append(static.validate(settings, active, pairs=False).accuracy.tolist())
        return [list(curve) for curve in zip(*accuracies, strict=True)]

    hosts = runtime()
    key: dict[str, str | int | float] = {
        "task": task.name,
        "host": host.name,
        "slots": num_slots,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "lr": config.host_lr,
        "momentum": config.momentum,
        "max_grad_norm": config.max_grad_norm,
        "runtime": hosts.name,
        "dtype": str(context.dtype),
        "precision": context.precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "source": source_digest(task, host),
    }
    return GrowthEnvironment(config, context, hosts, StaticCurves.at(key, train_static))


class GrowthEnvironment(VectorEnv[Any, Any, Any]):
    """A `gymnasium.vector.VectorEnv` that speaks torch tensors."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: GrowthConfig, context: Build, runtime: HostRuntime, curves: StaticCurves) -> None:
        description = describe(config, context.slots)
        self.config, self.runtime, self.curves = config, runtime, curves
        self.slot_config: SlotConfig = context.slots
        self.num_envs, self.num_slots = context.num_envs, context.slots.num_slots
        self.horizon = description.horizon
        self.actions: ActionSpec = description.actions
        self.state_spec = description.state
        self.gamma, self.device = context.gamma, context.device
        self._legal_blueprints = legal_blueprints(context)
        self._parts = context.parts
        self._seed, self._episodes = context.seed, 0
        self._seconds: dict[str, float] = {}
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.single_observation_space = observation_space(self.state_spec, self.num_slots, len(Op))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes on instances drawn from the pool; `options["instances"]` names them instead.

        A seed restarts the stream of draws. Every untrained host is validated once. `info["seconds"]` has the phases
        `static_curves`, which is long only where curves are trained, and `validation`.
        """
        self._seconds = {}
        if seed is not None:
            self._seed, self._episodes = seed, 0
        self.instances = list((options or {}).get("instances") or self._draw_instances())
        if len(self.instances) != self.num_envs:
            raise EsperError(f"{len(self.instances)} instances were given for {self.num_envs} environments.")
        self._episodes += 1
        with self._timed("static_curves"):
            static = self.curves.get(self.instances)
        self.static_accuracy = torch.tensor([static[i][-1] for i in self.instances], dtype=torch.float64)
        self.runtime.start(self.instances)
        self.slots = SlotTable.empty(self.num_envs, self.num_slots)
        self._active = torch.ones(self.num_envs, dtype=torch.bool)
        self._last_op = torch.full((self.num_envs,), int(Op.WAIT))
        self._last_success = torch.ones(self.num_envs, dtype=torch.bool)
        self._returns = torch.zeros(self.num_envs, dtype=torch.float64)
        self._seed_parameters = self.runtime.seed_parameters()
        with self._timed("validation"):
            validation = self.runtime.validate(self._settings(), self._active.tolist(), pairs=False)
        self.progress = Progress.start(validation, self.num_slots)
        self.scaffolding = Scaffolding(self.num_envs)
        if self.config.governor:
            self.governor = Governor.start(self.config, self._parts["task"].classes, validation.loss, self.num_slots)
            self.runtime.snapshot(dict.fromkeys(range(self.num_envs), ()))
        return self._state(), {"instances": self.instances, "seconds": self._seconds}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step of all running environments; actions are int64 `[E]` per head.

        `info["seconds"]` has the phases `host_training` and `validation`, which counts every look at the validation
        split.

        Raises:
            EsperError: an action is illegal; or, without governor, a host's loss is no longer finite.
        """
        self._seconds = {}
        actions = {name: value.to("cpu") for name, value in actions.items()}
        active = self._active.clone()
        self._check_legal(actions, active)
        before = reward.potential(self.slots.stage, self.config.shaping)
        labels = self.slots.blueprint.clone()
        success, changes = self.slots.apply(actions, self.progress.contribution, active)
        changes += self.slots.tick(self.config.auto_advance, active)
        labels = torch.where(self.slots.blueprint >= 0, self.slots.blueprint, labels)
        self._carry_out(changes)
        events = [self._event(change, labels) for change in changes]

        settings, running = self._settings(), active.tolist()
        with self._timed("host_training"):
            gradients = self.runtime.train_epoch(settings, running)
        self.slots.pass_epoch(active)
        pairs = (int(self.progress.epoch.max()) + 1) % INTERACTION_EVERY == 0
        with self._timed("validation"):
            validation = self.runtime.validate(settings, running, pairs)
        diverged = torch.zeros_like(active)
        if self.config.governor:
            verdict = self.governor.judge(validation, active)
            diverged = verdict > Verdict.SUSPECT
        if diverged.any():
            events += self._roll_back(verdict, validation.loss, labels)
            with self._timed("validation"):
                again = self.runtime.validate(self._settings(), diverged.tolist(), pairs=False)
            validation, gradients = replace_rows(validation, gradients, diverged, again)
        self._check_finite(validation.loss, active)
        if validation.interactions is not None:
            self.scaffolding.record(validation.interactions, self.progress.epoch, active)
        self.progress.record(validation, gradients, active)
        self._last_op = torch.where(active, actions["op"], self._last_op)
        self._last_success = torch.where(active, success, self._last_success)

        if self.config.governor:
            self._remember(verdict, active)
        terminated = active & (diverged | (self.progress.epoch >= self.config.epochs))
        earned = self._earned(actions["op"], active)
        if terminated.any():
            committed = self._committed_accuracy(terminated)
            final = torch.where(diverged, -self.config.governor_penalty, committed - self.static_accuracy)
            earned += torch.where(terminated, final, 0.0)
            self._returns += torch.where(active, earned, 0.0)
            ended = terminated.nonzero().flatten().tolist()
            events += [self._episode_event(env, committed, bool(diverged[env])) for env in ended]
        else:
            self._returns += torch.where(active, earned, 0.0)
        after = reward.potential(self.slots.stage, self.config.shaping)
        shaped = earned + reward.shaping(before, after, terminated, self.gamma)
        self._active &= ~terminated
        paid = torch.where(active, shaped, 0.0).to(torch.float32).to(self.device)
        truncated = torch.zeros_like(terminated)
        info = {"events": events, "seconds": self._seconds}
        return self._state(), paid, terminated.to(self.device), truncated.to(self.device), info

    def board(self, envs: Sequence[int]) -> Board:
        """Return how the slots of some environments are doing."""
        return slot_board(
            envs,
            self.slots,
            self.progress,
            self.static_accuracy,
            epochs=self.config.epochs,
            slot_ids=self.slot_config.slot_ids,
            labels=self.actions.head("blueprint").labels,
        )

    def close_extras(self, **kwargs: Any) -> None:
        """End the runtime's processes."""
        self.runtime.close()

    def grown(self, env: int) -> Grown:
        """Return the host of an environment and its fossils; seeds that were not made permanent stay behind."""
        fossils = self._fossils()[env]
        names = self.actions.head("blueprint").labels
        labels = {slot: names[int(self.slots.blueprint[env, slot])] for slot in fossils}
        weights = self.runtime.weights(env)
        return hand_over(self._parts, self.slot_config, self.instances[env], weights, fossils, labels)

    def state(self) -> dict[str, int]:
        """Return what the next reset depends on."""
        return {"seed": self._seed, "episodes": self._episodes}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Continue the stream of instance draws where `state()` was taken."""
        self._seed, self._episodes = state["seed"], state["episodes"]

    def _draw_instances(self) -> list[int]:
        generator = torch.Generator().manual_seed(stable_seed("instances", self._seed, self._episodes))
        rounds = -(-self.num_envs // self.config.instances)
        drawn = torch.cat([torch.randperm(self.config.instances, generator=generator) for _ in range(rounds)])
        return [self.config.first_instance + i for i in drawn[: self.num_envs].tolist()]

    def _check_legal(self, actions: Mapping[str, Tensor], active: Tensor) -> None:
        op, slot, blueprint = actions["op"], actions["slot"], actions["blueprint"]
        table = self.slots
        auto = torch.full((self.num_envs,), self.config.auto_advance)
        legal = legal_slots(table.stage, table.age, table.mode, auto)[torch.arange(self.num_envs), op, slot]
        legal &= (op != Op.GERMINATE) | torch.tensor(self._legal_blueprints)[blueprint]
        illegal = active & ~legal & (op != Op.WAIT)
        if illegal.any():
            env = int(illegal.nonzero()[0])
            name, slot_id = Op(int(op[env])).name, self.slot_config.slot_ids[int(slot[env])]
            stage = Stage(int(table.stage[env, int(slot[env])])).name
            label = self.actions.head("blueprint").labels[int(blueprint[env])]
            raise EsperError(
                f"Environment {env}: {name} on slot {slot_id} ({stage}, blueprint {label}) is illegal.",
                hint="Choose among the actions that the mask provider allows.",
            )

    def _check_finite(self, loss: Tensor, active: Tensor) -> None:
        diverged = active & ~loss.isfinite()
        if diverged.any():
            env = int(diverged.nonzero()[0])
            raise EsperError(
                f"The host of environment {env} (instance {self.instances[env]}) diverged: its validation loss is "
                f"{float(loss[env])} after epoch {int(self.progress.epoch[env]) + 1}.",
                hint="Lower environment.host_lr or set environment.max_grad_norm.",
            )

    # Governing ------------------------------------------------------------------------------------------------------

    def _remember(self, verdict: Tensor, active: Tensor) -> None:
        """Take a snapshot of the hosts for which one is due."""
        fossils = self.slots.stage == Stage.FOSSILIZED
        due = self.governor.due(self.progress.epoch, fossils, verdict, active)
        if due.any():
            slots = {env: fossils[env].nonzero().flatten().tolist() for env in due.nonzero().flatten().tolist()}
            self.runtime.snapshot(slots)

    def _roll_back(self, verdict: Tensor, loss: Tensor, labels: Tensor) -> list[dict[str, Any]]:
        """Put hosts that diverged back to their snapshots, without live seeds; return the events of it."""
        events = self.governor.events(verdict, loss, self.progress.epoch)
        removed = self.slots.roll_back(verdict > Verdict.SUSPECT, self.governor.fossils)
        self._carry_out(removed)
        for event in events:
            self.runtime.restore(event["env"])
        return events + [self._event(change, labels) for change in removed]

    # Details --------------------------------------------------------------------------------------------------------

    def _carry_out(self, changes: Sequence[Change]) -> None:
        table = self.slots
        for env, slot, kind in changes:
            if kind == "germinate":
                label = self.actions.head("blueprint").labels[int(table.blueprint[env, slot])]
                self.runtime.germinate(env, slot, label, Algorithm(int(table.algorithm[env, slot])))
                self.scaffolding.germinate(env, slot, Seed(self.slot_config.slot_ids[slot], label))
            elif kind == "retarget":
                self.runtime.set_algorithm(env, slot, Algorithm(int(table.algorithm[env, slot])))
            elif kind == "fossilize":
                self.scaffolding.fossilize(env, slot, int(self.progress.epoch[env]))
            elif kind == "removed":
                self.runtime.remove(env, slot)
                self.progress.forget_seed(env, slot)
                self.scaffolding.remove(env, slot, int(self.progress.epoch[env]))
        if changes:
            self._seed_parameters = self.runtime.seed_parameters()

    def _settings(self) -> Settings:
        table = self.slots
        columns = (table.stage.tolist(), table.alpha.tolist(), table.algorithm.tolist(), table.pruning.tolist())
        return [
            {
                slot: SeedSetting(Stage(stage), alpha, Algorithm(algorithm), frozen)
                for slot, (stage, alpha, algorithm, frozen) in enumerate(zip(*row, strict=True))
                if stage in HAS_MODULE
            }
            for row in zip(*columns, strict=True)
        ]

    def _earned(self, op: Tensor, active: Tensor) -> Tensor:
        rent = reward.rent(
            self.slots.alpha,
            self._seed_parameters,
            self.runtime.host_parameters,
            self.config.rent,
            self.config.epochs,
        )
        cost = torch.where(op == Op.WAIT, 0.0, -self.config.operation_cost).double()
        return torch.where(active, rent + cost, 0.0)

    def _committed_accuracy(self, ending: Tensor) -> Tensor:
        """Return the validation accuracy with fossils alone, float64 `[E]`, NaN where the episode does not end."""
        with self._timed("validation"):
            return self.runtime.validate(self._fossils(), ending.tolist(), pairs=False).accuracy

    def _fossils(self) -> Settings:
        return [
            {slot: setting for slot, setting in seeds.items() if setting.stage == Stage.FOSSILIZED}
            for seeds in self._settings()
        ]

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Add the time spent within to a phase of this call."""
        started = time.perf_counter()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.perf_counter() - started

    def _event(self, change: Change, labels: Tensor) -> dict[str, Any]:
        env, slot, kind = change
        event = {
            "env": env,
            "step": int(self.progress.epoch[env]),
            "type": kind,
            "slot": self.slot_config.slot_ids[slot],
            "blueprint": self.actions.head("blueprint").labels[int(labels[env, slot])],
            "stage": Stage(int(self.slots.stage[env, slot])).name,
            "alpha": float(self.slots.alpha[env, slot]),
            "blend": None,
            "parameters": None,
        }
        if int(self.slots.stage[env, slot]) in HAS_MODULE:
            event["blend"] = Algorithm(int(self.slots.algorithm[env, slot])).name
            event["parameters"] = int(self._seed_parameters[env, slot])
        if kind == "fossilize":
            event["helpers"] = self.scaffolding.helpers(env, slot)
        return event

    def _episode_event(self, env: int, committed: Tensor, rolled_back: bool) -> dict[str, Any]:
        fossil = self.slots.stage[env] == Stage.FOSSILIZED
        full, static = float(self.progress.accuracy[env]), float(self.static_accuracy[env])
        kept = float(committed[env])
        return {
            "env": env,
            "step": int(self.progress.epoch[env]) - 1,
            "type": "episode",
            "instance": self.instances[env],
            "host_parameters": self.runtime.host_parameters,
            "return": float(self._returns[env]),
            "length": int(self.progress.epoch[env]),
            "gain": kept - static,
            "committed_accuracy": kept,
            "static_accuracy": static,
            "full_accuracy": full,
            "uncommitted_gap": full - kept,
            "fossils": float(fossil.sum()),
            "added_parameters": float(self._seed_parameters[env][fossil].sum()),
            "rolled_back": float(rolled_back),
            **self.scaffolding.summary(env),
        }

    def _state(self) -> dict[str, Tensor]:
        table, progress = self.slots, self.progress
        num_envs = self.num_envs
        published = {
            "epochs_total": torch.full((num_envs,), self.config.epochs),
            "host_parameters": torch.full((num_envs,), self.runtime.host_parameters),
            "seed_parameters": self._seed_parameters.sum(dim=1),
            "last_op": self._last_op,
            "last_op_success": self._last_success,
            "auto_advance": torch.full((num_envs,), self.config.auto_advance),
            "alpha_mode": table.mode,
            "ticks_to_target": table.ticks_to_target,
            "contribution": progress.contribution.nan_to_num(0.0),
            "contribution_measured": ~progress.contribution.isnan(),
        }
        state = {}
        for entry in self.state_spec.fields:
            name = entry.name
            value = published.get(name)
            if value is None:
                value = getattr(table, name) if hasattr(table, name) else getattr(progress, name)
            dtype = _DTYPES[entry.dtype]
            state[name] = value.to(device=self.device, dtype=dtype, copy=True)
        return state


_DTYPES = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}
