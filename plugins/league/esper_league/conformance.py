"""What all opponents must do. They are checked in the reference environment of two sides."""

from __future__ import annotations

import math
import pickle
from typing import Any

import torch
from torch import Tensor

from esper_core.contracts.protocols import State
from esper_core.contracts.sides import Driver
from esper_core.learning.opponents import checked_weights
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.randomness import untouched_randomness

SUITE = Suite("opponents", ("offers", "copies", "training", "resuming", "randomness"))

UPDATES = 4


def _session(subject: Subject) -> Trainer:
    """Return a trainer that has done nothing yet, with a build of the component."""
    with torch.random.fork_rng(devices=[]):
        return open_session(subject.plan(updates=UPDATES), subject.full_index)


def _begin(trainer: Trainer) -> tuple[list[Driver], list[float]]:
    opponents: Any = trainer.opponents
    drivers, weights = opponents.begin(1, trainer.policy, trainer.features, trainer.masks)
    return list(drivers), list(weights)


@SUITE.check("offers")
def offers(subject: Subject) -> None:
    """It gives drivers of different names that survive pickling, as processes need it, and a weight for each."""
    drivers, weights = _begin(_session(subject))
    for driver in drivers:
        assert isinstance(driver, Driver), f"it gives a {type(driver).__name__}, which is no Driver"
    checked_weights([driver.name for driver in drivers], weights)
    for driver in drivers:
        again = pickle.loads(pickle.dumps(driver))
        assert again.name == driver.name, f"after pickling '{driver.name}' is called '{again.name}'"


@SUITE.check("copies", after=("offers",))
def copies(subject: Subject) -> None:
    """What its drivers do in a rollout does not change while the learner learns; nor do they change the learner."""
    trainer = _session(subject)
    state, _ = trainer.environment.reset(seed=0)
    before = {name: value.clone() for name, value in trainer.policy.state_dict().items()}
    drivers, _ = _begin(trainer)
    done = [_act(driver, state, trainer) for driver in drivers]
    changed = [name for name, value in trainer.policy.state_dict().items() if not torch.equal(value, before[name])]
    assert not changed, f"the learner's {', '.join(changed)} changed while others acted"
    with torch.no_grad():
        for parameter in trainer.policy.parameters():
            parameter.add_(10 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    for driver, expected in zip(drivers, done, strict=True):
        acted = _act(driver, state, trainer)
        same = all(torch.equal(acted[head], value) for head, value in expected.items())
        assert same, f"'{driver.name}' acts otherwise once the learner has learned: it needs a copy"


@SUITE.check("training", after=("offers",))
def training(subject: Subject) -> None:
    """A policy is trained against it; matches are told to it, and every metric of its own is a number."""
    trainer = _session(subject)
    updates = list(trainer.run(UPDATES))
    told = [event for update in updates for event in update.events if event["type"] == "match"]
    assert told, f"no match ended in {UPDATES} updates"
    opponents: Any = trainer.opponents
    for events in ([], told):
        for name, value in opponents.played(UPDATES, events).items():
            assert math.isfinite(value), f"its metric '{name}' is {value}"


@SUITE.check("resuming", after=("training",))
def resuming(subject: Subject) -> None:
    """Another one goes on from its state with the opponents that would have come next."""
    whole, half, other = (_session(subject) for _ in range(3))
    expected = [update.metrics for update in whole.run(UPDATES)][UPDATES // 2 :]
    list(half.run(UPDATES // 2))
    other.load_state(half.state())
    for update, metrics in zip(other.run(UPDATES), expected, strict=True):
        names = [name for name in {**metrics, **update.metrics} if metrics.get(name) != update.metrics.get(name)]
        assert not names, f"update {update.index} of a run that was resumed has another {', '.join(sorted(names)[:4])}"


@SUITE.check("randomness", after=("offers",))
def randomness(subject: Subject) -> None:
    """It draws nothing from the global random numbers of torch, numpy and Python."""
    trainer = _session(subject)
    opponents: Any = trainer.opponents
    with untouched_randomness("it"):
        _begin(trainer)
        opponents.played(1, [])


def _act(driver: Driver, state: State, trainer: Trainer) -> dict[str, Tensor]:
    """Return what a driver does at the first step of all matches, with the same noise every time."""
    rows, environment = trainer.environment.num_envs, trainer.environment
    matches = len(environment.learner_side)  # type: ignore[attr-defined]
    noise = torch.rand(rows, environment.actions.width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    begins = torch.ones(rows, dtype=torch.bool)
    actions, _ = driver(state, driver.initial_memory(matches), begins, noise)
    return actions
