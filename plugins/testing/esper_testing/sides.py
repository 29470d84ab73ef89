"""What an environment of two sides owes to those who play against each other in it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import from_exact, to_exact
from esper_core.contracts.protocols import Evaluable, MaskProvider
from esper_core.contracts.sides import MATCH, TwoSided
from esper_core.learning.state import Resumable
from esper_testing.episodes import Playable
from esper_testing.legality import draw_legal
from esper_testing.published import check_field

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

MEMBERS = ("set_opponents", "learner_side", "opponents")
SEEDS = 16
"""Of matches whose opponents are looked at."""

Events = list[dict[str, Any]]


class Call(NamedTuple):
    """What a driver was called with for R matches; all but the first two are `[R·rows, …]`.

    `steps` is its own count of those that it has played in a match, from what it remembers.
    """

    name: str
    seed: int
    state: dict[str, Tensor]
    steps: Tensor
    begins: Tensor
    noise: Tensor


@frozen
class Wandering:
    """A driver of legal play, always alike at the same step and place; it writes down what it is called with.

    It may be called in another process. What it plays depends on what it remembers, so it shows where that is lost.

    Attributes:
        name: Its name.
        seed: What it plays.
        actions: What it chooses from.
        masks: What is legal.
        rows: Rows of a match and side.
        notes: File that calls are added to.
    """

    name: str
    seed: int
    actions: ActionSpec
    masks: MaskProvider
    rows: int
    notes: Path

    def initial_memory(self, matches: int) -> Any:
        """Return counts of steps, 0, `[1, matches·rows, 1]`."""
        return (torch.zeros(1, matches * self.rows, 1),)

    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        """Return actions `[R·rows, …]` and counts."""
        steps = memory[0][0, :, 0].long()
        with self.notes.open("ab") as file:
            pickle.dump(Call(self.name, self.seed, dict(state), steps, begins, noise), file)
        return self.choose(state, steps), (memory[0] + 1,)

    def choose(self, state: State, steps: Tensor) -> dict[str, Tensor]:
        """Return what it plays in states `[R·rows, …]` at some steps `[R·rows]`."""
        acted = []
        for first in range(0, len(steps), self.rows):
            own = slice(first, first + self.rows)
            generator = torch.Generator().manual_seed(1000 * self.seed + int(steps[first]))
            here = {name: value[own].cpu() for name, value in state.items()}
            acted.append(draw_legal(self.actions, self.masks(here), here, generator))
        return {name: torch.cat([actions[name] for actions in acted]) for name in acted[0]}


class Watched(NamedTuple):
    """What was to be seen of T steps: the learner's states, T + 1, calls of drivers, and events of type `match`."""

    states: list[State]
    calls: list[list[Call]]
    events: list[Events]

    def difference(self, other: Watched) -> str:
        """Return where another first differs, in words; empty where it does not."""
        for t, (here, there) in enumerate(zip(self.states, other.states, strict=True)):
            for name in here:
                if not torch.equal(here[name], there[name]):
                    return f"the state's '{name}' after {t} steps"
        for t, (ours, theirs) in enumerate(zip(self.events, other.events, strict=True)):
            if ours != theirs:
                return f"who has won in step {t}, or against whom,"
        return ""


@contextmanager
def wanderers(played: Playable, *names: str) -> Iterator[list[Wandering]]:
    """Yield drivers of these names, each of whom plays otherwise, with a file for what they note."""
    with TemporaryDirectory() as folder:
        notes, spec = Path(folder) / "calls", played.environment.actions
        notes.touch()
        yield [Wandering(name, seed, spec, played.masks, played.rows, notes) for seed, name in enumerate(names, 1)]


def watch(played: Playable, learner: Wandering, state: State, steps: range) -> Watched:
    """Let the learner's side play what a driver would, and return what is to be seen of it."""
    environment, found = played.environment, Watched([_kept(state)], [], [])
    with learner.notes.open("rb") as file:
        file.seek(0, 2)
        for t in steps:
            actions = learner.choose(state, torch.full((environment.num_envs,), t))
            state, *_, info = environment.step(actions)
            calls: list[Call] = []
            while file.peek(1):
                calls.append(pickle.load(file))
            found.states.append(_kept(state))
            found.calls.append(calls)
            found.events.append([event for event in info.get("events", ()) if event["type"] == MATCH])
    return found


def check_sides(played: Playable, sides: Sequence[str]) -> bool:
    """Return whether it has sides; raises AssertionError where it says half of it, or is on a side that is wrong."""
    environment = played.environment
    has = [name for name in MEMBERS if hasattr(environment, name)]
    if not has and not sides:
        return False
    lacking = [name for name in MEMBERS if name not in has]
    assert not lacking, f"it has sides in its description or {', '.join(has) or 'nothing'}, and lacks {lacking[0]}"
    assert sides, f"it has {has[0]}, and yet its description names no sides"
    assert isinstance(environment, Evaluable), "it has sides, and yet no instances: it lacks held_out"
    matches = environment.num_envs // played.rows
    held = environment.held_out(2 * matches)
    for even, odd in zip(held[::2], held[1::2], strict=True):
        paired = even % 2 == 0 and odd == even + 1
        assert paired, (
            f"the instances {even} and {odd} that it holds out are not one seed from both sides, 2·seed + side"
        )
    drawn = set()
    for instances in (held[:matches], held[matches:], *[None] * SEEDS):
        environment.reset(options={} if instances is None else {"instances": instances})
        found = environment.learner_side  # type: ignore[attr-defined]
        fits = isinstance(found, np.ndarray) and found.dtype == np.int64 and found.shape == (matches,)
        assert fits, f"its learner_side is {found!r}, not int64 [{matches}]"
        if instances is None:
            drawn |= set(found.tolist())
        else:
            right = [number % 2 for number in instances]
            assert found.tolist() == right, f"in the instances {instances} its learner_side is {found}, not {right}"
    assert drawn == {0, 1}, f"in {SEEDS} resets of training its learner_side is {sorted(drawn)}, not 0 and 1"
    return True


def check_mirrored(played: Playable) -> None:
    """Fail where a match whose sides are exchanged is not the same match; `played` has one match."""
    environment = played.environment
    assert isinstance(environment, Evaluable)
    held = environment.held_out(4)
    with wanderers(played, "one", "two") as (one, two):
        for home, away in zip(held[::2], held[1::2], strict=True):
            first, second = _between(played, one, two, home), _between(played, two, one, away)
            for t, (ours, theirs) in enumerate(zip(first.calls, second.calls, strict=True)):
                for call, states in ((ours, second.states), (theirs, first.states)):
                    for name, value in call[0].state.items() if call else ():
                        assert torch.equal(value.cpu(), states[t][name].cpu()), (
                            f"what the other side is shown at step {t} of instance {home} or {away} as '{name}' is not "
                            "what a learner is shown who plays there, with the sides exchanged"
                        )
            (won,), (lost,) = (_results(watched).values() for watched in (first, second))
            assert won["won"] + lost["won"] == 1, (
                f"who wins {won['won']:g} of instance {home} as the learner wins {1 - lost['won']:g} of {away} as the "
                "other side, and that is the same match"
            )


def check_opponents(played: Playable, alone: Playable) -> None:
    """Fail where opponents are not drawn, called or told of as `TwoSided` has it; `alone` has one match."""
    environment, single = played.environment, alone.environment
    assert isinstance(environment, TwoSided) and isinstance(single, TwoSided) and isinstance(single, Evaluable)
    with wanderers(played, "one", "two", "three") as (one, two, three):
        impossible: tuple[tuple[list[Wandering], list[float]], ...] = (
            ([], []),
            ([one, one], [1, 1]),
            ([one], [0.0]),
            ([one], [1, 1]),
            ([one, two], [1, -1.0]),
        )
        for drivers, weights in impossible:
            _check_refused(environment, drivers, weights)
        for whose in (environment, single):
            whose.set_opponents([one, two, three], [1, 1, 0])
        drawn = {}
        for number in single.held_out(2 * SEEDS):
            single.reset(options={"instances": [number]})
            (drawn[number],) = single.opponents
        names = sorted(set(drawn.values()))
        assert names == ["one", "two"], f"of one, two and three with the weights 1, 1 and 0 it draws {', '.join(names)}"
        for number in list(drawn)[::2]:
            both = drawn[number], drawn[number + 1]
            assert both[0] == both[1], f"a seed's opponent is '{both[0]}' from one side and '{both[1]}' from the other"
        instances = [next(n for n, name in drawn.items() if name == wanted) for wanted in ("one", "two")]
        instances += [n for n in drawn if n not in instances][: environment.num_envs // played.rows - 2]
        expected = [drawn[number] for number in instances]
        state, _ = environment.reset(options={"instances": instances})
        watched = watch(played, three, state, range(environment.horizon))
        _check_told(_results(watched), instances, drawn, played.rows)
        _check_calls(watched, played, expected, instances)
        state, _ = single.reset(options={"instances": instances[:1]})
        (call,), (beside, *_) = watch(alone, three, state, range(1)).calls[0], watched.calls[0]
        for row in call.noise:
            there = bool((beside.noise == row).all(1).any())
            assert there, "the noise that a driver gets in a match depends on what is played beside it"
        _check_replaced(played, instances, (one, two, three))


def check_opponents_midway(played: Playable, other: Playable) -> None:
    """Fail where another environment with the state of this one, and the same opponents, has another future."""
    environment, stranger = played.environment, other.environment
    assert isinstance(environment, TwoSided) and isinstance(stranger, TwoSided)
    if not isinstance(environment, Resumable) or not isinstance(stranger, Resumable):
        return
    middle, horizon = max(1, environment.horizon // 2), environment.horizon
    with wanderers(played, "one", "two", "three") as (one, two, three):
        environment.set_opponents([one, two], [1, 1])
        state, _ = environment.reset(seed=3)
        state = watch(played, three, state, range(middle)).states[-1]
        stranger.load_state(from_exact(json.loads(json.dumps(to_exact(environment.state())))))
        here, there = environment.opponents, stranger.opponents
        assert here == there, f"after load_state its opponents are {there}, not {here}"
        try:
            stranger.set_opponents([three], [1])
        except EsperError:
            pass
        else:
            raise AssertionError("after load_state it goes on without the drivers of the matches in progress")
        futures = []
        for whose in (played, other):
            whose.environment.set_opponents([one, two], [1, 1])  # type: ignore[attr-defined]
            soon = watch(whose, three, state, range(middle, horizon))
            again, _ = whose.environment.reset()
            futures.append((soon, watch(whose, three, again, range(horizon))))
    for ours, theirs in zip(*futures, strict=True):
        where = ours.difference(theirs)
        assert not where, f"after load_state and set_opponents in the middle of matches, {where} differs"


# Pieces -------------------------------------------------------------------------------------------------------------


def _between(played: Playable, learner: Wandering, driver: Wandering, instance: int) -> Watched:
    """Play one instance to its end."""
    environment = played.environment
    environment.set_opponents([driver], [1])  # type: ignore[attr-defined]
    state, _ = environment.reset(options={"instances": [instance]})
    return watch(played, learner, state, range(environment.horizon))


def _results(watched: Watched) -> dict[int, dict[str, Any]]:
    """Return the events of type `match` by instance."""
    found: dict[int, dict[str, Any]] = {}
    for event in (event for events in watched.events for event in events):
        lacking = {"opponent", "side", "won", "instance"} - event.keys()
        assert not lacking, f"its event of type 'match' lacks {', '.join(sorted(lacking))}"
        assert event["won"] in (0, 0.5, 1), f"in its event of type 'match', won is {event['won']!r}, not 0, 0.5 or 1"
        number = event["instance"]
        assert number not in found, f"it tells twice of the match of instance {number}"
        found[number] = event
    assert found, f"no event of type 'match' came in {len(watched.events)} steps, its horizon"
    return found


def _check_told(results: dict[int, dict[str, Any]], instances: list[int], drawn: dict[int, str], rows: int) -> None:
    """Fail unless there is one event of each match, with its opponent and side."""
    assert set(results) == set(instances), f"of the instances {instances} it tells of {sorted(results)}"
    for match, number in enumerate(instances):
        event = results[number]
        right = {"opponent": drawn[number], "side": number % 2, "env": match}
        found = {**{key: event[key] for key in right}, "env": event["env"] // rows}
        assert found == right, f"of instance {number}, played alone, it tells {right}, and beside others {found}"


def _check_calls(watched: Watched, played: Playable, opponents: list[str], instances: list[int]) -> None:
    """Fail unless drivers are called once a step for all their matches, with what a learner would be shown."""
    spec, results = played.environment.actions, _results(watched)
    last = [results[number]["step"] for number in instances]
    for t, calls in enumerate(watched.calls):
        going = [name for name, end in zip(opponents, last, strict=True) if t <= end]
        called, wanted = sorted(call.name for call in calls), sorted(set(going))
        assert called == wanted, f"at step {t}, in which {wanted} have matches, the drivers {called} are called"
        for call in calls:
            rows, when = going.count(call.name) * played.rows, f"shown to a driver at step {t}"
            assert len(call.begins) == rows, f"at step {t} a driver of {rows} rows is called for {len(call.begins)}"
            for entry in played.environment.state_spec.fields:
                assert entry.name in call.state, f"{when}: the state lacks '{entry.name}'"
                sizes = entry.sizes(rows, len(spec.category(spec.slot).labels) if spec.slot else 0, len(spec.ops))
                check_field(entry, call.state[entry.name], sizes, when)
            _check_noise(call, rows, spec.width, t)
            assert bool((call.steps == t).all()), f"at step {t} a driver remembers {call.steps.tolist()} steps"
            assert bool((call.begins == (t == 0)).all()), f"at step {t} matches begin where {call.begins.tolist()}"


def _check_noise(call: Call, rows: int, width: int, t: int) -> None:
    noise = call.noise
    right = noise.dtype == torch.float64 and noise.shape == (rows, width)
    assert right, f"at step {t} the noise is {noise.dtype} {list(noise.shape)}, not float64 {[rows, width]}"
    inside = bool(((noise >= 0) & (noise < 1)).all()) and len(noise.unique()) == noise.numel()
    assert inside, f"at step {t} the noise is not different numbers in [0, 1)"


def _check_replaced(played: Playable, instances: list[int], drivers: Sequence[Wandering]) -> None:
    """Fail unless matches in progress go on with who has the name, or whom they had, and new ones with who is set."""
    environment, (one, two, three) = played.environment, drivers
    assert isinstance(environment, TwoSided)
    middle = max(1, environment.horizon // 2)
    environment.set_opponents([one, two], [1, 1])
    state, _ = environment.reset(options={"instances": instances})
    state = watch(played, three, state, range(middle)).states[-1]
    environment.set_opponents([evolve(one, seed=9), three], [0, 1])
    seeds = {"one": 9, "two": two.seed}
    for t, calls in enumerate(watch(played, three, state, range(middle, environment.horizon)).calls, middle):
        for call in calls:
            what = f"when opponents are set in the middle of matches, at step {t}"
            assert call.name in seeds, f"{what}, '{call.name}' drives one that began before"
            assert call.seed == seeds[call.name], f"{what}, '{call.name}' is not who has the name now, or had it last"
            assert bool((call.steps == t).all()), f"{what}, '{call.name}' remembers {call.steps.tolist()} steps"
    environment.reset()
    assert environment.opponents == ("three",), f"of one and three, weights 0 and 1, it draws {environment.opponents}"


def _check_refused(environment: TwoSided, drivers: Sequence[Wandering], weights: Sequence[float]) -> None:
    names = [driver.name for driver in drivers]
    try:
        environment.set_opponents(drivers, weights)
    except ValueError:
        return
    raise AssertionError(f"set_opponents takes the drivers {names} with the weights {weights}, not with a ValueError")


def _kept(state: State) -> State:
    return {name: value.clone() for name, value in state.items()}
