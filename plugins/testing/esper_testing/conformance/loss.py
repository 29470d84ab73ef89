"""What every loss must do."""

from __future__ import annotations

import functools
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.composition.build import build_parts
from esper_core.contracts.protocols import LossResult
from esper_core.learning.collector import Collector
from esper_core.learning.config import TrainConfig
from esper_core.learning.rollout import Rollout, Sequences
from esper_core.learning.trainer import Trainer
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation, Policy
from esper_testing.case import Case, trainable
from esper_testing.conformance.chance import assert_repeatable, noise_like, stir
from esper_testing.conformance.everywhere import everywhere, in_every_layout, said, with_numbers
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.conformance.tensors import (
    assert_dtype,
    assert_finite,
    assert_on,
    assert_reached,
    assert_same,
    assert_shape,
    mapped,
    unchanged,
)
from esper_testing.fake_device import FakeDevice
from esper_testing.reference.plugin import DISTRIBUTION

PLAYERS = 16
"""Environments of a rollout: enough steps for every head to matter."""

BANDITS, UPDATES, RATE = 64, 30, 0.02
"""Environments, updates and step size of learning the reference environment with one slot and episodes of one step."""

LEARNED = 0.5
"""What is earned per step then, at best over three updates; chance earns a third at most, knowing the answer 1."""

ROUNDING = 1e-5
"""How far float32 sums over a rollout may be apart, relative to 1 and to them."""

SUITE = Suite(
    "loss",
    (
        "result",
        "deterministic",
        "inputs-untouched",
        "gradient",
        "padding",
        "zero-advantage",
        "no-choice",
        "divergence",
        "raises-advantaged",
        "numbers",
        "regresses-returns",
        "learns",
        "float64",
        "device",
    ),
)


@frozen
class Game:
    """A loss, and episodes that a policy has played.

    Attributes:
        batch: What was played, with every head asked somewhere, random advantages, and padding at the end.
    """

    loss: Any
    policy: Policy
    batch: Sequences

    def evaluate(self, batch: Sequences | None = None) -> Evaluation:
        """Return the policy's evaluation of the batch, or of another."""
        batch = self.batch if batch is None else batch
        return self.policy.evaluate_actions(batch.features, batch.masks, None, batch.actions, batch.episode_start)

    def result(self, batch: Sequences | None = None) -> LossResult:
        """Return the loss of the batch, or of another."""
        batch = self.batch if batch is None else batch
        found: LossResult = self.loss(batch, self.evaluate(batch))
        return found

    def moved(self) -> Game:
        """Return the same game with a policy that has learned since: ratios are no longer 1."""
        stir(self.policy, 0.02)
        return self


@SUITE.check("result")
@everywhere
def result(subject: Subject, case: Case) -> None:
    """It returns a finite scalar with a gradient, the KL, and metrics, numbers or scalars without history."""
    for game in (_play(subject, case), _play(subject, case).moved()):
        found = game.result()
        assert_shape(found.loss, (), "the loss")
        assert found.loss.requires_grad, "the loss has no gradient"
        assert_shape(found.kl, (), "the KL")
        for name, metric in found.metrics.items():
            if isinstance(metric, float):
                continue
            assert_shape(metric, (), f"metric '{name}'")
            assert not metric.requires_grad, f"metric '{name}' keeps the history of the loss alive: detach it"
        assert not found.kl.requires_grad, "the KL keeps the history of the loss alive: detach it"
        assert_finite({"loss": found.loss, "kl": found.kl}, "its result")
        target = game.loss.target_kl
        assert target is None or (isinstance(target, float) and target > 0), (
            f"target_kl is {target!r}, not None or a number above 0"
        )


@SUITE.check("deterministic", after=("result",))
@in_every_layout
def deterministic(subject: Subject, case: Case) -> None:
    """The same batch gives the same result: no chance, and no memory, which no checkpoint would hold."""
    game = _play(subject, case).moved()
    other = evolve(game.batch, advantages=-game.batch.advantages)
    assert_repeatable(game.result, lambda: game.result(other), "the loss")


@SUITE.check("inputs-untouched", after=("result",))
@in_every_layout
def inputs_untouched(subject: Subject, case: Case) -> None:
    """It changes nothing in the batch nor in the evaluation."""
    game = _play(subject, case).moved()
    evaluation = game.evaluate()
    given = (game.batch, evaluation.logits, evaluation.log_prob, evaluation.entropy, evaluation.values)
    with unchanged(given, "what it is given, before and after"):
        game.loss(game.batch, evaluation)


@SUITE.check("gradient", after=("result",))
@in_every_layout
def gradient(subject: Subject, case: Case) -> None:
    """Its gradient reaches every trainable parameter of network and critic."""
    game = _play(subject, case)
    game.result().loss.backward()
    assert_reached(game.policy)


@SUITE.check("padding", after=("result", "deterministic"))
@in_every_layout
def padding(subject: Subject, case: Case) -> None:
    """Padding counts for nothing, whatever it holds, NaN included; and sums are divided by the valid steps alone."""
    game = _play(subject, case).moved()
    batch, valid = game.batch, game.batch.valid
    expected = _learned(game, batch)
    for by in (1e6, torch.nan):
        junk = functools.partial(_with_junk, valid, by)
        names = ("advantages", "op_advantage", "returns", "old_log_prob", "old_logits")
        messy = evolve(batch, **{name: mapped(getattr(batch, name), junk) for name in names})
        assert_same(_learned(game, messy), expected, f"what is learned when padding holds {by:g}", ROUNDING)
    environments = torch.arange(batch.num_envs)
    joined = batch.rows(torch.cat([environments, environments]))
    joined = evolve(joined, valid=torch.cat([valid, torch.zeros_like(valid)]))
    assert_same(_learned(game, joined), expected, "what is learned when environments of padding join", ROUNDING)


@SUITE.check("zero-advantage", after=("result", "deterministic"))
@in_every_layout
def zero_advantage(subject: Subject, case: Case) -> None:
    """A step whose advantage is 0 moves the policy no other way than if all were: by entropy, not by reward."""
    for game in (_play(subject, case), _play(subject, case).moved()):
        half = torch.arange(game.batch.valid.numel()).reshape(game.batch.valid.shape) % 2 == 0
        batch = game.batch
        some = evolve(
            batch,
            advantages=batch.advantages.masked_fill(half, 0.0),
            op_advantage=batch.op_advantage.masked_fill(half, 0.0),
        )
        for name, value in _pull(game, some).items():
            assert_same(value[half], torch.zeros_like(value[half]), f"pull on '{name}' where it is 0", ROUNDING)


@SUITE.check("no-choice", after=("result", "deterministic"))
@in_every_layout
def no_choice(subject: Subject, case: Case) -> None:
    """What a head had no choice about moves it nowhere: one legal entry, not asked, or padding."""
    game = _play(subject, case).moved()
    evaluation = game.evaluate()
    for name, value in _pull(game, game.batch).items():
        where = ~(evaluation.choice[name] & game.batch.valid)
        assert_same(value[where], torch.zeros_like(value[where]), f"pull on '{name}' without a choice", ROUNDING)


@SUITE.check("divergence", after=("result",))
@in_every_layout
def divergence(subject: Subject, case: Case) -> None:
    """`kl` is the exact joint KL of the policy now from the one before the update: 0 while nothing has moved."""
    game = _play(subject, case)
    assert_same(game.result().kl, torch.zeros(()), "the KL of a policy that has not moved, and 0", ROUNDING)
    evaluation = game.moved().evaluate()
    old = FactoredDistribution(game.policy.actions, game.batch.old_logits, game.batch.masks)
    exact = evaluation.distribution.kl(old)[game.batch.valid].mean()
    assert_same(game.loss(game.batch, evaluation).kl, exact, "the KL of a policy that has moved", ROUNDING)


@SUITE.check("raises-advantaged", after=("result", "zero-advantage"))
@in_every_layout
def raises_advantaged(subject: Subject, case: Case) -> None:
    """A small step down the loss makes actions likelier whose advantage is above 0, and others less likely."""
    game = _play(subject, case)
    evaluation = game.evaluate()
    log_prob = torch.stack(list(evaluation.log_prob.values())).sum(0)
    wanted = (log_prob * game.batch.advantages)[game.batch.valid].sum()
    uphill = torch.autograd.grad(wanted, list(evaluation.logits.values()), allow_unused=True)
    pull = _pull(game, game.batch).values()
    along = sum(float((up * pulled).sum()) for up, pulled in zip(uphill, pull, strict=True) if up is not None)
    assert along < 0, "a step down the loss makes actions with a high advantage less likely, or moves nothing"


@SUITE.check("numbers", after=("result", "zero-advantage"))
@with_numbers
def numbers(subject: Subject, case: Case) -> None:
    """A step down the loss makes numbers likelier whose advantage is above 0, through means and through deviations."""
    game = _play(subject, case)
    batch = evolve(game.batch, op_advantage=torch.zeros_like(game.batch.op_advantage))
    evaluation, pull = game.evaluate(), _pull(game, batch)
    for head in game.policy.actions.continuous:
        wanted = (evaluation.log_prob[head.name] * batch.advantages)[batch.valid].sum()
        (uphill,) = torch.autograd.grad(wanted, evaluation.logits[head.name], retain_graph=True)
        sides = zip(("means", "deviations"), uphill.chunk(2, -1), pull[head.name].chunk(2, -1), strict=True)
        for what, up, pulled in sides:
            along = float((up * pulled).sum())
            assert along < 0, f"the {what} of '{head.name}' move away from what is advantageous, or nowhere"


@SUITE.check("regresses-returns", after=("result",))
@in_every_layout
def regresses_returns(subject: Subject, case: Case) -> None:
    """A small step down the loss brings what the critic says of the steps taken nearer to their returns."""
    game = _play(subject, case)
    evaluation = game.evaluate()
    taken = evaluation.values.q_taken
    (pull,) = torch.autograd.grad(game.loss(game.batch, evaluation).loss, taken, allow_unused=True)
    assert pull is not None, "the loss does not look at what the critic says, so it never learns"
    apart = (taken - game.batch.returns)[game.batch.valid] * pull[game.batch.valid]
    assert apart.sum() > 0, "a step down the loss takes the critic away from the returns, or moves nothing"


@SUITE.check("learns", after=("gradient", "raises-advantaged", "regresses-returns"))
def learns(subject: Subject) -> None:
    """In episodes of one step, what is earned rises from chance to well above it within a few updates."""
    reference = subject.environment().distribution == DISTRIBUTION
    for layout in ("slotted", "numbers") if reference else ("",):
        with said(f"{layout} actions"):
            _learn(subject, (f"environment.layout={layout}",) if layout else ())


def _learn(subject: Subject, options: tuple[str, ...]) -> None:
    """Fail unless a policy comes to choose what pays."""
    plan = subject.plan(1, options=("environment.epochs=1", f"train.lr={RATE}", *options), envs=BANDITS)
    parts = build_parts(plan, subject.full_index)
    trainer = Trainer(
        policy=Policy(parts["network"], parts["critic"], parts["environment"].actions),
        features=parts["features"],
        masks=parts["masks"],
        loss=parts["loss"],
        environment=parts["environment"],
        config=TrainConfig(**plan.train),
        seed=plan.seed,
    )
    earned = [update.metrics["return"] or 0.0 for update in trainer.run(UPDATES)]
    best = max(sum(earned[end - 3 : end]) / 3 for end in range(3, UPDATES + 1))
    assert best > LEARNED, f"in {UPDATES} updates at most {best:.2f} is earned per step; it began with {earned[0]:.2f}"


@SUITE.check("float64", after=("result",))
@in_every_layout
def float64(subject: Subject, case: Case) -> None:
    """Of float64 numbers it makes a float64 loss, and the same but for rounding."""
    double, single = _play(subject, case, torch.float64), _play(subject, case)
    found = double.result()
    assert_dtype(torch.float64, {"loss": found.loss})
    narrowed = mapped(double.batch, lambda value: value.float() if value.is_floating_point() else value)
    single.policy.load_state_dict(double.policy.state_dict())
    assert_same(single.result(narrowed).loss, found.loss, "the loss in float32 and in float64", 10 * ROUNDING)


@SUITE.check("device", after=("result",))
@in_every_layout
def device(subject: Subject, case: Case) -> None:
    """It works on another device than the CPU without making a tensor on a wrong one."""
    batch = _play(subject, case).batch
    with FakeDevice() as there:
        loss, policy = _built(subject, case, device=there.name)
        game = Game(loss, policy, mapped(batch, lambda value: value.to(there.name)))
        found = game.result()
        found.loss.backward()
    assert_on(there.name, found)


def _built(subject: Subject, case: Case, **how: Any) -> tuple[Any, Policy]:
    """Return the loss of the case and the policy it is to train, newly built."""
    plan = evolve(case.plan, **how)
    parts = build_parts(plan, subject.full_index, only={"network", "critic", "loss"})
    return parts["loss"], Policy(parts["network"], parts["critic"], case.description.actions)


def _play(subject: Subject, case: Case, dtype: torch.dtype = torch.float32) -> Game:
    """Return a game that has just been played, in the environment of the case."""
    plan = evolve(case.plan, envs=PLAYERS)
    parts = build_parts(plan, subject.full_index, dtype=dtype)
    environment, known = parts["environment"], case.description
    policy = Policy(parts["network"], parts["critic"], environment.actions)
    rollout = Rollout(known.horizon, PLAYERS, environment.actions, known.feature_schema, torch.device("cpu"), dtype)
    generator = torch.Generator().manual_seed(0)
    Collector(environment, parts["features"], parts["masks"], policy, rollout, generator).collect(seed=0)
    rollout.valid[::3, known.horizon // 2 :] = False
    steps = rollout.steps()
    with torch.no_grad():
        old = policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)

    def drawn(seed: int) -> Tensor:
        return torch.where(steps.valid, noise_like(old.values.q_taken, seed), 0.0)

    batch = Sequences(
        features=steps.features,
        masks=steps.masks,
        actions=steps.actions,
        episode_start=steps.episode_start,
        valid=steps.valid,
        choice=old.choice,
        old_log_prob=old.log_prob,
        old_logits=old.logits,
        advantages=drawn(1),
        op_advantage=drawn(2),
        returns=drawn(3),
    )
    return Game(parts["loss"], policy, batch)


def _learned(game: Game, batch: Sequences) -> dict[str, Any]:
    """Return the loss, the KL, metrics and the gradient of every parameter."""
    found = game.result(batch)
    named = trainable(game.policy)
    gradients = torch.autograd.grad(found.loss, list(named.values()), allow_unused=True)
    table = {name: value for name, value in zip(named, gradients, strict=True) if value is not None}
    return {"loss": found.loss, "kl": found.kl, "metrics": found.metrics, "gradient": table}


def _with_junk(valid: Tensor, junk: float, value: Tensor) -> Tensor:
    """Return a tensor `[E, T, ...]` with junk in padding."""
    where = valid.reshape(*valid.shape, *[1] * (value.dim() - 2))
    return torch.where(where, value, torch.full_like(value, junk))


def _pull(game: Game, batch: Sequences) -> dict[str, Tensor]:
    """Return how advantages pull on the logits of every head, `[E, T, K]`, times the number of valid steps.

    It is what the loss's gradient loses when all advantages are 0: entropy and the critic's error cancel out.
    """
    evaluation = game.evaluate(batch)
    none = evolve(
        batch, advantages=torch.zeros_like(batch.advantages), op_advantage=torch.zeros_like(batch.op_advantage)
    )
    lost = game.loss(batch, evaluation).loss - game.loss(none, evaluation).loss
    logits = evaluation.logits
    found = torch.autograd.grad(lost * batch.valid.sum(), list(logits.values()), allow_unused=True)
    return {
        name: torch.zeros_like(logits[name]) if value is None else value
        for name, value in zip(logits, found, strict=True)
    }
