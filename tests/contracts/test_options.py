"""Options of config classes: default, help, bounds, choices."""

from __future__ import annotations

import pytest
from attrs import fields, frozen

from esper_core import option


@frozen
class Config:
    width: int = option(8, low=1, high=64, help="Wider sees more.")
    mode: str = option("mean", choices=("mean", "max"), help="How to pool.")
    path: tuple[str, ...] = option((), converter=tuple, choices=((), ("a",)), help="Where to look.")
    limit: float | None = option(None, low=0.0, help="None is no limit.")


def test_bounds_are_inclusive_and_do_not_concern_none() -> None:
    assert [Config(width=width).width for width in (1, 64)] == [1, 64]
    assert (Config().width, Config().mode, Config().limit) == (8, "mean", None)
    assert Config(path=["a"]).path == ("a",), "converters run first"  # type: ignore[arg-type]
    assert [f.metadata["choices"] for f in fields(Config)] == [None, ("mean", "max"), ((), ("a",)), None]


@pytest.mark.parametrize("values", [{"width": 0}, {"width": 65}, {"mode": "sum"}, {"limit": -1.0}])
def test_values_outside_are_refused(values: dict[str, object]) -> None:
    (key,) = values
    with pytest.raises(ValueError, match=key):
        Config(**values)  # type: ignore[arg-type]
