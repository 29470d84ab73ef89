"""How components meet: the values they exchange and the protocols they fulfil.

Axes: E environments, T steps, D observation width, N slots, O operations, K categories of a head, H latent width.
Sequences are `[E, T, ...]` everywhere. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from attrs import define, field, frozen

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.share import Share
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import StateSpec

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

State = Mapping[str, "Tensor"]
"""An environment's published state: name → tensor `[E, ...]`."""

Say = Callable[[str], None]
"""Receives one line for people about what is being done."""


class Features(NamedTuple):
    """What a network sees.

    Attributes:
        obs: Numbers, float `[..., D]`.
        indices: Categories to embed, int64 `[..., width]` per name; −1 means none.
        arrays: Arrays to take in as they are, such as images: float or uint8 `[..., *shape]` per name.
        privileged: What an environment tells critics alone, float `[..., P]`; None where it is not told, as in acting.
            It is added to what an extractor returns, and taken away from what a network gets.
    """

    obs: Tensor
    indices: dict[str, Tensor]
    arrays: Mapping[str, Tensor] = {}
    privileged: Tensor | None = None


class Masks(NamedTuple):
    """Legal actions.

    Attributes:
        heads: Per categorical head, bool `[..., K]`. The slot head's entry is the union over legal operations.
        slot_given_op: Legality of each slot given each operation, bool `[..., O, N]`; None without a slot head.
    """

    heads: dict[str, Tensor]
    slot_given_op: Tensor | None = None


class LSTMState(NamedTuple):
    """Recurrent state of an LSTM, both `[layers, E, H]`."""

    h: Tensor
    c: Tensor


class NetworkOutput(NamedTuple):
    """What a network returns: the critic's input `[E, T, H]`, raw logits per head, and the last state.

    Of a head of K categories the logits are `[E, T, K]`; of one of n numbers they are means and log standard
    deviations, `[E, T, 2n]`. Both are `[E, T, head.size]`. Those of the slot may be given each operation,
    `[E, T, O, N]`; otherwise all operations share them.
    """

    latent: Tensor
    logits: dict[str, Tensor]
    state: Any


class Values(NamedTuple):
    """What a critic returns, in normalised return units.

    Attributes:
        value: `[E, T]`, the state's value: baseline of GAE and of the operation's advantage.
        q_taken: `[E, T]`, the value of the operation taken, regressed on returns.
        by_op: `[E, T, O]`, or None for a critic that does not look at the operation. Its mean under the policy is the
            value of a state in which nothing was done, the last of a truncated episode; without it that is `value`.
    """

    value: Tensor
    q_taken: Tensor
    by_op: Tensor | None


@frozen
class Origin:
    """What made a part: the module of the factory, which may return an object of another's class, and its options."""

    module: str
    options: Mapping[str, Any]


@frozen
class BuildContext:
    """What a factory may know about what it is built into. Fields are filled in build order.

    Attributes:
        actions, state_spec: The environment's action table and published state.
        feature_schema: Layout of the observation; None while features are built.
        latent_dim: Width of the network's latent; 0 until the network is built.
        gamma: The trainer's discount.
        privileged: Numbers that the environment tells critics alone, P.
        num_envs: Rows that run side by side, E.
        share: Which of the rows of the run these are, where others play the rest; None where they are all.
        device, dtype: Those of torch, for observations and weights.
        precision: What networks may compute in, one of `esper_core.contracts.precision.PRECISIONS`.
        parts: Components built before this one: kind → object; for a kind used several times, name → object.
        origins: What made them, by kind.
    """

    slots: SlotConfig
    actions: ActionSpec
    state_spec: StateSpec
    feature_schema: FeatureSchema | None
    latent_dim: int
    gamma: float
    num_envs: int
    seed: int
    device: str
    dtype: torch.dtype
    precision: str = "float32"
    parts: Mapping[str, Any] = field(factory=dict)
    origins: Mapping[str, tuple[Origin, ...]] = field(factory=dict)
    share: Share | None = None
    privileged: int = 0

    @property
    def rows(self) -> Share:
        """Which of the rows of the run are played here."""
        return self.share or Share.whole(self.num_envs)


@runtime_checkable
class FeatureExtractor(Protocol):
    """Kind `features`: turns a state into what a network sees."""

    schema: FeatureSchema

    def __call__(self, state: State) -> Features:
        """Map a state of `[E, ...]` tensors to Features: `obs [E, D]`, `indices [E, width]`, `arrays [E, *shape]`.

        A state may be shown more than once, and nothing says in which rows an episode begins.
        """


@runtime_checkable
class PolicyNetwork(Protocol):
    """Kind `network`: a `torch.nn.Module` from features to a latent and one row of `head.size` numbers per head.

    One that reads `Features.arrays` provides `network:arrays`; no other is planned with features that have some.

    One that provides `network:any-slots` has the same parameters for every N, and knows of a slot nothing but what it
    sees of it: which one it is would have to be a feature. It leaves out slots whose feature `present` is 0.
    """

    latent_dim: int
    input_dim: int

    def initial_state(self, num_envs: int) -> Any:
        """Return the recurrent state at an episode start: a NamedTuple of tensors with the batch at dimension 1."""

    def __call__(self, features: Features, state: Any, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps. Where `episode_start [E, T]` is true the state is zeroed before the step."""


@runtime_checkable
class Critic(Protocol):
    """Kind `critic`: a `torch.nn.Module` from the latent to values.

    One with an attribute `privileged` above 0, the P of its `BuildContext`, is called with a fourth argument,
    `privileged [E, T, P]`, what the environment tells critics alone. That is None where nothing is told, as wherever a
    policy acts; then it says what it can. No gradient and no value of it reaches network or policy.
    """

    def __call__(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        """Return values for `latent [E, T, H]`.

        `op_probs [E, T, O]` are the detached probabilities of the operations (0 where illegal) and `op [E, T]` the
        operations taken; both are None without a root head.
        """

    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Change the output layer so that predictions in return units stay the same under the new statistics."""


@runtime_checkable
class MaskProvider(Protocol):
    """Kind `masks`: which actions are legal in a state."""

    def __call__(self, state: State) -> Masks:
        """Map a state of `[E, ...]` tensors to Masks of `[E, ...]`."""


@define
class LossResult:
    """Value of a loss: the scalar to minimise, and detached scalars or numbers by name; NaN where undefined.

    `kl` is the exact joint KL(old ‖ new), mean over valid steps; compared with the loss's `target_kl` to stop early.
    """

    loss: Tensor
    kl: Tensor
    metrics: Mapping[str, Tensor | float]


@runtime_checkable
class Loss(Protocol):
    """Kind `loss`: stored rollout + fresh evaluation → scalar and metrics; `Scheduled` if its settings change."""

    target_kl: float | None

    def __call__(self, batch: Any, evaluation: Any) -> LossResult:
        """Compare `esper_core.learning.rollout.Sequences` with `esper_core.policy.policy.Evaluation`."""


@runtime_checkable
class Scheduled(Protocol):
    """A loss that is told which update begins. It must remember nothing else, so that a run can go on exactly."""

    def begin(self, update: int) -> None:
        """Receive the number of the update, from 1 on, before its first gradient step."""


@runtime_checkable
class Environment(Protocol):
    """Kind `environment`: a `gymnasium.vector.VectorEnv` that speaks tensors.

    What it returns is checked at every step: a wrong name, shape or dtype ends the run with an error that names it.

    `AutoresetMode.DISABLED`: an episode that ended stays ended until `reset`; later steps of it are padding, which
    return reward 0 and report nothing.

    A row is what acts: an environment of its own, or one of the agents of a match, whose rows lie side by side. A row
    may end before its match; once all rows of a match have ended, a step changes nothing in their state.

    It may also have `board` (`esper_core.contracts.board.HasBoard`), to be looked at while it trains, be an `Evaluable`
    (see docs/evaluation.md), have `circumstances` (`HasCircumstances`), be `Bridged`, so that policies predict, and be
    `esper_core.contracts.sides.TwoSided`, so that policies play each other.
    """

    num_envs: int
    horizon: int
    actions: ActionSpec
    state_spec: StateSpec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[State, dict[str, Any]]:
        """Start new episodes everywhere; return state and info, as in `step`. A seed restarts every random stream.

        One whose description says `restarts` takes `options={"reset_mask": mask}`, a numpy array of bool `[E]`:
        episodes start where it is true, always in whole matches, and all other rows stay as they are; the state is that
        of all. `info["absent"]`, bool `[E]`, where there is one, says which of the rows that start take no part in
        the episode: they have ended from its beginning.
        """

    def step(self, actions: Mapping[str, Tensor]) -> tuple[State, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step with int64 `[E]` per categorical head and float32 `[E, n]`, within bounds, per continuous one.

        Returns state, reward `[E]`, terminated `[E]`, truncated `[E]`, info; `info["events"]` is a list of dicts with
        at least `env`, `step` and `type`, and holds what JSON can; numpy scalars and tensors of no dimension become
        numbers. What an event of type `episode` holds becomes metrics of the update: numbers and truth values are
        averaged over the episodes, and those in lists, which hold nothing else, pooled. An event that names a `slot`
        and a `stage` says what became of that slot; reports draw it in the words of the description's `slot_words`.
        `info["seconds"]`, where there is one, says where the time of this call went: phase → seconds, such as
        `simulation`; what no phase names is booked under `environment`.

        Where the description names something `privileged`, `info["privileged"]`, of `reset` too, is float `[E, P]`, in
        the order of these names: what a critic may know while it learns, and a policy may not.
        """

    def close(self) -> None:
        """Free workers."""


@runtime_checkable
class Shareable(Protocol):
    """An environment with a state that can play a share of the rows of a run; its description says `shares`.

    It does in its rows what it would do there if it played all of them (`BuildContext.rows` says which they are), and
    the events of a step are told row by row.
    """

    def joined(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the `state()` of all rows, of those of the shares in their order."""

    def parted(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `load_state` takes for the rows here, of the `state()` of all rows."""


@runtime_checkable
class Evaluable(Protocol):
    """An environment on which policies and rules can be compared. Others need not be one.

    Its `reset` takes `options={"instances": [...]}`, one instance per environment. The number of an instance determines
    all that is random about its episode; nothing about the other environments of a batch changes it.
    """

    def held_out(self, count: int) -> list[int]:
        """Return numbers of instances that no training draws, always the same ones; more are those and others."""

    def outcomes(self) -> dict[str, Tensor]:
        """Return the results of each episode, once all have ended: float64 `[E]` by name, as the description has them.

        It is called once per episode, since what is held back from training, such as a test split, is read here.
        """


@runtime_checkable
class Replayable(Protocol):
    """An `Evaluable` environment in which something can be made permanent; its description says `replayable`.

    `reset` with `options={"instances": [...], "topologies": [...]}` has these topologies in place from the first step.
    """

    def topologies(self) -> list[Any]:
        """Return what was made permanent in each environment, JSON-able, as `reset` takes it."""


@runtime_checkable
class Rendered(Protocol):
    """An environment that can be looked at, such as to film an episode. Others need not be one."""

    def show(self) -> float:
        """Make row 0 ready to be looked at, before a reset; return how many frames a second are its own pace.

        Raises UserError where that is not possible with its options, or something is not installed.
        """

    def frame(self) -> NDArray[Any]:
        """Return how row 0 looks now, uint8 `[height, width, 3]`; raises UserError as `show` does."""


@runtime_checkable
class HasCircumstances(Protocol):
    """An environment whose episodes depend on more than its plan and the code it is made of.

    Episodes that were played under other circumstances are never compared with these: they are played again.
    """

    def circumstances(self) -> Mapping[str, str]:
        """Return what that is, before any reset: name → what it is here, such as the kernels it computes with."""


class Bridge(Protocol):
    """How observations of another library become states, and indices by head its actions; it holds no simulator."""

    def to_state(self, observations: Any, action_masks: Any = None) -> tuple[State, bool]:
        """Return the state `[E, ...]` of a batch of E observations, or of one, E = 1, and whether it is a batch.

        Raises UserError where they do not fit, or where masks, one per observation, do not fit or are missing.
        """

    def to_actions(self, actions: Mapping[str, Tensor]) -> NDArray[Any]:
        """Return the library's actions `[E, ...]` of those that `Environment.step` takes."""


@runtime_checkable
class Bridged(Protocol):
    """An environment whose policies act on observations of another library, with `Player.predict`."""

    def bridge(self) -> Bridge:
        """Return how; called once, on an environment that was just built and is closed then."""


@runtime_checkable
class Rule(Protocol):
    """Kind `rule`: a policy without parameters."""

    def reset(self, num_envs: int) -> None:
        """Forget earlier episodes."""

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return actions by head, as `Environment.step` takes them."""


@runtime_checkable
class Observer(Protocol):
    """Kind `observer`: watches a run, and changes nothing about it. Its factory is called as `factory(config, None)`.

    One that raises is off for the rest of the run, and training goes on.
    """

    def on_start(self, run: Any) -> None:
        """Receive the `esper_core.runs.directory.RunDirectory` before the first update."""

    def on_update(self, update: Any) -> None:
        """Receive an `esper_core.learning.trainer.Update` that has been written down."""

    def on_finish(self, run: Any) -> None:
        """Receive the run after its last update, also when it was stopped or failed."""
