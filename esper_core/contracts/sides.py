"""Environments with two sides: what drives the other one, and who chooses that. Importing this imports no torch.

Axes: M matches, R those of them that one driver drives, and `rows` of a match and side, which lie side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from esper_core.contracts.protocols import FeatureExtractor, MaskProvider, State

MATCH = "match"
"""Type of the event that says how a match ended against an opponent that was set."""


@runtime_checkable
class Driver(Protocol):
    """Drives the other side of some matches. What it does in one depends on no other; it survives pickling."""

    @property
    def name(self) -> str:
        """Unique among the drivers that are set, such as the id of whose policy it is.

        Drivers of one name do the same, or are stages of one that learns.
        """

    def initial_memory(self, matches: int) -> Any:
        """Return what is remembered before the first step of so many matches.

        That is a tuple of tensors `[layers, matches·rows, …]`, an empty one for a driver that remembers nothing.
        """

    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        """Return actions by head, `[R·rows, …]` as `Environment.step` takes them, and what is remembered after them.

        Args:
            state: What the other side perceives, as a learner there would, `[R·rows, …]` by name.
            memory: What was returned at the last step of these matches, `initial_memory` where they begin.
            begins: Where a match begins, bool `[R·rows]`.
            noise: float64 `[R·rows, K]` in [0, 1), one for each number of an action (`ActionSpec.width`). A row's
                depend on the seed of its match, the step, its side and its place alone; whoever draws takes these.
        """


@runtime_checkable
class TwoSided(Protocol):
    """An environment with sides, which its description names; it is `Evaluable`, and an instance is 2·seed + side.

    The side is that of the learner. Once opponents were set it emits one event per match that ended: type `match`,
    `opponent` (a name), `side` (that of the learner), `won` (1, 0.5 or 0, by the learner), `instance`, and `env` and
    `step` as every event. `esper_core.learning.opponents.OtherSide` does nearly all of it.
    """

    @property
    def learner_side(self) -> NDArray[np.int64]:
        """Which side the rows of each match are, int64 `[M]`, into the description's `sides`."""

    @property
    def opponents(self) -> tuple[str, ...]:
        """Names of those who drive the other side of the matches in progress."""

    def set_opponents(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Let every match that begins from now on draw one of these from its seed, with these weights.

        A match in progress keeps the driver of its name, then the new object with the old memory; where none has that
        name any more, it finishes with the old one. After `load_state` there is no old one: then every name in
        `opponents` must be among these, with weight 0 if no new match is to draw it.

        Raises:
            ValueError: there is no driver, two have one name, or weights cannot be.
            EsperError: a driver is missing that a match needs to go on.
        """


@runtime_checkable
class Opponents(Protocol):
    """Kind `opponents`: chooses before every rollout whom the learner plays against. It is `Resumable`.

    It is built last, so that its context has the environment in `parts`. It may be one that `JoinsPlan`, and that
    `KeepsCheckpoints`.
    """

    def begin(
        self, update: int, policy: Any, features: FeatureExtractor, masks: MaskProvider
    ) -> tuple[Sequence[Driver], Sequence[float]]:
        """Return drivers and weights, as `TwoSided.set_opponents` takes them, for the rollout of an update.

        The learner's own `policy` (`esper_core.policy.policy.Policy`), `features` and `masks` go on changing: who makes
        a driver of them copies them. The first call after `load_state` also returns, with weight 0 at least, every
        driver that a match in progress may need.
        """

    def played(self, update: int, events: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """Receive the events of type `match` of that rollout; return metrics."""

    def state(self) -> dict[str, Any]:
        """Return what later opponents depend on, such as draws and weights; see `Resumable`."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""


@runtime_checkable
class JoinsPlan(Protocol):
    """Opponents that need to know what is trained, such as to find out whether they can play in its environment."""

    def join(self, plan: Any, index: Any) -> None:
        """Receive the plan of a run and what is installed, before anything else; raises EsperError where they must.

        They are an `esper_core.composition.plan.Plan` and an `esper_core.registry.index.Index`.
        """


@runtime_checkable
class KeepsCheckpoints(Protocol):
    """Opponents that want to know of the checkpoints of a run, such as to play against what the learner was."""

    def saved(self, run: Any, checkpoint: Path) -> None:
        """Receive the folder of a checkpoint once it is complete, and again the one from which a run is resumed.

        `run` is its `esper_core.runs.directory.RunDirectory`.
        """
