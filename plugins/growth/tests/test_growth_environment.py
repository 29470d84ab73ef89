"""The environment: order within a step, what is paid, what is published, and what is refused."""

import math

import pytest
import torch

from esper_core.contracts.board import Cell, HasBoard
from esper_core.contracts.errors import EsperError
from esper_evaluation.rules import Random
from esper_growth import reward
from esper_growth.actions import Op
from esper_growth.stages import Stage


def grow_and_hold(environment, act, blueprint=1):
    """Germinate a fast seed in slot 0 and wait until it holds; return the state."""
    environment.reset()
    state = environment.step(act(environment, op=Op.GERMINATE, blueprint=blueprint, tempo=0, style=0))[0]
    while int(state["stage"][0, 0]) != Stage.HOLDING:
        state = environment.step(act(environment))[0]
    return state


@pytest.mark.parametrize("options", [{}, {"runtime": "fused"}, {"runtime": "loop"}])
def test_waiting_through_an_episode_returns_exactly_zero(make_environment, act, options):
    environment = make_environment(epochs=4, envs=3, hosts_per_group=2, curves=None, **options)
    environment.reset()
    steps = [environment.step(act(environment)) for _ in range(4)]
    assert sum(step[1] for step in steps).tolist() == [0.0] * 3
    *_, terminated, truncated, info = steps[-1]
    assert bool(terminated.all()) and not bool(truncated.any())
    assert [(e["return"], e["gain"], e["fossils"]) for e in info["events"]] == [(0.0, 0.0, 0.0)] * 3
    assert all(e["committed_accuracy"] == e["static_accuracy"] == e["full_accuracy"] > 0 for e in info["events"])


def test_the_episode_ends_on_its_last_epoch_and_stays_ended(make_environment, act):
    """And every call says where its time went."""
    environment = make_environment(epochs=3)
    _, info = environment.reset()
    assert set(info["seconds"]) == {"static_curves", "validation"}
    ends = [environment.step(act(environment))[2].tolist() for _ in range(3)]
    assert ends == [[False, False], [False, False], [True, True]]
    before = environment.runtime.weights(0)
    state, reward, terminated, _, info = environment.step(act(environment, op=Op.GERMINATE, blueprint=1))
    assert reward.tolist() == [0.0, 0.0] and info["events"] == [] and not bool(terminated.any())
    assert set(info["seconds"]) == {"host_training", "validation"} and min(info["seconds"].values()) > 0
    assert int(state["epoch"][0]) == 3 and int(state["stage"][0, 0]) == Stage.DORMANT
    after = environment.runtime.weights(0)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_stream_of_instances_continues_from_its_state(make_environment):
    environment = make_environment(epochs=1)
    environment.reset(seed=4)
    saved = environment.state()
    following = [environment.reset()[1]["instances"] for _ in range(3)]
    other = make_environment(epochs=1)
    other.load_state(saved)
    assert [other.reset()[1]["instances"] for _ in range(3)] == following
    assert len({tuple(i) for i in following}) > 1
    assert environment.reset(options={"instances": [7, 3]})[1]["instances"] == [7, 3]
    with pytest.raises(EsperError, match="1 instances were given for 2 environments"):
        environment.reset(options={"instances": [7]})


def test_heads_that_do_not_matter_change_nothing(make_environment, act):
    def rows(garbage):
        environment, found = make_environment(epochs=8), []
        environment.reset(seed=0)
        first = {"op": Op.GERMINATE, "blueprint": 1, "alpha_speed": garbage, "alpha_curve": garbage}
        later = dict.fromkeys(("slot", "blueprint", "style", "tempo", "alpha_target"), garbage)
        for step in range(8):
            state, reward, *_ = environment.step(act(environment, **(later if step else first)))
            found.append((reward.tolist(), {name: value.tolist() for name, value in state.items()}))
        return repr(found)

    assert rows(0) == rows(2)


def test_an_operation_is_paid_for_by_the_epoch_that_follows(make_environment, act):
    environment = make_environment(epochs=12, shaping=0.0)
    environment.reset()
    _, reward, *_ = environment.step(act(environment, op=Op.GERMINATE, blueprint=1))
    assert reward.tolist() == pytest.approx([-0.001, -0.001]), "a dormant branch costs no rent"
    state, reward, *_ = environment.step(act(environment))
    while float(state["alpha"][0, 0]) == 0.0:
        assert reward.tolist() == [0.0, 0.0]
        state, reward, *_ = environment.step(act(environment))
    growth = float(state["alpha"][0, 0]) * 2336 / int(environment.described["host_parameters"][0])
    assert float(reward[0]) == pytest.approx(-0.02 / 12 * math.log1p(growth), rel=1e-4)


def test_fossils_are_paid_at_the_last_step_and_nothing_else_is(make_environment, act):
    environment = make_environment(epochs=12, samples=300, operation_cost=0.0, rent=0.0, shaping=0.0)
    state = grow_and_hold(environment, act)
    while int(state["epoch"][0]) < 11:
        state = environment.step(act(environment))[0]
    assert bool((state["contribution"][:, 0] > 0).all())
    _, reward, terminated, _, info = environment.step(act(environment, op=[Op.FOSSILIZE, Op.WAIT]))
    _, kept, left = info["events"]
    assert bool(terminated.all()) and (kept["fossils"], left["fossils"]) == (1.0, 0.0)
    assert reward.tolist() == pytest.approx([kept["gain"], left["gain"]])
    assert kept["gain"] == pytest.approx(kept["committed_accuracy"] - kept["static_accuracy"])
    assert kept["committed_accuracy"] == kept["full_accuracy"] and kept["added_parameters"] == 2336.0
    assert left["uncommitted_gap"] == pytest.approx(left["full_accuracy"] - left["committed_accuracy"])
    assert left["full_accuracy"] != left["committed_accuracy"]


def test_return_leaves_shaping_out_and_reward_telescopes(make_environment, play):
    def paid(**options):
        *_, rewards, events = play(make_environment(epochs=14, **options), Random)
        logged = [e["return"] for e in events if e["type"] == "episode"]
        return sum(0.995**t * reward.double() for t, reward in enumerate(rewards)), sum(rewards), logged

    (shaped, shaped_total, logged), (plain, plain_total, plain_logged) = paid(), paid(shaping=0.0)
    assert logged == plain_logged == pytest.approx(plain_total.tolist(), abs=1e-5)
    torch.testing.assert_close(shaped, plain, atol=1e-5, rtol=0)
    assert not torch.allclose(shaped_total, plain_total), "shaping must have paid something along the way"


def test_potential_sums_over_all_slots():
    stage = torch.tensor([[Stage.TRAINING, Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED, Stage.FOSSILIZED]])
    assert float(reward.potential(stage, 0.02)) == pytest.approx(0.02 * (0.2 + 0.5 + 0.7 + 2.0))
    empty = torch.tensor([[Stage.DORMANT, Stage.GERMINATED, Stage.PRUNED, Stage.EMBARGOED, Stage.RESETTING]])
    assert float(reward.potential(empty, 0.02)) == 0.0


def test_an_illegal_action_is_refused_by_name(make_environment, act):
    environment = make_environment(epochs=1)
    environment.reset()
    for heads, words in (
        ({"op": Op.FOSSILIZE, "slot": 1}, "FOSSILIZE on slot r0c1 .DORMANT"),
        ({"op": Op.GERMINATE, "blueprint": 0}, "blueprint noop"),
        ({"op": Op.GERMINATE, "blueprint": 8}, "blueprint lora"),
    ):
        with pytest.raises(EsperError, match=words):
            environment.step(act(environment, **heads))


def test_the_state_is_what_the_spec_says(make_environment, play):
    environment = make_environment(epochs=25, samples=200)
    (first, *states), *_ = play(environment, Random)
    kinds, moved = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}, set()
    unbounded = ("loss", "loss_history", "best_loss", "gradient_norm")
    for state in states:
        assert tuple(state) == environment.state_spec.names
        for field in environment.state_spec.fields:
            value = state[field.name]
            assert tuple(value.shape) == field.sizes(2, 3, 6) and value.dtype == kinds[field.dtype], field.name
            assert bool(value.isfinite().all()), field.name
            if field.dtype != "bool" and field.name not in unbounded:
                assert field.low <= float(value.min()) and float(value.max()) <= field.high, field.name
        moved |= {name for name, value in state.items() if not torch.equal(value, first[name])}
    described = {"host_parameters", "train_samples", "axes", "channels"}
    assert set(first) - moved <= {"epochs_total", "auto_advance", "vanishing", "exploding"} | described


def test_published_tensors_are_copies_and_histories_hold_what_came_before(make_environment, act):
    environment = make_environment()
    states = [environment.reset()[0]]
    states[0]["stage"].fill_(99)
    states += [environment.step(act(environment))[0] for _ in range(3)]
    assert int(states[-1]["stage"].max()) == Stage.DORMANT
    seen = [float(state["accuracy"][0]) for state in states[:3]]
    assert states[0]["accuracy_history"].tolist() == [[-1.0] * 5] * 2
    assert states[-1]["accuracy_history"][0].tolist() == pytest.approx([-1.0, -1.0, *seen])


def test_events_tell_the_life_of_a_seed(make_environment, follow):
    environment = make_environment(epochs=12, samples=300, envs=1)
    environment.reset()
    plan = {0: {"op": Op.GERMINATE, "blueprint": 4, "tempo": 0, "slot": 1}, 11: {"op": Op.FOSSILIZE, "slot": 1}}
    *life, episode = follow(environment, 12, plan)[1]
    steps = [(0, "germinate", "GERMINATED"), (1, "advance", "TRAINING"), (3, "advance", "BLENDING")]
    assert [(e["step"], e["type"], e["stage"]) for e in life][:4] == [*steps, (5, "advance", "HOLDING")]
    assert all(e["slot"] == "r0c1" and e["blueprint"] == "depthwise" for e in life)
    assert all(e["parameters"] == 16 * 16 + 11 * 16 and e["blend"] == "ADD" for e in life)
    assert episode["host_parameters"] == int(environment.described["host_parameters"][0])


def test_a_refused_fossilization_changes_nothing_and_a_pruned_seed_leaves_nothing_behind(make_environment, act):
    environment = make_environment(epochs=12)
    grow_and_hold(environment, act)
    environment.progress.contribution[:, 0] = -0.1
    state, _, _, _, info = environment.step(act(environment, op=Op.FOSSILIZE))
    assert state["last_op_success"].tolist() == [False, False] and state["last_op"].tolist() == [Op.FOSSILIZE] * 2
    assert state["stage"][:, 0].tolist() == [Stage.HOLDING] * 2 and info["events"] == []
    environment.progress.contribution_velocity[:, 0] = 0.5
    state, _, _, _, info = environment.step(act(environment, op=Op.PRUNE, alpha_speed=0))
    assert [e["type"] for e in info["events"] if e["env"] == 0] == ["prune", "removed"]
    assert all(e["blueprint"] == "conv_light" for e in info["events"])
    assert all(e["parameters"] is None and e["blend"] is None for e in info["events"])
    assert all(name.startswith("host.") for name in environment.runtime.weights(0))
    assert float(state["contribution_velocity"][0, 0]) == float(state["contribution"][0, 0]) == 0.0
    assert not bool(state["contribution_measured"][0, 0])
    assert int(state["seed_parameters"][0]) == 0 and int(state["blueprint"][0, 0]) == -1


def test_the_board_shows_every_slot_and_changes_nothing(make_environment, act):
    environment = make_environment(epochs=12, envs=2)
    grow_and_hold(environment, act, blueprint=3)
    before, board = environment._state(), environment.board([1, 0])
    assert isinstance(environment, HasBoard) and board.places == ("r0c0", "r0c1", "r0c2")
    (first, _), epoch, accuracy = board.rows, int(before["epoch"][1]), float(before["accuracy"][1])
    assert (first.label, first.text[:7]) == (f"host 1  {epoch}/12", f"{accuracy:.2f} vs"[:7])
    held = Cell("HOLDING", "norm", float(before["alpha"][1, 0]), "active")
    assert first.cells == (held, Cell("DORMANT"), Cell("DORMANT"))
    assert all(torch.equal(value, environment._state()[name]) for name, value in before.items())
