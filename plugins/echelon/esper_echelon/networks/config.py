"""Options of the networks."""

from __future__ import annotations

from attrs import frozen

from esper_core import option

_LSTM = "Width of the LSTM and of the latent; wider learns more and costs quadratically more."
_STD = "Standard deviation of numbers at first, before they are squashed; less explores nearer to what is intended."
_AGGREGATION = "How contacts, and squad members, become one row; a mean does not tell how many there are."


@frozen
class CombatSuiteConfig:
    """Options of `combat-suite`."""

    hidden_dim: int = option(64, low=8, high=65536, help="Width for contacts and for oneself; half of it for squads.")
    lstm_hidden_dim: int = option(128, low=4, high=65536, help=_LSTM)
    aggregation: str = option("mean", choices=("mean", "sum", "max"), help=_AGGREGATION)
    initial_std: float = option(1.0, low=1e-3, high=10.0, help=_STD)


@frozen
class ActorCriticConfig:
    """Options of `actor-critic-lstm`."""

    hidden_dim: int = option(128, low=4, high=65536, help="Width of the two layers before the LSTM.")
    lstm_hidden_dim: int = option(128, low=4, high=65536, help=_LSTM)
    embed_dim: int = option(4, low=1, high=65536, help="Numbers per embedded index, where features have any.")
    initial_std: float = option(1.0, low=1e-3, high=10.0, help=_STD)
