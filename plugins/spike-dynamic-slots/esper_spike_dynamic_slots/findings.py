"""Measurements of the checks: the matrix of checkpoints, and what changes with the number of slots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from esper_spike_dynamic_slots.categories import SAVED_SLOTS
from esper_testing.spikes.engine import SLOTS_PARAMETER, Measurement

Table = dict[int, Any]
"""Slot count → number."""

HEALTHY_CLIP = 0.3
"""Clip fraction up to which an update is not cut short much."""


@frozen
class Findings:
    """Properties that the checks recorded in one run."""

    measurements: tuple[Measurement, ...]

    def table(self, name: str) -> Table:
        """Return slot count → number for a quantity, as far as it was measured."""
        found = [m for m in self.measurements if m.name == name and m.value is not None]
        return dict(sorted((m.params[SLOTS_PARAMETER], m.value) for m in found))

    def compatibility(self, slots: Sequence[int]) -> dict[str, dict[str, bool | None]]:
        """Return whether checkpoints load: saved with N → loaded with N → yes or no; None where that is unknown."""
        cells = self._cells("loads")
        if not cells:
            return {}
        return {str(saved): {str(here): cells.get((saved, here)) for here in slots} for saved in slots}

    @property
    def refusal(self) -> str:
        """Message of a refusal off the diagonal; empty if nothing is refused."""
        texts = [text for (saved, here), text in self._cells("refusal").items() if saved != here]
        return str(texts[0]) if texts else ""

    @property
    def portable(self) -> int:
        """Parameters that fit every slot count that was tried, as the network says they do; 0 where it does not."""
        return int(max(self._cells("portable weights").values(), default=0))

    def _cells(self, name: str) -> dict[tuple[int, int], Any]:
        found = [m for m in self.measurements if m.name == name and SAVED_SLOTS in m.params]
        return {(m.params[SAVED_SLOTS], m.params[SLOTS_PARAMETER]): m.value for m in found}

    def hyperparameters(self) -> list[dict[str, Any]]:
        """Return what a change of the slot count does to settings: name, reason, what was measured, recommendation."""
        return [row for row in (self._entropy(), self._learning_rate(), self._clip()) if row is not None]

    def _entropy(self) -> dict[str, Any] | None:
        largest, normalised = self.table("largest slot entropy"), self.table("largest normalised slot entropy")
        if not largest:
            return None
        choices = [value for count, value in normalised.items() if count > 1]
        constant = bool(choices) and max(choices) - min(choices) < 1e-3
        return {
            "name": "entropy coefficient",
            "reason": "the largest entropy of the slot head is ln N",
            "measured": {
                "largest slot entropy": _keyed(largest),
                "largest bonus per coefficient": _keyed(normalised),
                "slot entropy at the start, of its largest": _keyed(self.table("slot entropy at the start")),
            },
            "recommendation": "keep: the loss is paid for entropy divided by ln(legal entries), equally for every N > 1"
            if constant
            else "tune again for every N",
        }

    def _learning_rate(self) -> dict[str, Any] | None:
        norms, actions = self.table("grad_norm"), self.table("joint actions")
        if not norms and not actions:
            return None
        return {
            "name": "learning rate",
            "reason": "more slots are more joint actions, and a step moves more of them",
            "measured": {
                "joint actions": _keyed(actions),
                "gradient norm, mean of 10 updates": _keyed(norms),
                "KL of an update, mean of 10": _keyed(self.table("kl")),
            },
            "recommendation": _change("gradient norm", norms, "keep", "compare learning rates before longer runs"),
        }

    def _clip(self) -> dict[str, Any] | None:
        fractions, ratios = self.table("clip_fraction"), self.table("ratio_max")
        if not fractions and not ratios:
            return None
        worst = max(fractions.values(), default=math.nan)
        if math.isnan(worst):
            advice = "the loss reports no clip_fraction: watch ratio_max while training"
        elif worst > HEALTHY_CLIP:
            advice = f"{worst:.0%} of the ratios are clipped: lower train.lr or raise the loss's clip"
        else:
            advice = f"keep: at most {worst:.1%} of the ratios are clipped; watch clip_fraction while training"
        return {
            "name": "PPO clip",
            "reason": "the joint ratio is a product over factored heads",
            "measured": {
                "clip fraction, mean of 10 updates": _keyed(fractions),
                "largest joint ratio of 10 updates": _keyed(ratios),
            },
            "recommendation": advice,
        }

    def credit(self) -> list[str]:
        """Return what was measured of credit assignment, one sentence each."""
        sentences = []
        actions = self.table("joint actions")
        if len(actions) > 1:
            few, many = min(actions), max(actions)
            factor = actions[many] / actions[few]
            sentences.append(
                f"There are {actions[few]:,} joint actions at N={few} and {actions[many]:,} at N={many}, {factor:.1f} "
                "times as many."
            )
        choices, steps = self.table("slot choices"), self.table("steps")
        if choices:
            shares = ", ".join(
                f"{choices[count]:.0f} of {steps[count]:.0f} (N={count}, {choices[count] / count:.1f} per slot)"
                for count in choices
            )
            sentences.append(f"Steps of one update of short episodes at which there was a choice of slots: {shares}.")
        first, last = self.table("reward at first"), self.table("reward at last")
        for count in first:
            sentences.append(
                f"Where only the last of {count} slots pays, an episode earned {first[count]:.2f} in the first update "
                f"and {last[count]:.2f} in the last three of ten."
            )
        return sentences


def _keyed(table: Mapping[int, Any]) -> dict[str, Any]:
    return {str(count): value if isinstance(value, int) else float(f"{value:.6g}") for count, value in table.items()}


def _change(what: str, table: Table, keep: str, otherwise: str) -> str:
    """Return a recommendation: keep a setting while a quantity differs by less than a factor of two."""
    values = [value for value in table.values() if value > 0]
    if len(values) < 2:
        return f"{what} was measured at one slot count only: compare with another before longer runs"
    factor = max(values) / min(values)
    said = f"the {what} differs by a factor of {factor:.2g}"
    return f"{keep if factor < 2 else otherwise}: {said}"


def measured(quantity: str, values: Mapping[str, Any]) -> str:
    """Return a quantity with its value at every slot count as text."""
    texts = [f"{value:,} (N={n})" if isinstance(value, int) else f"{value:.4g} (N={n})" for n, value in values.items()]
    return f"{quantity}: {', '.join(texts)}"
