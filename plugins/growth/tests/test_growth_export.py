"""Grown hosts as plain networks: every blueprint, every blend, every runtime."""

from __future__ import annotations

import pytest
import torch

from esper_core.contracts.grown import Exportable
from esper_evaluation.export.write import write_export
from esper_growth.actions import Algorithm, Op
from esper_growth.export import Fossil, hand_over
from esper_growth.model import GrownHost, Seed, SeedSetting
from esper_growth.problems import Problems
from esper_growth.stages import Stage

HOSTILE = 'Norm"""\nimport os #'


def test_a_transformer_leaves_with_a_fossil_of_every_blend(make_context, tmp_path):
    """Every host and blueprint by itself: the check `exports` of its kind."""
    context = make_context(host="transformer", slots=4)
    parts, labels = context.parts, {0: "flex_attention", 1: HOSTILE, 2: "mlp"}
    parts["blueprint"][HOSTILE] = parts["blueprint"]["norm"]
    builder = Problems(parts["task"], parts["host"], parts["blueprint"], 4).at(0).builder
    host, fossils = GrownHost(builder.host(0)), {}
    for (slot, label), algorithm in zip(labels.items(), Algorithm, strict=True):
        seed = host.seeds[str(slot)] = Seed(builder.branch(0, slot, 1, label))
        seed.gate = builder.gate(0, slot, 1) if algorithm == Algorithm.GATE else None
        fossils[slot] = SeedSetting(Stage.FOSSILIZED, 0.7, algorithm, False)
    torch.manual_seed(1)
    # Weights of a size at which many layers after one another stay numbers, and gates stay open.
    weights = {
        name: torch.randn(v.shape) / max(1, v[0].numel() if v.dim() else 1) ** 0.5
        for name, v in host.state_dict().items()
    }
    grown = hand_over(parts, context.slots, 0, weights, fossils, labels, epochs=1)
    with torch.no_grad():
        assert torch.allclose(grown.network(grown.inputs), grown.outputs, atol=1e-6)
        for part in (part for part in grown.network.children() if isinstance(part, Fossil)):
            part.alpha.zero_()
            assert float((grown.network(grown.inputs) - grown.outputs).abs().max()) > 1e-4, "nothing is tested"
            part.alpha.fill_(0.7)
    written = write_export(grown, tmp_path / "plain.py")
    assert [part.name for part in written.parts if "block" not in part.name] == [*grown.notes, "tail"]
    text = written.source.read_text()
    for word, algorithm in zip(("flex-attention", "norm-import-os", "mlp"), Algorithm, strict=True):
        assert f"# {word}, blended by {algorithm.name}, alpha 0.7" in text


@pytest.mark.parametrize("options", [{"runtime": "loop"}, {"workers": 2}])
def test_what_was_made_permanent_leaves_and_nothing_else(make_environment, follow, options):
    environment = make_environment(epochs=14, samples=200, **options)
    environment.reset(options={"instances": [3, 4]})
    plan = {
        0: {"op": Op.GERMINATE, "blueprint": 6, "tempo": 0, "slot": 1, "style": 3},
        1: {"op": Op.GERMINATE, "blueprint": 3, "tempo": 0, "slot": 2, "style": 1},
        **{step: {"op": Op.FOSSILIZE, "slot": 1} for step in (7, 9, 11)},
    }
    _, events = follow(environment, 14, plan)
    assert isinstance(environment, Exportable)
    episodes = {e["env"]: e for e in events if e["type"] == "episode"}
    fossilized = {e["env"]: e["parameters"] for e in events if e["type"] == "fossilize"}
    assert fossilized, "no seed was made permanent, so nothing is tested"
    for env, parameters in fossilized.items():
        grown = environment.grown(env)
        assert grown.facts["instance"] == environment.instances[env] and grown.facts["fossils"] == 1
        assert grown.notes == {"fossil_r0c1": f"{grown.notes['fossil_r0c1'].split(',')[0]}, blended by GATE, alpha 1"}
        size = sum(p.numel() for p in grown.network.parameters())
        assert size == int(environment.described["host_parameters"][0]) + parameters
        # Kernels round otherwise than PyTorch, which may turn a sample of 400.
        assert grown.facts["validation_accuracy"] == pytest.approx(episodes[env]["committed_accuracy"], abs=0.005)
        with torch.no_grad():
            assert torch.allclose(grown.network(grown.inputs), grown.outputs, atol=1e-6)
