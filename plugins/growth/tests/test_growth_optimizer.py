"""Optimiser surgery: who stays must not notice who comes and goes."""

import pytest
import torch
from torch import nn

from esper_growth.optimizer import GrowingSGD


@pytest.fixture
def trained():
    torch.manual_seed(0)
    model = nn.ModuleDict({"host": nn.Linear(3, 3), "a": nn.Linear(3, 3)})
    optimizer = GrowingSGD(model["host"], lr=0.1, momentum=0.9)
    optimizer.add("a", model["a"].parameters())
    for _ in range(3):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    optimizer.zero_grad()
    x = torch.ones(2, 3)
    sum(part(x).square().sum() for part in model.values()).backward()
    optimizer.step()


def test_a_host_trains_the_same_with_and_without_seeds_that_come_and_go():
    def run(surgery: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.ModuleDict({"host": nn.Linear(3, 3)})
        optimizer = GrowingSGD(model["host"], lr=0.1, momentum=0.9)
        for round_ in range(6):
            if surgery and round_ == 2:
                model["a"] = nn.Linear(3, 3)
                optimizer.add("a", model["a"].parameters())
            if surgery and round_ == 4:
                optimizer.remove("a")
                del model["a"]
            step(model, optimizer)
        return [p.detach().clone() for p in model["host"].parameters()]

    assert all(torch.equal(a, b) for a, b in zip(run(False), run(True), strict=True))


def test_single_parameters_and_groups_come_and_go_with_their_state(trained):
    model, optimizer = trained
    gate, gone = nn.Linear(3, 1), list(model["a"].parameters())
    optimizer.add("a", gate.parameters())
    model["a"].gate = gate
    optimizer.check(model)
    optimizer.drop(gate.parameters())
    model["a"].gate = None
    optimizer.check(model)
    optimizer.remove("a")
    assert not any(p in optimizer.state for p in gone)
    assert [group["name"] for group in optimizer.param_groups] == ["host"]


@pytest.mark.parametrize("mistake", ["missing", "foreign", "twice"])
def test_a_mismatch_with_the_model_is_noticed(trained, mistake):
    model, optimizer = trained
    if mistake == "missing":
        model["c"] = nn.Linear(1, 1)
    elif mistake == "foreign":
        del model["a"]
    else:
        optimizer.param_groups[0]["params"].append(optimizer.param_groups[0]["params"][0])
    with pytest.raises(RuntimeError, match="parameters"):
        optimizer.check(model)
