"""Scaffolding: which seeds raised the contribution of a fossil, and how long before.

The boost that seed j gives seed i is the interaction I_ij = acc(all) − acc(−i) − acc(−j) + acc(−ij): by how much more i
contributes to validation accuracy with j there than without it. It is measured every few epochs while both are in the
host. When i is fossilized, every seed j that was in the host together with it, still there or pruned by
then, and for which the largest of these measurements is above 0, is a helper of i.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from torch import Tensor


@define(eq=False)
class Seed:
    """A seed, from germination on; the next seed of its slot is another object.

    Attributes:
        slot: Slot id.
        blueprint: Label.
        removed: Step at which it left the host, or None.
        boosts: By seed that was there with it: the largest interaction above 0, and the step of its measurement.
    """

    slot: str
    blueprint: str
    removed: int | None = None
    boosts: dict[Seed, tuple[float, int]] = field(factory=dict, repr=False)

    def meet(self, other: Seed, interaction: float, step: int) -> None:
        """Record one measured interaction with another seed."""
        if interaction > self.boosts.get(other, (0.0, 0))[0]:
            self.boosts[other] = (interaction, step)

    def helpers(self, step: int) -> list[dict[str, Any]]:
        """Return the helpers of a seed that is fossilized at `step`, the greatest boost first.

        Each has `slot`, `blueprint`, `alive` (still in the host), `boost` (a fraction of accuracy), `measured` (the
        step of that measurement) and `delay`: epochs from it to the fossilization, or, for a helper that is gone, from
        its removal.
        """
        ranked = sorted(self.boosts.items(), key=lambda entry: -entry[1][0])
        return [
            {
                "slot": helper.slot,
                "blueprint": helper.blueprint,
                "alive": helper.removed is None,
                "boost": boost,
                "measured": measured,
                "delay": step - (measured if helper.removed is None else helper.removed),
            }
            for helper, (boost, measured) in ranked
        ]


class Scaffolding:
    """The seeds of all environments in this episode, and the interactions between them."""

    def __init__(self, num_envs: int) -> None:
        self._living: list[dict[int, Seed]] = [{} for _ in range(num_envs)]
        self._helpers: list[dict[int, list[dict[str, Any]]]] = [{} for _ in range(num_envs)]

    def germinate(self, env: int, slot: int, seed: Seed) -> None:
        """Record a new seed."""
        self._living[env][slot] = seed

    def remove(self, env: int, slot: int, step: int) -> None:
        """Record that the seed of a slot was removed; a fossil is only where its host is restored."""
        self._living[env].pop(slot).removed = step
        self._helpers[env].pop(slot, None)

    def record(self, interactions: Tensor, step: Tensor, active: Tensor) -> None:
        """Record interactions `[E, N, N]`, NaN where unmeasured, of the active environments at step `[E]`."""
        measured = (interactions > 0) & active[:, None, None]
        for env, i, j in measured.nonzero().tolist():
            if i != j:
                seeds = self._living[env]
                seeds[i].meet(seeds[j], float(interactions[env, i, j]), int(step[env]))

    def fossilize(self, env: int, slot: int, step: int) -> None:
        """Record that the seed of a slot has become permanent."""
        self._helpers[env][slot] = self._living[env][slot].helpers(step)

    def helpers(self, env: int, slot: int) -> list[dict[str, Any]]:
        """Return the helpers of a fossil, as in `Seed.helpers`."""
        return self._helpers[env][slot]

    def summary(self, env: int) -> dict[str, float | list[float]]:
        """Return the fields of an episode's event: fossils with a helper, and boost and delay of every helper."""
        fossils = self._helpers[env].values()
        return {
            "scaffold/fossils": float(sum(bool(helpers) for helpers in fossils)),
            "scaffold/boost": [helper["boost"] for helpers in fossils for helper in helpers],
            "scaffold/delay": [float(helper["delay"]) for helpers in fossils for helper in helpers],
        }
