"""Components that no distribution brings: classes and objects of a script."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import torch
from torch import nn

import esper_core as esper
from esper_core.api.installed import load_installed
from esper_core.composition.build import build_parts
from esper_core.contracts.protocols import LSTMState, NetworkOutput
from esper_core.registry import local

PLACE = {"critic": "state-value"}


@attrs.frozen
class Options:
    """Options of the network."""

    width: int = attrs.field(default=8, metadata={"help": "width of the latent"})


class TinyNet(nn.Module):
    """One layer, and no memory."""

    def __init__(self, config, context):
        super().__init__()
        self.input_dim, self.latent_dim = context.feature_schema.dim, getattr(config, "width", 8)
        self.body = nn.Linear(self.input_dim, self.latent_dim)
        self.names = context.actions.names
        self.logits = nn.ModuleList([nn.Linear(self.latent_dim, head.size) for head in context.actions.heads])

    def initial_state(self, num_envs):
        return LSTMState(*torch.zeros(2, 1, num_envs, 1, device=self.body.weight.device))

    def forward(self, features, state, episode_start):
        latent = torch.tanh(self.body(features.obs))
        return NetworkOutput(
            latent, {n: layer(latent) for n, layer in zip(self.names, self.logits, strict=True)}, state
        )


def plan(network: object, **options: object) -> esper.Plan:
    choices = {"network": network, **PLACE}
    return esper.plan("lstm-v2", 2, use=choices, envs=2, epochs=4, options={"environment.workers": 1, **options})


@pytest.fixture
def forget():
    """Return what makes this process forget local components, as another one has never known them."""
    yield local._sources.clear
    local._sources.clear()


def test_a_class_trains_resumes_and_plays_where_it_is_named(forget, caplog, process):
    chosen = plan(esper.component(TinyNet, config=Options, name="tiny"), **{"network.width": 12})
    assert chosen.component("network").config == {"width": 12} and chosen.policy == "lstm-v2"
    run = esper.train(chosen, updates=1, out="runs")
    assert "resuming this run" in caplog.text and "esper plugins new tiny --kind network" in caplog.text
    forget()
    for call in (lambda: esper.load(run), lambda: esper.resume(run, updates=2)):
        with pytest.raises(esper.EsperError, match=r"(?s)'tiny'.*use=\{KIND: \.\.\.\}") as caught:
            call()
        assert "pip install" not in str(caught.value)
    assert "use={KIND: ...}" in process("runs", "show", str(run.path)).stdout
    done = process("train", "--resume", str(run.path), "--updates", "2")
    assert done.returncode == 4 and "tiny" in done.stderr and "pip install" not in done.stderr
    use = {"network": esper.component(TinyNet, config=Options, name="tiny")}
    assert len(esper.resume(run, updates=2, use=use).metrics()) == 2
    forget()
    assert esper.load(run, use=use).policy.network.latent_dim == 12


def test_an_object_is_copied_for_every_run(forget):
    network = build_parts(plan(TinyNet), load_installed()[0], only={"network"})["network"]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = (esper.train(plan(network), updates=1, out="runs") for _ in range(2))
    assert first.metrics()[0]["return"] == second.metrics()[0]["return"]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_conformance_of_a_class(forget):
    verdict = esper.check(TinyNet, kind="network")
    failed = {check.name for check in verdict.checks if check.status == "failed"}
    assert verdict.colour == "RED" and failed == {"memory"}
    assert {"registration", "light-config"}.isdisjoint(check.name for check in verdict.checks)
    with pytest.raises(esper.EsperError, match="which kind"):
        esper.check(TinyNet)


def test_what_cannot_be_a_component():
    for details, said in (({"name": "No Name"}, "kebab-case"), ({"provids": ()}, "provids")):
        with pytest.raises(esper.EsperError, match=said):
            esper.component(TinyNet, **details)
    with pytest.raises(esper.EsperError, match=r"There is no kind 'netwrk'. Did you mean 'network'"):
        esper.plan(use={"netwrk": TinyNet})


def test_a_class_that_is_defined_anew_takes_the_place_of_the_first(forget):
    for width in (4, 6):
        make = partial(lambda width, config, context: TinyNet(Options(width), context), width)
        chosen = plan(esper.component(make, name="net"))
        index = load_installed()[0]
        assert index.names("network").count("net") == 1
        assert build_parts(chosen, index, only={"network"})["network"].latent_dim == width
