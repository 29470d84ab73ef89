"""Rows that make up matches, and that begin again while others go on."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor

from esper_core.contracts.plain import from_exact, to_exact
from esper_core.contracts.protocols import State
from esper_core.learning.state import Resumable
from esper_testing.episodes import Episode, Playable, absent_of, go_on, legal_play

SEED = 11


def check_ending(ended: Tensor, horizon: int, who: str) -> None:
    """Fail unless a row, whose flags `[T]` these are, ended within the horizon, and said so once."""
    assert bool(ended[:horizon].any()), f"{who} has not ended after {horizon} steps, its horizon"
    times = int(ended.sum())
    assert times == 1, f"{who} says {times} times that its episode ended"


def check_padding(episode: Episode, rows: int) -> None:
    """Fail where a row that has ended, or was absent, pays or reports, or changes although its match is over."""
    ends = torch.where(episode.absent, -1, episode.ended.int().argmax(0))
    over = ends.reshape(-1, rows).amax(1).repeat_interleave(rows).tolist()
    for env, end in enumerate(ends.tolist()):
        final = episode.states[over[env] + 1]
        for t in range(end + 1, len(episode.rewards)):
            what = f"environment {env} {f'ended at step {end}' if end >= 0 else 'is absent'}, and at step {t}"
            paid = float(episode.rewards[t][env])
            assert paid == 0.0, f"{what} it paid {paid:g}"
            assert not bool(episode.ended[t, env]), f"{what} it said that it ended"
            reported = [e["type"] for e in episode.infos[t].get("events", ()) if e["env"] == env]
            assert not reported, f"{what} it reported {', '.join(reported)}"
            for name, value in episode.states[t + 1].items() if t > over[env] else ():
                assert torch.equal(value[env], final[name][env]), f"{what} its state's '{name}' changed"


def check_rows(played: Playable, matches: int) -> None:
    """Fail unless what says which rows are absent is flags of all rows, some of each match not among them."""
    environment, found = played.environment, played.environment.num_envs
    for seed in range(4):
        _, info = environment.reset(seed=seed)
        absent = info.get("absent")
        if absent is None:
            continue
        fits = isinstance(absent, Tensor) and absent.dtype == torch.bool and absent.shape == (found,)
        assert fits, f"info['absent'] is {absent!r:.80}, not a tensor of bool [{found}]"
        assert not bool(absent.reshape(matches, played.rows).all(1).any()), "nobody takes part in one of its matches"


def check_restarts(played: Playable, other: Playable) -> None:
    """Fail where a match that begins anew changes another, does not begin, or is not the same under the same seed."""
    environment, rows = played.environment, played.rows
    middle, horizon = max(1, environment.horizon // 2), environment.horizon
    usual, others = other.play(seed=SEED), list(range(rows, environment.num_envs))
    first, second, third = _restarted(played, middle)
    undisturbed = _part(usual, middle)
    where = _part(second, 0, horizon - middle).difference(undisturbed, others)
    assert not where, f"a match that begins anew in the middle of the others changes, in these, {where} from there on"
    for what, episode in (("in the middle", second), ("after its end", third)):
        for row in (~episode.absent[:rows]).nonzero().flatten().tolist():
            check_ending(episode.ended[:, row], horizon, f"row {row}, begun anew {what} of an episode,")
    ended = torch.ones_like(third.absent)
    ended[:rows] = third.absent[:rows]
    for t, reward in enumerate(third.rewards):
        loud = ended & ((reward != 0) | third.ended[t])
        assert not bool(loud.any()), f"row {int(loud.int().argmax())}, which is over, acts when another match begins"
    for one, two in zip((first, second, third), _restarted(other, middle), strict=True):
        where = one.difference(two)
        assert not where, f"played again with the same seed and restarts, {where} differs"


def check_midway(played: Playable, other: Playable) -> None:
    """Fail where another environment with the state of this one has another future."""
    environment, stranger = played.environment, other.environment
    assert isinstance(environment, Resumable) and isinstance(stranger, Resumable)
    middle = max(1, environment.horizon // 2)
    state, _ = environment.reset(seed=SEED)
    begun = _go(played, state, range(middle))
    state, absent = _restart(played, begun.states[-1])
    state = _go(played, state, range(middle, middle + 1), absent).states[-1]
    kept = from_exact(json.loads(json.dumps(to_exact(environment.state()))))
    stranger.load_state(kept)
    futures = []
    for whose in (played, other):
        soon = _go(whose, state, range(middle + 1, 2 * middle + 1), absent)
        again, missing = _restart(whose, soon.states[-1])
        futures.append((soon, _go(whose, again, range(environment.horizon), missing)))
    for one, two in zip(*futures, strict=True):
        where = one.difference(two)
        assert not where, f"after load_state in the middle of episodes, {where} differs"


def _restarted(played: Playable, middle: int) -> tuple[Episode, Episode, Episode]:
    """Play some steps, begin the first match anew, play until all has ended, begin it anew, and play once more."""
    horizon = played.environment.horizon
    state, info = played.environment.reset(seed=SEED)
    first = _go(played, state, range(middle), absent_of(played.environment, info))
    state, absent = _restart(played, first.states[-1])
    second = _go(played, state, range(middle, middle + horizon), absent)
    state, absent = _restart(played, second.states[-1])
    return first, second, _go(played, state, range(horizon), absent)


def _restart(played: Playable, before: State) -> tuple[State, Tensor]:
    """Begin the first match anew; return the state and which rows are absent, of those that began."""
    environment = played.environment
    mask = np.zeros(environment.num_envs, dtype=bool)
    mask[: played.rows] = True
    given = mask.copy()
    state, info = environment.reset(options={"reset_mask": given})
    assert bool((given == mask).all()), "it changes the reset_mask that it is given"
    for name, value in before.items():
        shape, right = tuple(state[name].shape), tuple(value.shape)
        assert shape == right, f"after a reset of some rows the state's '{name}' has shape {shape}, not {right}, of all"
        same = torch.equal(state[name][played.rows :], value[played.rows :])
        assert same, f"a match that begins anew changes, in the others, the state's '{name}' at once"
    return state, absent_of(environment, info)


def _go(played: Playable, state: State, steps: range, absent: Tensor | None = None) -> Episode:
    environment = played.environment
    absent = torch.zeros(environment.num_envs, dtype=torch.bool) if absent is None else absent
    return go_on(environment, played.masks, state, steps, legal_play(environment), absent)


def _part(episode: Episode, begin: int, end: int | None = None) -> Episode:
    """Return the steps of an episode from one on, up to another."""
    steps = slice(begin, end)
    return Episode(
        episode.absent,
        episode.states[begin : None if end is None else end + 1],
        episode.actions[steps],
        episode.rewards[steps],
        episode.terminated[steps],
        episode.truncated[steps],
        episode.infos[steps],
    )
