"""What a measured figure should reach."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Target:
    """A bound on a figure.

    Attributes:
        figure: Name of the figure.
        bound: The least it should be; the most where smaller is better.
        smaller_is_better: The figure is a cost, such as a time.
        meaning: One line for people.
    """

    figure: str
    bound: float
    smaller_is_better: bool = field(default=False, kw_only=True)
    meaning: str = field(default="", kw_only=True)

    def is_reached(self, value: float) -> bool:
        """Return whether a measured value is as good as the bound."""
        return value <= self.bound if self.smaller_is_better else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.smaller_is_better else '≥'} {self.bound:g}"
