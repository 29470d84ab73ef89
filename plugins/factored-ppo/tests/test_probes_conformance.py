"""The spike does what every spike must."""

import pytest

from esper_core.registry.loading import load_index
from esper_testing.conformance.run import check_component


@pytest.mark.slow
def test_the_spike_passes_everything():
    index = load_index()
    (spike,) = [component for component in index.components if component.key == "spike/ppo-probes"]
    results = check_component(spike, index)
    assert {result.name: result.message for result in results if result.status != "passed"} == {}
