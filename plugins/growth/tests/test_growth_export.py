"""Grown hosts as plain networks: every blueprint, every blend, every runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attrs import evolve

from esper_core import SlotConfig
from esper_core.contracts.grown import Exportable, Grown
from esper_core.registry.loading import load_index
from esper_evaluation.export.write import write_export
from esper_growth.actions import Algorithm, Op
from esper_growth.config import GrowthConfig, Mnist1dConfig
from esper_growth.export import hand_over
from esper_growth.model import GrownHost, Seed, SeedSetting
from esper_growth.problems import Problems
from esper_growth.protocols import fits
from esper_growth.stages import Stage
from esper_growth.tasks.mnist1d import mnist1d
from esper_testing.conformance.subject import Subject

HOSTS = [component.name for component in load_index().components if component.kind == "host"]
"""Every host that is installed, third parties' included."""

ALONE = """
import sys, json, importlib
sys.modules.update(dict.fromkeys(("esper_core", "esper_growth", "safetensors", "attrs", "numpy"), None))
sys.path.insert(0, {folder!r})
import torch
found = {{}}
for name in json.loads({names!r}):
    inputs, outputs = torch.load(name + ".pt", weights_only=True)
    network = importlib.import_module(name).load()
    batches = ((inputs, outputs), (inputs[:1], outputs[:1]), (inputs[:5], outputs[:5]))
    with torch.no_grad():
        size = float(outputs.abs().max().clamp(min=1))
        found[name] = max(float((network(x) - y).abs().max()) / size for x, y in batches)
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


def with_fossils(context, labels, turn=0):
    """Return a host with a fossil of each label, blended in turn, with random weights; None leaves a slot empty."""
    parts = context.parts
    slots = SlotConfig.for_grid(1, len(labels))
    builder = Problems(parts["task"], parts["host"], parts["blueprint"], slots.num_slots).at(0).builder
    host = GrownHost(builder.host(0))
    fossils = {}
    for slot, label in enumerate(labels):
        if label is None:
            continue
        algorithm = list(Algorithm)[(slot + turn) % len(Algorithm)]
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


def parts_of(make_context, host):
    """Return a context with a host that is installed, data that it takes, and all blueprints that are legal on it."""
    index, context = load_index(), make_context(GrowthConfig())
    found = {(c.kind, c.name): Subject(c, index) for c in index.components if c.kind in ("host", "blueprint")}
    built = found["host", host].build()
    axes = (2,) if built.topology == "image" and 2 in getattr(built, "axes", (2,)) else (1,)
    blueprints = {
        name.replace("-", "_"): blueprint
        for (kind, name), subject in found.items()
        if kind == "blueprint"
        and built.topology in (blueprint := subject.build()).topologies
        and fits(blueprint, built.topology, axes)
    }
    task = context.parts["task"] if axes == (2,) else mnist1d(Mnist1dConfig(samples=200, train_samples=100), context)
    return evolve(context, parts={"task": task, "host": built, "blueprint": blueprints})


def check_each_matters(name, grown):
    """Fail where a fossil does nothing, so that nothing is tested."""
    for child in list(grown.notes):
        kept = getattr(grown.network, child)
        setattr(grown.network, child, torch.nn.Identity())
        with torch.no_grad():
            without = grown.network(grown.inputs)
        setattr(grown.network, child, kept)
        assert float((without - grown.outputs).abs().max()) > 1e-4, f"{child} of {name} does nothing"


def test_a_transformer_leaves_with_a_fossil_of_every_blend(make_context, tmp_path):
    grown = with_fossils(parts_of(make_context, "transformer"), ["attention", "flex_attention", "mlp"])
    assert [note.split(", ")[1] for note in grown.notes.values()] == [f"blended by {a.name}" for a in Algorithm]
    check_each_matters("transformer", grown)
    assert differences(tmp_path, {"grown": grown})["grown"] <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
def test_every_blueprint_and_every_blend_leaves_every_host_as_it_is(make_context, tmp_path, host):
    context = parts_of(make_context, host)
    labels = sorted(context.parts["blueprint"])
    assert len(labels) >= 7, labels
    grown = {f"turn_{turn}": with_fossils(context, labels, turn) for turn in range(len(Algorithm))}
    for name, entry in grown.items():
        check_each_matters(name, entry)
    found = differences(tmp_path, grown)
    assert set(found) == set(grown)
    assert max(found.values()) <= 1e-6, found


@pytest.mark.parametrize("options", [{"runtime": "loop"}, {"workers": 2}])
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
    context = make_context(GrowthConfig())
    hostile = 'Norm"""\nimport os #'
    context.parts["blueprint"][hostile] = context.parts["blueprint"]["norm"]
    grown = with_fossils(context, [hostile])
    text = write_export(grown, tmp_path / "plain.py").source.read_text()
    assert "# norm-import-os, blended by ADD, alpha 0.7" in text
    bare = write_export(with_fossils(context, [None]), tmp_path / "bare.py")
    assert [part.name for part in bare.parts] == ["block_0", "tail"] and "Fossil" not in bare.source.read_text()
