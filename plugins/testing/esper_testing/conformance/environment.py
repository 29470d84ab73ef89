"""What every environment must do."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv

from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import from_exact, to_exact
from esper_core.contracts.protocols import Evaluable, Masks
from esper_core.contracts.share import Share
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.spaces import action_space, observation_space
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Resumable
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import Suite
from esper_testing.episodes import Episode, Playable, legal_play, play
from esper_testing.evaluability import check_held_out, check_members, check_outcomes, check_replay
from esper_testing.legality import chosen_between, draw_legal
from esper_testing.matches import check_ending, check_midway, check_padding, check_restarts, check_rows
from esper_testing.published import check_event, check_field, check_numbers, check_told, moment
from esper_testing.randomness import untouched_randomness
from esper_testing.shares import check_shares
from esper_testing.sides import check_mirrored, check_opponents, check_opponents_midway, check_sides
from esper_testing.single import SingleEnvironment
from esper_testing.states import made_illegal

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

SUITE = Suite(
    "environment",
    (
        "protocol",
        "rows",
        "slots",
        "state",
        "rewards",
        "privileged",
        "horizon",
        "padding",
        "events",
        "seeding",
        "seeds",
        "resuming",
        "restarts",
        "resuming-midway",
        "independent",
        "shares",
        "numbers",
        "refusing",
        "randomness",
        "gymnasium",
        "evaluating",
        "sides",
        "mirrored",
        "opponents",
        "opponents-midway",
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
# A field may well be constant, and numbers have the bounds that they have.
_TOLERATED = ("maximum and minimum values are equal", "a symmetric and normalized space", "infinity. This is probably")


@contextmanager
def playable(subject: Subject, slots: int = 3, envs: int = ENVS, share: Share | None = None) -> Iterator[Playable]:
    """Yield the subject's environment with its masks, newly built, all rows or a share of them, and close it."""
    parts = subject.parts(slots, "environment", "masks", envs=envs, share=share)
    rows = describe_plan(subject.plan(slots), subject.full_index).rows
    try:
        yield Playable(parts["environment"], parts["masks"], rows)
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
    with playable(subject) as (environment, *_):
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
        with playable(subject, count) as (environment, *_):
            if environment.actions.slot is None:
                continue
            labels = environment.actions.category(environment.actions.slot).labels
            expected = SlotConfig.for_grid(1, count).slot_ids
            assert labels == expected, f"N={count}: its slot head reads {', '.join(labels)}, not {', '.join(expected)}"


@SUITE.check("state", after=("slots",))
def state(subject: Subject) -> None:
    """Reset and step publish exactly the fields of its state table, with their shapes, types and bounds.

    Those of its `world` are the same at every step.
    """
    for count in SLOTS:
        world = describe_plan(subject.plan(count), subject.full_index).world
        with playable(subject, count) as played:
            ops, rows = len(played.environment.actions.ops), played.environment.num_envs
            states = played.play().states
            for t, published in enumerate(states):
                spec = played.environment.state_spec
                when = f"N={count}, {moment(t)}"
                missing, unknown = set(spec.names) - set(published), set(published) - set(spec.names)
                assert not missing, f"{when}: the state lacks {', '.join(sorted(missing))}"
                assert not unknown, f"{when}: the state has fields that its table lacks: {', '.join(sorted(unknown))}"
                for entry in spec.fields:
                    check_field(entry, published[entry.name], entry.sizes(rows, count, ops), when)
                changed = [name for name in world if not torch.equal(published[name], states[0][name])]
                assert not changed, f"{when}: '{changed[0]}' of its world is not what it was at the start"


@SUITE.check("rewards")
def rewards(subject: Subject) -> None:
    """Every step returns finite float rewards `[E]`, and bool `[E]` for terminated and truncated."""
    episode = _long(subject)
    rows = len(episode.absent)
    for t, reward in enumerate(episode.rewards):
        assert reward.shape == (rows,), f"step {t}: the reward has shape {tuple(reward.shape)}, not ({rows},)"
        assert reward.is_floating_point(), f"step {t}: the reward is {reward.dtype}, not a float"
        assert bool(reward.isfinite().all()), f"step {t}: the reward is not finite: {reward.tolist()}"
    for name in ("terminated", "truncated"):
        for t, value in enumerate(getattr(episode, name)):
            assert value.shape == (rows,), f"step {t}: {name} has shape {tuple(value.shape)}, not ({rows},)"
            assert value.dtype == torch.bool, f"step {t}: {name} is {value.dtype}, not bool"


@SUITE.check("privileged")
def privileged(subject: Subject) -> None:
    """What it tells critics alone is the numbers that its description names, finite, the same under the same seed."""
    named = describe_plan(subject.plan(), subject.full_index).privileged
    with playable(subject) as played:
        told, again = check_told(played, list(named)), check_told(played, list(named))
    for t, (first, second) in enumerate(zip(told, again, strict=True)):
        assert torch.equal(first, second), f"played again with the same seed, info['privileged'] {moment(t)} differs"


@SUITE.check("horizon", after=("rewards", "rows"))
def horizon(subject: Subject) -> None:
    """Every episode ends, terminated or truncated, within `horizon` steps, and says so once."""
    episode = _long(subject)
    for env in (~episode.absent).nonzero().flatten().tolist():
        check_ending(episode.ended[:, env], len(episode.rewards) - BEYOND, f"environment {env}")


@SUITE.check("padding", after=("horizon",))
def padding(subject: Subject) -> None:
    """Steps after the end of an episode pay nothing and report nothing; once its match is over nothing changes."""
    with playable(subject) as played:
        check_padding(_long(subject), played.rows)


@SUITE.check("events", after=("horizon",))
def events(subject: Subject) -> None:
    """What `info` holds is well-formed: events with `env`, `step` and `type`, and phases with seconds."""
    episode = _long(subject)
    for t, info in enumerate(episode.infos):
        assert isinstance(info, dict), f"step {t}: info is a {type(info).__name__}, not a dict"
        for event in info.get("events", ()):
            check_event(event, t, len(episode.absent))
        for phase, seconds in info.get("seconds", {}).items():
            fine = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
            assert fine, f"step {t}: the phase '{phase}' took {seconds!r} seconds"


@SUITE.check("seeding")
def seeding(subject: Subject) -> None:
    """The same seed and the same actions give the same episode, bit for bit, whatever was played before it."""
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
        where = one.difference(two)
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
    differ = any(first.difference(other) for other in others)
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
        where = following.difference(other.play(seed=None))
    assert not where, f"after load_state, {where} differs"


@SUITE.check("rows")
def rows(subject: Subject) -> None:
    """It says of every row of a match, as bool, whether it is absent; with nobody at all there is no match."""
    with playable(subject) as played:
        check_rows(played, ENVS)


@SUITE.check("restarts", after=("padding", "rows", "seeding"))
def restarts(subject: Subject) -> None:
    """Where it says that it restarts: episodes begin in the rows of a mask, and all other rows stay as they are."""
    if describe_plan(subject.plan(3), subject.full_index).restarts:
        with playable(subject) as played, playable(subject) as other:
            check_restarts(played, other)


@SUITE.check("resuming-midway", after=("restarts",))
def resuming_midway(subject: Subject) -> None:
    """Where it restarts and has `state`, another one goes on in the middle of episodes with the very same future."""
    if describe_plan(subject.plan(3), subject.full_index).restarts:
        with playable(subject) as played, playable(subject) as other:
            if isinstance(played.environment, Resumable):
                check_midway(played, other)


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
                chosen = torch.arange(environment.num_envs) // played.rows == stranger
                return chosen_between(dict.fromkeys(others, chosen), own, others)

            after = play(environment, played.masks, environment.horizon, choose, seed=0)
            rest = [row for row in range(environment.num_envs) if row // played.rows != stranger]
            where = before.difference(after, rest)
            assert not where, f"other actions in environment {stranger} change, in the others, {where}"


@SUITE.check("shares", after=("resuming", "independent"))
def shares(subject: Subject) -> None:
    """Where it says `shares`: shares of its rows, played apart, do what all rows do together."""
    known = describe_plan(subject.plan(3), subject.full_index)
    if known.shares:
        parts = [Share.of(place, 2, ENVS * known.rows, known.rows) for place in range(2)]
        with (
            playable(subject) as whole,
            playable(subject, share=parts[0]) as one,
            playable(subject, share=parts[1]) as two,
        ):
            check_shares(whole, [(parts[0], one), (parts[1], two)])


@SUITE.check("numbers", after=("state", "rewards"))
def numbers(subject: Subject) -> None:
    """Where it has heads of numbers: it takes them at their bounds, and what it publishes keeps to its table."""
    with playable(subject) as played:
        check_numbers(played, num_slots=3)


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
    where = undisturbed.difference(disturbed)
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
    with playable(subject, envs=1) as (environment, masks, _), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        single = SingleEnvironment(environment, masks, num_slots=3)
        check_env(single, skip_render_check=True, skip_close_check=True)
    messages = [str(warning.message) for warning in raised if issubclass(warning.category, UserWarning)]
    messages = [message for message in messages if not any(map(message.__contains__, _TOLERATED))]
    assert not messages, messages[0]


@SUITE.check("evaluating", after=("horizon", "seeding"))
def evaluating(subject: Subject) -> None:
    """Where it is `Evaluable`: what comes of an instance depends on it and on what is done, and can be replayed."""
    known = describe_plan(subject.plan(3), subject.full_index)
    outcomes = known.outcomes
    with playable(subject) as (environment, masks, _):
        if not check_members(environment, outcomes):
            return
        assert isinstance(environment, Evaluable)
        held = check_held_out(environment, ENVS)
        topologies = check_outcomes(environment, masks, outcomes, held)
        said, can = known.replayable, hasattr(environment, "topologies")
        assert said == can, f"its description says replayable = {said}, and it {'has' if can else 'lacks'} topologies"
        if said:
            check_replay(environment, masks, held, topologies)


@SUITE.check("sides", after=("evaluating",))
def sides(subject: Subject) -> None:
    """Where its description names two sides: each seed is an instance from both, and it says which the learner has."""
    with playable(subject) as played:
        check_sides(played, _sides(subject))


@SUITE.check("mirrored", after=("sides",))
def mirrored(subject: Subject) -> None:
    """Where it has sides: with these exchanged a match is the same, and each side is shown what a learner would be."""
    if _sides(subject):
        with playable(subject, envs=1) as played:
            check_mirrored(played)


@SUITE.check("opponents", after=("sides",))
def opponents(subject: Subject) -> None:
    """Where it has sides: opponents are drawn per match, called once a step for all theirs, and told of in the end."""
    if _sides(subject):
        with playable(subject) as played, playable(subject, envs=1) as alone:
            check_opponents(played, alone)


@SUITE.check("opponents-midway", after=("opponents", "resuming-midway"))
def opponents_midway(subject: Subject) -> None:
    """Where it has sides and `state`, another one goes on in the middle of matches against the same opponents."""
    if _sides(subject):
        with playable(subject) as played, playable(subject) as other:
            check_opponents_midway(played, other)


def _sides(subject: Subject) -> tuple[str, ...]:
    return describe_plan(subject.plan(3), subject.full_index).sides


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
    steps, environment = update.environment_steps, trainer.environment
    assert 0 < steps <= environment.num_envs * environment.horizon, f"one update took {steps} environment steps"
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
