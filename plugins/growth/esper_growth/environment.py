"""The environment `growth`: E hosts train side by side; one step is one host epoch.

Order within a step: operation → tick (gates, alpha, cooldown) → train one epoch → validate → govern → reward. An
operation is paid for by the epoch that follows it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from esper_core import SlotConfig
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.board import Board
from esper_core.contracts.errors import EsperError
from esper_core.contracts.grown import Grown
from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.spaces import action_space, observation_space
from esper_growth import reward
from esper_growth.actions import Op
from esper_growth.board import slot_board
from esper_growth.checks import check_finite, check_legal
from esper_growth.config import GrowthConfig
from esper_growth.cost import TrainingCost
from esper_growth.describe import describe
from esper_growth.draws import Draws
from esper_growth.events import episode_event
from esper_growth.export import hand_over
from esper_growth.governor import Governor, Verdict
from esper_growth.masks import legal_blueprints
from esper_growth.privileged import Privileged
from esper_growth.problems import Problems, changing, described
from esper_growth.progress import Progress
from esper_growth.protocols import label_of
from esper_growth.runtime import HostRuntime, replace_rows
from esper_growth.seeds import Seeds, Topology
from esper_growth.static_curves import StaticCurves

INTERACTION_EVERY = 5

HELD_OUT = 1_000_000
"""Instances from here on are evaluated on; no training draws them."""


class GrowthEnvironment(VectorEnv[Any, Any, Any]):
    """A `gymnasium.vector.VectorEnv` whose states, actions and rewards are torch tensors."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(
        self,
        config: GrowthConfig,
        context: BuildContext,
        runtime: HostRuntime,
        curves: StaticCurves,
        problems: Problems,
    ) -> None:
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
        self._problems = problems
        self._draws = Draws(config, problems, context.rows, context.seed)
        self._seconds: dict[str, float] = {}
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.single_observation_space = observation_space(self.state_spec, self.num_slots, len(Op))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes on instances drawn from the pool; `options["instances"]` names them instead.

        `options["topologies"]`, as from `topologies()`, are what is in the hosts' slots from the first epoch on. A
        seed restarts the stream of draws. Every untrained host is validated once. `info["seconds"]` has the phases
        `static_curves`, which is long only where curves are trained, and `validation`.
        """
        self._seconds, options = {}, options or {}
        if seed is not None:
            self._draws.restart(seed)
        self.instances = list(options.get("instances") or self._draws.next())
        if len(self.instances) != self.num_envs:
            raise EsperError(f"{len(self.instances)} instances were given for {self.num_envs} environments.")
        self._draws.pass_one()
        with self._timed("static_curves"):
            static = self.curves.get(self.instances)
        self.static_accuracy = torch.tensor([static[i][-1] for i in self.instances], dtype=torch.float64)
        self.runtime.start(self.instances)
        self.problems = [self._problems.at(instance) for instance in self.instances]
        self.described = described(self.problems)
        names = [(problem.task.name, problem.builder.name) for problem in self.problems]
        self._privileged = Privileged([static[i] for i in self.instances], names, self.device)
        labels = self.actions.category("blueprint").labels
        self.seeds = Seeds(self.runtime, self.slot_config.slot_ids, labels, self.num_envs)
        self.seeds.plant(options.get("topologies", ()))
        self.slots = self.seeds.table
        self._active = torch.ones(self.num_envs, dtype=torch.bool)
        self._last_op = torch.full((self.num_envs,), int(Op.WAIT))
        self._last_success = torch.ones(self.num_envs, dtype=torch.bool)
        self._returns = torch.zeros(self.num_envs, dtype=torch.float64)
        with self._timed("validation"):
            validation = self.runtime.validate(self.seeds.settings(), self._active.tolist(), pairs=False)
        self.progress = Progress.start(validation, self.num_slots)
        self.cost = TrainingCost.none(self.num_envs)
        if self.config.governor:
            self.governor = Governor.start(self.config, self._parts["task"].classes, validation.loss, self.num_slots)
            self.governor.fossils = self.seeds.fossilized
            self._snapshot(self._active)
        told = self._privileged.at(self.progress.epoch)
        return self._state(), {"instances": self.instances, "seconds": self._seconds, "privileged": told}

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
        check_legal(
            actions,
            self.slots,
            active,
            auto_advance=self.config.auto_advance,
            blueprints=self._legal_blueprints,
            spec=self.actions,
            slot_ids=self.slot_config.slot_ids,
        )
        before = reward.potential(self.slots.stage, self.config.shaping)
        labels, shares = self.slots.blueprint.clone(), self.slots.shares()
        success, changes = self.slots.apply(actions, self.progress.contribution, active)
        changes += self.slots.tick(self.config.auto_advance, active)
        labels = torch.where(self.slots.blueprint >= 0, self.slots.blueprint, labels)
        self.seeds.carry_out(changes, self.progress)
        events = [self.seeds.event(change, labels, self.progress) for change in changes]

        settings, running = self.seeds.settings(), active.tolist()
        # What the task's change costs is not the blend's doing.
        moved = (self.slots.shares() != shares).any(dim=(1, 2)) & active & ~changing(self.problems, self.progress.epoch)
        added = self.cost.epoch(self.problems, settings, self.seeds.labels(), active)
        with self._timed("host_training"):
            gradients = self.runtime.train_epoch(settings, running)
        self.slots.pass_epoch(active)
        pairs = (int(self.progress.epoch.max()) + 1) % INTERACTION_EVERY == 0
        with self._timed("validation"):
            validation = self.runtime.validate(settings, running, pairs)
        self.cost.blend(moved, self.progress.accuracy, validation.accuracy)
        diverged = torch.zeros_like(active)
        if self.config.governor:
            verdict = self.governor.judge(validation, active)
            diverged = verdict > Verdict.SUSPECT
        if diverged.any():
            events += self._roll_back(verdict, validation.loss, labels)
            with self._timed("validation"):
                again = self.runtime.validate(self.seeds.settings(), diverged.tolist(), pairs=False)
            validation, gradients = replace_rows(validation, gradients, diverged, again)
        check_finite(validation.loss, active, self.instances, self.progress.epoch)
        if validation.interactions is not None:
            self.seeds.scaffolding.record(validation.interactions, self.progress.epoch, active)
        self.progress.record(validation, gradients, active)
        self._last_op = torch.where(active, actions["op"], self._last_op)
        self._last_success = torch.where(active, success, self._last_success)

        if self.config.governor:
            due = self.governor.due(self.progress.epoch, self.seeds.fossilized, verdict, active)
            if due.any():
                self._snapshot(due)
        terminated = active & (diverged | (self.progress.epoch >= self.config.epochs))
        earned = self._earned(actions["op"], added, active)
        if terminated.any():
            committed = self._committed_accuracy(terminated)
            final = torch.where(diverged, -self.config.governor_penalty, committed - self.static_accuracy)
            earned += torch.where(terminated, final, 0.0)
        self._returns += torch.where(active, earned, 0.0)
        for env in terminated.nonzero().flatten().tolist():
            events.append(self._episode_event(env, committed, bool(diverged[env])))
        after = reward.potential(self.slots.stage, self.config.shaping)
        shaped = earned + reward.shaping(before, after, terminated, self.gamma)
        self._active &= ~terminated
        paid = torch.where(active, shaped, 0.0).to(torch.float32).to(self.device)
        truncated = torch.zeros_like(terminated)
        # Row by row, as they are where rows are played in several places.
        info = {
            "events": sorted(events, key=lambda event: event["env"]),
            "seconds": self._seconds,
            "privileged": self._privileged.at(self.progress.epoch),
        }
        return self._state(), paid, terminated.to(self.device), truncated.to(self.device), info

    def board(self, envs: Sequence[int]) -> Board:
        """Return the slots of some environments for display."""
        return slot_board(
            envs,
            self.slots,
            self.progress,
            self.static_accuracy,
            epochs=self.config.epochs,
            slot_ids=self.slot_config.slot_ids,
            labels=self.actions.category("blueprint").labels,
        )

    def close_extras(self, **kwargs: Any) -> None:
        """End the runtime's processes."""
        self.runtime.close()

    def held_out(self, count: int) -> list[int]:
        """Return numbers of instances that no training draws."""
        return list(range(HELD_OUT, HELD_OUT + count))

    def circumstances(self) -> dict[str, str]:
        """Return what hosts are trained with, and on which data."""
        task, host = self._parts["task"], self._parts["host"]
        return {"runtime": self.runtime.name, "kernels": self.runtime.kernels, "task": task.name, "host": host.name}

    def outcomes(self) -> dict[str, Tensor]:
        """Return the outcomes of the episodes that have ended, by name as in the description, float64 `[E]`.

        The test split is read here and nowhere else, with fossils alone in the hosts.
        """
        tested = self.runtime.validate(self.seeds.fossils(), [True] * self.num_envs, pairs=False, split="test")
        paid = reward.training(self.cost.added, self.config.reward_flops, self.config.epochs)
        net = {"net_accuracy": tested.accuracy + paid} if self.config.reward_flops else {}
        return {
            **net,
            "test_accuracy": tested.accuracy,
            "added_parameters": self.seeds.with_parameters(self.seeds.fossilized),
            "training_flops": self.cost.flops.clone(),
            "alpha_shock": self.cost.shock.clone(),
        }

    def topologies(self) -> list[Topology]:
        """Return the fossils of every environment."""
        return self.seeds.topologies()

    def grown(self, env: int) -> Grown:
        """Return the host of an environment and its fossils; seeds that were not made permanent stay behind."""
        fossils, names = self.seeds.fossils()[env], self.seeds.labels()[env]
        labels = {slot: names[slot] for slot in fossils}
        weights = self.runtime.weights(env)
        epochs = int(self.progress.epoch[env])
        return hand_over(self._parts, self.slot_config, self.instances[env], weights, fossils, labels, epochs)

    def state(self) -> dict[str, int]:
        """Return what the next reset depends on."""
        return self._draws.state()

    def load_state(self, state: Mapping[str, int]) -> None:
        """Continue the stream of instance draws where `state()` was taken."""
        self._draws.load_state(state)

    def joined(self, states: Sequence[Mapping[str, int]]) -> dict[str, int]:
        """Return the state of all rows, which is that of each share."""
        return dict(states[0])

    def parted(self, state: Mapping[str, int]) -> dict[str, int]:
        """Return the state of these rows, which is that of all."""
        return dict(state)

    def _snapshot(self, where: Tensor) -> None:
        """Take a snapshot of some hosts, bool `[E]`, and their fossils."""
        fossils = self.seeds.fossils()
        self.runtime.snapshot({env: list(fossils[env]) for env in where.nonzero().flatten().tolist()})

    def _roll_back(self, verdict: Tensor, loss: Tensor, labels: Tensor) -> list[dict[str, Any]]:
        """Restore diverged hosts from their snapshots, without live seeds; return the events of it."""
        events = self.governor.events(verdict, loss, self.progress.epoch)
        removed = self.slots.roll_back(verdict > Verdict.SUSPECT, self.governor.fossils)
        self.seeds.carry_out(removed, self.progress)
        for event in events:
            self.runtime.restore(event["env"])
        return events + [self.seeds.event(change, labels, self.progress) for change in removed]

    def _earned(self, op: Tensor, added: Tensor, active: Tensor) -> Tensor:
        rent = reward.rent(
            self.slots.alpha,
            self.seeds.parameters,
            self.described["host_parameters"],
            self.config.rent,
            self.config.epochs,
        )
        cost = torch.where(op == Op.WAIT, 0.0, -self.config.operation_cost).double()
        training = reward.training(added, self.config.reward_flops, self.config.epochs)
        return torch.where(active, rent + training + cost, 0.0)

    def _committed_accuracy(self, ending: Tensor) -> Tensor:
        """Return the validation accuracy with fossils alone, float64 `[E]`, NaN where the episode does not end."""
        with self._timed("validation"):
            return self.runtime.validate(self.seeds.fossils(), ending.tolist(), pairs=False).accuracy

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Add the time spent within to a phase of this call."""
        started = time.perf_counter()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.perf_counter() - started

    def _episode_event(self, env: int, committed: Tensor, rolled_back: bool) -> dict[str, Any]:
        problem = self.problems[env]
        return episode_event(
            env,
            self.slots,
            self.seeds.parameters,
            instance=self.instances[env],
            task=label_of(problem.task),
            host=problem.builder.name,
            host_parameters=problem.builder.host_parameters,
            epochs=int(self.progress.epoch[env]),
            committed=float(committed[env]),
            static=float(self.static_accuracy[env]),
            full=float(self.progress.accuracy[env]),
            **{"return": float(self._returns[env])},
            rolled_back=float(rolled_back),
            **self._draws.said_of(problem),
            **self.seeds.scaffolding.summary(env),
        )

    def _state(self) -> dict[str, Tensor]:
        table, progress = self.slots, self.progress
        num_envs = self.num_envs
        published = {
            "epochs_total": torch.full((num_envs,), self.config.epochs),
            **self.described,
            "seed_parameters": self.seeds.parameters.sum(dim=1),
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
