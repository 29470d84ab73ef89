"""Rules: policies without learning, which a learned policy is compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_core.policy.legality import neutral
from esper_growth.actions import Op


class Growing(ABC):
    """Base of rules that decide for one environment after the other."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.actions = context.actions

    def reset(self, num_envs: int) -> None:  # noqa: B027
        """Keep no state."""

    def __call__(self, state: Mapping[str, Tensor], masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the rule's actions, int64 `[E]` per head."""
        ops = masks.heads["op"]
        actions = neutral(self.actions, len(ops), ops.device)
        assert masks.slot_given_op is not None, "growth's masks know the slots of each operation"
        for env in range(len(ops)):
            legal = {op: masks.slot_given_op[env, op].nonzero().flatten().tolist() for op in Op}
            op, slot, label = self._decide(env, state, legal, masks.heads["blueprint"][env].tolist())
            actions["op"][env], actions["slot"][env] = op, slot
            if op == Op.GERMINATE:
                actions["blueprint"][env] = self.actions.category("blueprint").labels.index(label)
        self._keep_to(masks, actions)
        return actions

    def _keep_to(self, masks: Masks, actions: dict[str, Tensor]) -> None:
        """Take the first legal value where a head matters, the rule has no opinion, and the neutral value is masked."""
        op = actions["op"]
        for head in self.actions.categorical:
            if head.name in ("op", "slot", "blueprint"):
                continue
            legal = masks.heads[head.name]
            relevant = torch.tensor(self.actions.relevance(head.name), device=op.device)[op]
            actions[head.name] = torch.where(
                relevant & ~legal[:, head.neutral], legal.int().argmax(dim=1), actions[head.name]
            )

    @abstractmethod
    def _decide(
        self, env: int, state: Mapping[str, Tensor], legal: dict[Op, list[int]], blueprints: list[bool]
    ) -> tuple[Op, int, str]:
        """Return operation, slot and, for GERMINATE, the blueprint of one environment.

        Args:
            env: The environment.
            state: What it publishes.
            legal: Slots that each operation may target.
            blueprints: Which labels of the blueprint head are legal.
        """


class AllOn(Growing):
    """Kind `rule`: one blueprint in every slot at once, made permanent as soon as it contributes."""

    LABEL = "conv_light"

    def _decide(
        self, env: int, state: Mapping[str, Tensor], legal: dict[Op, list[int]], blueprints: list[bool]
    ) -> tuple[Op, int, str]:
        if legal[Op.GERMINATE] and self._due(env, state):
            return Op.GERMINATE, legal[Op.GERMINATE][0], self._label(blueprints)
        for slot in legal[Op.FOSSILIZE]:
            if state["contribution"][env, slot] > 0:
                return Op.FOSSILIZE, slot, ""
        if legal[Op.ADVANCE]:
            return Op.ADVANCE, legal[Op.ADVANCE][0], ""
        return Op.WAIT, 0, ""

    def _due(self, env: int, state: Mapping[str, Tensor]) -> bool:
        return True

    def _label(self, blueprints: list[bool]) -> str:
        """Return its blueprint, or where it is illegal the first that is legal."""
        labels = self.actions.category("blueprint").labels
        if self.LABEL in labels and blueprints[labels.index(self.LABEL)]:
            return self.LABEL
        return labels[blueprints.index(True)]


class AllOnHeavy(AllOn):
    """Kind `rule`: like `all-on`, with the largest blueprint."""

    LABEL = "conv_heavy"


class Periodic(AllOn):
    """Kind `rule`: like `all-on`, but one slot every `PERIOD` epochs, whatever the host is doing."""

    PERIOD = 6

    def _due(self, env: int, state: Mapping[str, Tensor]) -> bool:
        return int(state["epoch"][env]) % self.PERIOD == 0


class Plateau(Growing):
    """Kind `rule`: grow when accuracy stalls, keep what contributes.

    Germinates the next blueprint of a fixed round once the host is stable and has not gained for `STALL` epochs;
    fossilizes a holding seed whose contribution exceeds half a point; prunes a seed after which accuracy fell by two
    points within its stage. Blueprints that were pruned are skipped while their penalty lasts.
    """

    ROUND = ("conv_light", "conv_heavy", "attention", "norm", "depthwise")
    STALL, FIRST_EPOCH, REST_AFTER_PRUNE = 3, 5, 5
    MIN_CONTRIBUTION, MAX_DROP, PRUNE_AFTER = 0.005, 0.02, 5
    PENALTY, DECAY, SKIP_ABOVE = 2.0, 0.5, 3.0

    def reset(self, num_envs: int) -> None:
        """Reset the state of all environments."""
        self._last_prune = [-self.REST_AFTER_PRUNE] * num_envs
        self._turn = [0] * num_envs
        self._penalty: list[dict[str, float]] = [{} for _ in range(num_envs)]
        self._stage_start: list[dict[int, tuple[int, float]]] = [{} for _ in range(num_envs)]

    def _decide(
        self, env: int, state: Mapping[str, Tensor], legal: dict[Op, list[int]], blueprints: list[bool]
    ) -> tuple[Op, int, str]:
        epoch, accuracy = int(state["epoch"][env]), float(state["accuracy"][env])
        self._penalty[env] = {label: p * self.DECAY for label, p in self._penalty[env].items()}
        starts = self._stage_start[env]
        for slot, stage in enumerate(state["stage"][env].tolist()):
            if slot not in starts or starts[slot][0] != stage:
                starts[slot] = (stage, accuracy)
        for slot in legal[Op.FOSSILIZE]:
            if state["contribution"][env, slot] > self.MIN_CONTRIBUTION:
                return Op.FOSSILIZE, slot, ""
        if legal[Op.ADVANCE]:
            return Op.ADVANCE, legal[Op.ADVANCE][0], ""
        for slot in legal[Op.PRUNE]:
            waited = int(state["epochs_in_stage"][env, slot])
            if waited >= self.PRUNE_AFTER and accuracy < starts[slot][1] - self.MAX_DROP:
                label = self.actions.category("blueprint").labels[int(state["blueprint"][env, slot])]
                self._penalty[env][label] = self._penalty[env].get(label, 0.0) + self.PENALTY
                self._last_prune[env] = epoch
                return Op.PRUNE, slot, ""
        rested = epoch - self._last_prune[env] >= self.REST_AFTER_PRUNE
        stalled = bool(state["stabilized"][env]) and int(state["plateau_epochs"][env]) >= self.STALL
        if legal[Op.GERMINATE] and rested and stalled and epoch >= self.FIRST_EPOCH:
            label = self._next_blueprint(env, blueprints)
            if label:
                return Op.GERMINATE, legal[Op.GERMINATE][0], label
        return Op.WAIT, 0, ""

    def _next_blueprint(self, env: int, blueprints: list[bool]) -> str:
        labels = self.actions.category("blueprint").labels
        for _ in self.ROUND:
            label = self.ROUND[self._turn[env] % len(self.ROUND)]
            self._turn[env] += 1
            installed = label in labels and blueprints[labels.index(label)]
            if installed and self._penalty[env].get(label, 0.0) <= self.SKIP_ABOVE:
                return label
        return ""
