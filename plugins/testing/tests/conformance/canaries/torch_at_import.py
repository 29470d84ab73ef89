"""A plugin that imports torch as soon as it is registered."""

import torch

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components():
    assert torch.nn is not None
    yield ComponentSpec(
        kind="network",
        name="torch-at-import",
        factory="esper_testing.reference.learned:ReferenceNetwork",
        summary="heavy",
        provides=("network:op-logits",),
    )
