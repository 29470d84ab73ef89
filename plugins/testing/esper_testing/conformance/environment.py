"""What every environment must do."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv

from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import from_exact, to_exact
from esper_core.contracts.protocols import Environment, Evaluable, MaskProvider, Masks
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.spaces import action_space, observation_space
from esper_core.contracts.state import StateField
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Resumable
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import Suite
from esper_testing.episodes import Episode, legal_play, play
from esper_testing.evaluability import check_held_out, check_members, check_outcomes, check_replay
from esper_testing.legality import draw_legal
from esper_testing.randomness import untouched_randomness
from esper_testing.single import SingleEnvironment
from esper_testing.states import made_illegal

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

SUITE = Suite(
    "environment",
    (
        "protocol",
        "slots",
        "state",
        "rewards",
        "horizon",
        "padding",
        "events",
        "seeding",
        "seeds",
        "resuming",
        "independent",
        "refusing",
        "randomness",
        "gymnasium",
        "evaluating",
        "training",
        "closing",
    ),
)

CONSTANT = "environment:constant"
"""Capability of an environment that is the same under every seed."""

ENVS = 3
BEYOND = 3
"""Steps taken after the horizon."""
SEEDS = (0, 1, 2, 3)
_TOLERATED = "maximum and minimum values are equal"  # a field may well be constant


class Playable(NamedTuple):
    """An environment and the masks it is played with."""

    environment: Environment
    masks: MaskProvider

    def play(self, seed: int | None = 0, *, actions: int = 0, beyond: int = 0) -> Episode:
        """Play an episode of uniform legal actions and take some steps more.

        Args:
            seed: Of the environment.
            actions: Seed of the actions.
            beyond: Steps after the horizon.
        """
        environment = self.environment
        steps = environment.horizon + beyond
        return play(environment, self.masks, steps, legal_play(environment, actions), seed=seed)


@contextmanager
def playable(subject: Subject, slots: int = 3, envs: int = ENVS) -> Iterator[Playable]:
    """Yield the subject's environment with its masks, newly built, and close it."""
    parts = subject.parts(slots, "environment", "masks", envs=envs)
    try:
        yield Playable(parts["environment"], parts["masks"])
    finally:
        parts["environment"].close()


def _long(subject: Subject) -> Episode:
    """Return an episode and what comes after its end."""

    def played() -> Episode:
        with playable(subject) as made:
            return made.play(beyond=BEYOND)

    return subject.once("long", played)


@SUITE.check("protocol")
def protocol(subject: Subject) -> None:
    """It is a `gymnasium.vector.VectorEnv` that never resets by itself and has the spaces of its tables."""
    with playable(subject) as (environment, _):
        assert isinstance(environment, VectorEnv), f"{type(environment).__name__} is not a gymnasium.vector.VectorEnv"
        mode = environment.metadata.get("autoreset_mode")
        assert mode == AutoresetMode.DISABLED, f"its autoreset_mode is {mode}, not AutoresetMode.DISABLED"
        actions, state = environment.actions, environment.state_spec
        expected = {
            "single_action_space": action_space(actions),
            "single_observation_space": observation_space(state, 3, len(actions.ops)),
        }
        for name, space in expected.items():
            found = getattr(environment, name, None)
            assert found == space, f"its {name} is {found}, not that of its table; see esper_core.contracts.spaces"


@SUITE.check("slots")
def slots(subject: Subject) -> None:
    """Its slot head has one entry per slot, whatever their number."""
    for count in SLOTS:
        with playable(subject, count) as (environment, _):
            if environment.actions.slot is None:
                continue
            labels = environment.actions.category(environment.actions.slot).labels
            expected = SlotConfig.for_grid(1, count).slot_ids
            assert labels == expected, f"N={count}: its slot head reads {', '.join(labels)}, not {', '.join(expected)}"


@SUITE.check("state", after=("slots",))
def state(subject: Subject) -> None:
    """Reset and step publish exactly the fields of its state table, with their shapes, types and bounds."""
    for count in SLOTS:
        with playable(subject, count) as played:
            ops = len(played.environment.actions.ops)
            for t, published in enumerate(played.play().states):
                spec = played.environment.state_spec
                when = f"N={count}, {'after reset' if t == 0 else f'after step {t - 1}'}"
                missing, unknown = set(spec.names) - set(published), set(published) - set(spec.names)
                assert not missing, f"{when}: the state lacks {', '.join(sorted(missing))}"
                assert not unknown, f"{when}: the state has fields that its table lacks: {', '.join(sorted(unknown))}"
                for entry in spec.fields:
                    _check_field(entry, published[entry.name], entry.sizes(ENVS, count, ops), when)


def _check_field(entry: StateField, value: torch.Tensor, sizes: tuple[int, ...], when: str) -> None:
    what = f"{when}: the state's '{entry.name}'"
    assert isinstance(value, torch.Tensor), f"{what} is a {type(value).__name__}, not a tensor"
    assert tuple(value.shape) == sizes, f"{what} has shape {tuple(value.shape)}, not {sizes}"
    whole = {"int": torch.int64, "bool": torch.bool, "uint8": torch.uint8}
    fits = value.is_floating_point() if entry.dtype == "float" else value.dtype == whole[entry.dtype]
    assert fits, f"{what} is {value.dtype}; its table says {entry.dtype}"
    if entry.dtype == "bool" or not value.numel():
        return
    assert bool(value.isfinite().all()), f"{what} is not finite"
    low, high = float(value.min()), float(value.max())
    assert entry.low <= low and high <= entry.high, (
        f"{what} goes from {low:g} to {high:g}; its table says {entry.low:g} to {entry.high:g}"
    )


@SUITE.check("rewards")
def rewards(subject: Subject) -> None:
    """Every step returns finite float rewards `[E]`, and bool `[E]` for terminated and truncated."""
    episode = _long(subject)
    for t, reward in enumerate(episode.rewards):
        assert reward.shape == (ENVS,), f"step {t}: the reward has shape {tuple(reward.shape)}, not ({ENVS},)"
        assert reward.is_floating_point(), f"step {t}: the reward is {reward.dtype}, not a float"
        assert bool(reward.isfinite().all()), f"step {t}: the reward is not finite: {reward.tolist()}"
    for name in ("terminated", "truncated"):
        for t, value in enumerate(getattr(episode, name)):
            assert value.shape == (ENVS,), f"step {t}: {name} has shape {tuple(value.shape)}, not ({ENVS},)"
            assert value.dtype == torch.bool, f"step {t}: {name} is {value.dtype}, not bool"


@SUITE.check("horizon", after=("rewards",))
def horizon(subject: Subject) -> None:
    """Every episode ends, terminated or truncated, within `horizon` steps, and says so once."""
    ended = _long(subject).ended
    length = len(ended) - BEYOND
    for env in range(ENVS):
        assert bool(ended[:length, env].any()), f"environment {env} has not ended after {length} steps, its horizon"
        times = int(ended[:, env].sum())
        assert times == 1, f"environment {env} says {times} times that its episode ended"


@SUITE.check("padding", after=("horizon",))
def padding(subject: Subject) -> None:
    """Steps after the end of an episode change nothing, pay nothing and report nothing."""
    episode = _long(subject)
    for env in range(ENVS):
        end = int(episode.ended[:, env].int().argmax())
        final = episode.states[end + 1]
        for t in range(end + 1, len(episode.rewards)):
            what = f"environment {env} ended at step {end}, and at step {t}"
            paid = float(episode.rewards[t][env])
            assert paid == 0.0, f"{what} it paid {paid:g}"
            for name, value in episode.states[t + 1].items():
                assert torch.equal(value[env], final[name][env]), f"{what} its state's '{name}' changed"
            reported = [e["type"] for e in episode.infos[t].get("events", ()) if e["env"] == env]
            assert not reported, f"{what} it reported {', '.join(reported)}"


@SUITE.check("events", after=("horizon",))
def events(subject: Subject) -> None:
    """What `info` holds is well-formed: events with `env`, `step` and `type`, and phases with seconds."""
    episode = _long(subject)
    for t, info in enumerate(episode.infos):
        assert isinstance(info, dict), f"step {t}: info is a {type(info).__name__}, not a dict"
        for event in info.get("events", ()):
            _check_event(event, t)
        for phase, seconds in info.get("seconds", {}).items():
            fine = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
            assert fine, f"step {t}: the phase '{phase}' took {seconds!r} seconds"


def _check_event(event: Any, t: int) -> None:
    lacking = [key for key in ("env", "step", "type") if key not in event]
    assert not lacking, f"step {t}: the event {event} lacks {', '.join(lacking)}"
    env, step, kind = event["env"], event["step"], event["type"]
    assert isinstance(kind, str) and kind, f"step {t}: the type of the event {event} is not a name"
    assert type(env) is int and 0 <= env < ENVS, f"step {t}: the event '{kind}' is of environment {env!r}"
    assert type(step) is int and step == t, f"step {t}: the event '{kind}' says step {step!r}"
    try:
        json.dumps(event, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"step {t}: the event '{kind}' cannot be written as JSON: {error}") from error


@SUITE.check("seeding")
def seeding(subject: Subject) -> None:
    """The same seed and the same actions give the same episode, bit for bit, whatever was played before it."""
    everyone = list(range(ENVS))
    with playable(subject) as played, playable(subject) as other:
        first, second = played.play(seed=5), played.play(seed=None)
        played.environment.reset(seed=5)
        played.environment.step(draw_first(played))
        again, second_again = played.play(seed=5), played.play(seed=None)
        elsewhere = other.play(seed=5)
    for what, one, two in (
        ("played again with the same seed", first, again),
        ("played again in the episode after it", second, second_again),
        ("played in an environment built anew", first, elsewhere),
    ):
        where = one.difference(two, everyone)
        assert not where, f"{what}, {where} differs"


def draw_first(played: Playable) -> dict[str, torch.Tensor]:
    """Return legal actions for a state that a fresh reset publishes."""
    state, _ = played.environment.reset(seed=5)
    return draw_legal(played.environment.actions, played.masks(state), state, torch.Generator().manual_seed(9))


@SUITE.check("seeds", after=("seeding",))
def seeds(subject: Subject) -> None:
    """Another seed gives another episode; it gives the same where its spec provides `environment:constant`."""
    with playable(subject) as played:
        first, *others = [played.play(seed=seed) for seed in SEEDS]
    differ = any(first.difference(other, list(range(ENVS))) for other in others)
    numbers = ", ".join(map(str, SEEDS))
    if subject.claims(CONSTANT):
        assert not differ, f"it provides '{CONSTANT}', and yet the seeds {numbers} give different episodes"
    else:
        assert differ, (
            f"the seeds {numbers} give the same episodes; if there is nothing random in it, let its spec provide "
            f"'{CONSTANT}'"
        )


@SUITE.check("resuming", after=("seeding",))
def resuming(subject: Subject) -> None:
    """Where it has `state` and `load_state`, another one goes on with the very episodes that would have come next."""
    with playable(subject) as played, playable(subject) as other:
        if not isinstance(played.environment, Resumable):
            return
        assert isinstance(other.environment, Resumable)
        played.play(seed=7)
        kept = from_exact(json.loads(json.dumps(to_exact(played.environment.state()))))
        following = played.play(seed=None)
        other.environment.load_state(kept)
        where = following.difference(other.play(seed=None), list(range(ENVS)))
    assert not where, f"after load_state, {where} differs"


@SUITE.check("independent", after=("seeding",))
def independent(subject: Subject) -> None:
    """What happens in one environment does not depend on what is done in the others."""
    with playable(subject) as played:
        environment = played.environment
        usual, unusual = legal_play(environment, 0), legal_play(environment, 1)
        before = played.play()
        for stranger in range(ENVS):

            def choose(t: int, state: State, masks: Masks, stranger: int = stranger) -> dict[str, torch.Tensor]:
                others, own = usual(t, state, masks), unusual(t, state, masks)
                chosen = torch.arange(ENVS) == stranger
                return {name: torch.where(chosen, own[name], others[name]) for name in others}

            after = play(environment, played.masks, environment.horizon, choose, seed=0)
            rest = [env for env in range(ENVS) if env != stranger]
            where = before.difference(after, rest)
            assert not where, f"other actions in environment {stranger} change, in the others, {where}"


class _Taken(Exception):
    """The environment takes what the masks forbid, which it may."""


@SUITE.check("refusing", after=("seeding",))
def refusing(subject: Subject) -> None:
    """If it refuses an illegal action, then with an EsperError that leaves everything as it was."""
    with playable(subject) as played:
        environment = played.environment
        usual = legal_play(environment)

        def choose(t: int, state: State, masks: Masks) -> Mapping[str, torch.Tensor]:
            actions = usual(t, state, masks)
            illegal = made_illegal(environment.actions, masks, actions)
            if illegal is not None:
                try:
                    environment.step(illegal)
                except EsperError:
                    return actions
                raise _Taken
            return actions

        undisturbed = played.play()
        try:
            disturbed = play(environment, played.masks, environment.horizon, choose, seed=0)
        except _Taken:
            return
    where = undisturbed.difference(disturbed, list(range(ENVS)))
    assert not where, f"an action that it refuses changes {where}"


@SUITE.check("randomness")
def randomness(subject: Subject) -> None:
    """It neither draws from nor seeds the global random numbers of torch, numpy and Python."""
    with untouched_randomness("it"), playable(subject) as played:
        played.play(seed=0)
        played.play(seed=None)


@SUITE.check("gymnasium", after=("protocol", "state", "seeding"))
def gymnasium(subject: Subject) -> None:
    """One environment of it, in numpy, passes Gymnasium's own checker without a warning."""
    with playable(subject, envs=1) as (environment, masks), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        single = SingleEnvironment(environment, masks, num_slots=3)
        check_env(single, skip_render_check=True, skip_close_check=True)
    messages = [str(warning.message) for warning in raised if issubclass(warning.category, UserWarning)]
    messages = [message for message in messages if _TOLERATED not in message]
    assert not messages, messages[0]


@SUITE.check("evaluating", after=("horizon", "seeding"))
def evaluating(subject: Subject) -> None:
    """Where it is `Evaluable`: what comes of an instance depends on it and on what is done, and can be replayed."""
    known = describe_plan(subject.plan(3), subject.full_index)
    outcomes = known.outcomes
    with playable(subject) as (environment, masks):
        if not check_members(environment, outcomes):
            return
        assert isinstance(environment, Evaluable)
        held = check_held_out(environment, ENVS)
        topologies = check_outcomes(environment, masks, outcomes, held)
        said, can = known.replayable, hasattr(environment, "topologies")
        assert said == can, f"its description says replayable = {said}, and it {'has' if can else 'lacks'} topologies"
        if said:
            check_replay(environment, masks, held, topologies)


@SUITE.check("training", after=("state", "rewards", "horizon", "events"))
def training(subject: Subject) -> None:
    """A policy can be trained in it: one update, after which every number is finite."""
    plan = subject.plan(envs=ENVS, updates=1)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        trainer = open_session(plan, subject.full_index)
        try:
            (update,) = trainer.run(1)
        finally:
            trainer.environment.close()
            torch.set_num_threads(threads)
    steps = update.environment_steps
    assert 0 < steps <= ENVS * trainer.environment.horizon, f"one update took {steps} environment steps"
    broken = [name for name, value in update.metrics.items() if isinstance(value, float) and not math.isfinite(value)]
    assert not broken, f"metrics that are not finite: {', '.join(broken)}"


@SUITE.check("closing")
def closing(subject: Subject) -> None:
    """It can be closed without a reset, and more than once."""
    for reset in (False, True):
        environment = subject.build(envs=ENVS)
        if reset:
            environment.reset(seed=0)
        environment.close()
        environment.close()
