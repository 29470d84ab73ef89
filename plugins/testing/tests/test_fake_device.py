"""The GPU that is not there: as strict as a real one, and it notices every crossing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from esper_testing.fake_device import FakeDevice


def there(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, device=FakeDevice.name)


def assign(target: torch.Tensor, index: Any, value: Any) -> None:
    target[index] = value


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: there(3) + torch.zeros(3),
        lambda: there(3).index_select(0, torch.tensor([1])),
        lambda: torch.cat([there(3), torch.zeros(3)]),
        lambda: torch.nn.functional.linear(there(2, 3), torch.zeros(4, 3)),
        lambda: there(3).exponential_(generator=torch.Generator()),
        lambda: assign(there(3, 2), there(3, 2) > 0, torch.zeros(6)),
    ],
)
def test_what_a_gpu_refuses_is_refused(mistake: Callable[[], Any]) -> None:
    with FakeDevice(), pytest.raises(RuntimeError, match=r"several devices|generator"):
        mistake()


@pytest.mark.parametrize(
    ("crossing", "result"),
    [
        (lambda: there(1).item(), 0.0),
        (lambda: int(there(2).argmax()), 0),
        (lambda: there(2).tolist(), [0.0, 0.0]),
        (lambda: there(2).cpu().device.type, "cpu"),
        (lambda: torch.zeros(2).to("meta").device.type, "meta"),
        (lambda: there(2).copy_(torch.zeros(2)).device.type, "meta"),
        (lambda: torch.tensor([1, 2], device="meta").shape, (2,)),
        (lambda: there(2).new_tensor([1.0]).shape, (1,)),
        (lambda: there(3, 4)[torch.tensor([0, 2])].shape, (2, 4)),
        (lambda: there(3, 4)[there(3, 4) == 0].shape, (12,)),
        (lambda: (there(3) > 0).nonzero().shape, (0, 1)),
        (lambda: assign(there(3), [0], 1.0), None),
    ],
)
def test_every_crossing_is_noticed_and_answered(crossing: Callable[[], Any], result: Any) -> None:
    with FakeDevice() as device:
        assert crossing() == result
        assert len(device.crossings) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        lambda: there(3) * 2.0 + torch.tensor(1.0),
        lambda: there(3, 4)[1, 2:],
        lambda: there(3, 4)[torch.zeros(2, dtype=torch.int64, device="meta")],
        lambda: assign(there(3, 4), 1, 0.5),
        lambda: torch.zeros(3).to(torch.float64).tolist(),
        lambda: torch.where(there(3) > 0, there(3), 0.0).sum(),
    ],
)
def test_what_stays_where_it_is_crosses_nothing(harmless: Callable[[], Any]) -> None:
    with FakeDevice() as device:
        harmless()
    assert device.crossings == []
