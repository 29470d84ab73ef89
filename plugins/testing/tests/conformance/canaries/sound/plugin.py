"""Registers the components, without torch."""

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components():
    yield ComponentSpec(
        kind="features",
        name="counting",
        factory="sound.parts:Counting",
        describe="sound.describe:describe",
        summary="how many lamps are lit, and nothing of any slot",
        reads=("lit",),
    )
    yield ComponentSpec(
        kind="network",
        name="memoryless",
        factory="sound.parts:Memoryless",
        summary="a network that is not recurrent",
        provides=("network:op-logits",),
    )
    yield ComponentSpec(
        kind="network",
        name="slots-only",
        factory="sound.parts:SlotsOnly",
        summary="a network that refuses actions without a slot",
    )
    yield ComponentSpec(
        kind="critic",
        name="table",
        factory="sound.parts:Table",
        summary="Q(s, op) that begins at 0",
        provides=("critic:q-by-op",),
    )
    yield ComponentSpec(
        kind="loss",
        name="huber",
        factory="sound.parts:Huber",
        summary="one clipped joint ratio and a Huber loss",
    )
