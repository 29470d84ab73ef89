"""Players: a trained policy that acts, from a checkpoint alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor

from esper_core.api.episodes import PlayerState, begin, fitting, take_state
from esper_core.api.installed import give_local, load_installed
from esper_core.api.planning import Slots, slots_text
from esper_core.api.predicting import open_bridge, take_starts
from esper_core.api.training import as_checkpoint
from esper_core.composition.build import ONLY_TRAINING, build_environment, build_parts, resolve_device
from esper_core.composition.plan import Plan, PlanDescription, describe_plan, owners_of
from esper_core.contracts.errors import UserError
from esper_core.contracts.foreign import Owners
from esper_core.contracts.protocols import Bridge, Environment, FeatureExtractor, Features, MaskProvider, Masks, State
from esper_core.contracts.slots import SlotConfig
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.policy.boundary import check_mask_form, check_tensor, take_features
from esper_core.policy.executed import executed
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import load_policy
from esper_core.runs.compatibility import check_fit
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import Header, read_header


class Player:
    """A trained policy that acts in any number of episodes side by side, E rows. `load` makes one.

    Attributes:
        plan: What the policy was trained with, and the slots that it plays with.
        known: Its slots, actions and observation, and the environment's state.
        policy: Network, critic and action table.
        notes: Differences between the checkpoint and what is installed that do not matter enough to refuse.
    """

    def __init__(
        self,
        plan: Plan,
        index: Index,
        policy: Policy,
        features: FeatureExtractor,
        masks: MaskProvider,
        normaliser: ReturnNormaliser,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.plan, self.policy, self.notes = plan, policy, notes
        self.known: PlanDescription = describe_plan(plan, index)
        self._index, self._masks, self._normaliser = index, masks, normaliser
        self._untouched = features
        self._now: PlayerState | None = None
        self._bridge: Bridge | None = None
        parameter = next(policy.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype

    # Playing --------------------------------------------------------------------------------------------------------

    def make_environment(self, envs: int | None = None, seed: int | None = None) -> Environment:
        """Return the environment that the policy was trained in, anew; close it after use.

        Args:
            envs: Environments side by side; as many as in training without.
            seed: Seed of its random streams; that of the run without. A `reset` with a seed starts them again.

        Raises:
            UserError: a number that is none.
            PluginError: it cannot be built.
        """
        envs = self.plan.envs if envs is None else envs
        seed = self.plan.seed if seed is None else seed
        for name, value in (("envs", envs), ("seed", seed)):
            if isinstance(value, bool) or not isinstance(value, int) or value < (name == "envs"):
                raise UserError(f"{name} cannot be {value!r:.80}.", hint="It is a whole number; envs is 1 at least.")
        plan = evolve(self.plan, envs=envs, seed=seed)
        environment: Environment = build_environment(plan, self._index).parts["environment"]
        return environment

    def reset(self, rows: int) -> None:
        """Begin new episodes side by side, as many as `rows`, and forget those before."""
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise UserError(f"A player cannot play {rows!r} episodes.", hint="Say how many environments there are.")
        self._now = begin(self.policy, self._untouched, rows)

    def reset_rows(self, mask: Tensor) -> None:
        """Begin a new episode where `mask`, bool `[E]`, is true; the other episodes go on."""
        now, mask = self._playing(), torch.as_tensor(mask, device=self.device)
        if mask.dtype != torch.bool or mask.shape != now.begins.shape:
            raise UserError(f"The mask is {mask.dtype} {list(mask.shape)}, not bool [{now.rows}].")
        self._now = evolve(now, begins=now.begins | mask)

    def act(
        self,
        state: State,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
        masks: Masks | None = None,
    ) -> dict[str, Tensor]:
        """Choose an action in every episode and go on to the next step.

        Args:
            state: What the environment published, `[E, ...]` by name.
            deterministic: Take the most probable entry of every head, and the mean of numbers, instead of drawing.
            generator: Source of randomness; torch's own without.
            masks: What is legal, `[E, ...]`; what the policy's own masks say of the state without.

        Returns:
            Actions by head, as `environment.step` takes them: indices int64 `[E]`, numbers float32 `[E, n]`.

        Raises:
            UserError: `reset` was not called, or the state is another environment's.
            PluginError: features, masks or network fail or break their contract.
        """
        actions, self._now = self._go_on(self._playing(), state, deterministic, generator, masks)
        return actions

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[NDArray[Any], Any]:
        """Choose actions as models of stable-baselines3 do, so that its `evaluate_policy` takes a player.

        The policy must have been trained in a Gymnasium environment. The player's own episodes, those of `reset` and
        `act`, are neither read nor changed. What is drawn comes from torch's own generator.

        Args:
            observation: One value of the environment's observation space, or a batch of E: `[E, *shape]`, in a Dict or
                Tuple space by its parts.
            state: What the last call returned, for as many episodes; None begins new ones.
            episode_start: Of which episodes this is the first step, bool `[E]`; their recurrent state is zeroed before.
            deterministic: Take the most probable action instead of drawing.
            action_masks: What is legal, one mask per observation, as `info` or `action_masks()` of the environment
                gives it. Only where the observation holds the mask, or everything is legal, it can be left out.

        Returns:
            Actions of the environment's action space, `[E, ...]`, or one for one observation, and the state for the
            next call, whose content is the player's business.

        Raises:
            UserError: the policy's environment has no observations of this kind; observation, state or masks do not
                fit, or masks are missing.
            PluginError: a part fails or breaks its contract.
        """
        owner = self.policy.owners["environment"]
        if self._bridge is None:
            self._bridge = open_bridge(self.make_environment(envs=1), owner)
        with owner.doing("translating observations"):
            seen, batched = self._bridge.to_state(observation, action_masks)
        rows = len(next(iter(seen.values())))
        now = begin(self.policy, self._untouched, rows) if state is None else fitting(state, self.policy, self.device)
        if now.rows != rows:
            raise UserError(f"The state is that of {now.rows} episodes, but there are {rows} observations.")
        if episode_start is not None:
            now = evolve(now, begins=now.begins | take_starts(episode_start, now.begins))
        chosen, after = self._go_on(now, seen, deterministic)
        with owner.doing("translating actions"):
            actions = self._bridge.to_actions(chosen)
        return (actions if batched else actions[0]), after

    @torch.no_grad()
    def values(self, state: State, privileged: Tensor | None = None) -> Tensor:
        """Return what the critic expects of the rest of each episode, `[E]`, in units of reward; `act` comes after.

        That is the discounted return. Nothing is remembered of the call. Arguments and errors are those of `act`;
        `privileged` is `info["privileged"]` of the environment, for a critic that was told it in training.
        """
        now = self._playing()
        features, masks = self._look(evolve(now, features=copy.deepcopy(now.features)), state, None)
        if self.policy.privileged and privileged is not None:
            owner, shape = self.policy.owners["environment"], (now.rows, self.policy.privileged)
            check_tensor(owner, "its info['privileged']", privileged, "float", shape)
            features = features._replace(privileged=privileged.to(features.obs))
        return self._normaliser.denormalise(self.policy.value(features, masks, now.recurrent, now.begins))

    def save(self) -> PlayerState:
        """Return a copy of what is remembered of the episodes; raises UserError before `reset`."""
        return copy.deepcopy(self._playing())

    def load(self, state: PlayerState) -> None:
        """Go on where `save` was called, on this or another player of the same policy; the state is copied.

        Raises:
            UserError: it is the state of another policy; the message names the first tensor that differs.
        """
        self._now = fitting(state, self.policy, self.device)

    def copy(self) -> Player:
        """Return another player of the same weights, which are shared, that is in no episode."""
        other = copy.copy(self)
        other._now = None
        return other

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _playing(self) -> PlayerState:
        if self._now is None:
            raise UserError(
                "The player is in no episode.", hint="Call player.reset(rows) with the number of environments first."
            )
        return self._now

    def _go_on(
        self,
        now: PlayerState,
        state: State,
        deterministic: bool,
        generator: torch.Generator | None = None,
        masks: Masks | None = None,
    ) -> tuple[dict[str, Tensor], PlayerState]:
        """Return an action per head, and what is remembered after it; arguments are those of `act`."""
        seen = self._look(now, state, masks)
        acted = self.policy.get_action(*seen, now.recurrent, deterministic, generator, now.begins)
        actions = executed(self.policy.actions, acted.actions)
        return actions, evolve(now, recurrent=acted.state, begins=torch.zeros_like(now.begins))

    def _look(self, now: PlayerState, state: State, masks: Masks | None) -> tuple[Features, Masks]:
        here = take_state(state, now.rows, self.plan.component("environment").name, self.known, self.device)
        owners: Owners = self.policy.owners
        with owners["features"].doing("looking"):
            found = now.features(here)
        schema = self._untouched.schema
        features = take_features(owners["features"], found, schema, now.rows, self._dtype, self.device)
        if masks is None:
            with owners["masks"].doing("saying what is legal"):
                masks = self._masks(here)
            check_mask_form(owners["masks"], masks, self.policy.actions, now.rows, self.device)
        return features, masks


def load(
    run: RunDirectory | str | Path,
    *,
    at: int | str = "last",
    device: str | None = None,
    slots: Slots = None,
    out: str | Path = "runs",
    use: Mapping[str, Any] | None = None,
) -> Player:
    """Load a trained policy from a checkpoint.

    Args:
        run: A run, its path, the beginning of its name in `out`, or the folder of one of its checkpoints.
        at: "last", "best" (the highest return), or the number of an update.
        device: torch device instead of the plan's.
        slots: A count, or ids such as `["r0c0", "r0c2"]`, to play with instead of those of training. The network must
            provide `network:any-slots`.
        out: Directory of runs, for a name.
        use: Classes and objects of one's own that the run was begun with: kind → class or object.

    Raises:
        UserError: there is no such run or checkpoint.
        CheckpointMismatch: it is damaged, or does not fit what is installed; the hint says what to install.
    """
    header = read_header(as_checkpoint(run, at, out))
    give_local(use, header.plan)
    text = slots_text(slots)
    chosen = None if text is None else SlotConfig.parse(text)
    return load_player(header, load_installed()[0], device=device, slots=chosen)


def load_player(
    header: Header,
    index: Index,
    *,
    device: str | None = None,
    slots: SlotConfig | None = None,
    plan: Plan | None = None,
) -> Player:
    """Return the player of a checkpoint whose header was read, with other slots or another plan; raises as `load`."""
    plan = plan or (header.plan if slots is None else header.plan.at(slots))
    if plan != header.plan:
        check_fit(header, plan, index)  # before anything is built that it cannot have
    plan = evolve(plan, device=resolve_device(device or plan.device))
    known, owners = describe_plan(plan, index), owners_of(plan, index)
    # Masks may ask for anything that the environment draws on.
    parts = build_parts(plan, index, only={*plan.kinds, *known.uses} - {"environment", *ONLY_TRAINING})
    policy = Policy(parts["network"], parts["critic"], known.actions, plan.precision, owners)
    normaliser = ReturnNormaliser(enabled=plan.train["normalise_returns"])
    notes = load_policy(header.path, policy, parts["features"], plan, index, normaliser)
    return Player(plan, index, policy, parts["features"], parts["masks"], normaliser, notes)
