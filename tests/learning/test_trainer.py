"""The trainer: its wires, its metrics, and that it can go on exactly where it was."""

import pytest
import torch

from esper_core.contracts.errors import ConfigError
from esper_core.contracts.protocols import LossResult
from tests.learning.conftest import SPEC, Net, Reinforce, ResumableWorld, Seen, Value, World, make, train


def warned(trainer, updates):
    return [u.warnings for u in trainer.run(updates)]


@pytest.mark.parametrize("minibatches", [1, 2])
def test_acting_remembering_and_learning_are_all_told_where_episodes_start(minibatches):
    """A state that is not zero to begin with shows who forgets to reset it."""

    class Dirty(Net):
        def initial_state(self, num_envs):
            return type(super().initial_state(num_envs))(*(5 + value for value in super().initial_state(num_envs)))

    for _, _, metrics, _ in train(make(net=Dirty(), num_minibatches=minibatches), 3):
        assert metrics["ratio_at_start"] == pytest.approx(1.0, abs=0 if minibatches == 1 else 1e-5)
        assert metrics["behaviour_log_prob_gap"] < 1e-4


@pytest.mark.parametrize("world", [World, ResumableWorld])
def test_the_same_seed_trains_the_same_policy(world):
    assert train(make(world()), 4) == train(make(world()), 4)
    assert train(make(world()), 4) != train(make(world(), seed=1), 4)


@pytest.mark.parametrize("world", [World, ResumableWorld])
@pytest.mark.parametrize("minibatches", [1, 3])
def test_going_on_from_a_state_is_exact(world, minibatches):
    whole = make(world(), num_minibatches=minibatches)
    expected = train(whole, 5)
    half = make(world(), num_minibatches=minibatches)
    train(half, 2)
    saved = half.state()
    train(half, 4)  # what happens afterwards must not reach into the saved state
    other = make(world(), seed=0, num_minibatches=minibatches)
    other.load_state(saved)
    assert train(other, 5) == expected[2:]
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, other.policy.state_dict()[name]), name


def test_an_environment_without_a_state_gets_a_new_seed_every_update():
    plain, resumable = World(), ResumableWorld()
    train(make(plain), 4)
    train(make(resumable), 4)
    assert len(set(plain.seeds)) == 4 and None not in plain.seeds
    assert resumable.seeds[0] is not None and resumable.seeds[1:] == [None] * 3


def test_minibatches_hold_whole_episodes_and_cover_each_once():
    loss = Reinforce()
    train(make(loss=loss, update_epochs=1, num_minibatches=3), 1)
    assert sorted(b.num_envs for b in loss.batches) == [1, 1, 2]
    assert sum(int(b.valid.sum()) for b in loss.batches) == 19


def test_a_loss_is_told_which_update_begins():
    class Told(Reinforce):
        def begin(self, update):
            self.told = [*getattr(self, "told", ()), update]

    probe = Told()
    trainer = make(loss=probe)
    train(trainer, 3)
    train(trainer, 5)
    assert probe.told == [1, 2, 3, 4, 5]


def test_progress_moves_within_an_update():
    seen = []
    for _ in make(update_epochs=2).run(1, on_step=seen.append):
        pass
    assert [(p.phase, p.step) for p in seen] == [*[("collect", t) for t in range(7)], ("learn", 1), ("learn", 2)]
    assert {p.update for p in seen} == {1} and {p.updates_total for p in seen} == {1}


def test_more_minibatches_than_environments_are_refused():
    with pytest.raises(ConfigError, match=r"train\.num_minibatches is 9, but there are only 4"):
        make(num_minibatches=9)


def test_the_gradient_is_bounded():
    def moved(bound):
        trainer = make(max_grad_norm=bound)
        before = [p.clone() for p in trainer.policy.network.parameters()]
        ((_, _, metrics, _),) = train(trainer, 1)
        after = trainer.policy.network.parameters()
        distances = [float((a - b).detach().abs().max()) for a, b in zip(before, after, strict=True)]
        return max(distances), metrics["grad_norm"]

    distance, norm = moved(1e-9)
    assert distance < 1e-4 and norm > 0.1, "what is reported is the gradient before the bound"
    assert moved(0.0)[0] > 0.01, "0 is off"


def test_the_step_size_halves_over_its_half_life():
    def moved(updates_before, **config):
        trainer = make(ResumableWorld(), max_grad_norm=0.0, update_epochs=1, **config)
        trainer.updates_done = updates_before
        before = torch.cat([p.detach().clone().flatten() for p in trainer.policy.parameters()])
        train(trainer, updates_before + 1)
        return float((torch.cat([p.detach().flatten() for p in trainer.policy.parameters()]) - before).norm())

    first = moved(0)
    assert moved(9) == first == moved(0, lr_half_life=10.0)
    assert moved(10, lr_half_life=10.0) == pytest.approx(first / 2, rel=1e-4)
    assert moved(5, lr_half_life=10.0) == pytest.approx(first / 2**0.5, rel=1e-4)


def test_cutting_the_features_cuts_learning():
    class Blind(Seen):
        def __call__(self, state):
            features = super().__call__(state)
            return type(features)(features.obs * 0, {"kind": features.indices["kind"] * 0})

    def final_return(features):
        return train(make(World(lengths=(6,) * 16), features=features), 30)[-1][2]["return"]

    assert final_return(Seen()) > 4.0 > 3.5 > final_return(Blind())


@pytest.mark.parametrize(("kl", "passes"), [(0.0149, 3.0), (0.0151, 0.0)])
def test_the_kl_stop_is_at_one_and_a_half_times_the_target(kl, passes):
    class Moved(Reinforce):
        target_kl = 0.01

        def __call__(self, batch, evaluation):
            result = super().__call__(batch, evaluation)
            return LossResult(result.loss, torch.tensor(kl), result.metrics)

    ((_, _, metrics, _),) = train(make(loss=Moved(), update_epochs=3), 1)
    assert metrics["update_epochs_done"] == passes and metrics["kl"] == pytest.approx(kl)
    assert (metrics["grad_norm"] is None) == (passes == 0)


def test_the_first_update_takes_its_statistics_from_its_own_discounted_returns():
    """A new critic says 0, which means the mean of the first returns: they are known before any advantage is."""
    trainer = make(World(lengths=(6,) * 8), lr=0.0, update_epochs=1, gamma=0.9)
    torch.nn.init.zeros_(trainer.policy.critic.layer.weight)
    torch.nn.init.zeros_(trainer.policy.critic.layer.bias)
    train(trainer, 1)
    rewards, returns, following = trainer.rollout.rewards, torch.zeros(8, 6), torch.zeros(8)
    for t in reversed(range(6)):
        following = rewards[:, t] + 0.9 * following
        returns[:, t] = following
    mean, std = float(returns.double().mean()), float(returns.double().std(correction=0))
    assert (trainer.normaliser.mean, trainer.normaliser.spread) == (pytest.approx(mean), pytest.approx(std))
    assert trainer.normaliser.count == 48
    # λ-returns bootstrap from what the critic says, in units of reward: the mean, not 0.
    first = rewards[:, 5] - mean
    torch.testing.assert_close(trainer.rollout.advantages[:, 5], first, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        trainer.rollout.advantages[:, 4], rewards[:, 4] + 0.9 * mean - mean + 0.9 * 0.95 * first, atol=1e-5, rtol=1e-5
    )


def test_later_updates_merge_their_returns_once_and_after_the_advantages():
    class Watching(Value):
        def rescale_(self, old_mean, old_std, new_mean, new_std):
            super().rescale_(old_mean, old_std, new_mean, new_std)
            calls.append(((old_mean, old_std), (new_mean, new_std)))

    calls, loss = [], Reinforce()
    trainer = make(critic=Watching(), loss=loss, update_epochs=1)
    train(trainer, 1)
    normaliser, rollout = trainer.normaliser, trainer.rollout
    before, count = (normaliser.mean, normaliser.spread), normaliser.count
    train(trainer, 2)
    assert calls == [(before, (normaliser.mean, normaliser.spread))] and normaliser.count == 2 * count == 38
    # The returns that were merged are those that the statistics of before gave.
    values = rollout.value * before[1] + before[0]
    torch.testing.assert_close(rollout.returns[rollout.valid], (rollout.advantages + values)[rollout.valid])
    old_square, new = before[1] ** 2 + before[0] ** 2, rollout.returns[rollout.valid].double()
    assert normaliser.mean == pytest.approx((before[0] + float(new.mean())) / 2)
    square = (old_square + float(new.square().mean())) / 2
    assert normaliser.spread == pytest.approx((square - normaliser.mean**2) ** 0.5)
    # The critic now speaks under the new statistics, and so do its targets; what it said was under the old ones.
    batch = loss.batches[-1]
    torch.testing.assert_close(batch.returns, (rollout.returns - normaliser.mean) / normaliser.spread)
    scale = rollout.advantages[rollout.valid].std()
    worth = (rollout.q_taken - rollout.value) * before[1] / scale
    torch.testing.assert_close(batch.op_advantage, worth, rtol=1e-4, atol=1e-5)


def test_shuffling_never_shifts_sampling():
    """One stream of random numbers per concern."""

    def drawn(minibatches):
        trainer, actions = make(lr=0.0, num_minibatches=minibatches), []
        for _ in trainer.run(3):
            actions.append({name: value.clone() for name, value in trainer.rollout.actions.items()})
        return actions

    for one, three in zip(drawn(1), drawn(3), strict=True):
        assert all(torch.equal(one[name], three[name]) for name in SPEC.names)


def test_environments_are_shuffled_anew_for_every_pass():
    loss = Reinforce()
    train(make(loss=loss, update_epochs=6, num_minibatches=4, lr=0.0), 1)
    cues = [tuple(batch.features.obs[:, 0].flatten().tolist()) for batch in loss.batches]
    orders = [tuple(cues[i : i + 4]) for i in range(0, 24, 4)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders) and len(set(orders)) > 1


def test_a_gradient_as_small_as_adams_epsilon_makes_half_a_step():
    """Adam's eps is 1e-5, so that noise around nothing is not blown up to whole steps (Huang et al. 2022)."""

    class Tiny(Reinforce):
        def __call__(self, batch, evaluation):
            return LossResult(1e-5 * trainer.policy.critic.layer.bias.sum(), torch.tensor(0.0), {})

    trainer = make(loss=Tiny(), update_epochs=1, lr=0.01)
    before = trainer.policy.critic.layer.bias.detach().clone()
    train(trainer, 1)
    torch.testing.assert_close(before - trainer.policy.critic.layer.bias.detach(), torch.full((3,), 0.005))


# Warnings -----------------------------------------------------------------------------------------------------------


def test_a_healthy_run_warns_of_nothing():
    assert warned(make(World(lengths=(6,) * 16), lr=0.003), 20) == [[]] * 20


def test_warnings_are_part_of_the_update_and_can_be_switched_off():
    setting = ("operation-certain=1.1", "gradient-large=0")
    updates = warned(make(thresholds=setting), 3)
    assert [[(w.threshold, w.metric, w.since) for w in warnings] for warnings in updates] == [
        [("operation-certain", "entropy/op", 1), ("gradient-large", "grad_norm", 1)]
    ] * 3
    assert warned(make(thresholds=setting, warnings=False), 2) == [[], []]


def test_warnings_and_counts_go_on_from_a_state():
    def build():
        return make(thresholds=("operation-certain=1.1", "acting-differs=off"))

    whole = build()
    expected, half = [(u.metrics, u.warnings) for u in whole.run(4)], build()
    warned(half, 2)
    other = build()
    other.load_state(half.state())
    assert [(u.metrics, u.warnings) for u in other.run(4)] == expected[2:]
    assert [w.since for w in expected[-1][1]] == [1] and expected[-1][0]["used/op"] == 4 * 19
