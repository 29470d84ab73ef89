"""What is particular to the networks: their layers, free standard deviations, forms of images, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import evolve

from esper_core import ActionSpec, ArrayField, Feature, FeatureSchema, Head, SlotConfig, StateSpec
from esper_core.contracts.actions import ContinuousHead
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_feedforward.config import MlpConfig, NatureCnnConfig
from esper_feedforward.mlp import MlpNetwork
from esper_feedforward.nature_cnn import NatureCnn

ACTIONS = ActionSpec((Head("op", ("a", "b", "c")), ContinuousHead("push", ("x", "y"))))
SCHEMA = FeatureSchema(tuple(Feature(f"f{i}", "", -1, 1, "") for i in range(4)))


def context(*images: ArrayField) -> BuildContext:
    schema = evolve(SCHEMA, arrays=images)
    return BuildContext(SlotConfig.for_grid(1, 1), ACTIONS, StateSpec(()), schema, 0, 0.99, 2, 0, "cpu", torch.float32)


def run(network: Any, obs: torch.Tensor, **arrays: torch.Tensor) -> NetworkOutput:
    found: NetworkOutput = network(Features(obs, {}, arrays), network.initial_state(2), torch.zeros(obs.shape[:2]))
    return found


@pytest.mark.parametrize("name", ["mlp", "nature-cnn"])
def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None], name: str) -> None:
    conforms(f"network/{name}")


def test_mlp_has_the_layers_of_mlp_policy_and_begins_as_it_does() -> None:
    from gymnasium import spaces
    from stable_baselines3.common.policies import ActorCriticPolicy

    torch.manual_seed(0)
    box = spaces.Box(-1, 1, (2,))
    theirs = ActorCriticPolicy(spaces.Box(-1, 1, (4,)), box, lambda _: 1e-3)
    ours = MlpNetwork(MlpConfig(), evolve(context(), actions=ActionSpec(ACTIONS.heads[1:])))
    assert ours.latent_dim == 64
    mine = {name: tuple(value.shape) for name, value in ours.named_parameters()}
    extractor = theirs.mlp_extractor
    for stack, other in ((ours.acting, extractor.policy_net), (ours.valuing, extractor.value_net)):
        for layer, like in zip(stack, other, strict=True):
            assert type(layer) is type(like)
            if isinstance(layer, torch.nn.Linear):
                gain = [torch.linalg.matrix_norm(one.weight, 2).item() for one in (layer, like)]
                assert layer.weight.shape == like.weight.shape and gain[0] == pytest.approx(gain[1], rel=1e-4)
    assert mine["heads.layers.0.mean.weight"] == tuple(theirs.action_net.weight.shape)
    assert torch.equal(ours.heads.layers[0].log_std, theirs.log_std)


def test_free_standard_deviations_are_the_same_in_every_state() -> None:
    obs = torch.randn(2, 3, 4)
    for free in (True, False):
        network = MlpNetwork(MlpConfig(free_std=free), context())
        logits = run(network, obs).logits["push"]
        assert logits.shape == (2, 3, 4) and len(logits[..., :2].unique()) > 2
        assert (len(logits[..., 2:].unique()) == 1) == free


@pytest.mark.parametrize(
    ("shape", "width"),
    [
        ((84, 84, 4), 3136),
        ((4, 84, 84), 3136),
        ((84, 84), 3136),
        ((36, 40, 3), 64),
        ((35, 36, 3), 64 * 9 * 9),
        ((7, 7, 3), 3136),
        ((1, 1), 64),
    ],
)
def test_images_of_any_form(shape: tuple[int, ...], width: int) -> None:
    network = NatureCnn(NatureCnnConfig(), context(ArrayField("seen", shape, "uint8")))
    assert network.input_dim == 4 + width
    assert run(network, torch.zeros(2, 3, 4), seen=torch.zeros(2, 3, *shape, dtype=torch.uint8)).latent.shape[2] == 512


def test_channels_last_and_first_are_the_same_picture_and_pixels_are_divided_by_255() -> None:
    last = torch.randint(256, (2, 1, 40, 36, 3), dtype=torch.uint8)
    pictures = {"last": last, "first": last.movedim(-1, 2), "floats": last.float() / 255}
    found = []
    for name, picture in pictures.items():
        torch.manual_seed(0)
        kind = "float" if name == "floats" else "uint8"
        network = NatureCnn(NatureCnnConfig(), context(ArrayField("seen", tuple(picture.shape[2:]), kind)))
        found.append(run(network, torch.zeros(2, 1, 4), seen=picture).latent)
    assert torch.allclose(found[0], found[1]) and torch.allclose(found[0], found[2])
    dark = run(network, torch.zeros(2, 1, 4), seen=pictures["floats"] * 0).latent
    assert not torch.allclose(dark, found[2]) and not torch.allclose(
        run(network, torch.ones(2, 1, 4), seen=pictures["floats"] * 0).latent, dark
    )


def test_what_it_cannot_see_is_refused() -> None:
    with pytest.raises(IncompatiblePlan, match="sees images, and the features have none") as caught:
        NatureCnn(NatureCnnConfig(), context())
    assert "flatten=false" in caught.value.hint
    with pytest.raises(IncompatiblePlan, match=r"'seen' \[4, 84, 84, 3\] is no image"):
        NatureCnn(NatureCnnConfig(), context(ArrayField("seen", (4, 84, 84, 3), "uint8")))


@pytest.mark.parametrize("widths", [(), (0,), (64, -1)])
def test_impossible_widths(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one or more whole numbers"):
        MlpConfig(widths=widths)
