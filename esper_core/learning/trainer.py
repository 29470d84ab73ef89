"""Proximal policy optimisation: one update after another, each a rollout and a few epochs of gradient steps over it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import Factory, evolve, field, frozen

from esper_core.contracts.errors import CheckpointMismatch, ConfigError, EpisodesLost
from esper_core.contracts.events import is_number
from esper_core.contracts.foreign import UNKNOWN, Owners, close_safely, described, guarded
from esper_core.contracts.protocols import Environment, FeatureExtractor, Loss, MaskProvider, Scheduled
from esper_core.contracts.sides import MATCH, Opponents, TwoSided
from esper_core.learning.adam import Adam
from esper_core.learning.boundary import take_loss, take_metrics, taken_state
from esper_core.learning.collector import Collected, Collecting, Collector
from esper_core.learning.config import TrainConfig
from esper_core.learning.episodes import Episodes
from esper_core.learning.fading import faded
from esper_core.learning.gae import returns_of_rewards
from esper_core.learning.gradient_steps import GradientSteps
from esper_core.learning.guard import Guard, NotFinite, check_finite
from esper_core.learning.leave_one_out import LeaveOneOut
from esper_core.learning.monitors import Monitor, privileged_metrics, rollout_metrics
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.learning.randomness import RunStreams
from esper_core.learning.rollout import Sequences, Steps, in_order, room_for
from esper_core.learning.state import FIT, Learned, Resumable, TrainerState
from esper_core.learning.teacher import Teacher
from esper_core.learning.thresholds import LearningWarning, chosen_thresholds
from esper_core.policy.policy import Evaluation, Policy

KL_STOP = 1.5
"""Learning from a rollout ends before the step at which the joint KL exceeds this multiple of the loss's target."""


@frozen
class StepProgress:
    """How far an update, numbered from 1, is: steps done of those of its phase, 'collect' or 'learn'."""

    update: int
    updates_total: int
    phase: str
    step: int
    steps: int


@frozen
class Update:
    """What one update, numbered from 1, brought.

    Attributes:
        environment_steps: Taken since the start of the run.
        metrics: By name; None where undefined. Nothing here depends on the clock.
        timing: `seconds`, environment `steps_per_second`, and `phases`: seconds of `opponents`, where there are any,
            of each of `Collected.seconds` and of `update`, which is all of learning.
        warnings: Thresholds that a metric is beyond, lasting ones included, and whether the update was skipped.
        score: By which the best checkpoint is known, the return; None where undefined.
    """

    index: int
    environment_steps: int
    metrics: dict[str, float | None]
    timing: dict[str, Any]
    events: list[dict[str, Any]] = field(repr=False)
    warnings: list[LearningWarning] = field(factory=list)
    score: float | None = field(default=Factory(lambda self: self.metrics.get("return"), takes_self=True))

    def __str__(self) -> str:
        score = self.metrics.get("return")
        shown = "" if score is None else f"  return {score:.3f}"
        return f"update {self.index}  {self.environment_steps:,} steps{shown}"


class Trainer:
    """Proximal policy optimisation (Schulman et al., 2017, arXiv:1707.06347).

    A rollout is one episode per row, or `rollout_steps` of the config: then the environment must restart rows, `rows`
    of which make up a match. With `fresh` every update begins its episodes from a seed of its own, whatever the
    environment could save. `collector` makes what collects it, of the arguments of a `Collector`. Whatever a part
    raises, and whatever it returns that its contract does not allow, is a PluginError that names its owner. More
    minibatches than sequences are a ConfigError. `repeats` rows, side by side, play the same instance. `notes` are for
    people: what is not as it was when a state was loaded.
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
        owners: Owners = UNKNOWN,
        rows: int = 1,
        repeats: int = 1,
        teacher: Teacher | None = None,
        opponents: Opponents | None = None,
        fresh: bool = False,
        collector: Callable[..., Collecting] = Collector,
    ) -> None:
        parameter = next(policy.parameters(), None)
        if parameter is None:
            raise owners["network"].breach("neither it nor its critic has a parameter, so nothing can be learned")
        self.policy, self.loss, self.environment, self.config, self.owners = policy, loss, environment, config, owners
        self.features, self.masks, self.opponents = features, masks, opponents
        self.updates_done, self.environment_steps, self._seed = 0, 0, seed
        self.device = parameter.device
        self.normaliser = ReturnNormaliser(enabled=config.normalise_returns)
        # One kernel for all parameters: four to seven times as fast as one after the other, the default on a CPU.
        fused = True if self.device.type == "cpu" else None
        self._parameters = list(policy.parameters())
        self.optimiser = Adam(self._parameters, lr=config.lr, eps=1e-5, fused=fused)
        envs, goes_on = environment.num_envs, bool(config.rollout_steps)
        self._initial = policy.initial_state(envs)
        advised = teacher is not None
        self.rollout = rollout = room_for(policy, features.schema, config, envs, environment.horizon, advised=advised)
        if config.num_minibatches > (count := rollout.num_sequences):
            raise ConfigError(
                f"train.num_minibatches is {config.num_minibatches}, but there are only {count} sequences.",
                hint="A minibatch holds whole sequences: lower train.num_minibatches, raise --envs, or cut them with "
                "train.bptt_steps.",
            )
        self._streams, self.notes = RunStreams(seed, self.device), list[str]()
        self._collector = collector(
            environment, features, masks, policy, rollout, self._streams.sampling, owners, goes_on, rows
        )
        self.teacher = self._collector.teacher = teacher
        self.others = LeaveOneOut(repeats) if config.leave_one_out else None
        self._learned = Learned(policy, self.optimiser, self.normaliser)
        self._guard = Guard(self._learned)
        half = policy.precision != "float32"
        self._monitor = Monitor(chosen_thresholds(config.thresholds, half) if config.warnings else ())
        self._environment_started = self._lost = self._critic_alone = False
        parts = {"features": features, "masks": masks, "loss": loss, "opponents": opponents}
        parts |= {} if fresh else {"environment": environment}
        self._resumable = {kind: part for kind, part in parts.items() if isinstance(part, Resumable)}

    def run(self, updates_total: int, on_step: Callable[[StepProgress], None] | None = None) -> Iterator[Update]:
        """Yield updates until `updates_total` are done, counting those done before.

        `on_step` is called when the episodes have begun and after every environment step and every epoch; what it
        raises ends the update in flight. EsperError: several updates in a row were skipped, or all of a short run.
        """

        def report(phase: str, step: int, steps: int) -> None:
            if on_step is not None:
                on_step(StepProgress(self.updates_done + 1, updates_total, phase, step, steps))

        self._guard.check(self.updates_done, updates_total)
        while self.updates_done < updates_total:
            yield self._update(self.updates_done + 1, report)
            self._guard.check(self.updates_done, updates_total)

    def close(self, say: Callable[[str], None]) -> None:
        """Free what the environment holds; `say` takes in one line where that fails."""
        close_safely(self.owners["environment"], self.environment.close, say)

    # One update -----------------------------------------------------------------------------------------------------

    def _update(self, index: int, report: Callable[[str, int, int], None]) -> Update:
        """Play, estimate advantages, take gradient steps; whatever is not finite undoes what was learned."""
        started, rollout = time.perf_counter(), self.rollout
        collected = Collected([], 0, {})
        metrics: dict[str, float | None] = {}
        if self.teacher is not None:
            self.teacher.begin(index, rollout.num_envs)
            metrics["teacher_weight"] = self.teacher.now
        choosing: dict[str, float] = {}
        with self._streams.resumed(), self._guard.skipping():
            if self.opponents is not None:
                self._meet(self.opponents, index)
                choosing["opponents"] = time.perf_counter() - started
            collected = self._collector.collect(
                self._reset_seed(), on_step=lambda step: report("collect", step, rollout.horizon)
            )
            steps = rollout.steps()
            # The path that learning takes: acting step by step rounds differently, and so do the kernels that compute
            # without gradients, but the first ratio must be exactly 1.
            old = self._evaluate(steps)
            batch, found = self._advantages(steps, old)
            metrics |= found
            metrics |= self._learn(index, batch, report)
            if self.others is not None:
                metrics |= self.others.learn()

        self.updates_done, self.environment_steps = index, self.environment_steps + collected.steps
        seconds = time.perf_counter() - started
        phases = {**choosing, **collected.seconds}
        phases["update"] = seconds - sum(phases.values())
        pace = collected.steps / seconds if seconds > 0 else None
        timing = {"seconds": seconds, "steps_per_second": pace, "phases": phases}
        played = rollout_metrics(rollout, collected.events, collected.returns) if collected.steps else {}
        metrics = played | self._played(index, collected.events) | metrics
        warnings = self._guard.warnings(index) + self._monitor.watch.look(index, metrics)
        metrics["skipped_updates"] = float(self._guard.updates)
        return Update(index, self.environment_steps, metrics, timing, collected.events, warnings)

    def _meet(self, opponents: Opponents, update: int) -> None:
        """Let those be chosen that are to be played against in the rollout of an update."""
        owner, environment = self.owners["environment"], self.environment
        if not isinstance(environment, TwoSided):
            raise owner.breach("it names two sides, but has no set_opponents, learner_side and opponents")
        with self.owners["opponents"].doing(f"choosing whom update {update} is played against"):
            drivers, weights = opponents.begin(update, self.policy, self.features, self.masks)
        with owner.doing("taking up its opponents"):
            environment.set_opponents(drivers, weights)

    def _played(self, update: int, events: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Tell the opponents how the matches of an update ended; return what they say of it."""
        if self.opponents is None:
            return {}
        owner = self.owners["opponents"]
        with owner.doing(f"taking in the matches of update {update}"):
            found = self.opponents.played(update, [event for event in events if event["type"] == MATCH])
        return take_metrics(owner, found)

    @torch.no_grad()
    def _advantages(self, steps: Steps, old: Evaluation) -> tuple[Sequences, dict[str, float | None]]:
        """Return the batch to learn from, and what policy and critic were worth before."""
        rollout, normaliser, config = self.rollout, self.normaliser, self.config
        rollout.store_old_policy(old)
        first = not normaliser.spread
        if first:
            # The returns have no scale yet. It comes from rewards alone, since a critic that has had nothing to learn
            # has nothing to say of it; and what it says need not be kept, so there is nothing to rescale.
            flags = rollout.terminated, rollout.truncated, rollout.valid
            returns = returns_of_rewards(rollout.rewards, *flags, config.gamma)
            normaliser.merge(in_order(returns, rollout.valid))
        offset, unit = normaliser.offset, normaliser.unit
        rollout.compute_advantages(config.gamma, config.gae_lambda, offset, unit, self.others)
        metrics = self._monitor.before(rollout, steps, old, unit, normaliser.spread)
        if self.policy.privileged:
            untold = self._evaluate(evolve(steps, features=steps.features._replace(privileged=None)))
            metrics |= privileged_metrics(steps, old, untold, unit)
        if not first:
            normaliser.merge(in_order(rollout.returns, rollout.valid))
            with self.owners["critic"].doing("rescaling its output"):
                self.policy.critic.rescale_(offset, unit, normaliser.offset, normaliser.unit)
        return rollout.sequences(unit, normaliser), metrics

    def _learn(self, update: int, batch: Sequences, report: Callable[[str, int, int], None]) -> dict[str, float | None]:
        """Take gradient steps until the epochs are done or the policy has moved far enough."""
        if isinstance(self.loss, Scheduled):
            with self.owners["loss"].doing(f"beginning update {update}"):
                self.loss.begin(update)
        for group in self.optimiser.param_groups:
            group["lr"] = faded(self.config.lr, self.config.lr_half_life, update)
        epochs, target_kl, seen = self.config.update_epochs, self._target_kl(), GradientSteps(self.policy)
        if update <= self.config.before_ppo:
            # No reward is learned from yet, and what a teacher says is no reason to stop.
            nothing = torch.zeros_like(batch.advantages)
            batch, target_kl = evolve(batch, advantages=nothing, op_advantage=nothing), None
        self._critic_alone = self.config.teacher_alone < update <= self.config.before_ppo
        for epoch in range(1, epochs + 1):
            if not all(self._step(part, epoch, target_kl, seen) for part in self._minibatches(batch)):
                break
            seen.epochs_done = epoch
            report("learn", epoch, epochs)
        if not self._learned.is_finite():
            raise NotFinite("the weights or the optimiser's moments became NaN or infinite")
        return seen.metrics()

    def _step(self, part: Sequences, epoch: int, target_kl: float | None, seen: GradientSteps) -> bool:
        """Take a gradient step and return true, unless the policy has moved far enough."""
        evaluation = self._evaluate(part)
        seen.evaluated(part, evaluation)
        with self.owners["loss"].doing("comparing a rollout with the policy"):
            found = self.loss(part, evaluation)
        result = take_loss(self.owners["loss"], found)
        total, said = result.loss, result.metrics
        if self.teacher is not None and self.teacher.teaches:
            taught = self.teacher.loss(part, evaluation)
            agreed = self.teacher.probability(part, evaluation) if self.teacher.actions.categorical else math.nan
            total, said = total + taught, {**said, "teacher_loss": taught.detach(), "teacher_probability": agreed}
        seen.kl = kl = float(result.kl)
        check_finite(f"the loss of epoch {epoch}", float(total.detach()))
        check_finite(f"the KL of epoch {epoch}", kl)
        if target_kl is not None and kl > KL_STOP * target_kl:
            return False
        for parameter in self._parameters:
            parameter.grad = None
        # Whose code a gradient fails in, nothing tells.
        network, critic, loss = (self.owners[kind] for kind in ("network", "critic", "loss"))
        with guarded(f"{network}, {critic} or {loss}", "computing gradients"):
            total.backward()
        if self._critic_alone:
            for parameter in self.policy.network.parameters():  # type: ignore[attr-defined]
                parameter.grad = None
        norm = seen.gradient()
        check_finite(f"the gradient of epoch {epoch}", norm)
        longest = self.config.max_grad_norm
        self.optimiser.advance(norm / longest if 0.0 < longest < norm else 1.0)
        seen.stepped({**said, "loss": total.detach()})
        return True

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _reset_seed(self) -> int | None:
        """Return the seed of a reset: one in all for an environment that can save its state, else one per update."""
        if "environment" not in self._resumable or self._lost:
            self._lost = False
            return self._streams.episode_seed(self.updates_done)
        seed = None if self._environment_started else self._streams.environment_seed
        self._environment_started = True
        return seed

    def _evaluate(self, steps: Steps) -> Evaluation:
        return self.policy.evaluate_actions(
            steps.features, steps.masks, steps.state, steps.actions, steps.episode_start
        )

    def _minibatches(self, batch: Sequences) -> Iterator[Sequences]:
        """Yield the batch, or parts of it that hold whole sequences in an order drawn anew for each epoch.

        Sequences of nothing but padding are left out, so that every part has something to learn from.
        """
        if self.config.num_minibatches == 1:
            yield batch
            return
        if not bool((played := batch.valid.any(1)).all()):
            batch = batch.rows(played.nonzero().flatten())
        order = torch.randperm(batch.num_envs, generator=self._streams.shuffling).to(self.device)
        sizes = [len(part) for part in order.tensor_split(min(self.config.num_minibatches, len(order)))]
        yield from batch.rows(order).parts(sizes)

    def _target_kl(self) -> float | None:
        with self.owners["loss"].doing("giving its target_kl"):
            target = self.loss.target_kl
        if target is not None and not is_number(target):
            raise self.owners["loss"].breach(f"its target_kl is {target!r}, neither a number nor None")
        return target

    # Saving ---------------------------------------------------------------------------------------------------------

    def state(self) -> TrainerState:
        """Return a copy of everything that the next update depends on; raises PluginError."""
        streams, rest = self._streams.state()
        parts = {}
        for kind, part in self._resumable.items():
            with self.owners[kind].doing("giving its state"):
                found = part.state()
            parts[kind] = taken_state(self.owners[kind], found)
        # Of no use without the environment's own state.
        episodes = self._collector.episodes if "environment" in parts else None
        going_on = {} if episodes is None else {"episodes": episodes.tensors()}
        return TrainerState(
            tensors={**self._learned.copy(), "rng": streams, **going_on},
            counters={
                "updates_done": self.updates_done,
                "environment_steps": self.environment_steps,
                "seed": self._seed,
                "environment_started": self._environment_started,
                "parts": parts,
                "random": rest,
                "skipped": self._guard.state(),
                **self._monitor.state(),
                **({} if self.others is None else {"leave_one_out": self.others.state()}),
            },
        )

    def load_state(self, state: TrainerState) -> None:
        """Continue exactly where `state()` was taken; the state is copied.

        Where an environment cannot go on in the middle of its episodes new ones begin, and `notes` say so.
        Raises CheckpointMismatch where something is missing, unexpected or of another shape; nothing has changed then.
        """
        before = self.state()
        try:
            self._restore(state)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            self._restore(before)
            raise CheckpointMismatch(f"The saved state does not fit: {described(error)}.", hint=FIT) from error

    def _restore(self, state: TrainerState) -> None:
        counters = state.counters
        self._learned.restore(state.tensors)
        self._streams.load_state(state.tensors["rng"], counters["random"])
        self._guard.load_state(counters["skipped"])
        self._monitor.load_state(counters)
        if self.others is not None:
            self.others.load_state(counters["leave_one_out"])
        self.updates_done, self.environment_steps = counters["updates_done"], counters["environment_steps"]
        self._environment_started = counters["environment_started"]
        self._collector.episodes, self._lost, self.notes = None, False, []
        why = "" if "environment" in counters["parts"] else f"{self.owners['environment']} does not save its episodes."
        for kind, saved in counters["parts"].items():
            part = self._resumable[kind]
            try:
                with self.owners[kind].doing("taking up its saved state"):
                    part.load_state(saved)
            except EpisodesLost as lost:
                self._lost, why = True, lost.message
        if why and self._collector.restarts and self.updates_done:
            self.notes = [f"{why} New ones begin, so the run does not go on exactly as it would have."]
        if not why and (saved := state.tensors.get("episodes")):
            like = self.rollout.valid[:, 0]
            self._collector.episodes = Episodes.restored(saved, self._initial, like)
