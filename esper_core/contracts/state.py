"""What an environment publishes at every step: a table of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.tuples import as_tuple


@frozen
class StateField:
    """One tensor of the state, its unit and meaning in words, and the bounds of its values.

    Attributes:
        shape: Axes, each 'E' (environments), 'N' (slots), 'O' (operations) or a number.
        dtype: 'float', 'int', 'bool' or, for images, 'uint8'.
    """

    name: str
    shape: tuple[str | int, ...] = field(converter=as_tuple)
    dtype: str
    unit: str
    meaning: str
    low: float = 0.0
    high: float = 1.0

    def __attrs_post_init__(self) -> None:
        if self.dtype not in ("float", "int", "bool", "uint8"):
            raise ValueError(f"state field '{self.name}': dtype '{self.dtype}' is not float, int, bool or uint8")
        if not self.shape or self.shape[0] != "E":
            raise ValueError(f"state field '{self.name}': the first axis must be 'E'")

    def sizes(self, num_envs: int, num_slots: int, num_ops: int) -> tuple[int, ...]:
        """Return the shape with the axes filled in."""
        axes = {"E": num_envs, "N": num_slots, "O": num_ops}
        return tuple(axes[axis] if isinstance(axis, str) else axis for axis in self.shape)


@frozen
class StateSpec:
    """The table of everything an environment publishes; the environment is its only owner."""

    fields: tuple[StateField, ...] = field(converter=as_tuple)

    @property
    def names(self) -> tuple[str, ...]:
        """Keys of the state dict."""
        return tuple(f.name for f in self.fields)

    def __getitem__(self, name: str) -> StateField:
        if name not in self.names:
            raise KeyError(f"no state field '{name}'")
        return self.fields[self.names.index(name)]


@frozen
class Outcome:
    """One number that says what came of an episode, such as `test_accuracy`.

    Attributes:
        meaning: One line for people.
        by_mean: Arms are compared by its mean, not by the mean of the middle half: it has few values, as won and lost.
    """

    name: str
    unit: str
    meaning: str
    higher_is_better: bool
    by_mean: bool = False


@frozen
class SlotWords:
    """What an environment's events call the things that slots hold, so that reports can draw their lives.

    Such an event names a `slot` and a `stage`. It may also say how much its content takes part (`alpha`, from 0 to 1),
    how (`blend`), and how large it is (`parameters`, a count; None when the slot is empty again).

    Attributes:
        title: Heading of the chapter about them.
        content: Key of such an event with the content's name, and the word for it.
        thing, whole: Words for one thing in a slot, with an s as plural, and for what slots are parts of, if anything.
        whole_parameters: Key of the event `episode` that says how many parameters that has without them.
    """

    title: str = "What the slots held"
    content: str = "content"
    thing: str = "part"
    whole: str = ""
    whole_parameters: str = ""


@frozen
class EnvironmentDescription:
    """What is known of an environment before it is built; made by its torch-free `describe(config, slots)`.

    Attributes:
        horizon: Most steps of an episode, T.
        uses: Components it draws on by name, beyond one per kind: kind → names.
        outcomes: What `Evaluable.outcomes` returns. Arms are compared by the first, and drawn against the second.
        slot_words: What its events call the things in slots, where they tell of them.
        train: Settings of the trainer that suit it, by name, for whoever says nothing else; with `rollout_steps`, which
            may end in the middle of episodes, it must restart.
        restarts: Whether it begins episodes anew in some rows and leaves the others as they are, as
            `Environment.reset` has it.
        rows: Rows that a match has, one for each of its agents; `--envs` counts matches.
        replayable: Whether what an episode made permanent can be in place from the first step of another on
            (`esper_core.contracts.protocols.Replayable`).
        shares: Whether several processes can play a run together, each a share of its rows, with the same results
            (`BuildContext.rows`; one that keeps a state is `esper_core.contracts.protocols.Shareable`).
        privileged: What it tells critics alone, in `info["privileged"]`: name → meaning; each is one number, of about
            −1 to 1.
        repeats: Rows, side by side, that play the same instance in training; they must have the same beginning, and
            nothing but their actions may tell them apart.
        world: Fields of the state, of shape `("E",)` or `("E", "N")`, that say what an episode is of, such as how large
            its task is. They are the same at every step, so that who acts can be chosen by them at the first.
        sides: Names of the two sides of a match, none where there is one alone. Rows are those of the learner's; the
            environment is `esper_core.contracts.sides.TwoSided`.
    """

    actions: ActionSpec
    state: StateSpec
    horizon: int
    uses: Mapping[str, tuple[str, ...]] = field(factory=dict)
    outcomes: tuple[Outcome, ...] = field(default=(), converter=as_tuple)
    slot_words: SlotWords | None = None
    train: Mapping[str, Any] = field(factory=dict)
    restarts: bool = False
    rows: int = 1
    replayable: bool = False
    shares: bool = False
    privileged: Mapping[str, str] = field(factory=dict)
    repeats: int = 1
    world: tuple[str, ...] = field(default=(), converter=as_tuple)
    sides: tuple[str, ...] = field(default=(), converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        for name, least in (("horizon", 1), ("rows", 1), ("repeats", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"its {name} is {value!r}, not a whole number from {least} on")
        if self.train.get("rollout_steps") and not self.restarts:
            raise ValueError("it wants rollouts that are parts of episodes (rollout_steps), but does not restart rows")
        told = {entry.name: entry.shape for entry in self.state.fields if entry.shape in (("E",), ("E", "N"))}
        if absent := [name for name in self.world if name not in told]:
            raise ValueError(
                f"its world is {absent[0]!r}, among others, which is no field of shape ('E',) or ('E', 'N')"
            )
        if self.sides and (len(self.sides) != 2 or len(set(self.sides)) != 2 or not all(self.sides)):
            raise ValueError(f"its sides are {self.sides!r}, not the different names of two, or none")
