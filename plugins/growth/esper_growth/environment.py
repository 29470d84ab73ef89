"""The environment `growth`: E hosts train side by side; one step is one host epoch.

Order within a step: operation → tick (gates, alpha, cooldown) → train one epoch → validate → govern → reward. An
operation is paid for by the epoch that follows it.
"""

from __future__ import annotations

import itertools
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
from esper_growth.actions import Algorithm, Op
from esper_growth.board import slot_board
from esper_growth.checks import check_finite, check_legal
from esper_growth.config import GrowthConfig
from esper_growth.cost import TrainingCost
from esper_growth.describe import describe
from esper_growth.events import episode_event, seed_event
from esper_growth.export import hand_over
from esper_growth.governor import Governor, Verdict
from esper_growth.instance_weights import InstanceWeights, kind_of
from esper_growth.lifecycle import Change, SlotTable
from esper_growth.masks import legal_blueprints
from esper_growth.model import SeedSetting
from esper_growth.privileged import Privileged
from esper_growth.problems import Problem, Problems, changing, described
from esper_growth.progress import Progress
from esper_growth.runtime import HostRuntime, Settings, replace_rows, stable_seed
from esper_growth.scaffolding import Scaffolding, Seed
from esper_growth.stages import HAS_MODULE, Stage
from esper_growth.static_curves import StaticCurves

INTERACTION_EVERY = 5

HELD_OUT = 1_000_000
"""Instances from here on are evaluated on; no training draws them."""


Topology = Mapping[str, tuple[str, str, float]]
"""Slot → blueprint, how it joins the host, and alpha."""


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
        self._weights = InstanceWeights.of(config.instance_weights)
        self._legal_blueprints = legal_blueprints(context)
        self._parts = context.parts
        self._problems = problems
        self._seed, self._episodes, self._rows = context.seed, 0, context.rows
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
            self._seed, self._episodes = seed, 0
        self.instances = list(options.get("instances") or self._draw_instances())
        if len(self.instances) != self.num_envs:
            raise EsperError(f"{len(self.instances)} instances were given for {self.num_envs} environments.")
        self._episodes += 1
        with self._timed("static_curves"):
            static = self.curves.get(self.instances)
        self.static_accuracy = torch.tensor([static[i][-1] for i in self.instances], dtype=torch.float64)
        self.runtime.start(self.instances)
        self.problems = [self._problems.at(instance) for instance in self.instances]
        self.described = described(self.problems)
        names = [(problem.task.name, problem.builder.name) for problem in self.problems]
        self._privileged = Privileged([static[i] for i in self.instances], names, self.device)
        self.slots = SlotTable.empty(self.num_envs, self.num_slots)
        self.scaffolding = Scaffolding(self.num_envs)
        self._plant(options.get("topologies", ()))
        self._active = torch.ones(self.num_envs, dtype=torch.bool)
        self._last_op = torch.full((self.num_envs,), int(Op.WAIT))
        self._last_success = torch.ones(self.num_envs, dtype=torch.bool)
        self._returns = torch.zeros(self.num_envs, dtype=torch.float64)
        self._seed_parameters = self.runtime.seed_parameters()
        with self._timed("validation"):
            validation = self.runtime.validate(self._settings(), self._active.tolist(), pairs=False)
        self.progress = Progress.start(validation, self.num_slots)
        self.cost = TrainingCost.none(self.num_envs)
        if self.config.governor:
            self.governor = Governor.start(self.config, self._parts["task"].classes, validation.loss, self.num_slots)
            self.governor.fossils = self.slots.stage == Stage.FOSSILIZED
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
        self._carry_out(changes)
        events = [self._event(change, labels) for change in changes]

        settings, running = self._settings(), active.tolist()
        # What the task's change costs is not the blend's doing.
        moved = (self.slots.shares() != shares).any(dim=(1, 2)) & active & ~changing(self.problems, self.progress.epoch)
        added = self.cost.epoch(self.problems, settings, self._labels(), active)
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
                again = self.runtime.validate(self._settings(), diverged.tolist(), pairs=False)
            validation, gradients = replace_rows(validation, gradients, diverged, again)
        check_finite(validation.loss, active, self.instances, self.progress.epoch)
        if validation.interactions is not None:
            self.scaffolding.record(validation.interactions, self.progress.epoch, active)
        self.progress.record(validation, gradients, active)
        self._last_op = torch.where(active, actions["op"], self._last_op)
        self._last_success = torch.where(active, success, self._last_success)

        if self.config.governor:
            fossils = self.slots.stage == Stage.FOSSILIZED
            due = self.governor.due(self.progress.epoch, fossils, verdict, active)
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
        fossils = self.slots.stage == Stage.FOSSILIZED
        tested = self.runtime.validate(self._fossils(), [True] * self.num_envs, pairs=False, split="test")
        paid = reward.training(self.cost.added, self.config.reward_flops, self.config.epochs)
        net = {"net_accuracy": tested.accuracy + paid} if self.config.reward_flops else {}
        return {
            **net,
            "test_accuracy": tested.accuracy,
            "added_parameters": torch.where(fossils, self._seed_parameters, 0).sum(dim=1).double(),
            "training_flops": self.cost.flops.clone(),
            "alpha_shock": self.cost.shock.clone(),
        }

    def topologies(self) -> list[Topology]:
        """Return the fossils of every environment."""
        labels = self._labels()
        return [
            {str(slot): (labels[env][slot], seed.algorithm.name, seed.alpha) for slot, seed in fossils.items()}
            for env, fossils in enumerate(self._fossils())
        ]

    def grown(self, env: int) -> Grown:
        """Return the host of an environment and its fossils; seeds that were not made permanent stay behind."""
        fossils, names = self._fossils()[env], self._labels()[env]
        labels = {slot: names[slot] for slot in fossils}
        weights = self.runtime.weights(env)
        epochs = int(self.progress.epoch[env])
        return hand_over(self._parts, self.slot_config, self.instances[env], weights, fossils, labels, epochs)

    def state(self) -> dict[str, int]:
        """Return what the next reset depends on."""
        return {"seed": self._seed, "episodes": self._episodes}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Continue the stream of instance draws where `state()` was taken."""
        self._seed, self._episodes = state["seed"], state["episodes"]

    def joined(self, states: Sequence[Mapping[str, int]]) -> dict[str, int]:
        """Return the state of all rows, which is that of each share."""
        return dict(states[0])

    def parted(self, state: Mapping[str, int]) -> dict[str, int]:
        """Return the state of these rows, which is that of all."""
        return dict(state)

    def _plant(self, topologies: Sequence[Topology]) -> None:
        """Put fossils into the hosts' empty slots."""
        labels = self.actions.category("blueprint").labels
        for env, topology in enumerate(topologies):
            for name, (label, algorithm, alpha) in topology.items():
                slot, how = int(name), Algorithm[algorithm]
                self.runtime.germinate(env, slot, label, how)
                self.slots.plant(env, slot, labels.index(label), how, alpha)
                self.scaffolding.germinate(env, slot, Seed(self.slot_config.slot_ids[slot], label))

    def _draw_instances(self) -> list[int]:
        """Return the instances of these rows: those of all are drawn, as often as each is repeated."""
        generator = torch.Generator().manual_seed(stable_seed("instances", self._seed, self._episodes))
        wanted, drawn = -(-self._rows.total // self.config.repeats), list[int]()
        while len(drawn) < wanted:
            order = torch.randperm(self.config.instances, generator=generator).tolist()
            # Kinds are looked at no farther than needed: that draws a family's data.
            played = (number for i in order if self._is_played(number := self.config.first_instance + i, generator))
            drawn += itertools.islice(played, wanted - len(drawn))
        return [number for number in drawn for _ in range(self.config.repeats)][self._rows.rows]

    def _is_played(self, instance: int, generator: torch.Generator) -> bool:
        """Return whether an instance that was drawn is played; where all kinds are alike nothing more is drawn."""
        if not self._weights.entries:
            return True
        problem = self._problems.at(instance)
        chance = self._weights.weight(kind_of(problem.task.name, problem.builder.name))
        return float(torch.rand((), generator=generator)) < chance

    def _snapshot(self, where: Tensor) -> None:
        """Take a snapshot of some hosts, bool `[E]`, and their fossils."""
        fossils = self._fossils()
        self.runtime.snapshot({env: list(fossils[env]) for env in where.nonzero().flatten().tolist()})

    def _roll_back(self, verdict: Tensor, loss: Tensor, labels: Tensor) -> list[dict[str, Any]]:
        """Restore diverged hosts from their snapshots, without live seeds; return the events of it."""
        events = self.governor.events(verdict, loss, self.progress.epoch)
        removed = self.slots.roll_back(verdict > Verdict.SUSPECT, self.governor.fossils)
        self._carry_out(removed)
        for event in events:
            self.runtime.restore(event["env"])
        return events + [self._event(change, labels) for change in removed]

    def _carry_out(self, changes: Sequence[Change]) -> None:
        table = self.slots
        for env, slot, kind in changes:
            if kind == "germinate":
                label = self.actions.category("blueprint").labels[int(table.blueprint[env, slot])]
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

    def _earned(self, op: Tensor, added: Tensor, active: Tensor) -> Tensor:
        rent = reward.rent(
            self.slots.alpha,
            self._seed_parameters,
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
            return self.runtime.validate(self._fossils(), ending.tolist(), pairs=False).accuracy

    def _labels(self) -> list[list[str]]:
        """Return the blueprint label of every seed, by environment and slot; meaningless where there is none."""
        labels = self.actions.category("blueprint").labels
        return [[labels[index] for index in row] for row in self.slots.blueprint.tolist()]

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
        event = seed_event(
            change,
            self.slots,
            self._seed_parameters,
            step=int(self.progress.epoch[env]),
            slot_id=self.slot_config.slot_ids[slot],
            blueprint=self.actions.category("blueprint").labels[int(labels[env, slot])],
        )
        if kind == "fossilize":
            event["helpers"] = self.scaffolding.helpers(env, slot)
        return event

    def _episode_event(self, env: int, committed: Tensor, rolled_back: bool) -> dict[str, Any]:
        problem = self.problems[env]
        return episode_event(
            env,
            self.slots,
            self._seed_parameters,
            instance=self.instances[env],
            task=problem.task.name,
            host=problem.builder.name,
            host_parameters=problem.builder.host_parameters,
            epochs=int(self.progress.epoch[env]),
            committed=float(committed[env]),
            static=float(self.static_accuracy[env]),
            full=float(self.progress.accuracy[env]),
            **{"return": float(self._returns[env])},
            rolled_back=float(rolled_back),
            **self._drawn_with(problem),
            **self.scaffolding.summary(env),
        )

    def _drawn_with(self, problem: Problem) -> dict[str, float]:
        """Return the weight of a problem's kind, where kinds have weights."""
        if not self._weights.entries:
            return {}
        return {"instance_weight": self._weights.weight(kind_of(problem.task.name, problem.builder.name))}

    def _state(self) -> dict[str, Tensor]:
        table, progress = self.slots, self.progress
        num_envs = self.num_envs
        published = {
            "epochs_total": torch.full((num_envs,), self.config.epochs),
            **self.described,
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
