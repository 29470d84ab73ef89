"""What the others who played the same instance tell of a return: a baseline that leaves one out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field
from torch import Tensor

KEPT = 0.9
"""Share of what is known of the variances that is kept from update to update."""


@define
class LeaveOneOut:
    """The leave-one-out baseline (Kool et al., 2019; Ahmadian et al., 2024, arXiv:2402.14740), beside a critic.

    K rows, side by side, play the same instance, and nothing but their own actions tells them apart. Let
    u_i = G_i − V(s_0) be what the critic did not foresee of the return of row i, which has a part that the rows of an
    instance share, of variance σ_u², and one of its own, of variance σ_w². With c_i, the mean of the others' u, and
    β = σ_u² / (σ_u² + σ_w²/(K − 1)), the variance of u_i − β·c_i is least. β·c_i does not depend on what row i does, so
    it may join its baseline, in all states that are not terminal; β comes from earlier updates for the same reason.

    Both variances are those of an analysis of variance with one factor, over sums of squares of which `KEPT` is kept
    from update to update. Nothing is ever divided by the spread of an instance's own returns (Liu et al., 2025,
    arXiv:2503.20783).

    Attributes:
        repeats: K, at least 2.
    """

    repeats: int
    _squares: dict[str, float] = field(factory=lambda: dict.fromkeys(("between", "within"), 0.0), init=False)
    _degrees: dict[str, float] = field(factory=lambda: dict.fromkeys(("between", "within"), 0.0), init=False)
    _seen: Tensor | None = field(default=None, init=False)

    @property
    def within(self) -> float:
        """σ_w², of what rows of one instance do not share; 0 while nothing is known."""
        return self._mean("within")

    @property
    def between(self) -> float:
        """σ_u², of what they share; 0 while nothing is known."""
        return max(0.0, (self._mean("between") - self.within) / self.repeats)

    @property
    def weight(self) -> float:
        """β, from 0 to 1; 0 while nothing is known."""
        noise = self.between + self.within / (self.repeats - 1)
        return self.between / noise if noise > 0.0 else 0.0

    @property
    def variance_ratio(self) -> float | None:
        """Variance of u_i − β·c_i as a share of that of u_i, by the formula; None while nothing is known."""
        between, within, weight = self.between, self.within, self.weight
        if (total := between + within) <= 0.0:
            return None
        return ((1 - weight) ** 2 * between + within * (1 + weight**2 / (self.repeats - 1))) / total

    def shift(self, surprise: Tensor) -> Tensor:
        """Return β·c_i `[E]` of u_i `[E]`, and remember these for `learn`."""
        self._seen = surprise
        groups = surprise.view(-1, self.repeats)
        others = (groups.sum(1, keepdim=True) - groups) / (self.repeats - 1)
        return self.weight * others.reshape(-1)

    def learn(self) -> dict[str, float | None]:
        """Take in the u_i of the update that is done; return its metrics, with the β that it was played with."""
        used, ratio = self.weight, self.variance_ratio
        assert self._seen is not None, "an update has advantages before it is learned from"
        groups = self._seen.double().view(-1, self.repeats)
        means = groups.mean(1)
        found = {
            "between": (self.repeats * float((means - means.mean()).square().sum()), len(groups) - 1),
            "within": (float((groups - means.unsqueeze(1)).square().sum()), len(groups) * (self.repeats - 1)),
        }
        for name, (squares, degrees) in found.items():
            self._squares[name] = KEPT * self._squares[name] + squares
            self._degrees[name] = KEPT * self._degrees[name] + degrees
        variances = {"surprise_between": self.between, "surprise_within": self.within}
        return {"leave_one_out_weight": used, "leave_one_out_variance": ratio, **variances}

    def state(self) -> dict[str, Any]:
        """Return what is known of the variances, JSON-able."""
        return {"squares": dict(self._squares), "degrees": dict(self._degrees)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self._squares, self._degrees = dict(state["squares"]), dict(state["degrees"])

    def _mean(self, name: str) -> float:
        return self._squares[name] / self._degrees[name] if self._degrees[name] else 0.0
