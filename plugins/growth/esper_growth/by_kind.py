"""The rule `by-kind`: another rule for each kind of world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from esper_core.contracts.errors import ConfigError, did_you_mean
from esper_core.contracts.protocols import BuildContext, Masks, Rule
from esper_core.policy.legality import neutral
from esper_growth.config import ByKindConfig
from esper_growth.rules import AllOn, AllOnHeavy, Periodic, Plateau


class ByKind:
    """Kind `rule`: does in every row what the first rule does whose conditions its state fulfils.

    A condition is a state field of whole numbers, one per row, that does not change within an episode. It knows no more
    of a world than a policy that sees these fields.

    Raises:
        ConfigError: an entry cannot be read, or names a rule or a field that there is not.
    """

    def __init__(self, config: ByKindConfig, context: BuildContext) -> None:
        self.actions = context.actions
        fields = {f.name for f in context.state_spec.fields if f.shape == ("E",) and f.dtype == "int"}
        self._choices = [_entry(entry, fields) for entry in config.rules]
        self._otherwise = _known(config.otherwise)
        names = dict.fromkeys([*(name for _, name in self._choices), self._otherwise])
        self._rules: dict[str, Rule] = {name: RULES[name](None, context) for name in names}

    def reset(self, num_envs: int) -> None:
        """Begin new episodes."""
        for rule in self._rules.values():
            rule.reset(num_envs)

    def __call__(self, state: Mapping[str, Tensor], masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return actions, int64 `[E]` per head."""
        left = torch.ones_like(state["stage"][:, 0], dtype=torch.bool)
        chosen = []
        for conditions, name in [*self._choices, ({}, self._otherwise)]:
            where = left.clone()
            for field, value in conditions.items():
                where &= state[field] == value
            left &= ~where
            chosen.append((where, name))
        # Each rule sees every row, so that what it remembers of its own rows is complete.
        found = {name: rule(state, masks, generator) for name, rule in self._rules.items()}
        actions = {head: value.clone() for head, value in found[self._otherwise].items()}
        for where, name in chosen:
            for head, action in found[name].items():
                actions[head] = torch.where(where, action, actions[head])
        return actions


class Static:
    """Always waits."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.actions = context.actions

    def reset(self, num_envs: int) -> None:
        """Keep no state."""

    def __call__(self, state: Mapping[str, Tensor], masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the neutral action everywhere."""
        ops = masks.heads["op"]
        return neutral(self.actions, len(ops), ops.device)


RULES: Mapping[str, Any] = {
    "static": Static,
    "all-on": AllOn,
    "all-on-heavy": AllOnHeavy,
    "periodic": Periodic,
    "plateau": Plateau,
}
"""What it can choose from."""


def _entry(entry: str, fields: set[str]) -> tuple[dict[str, int], str]:
    """Return the conditions and the rule of `FIELD=NUMBER FIELD=NUMBER: RULE`."""
    said, colon, name = entry.rpartition(":")
    pairs = [word.partition("=") for word in said.split()]
    if not colon or not pairs or not all(value.strip().lstrip("-").isdigit() for _, _, value in pairs):
        raise ConfigError(
            f"rule.rules has '{entry}', which does not read FIELD=NUMBER …: RULE.",
            hint='An example: "axes=1 host_parameters=354: plateau".',
        )
    for field, _, _ in pairs:
        if field not in fields:
            raise ConfigError(
                f"rule.rules has '{entry}', but '{field}' is no state field of whole numbers."
                f"{did_you_mean(field, fields)}",
                hint=f"There are: {', '.join(sorted(fields))}.",
            )
    return {field: int(value) for field, _, value in pairs}, _known(name.strip())


def _known(name: str) -> str:
    if name not in RULES:
        raise ConfigError(
            f"The rule 'by-kind' knows no '{name}'.{did_you_mean(name, RULES)}", hint=f"There are: {', '.join(RULES)}."
        )
    return name
