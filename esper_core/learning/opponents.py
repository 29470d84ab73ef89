"""The other side of the matches of an environment with two: who drives it, drawn per match, run driver by driver."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import EsperError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import State
from esper_core.contracts.sides import MATCH, Driver
from esper_core.contracts.tensors import leaves, mapped, taken_apart
from esper_core.learning.noise import UNIT, noise
from esper_core.policy.boundary import check_indices, check_names, check_tensor

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


class OtherSide:
    """Drives the other side of M matches of an environment that is `TwoSided`.

    Until opponents are set, `default` drives all. Matches with the same driver are one call of it, however many these
    are; what it remembers is kept by match and begins with the match.

    Args:
        actions: Of a row.
        matches: M.
        rows: Rows of a match and side.
        default: Who drives while nobody else was set; no events tell of its matches.
    """

    def __init__(self, actions: ActionSpec, matches: int, rows: int, default: Driver) -> None:
        self._actions, self._rows = actions, rows
        self._set: dict[str, Driver] = {default.name: default}
        self._weights: tuple[float, ...] = (1.0,)
        self._told, self._awaits = False, False
        self._old: dict[str, Driver] = {}
        self._names = [""] * matches
        self._tells = np.zeros(matches, np.bool_)
        self._instances: list[int] = [0] * matches
        self._steps: Ints = np.zeros(matches, np.int64)
        # By name: the matches that it drove last, ascending, and what it remembers of them.
        self._memory: dict[str, tuple[Ints, Any]] = {}

    # Who plays ------------------------------------------------------------------------------------------------------

    @property
    def learner_side(self) -> Ints:
        """Side of the learner in each match, int64 `[M]`."""
        return np.array([instance % 2 for instance in self._instances], np.int64)

    @property
    def opponents(self) -> tuple[str, ...]:
        """Names of the drivers of the matches in progress."""
        return tuple(dict.fromkeys(name for name in self._names if name))

    def set(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Change who is drawn from now on, as `TwoSided.set_opponents` has it; raises as that does."""
        weights = checked_weights([driver.name for driver in drivers], weights)
        found = {driver.name: driver for driver in drivers}
        old = {name: driver for name, driver in (self._old | self._set).items() if name in self.opponents}
        if missing := sorted(set(self.opponents) - {*found, *old}):
            raise EsperError(
                f"Matches in progress are played against {', '.join(map(repr, missing))}, whom nobody has set.",
                hint="After load_state, set these too, with weight 0 if no new match is to draw them.",
            )
        self._old = {name: driver for name, driver in old.items() if name not in found}
        self._set, self._weights, self._told, self._awaits = found, weights, True, False
        self._memory = {name: kept for name, kept in self._memory.items() if name in self.opponents}

    def driver(self, name: str) -> Driver:
        """Return the driver of a name, set or of a match in progress; raises EsperError where there is none."""
        if (found := self._set.get(name) or self._old.get(name)) is None:
            raise EsperError(
                f"A match is played against '{name}', whom nobody has set.",
                hint="Call set_opponents after load_state, before the next step.",
            )
        return found

    def draw(self, seed: int) -> str:
        """Return the name of the opponent in the match of a seed; it depends on that, names and weights alone."""
        if self._awaits:
            raise EsperError(
                "A match begins, and nobody has set its opponents.",
                hint="Call set_opponents after load_state, before the next reset.",
            )
        word = int.from_bytes(hashlib.blake2b(f"{seed}/opponent".encode(), digest_size=8).digest(), "little")
        ends, share = np.cumsum(self._weights), (word >> 11) * UNIT
        last = int(np.flatnonzero(self._weights)[-1])
        return list(self._set)[min(int(np.searchsorted(ends, share * ends[-1], side="right")), last)]

    # Matches --------------------------------------------------------------------------------------------------------

    def begin(self, match: int, seed: int, side: int, name: str | None = None) -> None:
        """Begin a match, whatever was in progress there; the learner has the side, and the opponent is drawn or named.

        Raises:
            EsperError: nobody who was set has that name.
        """
        self._names[match] = self.draw(seed) if name is None else self.driver(name).name
        self._tells[match], self._instances[match], self._steps[match] = self._told, 2 * seed + side, 0

    def act(self, running: Flags, state: State) -> dict[str, Tensor]:
        """Return the other side's actions by head, `[M·rows, …]`; where a match is not `running`, bool `[M]`, zeros.

        Args:
            running: Matches that take a step.
            state: What the other side perceives in all matches, `[M·rows, …]` by name.

        Raises:
            PluginError: a driver breaks its contract.
        """
        device = next(iter(state.values())).device
        names = np.array([name if goes else "" for name, goes in zip(self._names, running, strict=True)])
        there = [name for name in dict.fromkeys(names.tolist()) if name]
        found: dict[str, Tensor] = {}
        for name in there:
            matches = np.flatnonzero(names == name)
            chosen = torch.from_numpy(self._rows_of(matches)).to(device)
            alone = len(matches) == len(names)
            seen = state if alone else {key: value.index_select(0, chosen) for key, value in state.items()}
            acted = self._drive(name, matches, seen, device)
            if alone:
                found = acted
            for head, value in ({} if alone else acted).items():
                full = found.setdefault(head, value.new_zeros(len(names) * self._rows, *value.shape[1:]))
                full.index_copy_(0, chosen, value)
        self._steps += running
        return found or self._nothing(len(names) * self._rows, device)

    def end(self, match: int, won: float, row: int, step: int) -> list[dict[str, Any]]:
        """End a match, and return what is to be told of it: one event, or none where no opponents were set.

        Args:
            match: Its number.
            won: 1, 0.5 or 0, by the learner.
            row: `env` of the event: a row that ends with the match.
            step: In which it does.
        """
        name, self._names[match] = self._names[match], ""
        if not self._tells[match]:
            return []
        instance = self._instances[match]
        told = {"opponent": name, "side": instance % 2, "won": won, "instance": instance}
        return [{"env": row, "step": step, "type": MATCH, **told}]

    # Going on -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what later steps depend on but the drivers themselves, as JSON can hold it."""
        memory = {}
        for name, (matches, kept) in sorted(self._memory.items()):
            own = [match for match in matches.tolist() if self._names[match] == name]
            places = np.searchsorted(matches, own)
            if own:
                memory[name] = {"matches": own, "values": [self._packed(kept, place) for place in places]}
        return {
            "told": self._told,
            "names": list(self._names),
            "tells": self._tells.tolist(),
            "instances": list(self._instances),
            "steps": self._steps.tolist(),
            "memory": memory,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken. Where opponents were set, they must be set again before anything else.

        Raises:
            ValueError: it is the state of another number of matches.
        """
        if len(state["names"]) != len(self._names):
            raise ValueError(f"it is that of {len(state['names'])} matches, not of {len(self._names)}")
        self._names, self._instances = list(state["names"]), list(state["instances"])
        self._tells[:], self._steps[:] = state["tells"], state["steps"]
        self._memory = {name: (np.array(kept["matches"]), kept["values"]) for name, kept in state["memory"].items()}
        if state["told"]:
            self._set, self._old, self._told, self._awaits = {}, {}, True, True

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _packed(self, kept: Any, place: int) -> list[str]:
        """Return what is remembered of one match, a text per tensor."""
        if isinstance(kept, list):  # nobody has read it since it was loaded
            return list(kept[place])
        rows = torch.from_numpy(self._rows_of(np.array([place])))
        return [_packed(value.index_select(1, rows.to(value.device))) for value in leaves(kept).values()]

    def _rows_of(self, matches: Ints) -> Ints:
        return np.asarray((matches[:, None] * self._rows + np.arange(self._rows)).ravel())

    def _drive(self, name: str, matches: Ints, state: State, device: torch.device) -> dict[str, Tensor]:
        """Return the actions of one driver in its matches, `[R·rows, …]`, and keep what it remembers."""
        driver, owner = self.driver(name), Owner(f"The driver '{name}'")
        instances = [self._instances[match] for match in matches]
        seeds = np.array([instance // 2 for instance in instances], np.uint64)
        sides = np.array([1 - instance % 2 for instance in instances], np.int64)
        steps, rows = self._steps[matches], len(matches) * self._rows
        chance = torch.from_numpy(noise(seeds, steps, sides, self._rows, self._actions.width)).to(device)
        begins = torch.from_numpy((steps == 0).repeat(self._rows)).to(device)
        with owner.doing("choosing actions"):
            acted, memory = driver(state, self._remembered(driver, matches), begins, chance)
        _check(owner, acted, self._actions, rows)
        self._memory[name] = matches, memory
        return acted

    def _remembered(self, driver: Driver, matches: Ints) -> Any:
        """Return what a driver remembers of matches, in their order; of those that begin, nothing."""
        before, kept = self._memory.get(driver.name, (matches[:0], None))
        if isinstance(kept, list):
            parts = [_unpacked(driver.initial_memory(1), texts) for texts in kept]
            columns = [torch.cat(parts, 1) for parts in zip(*(leaves(part).values() for part in parts), strict=True)]
            kept = taken_apart(parts[0])[1](iter(columns))
        begins = self._steps[matches] == 0
        if kept is None or begins.all():
            return driver.initial_memory(len(matches))
        if np.array_equal(before, matches) and not begins.any():
            return kept
        # One more match, that remembers nothing, stands for all that begin.
        place = np.where(begins, len(before), np.searchsorted(before, matches))
        rows, blank = torch.from_numpy(self._rows_of(place)), iter(leaves(driver.initial_memory(1)).values())
        return mapped(kept, lambda value: torch.cat([value, next(blank)], 1).index_select(1, rows.to(value.device)))

    def _nothing(self, rows: int, device: torch.device) -> dict[str, Tensor]:
        categories = {
            head.name: torch.zeros(rows, dtype=torch.int64, device=device) for head in self._actions.categorical
        }
        numbers = {head.name: torch.zeros(rows, len(head.dims), device=device) for head in self._actions.continuous}
        return categories | numbers


def checked_weights(names: Sequence[str], weights: Sequence[float]) -> tuple[float, ...]:
    """Return weights of opponents of these names; raises ValueError where they cannot be."""
    if not names:
        raise ValueError("there is no opponent to draw")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two opponents are called {', '.join(map(repr, twice))}")
    if not all(names):
        raise ValueError("an opponent has no name")
    found = tuple(map(float, weights))
    if len(found) != len(names):
        raise ValueError(f"there are {len(found)} weights for {len(names)} opponents")
    if not all(math.isfinite(weight) and weight >= 0 for weight in found) or not sum(found):
        raise ValueError(f"weights are {found}, not finite numbers from 0 on with one above it")
    return found


def _check(owner: Owner, found: Any, actions: ActionSpec, rows: int) -> None:
    """Check what a driver does: int64 `[R·rows]` per categorical head, within it, float `[R·rows, n]` of numbers."""
    check_names(owner, "its table of actions", found, actions.names)
    for head in actions.categorical:
        what = f"its action of head '{head.name}'"
        check_tensor(owner, what, found[head.name], "int", (rows,))
        check_indices(owner, what, found[head.name], 0, head.size)
    for numbers in actions.continuous:
        check_tensor(
            owner, f"its numbers of head '{numbers.name}'", found[numbers.name], "float", (rows, len(numbers.dims))
        )


def _packed(value: Tensor) -> str:
    """Return the numbers of a tensor as text."""
    return base64.b64encode(value.detach().cpu().contiguous().numpy().tobytes()).decode("ascii")


def _unpacked(like: Any, texts: Sequence[str]) -> Any:
    """Return tensors of the form of others, with the numbers that `_packed` wrote; raises ValueError."""
    left = iter(texts)

    def read(value: Tensor) -> Tensor:
        numbers = np.frombuffer(base64.b64decode(next(left)), value.detach().cpu().numpy().dtype)
        return torch.from_numpy(numbers.reshape(value.shape).copy()).to(value.device)

    return mapped(like, read)
