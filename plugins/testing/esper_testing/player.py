"""Playing episodes: state → masks → a rule's actions → step. Whoever acts is a rule, a learned policy too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from esper_core.api.player import Player
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.events import EPISODE, is_number
from esper_core.contracts.foreign import UNKNOWN, Owner, Owners
from esper_core.contracts.protocols import Environment, MaskProvider, Masks, Rule, State
from esper_core.contracts.tensors import mapped
from esper_core.learning.boundary import absent_rows, take_reset, take_step
from esper_core.learning.stopwatch import Stopwatch
from esper_core.policy.boundary import check_indices, check_mask_form, check_names, check_tensor
from esper_testing.legality import some_rows


def derived_seed(*parts: object) -> int:
    """Return a seed that depends on these parts alone, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "little")


@frozen
class Played:
    """Episodes side by side that were played.

    Attributes:
        actions: What was done at each step, as environments take it.
        lengths: Steps of each row's episode, int64 `[E]`, 0 where it was absent; what was done after its end means
            nothing.
        events: The environment's events.
        rows: Rows of a match, which lie side by side; 1 where each row is an environment of its own.
    """

    actions: list[Mapping[str, Tensor]]
    lengths: Tensor
    events: list[dict[str, Any]]
    rows: int = 1

    def match_lengths(self) -> list[int]:
        """Return the steps of each match, those of its longest row."""
        longest: list[int] = self.lengths.view(-1, self.rows).amax(1).tolist()
        return longest

    def column(self, name: str, env: int) -> list[Any]:
        """Return what an environment's episode chose in one head, step by step: an index, or a list of numbers."""
        return [step[name][env].tolist() for step in self.actions[: int(self.lengths[env])]]

    def returns(self) -> list[float]:
        """Return the return of each match as learning knows it, the mean over its rows that took part.

        Raises:
            PluginError: the environment has not said it.
        """
        said = {event["env"]: event for event in self.events if event["type"] == EPISODE}
        there = [row for row, length in enumerate(self.lengths.tolist()) if length]
        if not all(is_number(said.get(row, {}).get("return")) for row in there):
            raise PluginError(
                "The environment ended an episode without an event of type 'episode' with its 'return', a number.",
                hint="Report this to the environment's author.",
            )
        matches: dict[int, list[float]] = {}
        for row in there:
            matches.setdefault(row // self.rows, []).append(float(said[row]["return"]))
        return [sum(paid) / len(paid) for paid in matches.values()]

    def tags(self) -> list[dict[str, str]]:
        """Return what the environment says in words about each match that has ended, such as its level."""
        tags: list[dict[str, str]] = [{} for _ in range(len(self.lengths) // self.rows)]
        for event in self.events:
            if event["type"] == EPISODE:
                words = {name: value for name, value in event.items() if isinstance(value, str) and name != "type"}
                tags[event["env"] // self.rows] |= words
        return tags


def play(
    environment: Environment,
    masks: MaskProvider,
    rule: Rule,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
    steps: int | None = None,
    watch: Stopwatch | None = None,
    on_step: Callable[[int], None] | None = None,
    owners: Owners = UNKNOWN,
    rows: int = 1,
) -> Played:
    """Let a rule play one episode in every environment.

    Args:
        environment: The environments.
        masks: What is legal in them.
        rule: Who acts.
        generator: Its randomness; a new one without it.
        seed: Passed to the environment's reset.
        options: Passed to it too.
        steps: Stop after this many, whether or not the episodes have ended.
        watch: Books time under `environment`, `masks` and `policy`.
        on_step: Called with the number of steps taken, from 0 on.
        owners: Whose code environment and masks are.
        rows: Rows of a match.

    Raises:
        EsperError: an episode did not end within the environment's horizon.
        PluginError: environment, masks or rule raised something or broke their contract.
    """
    watch = watch or Stopwatch()
    generator = generator or torch.Generator()
    envs, spec, owner = environment.num_envs, environment.actions, owners["environment"]
    with owner.doing("starting episodes"):
        found: Any = environment.reset(seed=seed, options=options)
    state, seconds = take_reset(owner, found, environment.state_spec, spec, envs)
    rule.reset(envs)
    running = ~absent_rows(owner, found[1], envs, torch.device("cpu"))
    lengths = torch.zeros(envs, dtype=torch.int64)
    done: list[Mapping[str, Tensor]] = []
    events: list[dict[str, Any]] = []
    watch.lap("environment", seconds)
    for t in range(environment.horizon if steps is None else steps):
        if on_step is not None:
            on_step(t)
        with owners["masks"].doing(f"saying what is legal at step {t}"):
            legal = masks(state)
        check_mask_form(owners["masks"], legal, spec, envs, None)
        watch.lap("masks")
        actions = rule(state, legal, generator)
        watch.lap("policy")
        with owner.doing(f"taking step {t}"):
            found = environment.step(actions)
        stepped = take_step(owner, found, environment.state_spec, spec, envs)
        state = stepped.state
        lengths += running
        running &= ~(stepped.terminated | stepped.truncated).cpu()
        done.append(actions)
        events += stepped.events
        watch.lap("environment", stepped.seconds)
        if not bool(running.any()):
            break
    if steps is None and bool(running.any()):
        raise EsperError(f"An episode did not end within {environment.horizon} steps.")
    return Played(done, lengths, events, rows)


@frozen
class ForeignRule:
    """A rule of a plugin: whatever it raises, or returns that its contract does not allow, is an error that names it.

    Attributes:
        rule: The rule.
        owner: Whose code it is.
        actions: What it chooses from.
    """

    rule: Rule
    owner: Owner
    actions: ActionSpec

    def reset(self, num_envs: int) -> None:
        """Forget earlier episodes."""
        with self.owner.doing("forgetting earlier episodes"):
            self.rule.reset(num_envs)

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the actions of all, as environments take them."""
        with self.owner.doing("choosing actions"):
            actions = self.rule(state, masks, generator)
        _check_actions(self.owner, actions, self.actions, len(some_rows(state, masks)))
        return actions


class PlayerRule:
    """A player as a rule, in episodes of its own: the player that it is given stays in those it is in.

    Args:
        player: The player.
        deterministic: It takes what it thinks most probable, instead of drawing.
    """

    def __init__(self, player: Player, *, deterministic: bool) -> None:
        self._player, self._deterministic = player.copy(), deterministic

    def reset(self, num_envs: int) -> None:
        """Begin new episodes."""
        self._player.reset(num_envs)

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the policy's actions, as environments take them."""
        return self._player.act(state, self._deterministic, generator, masks)


class Separately:
    """A rule of its own for every environment, or for all rows of a match, with its own randomness.

    What is done in one then depends on that alone, bit for bit: not on how many are played side by side, nor on which.

    Args:
        rules: One per environment or match.
        seeds: Seeds of their randomness.
    """

    def __init__(self, rules: Sequence[Rule], seeds: Sequence[int]) -> None:
        self._rules, self._seeds = rules, seeds

    def reset(self, num_envs: int) -> None:
        """Let every rule begin anew."""
        self._generators = [torch.Generator().manual_seed(seed) for seed in self._seeds]
        self._rows = num_envs // len(self._rules)
        for rule in self._rules:
            rule.reset(self._rows)

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the actions of all, as environments take them."""
        acted = []
        for env, (rule, own) in enumerate(zip(self._rules, self._generators, strict=True)):
            own_rows = slice(env * self._rows, (env + 1) * self._rows)
            here, legal = mapped((dict(state), masks), lambda value, part=own_rows: value[part])  # type: ignore[misc]
            acted.append(rule(here, legal, own))
        return {name: torch.cat([actions[name] for actions in acted]) for name in acted[0]}


def _check_actions(owner: Owner, found: Any, actions: ActionSpec, num_envs: int) -> None:
    """Check what a rule does in E environments: int64 `[E]` per head within it, float32 `[E, n]` within bounds."""
    check_names(owner, "its table of actions", found, actions.names)
    for head in actions.categorical:
        value, what = found[head.name], f"its action of head '{head.name}'"
        check_tensor(owner, what, value, "int", (num_envs,))
        check_indices(owner, what, value, 0, head.size)
    for numbers in actions.continuous:
        value, what = found[numbers.name], f"its numbers of head '{numbers.name}'"
        check_tensor(owner, what, value, "float32", (num_envs, len(numbers.dims)))
        low, high = value.new_tensor(numbers.low), value.new_tensor(numbers.high)
        if not bool(((value >= low) & (value <= high)).all()):
            raise owner.breach(f"{what} are beyond the bounds: {value.tolist()}")
