"""Optimiser surgery: who stays must not notice who comes and goes."""

import torch
from torch import nn

from esper_growth.optimizer import GrowingSGD


def step(model, optimizer):
    optimizer.zero_grad()
    sum(part(torch.ones(2, 3)).square().sum() for part in model.values()).backward()
    optimizer.step()


def started():
    torch.manual_seed(0)
    model = nn.ModuleDict({"host": nn.Linear(3, 3)})
    return model, GrowingSGD(model["host"], lr=0.1, momentum=0.9)


def test_a_host_trains_the_same_with_and_without_seeds_that_come_and_go_with_their_state():
    (alone, plain), (model, optimizer) = started(), started()
    for _ in range(6):
        step(alone, plain)
    for change in ("nothing", "seed", "gate", "no gate", "no seed", "nothing"):
        if change == "seed":
            model["a"] = nn.Linear(3, 3)
            optimizer.add("a", model["a"].parameters())
        elif change == "gate":
            model["a"].gate = nn.Linear(3, 1)
            optimizer.add("a", model["a"].gate.parameters())
        elif change == "no gate":
            optimizer.drop(model["a"].gate.parameters())
            model["a"].gate = None
        elif change == "no seed":
            optimizer.remove("a")
            del model["a"]
        optimised = [p for group in optimizer.param_groups for p in group["params"]]
        assert len(optimised) == len(list(model.parameters())) and set(optimised) == set(model.parameters())
        step(model, optimizer)
    assert all(map(torch.equal, alone.parameters(), model.parameters()))
    assert optimizer.state.keys() == set(model.parameters())
    assert [group["name"] for group in optimizer.param_groups] == ["host"]
