"""The reference components' specs. They are in no entry point, so no listing shows them and no plan of a user's."""

from __future__ import annotations

from attrs import evolve

from esper_core.contracts.components import ComponentSpec
from esper_core.registry.index import Component, Index

DISTRIBUTION = "esper-reference"

_HERE = "esper_testing.reference"
_SPECS = (
    ComponentSpec(
        kind="environment",
        name="lamps",
        factory=f"{_HERE}.environment:Lamps",
        config=f"{_HERE}.config:LampsConfig",
        describe=f"{_HERE}.describe:describe",
        defaults={"masks": "lamps"},
        summary="a row of lamps",
    ),
    ComponentSpec(
        kind="masks",
        name="lamps",
        factory=f"{_HERE}.environment:LampMasks",
        summary="dark lamps can be lit, lit ones put out",
        reads=("lit",),
    ),
    ComponentSpec(
        kind="environment",
        name="match",
        factory=f"{_HERE}.match:Match",
        config=f"{_HERE}.config:MatchConfig",
        describe=f"{_HERE}.describe:describe_match",
        defaults={"masks": "match"},
        summary="archers who share a field",
    ),
    ComponentSpec(
        kind="masks",
        name="match",
        factory=f"{_HERE}.match:MatchMasks",
        summary="whoever is there may aim",
        reads=("there",),
    ),
    ComponentSpec(
        kind="environment",
        name="duel",
        factory=f"{_HERE}.duel:Duel",
        config=f"{_HERE}.config:DuelConfig",
        describe=f"{_HERE}.describe:describe_duel",
        defaults={"masks": "duel"},
        summary="rock, paper, scissors between two sides",
    ),
    ComponentSpec(
        kind="masks",
        name="duel",
        factory=f"{_HERE}.duel:DuelMasks",
        summary="every move is legal",
        reads=("mine",),
    ),
    ComponentSpec(
        kind="features",
        name="reference",
        factory=f"{_HERE}.learned:ReferenceFeatures",
        describe=f"{_HERE}.describe:describe_features",
        summary="`flat`, and categories as indices as well",
    ),
    ComponentSpec(
        kind="network",
        name="reference",
        factory=f"{_HERE}.learned:ReferenceNetwork",
        summary="one GRU cell, one linear head per action dimension",
        provides=("network:op-logits", "network:arrays"),
    ),
    ComponentSpec(
        kind="network",
        name="any-slots",
        factory=f"{_HERE}.learned:AnySlotsNetwork",
        summary="the reference network with weights that fit any number of slots",
        provides=("network:op-logits", "network:any-slots"),
        only_by_name=True,
    ),
    ComponentSpec(kind="critic", name="reference", factory=f"{_HERE}.learned:ReferenceCritic", summary="a linear V(s)"),
    ComponentSpec(
        kind="loss",
        name="reference",
        factory=f"{_HERE}.learned:ReferenceLoss",
        summary="the policy gradient without clipping",
    ),
)

REFERENCES = {spec.kind: f"{DISTRIBUTION}:{spec.name}" for spec in reversed(_SPECS)}
"""Kind → the reference component's name, as plans take it."""


def with_references(index: Index) -> Index:
    """Return the index with the reference components."""
    components = tuple(Component(spec, "reference", DISTRIBUTION, "0") for spec in _SPECS)
    return evolve(index, components=(*index.components, *components))
