import pytest
import torch

from esper_core.contracts.errors import PluginError
from esper_core.contracts.protocols import Masks
from esper_core.policy.masking import apply_mask, check_masks, masked_kl, masked_log_softmax, normalised_entropy
from esper_testing.states import random_masks
from tests.policy.conftest import SPEC


def test_half_precision_is_computed_in_float32():
    masked = apply_mask(torch.zeros(3, dtype=torch.float16), torch.tensor([True, False, True]))
    assert masked.dtype == torch.float32 and masked[1] == torch.finfo(torch.float32).min


@pytest.mark.parametrize("legal", [1, 2, 5])
def test_normalised_entropy_of_a_uniform_choice_is_one_whatever_its_size(legal):
    mask = torch.arange(8) < legal
    entropy = normalised_entropy(masked_log_softmax(torch.zeros(8), mask), mask)
    assert float(entropy) == pytest.approx(1.0 if legal > 1 else 0.0)


def test_a_row_without_legal_entries_makes_no_nan_and_no_gradient():
    logits = torch.randn(4, requires_grad=True)
    mask = torch.zeros(4, dtype=torch.bool)
    log_probs = masked_log_softmax(logits, mask)
    value = normalised_entropy(log_probs, mask) + masked_kl(log_probs, log_probs.detach(), mask)
    (value + log_probs.sum() * 0).backward()
    assert float(value.detach()) == 0.0 and bool((logits.grad == 0).all())


@pytest.fixture
def masks():
    return random_masks(SPEC, (3,), torch.Generator().manual_seed(0), legal=1.0)


def test_a_head_that_no_legal_operation_asks_may_be_empty(masks):
    heads = {**masks.heads, "what": torch.zeros(3, 3, dtype=torch.bool), "op": torch.tensor([[True, False, True]] * 3)}
    check_masks(SPEC, Masks(heads, masks.slot_given_op))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"what": torch.zeros(3, 3, dtype=torch.bool)}, r"'what' has no legal entry.*GROW.*environment 0"),
        ({"op": torch.zeros(3, 3, dtype=torch.bool)}, r"'op' has no legal entry in environment 0"),
    ],
)
def test_inconsistent_masks_are_named(masks, change, words):
    with pytest.raises(PluginError, match=words):
        check_masks(SPEC, Masks({**masks.heads, **change}, masks.slot_given_op))


def test_an_operation_without_a_slot_is_named(masks):
    slot_given_op = masks.slot_given_op.clone()
    slot_given_op[1, 2] = False
    with pytest.raises(PluginError, match=r"'slot' has no legal entry.*CUT.*environment 1"):
        check_masks(SPEC, Masks(masks.heads, slot_given_op))
