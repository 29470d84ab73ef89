"""obs-v3 on the growth environment: what it publishes is what these features read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from attrs import evolve

from esper_core import SlotConfig
from esper_core.contracts.protocols import BuildContext
from esper_obs_v3.config import ObsV3Config
from esper_obs_v3.features import ObsV3
from esper_obs_v3.schema import READS, STAGES

growth = pytest.importorskip("esper_growth", reason="the growth environment is a distribution of its own")


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildContext:
    from esper_growth.blueprints import image
    from esper_growth.config import DigitsConfig, GrowthConfig, PointwiseConfig
    from esper_growth.describe import describe
    from esper_growth.hosts.uniform import PointwiseHost
    from esper_growth.tasks.digits import digits

    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    slots = SlotConfig.for_grid(1, 2)
    description = describe(GrowthConfig(epochs=14, batch_size=20), slots)
    empty = BuildContext(
        slots=slots,
        actions=description.actions,
        state_spec=description.state,
        feature_schema=None,
        latent_dim=0,
        gamma=0.995,
        num_envs=2,
        seed=0,
        device="cpu",
        dtype=torch.float32,
    )
    parts = {
        "task": digits(DigitsConfig(train_samples=200), empty),
        "host": PointwiseHost(PointwiseConfig(), empty),
        "blueprint": {"norm": image.norm(None, empty), "conv_light": image.conv_light(None, empty)},
    }
    return evolve(empty, parts=parts)


def test_growth_publishes_what_is_read_and_stages_mean_the_same(context: BuildContext) -> None:
    from esper_growth.stages import Stage

    assert set(READS) <= set(context.state_spec.names)
    assert tuple(stage.name for stage in Stage) == STAGES


def test_an_episode_of_random_play_stays_in_range_and_is_seen(context: BuildContext) -> None:
    from esper_growth.config import GrowthConfig
    from esper_growth.make import growth as make_growth
    from esper_growth.masks import LifecycleMasks
    from esper_growth.rules import UniformLegal

    environment = make_growth(GrowthConfig(epochs=14, batch_size=20), context)
    extract, masks, rule = ObsV3(ObsV3Config(), context), LifecycleMasks(None, context), UniformLegal(None, context)
    generator = torch.Generator().manual_seed(0)
    state, _ = environment.reset(seed=0)
    rule.reset(2)
    names, seen = extract.schema.names, []
    features = (*extract.schema.base, *(extract.schema.per_slot * 2))
    low = torch.tensor([f.low for f in features]) - 1e-6
    high = torch.tensor([f.high for f in features]) + 1e-6
    try:
        for _ in range(environment.horizon):
            obs = extract(state).obs
            assert torch.isfinite(obs).all()
            outside = ((obs < low) | (obs > high)).any(dim=0).nonzero().flatten().tolist()
            assert not outside, [names[i] for i in outside]
            seen.append(obs)
            actions = rule(state, masks(state), generator)
            state, *_ = environment.step(actions)
            last = extract(state).obs[:, names.index("last_op.WAIT") : names.index("last_op.ADVANCE") + 1]
            assert torch.equal(last.argmax(dim=1), actions["op"])
    finally:
        environment.close()

    moved = (torch.stack(seen) != seen[0]).any(dim=0).any(dim=0)
    base = {"epoch_progress", "loss", "accuracy", "loss_1_ago", "best_accuracy", "params_utilization"}
    per_slot = {"is_active", "stage.TRAINING", "alpha", "contribution", "gradient_norm", "epochs_in_stage"}
    changed = {name for name, has in zip(names, moved.tolist(), strict=True) if has}
    assert base <= changed
    assert per_slot <= {name.partition(".")[2] for name in changed if name.startswith("slot")}
