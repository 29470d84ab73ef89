"""What environments and losses return and raise, as the trainer sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import Owner, Owners
from esper_core.contracts.protocols import LossResult
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from tests.learning.conftest import SPEC, Net, Reinforce, ResumableWorld, Seen, Value, World, make

KINDS = ("environment", "features", "masks", "network", "critic", "loss")
OWNERS = Owners({kind: Owner(f"{kind} 'acme' (acme 1.0)", f"{kind}/acme") for kind in KINDS})


def train(world: World | None = None, loss: Any = None, net: Any = None, **parts: Any) -> tuple[Trainer, Any]:
    trainer = make(world, loss, net=net, owners=OWNERS, update_epochs=1, **parts)
    return trainer, next(trainer.run(1))


def changing(position: int, change: Any) -> World:
    class Changed(World):
        def step(self, actions: Any) -> Any:
            found = list(super().step(actions))
            found[position] = change(found[position])
            return tuple(found)

    return Changed()


STEPS = {
    "column": (1, lambda r: r[:, None], r"its reward is float32 \[4, 1\], not float \[4\]"),
    "flags": (2, lambda f: f.int(), r"its 'terminated' is int32 \[4\], not bool \[4\]"),
    "late": (0, lambda s: {"clock": s["clock"]}, "its state lacks 'cue'; it has clock"),
    "info": (4, lambda _: None, "its info is a NoneType, not a table"),
    "seconds": (4, lambda i: {**i, "seconds": {"a": "b"}}, "is {'a': 'b'}, not a table of phases with numbers"),
    "env": (4, lambda _: {"events": [{"env": 4, "step": 0, "type": "x"}]}, "type 'x' has the env 4 of 4"),
}


@pytest.mark.parametrize("wrong", STEPS)
def test_an_environment_that_returns_something_else(wrong: str) -> None:
    position, change, words = STEPS[wrong]
    with pytest.raises(PluginError, match=r"environment 'acme' \(acme 1.0\) breaks its contract: ") as raised:
        train(changing(position, change))
    assert words.replace("\\", "") in raised.value.message


def test_a_reward_beyond_what_is_learned_with_is_named() -> None:
    with pytest.raises(PluginError, match=r"environment 'acme' .*the reward of step 0 in environment 0 is not finite"):
        train(changing(1, lambda reward: reward.double() + 1e39))


def test_numbers_of_events_become_metrics_whatever_they_are() -> None:
    said = {"a": np.float32(1.5), "b": np.int64(3), "c": torch.tensor(2.5), "d": 7, "e": True}
    said |= {"f": [np.int32(1), 3], "g": [None]}
    _, update = train(changing(4, lambda info: {"events": [{**event, **said} for event in info["events"]]}))
    names = ("a", "b", "c", "d", "e", "f_mean", "f_max")
    assert [update.metrics[name] for name in names] == [1.5, 3.0, 2.5, 7.0, 1.0, 2.0, 3.0]
    assert {type(event[name]) for event in update.events for name in "abcde"} == {float, int, bool}
    assert update.metrics["g_mean"] is None
    assert not {"env", "step"} & update.metrics.keys()


def test_what_a_state_cannot_hold_is_named() -> None:
    class Keyed(ResumableWorld):
        def state(self) -> dict[str, Any]:
            return {**super().state(), "table": {1: 2}}

    with pytest.raises(PluginError, match=r"its state\(\) cannot be saved: it holds a table with the key 1"):
        make(Keyed()).state()


LOSSES = {
    "vector": (lambda r: LossResult(r.loss[None], r.kl, {}), r"its loss is float32 \[1\], not float \[\]"),
    "constant": (lambda r: LossResult(r.loss.detach(), r.kl, {}), "its loss depends on no weight"),
    "metric": (lambda r: LossResult(r.loss, r.kl, {"x": torch.zeros(2)}), r"its metric 'x' has shape \[2\]"),
    "pair": (lambda r: (r.loss, r.kl), "what it returns is a tuple, not esper_core.contracts.protocols.LossResult"),
}


@pytest.mark.parametrize("wrong", LOSSES)
def test_a_loss_that_returns_something_else(wrong: str) -> None:
    change, words = LOSSES[wrong]

    class Wrong(Reinforce):
        def __call__(self, batch: Any, evaluation: Any) -> LossResult:
            return change(super().__call__(batch, evaluation))  # type: ignore[no-any-return, no-untyped-call]

    with pytest.raises(PluginError, match=rf"loss 'acme' \(acme 1.0\) breaks its contract: {words}"):
        train(loss=Wrong())


def test_metrics_of_a_loss_may_be_plain_numbers() -> None:
    class Plain(Reinforce):
        def __call__(self, batch: Any, evaluation: Any) -> LossResult:
            result = super().__call__(batch, evaluation)
            return LossResult(result.loss, 0.0, {"x": 1.5, "y": np.float32(2.5)})  # type: ignore[arg-type, dict-item]

    _, update = train(loss=Plain())
    assert (update.metrics["x"], update.metrics["y"]) == (1.5, 2.5)


class Raising:
    """A part of a kind that raises when it is called."""

    schema = Seen.schema
    target_kl = None

    def __call__(self, *_: Any) -> Any:
        raise SystemExit(0)


@pytest.mark.parametrize("kind", ["features", "masks", "loss"])
def test_whatever_a_part_raises_names_it(kind: str) -> None:
    with pytest.raises(PluginError, match=rf"{kind} 'acme' \(acme 1.0\) failed while [\w ]+: SystemExit"):
        train(**{kind: Raising()})


def test_a_network_whose_gradients_fail_is_among_those_named() -> None:
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            raise ValueError("no way back")

    class Odd(Net):
        def forward(self, *arguments: Any) -> Any:
            output = super().forward(*arguments)
            return output._replace(latent=Backward.apply(output.latent))

    with pytest.raises(PluginError, match=r"network 'acme' .*, critic 'acme' .* or loss 'acme' .* computing gradients"):
        train(net=Odd())


def test_a_policy_without_weights_is_named() -> None:
    net = Net()
    policy = Policy(net, Value(), SPEC)
    for module in list(policy.modules()):
        module._parameters.clear()
    with pytest.raises(PluginError, match="neither it nor its critic has a parameter"):
        make(policy=policy)
