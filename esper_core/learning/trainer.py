"""The trainer: one update after another, each a rollout and a few passes of gradient steps over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor

from esper_core.contracts.errors import CheckpointMismatch, ConfigError, EsperError
from esper_core.contracts.events import is_number
from esper_core.contracts.foreign import UNKNOWN, Owner, Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor, Loss, LossResult, MaskProvider, Scheduled
from esper_core.learning import monitors
from esper_core.learning.boundary import take_loss, taken_state
from esper_core.learning.collector import Collected, Collector, NotFinite
from esper_core.learning.config import TrainConfig
from esper_core.learning.fading import faded
from esper_core.learning.gae import discounted_returns
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.learning.randomness import Streams
from esper_core.learning.rollout import Rollout, Sequences, Steps
from esper_core.learning.state import FIT, Learned, Resumable, TrainerState, compare
from esper_core.learning.thresholds import LearningWarning, Watch, chosen_thresholds
from esper_core.policy.policy import Evaluation, Policy

KL_STOP = 1.5
"""Learning from a rollout ends before the step at which the joint KL exceeds this multiple of the loss's target."""

SKIPS_IN_A_ROW = 3
"""Updates skipped in a row after which a run stops."""


@frozen
class StepProgress:
    """How far an update is.

    Attributes:
        update: Number of the update being worked on, from 1.
        updates_total: Updates of the run.
        phase: 'collect' or 'learn'.
        step: Steps done in this phase; 0 when its episodes have begun.
        steps: Steps of this phase.
    """

    update: int
    updates_total: int
    phase: str
    step: int
    steps: int


@frozen
class Update:
    """What one update brought.

    Attributes:
        index: Number of the update, from 1.
        environment_steps: Environment steps taken since the start of the run.
        metrics: By name; None where undefined. Nothing here depends on the clock.
        timing: `seconds`, environment `steps_per_second`, and `phases`: seconds of each phase, those of collecting and
            `update`, which is all of learning.
        events: The environment's events.
        warnings: Thresholds that a metric is beyond, those of earlier updates that last included; and that the update
            was skipped, when it was.
    """

    index: int
    environment_steps: int
    metrics: dict[str, float | None]
    timing: dict[str, Any]
    events: list[dict[str, Any]]
    warnings: list[LearningWarning] = field(factory=list)


class Trainer:
    """Proximal policy optimisation over whole episodes (Schulman et al., 2017, arXiv:1707.06347).

    Args:
        policy: The policy to train.
        features: State → features.
        masks: State → legal actions.
        loss: What to minimise.
        environment: E environments.
        config: Settings.
        seed: Of sampling, shuffling and the environment.
        updates_done: Updates done before this trainer was made.
        owners: Whose code the parts are. Whatever they raise, and whatever they return that their contract does not
            allow, is a PluginError that names them.

    Raises:
        ConfigError: more minibatches than environments.
        PluginError: the policy has nothing to learn.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        features: FeatureExtractor,
        masks: MaskProvider,
        loss: Loss,
        environment: Environment,
        config: TrainConfig,
        seed: int,
        updates_done: int = 0,
        owners: Owners = UNKNOWN,
    ) -> None:
        if config.num_minibatches > environment.num_envs:
            raise ConfigError(
                f"train.num_minibatches is {config.num_minibatches}, but there are only {environment.num_envs} "
                "environments.",
                hint="A minibatch holds whole episodes; lower train.num_minibatches or raise --envs.",
            )
        self.policy, self.loss, self.environment, self.config = policy, loss, environment, config
        self.updates_done, self.environment_steps, self._seed = updates_done, 0, seed
        self.owners = owners
        parameter = next(policy.parameters(), None)
        if parameter is None:
            raise owners["network"].breach("neither it nor its critic has a parameter, so nothing can be learned")
        self.device = parameter.device
        # One stream per concern, so that shuffling never shifts sampling; all on the CPU, so that a saved run can go on
        # on any device.
        streams = torch.Generator().manual_seed(seed)
        sampling, shuffling, self._environment_seed = torch.randint(2**31, (3,), generator=streams).tolist()
        self._sampling = torch.Generator().manual_seed(sampling)
        self._shuffling = torch.Generator().manual_seed(shuffling)
        self._streams = Streams.now(self.device)
        self._fresh_environment = True
        self.normaliser = ReturnNormaliser(enabled=config.normalise_returns)
        self.optimiser = torch.optim.Adam(policy.parameters(), lr=config.lr, eps=1e-5)
        self._learned = Learned(policy, self.optimiser, self.normaliser)
        self.rollout = Rollout(
            environment.horizon,
            environment.num_envs,
            policy.actions,
            features.schema,
            self.device,
            parameter.dtype,
        )
        self._collector = Collector(environment, features, masks, policy, self.rollout, self._sampling, owners)
        self._usage = monitors.Usage()
        half = policy.precision != "float32"
        self._watch = Watch(chosen_thresholds(config.thresholds, half) if config.warnings else ())
        self._skipped, self._skipped_in_a_row, self._reason = 0, 0, ""
        self._savable = False
        parts = {"environment": environment, "features": features, "masks": masks, "loss": loss}
        self._resumable = {kind: part for kind, part in parts.items() if isinstance(part, Resumable)}

    def run(self, updates_total: int, on_step: Callable[[StepProgress], None] | None = None) -> Iterator[Update]:
        """Yield updates until `updates_total` are done, counting those done before.

        Args:
            updates_total: Updates of the whole run.
            on_step: Called when the episodes have begun and after every environment step and every pass; what it
                raises ends the update in flight.

        Raises:
            EsperError: several updates in a row were skipped, or every one of a short run.
            PluginError: a part raised something, or broke its contract.
        """
        while True:
            self._check_skips(updates_total)
            if self.updates_done >= updates_total:
                return
            index = self.updates_done + 1

            def report(phase: str, step: int, steps: int, update: int = index) -> None:
                if on_step is not None:
                    on_step(StepProgress(update, updates_total, phase, step, steps))

            yield self._update(report)

    # One update -----------------------------------------------------------------------------------------------------

    def _update(self, report: Callable[[str, int, int], None]) -> Update:
        started = time.perf_counter()
        # Whoever looks on between updates may draw random numbers too, and must not shift those of the run.
        self._streams.resume(self.device)
        before, rollout, reason = self._learned.copy(), self.rollout, ""
        collected = Collected([], 0, {})
        metrics: dict[str, float | None] = {}
        try:
            collected = self._collector.collect(
                self._reset_seed(), on_step=lambda step: report("collect", step, rollout.horizon)
            )
            if not self._savable:
                # What cannot be saved is found out before the first update is learned from, and lost.
                self._parts_state()
                self._savable = True
            steps = rollout.steps()
            batch, metrics = self._targets(steps, self._remember(steps))
            if isinstance(self.loss, Scheduled):
                with self.owners["loss"].doing(f"beginning update {self.updates_done + 1}"):
                    self.loss.begin(self.updates_done + 1)
            for group in self.optimiser.param_groups:
                group["lr"] = faded(self.config.lr, self.config.lr_half_life, self.updates_done + 1)
            metrics |= self._learn(batch, report)
        except NotFinite as error:
            self._learned.restore(before)
            reason = error.what
        self._streams = Streams.now(self.device)

        self.updates_done += 1
        self.environment_steps += collected.steps
        seconds = time.perf_counter() - started
        phases = {**collected.seconds, "update": seconds - sum(collected.seconds.values())}
        pace = collected.steps / seconds if seconds > 0 else None
        timing = {"seconds": seconds, "steps_per_second": pace, "phases": phases}
        metrics = self._episodes(collected) | metrics
        warnings = self._count_skip(reason) + self._watch.look(self.updates_done, metrics)
        metrics["skipped_updates"] = float(self._skipped)
        return Update(self.updates_done, self.environment_steps, metrics, timing, collected.events, warnings)

    def _episodes(self, collected: Collected) -> dict[str, float | None]:
        """Return what the episodes were like; nothing when they were not played to their end."""
        if not collected.steps:
            return {}
        reward_sum = monitors.number(self.rollout.rewards.double().sum(0).mean())
        episode = {"return": reward_sum} | monitors.episode_metrics(collected.events)
        return episode | {"reward_sum": reward_sum} | monitors.action_metrics(self.rollout)

    def _count_skip(self, reason: str) -> list[LearningWarning]:
        """Count an update that was skipped for a reason, or one that was not, and return the warning."""
        self._reason = reason
        if not reason:
            self._skipped_in_a_row = 0
            return []
        self._skipped += 1
        self._skipped_in_a_row += 1
        message = f"update {self.updates_done} was skipped, and policy and optimiser left as they were: {reason}"
        count = float(self._skipped)
        return [LearningWarning("update-skipped", "skipped_updates", None, count, 0.0, self.updates_done, message)]

    def _check_skips(self, updates_total: int) -> None:
        """Raise EsperError when too many updates in a row were skipped, or when all of a run were."""
        skips, done = self._skipped_in_a_row, self.updates_done
        if not skips or (skips < SKIPS_IN_A_ROW and not skips == done == updates_total):
            return
        which = f"Updates {done - skips + 1} to {done} were" if skips > 1 else f"Update {done} was"
        raise EsperError(
            f"{which} skipped: {self._reason}. The policy is that of update {done - skips}.",
            hint="Begin a new run with a lower train.lr or train.max_grad_norm, or go on from an earlier checkpoint "
            "with --at.",
        )

    def _reset_seed(self) -> int | None:
        """Return the seed for the coming reset.

        An environment that can save its state is seeded once and goes on from there. Any other gets a new seed for
        each update, so that continuing a run is exact without its help.
        """
        if not isinstance(self.environment, Resumable):
            mixed = torch.Generator().manual_seed(self._environment_seed + self.updates_done)
            return int(torch.randint(2**31, (1,), generator=mixed))
        seed = self._environment_seed if self._fresh_environment else None
        self._fresh_environment = False
        return seed

    def _remember(self, steps: Steps) -> Evaluation:
        """Evaluate the rollout once through the path that learning takes, and store it as the old policy.

        Log-probabilities from acting step by step differ in rounding, and so do those without gradients, which other
        kernels compute; the first ratio must be exactly 1.
        """
        old = self.policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
        with torch.no_grad():
            final = self.policy.value(*self.rollout.final(), old.state)
            self.rollout.store_old_policy(old, final[:, 0])
        return old

    @torch.no_grad()
    def _targets(self, steps: Steps, old: Evaluation) -> tuple[Sequences, dict[str, float | None]]:
        """Compute advantages and targets; return the batch and what the critic was worth."""
        rollout, normaliser, config = self.rollout, self.normaliser, self.config
        first = not normaliser.spread
        if first:
            # The returns have no scale yet. It comes from rewards alone, since a critic that has had nothing to learn
            # has nothing to say of it; and what it says need not be kept, so there is nothing to rescale.
            ended = rollout.terminated | rollout.truncated
            returns = discounted_returns(rollout.rewards, ended, rollout.valid, config.gamma)
            normaliser.merge(returns[rollout.valid])
        offset, unit = normaliser.offset, normaliser.unit
        rollout.compute_advantages(config.gamma, config.gae_lambda, offset, unit)
        metrics = monitors.critic_metrics(rollout, steps, old, unit, normaliser.spread)
        metrics |= monitors.policy_metrics(steps, old)
        metrics |= monitors.state_metrics(old.state, steps.valid[:, -1]) | self._usage.add(old, steps.valid)
        if not first:
            normaliser.merge(rollout.returns[rollout.valid])
            with self.owners["critic"].doing("rescaling its output"):
                self.policy.critic.rescale_(offset, unit, normaliser.offset, normaliser.unit)
        return rollout.sequences(unit, normaliser), metrics

    def _learn(self, batch: Sequences, report: Callable[[str, int, int], None]) -> dict[str, float | None]:
        """Take gradient steps until the passes are done or the policy has moved far enough."""
        config, passes_done = self.config, 0
        history: dict[str, list[Tensor]] = {}
        extents: list[Tensor] = []
        metrics: dict[str, float | None] = {"grad_norm": None}
        target_kl = self._target_kl()
        for number in range(config.update_epochs):
            stop = False
            for part in self._minibatches(batch):
                evaluation = self.policy.evaluate_actions(
                    part.features, part.masks, None, part.actions, part.episode_start
                )
                if "ratio_at_start" not in metrics:
                    metrics["ratio_at_start"] = monitors.ratio_at_start(evaluation, part.old_log_prob, part.valid)
                extents.append(monitors.ratio_extent(part, evaluation))
                monitors.keep_gradients(evaluation)
                result = self._loss(part, evaluation)
                kl = float(result.kl)
                metrics["kl"] = monitors.number(kl)
                self._check("the loss", result.loss, number)
                self._check("the KL", kl, number)
                stop = target_kl is not None and kl > KL_STOP * target_kl
                if stop:
                    break
                self.optimiser.zero_grad(set_to_none=True)
                with self._differentiated().doing("computing gradients"):
                    result.loss.backward()
                norms = monitors.gradient_norms(self.policy, evaluation)
                self._check("the gradient", norms["grad_norm"], number)
                torch.nn.utils.clip_grads_with_norm_(
                    self.policy.parameters(), config.max_grad_norm or torch.inf, norms["grad_norm"]
                )
                self.optimiser.step()
                for name, value in {**result.metrics, "loss": result.loss.detach(), **norms}.items():
                    history.setdefault(name, []).append(value)
            if stop:
                break
            passes_done += 1
            report("learn", passes_done, config.update_epochs)
        if not self._learned.is_finite():
            raise NotFinite("the weights or the optimiser's moments became NaN or infinite")
        for name, values in history.items():
            metrics[name] = monitors.mean_of(torch.stack(values).double().tolist())
        metrics |= monitors.ratio_metrics(batch.old_log_prob, extents) | monitors.kl_metrics(part, evaluation)
        metrics["passes_done"] = float(passes_done)
        return metrics

    def _loss(self, batch: Sequences, evaluation: Evaluation) -> LossResult:
        owner = self.owners["loss"]
        with owner.doing("comparing a rollout with the policy"):
            found = self.loss(batch, evaluation)
        return take_loss(owner, found)

    def _target_kl(self) -> float | None:
        owner = self.owners["loss"]
        with owner.doing("giving its target_kl"):
            target = self.loss.target_kl
        if target is not None and not is_number(target):
            raise owner.breach(f"its target_kl is {target!r}, neither a number nor None")
        return target

    def _differentiated(self) -> Owner:
        """Return whose code a gradient passes through; where one fails, nothing tells them apart."""
        *others, last = (self.owners[kind].label for kind in ("network", "critic", "loss"))
        return Owner(f"{', '.join(others)} or {last}")

    def _minibatches(self, batch: Sequences) -> Iterator[Sequences]:
        """Yield the batch, or parts of it that hold whole environments in an order drawn anew for each pass."""
        if self.config.num_minibatches == 1:
            yield batch
            return
        order = torch.randperm(batch.num_envs, generator=self._shuffling).to(self.device)
        for index in torch.tensor_split(order, self.config.num_minibatches):
            yield batch.rows(index)

    def _check(self, what: str, value: Tensor | float, number: int) -> None:
        if not bool(torch.isfinite(torch.as_tensor(value))):
            raise NotFinite(f"{what} of epoch {number + 1} became NaN or infinite")

    # Saving ---------------------------------------------------------------------------------------------------------

    def state(self) -> TrainerState:
        """Return a copy of everything that the next update depends on; raises PluginError."""
        own = {"sampling": self._sampling.get_state(), "shuffling": self._shuffling.get_state()}
        return TrainerState(
            tensors={**self._learned.copy(), "rng": {**own, **self._streams.tensors}},
            counters={
                "updates_done": self.updates_done,
                "environment_steps": self.environment_steps,
                "seed": self._seed,
                "environment_started": not self._fresh_environment,
                "parts": self._parts_state(),
                "random": dict(self._streams.rest),
                "skipped": {"updates": self._skipped, "in_a_row": self._skipped_in_a_row, "reason": self._reason},
                "used": {"steps": self._usage.steps, "heads": dict(self._usage.used)},
                "warned": dict(self._watch.since),
            },
        )

    def _parts_state(self) -> dict[str, dict[str, Any]]:
        states = {}
        for kind, part in self._resumable.items():
            owner = self.owners[kind]
            with owner.doing("giving its state"):
                found = part.state()
            states[kind] = taken_state(owner, found)
        return states

    def load_state(self, state: TrainerState) -> None:
        """Continue exactly where `state()` was taken. The state is copied, not kept.

        Raises:
            CheckpointMismatch: something is missing, unexpected, or of another shape; nothing has changed then.
        """
        self._check_fit(state)
        counters, streams = state.counters, state.tensors["rng"]
        self._learned.restore(state.tensors)
        self._sampling.set_state(streams["sampling"])
        self._shuffling.set_state(streams["shuffling"])
        self._streams = Streams({name: value.clone() for name, value in streams.items()}, dict(counters["random"]))
        self._usage = monitors.Usage(counters["used"]["steps"], dict(counters["used"]["heads"]))
        self._watch.since = dict(counters["warned"])
        skipped = counters["skipped"]
        self._skipped, self._skipped_in_a_row, self._reason = (skipped[k] for k in ("updates", "in_a_row", "reason"))
        self.updates_done, self.environment_steps = counters["updates_done"], counters["environment_steps"]
        self._fresh_environment = not counters["environment_started"]
        for kind, saved in counters["parts"].items():
            with self.owners[kind].doing("taking up its saved state"):
                self._resumable[kind].load_state(saved)

    def _check_fit(self, state: TrainerState) -> None:
        mine = self.state()
        absent = [name for name in mine.tensors if name not in state.tensors]
        absent += [name for name in mine.counters if name not in state.counters]
        if absent:
            raise CheckpointMismatch(f"The saved state has no '{absent[0]}'.", hint=FIT)
        self._learned.check_fit(state.tensors)
        # A GPU's stream is there when the run was on one, and a run may go on elsewhere.
        compare("rng", *(_without(table["rng"], "cuda") for table in (mine.tensors, state.tensors)))
        for kind in state.counters["parts"]:
            if kind not in self._resumable:
                raise CheckpointMismatch(f"The saved state has one of the {kind}, which can load none here.", hint=FIT)


def _without(table: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in table.items() if key != name}
