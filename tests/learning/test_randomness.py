"""The streams of Python, numpy and torch go on where they were, down to half-used pairs of normal numbers."""

import json
import random

import numpy as np
import pytest
import torch

from esper_core.learning.randomness import ProcessStreams, seed_all
from tests.learning.conftest import Net, make, train

CPU = torch.device("cpu")


def draw():
    numbers = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), float(torch.rand(()))]
    return numbers


def test_a_seed_starts_all_of_them():
    drawn = []
    for seed in (3, 3, 4):
        seed_all(seed)
        drawn.append(draw())
    assert drawn[0] == drawn[1] and not set(drawn[0]) & set(drawn[2])
    seed_all(2**63 - 1)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_they_go_on_where_they_were(before):
    seed_all(0)
    for _ in range(before):
        draw()
    streams = ProcessStreams.now(CPU)
    expected = [draw() for _ in range(400)]
    seed_all(9)
    draw()
    ProcessStreams(streams.tensors, json.loads(json.dumps(streams.rest))).resume(CPU)
    assert [draw() for _ in range(400)] == expected


def test_a_gpu_keeps_its_own(monkeypatch):
    kept = {}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.tensor([7, 8], dtype=torch.uint8))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: kept.update({str(device): state.tolist()}))
    streams = ProcessStreams.now(torch.device("cuda", 0))
    assert "cuda" in streams.tensors and "cuda" not in ProcessStreams.now(CPU).tensors
    streams.resume(CPU)
    assert not kept, "a run that goes on without one"
    streams.resume(torch.device("cuda", 0))
    assert kept == {"cuda:0": [7, 8]}


class Noisy(Net):
    """Draws from a stream of the process."""

    source = staticmethod(random.random)

    def forward(self, features, state, episode_start):
        return super().forward(features._replace(obs=features.obs + float(self.source())), state, episode_start)


def test_what_is_drawn_between_updates_shifts_nothing():
    def told(meanwhile):
        seed_all(0)
        updates = []
        for update in make(net=Noisy()).run(3):
            updates.append(update.metrics)
            meanwhile()
        return updates

    assert told(draw) == told(int)


@pytest.mark.parametrize("source", [random.random, random.gauss, np.random.randn, lambda: torch.rand(())])
def test_going_on_is_exact_for_a_plugin_that_draws_from_them(source, monkeypatch):
    monkeypatch.setattr(Noisy, "source", staticmethod(source))
    seed_all(0)
    whole = make(net=Noisy())
    train(whole, 2)
    saved = whole.state()
    expected = train(whole, 4)
    other = make(net=Noisy())
    other.load_state(saved)
    assert train(other, 4) == expected
