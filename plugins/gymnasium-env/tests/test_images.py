"""Images as they are: from a Gymnasium environment through its features to a network that reads arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import esper_core as esper
from esper_core.composition.build import build_parts
from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import ConfigError, IncompatiblePlan, PluginError
from esper_core.runs.directory import RunDirectory
from esper_gymnasium_env.images import split

CAMERA, DEPTH = spaces.Box(0, 255, (12, 10, 3), np.uint8), spaces.Box(0.0, 5.0, (4, 4), np.float64)
INNER = spaces.Dict({"depth": DEPTH, "speed": spaces.Box(-1, 1, (2,))})
SPACE = spaces.Dict({"camera": CAMERA, "inner": INNER})
ACTIONS = {"action": torch.zeros(2, dtype=torch.int64)}


def seen(t: int) -> dict[str, Any]:
    camera = np.full(CAMERA.shape, t, np.uint8)
    camera[0, 1, 2] = 200
    return {"camera": camera, "inner": {"depth": np.full(DEPTH.shape, t / 2), "speed": np.full(2, t / 10, np.float32)}}


@pytest.fixture
def filmed(scripted: Any) -> Any:
    """Return a function that builds an environment that shows images, and the rest as numbers."""

    def filmed(*options: str, space: Any = SPACE, look: Any = lambda env: seen(env.t)) -> Any:
        made = scripted("flatten=false", *options, policy="nature-cnn", observation_space=space, look=look)
        return made["environment"]

    return filmed


@pytest.mark.parametrize("workers", [0, 2])
def test_images_are_published_as_they_are_and_the_rest_in_a_row(filmed: Any, workers: int) -> None:
    environment = filmed(f"workers={workers}")
    try:
        environment.reset(seed=1)
        state, *_ = environment.step(ACTIONS)
        assert environment.state_spec.names == ("observation", "action_mask", "image.camera", "image.inner.depth")
        assert state["observation"].tolist() == [[pytest.approx(0.1)] * 2] * 2
        assert state["image.camera"].dtype == torch.uint8 and state["image.inner.depth"].dtype == torch.float32
        for row in range(2):
            assert np.array_equal(state["image.camera"][row], seen(1)["camera"])
            assert np.array_equal(state["image.inner.depth"][row], seen(1)["inner"]["depth"])
        environment.step(ACTIONS)
        assert int(state["image.camera"].max()) == 200 and int(state["image.camera"][0, 0, 0, 0]) == 1, "a copy"
    finally:
        environment.close()


def test_features_pass_images_on(filmed: Any, index: Any, plan: Any) -> None:
    environment = filmed()
    chosen = plan("Scripted-v0", "flatten=false", policy="nature-cnn")
    features = build_parts(chosen, index, only={"features"})["features"]
    environment.reset(seed=1)
    shown = features(environment.step(ACTIONS)[0])
    assert features.schema == describe_plan(chosen, index).feature_schema
    assert [(a.name, a.shape, a.dtype) for a in features.schema.arrays] == [
        ("image.camera", (12, 10, 3), "uint8"),
        ("image.inner.depth", (4, 4), "float"),
    ]
    assert shown.obs.shape == (2, 2) and shown.arrays["image.camera"].dtype == torch.uint8
    assert shown.arrays["image.inner.depth"].unique().tolist() == [pytest.approx(0.1)], "in shares of its bounds"


def test_a_run_learns_from_images_alone_plays_and_resumes(filmed: Any, plan: Any, tmp_path: Any) -> None:
    filmed(space=CAMERA, look=lambda env: seen(env.t)["camera"])
    chosen = plan("Scripted-v0", "flatten=false", policy="nature-cnn")
    run = esper.train(chosen, out=tmp_path / "runs")
    assert isinstance(run, RunDirectory)
    player = esper.load(run)
    action, _ = player.predict(seen(3)["camera"])
    assert action.shape == ()
    with pytest.raises(esper.EsperError, match="has other observations"):
        player.predict(seen(3)["camera"].astype(np.float32))
    assert len(esper.resume(run, updates=2).metrics()) == 2


def test_resuming_looks_at_images_too(filmed: Any, caplog: Any) -> None:
    environment = filmed(space=CAMERA, look=lambda env: seen(env.t)["camera"])
    environment.reset(seed=1)
    environment.step(ACTIONS)
    saved = environment.state()
    environment.load_state(saved)
    assert "does not repeat" not in caplog.text
    other = filmed(space=CAMERA, look=lambda env: seen(env.t + 1)["camera"])
    other.load_state(saved)
    assert "does not repeat episodes: 2 of 2" in caplog.text


def test_what_is_wrong_with_images_is_said(filmed: Any, plan: Any) -> None:
    broken = filmed(look=lambda env: seen(0) | {"camera": np.zeros((12, 10), np.uint8)})
    with pytest.raises(
        PluginError, match=r"does not fit its space .* uint8 \[12, 10\] is no image uint8 \[12, 10, 3\]"
    ):
        broken.reset(seed=1)
    inner = {"depth": np.full(DEPTH.shape, np.nan), "speed": np.zeros(2)}
    with pytest.raises(PluginError, match=r"a number that is not finite in 'image.inner.depth' at the start of an epi"):
        filmed(look=lambda env: seen(0) | {"inner": inner}).reset(seed=1)
    with pytest.raises(ConfigError, match="observations hold no image"):
        plan("CartPole-v1", "flatten=false", policy="nature-cnn")
    filmed()
    with pytest.raises(IncompatiblePlan, match=r"network 'lstm-v1' .* does not read: 'image.camera'") as caught:
        plan("Scripted-v0", "flatten=false")
    assert "nature-cnn" in caught.value.hint


def test_only_boxes_of_two_or_three_axes_are_images() -> None:
    ints = spaces.Box(0, 9, (3, 3), np.int64)
    images, rest = split(spaces.Dict({"a": CAMERA, "b": ints, "c": spaces.Box(0, 1, (2, 2, 2, 2)), "d": CAMERA}))
    assert [entry.name for entry in images.fields] == ["image.a", "image.d"]
    assert isinstance(rest, spaces.Dict) and list(rest.spaces) == ["b", "c"]
