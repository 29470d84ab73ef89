"""Grown hosts as plain networks: every blueprint, every blend, every runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from esper_core.export.grown import Exportable, Grown
from esper_core.export.write import write_export
from esper_growth.actions import Algorithm, Op
from esper_growth.config import GrowthConfig
from esper_growth.export import hand_over
from esper_growth.model import GrownHost, Seed, SeedSetting
from esper_growth.stages import Stage
from esper_growth.worlds import Worlds

BLUEPRINTS = ("conv_light", "attention", "norm", "depthwise", "bottleneck", "conv_small", "conv_heavy")

ALONE = """
import sys, json, importlib
sys.modules.update(dict.fromkeys(("esper_core", "esper_growth", "safetensors", "attrs", "numpy"), None))
sys.path.insert(0, {folder!r})
import torch
found = {{}}
for name in json.loads({names!r}):
    inputs, outputs = torch.load(name + ".pt", weights_only=True)
    with torch.no_grad():
        found[name] = float((importlib.import_module(name).load()(inputs) - outputs).abs().max())
print(json.dumps(found))
"""


def differences(folder: Path, exported: dict[str, Grown]) -> dict[str, float]:
    """Export networks, and return by how much outputs differ in a process that has torch alone."""
    for name, grown in exported.items():
        write_export(grown, folder / name)
        torch.save((grown.inputs, grown.outputs), folder / f"{name}.pt")
    code = ALONE.format(folder=str(folder), names=json.dumps(list(exported)))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def with_fossil(context, label, algorithm):
    """Return a host with one fossil in its second slot, whose weights are random throughout."""
    nursery = Worlds(context.parts["task"], context.parts["host"], context.parts["blueprint"], 3).at(0).nursery
    host = GrownHost(nursery.host(0))
    seed = host.seeds["1"] = Seed(nursery.branch(0, 1, 1, label))
    if algorithm == Algorithm.GATE:
        seed.gate = nursery.gate(0, 1, 1)
    generator = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(v.shape, generator=generator) for name, v in host.state_dict().items()}
    # A gate with such weights would be shut.
    weights |= {name: value / 10 for name, value in weights.items() if ".gate." in name}
    fossils = {1: SeedSetting(Stage.FOSSILIZED, 0.7, algorithm, False)}
    return hand_over(context.parts, context.slots, 0, weights, fossils, {1: label})


@pytest.mark.parametrize("host", ["pointwise", "conv"])
def test_every_blueprint_and_every_blend_leaves_as_it_is(make_context, tmp_path, host):
    context = make_context(GrowthConfig(), host=host)
    grown = {f"{b}_{a.name.lower()}": with_fossil(context, b, a) for b in BLUEPRINTS for a in Algorithm}
    for name, entry in grown.items():
        net, x = entry.network, entry.inputs
        bare = net.tail(net.block_2(net.block_1(net.block_0(x))))
        assert float((bare - entry.outputs).abs().max()) > 1e-3, f"{name} does nothing, so nothing is tested"
    found = differences(tmp_path, grown)
    assert set(found) == set(grown)
    assert max(found.values()) <= 1e-6, found


@pytest.mark.parametrize("options", [{"runtime": "loop"}, {"runtime": "fused"}, {"workers": 2}])
def test_what_was_made_permanent_leaves_and_nothing_else(make_environment, act, options):
    environment = make_environment(epochs=14, samples=200, **options)
    environment.reset(options={"instances": [3, 4]})
    plan = {
        0: {"op": Op.GERMINATE, "blueprint": 6, "tempo": 0, "slot": 1, "style": 3},
        1: {"op": Op.GERMINATE, "blueprint": 3, "tempo": 0, "slot": 2, "style": 1},
        **{step: {"op": Op.FOSSILIZE, "slot": 1} for step in (7, 9, 11)},
    }
    events = []
    for step in range(14):
        events += environment.step(act(environment, **plan.get(step, {})))[4]["events"]
    assert isinstance(environment, Exportable)
    episodes = {e["env"]: e for e in events if e["type"] == "episode"}
    fossilized = {e["env"]: e["parameters"] for e in events if e["type"] == "fossilize"}
    assert fossilized, "no seed was made permanent, so nothing is tested"
    for env, parameters in fossilized.items():
        grown = environment.grown(env)
        assert grown.facts["instance"] == environment.instances[env] and grown.facts["fossils"] == 1
        assert grown.notes == {"fossil_r0c1": f"{grown.notes['fossil_r0c1'].split(',')[0]}, blended by GATE, alpha 1"}
        assert (
            sum(p.numel() for p in grown.network.parameters())
            == int(environment.described["host_parameters"][0]) + parameters
        )
        # Kernels round otherwise than PyTorch, which may turn a sample of 400.
        assert grown.facts["validation_accuracy"] == pytest.approx(episodes[env]["committed_accuracy"], abs=0.005)
        with torch.no_grad():
            assert torch.allclose(grown.network(grown.inputs), grown.outputs, atol=1e-6)


def test_a_host_without_fossils_leaves_as_it_was(make_environment, act, tmp_path):
    environment = make_environment(epochs=2, envs=1)
    environment.reset()
    for _ in range(2):
        environment.step(act(environment))
    grown = environment.grown(0)
    exported = write_export(grown, tmp_path / "bare.py")
    assert [part.name for part in exported.parts] == ["block_0", "block_1", "block_2", "tail"]
    assert exported.cost.parameters == int(environment.described["host_parameters"][0])
    assert "Fossil" not in exported.source.read_text()


def test_a_label_reaches_source_as_a_plain_word(make_context, tmp_path):
    context = make_context(GrowthConfig())
    hostile = 'Norm"""\nimport os #'
    context.parts["blueprint"][hostile] = context.parts["blueprint"]["norm"]
    try:
        grown = with_fossil(context, hostile, Algorithm.ADD)
    finally:
        del context.parts["blueprint"][hostile]
    text = write_export(grown, tmp_path / "plain.py").source.read_text()
    assert "# norm-import-os, blended by ADD, alpha 0.7" in text
