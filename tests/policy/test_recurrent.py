from typing import NamedTuple

import torch
from torch import Tensor, nn

from esper_core.contracts.protocols import LSTMState
from esper_core.policy.recurrent import run_with_resets, zero_rows


class Memory(NamedTuple):
    a: Tensor
    b: Tensor
    c: Tensor


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
    def __init__(self):
        torch.manual_seed(0)
        self.lstm, self.calls = nn.LSTM(3, 4, batch_first=True).double(), 0

    def __call__(self, x, state):
        self.calls += 1
        out, last = self.lstm(x, tuple(state))
        return out, LSTMState(*last)

    def zeros(self, envs):
        return LSTMState(*(torch.zeros(1, envs, 4, dtype=torch.float64) for _ in range(2)))


def test_a_reset_inside_a_sequence_equals_two_sequences():
    run = Recurrent()
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    start = torch.zeros(2, 9, dtype=torch.bool)
    start[:, 0], start[1, 4] = True, True
    whole, last = run_with_resets(run, x, run.zeros(2), start)
    first, _ = run(x[1:, :4], run.zeros(1))
    second, end = run(x[1:, 4:], run.zeros(1))
    torch.testing.assert_close(whole[1:], torch.cat([first, second], 1))
    torch.testing.assert_close(last.h[:, 1:], end.h)
    untouched, _ = run(x[:1], run.zeros(1))
    torch.testing.assert_close(whole[:1], untouched)


def test_no_gradient_crosses_a_reset():
    run = Recurrent()
    x = torch.randn(1, 6, 3, dtype=torch.float64, requires_grad=True)
    start = torch.tensor([[True, False, False, True, False, False]])
    out, _ = run_with_resets(run, x, run.zeros(1), start)
    out[:, 5].sum().backward()
    assert bool((x.grad[:, :3] == 0).all()) and float(x.grad[:, 3].abs().max()) > 0


def test_without_resets_there_is_one_call():
    run = Recurrent()
    start = torch.zeros(2, 9, dtype=torch.bool)
    start[:, 0] = True
    run_with_resets(run, torch.randn(2, 9, 3, dtype=torch.float64), run.zeros(2), start)
    assert run.calls == 1
