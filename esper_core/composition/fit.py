"""Whether components fit together, decided before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from esper_core.composition.blocks import action_blocks, changed_blocks, observed_blocks
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import IncompatiblePlan, did_you_mean
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.state import EnvironmentDescription, StateSpec
from esper_core.registry.index import Component, Index

READS_ARRAYS = "network:arrays"
"""What a network provides that reads `Features.arrays`."""

ANY_SLOTS = "network:any-slots"
"""What a network provides whose weights, and what they mean, do not depend on the number of slots."""

OPPONENTS = "opponents"
"""The kind that plays the other side of an environment that has two."""

TEACHER = "rule"
"""Kind of what teaches, where a plan has one."""

OP_LOGITS = "network:op-logits"
"""What a network provides whose logits decide the operation, wherever actions have one."""


def check_reads(components: Sequence[Component], environment: Component, state: StateSpec) -> None:
    """Check that the environment publishes every state field that a component reads; raises IncompatiblePlan."""
    for component in components:
        if missing := [name for name in component.spec.reads if name not in state.names]:
            fields = f"state field{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
            message = f"{component} reads the {fields}, which {environment} does not publish."
            there = f"{environment.name} publishes: {', '.join(state.names)}."
            hint = f"Choose another with --use {component.kind}=NAME. {there}"
            raise IncompatiblePlan(f"{message}{did_you_mean(missing[0], state.names)}", hint=hint)


def check_restarts(environment: Component, known: EnvironmentDescription, rollout_steps: int | None) -> None:
    """Check that rollouts may end in the middle of episodes, if they are to; raises IncompatiblePlan."""
    if rollout_steps and not known.restarts:
        raise IncompatiblePlan(
            f"train.rollout_steps is {rollout_steps}, but {environment} plays whole episodes only: it cannot begin one "
            "in some rows while others are in the middle of theirs.",
            hint="Leave train.rollout_steps out, or set it to 0.",
        )


def check_repeats(environment: Component, known: EnvironmentDescription, envs: int, train: Mapping[str, Any]) -> None:
    """Check that rows can be compared that play the same instance; raises IncompatiblePlan."""
    repeats = known.repeats
    if envs % repeats:
        raise IncompatiblePlan(
            f"--envs is {envs}, but {environment} plays every instance in {repeats} rows.",
            hint=f"Choose a multiple: --envs {-(-envs // repeats) * repeats}.",
        )
    if train["leave_one_out"] and (repeats < 2 or known.rows > 1 or train["rollout_steps"] or envs < 2 * repeats):
        raise IncompatiblePlan(
            f"train.leave_one_out compares whole episodes of one instance, of two instances at least; here "
            f"{environment} plays each in {repeats}, and --envs is {envs}.",
            hint="Set environment.repeats, where the environment has it, to K, --envs to 2·K or more, and "
            "train.rollout_steps to 0.",
        )


def check_sides(
    components: Sequence[Component],
    environment: Component,
    known: EnvironmentDescription,
    two_sided: Callable[[], Sequence[str]],
) -> None:
    """Check that there is another side where opponents are to play one; raises IncompatiblePlan."""
    for component in components if not known.sides else ():
        if component.kind == OPPONENTS:
            names = two_sided()
            there = f"Choose one that has with --use environment=NAME: {', '.join(names)}."
            raise IncompatiblePlan(
                f"{component} plays the other side of a match, but {environment} has no two sides.",
                hint=there if names else "No environment here has two sides.",
            )


def check_capabilities(components: Sequence[Component], index: Index) -> None:
    """Check that every required capability is provided by another component; raises IncompatiblePlan."""
    for component in components:
        for capability in component.spec.requires:
            if any(capability in other.spec.provides for other in components if other is not component):
                continue
            kind = capability.partition(":")[0]
            there = [f"{c} provides {', '.join(c.spec.provides) or 'nothing'}" for c in components if c.kind == kind]
            names = sorted({f"{c.kind}={c.name}" for c in index.components if capability in c.spec.provides})
            hint = f"Components here that provide it: {', '.join(names)} (choose with --use KIND=NAME)."
            raise IncompatiblePlan(
                f"{component} requires '{capability}'; {' and '.join(there) or f'the plan has no {kind}'}.",
                hint=hint if names else f"No component here provides '{capability}'.",
            )


def check_operations(
    components: Sequence[Component], environment: Component, actions: ActionSpec, index: Index
) -> None:
    """Check that actions have an operation head where a component requires its logits; raises IncompatiblePlan."""
    for component in components if actions.root is None else ():
        if OP_LOGITS in component.spec.requires:
            names = sorted(c.name for c in index.of_kind(component.kind) if OP_LOGITS not in c.spec.requires)
            raise IncompatiblePlan(
                f"{component} requires '{OP_LOGITS}', but the actions of {environment} have no operation head.",
                hint=f"Choose another with --use {component.kind}=NAME: {', '.join(names) or 'none is installed'}.",
            )


def check_arrays(network: Component, features: Component, schema: FeatureSchema, index: Index) -> None:
    """Check that a network reads the arrays that features have; raises IncompatiblePlan."""
    if not schema.arrays or READS_ARRAYS in network.spec.provides:
        return
    arrays = ", ".join(f"'{entry.name}' {list(entry.shape)}" for entry in schema.arrays)
    names = sorted({c.name for c in index.of_kind("network") if READS_ARRAYS in c.spec.provides})
    there = f"Choose one that does with --use network=NAME: {', '.join(names)}."
    none = f"No network here provides '{READS_ARRAYS}'; let the environment publish numbers alone."
    message = f"{features} has arrays, such as images, which {network} does not read: {arrays}."
    raise IncompatiblePlan(message, hint=there if names else none)


def check_drawn(
    network: Component,
    described: Mapping[int, tuple[FeatureSchema, ActionSpec]],
    rollout_steps: int,
    index: Index,
) -> None:
    """Check that updates may each be played with another number of slots; raises IncompatiblePlan.

    `described` is what is seen and done with each number.
    """
    counts, (schema, actions) = ",".join(map(str, described)), described[max(described)]
    one = f"Choose one number, such as --slots {max(described)}"
    if ANY_SLOTS not in network.spec.provides:
        names = sorted({c.name for c in index.of_kind("network") if ANY_SLOTS in c.spec.provides})
        raise IncompatiblePlan(
            f"--slots {counts} draws a number of slots for each update, but {network} has weights for one number only: "
            f"it does not provide '{ANY_SLOTS}'.",
            hint=f"{one}, or a network for any: {', '.join(names) or 'none is installed'}.",
        )
    if actions.slot is None and not schema.per_slot:
        message = f"--slots {counts} draws a number of slots for each update, but here nothing has slots."
        raise IncompatiblePlan(message, hint="Leave --slots out.")
    if rollout_steps:
        raise IncompatiblePlan(
            f"--slots {counts} draws a number of slots for each update, which must begin and end its episodes then, "
            f"but train.rollout_steps is {rollout_steps}.",
            hint="Set train.rollout_steps to 0, where the environment plays whole episodes, or choose one number.",
        )
    for count, (seen, done) in described.items():
        changed = [what for what, _, _ in changed_blocks(observed_blocks(seen), observed_blocks(schema))]
        changed += ["actions, but for slots"] * (action_blocks(done) != action_blocks(actions))
        if changed:
            raise IncompatiblePlan(
                f"--slots {counts} needs one layout for all, but with {count} slots there is another than with "
                f"{max(described)}: {', '.join(changed)}.",
                hint=f"{one}, or other features with --use features=NAME.",
            )


def known_failures(components: Sequence[Component]) -> list[str]:
    """Return a sentence for each check that a component says it fails."""
    failures = ((component, *failure) for component in components for failure in component.spec.known_failures.items())
    return [f"{component} is known to fail its check '{check}': {reason}" for component, check, reason in failures]
