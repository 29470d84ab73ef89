"""Components whose claims are false, each in one way."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from torch import nn

from esper_factored_ppo.loss import FactoredPpo
from esper_lstm_v2.network import LstmNetwork


class Hesitant(LstmNetwork):
    """Reveals logits per operation, but does not say so."""


class Crashing(FactoredPpo):
    """Says that it fits everything, and fits nothing."""

    def __call__(self, batch: Any, evaluation: Any) -> Any:
        raise ValueError("there is no field 'surprise'")


class Numb(FactoredPpo):
    """A loss without gradient."""

    def __call__(self, batch: Any, evaluation: Any) -> Any:
        result = super().__call__(batch, evaluation)
        return evolve(result, loss=result.loss * 0.0)


class Poisonous(FactoredPpo):
    """A loss that is no number; the trainer must not carry on with it."""

    def __call__(self, batch: Any, evaluation: Any) -> Any:
        result = super().__call__(batch, evaluation)
        return evolve(result, loss=result.loss * float("nan"))


def leaving(config: Any, context: Any) -> Any:
    raise SystemExit(7)


def incomplete(config: Any, context: Any) -> Any:
    return nn.Linear(1, 1)


def undescribable(*_: Any) -> Any:
    raise RuntimeError("this description has a bug")
