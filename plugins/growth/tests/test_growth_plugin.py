"""What the plugin registers, and that describing it needs no torch."""

import subprocess
import sys

from esper_core import SlotConfig
from esper_growth.actions import BLUEPRINT_TOPOLOGY, action_spec

TORCH_FREE = """
import sys
for heavy in ("torch", "numpy", "gymnasium", "sklearn"):
    sys.modules[heavy] = None
from esper_growth import actions, config, describe, plugin, stages, state
from esper_core import SlotConfig
specs = list(plugin.esper_components())
described = describe.describe(config.GrowthConfig(), SlotConfig.for_grid(1, 5))
print(len(specs), described.horizon, described.actions.sizes["slot"], len(described.uses["blueprint"]))
"""


def test_registers_everything_torch_free():
    done = subprocess.run([sys.executable, "-c", TORCH_FREE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["33", "40", "5", "12"]


def test_the_action_table_is_the_specified_one():
    spec = action_spec(SlotConfig.for_grid(1, 5), tuple(BLUEPRINT_TOPOLOGY))
    sizes = {"op": 6, "slot": 5, "blueprint": 13, "style": 4, "tempo": 3, "alpha_target": 3, "alpha_speed": 4}
    assert spec.sizes == {**sizes, "alpha_curve": 5}
    relevant = {head: [op for op, on in zip(spec.ops, spec.relevance(head), strict=True) if on] for head in spec.names}
    assert relevant == {
        "op": list(spec.ops),
        "slot": ["GERMINATE", "SET_ALPHA_TARGET", "PRUNE", "FOSSILIZE", "ADVANCE"],
        "blueprint": ["GERMINATE"],
        "style": ["GERMINATE", "SET_ALPHA_TARGET"],
        "tempo": ["GERMINATE"],
        "alpha_target": ["GERMINATE", "SET_ALPHA_TARGET"],
        "alpha_speed": ["SET_ALPHA_TARGET", "PRUNE"],
        "alpha_curve": ["SET_ALPHA_TARGET", "PRUNE"],
    }
