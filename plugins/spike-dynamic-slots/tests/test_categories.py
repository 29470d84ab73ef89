"""Each category fails, in the check that is meant to, for components that break what it looks at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import pytest

from esper_testing.spikes.verdict import Verdict

Judge = Callable[..., Verdict]

CONSTRUCTION, BACKWARD, MASKING = "network construction", "forward/backward", "action masking"
SAMPLING, EVALUATION, ENTROPY, STATE = "action sampling", "action evaluation", "entropy", "recurrent state"
CHECKPOINTS, TRAINING = "checkpoint compatibility", "minimal PPO training"
MASKS, AGENT = "mask integration", "agent integration"


def failed(verdict: Verdict) -> dict[str, set[int | None]]:
    """Return check → slot counts at which it failed."""
    found: dict[str, set[int | None]] = defaultdict(set)
    for failure in verdict.failures:
        found[failure.check.partition("[")[0]].add(failure.slots)
    return found


@pytest.mark.parametrize(
    ("network", "category", "check", "slots"),
    [
        ("three-slot-head", CONSTRUCTION, "test_the_slot_head_has_one_output_per_slot", {1, 5}),
        ("three-slot-head", CONSTRUCTION, "test_every_head_has_the_width_of_its_labels", {1, 5}),
        ("three-slot-eyes", CONSTRUCTION, "test_every_slot_reaches_the_logits", {5}),
        ("three-slots-inside", CONSTRUCTION, "test_it_is_built", {1, 5}),
        ("batch-first-state", CONSTRUCTION, "test_the_recurrent_state_has_one_row_per_environment", {1, 3, 5}),
        ("fixed", CONSTRUCTION, "test_the_input_width_follows_the_schema", {1, 3, 5}),
        ("three-slot-eyes", BACKWARD, "test_every_slot_of_the_observation_gets_a_gradient", {5}),
        ("dead-head", BACKWARD, "test_every_output_of_the_slot_head_gets_a_gradient", {1, 3, 5}),
        ("dead-head", BACKWARD, "test_every_parameter_gets_a_gradient", {1, 3, 5}),
        ("three-slots-inside", BACKWARD, "test_the_forward_pass_fits_and_is_finite", {1, 5}),
        ("three-slot-mouth", MASKING, "test_the_only_legal_slot_is_certain", {5}),
        ("three-slot-mouth", MASKING, "test_every_operation_has_slots_of_its_own", {5}),
        ("nans", MASKING, "test_a_masked_slot_is_never_chosen", {1, 3, 5}),
        ("three-slot-mouth", SAMPLING, "test_what_is_drawn_is_legal", {5}),
        ("three-slot-mouth", SAMPLING, "test_every_slot_can_be_drawn", {5}),
        ("noisy", SAMPLING, "test_the_same_seed_draws_the_same", {1, 3, 5}),
        ("nans", SAMPLING, "test_log_prob_and_values_come_with_it", {1, 3, 5}),
        ("prophet", EVALUATION, "test_acting_equals_evaluating", {1, 3, 5}),
        ("gossip", EVALUATION, "test_one_environment_alone_equals_its_row_of_a_batch", {1, 3, 5}),
        ("nans", EVALUATION, "test_everything_has_one_number_per_step", {1, 3, 5}),
        ("nans", EVALUATION, "test_the_probabilities_of_all_slots_sum_to_one", {1, 3, 5}),
        ("three-slot-head", ENTROPY, "test_the_maximum_is_ln_n", {1, 5}),
        ("three-slot-head", ENTROPY, "test_the_normalised_maximum_is_one", {1, 5}),
        ("three-slot-mouth", ENTROPY, "test_what_the_loss_is_paid_for_is_between_zero_and_one", {5}),
        ("decided", ENTROPY, "test_an_untrained_policy_explores", {3, 5}),
        ("hoarder", CHECKPOINTS, "test_a_loaded_policy_goes_on_where_it_was", {1, 3, 5}),
        ("liar", CHECKPOINTS, "test_it_loads_where_it_fits_alone", {1, 3, 5}),
        ("prophet", STATE, "test_it_persists", {1, 3, 5}),
        ("prophet", STATE, "test_steps_in_a_row_are_a_sequence", {1, 3, 5}),
        ("elephant", STATE, "test_it_is_reset_where_an_episode_starts", {1, 3, 5}),
        ("gossip", STATE, "test_rows_are_independent", {1, 3, 5}),
        ("dead-head", TRAINING, "test_every_parameter_moves", {5}),
        ("hoarder", TRAINING, "test_the_first_ratio_is_one", {5}),
        ("prophet", AGENT, "test_acting_and_learning_agree", {1, 3, 5}),
        ("three-slot-mouth", MASKS, "test_what_is_illegal_has_no_probability", {5}),
    ],
)
def test_wrong_networks(judge: Judge, network: str, category: str, check: str, slots: set[int]) -> None:
    verdict = judge(network, only=category)
    assert failed(verdict)[check] == slots
    assert verdict.colour == ("YELLOW" if category in (MASKS, AGENT) else "RED")


@pytest.mark.parametrize(
    ("chosen", "category", "check", "slots"),
    [
        ({"features": "near-sighted"}, CONSTRUCTION, "test_every_slot_of_the_state_is_seen", {5}),
        ({"environment": "remembers-three"}, MASKS, "test_the_state_follows_n", {1, 5}),
        ({"masks": "constant"}, MASKS, "test_masks_have_the_widths_of_the_heads", {1, 5}),
        ({"masks": "first-three"}, MASKS, "test_every_slot_can_be_acted_on", {5}),
        ({"environment": "for-three"}, MASKS, "test_what_is_legal_is_accepted", {5}),
        ({"masks": "constant"}, AGENT, "test_an_update_is_finite", {1, 5}),
        ({"environment": "for-three"}, AGENT, "test_network_and_critic_move", {5}),
        ({"environment": "deaf"}, AGENT, "test_the_buffers_follow_n", {1, 5}),
        ({"loss": "of-two"}, TRAINING, "test_ten_updates_have_a_finite_loss", {5}),
        ({"loss": "blind-to-slots"}, TRAINING, "test_the_slot_head_is_learned", {5}),
    ],
)
def test_wrong_surroundings(judge: Judge, chosen: dict[str, str], category: str, check: str, slots: set[int]) -> None:
    assert failed(judge("net", only=category, **chosen))[check] == slots


def test_weights_that_fit_any_number_load_everywhere_and_the_report_says_why(judge: Judge) -> None:
    verdict = judge("portable", only=CHECKPOINTS, slots=(1, 2, 5))
    assert verdict.colour == "GREEN"
    counts = ("1", "2", "5")
    assert verdict.figures["compatibility"] == {saved: dict.fromkeys(counts, True) for saved in counts}
    text = " ".join(section.text for section in verdict.sections)
    assert "portable between all of these" in text and "provides `network:any-slots`" in text
    assert re.search(r"the same names and shapes, [\d,]+ parameters", text)


def test_who_does_not_say_so_loads_on_the_diagonal_alone(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the weights would fit; with a core that compares nothing it is wrong to load silently."""
    shared = judge("shared", only=CHECKPOINTS, slots=(1, 2))
    diagonal = {"1": {"1": True, "2": False}, "2": {"1": False, "2": True}}
    assert (shared.colour, shared.figures["compatibility"]) == ("GREEN", diagonal)
    monkeypatch.setattr("esper_core.runs.checkpoint.check_fit", lambda header, plan, index: ())
    shared = judge("shared", only=CHECKPOINTS, slots=(2, 5))
    assert failed(shared) == {"test_it_loads_where_it_fits_alone": {2, 5}}
    assert "does not provide 'network:any-slots'" in shared.failures[0].message


def test_a_refusal_must_help(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that do not fit are refused by their shapes too, but nobody learns from it what to do."""
    monkeypatch.setattr("esper_core.runs.checkpoint.check_fit", lambda header, plan, index: ())
    verdict = judge("net", only=CHECKPOINTS, slots=(2, 5))
    assert failed(verdict) == {"test_it_loads_where_it_fits_alone": {2, 5}}
    assert all(failure.message.startswith("the refusal does not say") for failure in verdict.failures)
