import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from esper_core.contracts.protocols import LSTMState
from esper_core.policy import recurrent
from esper_core.policy.recurrent import run_with_resets, zero_rows


class Memory(NamedTuple):
    a: Tensor
    b: Tensor
    c: Tensor


class Hidden(NamedTuple):
    hidden: Tensor


def memory():
    return Memory(*(torch.randn(2, 4, width) for width in (3, 1, 5)))


def test_any_named_tuple_keeps_its_type():
    state, rows = memory(), torch.tensor([True, False, True, False])
    copies = [t.clone() for t in state]
    zeroed = zero_rows(state, rows)
    assert all(torch.equal(a, b) for a, b in zip(state, copies, strict=True)), "the given one is left alone"
    assert isinstance(zeroed, Memory)
    assert bool((zeroed.a[:, rows] == 0).all()) and torch.equal(zeroed.c[:, ~rows], state.c[:, ~rows])


class Recurrent:
    """An LSTM of two layers, or a GRU, which counts how often it is called."""

    def __init__(self, kind=nn.LSTM):
        torch.manual_seed(0)
        self.module, self.calls = kind(3, 4, num_layers=2, batch_first=True).double(), 0

    def __call__(self, x, state):
        self.calls += 1
        if isinstance(self.module, nn.GRU):
            out, last = self.module(x, state.hidden)
            return out, Hidden(last)
        out, last = self.module(x, tuple(state))
        return out, LSTMState(*last)

    def some(self, envs):
        kind = Hidden if isinstance(self.module, nn.GRU) else LSTMState
        return kind(*(torch.randn(2, envs, 4, dtype=torch.float64, requires_grad=True) for _ in kind._fields))


def step_by_step(run, x, state, start):
    outputs = []
    for t in range(x.shape[1]):
        out, state = run(x[:, t : t + 1], zero_rows(state, start[:, t]))
        outputs.append(out)
    return torch.cat(outputs, 1), state


@settings(deadline=None)
@given(
    st.sampled_from((nn.LSTM, nn.GRU)),
    st.tuples(st.integers(1, 4), st.integers(1, 20)).flatmap(lambda size: arrays(bool, size)),
)
def test_resets_anywhere_equal_running_step_by_step(kind, start):
    run, start = Recurrent(kind), torch.from_numpy(start)
    envs, steps = start.shape
    x, state = torch.randn(envs, steps, 3, dtype=torch.float64, requires_grad=True), run.some(envs)
    weights = torch.randn(envs, steps, 4, dtype=torch.float64)
    found = []
    for way in (run_with_resets, step_by_step):
        out, last = way(run, x, state, start)
        gained = (out * weights).sum() + sum(part.square().sum() for part in last)
        found.append((out, *last, *torch.autograd.grad(gained, (x, *state, *run.module.parameters()))))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("price", [0.0, recurrent.CALL, 1e9])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(st.integers(1, 8), st.integers(1, 64)).flatmap(lambda size: arrays(bool, size)))
def test_calls_are_few_and_worth_their_price(price, start):
    run, spans = Recurrent(), []
    (envs, steps), start = start.shape, torch.from_numpy(start)

    def counted(x, state):
        spans.append(x.shape[:2])
        return run(x, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrent, "CALL", price)
        run_with_resets(counted, torch.randn(envs, steps, 3, dtype=torch.float64), run.some(envs), start)
    assert len(spans) <= 1 + math.log2(steps) or price == 0
    assert sum(span for _, span in spans) <= steps
    ran = sum(rows * span for rows, span in spans)
    assert ran == start.numel() or price, "filled up where a call costs something, and only there"


def test_without_resets_it_is_the_call_itself():
    run, start = Recurrent(), torch.zeros(2, 9, dtype=torch.bool)
    x, state = torch.randn(2, 9, 3, dtype=torch.float64), run.some(2)
    found, alone = run_with_resets(run, x, state, start), run(x, state)
    assert torch.equal(found[0], alone[0]) and all(map(torch.equal, found[1], alone[1]))
    assert run.calls == 2
