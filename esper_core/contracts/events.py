"""What an environment's events may hold, and which of it are numbers about an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from esper_core.contracts.foreign import Owner
from esper_core.contracts.plain import NotPlain, plain

EPISODE = "episode"
"""Type of the event that ends an episode."""

IDENTITY = ("env", "step", "update", "instance")
"""Keys that say which event it is; their numbers measure nothing."""

Event = dict[str, Any]


def taken_events(owner: Owner, said: Any, num_envs: int) -> list[Event]:
    """Return `info["events"]` of a step of E environments in plain values.

    Raises PluginError unless they are a list of tables with `env`, `step` and `type` that can be saved.
    """
    if not isinstance(said, list | tuple):
        raise owner.breach(f"its events are a {type(said).__name__}, not a list")
    return [_taken(owner, event, num_envs) for event in said]


def _taken(owner: Owner, said: Any, num_envs: int) -> Event:
    if not isinstance(said, Mapping):
        raise owner.breach(f"an event is a {type(said).__name__}, not a table")
    what = f"its event of type {said.get('type')!r}"
    try:
        event: Event = plain(said)
    except NotPlain as problem:
        raise owner.breach(f"{what} cannot be saved: {problem}") from problem
    if not isinstance(event.get("type"), str) or not event["type"]:
        raise owner.breach(f"an event has the type {event.get('type')!r}, which is not a name")
    for key, most in (("env", num_envs), ("step", math.inf)):
        number = event.get(key)
        if type(number) is not int or not 0 <= number < most:
            raise owner.breach(f"{what} has the {key} {number!r}" + (f" of {most}" if key == "env" else ""))
    if "update" in event:
        raise owner.breach(f"{what} has a key 'update', under which the number of the update is written")
    for key, value in event.items() if event["type"] == EPISODE else ():
        for entry in value if isinstance(value, list) else ():
            if entry is not None and not is_number(entry):
                raise owner.breach(f"{what} holds {entry!r:.80} in the list '{key}', of which a metric is made")
    return event


def episode_numbers(event: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers and truth values of an event about its episode."""
    return {key: float(value) for key, value in event.items() if key not in IDENTITY and is_number(value)}


def episode_pools(event: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the numbers in each list of an event."""
    lists = {key: value for key, value in event.items() if isinstance(value, list)}
    return {key: [float(entry) for entry in value if is_number(entry)] for key, value in lists.items()}


def is_number(value: Any) -> bool:
    """Return whether a plain value is a number or a truth value."""
    return isinstance(value, bool | int | float)
