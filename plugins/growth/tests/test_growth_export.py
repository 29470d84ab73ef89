"""Grown hosts as plain networks: every blueprint, every blend, every runtime."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from esper_core import SlotConfig
from esper_core.contracts.grown import Exportable
from esper_evaluation.export.write import write_export
from esper_growth.actions import Algorithm, Op
from esper_growth.export import hand_over
from esper_growth.model import GrownHost, Seed, SeedSetting
from esper_growth.problems import Problems
from esper_growth.stages import Stage

ALONE = """
import sys
sys.modules.update(dict.fromkeys(("esper_core", "esper_growth", "safetensors", "attrs", "numpy"), None))
import grown, torch
inputs, outputs = torch.load("grown.pt", weights_only=True)
size, network = float(outputs.abs().max().clamp(min=1)), grown.load()
with torch.no_grad():
    print(max(float((network(inputs[:n]) - outputs[:n]).abs().max()) / size for n in (1, 5, len(inputs))))
"""


def with_fossils(context, labels):
    """Return a host with a fossil of each label, blended in turn, with random weights; None leaves a slot empty."""
    parts = context.parts
    slots = SlotConfig.for_grid(1, len(labels))
    builder = Problems(parts["task"], parts["host"], parts["blueprint"], slots.num_slots).at(0).builder
    host = GrownHost(builder.host(0))
    fossils = {}
    for slot, label in enumerate(filter(None, labels)):
        algorithm = list(Algorithm)[slot % len(Algorithm)]
        seed = host.seeds[str(slot)] = Seed(builder.branch(0, slot, 1, label))
        if algorithm == Algorithm.GATE:
            seed.gate = builder.gate(0, slot, 1)
        fossils[slot] = SeedSetting(Stage.FOSSILIZED, 0.7, algorithm, False)
    generator = torch.Generator().manual_seed(1)
    # Weights of a size at which many layers after one another stay numbers, and gates stay open.
    weights = {
        name: torch.randn(v.shape, generator=generator) / max(1, v[0].numel() if v.dim() else 1) ** 0.5
        for name, v in host.state_dict().items()
    }
    return hand_over(parts, slots, 0, weights, fossils, dict(enumerate(labels)))


def test_a_transformer_leaves_with_a_fossil_of_every_blend(make_context, tmp_path):
    """Into a process that has torch alone. Every host and blueprint by itself: the check `exports` of its kind."""
    grown = with_fossils(make_context(host="transformer"), ["flex_attention", "norm", "mlp"])
    assert [note.split(", ")[1] for note in grown.notes.values()] == [f"blended by {a.name}" for a in Algorithm]
    for child in list(grown.notes):
        kept = getattr(grown.network, child)
        setattr(grown.network, child, torch.nn.Identity())
        with torch.no_grad():
            without = grown.network(grown.inputs)
        setattr(grown.network, child, kept)
        assert float((without - grown.outputs).abs().max()) > 1e-4, f"{child} does nothing, so nothing is tested"
    write_export(grown, tmp_path / "grown")
    torch.save((grown.inputs, grown.outputs), tmp_path / "grown.pt")
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-6


@pytest.mark.parametrize("options", [{"runtime": "loop"}, {"workers": 2, "kernels": "torch"}])
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


def test_a_label_reaches_source_as_a_plain_word(make_context, tmp_path):
    context = make_context()
    hostile = 'Norm"""\nimport os #'
    context.parts["blueprint"][hostile] = context.parts["blueprint"]["norm"]
    grown = with_fossils(context, [hostile])
    text = write_export(grown, tmp_path / "plain.py").source.read_text()
    assert "# norm-import-os, blended by ADD, alpha 0.7" in text
    bare = write_export(with_fossils(context, [None]), tmp_path / "bare.py")
    assert [part.name for part in bare.parts] == ["block_0", "tail"] and "Fossil" not in bare.source.read_text()
