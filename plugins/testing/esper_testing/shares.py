"""Whether shares of the rows of an environment do what all rows do together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from esper_core.contracts.plain import to_exact
from esper_core.contracts.protocols import Shareable
from esper_core.contracts.share import Share
from esper_core.learning.state import Resumable
from esper_testing.episodes import Playable, legal_play

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

Part = tuple[Share, Playable]


def check_shares(whole: Playable, parts: Sequence[Part]) -> None:
    """Play two episodes in all rows, and the same in shares of them; the second follows from the first."""
    environment = whole.environment
    choose, number = legal_play(environment), 0
    for seed in (7, None):
        state, _ = environment.reset(seed=seed)
        _compare("a reset", state, [(share, part.environment.reset(seed=seed)[0]) for share, part in parts])
        for t in range(environment.horizon):
            actions = choose(number + t, state, whole.masks(state))
            state, reward, terminated, truncated, info = environment.step(actions)
            told = {"reward": reward, "terminated": terminated, "truncated": truncated}
            steps = [
                (share, part.environment.step({name: value[share.rows] for name, value in actions.items()}))
                for share, part in parts
            ]
            _compare(f"step {t}", state, [(share, step[0]) for share, step in steps])
            _compare(f"step {t}", told, [(share, dict(zip(told, step[1:4], strict=True))) for share, step in steps])
            found = [
                {**event, "env": event["env"] + share.first}
                for share, step in steps
                for event in step[-1].get("events", ())
            ]
            assert found == list(info.get("events", ())), f"the events of step {t} differ, or are not told row by row"
        number += environment.horizon
    if isinstance(environment, Resumable):
        _check_states(environment, parts)


def _check_states(played: Resumable, parts: Sequence[Part]) -> None:
    environment: object = played
    assert isinstance(environment, Shareable), "it says `shares` and has `state`, but not joined and parted"
    others: list[Any] = [part.environment for _, part in parts]
    made, whole = environment.joined([one.state() for one in others]), played.state()
    assert to_exact(made) == to_exact(whole), "what joined makes of the states of shares is not the state of all rows"
    for one in others:
        one.load_state(one.parted(whole))
        one.reset()


def _compare(when: str, whole: State, parts: Sequence[tuple[Share, State]]) -> None:
    for share, part in parts:
        for name, value in part.items():
            expected = whole[name][share.rows]
            same = torch.equal(value.nan_to_num(7.0), expected.nan_to_num(7.0))
            assert same, f"'{name}' after {when} is not, in rows {share.first} on, what it is where all rows are played"
