import math

import pytest
import torch
from attrs import evolve

from esper_core.contracts.features import ArrayField
from esper_core.contracts.tensors import mapped
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.learning.rollout import LEAST_SIGNAL, Rollout, standardise
from tests.learning.conftest import SCHEMA, SPEC, World
from tests.learning.test_collector import collect


def seen(mean=0.0, std=1.0):
    """Return the statistics of returns with this mean and spread."""
    return ReturnNormaliser(count=1.0, mean=mean, squares=std * std)


def ready(world=None):
    rollout, policy, _ = collect(world or World())
    steps = rollout.steps()
    with torch.no_grad():
        old = policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
        rollout.store_old_policy(old)
    rollout.compute_advantages(0.9, 0.95, 0.0, 1.0)
    return rollout, policy


@pytest.mark.parametrize("lengths", [(6, 6, 4, 3), (2, 3)])
def test_sequences_are_the_storage_up_to_the_longest_episode(lengths):
    """They are contiguous, or every network would copy them at every evaluation; and not copied where they are."""
    rollout, _ = ready(World(lengths))
    batch, length = rollout.sequences(1.0, seen()), max(lengths)
    pairs = (
        (batch.features.obs, rollout.features.obs),
        (batch.features.indices["kind"], rollout.features.indices["kind"]),
        (batch.actions["slot"], rollout.actions["slot"]),
        (batch.masks.slot_given_op, rollout.masks.slot_given_op),
        (batch.old_logits["op"], rollout.old_logits["op"]),
        (batch.valid, rollout.valid),
    )
    for part, stored in pairs:
        assert torch.equal(part, stored[:, :length]) and part.is_contiguous()
        assert (part.data_ptr() == stored.data_ptr()) == (length == rollout.horizon)


def test_arrays_are_stored_in_their_dtype():
    arrays = (ArrayField("seen", (2, 3), "uint8"), ArrayField("far", (4,), "float"))
    rollout = Rollout(5, 2, SPEC, evolve(SCHEMA, arrays=arrays), torch.device("cpu"))
    seen = {"seen": torch.full((2, 2, 3), 200, dtype=torch.uint8), "far": torch.rand(2, 4)}
    features = mapped(rollout.features, lambda value: value[:, 0] * 0)._replace(arrays=seen)
    masks = mapped(rollout.masks, lambda value: value[:, 0])
    rollout.add_obs(1, features, masks)
    for name, stored in rollout.features.arrays.items():
        assert stored.dtype == seen[name].dtype and torch.equal(stored[:, 1], seen[name])


def test_advantages_of_old_data_are_refused():
    rollout, _ = ready()
    rollout.begin()
    with pytest.raises(RuntimeError, match="compute_advantages"):
        rollout.sequences(1.0, seen())


def test_statistics_come_from_valid_steps_only():
    torch.manual_seed(0)
    advantages, valid = torch.randn(6, 4), torch.rand(6, 4) < 0.6
    result, scale = standardise(advantages, valid, 1.0)
    assert float(result[valid].mean()) == pytest.approx(0, abs=1e-6)
    assert float(result[valid].std()) == pytest.approx(1, abs=1e-5) and bool((result[~valid] == 0).all())
    noisy = torch.where(valid, advantages, 1e9)
    assert torch.equal(standardise(noisy, valid, 1.0)[0], result) and scale > 0


@pytest.mark.parametrize("value", [5.0, 0.1, 1e-6])
def test_equal_advantages_are_no_signal(value):
    """Neither is what rounding makes of them."""
    valid, noise = torch.ones(3, 2, dtype=torch.bool), 1 + 1e-7 * torch.randn(3, 2)
    for advantages in (torch.full((3, 2), value), value * noise):
        same, scale = standardise(advantages, valid, value)
        assert bool((same == 0).all()) and scale == math.inf


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_what_is_noise_is_told_by_the_returns_own_scale(unit):
    valid, noise = torch.ones(60, 4, dtype=torch.bool), torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    for share, expected in ((1e-5, 1e-5 / LEAST_SIGNAL), (0.1, 1.0)):
        result, scale = standardise(unit * share * noise, valid, unit)
        assert float(result.std()) == pytest.approx(expected, rel=0.1)
        torch.testing.assert_close(result * scale, unit * share * (noise - noise.mean()), rtol=1e-4, atol=1e-9 * unit)
