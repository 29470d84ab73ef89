"""Registers the arena and what belongs to it. Importing this module imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl

BESIDE = {"features": "suite", "critic": "linear-value", "loss": "factored-ppo"}
READS = ("suite",)

# Name, factory, class of its options, summary.
NETWORKS = (
    (
        *("combat-suite", "networks:CombatSuiteActorCritic", "network_config:CombatSuiteConfig"),
        "recurrent policy that takes contacts and squad in as sets",
    ),
    (
        *("actor-critic-lstm", "networks:ActorCriticLSTM", "network_config:ActorCriticConfig"),
        "recurrent policy on a flat observation, two layers before the LSTM",
    ),
)
RULES = (
    ("lieutenant", "Lieutenant", "LieutenantConfig", "goes for the zone, keeps its distance, fires what is in reach"),
    ("hold", "Hold", "", "goes to the zone and stays there, firing"),
    ("charge", "Charge", "", "goes for the nearest enemy, firing"),
)


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the environment, its masks and features, networks, rules, heat maps and the workload."""
    yield ComponentSpec(
        kind="environment",
        name="echelon",
        factory="esper_echelon.environment:EchelonEnvironment",
        config="esper_echelon.config:EchelonConfig",
        describe="esper_echelon.describe:describe",
        metrics="esper_echelon.metrics:METRICS",
        summary="two teams of mechs fight for a zone; rows are the mechs of one of them",
        defaults={"masks": "echelon", "features": "suite", "workload": "echelon"},
    )
    yield ComponentSpec(
        kind="masks",
        name="echelon",
        factory="esper_echelon.masks:EchelonMasks",
        summary="numbers alone: nothing is illegal",
        reads=READS,
    )
    yield ComponentSpec(
        kind="features",
        name="suite",
        factory="esper_echelon.features:SuiteFeatures",
        describe="esper_echelon.schema:describe_suite",
        summary="the 706 numbers that a mech's suite shows",
        reads=READS,
    )
    for name, factory, config, summary in NETWORKS:
        yield ComponentSpec(
            kind="network",
            name=name,
            factory=f"esper_echelon.{factory}",
            config=f"esper_echelon.{config}",
            summary=summary,
            defaults=BESIDE,
        )
    yield ComponentSpec(
        kind="critic",
        name="linear-value",
        factory="esper_echelon.critic:LinearValue",
        summary="V(s), one linear layer",
    )
    for name, factory, config, summary in RULES:
        yield ComponentSpec(
            kind="rule",
            name=name,
            factory=f"esper_echelon.rules:{factory}",
            config=f"esper_echelon.config:{config}" if config else "",
            summary=summary,
            reads=READS,
        )
    yield ComponentSpec(
        kind="observer",
        name="heat-maps",
        factory="esper_echelon.heat_maps:HeatMaps",
        summary="pictures of where mechs die, take damage and move",
    )
    yield ComponentSpec(
        kind="workload",
        name="echelon",
        factory="esper_echelon.workload:echelon",
        summary="6 against 6 on 40 × 40 m, random actions, observations of both teams",
    )
