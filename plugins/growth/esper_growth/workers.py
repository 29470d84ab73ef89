"""Hosts shared out among processes. Threads would do the same work, but wait for each other's Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from esper_core.learning.randomness import seed_all
from esper_core.registry.sources import blamed
from esper_core.system.crew import Crew, may_have_children, row_order
from esper_core.system.machine import cores
from esper_core.system.processes import Answer, Purpose
from esper_growth.actions import Algorithm
from esper_growth.memory import keep_freed_memory
from esper_growth.runtime import Fossils, Gradients, HostRuntime, Settings, Validation, stable_seed

PURPOSE = Purpose(
    name="esper-hosts",
    doing="training hosts",
    killed="It may have been killed for lack of memory: lower --envs, or use -o environment.workers=1.",
    died="To see where, train in this process: -o environment.workers=1",
    blame=blamed,
    rows="hosts",
)

Share = Callable[[Sequence[int], int], list[list[int]]]
"""From the numbers of instances, and how many shares there are, to positions, share by share; none is empty."""


class Workers:
    """A host runtime whose hosts live in several processes.

    Args:
        make: Makes the runtime of one process; it must survive pickling where processes are not forked.
        count: Processes at most.
        share: Shares instances out: from their numbers and how many shares there are to positions, share by share.
    """

    def __init__(self, make: Callable[[], HostRuntime], count: int, share: Share) -> None:
        self._make, self._count, self._share = make, count, share
        here = make()
        self.name, self.kernels = here.name, here.kernels
        here.close()
        self._crew: Crew | None = None
        self._order = torch.empty(0, dtype=torch.int64)

    def start(self, instances: Sequence[int]) -> None:
        """Replace all hosts by fresh ones, one per instance number; each process gets a share of them."""
        processes = min(self._count, len(instances))
        if self._crew is None or processes != len(self._crew):
            self.close()
            self._crew = Crew(PURPOSE, [partial(_begin, self._make)] * processes)
        self._crew.shares = shares = self._share(instances, processes)
        self._order = torch.tensor(row_order(shares))
        self._crew.ask({number: ("start", [instances[env] for env in share]) for number, share in enumerate(shares)})

    def germinate(self, env: int, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot."""
        self._hosts.at(env, "germinate", slot, label, algorithm)

    def set_algorithm(self, env: int, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host."""
        self._hosts.at(env, "set_algorithm", slot, algorithm)

    def remove(self, env: int, slot: int) -> None:
        """Remove a seed and the optimiser state of its parameters."""
        self._hosts.at(env, "remove", slot)

    def seed_parameters(self) -> Tensor:
        """Return the number of parameters of every seed, int64 `[E, N]`."""
        return self._in_order(self._hosts.everyone("seed_parameters"))

    def weights(self, env: int) -> dict[str, Tensor]:
        """Return copies of everything a host has learned, on the CPU: name as in `GrownHost` → value."""
        found: dict[str, Tensor] = self._hosts.at(env, "weights")
        return found

    def train_epoch(self, settings: Settings, active: Sequence[bool]) -> Gradients:
        """Train the active hosts for one epoch."""
        parts: list[Gradients] = self._all("train_epoch", settings, active)
        return Gradients(*(self._in_order(columns) for columns in zip(*parts, strict=True)))

    def validate(
        self, settings: Settings, active: Sequence[bool], pairs: bool, split: str = "validation"
    ) -> Validation:
        """Measure the active hosts on a split."""
        parts: list[Validation] = self._all("validate", settings, active, pairs, split)
        return Validation(
            loss=self._in_order([part.loss for part in parts]),
            accuracy=self._in_order([part.accuracy for part in parts]),
            contribution=self._in_order([part.contribution for part in parts]),
            interactions=self._in_order([p.interactions for p in parts if p.interactions is not None])
            if pairs
            else None,
        )

    def snapshot(self, fossils: Fossils) -> None:
        """Remember hosts and their fossils where they are trained, in place of what was remembered of them."""
        asked = {}
        for number, share in enumerate(self._hosts.shares):
            own = {position: fossils[env] for position, env in enumerate(share) if env in fossils}
            if own:
                asked[number] = "snapshot", own
        self._hosts.ask(asked)

    def restore(self, env: int) -> None:
        """Put a host and its fossils back to what was remembered; its other seeds are left as they are."""
        self._hosts.at(env, "restore")

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        if self._crew is not None:
            self._crew.close()
        self._crew = None

    @property
    def _hosts(self) -> Crew:
        assert self._crew is not None, "start comes first"
        return self._crew

    def _in_order(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the rows of all shares in the order of environments."""
        return torch.cat(list(parts))[self._order]

    def _all(self, method: str, settings: Settings, active: Sequence[bool], *more: Any) -> list[Any]:
        shares = enumerate(self._hosts.shares)
        parts = {n: ([settings[env] for env in share], [active[env] for env in share]) for n, share in shares}
        return self._hosts.ask({number: (method, *part, *more) for number, part in parts.items()})


def shared_out(make: Callable[[], HostRuntime], workers: int, share: Share) -> HostRuntime:
    """Return the hosts of `make` in this process for one worker, else shared out among as many; 0 is one per core.

    They stay in this process too where it may have no children, as in the processes of other libraries' vectorised
    environments; what they compute is the same.
    """
    count = workers or cores()
    keep_freed_memory()
    return Workers(make, count, share) if count > 1 and may_have_children() else make()


def _begin(make: Callable[[], HostRuntime]) -> Answer:
    return partial(_answer, make())


def _answer(runtime: HostRuntime, request: tuple[Any, ...]) -> Any:
    method, *arguments = request
    if method == "start":
        # A blueprint may draw from the process's own streams; a resumed run has new processes.
        seed_all(stable_seed("process", *arguments[0]))
    return getattr(runtime, method)(*arguments)
