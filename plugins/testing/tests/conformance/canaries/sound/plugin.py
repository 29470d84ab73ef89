"""Registers the components, without torch."""

from esper_core import ComponentSpec, hookimpl

PARTS = {
    "features/counting": {"describe": "sound.describe:describe", "reads": ("lit",)},
    "network/memoryless": {"provides": ("network:op-logits",)},
    "network/slots-only": {},
    "critic/table": {"provides": ("critic:q-by-op",)},
    "loss/huber": {},
}


@hookimpl
def esper_components():
    for key, more in PARTS.items():
        kind, _, name = key.partition("/")
        factory = f"sound.parts:{name.title().replace('-', '')}"
        yield ComponentSpec(kind=kind, name=name, factory=factory, summary="right in its own way", **more)
