"""The probes P1 to P13 as data."""

from __future__ import annotations

from esper_core.learning.config import TrainConfig
from esper_factored_ppo.probes.environments import bandit, chain, delayed, forced, leak, t_maze, validity, value
from esper_factored_ppo.probes.probe import Probe, at_least, at_most, near


def _train(lr: float, gamma: float = 0.9, update_epochs: int = 4, **more: float) -> TrainConfig:
    return TrainConfig(lr=lr, gamma=gamma, update_epochs=update_epochs, **more)  # type: ignore[arg-type]


def _maze(corridor: int, updates: int) -> Probe:
    return Probe(
        name=f"P12 T-maze {corridor}",
        catches=f"memory over {corridor} steps, gradient through time",
        environment=t_maze.TMaze,
        horizon=corridor + 1,
        measure=t_maze.success,
        goals={"success": at_least(0.95)},
        train=_train(3e-3, gamma=1.0),
        updates=updates,
        envs=32,
        quick=False,
    )


PROBES = (
    Probe(
        name="P1 constant value",
        catches="value loss, optimiser",
        environment=value.Constant,
        measure=value.value,
        goals={"V": near(1, 0.02)},
        train=_train(1e-2, update_epochs=8, normalise_returns=False),
        updates=30,
    ),
    Probe(
        name="P2 value of the observation",
        catches="the gradient from the critic to the observation",
        environment=value.Telling,
        measure=value.value_of_pay,
        goals={"V(1)": near(1, 0.1), "V(-1)": near(-1, 0.1)},
        train=_train(3e-3, update_epochs=8),
        updates=30,
    ),
    Probe(
        name="P3 discounted value",
        catches="discount, off-by-one in advantages",
        environment=value.Late,
        horizon=2,
        measure=value.values_in_time,
        goals={"V(0)": near(0.9, 0.03), "V(1)": near(1, 0.03)},
        train=_train(3e-3, update_epochs=8, normalise_returns=False),
        updates=40,
    ),
    Probe(
        name="P4 two operations",
        catches="policy loss, sign of the advantage",
        environment=bandit.TwoArms,
        measure=bandit.right,
        goals={"π(right)": at_least(0.95), "V": near(1, 0.1)},
        train=_train(1e-2),
        updates=30,
    ),
    Probe(
        name="P5 operation for the observation",
        catches="policy loss per row, batching",
        environment=bandit.Asked,
        measure=bandit.right,
        goals={"π(right)": at_least(0.95), "V": near(1, 0.1)},
        train=_train(1e-2),
        updates=40,
    ),
    Probe(
        name="P6 endless chain",
        catches="truncation taken for an end",
        environment=chain.Endless,
        horizon=8,
        measure=value.value,
        goals={"V": near(10, 0.3)},
        train=_train(3e-3),
        updates=150,
        envs=16,
    ),
    Probe(
        name="P6 finite chain",
        catches="an end taken for truncation, the clock",
        environment=chain.Finite,
        horizon=8,
        measure=chain.distance_to_formula,
        goals={"largest error of V": at_most(0.25)},
        train=_train(1e-2),
        updates=60,
        envs=16,
    ),
    Probe(
        name="P7 op-only bandit",
        catches="the value of the sampled operation as its own baseline",
        environment=bandit.OpOnly,
        measure=bandit.best,
        goals={"π(best)": at_least(0.95)},
        train=_train(1e-3, update_epochs=2),
        critic_updates=300,
        updates=25,
        seeds=(0, 1, 2, 3, 4),
        needed=4,
    ),
    Probe(
        name="P8 sparse child",
        catches="losses and masks of heads that matter rarely",
        environment=bandit.SparseChild,
        measure=bandit.best_and_child,
        goals={"π(best)": at_least(0.9), "π(child)": at_least(0.9)},
        train=_train(1e-2),
        updates=60,
    ),
    Probe(
        name="P9 slots valid for the operation",
        catches="slot masks that do not depend on the operation",
        environment=validity.Occupied,
        horizon=6,
        measure=validity.invalid_and_entropy,
        goals={"invalid actions": at_most(0), "slot entropy above ln(valid)": at_most(1e-5)},
        train=_train(3e-3),
        updates=15,
    ),
    Probe(
        name="P10 masks leave one action",
        catches="masks not applied when acting",
        environment=forced.Forced,
        horizon=8,
        measure=forced.untrained_return,
        goals={"return": near(8, 0)},
        train=_train(3e-4),
        updates=1,
    ),
    Probe(
        name="P11 cue of the episode before",
        catches="recurrent state that outlives an episode",
        environment=leak.CueBefore,
        horizon=3,
        measure=leak.success,
        goals={"success": near(0.5, 0.05)},
        train=_train(1e-2),
        updates=60,
    ),
    _maze(10, updates=40),
    _maze(30, updates=60),
    _maze(100, updates=50),
    Probe(
        name="P13 delayed reward",
        catches="credit over 130 steps, discount",
        environment=delayed.Garden,
        horizon=150,
        measure=delayed.mean_return,
        goals={"return": at_least(0.9)},
        train=_train(3e-3, gamma=0.995),
        updates=60,
        envs=32,
        quick=False,
    ),
)
