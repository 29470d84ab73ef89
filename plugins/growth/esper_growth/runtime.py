"""The interface between the environment and a host runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.model import SeedSetting

Settings = list[dict[int, SeedSetting]]
"""Per environment: slot → how its seed takes part."""

Content = TypeVar("Content")

Fossils = Mapping[int, Sequence[int]]
"""Environment → slots with a fossil."""


class Gradients(NamedTuple):
    """Health of the seeds' gradients at the last step of an epoch, all `[E, N]`; health is −1 where unmeasured."""

    norm: Tensor
    health: Tensor
    vanishing: Tensor
    exploding: Tensor


class Validation(NamedTuple):
    """Validation results.

    Attributes:
        loss: Mean cross-entropy, `[E]`, nats.
        accuracy: `[E]`, fraction.
        contribution: accuracy − accuracy without seed i, `[E, N]`; NaN where nothing can be switched off.
        interactions: I_ij = acc(all) − acc(−i) − acc(−j) + acc(−ij), `[E, N, N]`, NaN where unmeasured; None when not
            asked for.
    """

    loss: Tensor
    accuracy: Tensor
    contribution: Tensor
    interactions: Tensor | None


class HostRuntime(Protocol):
    """Trains E hosts side by side. What a host computes does not depend on the others.

    Attributes:
        name: Which runtime it is.
        kernels: What it computes with: 'torch', or which compiled kernels.
    """

    name: str
    kernels: str

    def start(self, instances: Sequence[int]) -> None:
        """Replace all hosts by fresh ones, one per instance number."""
        ...

    def germinate(self, env: int, slot: int, label: str, algorithm: Algorithm) -> None:
        """Put a new seed into an empty slot."""
        ...

    def set_algorithm(self, env: int, slot: int, algorithm: Algorithm) -> None:
        """Change how a seed joins the host; a gate is created or destroyed as needed."""
        ...

    def remove(self, env: int, slot: int) -> None:
        """Remove a seed and the optimiser state of its parameters."""
        ...

    def seed_parameters(self) -> Tensor:
        """Return the number of parameters of every seed, int64 `[E, N]`, 0 without a seed."""
        ...

    def weights(self, env: int) -> dict[str, Tensor]:
        """Return copies of a host's parameters, on the CPU: name as in `GrownHost` → value."""
        ...

    def train_epoch(self, settings: Settings, active: Sequence[bool]) -> Gradients:
        """Train the active hosts for one epoch."""
        ...

    def validate(
        self, settings: Settings, active: Sequence[bool], pairs: bool, split: str = "validation"
    ) -> Validation:
        """Measure the active hosts on the validation split, or another; the rows of the others are NaN."""
        ...

    def snapshot(self, fossils: Fossils) -> None:
        """Keep copies of hosts and their fossils, weights and momentum, in place of earlier ones."""
        ...

    def restore(self, env: int) -> None:
        """Restore a host and its fossils from its copy; its other seeds are left as they are."""
        ...

    def close(self) -> None:
        """Free what is held."""
        ...


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread within.

    Sums over several threads round differently, and the result of a host must not depend on the process it is trained
    in. A forked process also has none of its parent's thread pool, and would wait for it.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


VANISHING, EXPLODING = 1e-7, 10.0


def gradient_health(norms: Sequence[float]) -> tuple[float, float, bool, bool]:
    """Return (norm, health, vanishing, exploding) of a seed from the norms of its gradient tensors.

    Health is 1 − ½·share that vanishes − 0.8·share that explodes, at least 0; it is 0 when a gradient is not finite.
    """
    vanishing = sum(norm < VANISHING for norm in norms)
    exploding = sum(not norm <= EXPLODING for norm in norms)
    total = sum(norm**2 for norm in norms) ** 0.5
    finite = total < float("inf")
    health = max(0.0, 1 - 0.5 * vanishing / len(norms) - 0.8 * exploding / len(norms)) if finite else 0.0
    return (total if finite else EXPLODING), health, vanishing > 0, exploding > 0


def collect_gradients(num_envs: int, num_slots: int, measured: Iterable[tuple[int, int, list[float]]]) -> Gradients:
    """Return the health of all seeds from environment, slot and the norms of each seed's gradient tensors."""
    shape = (num_envs, num_slots)
    norm, health = torch.zeros(shape), torch.full(shape, -1.0)
    vanishing, exploding = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    for env, slot, norms in measured:
        values = gradient_health(norms)
        norm[env, slot], health[env, slot], vanishing[env, slot], exploding[env, slot] = values
    return Gradients(norm, health, vanishing, exploding)


def collect_validation(
    num_envs: int, num_slots: int, measured: Iterable[tuple[int, float, dict[tuple[int, ...], float]]], pairs: bool
) -> Validation:
    """Return validation results from environment, loss and the accuracy with each set of slots switched off."""
    loss, accuracy = torch.full((num_envs,), torch.nan), torch.full((num_envs,), torch.nan, dtype=torch.float64)
    contribution = torch.full((num_envs, num_slots), torch.nan)
    interactions = torch.full((num_envs, num_slots, num_slots), torch.nan) if pairs else None
    for env, env_loss, accuracies in measured:
        full = accuracies[()]
        loss[env], accuracy[env] = env_loss, full
        for off, value in accuracies.items():
            if len(off) == 1:
                contribution[env, off[0]] = full - value
            elif len(off) == 2 and interactions is not None:
                i, j = off
                joint = full - accuracies[(i,)] - accuracies[(j,)] + value
                interactions[env, i, j] = interactions[env, j, i] = joint
    return Validation(loss, accuracy, contribution, interactions)


def replace_rows(
    validation: Validation, gradients: Gradients, where: Tensor, again: Validation
) -> tuple[Validation, Gradients]:
    """Return measurements that are those of `again` in some environments, bool `[E]`, without gradients or pairs."""
    rows = where[:, None]
    interactions = validation.interactions
    replaced = Validation(
        loss=torch.where(where, again.loss, validation.loss),
        accuracy=torch.where(where, again.accuracy, validation.accuracy),
        contribution=torch.where(rows, again.contribution, validation.contribution),
        interactions=None if interactions is None else interactions.masked_fill(rows[:, :, None], torch.nan),
    )
    return replaced, Gradients(
        norm=gradients.norm.masked_fill(rows, 0.0),
        health=gradients.health.masked_fill(rows, -1.0),
        vanishing=gradients.vanishing & ~rows,
        exploding=gradients.exploding & ~rows,
    )


def permanent(content: Mapping[str, Content], fossils: Sequence[int]) -> dict[str, Content]:
    """Return the entries of a host and its fossils, by name as in `GrownHost`."""
    kept = ("host.", *(f"seeds.{slot}." for slot in fossils))
    return {name: entry for name, entry in content.items() if name.startswith(kept)}


def stable_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on nothing but the parts' text."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
