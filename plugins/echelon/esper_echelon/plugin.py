"""Registers the arena and what belongs to it. Importing this module imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl

BESIDE = {"critic": "linear-value", "loss": "factored-ppo"}
READS = ("suite",)

RULES = (
    (
        "lieutenant",
        "Lieutenant",
        "matches.config:LieutenantConfig",
        "fights for the zone with what its class has, in cover, and keeps cool",
    ),
    ("hold", "Hold", "", "stands in the zone and fires at what comes near"),
    ("charge", "Charge", "", "runs at the nearest enemy and fires all it has"),
)


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the environment, its masks and features, networks, rules, heat maps and the workload."""
    yield ComponentSpec(
        kind="environment",
        name="echelon",
        factory="esper_echelon.matches.environment:EchelonEnvironment",
        config="esper_echelon.matches.config:EchelonConfig",
        describe="esper_echelon.matches.describe:describe",
        metrics="esper_echelon.matches.metrics:METRICS",
        summary="two teams of mechs fight for a zone; rows are the mechs of one of them",
        defaults={"masks": "echelon", "features": "suite", "network": "combat-suite", "workload": "echelon"},
        only_by_name=True,
    )
    yield ComponentSpec(
        kind="masks",
        name="echelon",
        factory="esper_echelon.matches.masks:EchelonMasks",
        summary="numbers alone: nothing is illegal",
        reads=READS,
        only_by_name=True,
    )
    yield ComponentSpec(
        kind="features",
        name="suite",
        factory="esper_echelon.perception.features:SuiteFeatures",
        describe="esper_echelon.perception.schema:describe_suite",
        summary="the 706 numbers that a mech's suite shows",
        provides=("features:suite",),
        reads=READS,
        only_by_name=True,
    )
    yield ComponentSpec(
        kind="network",
        name="combat-suite",
        factory="esper_echelon.networks.networks:CombatSuiteActorCritic",
        config="esper_echelon.networks.config:CombatSuiteConfig",
        summary="recurrent policy that takes contacts and squad in as sets",
        defaults={"environment": "echelon", "features": "suite", **BESIDE},
        reads=READS,
        requires=("features:suite",),
        only_by_name=True,
    )
    yield ComponentSpec(
        kind="network",
        name="actor-critic-lstm",
        factory="esper_echelon.networks.networks:ActorCriticLSTM",
        config="esper_echelon.networks.config:ActorCriticConfig",
        summary="recurrent policy on the numbers of any observation, two layers before the LSTM",
        defaults={"features": "flat", **BESIDE},
        provides=("network:op-logits",),
    )
    yield ComponentSpec(
        kind="critic",
        name="linear-value",
        factory="esper_echelon.networks.critic:LinearValue",
        summary="V(s), one linear layer",
    )
    for name, factory, config, summary in RULES:
        yield ComponentSpec(
            kind="rule",
            name=name,
            factory=f"esper_echelon.rules.rules:{factory}",
            config=f"esper_echelon.{config}" if config else "",
            summary=summary,
            reads=("suite", "map_size"),
        )
    yield ComponentSpec(
        kind="observer",
        name="heat-maps",
        factory="esper_echelon.heat_maps.observer:HeatMaps",
        config="esper_echelon.heat_maps.config:HeatMapsConfig",
        summary="pictures of where mechs die, take damage and move",
    )
    yield ComponentSpec(
        kind="workload",
        name="echelon",
        factory="esper_echelon.workload:echelon",
        summary="6 against 6 on 40 × 40 m, random actions, observations of both teams",
    )
