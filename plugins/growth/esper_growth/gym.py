"""`esper/Growth-v0`: growth for other libraries, one environment in numpy.

    import gymnasium
    import esper_growth.gym                                       # registers it

    environment = gymnasium.make("esper/Growth-v0", slots=5, epochs=40)

`gymnasium.make("esper_growth.gym:esper/Growth-v0")` does both.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from esper_core import SlotConfig
from esper_core.builtin.config import FlatConfig
from esper_core.builtin.flat import Flat
from esper_core.composition.build import build_beside
from esper_core.contracts.protocols import BuildContext, Masks, Origin
from esper_core.policy.legality import find_illegal, neutral
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_growth.config import GrowthConfig
from esper_growth.describe import describe
from esper_growth.make import growth
from esper_growth.masks import LifecycleMasks
from esper_growth.runtime import one_thread

ID = "esper/Growth-v0"


class GrowthEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.int64]]):
    """One host that is trained while seeds grow in its slots; an episode is `epochs` steps.

    The observation is a row of numbers from 0 to 1, `names` says what each is. An action has an index for each of the
    eight heads, in the order of `heads`. What is legal is in `info["action_mask"]` and returned by `action_masks()`:
    bool, head after head, `[Σ K]`. A mask per head cannot say which slots are legal for which operation: an action that
    is illegal although each of its parts is legal is WAIT, its `last_op_success` is 0 and `info["legal"]` false.

    Everything is computed by one thread: a forked process has none of its parent's thread pool, and would wait for it
    for ever.

    Args:
        slots: A count, or ids such as `r0c0,r0c2`.
        task, host: Names of components.
        gamma: Discount of whoever learns; the reward's shaping cancels out only under the same one.
        options: Those of the environment `growth`; see `esper policy show lstm-v2 --environment growth`.

    Raises:
        EsperError: a name or an option that does not exist.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    @one_thread()
    def __init__(
        self,
        slots: int | str = 3,
        task: str = "digits",
        host: str = "pointwise",
        gamma: float = 0.995,
        **options: Any,
    ) -> None:
        # One host needs no other process.
        config = GrowthConfig(**{"workers": 1, **options})
        context = _context(config, SlotConfig.parse(str(slots)), {"task": task, "host": host}, gamma)
        self._environment, self._masks = growth(config, context), LifecycleMasks(None, context)
        self._features, self._started = Flat(FlatConfig(), context), False
        self.actions = self._environment.actions
        schema = self._features.schema
        self.names, self.heads = schema.names, self.actions.names
        self.action_space = gymnasium.spaces.MultiDiscrete([head.size for head in self.actions.heads])
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (schema.dim,), np.float32)

    @one_thread()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a new episode on an instance drawn from the pool; `options={"instances": [7]}` names it instead."""
        super().reset(seed=seed)
        if seed is None and not self._started:
            seed = int(self.np_random.integers(2**31))
        self._started = True
        state, info = self._environment.reset(seed=seed, options=options)
        return self._look(state, {"instance": info["instances"][0]})

    @one_thread()
    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step: one epoch of the host."""
        wanted = {name: torch.tensor([int(value)]) for name, value in zip(self.heads, action, strict=True)}
        illegal = find_illegal(self.actions, self._legal, wanted)
        legal = not any(bool(value) for value in illegal.values())
        chosen = wanted if legal else neutral(self.actions, 1)
        state, reward, terminated, truncated, info = self._environment.step(chosen)
        if not legal:
            state = {**state, "last_op_success": torch.zeros_like(state["last_op_success"])}
        seen, said = self._look(state, {"legal": legal, "events": info["events"]})
        return seen, float(reward[0]), bool(terminated[0]), bool(truncated[0]), said

    def action_masks(self) -> NDArray[np.bool_]:
        """Return what is legal, bool `[Σ K]`, head after head; a head that nothing needs has its neutral value."""
        rows = []
        for head in self.actions.categorical:
            row = self._legal.heads[head.name][0].numpy().copy()
            row[head.neutral] |= not row.any()
            rows.append(row)
        return np.concatenate(rows)

    def close(self) -> None:
        """Close the environment within."""
        self._environment.close()

    def _look(self, state: dict[str, torch.Tensor], info: dict[str, Any]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self._legal: Masks = self._masks(state)
        return self._features(state).obs[0].numpy(), {**info, "action_mask": self.action_masks()}


def _context(config: GrowthConfig, slots: SlotConfig, chosen: dict[str, str], gamma: float) -> BuildContext:
    """Return what the environment is built into: task and host by name, and the blueprints its options name."""
    index, known = load_index(), describe(config, slots)
    parts: dict[str, Any] = {}
    origins: dict[str, tuple[Origin, ...]] = {}

    def context() -> BuildContext:
        return BuildContext(
            slots=slots,
            actions=known.actions,
            state_spec=known.state,
            feature_schema=None,
            latent_dim=0,
            gamma=gamma,
            num_envs=1,
            seed=0,
            device="cpu",
            dtype=torch.float32,
            parts=dict(parts),
            origins=dict(origins),
        )

    for kind, name in chosen.items():
        component = resolve(index, kind, name)
        parts[kind] = build_beside(component, index, context())
        origins[kind] = (Origin(component.spec.module, {}),)
    parts["blueprint"] = {
        label: build_beside(resolve(index, "blueprint", label), index, context()) for label in known.uses["blueprint"]
    }
    return context()


gymnasium.register(ID, entry_point="esper_growth.gym:GrowthEnv")
