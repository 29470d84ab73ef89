"""Hosts in bf16 and beside busy threads: what they compute in, and that their parameters stay float32."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from esper_growth.actions import Algorithm
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.fused.stack import Stack
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import LoopRuntime
from esper_growth.stages import Stage

NAMES = ("conv_light", "attention", "norm", "depthwise", "bottleneck", "conv_small", "conv_heavy")
KINDS = pytest.mark.parametrize("kind", [LoopRuntime, FusedRuntime])


SHARES = ((Stage.TRAINING, 0.0), (Stage.BLENDING, 0.3), (Stage.HOLDING, 1.0))
GROWN = [
    {slot: SeedSetting(*SHARES[(env + slot) % 3], algorithm, False) for slot, algorithm in enumerate(Algorithm)}
    for env in range(4)
]


@pytest.fixture
def make(make_runtime):
    """Return a factory of runtimes in which every blueprint, stage and algorithm occurs."""

    def make(kind, precision="float32", **options):
        runtime = make_runtime(kind, precision=precision, context={"samples": 200}, **{"max_grad_norm": 1.0, **options})
        runtime.start(range(4))
        for env, seeds in enumerate(GROWN):
            for slot, setting in seeds.items():
                runtime.germinate(env, slot, NAMES[(3 * env + slot) % len(NAMES)], setting.algorithm)
        return runtime

    return make


def play(runtime, epochs=1):
    for _ in range(epochs):
        gradients = runtime.train_epoch(GROWN, [True] * 4)
    return gradients, runtime.validate(GROWN, [True] * 4, pairs=True)


@KINDS
def test_bf16_hosts_learn_nearly_the_same_and_stay_float32(make, kind):
    half, full = (make(kind, precision, batch_size=20) for precision in ("bf16", "float32"))
    (gradients, measured), (_, expected) = play(half, 3), play(full, 3)
    content = half.read(0) if kind is FusedRuntime else half.hosts[0].read()
    assert {value.dtype for entry in content.values() for value in entry if value is not None} == {torch.float32}
    assert measured.loss.dtype == torch.float32 and bool((gradients.norm > 0).all())
    torch.testing.assert_close(measured.loss, expected.loss, atol=0.05, rtol=0)
    assert not torch.equal(measured.loss, expected.loss)


@KINDS
def test_losses_are_those_of_float32_logits(make, kind, monkeypatch):
    """And hosts are trained and measured with one thread, whatever the policy has."""
    runtime, seen, original = make(kind, "bf16"), set(), functional.cross_entropy

    def watched(logits, *args, **kwargs):
        seen.add((logits.dtype, torch.is_autocast_enabled("cpu"), torch.get_num_threads()))
        return original(logits, *args, **kwargs)

    monkeypatch.setattr(functional, "cross_entropy", watched)
    torch.set_num_threads(2)
    play(runtime)
    assert seen == {(torch.float32, False, 1)} and torch.get_num_threads() == 2
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: pytest.fail("float32 entered an autocast region"))
    play(make(kind))


def test_activations_of_both_runtimes_are_bf16(make, monkeypatch):
    computed, select, loop = set(), Stack.select, make(LoopRuntime, "bf16")

    def watched(*args, **kwargs):
        values = select(*args, **kwargs)
        computed.update(value.dtype for value in values.values())
        return values

    monkeypatch.setattr(Stack, "select", watched)
    loop.hosts[0].model.host.segments[0][0].register_forward_hook(lambda m, i, output: computed.add(output.dtype))
    for runtime in (loop, make(FusedRuntime, "bf16")):
        play(runtime)
        assert computed == {torch.bfloat16}
        computed.clear()
