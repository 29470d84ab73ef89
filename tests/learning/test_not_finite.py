"""Numbers that are not finite: the update is skipped and named, nothing that was learned changes, three end the run."""

import json
import math

import pytest
import torch
from attrs import evolve

from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.features import ArrayField
from esper_core.contracts.protocols import LossResult
from tests.learning.conftest import Net, Reinforce, ResumableWorld, Seen, World, make, train


class Spoilt(Reinforce):
    """Its loss, or its KL, is no number at these calls."""

    def __init__(self, calls, what="loss", value=torch.nan):
        super().__init__()
        self.calls, self.what, self.value = calls, what, value

    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        spoilt = len(self.batches) in self.calls
        loss = result.loss * (self.value if spoilt and self.what == "loss" else 1)
        if spoilt and self.what == "gradient":
            loss = loss + 0 * (result.loss - result.loss.detach()).abs().sqrt()
        return LossResult(loss, torch.tensor(self.value) if spoilt and self.what == "KL" else result.kl, result.metrics)


def learned(trainer):
    tables = trainer.state().tensors
    return {
        f"{group}/{name}": v for group in ("policy", "optimiser", "normaliser") for name, v in tables[group].items()
    }


def assert_equal(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def skips(update):
    return [w.message for w in update.warnings if w.threshold == "update-skipped"]


@pytest.mark.parametrize(
    ("what", "value"), [("loss", torch.nan), ("loss", torch.inf), ("KL", torch.nan), ("gradient", torch.nan)]
)
@pytest.mark.parametrize("call", [1, 2])
def test_the_update_is_skipped_named_and_counted(what, value, call):
    # Two passes each: the third and fourth call are those of the second update.
    trainer = make(ResumableWorld(), loss=Spoilt({2 + call}, what, value), update_epochs=2)
    updates = trainer.run(3)
    assert next(updates).metrics["skipped_updates"] == 0.0
    before = learned(trainer)
    second = next(updates)
    assert_equal(learned(trainer), before)
    (message,) = skips(second)
    assert message == (
        "update 2 was skipped, and policy and optimiser left as they were: "
        f"the {what} of epoch {call} became NaN or infinite"
    )
    assert (second.index, second.environment_steps, second.metrics["skipped_updates"]) == (2, 38, 1.0)
    assert second.metrics["return"] is not None and len(second.events) == 4, "the episodes were played"
    assert all(value is None or math.isfinite(value) for value in second.metrics.values())
    third = next(updates)
    assert not skips(third) and third.metrics["skipped_updates"] == 1.0 and third.metrics["update_epochs_done"] == 2.0
    assert not torch.equal(learned(trainer)["policy/network.heads.op.bias"], before["policy/network.heads.op.bias"])


def test_weights_that_a_step_ruins_are_put_back():
    trainer = make(lr=0.01, update_epochs=1)
    (_,) = trainer.run(1)
    before = learned(trainer)
    step = trainer.optimiser.advance

    def ruin(*given):
        step(*given)
        with torch.no_grad():
            next(trainer.policy.parameters()).view(-1)[0] = torch.inf

    trainer.optimiser.advance = ruin
    (update,) = trainer.run(2)
    assert "the weights or the optimiser's moments became NaN or infinite" in skips(update)[0]
    assert_equal(learned(trainer), before)


def test_a_policy_that_cannot_act_is_skipped_too():
    class Spoiling(Net):
        calls = 0

        def forward(self, *arguments):
            output, self.calls = super().forward(*arguments), self.calls + 1
            spoilt = {name: value * torch.nan for name, value in output.logits.items()}
            return output._replace(logits=spoilt) if self.calls == 3 else output

    trainer = make(net=Spoiling())
    update = next(trainer.run(2))
    assert "the policy's log-probabilities at step 2 became NaN or infinite" in skips(update)[0]
    assert (update.index, update.environment_steps, update.events) == (1, 0, [])
    assert update.metrics.get("return") is None


def test_three_in_a_row_end_the_run_with_the_policy_before_them():
    trainer = make(loss=Spoilt(range(2, 100)), update_epochs=1)
    updates = trainer.run(9)
    next(updates)
    good = learned(trainer)
    assert [update.index for update in (next(updates), next(updates), next(updates))] == [2, 3, 4]
    assert_equal(learned(trainer), good)
    words = r"Updates 2 to 4 were skipped: the loss of epoch 1 became NaN or infinite\. The policy is that of update 1"
    with pytest.raises(EsperError, match=words) as caught:
        next(updates)
    assert caught.value.exit_code == 1 and "train.lr" in caught.value.hint


def test_a_good_update_between_begins_the_count_anew():
    updates = list(make(loss=Spoilt({1, 2, 4, 5}), update_epochs=1).run(6))
    assert [bool(skips(u)) for u in updates] == [True, True, False, True, True, False]
    assert updates[-1].metrics["skipped_updates"] == 4.0


def test_going_on_knows_how_many_were_skipped():
    whole = make(loss=Spoilt({1, 2}), update_epochs=1)
    updates = whole.run(5)
    next(updates), next(updates)
    saved = whole.state()
    json.dumps(saved.counters, allow_nan=False)
    other = make(loss=Spoilt({1}), update_epochs=1)
    other.load_state(saved)
    with pytest.raises(EsperError, match="Updates 1 to 3"):
        train(other, 5)


@pytest.mark.parametrize(("updates", "words"), [(1, "Update 1 was"), (2, "Updates 1 to 2 were")])
def test_a_short_run_in_which_nothing_was_learned_is_no_success(updates, words):
    with pytest.raises(EsperError, match=f"{words} skipped: the loss of epoch 1 became NaN or infinite"):
        train(make(loss=Spoilt(range(9))), updates)


def test_an_observation_that_is_not_finite_ends_the_run():
    class Bad(Seen):
        def __call__(self, state):
            features = super().__call__(state)
            return type(features)(features.obs / 0, features.indices)

    trainer = make(World())
    object.__setattr__(trainer._collector, "features", Bad())
    with pytest.raises(PluginError, match=r"the observation of step 0 in environment 0 \(clock\) is not finite"):
        train(trainer, 1)


def test_an_array_that_is_not_finite_ends_the_run_too():
    class Looking(Seen):
        schema = evolve(Seen.schema, arrays=(ArrayField("photo", (2, 2), "uint8"), ArrayField("depth", (2,), "float")))

        def __call__(self, state):
            depth = torch.zeros(4, 2)
            depth[3, 1] = torch.nan
            return (
                super()
                .__call__(state)
                ._replace(arrays={"photo": torch.zeros(4, 2, 2, dtype=torch.uint8), "depth": depth})
            )

    trainer = make(World())
    trainer = make(World(), features=Looking())
    with pytest.raises(PluginError, match=r"the array 'depth' of step 0 in environment 3 at \[1\] is not finite"):
        train(trainer, 1)
